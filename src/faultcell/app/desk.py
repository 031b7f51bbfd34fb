"""Where drawing is done: one thread of its own, a bounded queue before it, a time limit on each draw.

The event loop stays free while a curve is drawn, and one thread keeps the threads of torch from quarrelling.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from faultcell.errors import FaultCellError

Result = TypeVar("Result")
Tick = Callable[[int, int], None]
WAITING, SECONDS = 8, 60.0


class BusyError(FaultCellError):
    """The queue is full."""


class LateError(FaultCellError):
    """A draw took too long, or nobody waits for it any more."""


class Desk:
    """A queue with one worker.

    Args:
        threads: of torch within the worker.
        waiting: draws that may wait while one is at work.
        seconds: from asking to the answer, at most; looked at after each chunk of curves.
    """

    def __init__(self, *, threads: int, waiting: int = WAITING, seconds: float = SECONDS) -> None:
        self._worker = ThreadPoolExecutor(1, "drawing", initializer=torch.set_num_threads, initargs=(threads,))
        self._places, self._seconds = waiting + 1, seconds
        self._taken = 0

    @property
    def taken(self) -> int:
        """Draws at work or waiting."""
        return self._taken

    async def do(self, work: Callable[[Tick], Result]) -> Result:
        """Do some work in the worker's turn.

        Args:
            work: called with what it shall call after each chunk.

        Raises:
            BusyError: the queue is full.
            LateError: it took too long.
        """
        if self._taken >= self._places:
            raise BusyError(f"the queue is full (places: {self._places}): try again in a moment")
        turn = _Turn(self._seconds)
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(self._worker, turn.of, work)
        future.add_done_callback(self._leave)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            turn.wanted = False
            raise

    def first(self, work: Callable[[], object]) -> None:
        """Do some work before all that is asked for, which a first visitor would wait for."""
        self._worker.submit(work)

    def close(self) -> None:
        """Let the worker end; what waits is forgotten."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _leave(self, future: asyncio.Future[Any]) -> None:
        self._taken -= 1
        if not future.cancelled():
            future.exception()  # looked at, even where nobody waits any more


class Newest:
    """Answers to a wish that changes faster than it can be met: one at a time, each to the wish as it stands when it begins.

    Args:
        meet: what to do for the wish; it must not raise.
    """

    def __init__(self, meet: Callable[[], Awaitable[None]]) -> None:
        self._meet, self._changed = meet, False
        self._at_work: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Say that the wish is another now."""
        self._changed = True
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.get_running_loop().create_task(self._go_on())

    async def _go_on(self) -> None:
        while self._changed:
            self._changed = False
            await self._meet()


class _Turn:
    """One piece of work and its clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._until = seconds, time.monotonic() + seconds
        self.wanted = True

    def of(self, work: Callable[[Tick], Result]) -> Result:
        self._look()
        return work(lambda _done, _total: self._look())

    def _look(self) -> None:
        if not self.wanted or time.monotonic() > self._until:
            raise LateError(f"the draw took longer than {self._seconds:g} s: ask for fewer curves or steps")
