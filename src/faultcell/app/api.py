"""The HTTP API: what models there are, and curves of theirs.

    GET  /api/v1/health
    GET  /api/v1/bundles
    POST /api/v1/bundles/{id}/draw    `asked.Draw` in, JSON, a zip of Parquet tables or a CSV out
    GET  /api/openapi.json

What goes wrong is one sentence, `{"error": ...}`: 400 a request that the model cannot meet, 404 no such bundle, 422 a request
that is not well-formed, 503 the queue is full, 504 it took too long.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from faultcell import __version__
from faultcell.app import packs
from faultcell.app.asked import Conditions, Draw, sentence
from faultcell.app.desk import BusyError, Desk, LateError
from faultcell.app.drawn import draw, warnings_of
from faultcell.app.shelf import Entry, Shelf
from faultcell.curves import SEVERITY, TIMESERIES, Curves
from faultcell.errors import ConditionError, FaultCellError

V1 = "/api/v1"
OPENAPI = "/api/openapi.json"
SENT = [name for name in TIMESERIES if name.endswith(("_second", "_volt", "_ampere", "_celsius"))]
STATUS: dict[type[Exception], int] = {BusyError: 503, LateError: 504, ConditionError: 400}
ZIP, CSV = "application/zip", "text/csv"


def make(shelf: Shelf, desk: Desk) -> FastAPI:
    """The API alone; the page is put beside it by `server`."""
    app = FastAPI(title="FaultCell", version=__version__, docs_url=None, redoc_url=None, openapi_url=OPENAPI)
    routes = _Routes(shelf, desk)
    app.add_api_route(f"{V1}/health", routes.health, methods=["GET"], summary="Whether it is alive, and how busy")
    app.add_api_route(f"{V1}/bundles", routes.bundles, methods=["GET"], summary="The models, and what each has seen")
    app.add_api_route(
        f"{V1}/bundles/{{bundle_id}}/draw",
        routes.draw,
        methods=["POST"],
        summary="Draw curves",
        response_model=None,
        responses={200: {"content": {ZIP: {}, CSV: {}}}, **{code: {"description": "one sentence"} for code in STATUS.values()}},
    )
    app.add_exception_handler(FaultCellError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _broken)
    return app


class _Routes:
    """The answers."""

    def __init__(self, shelf: Shelf, desk: Desk) -> None:
        self._shelf, self._desk = shelf, desk

    async def health(self) -> dict[str, Any]:
        return {"status": "ok", "version": __version__, "draws_under_way": self._desk.taken}

    async def bundles(self) -> list[dict[str, Any]]:
        return [_told(entry) for entry in self._shelf.entries.values()]

    async def draw(self, bundle_id: str, asked: Draw) -> Response:
        if bundle_id not in self._shelf.entries:
            known = ", ".join(self._shelf.entries)
            return _error(404, f"no bundle has the id '{bundle_id[:40]}': there are {known}")
        entry = self._shelf.entry(bundle_id)
        return await self._desk.do(lambda tick: _answer(entry, asked, drawn=draw(entry, asked, tick=tick)))


def settings(entry: Entry, asked: Draw) -> dict[str, Any]:
    """The configuration that lies beside drawn curves."""
    kept = {"seed": asked.seed, "steps": asked.steps or entry.steps, "conditions": asked.conditions.model_dump()}
    return {"verb": "serve", "model_sha256": entry.model.sha256, "count": asked.count, **kept}


def _told(entry: Entry) -> dict[str, Any]:
    seen = {name: {knob.quantity.name: [knob.low, knob.high] for knob in knobs} for name, knobs in entry.knobs.items()}
    return {"id": entry.id, "model_sha256": entry.model.sha256, "steps": entry.steps, "has_seen": seen}


def _answer(entry: Entry, asked: Draw, *, drawn: Curves) -> Response:
    if asked.format == "parquet":
        return _file(packs.zipped(drawn, config=settings(entry, asked)), media_type=ZIP, name=f"{entry.id}.zip")
    if asked.format == "csv":
        return _file(packs.bdf_csv(drawn), media_type=CSV, name=f"{entry.id}.bdf.csv")
    found = {
        "bundle": entry.id,
        **settings(entry, asked),
        "synthetic": True,
        "extrapolations": warnings_of(entry, asked.conditions),
    }
    return JSONResponse(found | {"curves": _curves(drawn)})


def _curves(drawn: Curves) -> list[dict[str, Any]]:
    rows = drawn.halfcycles.select("cell_id", "cycle_count", "step_type", "label", "seed", *SEVERITY).to_dicts()
    columns = {name: drawn.column(name).round(6).tolist() for name in SENT if drawn.timeseries[name].is_finite().all()}
    return [
        row | {name: values[part] for name, values in columns.items()} for row, part in zip(rows, drawn.slices(), strict=True)
    ]


def _file(content: bytes, *, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _error(status: int, said: str) -> JSONResponse:
    headers = {"Retry-After": "1"} if status == STATUS[BusyError] else None
    return JSONResponse({"error": said}, status_code=status, headers=headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    return _error(STATUS.get(type(error), 400), str(error))


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _error(422, sentence(list(error.errors())))


async def _broken(_: Request, error: Exception) -> JSONResponse:
    return _error(500, f"the draw failed ({type(error).__name__}): please report what was asked for")


__all__ = ["CSV", "OPENAPI", "V1", "ZIP", "Conditions", "make", "settings"]
