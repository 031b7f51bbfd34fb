"""What every request must meet before anything looks at it, and the headers of every answer. Plain ASGI, sockets included.

A page elsewhere cannot reach what is bound to this machine: requests for another host name (DNS rebinding) or from another
origin are refused. Scripts run only from here, or with the number that is made anew for each page.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 64 * 1024
MOST_READ = 1024 * 1024  # of a body that is too large: a client that is cut while it sends may never read why
BODY_SECONDS = 10.0  # in which it must have arrived
# Files that a visitor gives to a page: their bodies are the files and some lines about each.
UPLOAD = re.compile(r"/_nicegui/client/[\w-]+/upload/\d+")
MOST_UPLOAD, MOST_UPLOADS = 8 * 1024 * 1024, 4  # bytes of files; at a time
UPLOAD_SECONDS = 60.0
MOST_REQUESTS, MOST_SOCKETS = 512, 64  # at a time
MOST_PAGES = 64  # in memory: those open, and those of the last minute that no browser opened; each takes two megabytes
PAGELESS = ("/api/", "/_nicegui")  # paths that make no page
UNREAD = (408, 413)  # the rest of their bodies is not waited for
BUSY = 503, "too much is under way here: try again in a moment"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NONCE = "{nonce}"
# NiceGUI's pages make their templates in the browser (unsafe-eval) and set styles inline; scripts inline need the number.
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' 'nonce-{NONCE}' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


class Guard:
    """Stands before an app.

    Args:
        app: whom it guards.
        hosts: names and addresses under which the app may be asked, beside those of this machine.
        port: the one it listens at.
        pages: how many of them are in memory.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = (), port: int, pages: Callable[[], int] = lambda: 0) -> None:
        self.app = app
        self._hosts, self._port = {*LOOPBACK, *(name.lower() for name in hosts)}, port
        self._pages = pages
        self._under_way = {"http": 0, "websocket": 0, "page": 0, "upload": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        http = scope["type"] == "http"
        send = _Answer(send).send if http else send
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(scope, send, why=refusal)
            return
        kinds = [scope["type"], *(["page"] if _makes_page(scope) else []), *(["upload"] if _is_upload(scope) else [])]
        self._count(kinds, 1)
        try:
            await (self._request if http else self.app)(scope, receive, send)
        finally:
            self._count(kinds, -1)

    def _count(self, kinds: Iterable[str], by: int) -> None:
        for kind in kinds:
            self._under_way[kind] += by

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on once its body is there."""
        most, seconds = (MOST_UPLOAD + MOST_BODY, UPLOAD_SECONDS) if _is_upload(scope) else (MOST_BODY, BODY_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                body = await _body(receive, most)
        except TimeoutError:
            await _refuse(scope, send, why=(408, f"the body did not arrive within {seconds:g} s"))
            return
        if body is None:
            await _refuse(scope, send, why=(413, f"the body is larger than {most} bytes: ask for less at once"))
            return
        await self.app(scope, _replay(body, receive), send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence where a request may not pass."""
        given = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in given if name == b"host"]
        origins = [value for name, value in given if name == b"origin"]
        if len(hosts) != 1 or not self._is_own(f"//{hosts[0]}"):
            return 421, "this address is not served here: ask for localhost"
        if any(urlsplit(origin).scheme != "http" or not self._is_own(origin) for origin in origins):
            return 403, "a page of another origin may not ask here"
        if self._under_way[scope["type"]] >= (MOST_REQUESTS if scope["type"] == "http" else MOST_SOCKETS):
            return BUSY
        if _is_upload(scope) and self._under_way["upload"] >= MOST_UPLOADS:
            return BUSY
        if _makes_page(scope) and self._pages() + self._under_way["page"] >= MOST_PAGES:
            return BUSY[0], "too many pages are open here: load this one again in a minute"
        return None

    def _is_own(self, address: str) -> bool:
        try:
            parts = urlsplit(address)
            return parts.hostname in self._hosts and (parts.port or 80) == self._port and parts.username is None
        except ValueError:
            return False


class _Answer:
    """An answer on its way out: headers are added, and pages get the number their scripts need."""

    def __init__(self, send: Send) -> None:
        self._send, self._nonce = send, secrets.token_urlsafe(16)
        self._start: Message | None = None
        self._page = bytearray()

    async def send(self, message: Message) -> None:
        """Take a message of an app."""
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._start is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        policy = POLICY.replace(NONCE, self._nonce)
        added = {**HEADERS, "content-security-policy": policy}
        kept = [(name, value) for name, value in message["headers"] if name.decode("latin-1").lower() not in added]
        headers = [*kept, *((name.encode(), value.encode()) for name, value in added.items())]
        message = {**message, "headers": headers}
        if any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers):
            self._start = message  # its length will be another
        else:
            await self._send(message)

    async def _finish(self) -> None:
        assert self._start is not None
        # Text on a page has its angle brackets escaped: these are the page's own scripts.
        page = bytes(self._page).replace(b"<script", b'<script nonce="' + self._nonce.encode() + b'"')
        headers = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
        await self._send({**self._start, "headers": [*headers, (b"content-length", str(len(page)).encode())]})
        await self._send({"type": "http.response.body", "body": page})


def _makes_page(scope: Scope) -> bool:
    return scope["type"] == "http" and not scope["path"].startswith(PAGELESS)


def _is_upload(scope: Scope) -> bool:
    return scope["type"] == "http" and scope.get("method") == "POST" and bool(UPLOAD.fullmatch(scope["path"]))


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body of a request; None if it is too large."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False) and len(body) <= max(most, MOST_READ)
    return bytes(body) if len(body) <= most else None


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body read before, then whatever comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _refuse(scope: Scope, send: Send, *, why: tuple[int, str]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": why[1]})
        return
    body = json.dumps({"error": why[1]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if why[0] == BUSY[0]:
        headers.append((b"retry-after", b"1"))
    if why[0] in UNREAD:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": why[0], "headers": headers})
    await send({"type": "http.response.body", "body": body})
