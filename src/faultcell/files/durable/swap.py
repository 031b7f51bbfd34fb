"""Temporary neighbours of an output, how one takes its place at once, and how a folder is read that may be replaced meanwhile.

A process that is killed leaves its neighbour behind. It held a lock on it that ended with it, so that the next one that
writes the same output knows it as litter and clears it away, but never the neighbour of a process still at work.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from faultcell.errors import FaultCellError

Result = TypeVar("Result")
DRAFT, EARLIER = ".partial", ".earlier"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # <fcntl.h>, <linux/fs.h>
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
TRIES = 5  # of reading a folder that is replaced meanwhile


@contextmanager
def neighbour(target: Path, *, folder: bool) -> Iterator[Path]:
    """A new temporary file or folder beside `target`, removed at last if it is still there; so are leftovers of others."""
    tidy(target)
    path, held = _begun(target, folder=folder)
    try:
        yield path
    finally:
        _remove(path)
        if held is not None:
            os.close(held)


def _begun(target: Path, *, folder: bool) -> tuple[Path, int | None]:
    """A new neighbour and its lock; another one where somebody tidied it away before it was locked."""
    while True:
        path = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}{DRAFT}")
        path.mkdir() if folder else path.touch(exist_ok=False)
        held = _lock(path, wait=True)
        if path.exists():
            return path, held
        if held is not None:
            os.close(held)


def tidy(target: Path) -> None:
    """Clear away what killed processes left beside `target`, and put an earlier result back that one of them had moved away."""
    for entry in sorted(target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.*")):
        held = _lock(entry)
        if held is None:
            continue  # of a process at work, or on a disk that knows no locks
        try:
            if entry.suffix == EARLIER and not target.exists():
                os.rename(entry, target)
            elif entry.suffix in (DRAFT, EARLIER):
                _remove(entry)
        finally:
            os.close(held)


def read_at_once(folder: Path, read: Callable[[], Result], *, error: type[FaultCellError]) -> Result:
    """What `read` makes of the files of a folder; read again where another folder took its place meanwhile.

    The files of a folder are opened one after the other, by their names. Without this, those of two models, each of them sound,
    could make a third.

    Raises:
        FaultCellError: what `read` raises of a folder that nobody replaces; `error` where it is replaced each time.
    """
    for _ in range(TRIES):
        with _standing(folder) as is_still:
            try:
                found = read()
            except FaultCellError:
                if is_still():
                    raise
            else:
                if is_still():
                    return found
    raise error(f"{folder} was replaced each time it was read ({TRIES} times): try again when nothing writes there")


@contextmanager
def _standing(folder: Path) -> Iterator[Callable[[], bool]]:
    """Gives a function that tells whether the folder is still the one that stood there at first."""
    with ExitStack() as stack:
        held: Path | int = folder
        with suppress(OSError, ValueError):  # it is not there, or not to be opened
            # As long as it is open, no other folder has its number. A pipe would wait for somebody to write to it.
            held = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
            stack.callback(os.close, held)
        was = _identity(held)
        yield lambda: _identity(folder) == was


def _identity(folder: Path | int) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def put(temporary: Path, target: Path) -> None:
    """Put `temporary` in the place of `target`; what stood there stands in the place of `temporary` then, if it can.

    On Linux the two change places in one step. Elsewhere a file replaces another in one step, but with folders there is a
    moment between two; who is killed in it leaves the earlier result under the name of a neighbour, and `tidy` puts it back.
    """
    if not target.exists():
        os.rename(temporary, target)
    elif not _exchange(temporary, target):
        _in_two_steps(temporary, target) if temporary.is_dir() else os.replace(temporary, target)


def _in_two_steps(temporary: Path, target: Path) -> None:
    earlier = temporary.with_suffix(EARLIER)
    os.rename(target, earlier)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(earlier, target)
        raise
    os.rename(earlier, temporary)


def _exchange(one: Path, other: Path) -> bool:
    """Whether two names could be exchanged (renameat2, Linux 3.15 and most of its file systems)."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _lock(path: Path, *, wait: bool = False) -> int | None:
    """A handle that locks a file or folder until it is closed; None if another process has it, or there are no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
