"""Being asked to stop, by Ctrl-C or SIGTERM: at once where nothing would be lost, else at the next moment that suits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def sigterm_ends() -> Iterator[None]:
    """SIGTERM ends the block as SystemExit does, with code 143, so that what is half done is cleared away."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handled(end, signal.SIGTERM):
        yield


@contextmanager
def postponed() -> Iterator[Callable[[], int | None]]:
    """Within the block a first request to stop is only noted; it is obeyed at its end, a second one at once.

    Yields:
        A function that gives the number of the signal that was noted, or None: who can stop well looks there, and raises.
    """
    noted: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(number)
        if len(noted) > 1:
            signal.signal(number, earlier[number])
            signal.raise_signal(number)

    with _handled(note, signal.SIGINT, signal.SIGTERM) as earlier:
        yield lambda: noted[0] if noted else None
    if noted:
        signal.raise_signal(noted[0])


@contextmanager
def _handled(handler: Handler, *numbers: int) -> Iterator[dict[int, Any]]:
    """Gives the handlers that were there before; only the main thread may set any, elsewhere nothing changes."""
    earlier: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        earlier = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield earlier
    finally:
        for number, before in earlier.items():
            signal.signal(number, before)
