"""How long a connection may keep the server waiting, and how many there may be: what uvicorn leaves open.

A client that says nothing, or one byte a minute, or does not take its answer, costs a connection for some seconds and no more.
Of lines and headers h11 takes 64 KiB; httptools, which uvicorn would choose, takes any number.
"""

from __future__ import annotations

from asyncio import Transport
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 768  # below the 1024 files that a process commonly may have open
HEAD_SECONDS = 10  # in which a request's line and headers must have arrived; as long a connection may be idle
LAST_CHANCE = 0.5  # seconds more, since a busy server may find the clock run down before it finds what has arrived
ANSWER_SECONDS = 60.0  # in which a client must have taken its answer


class Connection(H11Protocol):
    """A connection that is cut where its client keeps it waiting."""

    _clocks: dict[str, Any]
    transport: Transport

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take a connection, or cut it where there are too many."""
        self._clocks = {}
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop(*self._clocks)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see whether a head is still to come."""
        self._stop("idle")
        super().data_received(data)
        self._watch_head()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Sockets have pings of their own."""
        self._stop(*self._clocks)
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """The client is slow to take its answer."""
        super().pause_writing()
        self._start("answer", ANSWER_SECONDS)

    def on_response_complete(self) -> None:
        """All of an answer is on its way; what is left of it must be taken in as long as an idle connection may last."""
        super().on_response_complete()
        self._stop("answer")
        if self.transport.is_closing():
            self._start("rest", ANSWER_SECONDS)
        else:
            self._watch_head()

    def timeout_keep_alive_handler(self) -> None:
        """Cut an idle connection, even one whose client has not taken all."""
        self._start("idle", 0.0)

    def _watch_head(self) -> None:
        if self.conn.their_state is h11.IDLE and self in self.connections:
            self._start("head", HEAD_SECONDS)
        else:
            self._stop("head")

    def _start(self, name: str, seconds: float) -> None:
        if name not in self._clocks:
            self._clocks[name] = self.loop.call_later(seconds, self._warn, name)

    def _warn(self, name: str) -> None:
        self._clocks[name] = self.loop.call_later(LAST_CHANCE, self.transport.abort)

    def _stop(self, *names: str) -> None:
        for name in names:
            clock = self._clocks.pop(name, None)
            if clock is not None:
                clock.cancel()
