"""The process that draws. It can be killed whatever it is at, a native call that hangs included, and ends when its parent does.

What it is to work on comes to it once, from its parent: so a new one draws from the very same models, even where a bundle
was changed meanwhile. Work is a function of a module and what it takes. Light to import: a new process begins with this file.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, ClassVar

from faultcell.errors import FaultCellError
from faultcell.runtime.workers import attend

Tick = Callable[[int, int], None]
Work = Callable[..., Any]  # of what is served, its own arguments, and `tick`, to be called after each chunk of curves
# Bytes of data it may have beyond what it stands at when it begins. 1000 curves need 1.3 GiB, most of it set aside by Polars'
# threads; what asks for more is a mistake, and shall not take the machine with it.
ROOM = 4 << 30
KILLED_FIRST = "500"  # of 1000: where memory runs out, the kernel ends the process that can be replaced
READY = 0  # number of the first message


class DroppedError(FaultCellError):
    """Nobody waits for this work any more."""


class GoneError(Exception):
    """The process ended before it answered.

    Attributes:
        begun: whether it had begun with the work, which then may be what ended it.
    """

    def __init__(self, *, begun: bool) -> None:
        super().__init__()
        self.begun = begun


class FailedError(FaultCellError):
    """The work came to an error that is not the asker's."""


class _Copied(ForkingPickler):
    """Without what torch adds to it: that hands over each tensor as an open file, moves the parent's weights for it, and leaves
    the files of a process that was killed too early open for ever. Models have a megabyte.
    """

    _extra_reducers: ClassVar[dict[type, Any]] = {}


class Worker:
    """A process of its own that does one piece of work after the other.

    Args:
        served: what each piece of work gets first.
        warm: what to do with it once, before all work.
        threads: of torch.
    """

    def __init__(self, served: object, *, warm: Callable[[Any], object] | None, threads: int) -> None:
        context = get_context("spawn")  # not fork: torch and Polars hold threads
        self._pipe, theirs = context.Pipe()
        self._unwanted = context.RawValue("q", READY)
        self._number, self._ready = READY, False
        self._process = context.Process(target=_live, args=(theirs, self._unwanted, threads), name="drawing", daemon=True)
        self._process.start()
        theirs.close()
        self._feeding = threading.Thread(target=self._feed, args=((served, warm),), name="feeding", daemon=True)
        self._feeding.start()

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return bool(wait([self._process.sentinel], timeout=0))

    @property
    def ready(self) -> bool:
        """Whether it came as far as to wait for work; asked by whoever calls `do`."""
        with contextlib.suppress(EOFError, OSError):
            while not self._ready and self._pipe.poll():
                self._ready = self._pipe.recv()[0] == READY
        return self._ready

    def begin(self) -> None:
        """Count the work that comes next; from here on `drop` means it."""
        self._number += 1

    def do(self, work: Work, *arguments: object) -> Any:
        """Have some work done.

        Raises:
            GoneError: it ended before it answered.
            FaultCellError: what the work raised.
            FailedError: the work raised anything else.
        """
        begun, well = False, None
        found: Any = None
        try:
            self._feeding.join()
            self._pipe.send((self._number, work, arguments))
            while well is None:
                number, well, found = self._pipe.recv()
                self._ready, begun = True, number == self._number
        except (EOFError, OSError) as error:
            raise GoneError(begun=begun) from error
        if not well:
            raise found
        return found

    def drop(self) -> None:
        """Say that nobody waits for what it is at; it ends that after the next chunk."""
        self._unwanted.value = self._number

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def bury(self) -> None:
        """End it, if it has not ended yet, and take leave of it."""
        self._process.kill()
        self._process.join()
        self._feeding.join()  # nobody reads any more, so it ends at once
        self._pipe.close()

    def call_when_gone(self, call: Callable[[], object]) -> None:
        """Call once it has ended, in a thread of its own."""
        process = self._process  # kept until then: its sentinel is closed with it

        def watch() -> None:
            wait([process.sentinel])
            call()

        threading.Thread(target=watch, name="watching", daemon=True).start()

    def _feed(self, served: object) -> None:
        """Hand over what is served; in a thread of its own, since a process that hangs takes nothing."""
        try:
            self._pipe.send_bytes(_Copied.dumps(served))
        except Exception as error:
            if not isinstance(error, OSError):  # which says that it has ended already
                traceback.print_exc()
            self._process.kill()  # without all of it, it would take what comes next for what is served


def _live(pipe: Connection, unwanted: Any, threads: int) -> None:
    """What the process does from its beginning to its end."""
    attend()
    with contextlib.suppress(EOFError, OSError):  # the parent has gone
        served = _prepare(pipe.recv(), threads)
        pipe.send((READY, None, None))
        while True:
            number, work, arguments = pipe.recv()
            pipe.send((number, None, None))  # begun
            _send(pipe, number, *_result(work, (served, *arguments), tick=_tick(number, unwanted)))


def _prepare(given: Any, threads: int) -> Any:
    import gc
    import warnings

    import torch

    from faultcell.errors import OutOfRangeWarning

    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(KILLED_FIRST)
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore", OutOfRangeWarning)  # the page and the API say it in words of their own
    served, warm = given
    if warm is not None:
        warm(served)
    gc.collect()
    gc.freeze()  # what stands now stays: looking at all of it again would hold up a draw for a quarter of a second
    _limit_memory()
    return served


def _tick(number: int, unwanted: Any) -> Tick:
    def tick(_done: int, _total: int) -> None:
        if unwanted.value == number:
            raise DroppedError("nobody waits for this draw any more")

    return tick


def _result(work: Work, arguments: tuple[Any, ...], *, tick: Tick) -> tuple[bool, Any]:
    """Whether it went well, and what came of it."""
    try:
        return True, work(*arguments, tick=tick)
    except FaultCellError as error:
        return False, error
    except Exception as error:
        traceback.print_exc()
        return False, _failed(error)


def _failed(error: Exception) -> FailedError:
    return FailedError(f"the draw failed ({type(error).__name__}): please report what was asked for")


def _send(pipe: Connection, number: int, well: bool, found: Any) -> None:
    try:
        pipe.send((number, well, found))
    except OSError:
        raise
    except Exception as error:  # it is of a kind that cannot be sent
        pipe.send((number, False, _failed(error)))


def _limit_memory() -> None:
    """No more data than it has now and `ROOM`; where the system cannot tell or limit, no limit."""
    try:
        import resource

        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except (ImportError, OSError):
        return
    has = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = has + ROOM
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
