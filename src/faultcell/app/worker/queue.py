"""Where drawing is asked for: a bounded queue, a time limit on each draw, and one process that draws and can be replaced.

The event loop stays free while a curve is drawn. One thread hands the process its work and waits for it; a clock kills a
process that is at its limit. A process that dies costs the draw it was at and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from faultcell.app.worker.process import GoneError, Work, Worker
from faultcell.errors import FaultCellError

WAITING = 8
SECONDS = 60.0  # of work
START = 60.0  # seconds more where a worker has to start first; it takes two or three
PATIENCE = 90.0  # seconds in the queue: more than a draw that hangs and a new worker take, so that those behind it are answered
GRACE = 5.0  # seconds in which a draw that nobody waits for must end; a chunk of the most steps takes two or three


class BusyError(FaultCellError):
    """The queue is full."""


class LateError(FaultCellError):
    """A draw took too long, or nobody waits for it any more."""


class LostError(FaultCellError):
    """The process that drew ended in the middle of it."""


class DrawQueue:
    """A queue with one worker, a process that is started when it is first needed.

    Args:
        served: what all work is done on; it is pickled for the worker.
        threads: of torch within the worker.
        waiting: draws that may wait while one is at work.
        seconds: of work on one draw, at most; a worker that is still at it then is killed.
        patience: seconds that a draw may wait for its turn.
        warm: what a new worker does first.
    """

    def __init__(
        self,
        served: object,
        *,
        threads: int,
        waiting: int = WAITING,
        seconds: float = SECONDS,
        patience: float = PATIENCE,
        warm: Callable[[Any], object] | None = None,
    ) -> None:
        self._served, self._threads, self._warm = served, threads, warm
        self._places, self._seconds, self._patience = waiting + 1, seconds, patience
        self._taken = self._lost = 0
        self._worker: Worker | None = None  # known to the one thread alone, but when all ends
        self._closed = self._fit = False
        self._thread = ThreadPoolExecutor(1, "asking")

    @property
    def taken(self) -> int:
        """Draws at work or waiting."""
        return self._taken

    @property
    def lost(self) -> int:
        """Workers that were killed or died so far."""
        return self._lost

    async def do(self, work: Work, *arguments: object) -> Any:
        """Have some work done when its turn comes.

        Args:
            work: a function of a module; called with what is served, the arguments, and `tick`, which it shall call after each
                chunk.
            arguments: of it, to be pickled.

        Raises:
            BusyError: the queue is full.
            LateError: it took or waited too long.
            LostError: the worker ended in the middle of it.
        """
        if self._taken >= self._places:
            raise BusyError(f"the queue is full (places: {self._places}): try again in a moment")
        turn = _Turn(work, arguments, seconds=self._seconds, patience=self._patience)
        self._taken += 1
        future = self._thread.submit(self._meet, turn)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: self._leave(done, loop))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            turn.drop()
            raise

    def first(self) -> None:
        """Have a worker ready before anybody asks."""
        self._thread.submit(self._standing)

    def close(self) -> None:
        """End the worker; what waits is forgotten."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._worker is not None:
            self._worker.kill()

    def _leave(self, _: Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Free a place, once the thread is done with it or will never begin."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the queue
            loop.call_soon_threadsafe(self._free)

    def _free(self) -> None:
        self._taken -= 1

    # --- in the thread

    def _meet(self, turn: _Turn, *, again: bool = True) -> Any:
        worker = self._standing()
        turn.begin(worker)
        try:
            return worker.do(turn.work, *turn.arguments)
        except GoneError as error:
            self._bury()
            turn.look()
            if again and not error.begun:  # it died of something else
                turn.end()
                return self._meet(turn, again=False)
            raise LostError(
                "the process that draws ended in the middle of this draw, and another takes its place: ask again, for fewer "
                "curves if that happens again"
            ) from error
        finally:
            turn.end()
            if turn.late:
                self._bury()

    def _standing(self) -> Worker:
        """The worker, or a new one in the place of one that has ended."""
        if self._worker is not None and self._worker.gone:
            self._bury()
        if self._worker is None:
            self._worker = Worker(self._served, warm=self._warm, threads=self._threads)
            self._worker.call_when_gone(self._gone)
            if self._closed:
                self._worker.kill()
        return self._worker

    def _bury(self) -> None:
        """Take leave of a worker that has ended, or is about to: nothing more must be asked of it."""
        if self._worker is not None:
            self._lost += 1
            self._fit = self._worker.ready
            self._worker.bury()
            self._worker = None

    def _gone(self) -> None:
        with contextlib.suppress(RuntimeError):  # all has ended
            self._thread.submit(self._replace)

    def _replace(self) -> None:
        """Have a new worker where one has ended; not where it never was ready, since the next may fare no better."""
        if self._worker is not None and self._worker.gone:
            self._bury()
        if self._fit:
            self._standing()


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
    """One piece of work and its clock, which kills the worker when the time is up."""

    def __init__(self, work: Work, arguments: tuple[object, ...], *, seconds: float, patience: float) -> None:
        self.work, self.arguments = work, arguments
        self._seconds, self._patience = seconds, patience
        self._asked = time.monotonic()
        self._wanted, self.late = True, False
        self._lock = threading.Lock()
        self._worker: Worker | None = None  # while it is at this
        self._start = START  # seconds that the worker may need before it begins; none where it was ready
        self._clocks: list[threading.Timer] = []

    def begin(self, worker: Worker) -> None:
        """A worker is at it from now on.

        Raises:
            LateError: it waited too long, or nobody waits for it any more.
        """
        with self._lock:
            waited = time.monotonic() - self._asked
            if not self._wanted or waited > self._patience:
                raise LateError(f"the draw waited {waited:.0f} s for its turn: try again in a moment")
            self._worker = worker
            worker.begin()
            self._start = 0.0 if worker.ready else START
            self._kill_in(self._start + self._seconds)

    def look(self) -> None:
        """Raise LateError where a clock rang, or nobody waits."""
        if self.late or not self._wanted:
            raise LateError(f"the draw took longer than {self._seconds:g} s: ask for fewer curves or steps")

    def end(self) -> None:
        """It is not any more: from here on no clock may kill it."""
        with self._lock:
            self._worker = None
        for clock in self._clocks:
            clock.cancel()

    def drop(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._wanted = False
            if self._worker is not None:
                self._worker.drop()
                self._kill_in(self._start + GRACE)

    def _kill_in(self, seconds: float) -> None:
        clock = threading.Timer(seconds, self._kill)
        clock.daemon = True
        self._clocks.append(clock)
        clock.start()

    def _kill(self) -> None:
        with self._lock:
            if self._worker is not None:
                self.late = True
                self._worker.kill()
