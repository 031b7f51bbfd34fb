"""The HTTP API: what models there are, and curves of theirs.

    GET  /api/v1/health
    GET  /api/v1/bundles
    POST /api/v1/bundles/{id}/draw    `requests.Draw` in, JSON, a zip of Parquet tables or a CSV out
    GET  /api/openapi.json

What goes wrong is one sentence, `{"error": ...}`; `responses.py` says which status means what.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from faultcell import __version__
from faultcell.app.api import responses
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import Draw, sentence
from faultcell.app.worker import jobs
from faultcell.app.worker.jobs import Packed
from faultcell.app.worker.process import FailedError
from faultcell.app.worker.queue import BusyError, DrawQueue, LateError, LostError
from faultcell.errors import ConditionError, FaultCellError

V1 = "/api/v1"
OPENAPI = "/api/openapi.json"
STATUS: dict[type[Exception], int] = {BusyError: 503, LateError: 504, LostError: 500, FailedError: 500, ConditionError: 400}
RETRY_AFTER = {"Retry-After": "1"}
# Bytes of answers that clients are still taking, above which nothing more is drawn: ten of the largest.
MOST_OUT = 256 << 20
PIECE = 256 * 1024  # bytes of an answer that are handed on at once: what comes after waits until the client has taken them


def make(registry: Registry, draw_queue: DrawQueue) -> FastAPI:
    """The API alone; the page is put beside it by `server`."""
    app = FastAPI(
        title="FaultCell",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI,
        responses=responses.problems(responses.ANY),
    )
    routes = _Routes(registry, draw_queue)
    app.add_api_route(
        f"{V1}/health",
        routes.health,
        methods=["GET"],
        summary="Whether it is alive, and how busy",
        response_model=responses.Health,
    )
    app.add_api_route(
        f"{V1}/bundles",
        routes.bundles,
        methods=["GET"],
        summary="The models, and what each has seen",
        response_model=list[responses.Bundle],
    )
    app.add_api_route(
        f"{V1}/bundles/{{bundle_id}}/draw",
        routes.draw,
        methods=["POST"],
        summary="Draw curves",
        response_model=None,
        responses=responses.drawn() | responses.problems(responses.OF_A_DRAW),
    )
    app.router.routes.append(_Below("/api", _nowhere, include_in_schema=False))
    app.add_exception_handler(FaultCellError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _no_request)
    app.add_exception_handler(Exception, _broken)
    return app


class _Routes:
    """The answers."""

    def __init__(self, registry: Registry, draw_queue: DrawQueue) -> None:
        self._registry, self._draw_queue = registry, draw_queue
        self._out = _Out()

    async def health(self) -> dict[str, Any]:
        told = {"draws_under_way": self._draw_queue.taken, "workers_lost": self._draw_queue.lost}
        return {"status": "ok", "version": __version__, **told}

    async def bundles(self) -> list[dict[str, Any]]:
        return [_told(entry) for entry in self._registry.entries.values()]

    async def draw(self, bundle_id: str, asked: Draw, request: Request) -> Response:
        if bundle_id not in self._registry.entries:
            known = ", ".join(self._registry.entries)
            return _error(404, f"no bundle has the id '{bundle_id[:40]}': there are {known}")
        if self._out.bytes >= MOST_OUT:
            raise BusyError("answers are waiting to be taken: try again in a moment")
        task = asyncio.ensure_future(self._draw_queue.do(jobs.packed, bundle_id, asked))
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return _error(503, "nobody waits for this draw any more")  # said to nobody
            return _Pieces(task.result(), bundle_id, self._out)
        finally:
            task.cancel()
            gone.cancel()


class _Below(Route):
    """All that begins so and is nothing else, line feeds included, which patterns of routes pass over."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and scope["path"].startswith(f"{self.path}/")
        return (Match.FULL, {"endpoint": self.endpoint, "path_params": {}}) if found else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)  # whatever its method


class _Out:
    """Bytes of answers on their way."""

    bytes = 0


class _Pieces(Response):
    """Drawn curves, piece by piece, so that what a slow client has not taken is known."""

    def __init__(self, found: Packed, name: str, out: _Out) -> None:
        super().__init__(media_type=found.media_type)
        self._content, self._out = found.content, out
        self.headers["Content-Length"] = str(len(found.content))
        if found.suffix != "json":
            self.headers["Content-Disposition"] = f'attachment; filename="{name}.{found.suffix}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = len(self._content)
        self._out.bytes += size
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, size, PIECE):
                piece = self._content[start : start + PIECE]
                await send({"type": "http.response.body", "body": piece, "more_body": start + PIECE < size})
        finally:
            self._out.bytes -= size


async def _gone(request: Request) -> None:
    """Until the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _told(entry: Entry) -> dict[str, Any]:
    seen = {name: {knob.quantity.name: (knob.low, knob.high) for knob in knobs} for name, knobs in entry.knobs.items()}
    return {"id": entry.id, "model_sha256": entry.model.sha256, "steps": entry.steps, "has_seen": seen}


def _error(status: int, said: str, headers: dict[str, str] | None = None) -> JSONResponse:
    more = RETRY_AFTER if status == STATUS[BusyError] else {}
    said = "".join(letter if letter.isprintable() else " " for letter in said)  # it may quote what was asked for
    return JSONResponse({"error": said}, status_code=status, headers={**more, **(headers or {})})


async def _nowhere(request: Request) -> Response:
    """Whatever else is asked for below /api."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    allowed = sorted({name for route in routes if route.path_regex.match(request.url.path) for name in route.methods or ()})
    if allowed:
        return _error(405, f"it is asked for with {' or '.join(allowed)}", {"Allow": ", ".join(allowed)})
    return _error(404, f"there is nothing here: {OPENAPI} says what there is")


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return _error(STATUS.get(type(error), 400), str(error))


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _error(422, sentence(list(error.errors())))


async def _no_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, str(error.detail), dict(error.headers or {}))


async def _broken(_: Request, error: Exception) -> JSONResponse:
    return _error(500, f"the draw failed ({type(error).__name__}): please report what was asked for")


__all__ = ["OPENAPI", "V1", "make"]
