"""Outputs are written whole or not at all: a temporary neighbour first, then one step that puts it in place."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from faultcell.errors import DataError
from faultcell.files.durable.swap import neighbour, put

LOGGER = logging.getLogger(__name__)
# What the disk, not the program, is to blame for: whatever the block was doing, and where we open, flush or rename.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENAMETOOLONG}
_REFUSED = {*_FULL, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY}


@contextmanager
def whole_folder(path: str | Path, *, replaces: Collection[str] = ()) -> Iterator[Path]:
    """A temporary folder that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path: the folder to write; parents are made as needed.
        replaces: names an earlier result may consist of. A folder of nothing else is replaced,
            any other refused.

    Yields:
        The temporary folder, beside `path`, to write into.

    Raises:
        DataError: `path` is a file or holds something else, or the disk refuses (full, read-only); what stood there stands
            there still.
    """
    target = Path(os.path.abspath(path))
    refuse_other(target, replaces)
    with ExitStack() as stack:
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(neighbour(target, folder=True))
        with disk_errors(target, among=_FULL):
            yield temporary
        with disk_errors(target):
            for entry in sorted(temporary.rglob("*")):
                _sync(entry)
            _sync(temporary)
            refuse_other(target, replaces)
            _settle(temporary, target)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 file whole or not at all; a file already there is replaced.

    Raises:
        DataError: `path` is a folder, or the disk refuses.
    """
    target = Path(os.path.abspath(path))
    if target.is_dir():
        raise DataError(f"{path}: found a folder, expected a file: choose another name")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with neighbour(target, folder=False) as temporary:
            temporary.write_text(text, encoding="utf-8")
            into_place(temporary, target)
    return Path(path)


def into_place(made: Path, target: Path) -> None:
    """Put a file that is written in its place on the same disk, in one step and for good; raises OSError."""
    _sync(made)
    _settle(made, target)


def tell_replaced(path: str | Path) -> None:
    """Log that an earlier result of the same kind will be replaced, where there is one: who did not mean it can still stop."""
    if Path(path).is_dir() and any(Path(path).iterdir()):
        LOGGER.info("%s: the earlier result there will be replaced", path)


def refuse_other(target: Path, replaces: Collection[str]) -> None:
    """Raise DataError if `target` is a file, or a folder that holds anything but what may be replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target}: found a file, expected a folder to write into: choose another one")
    other = sorted(entry.name for entry in target.iterdir() if entry.name not in replaces)
    if other:
        raise DataError(
            f"{target}: found {other[0]} in it, expected a new or empty folder, or an earlier result of the same kind: "
            "choose another folder or empty this one"
        )


def _settle(temporary: Path, target: Path) -> None:
    """Put what is written in its place, for good or not at all."""
    was_there = target.exists()
    put(temporary, target)
    try:
        _sync(target.parent)
    except OSError as error:  # after a power cut the earlier one might be there: then it shall be there now, too
        try:
            put(temporary, target) if was_there else os.rename(target, temporary)
        except OSError:
            raise DataError(
                f"{target}: all of it is written, but the disk did not confirm it ({os.strerror(error.errno or 0)}): look at "
                "the disk before you rely on it"
            ) from error
        raise


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder to flush it
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(target: Path, *, among: Collection[int] = tuple(_REFUSED)) -> Iterator[None]:
    """Raise DataError where the disk refuses, with its own words."""
    try:
        yield
    except Exception as error:
        number = _number(error)
        if number not in among:
            raise
        raise DataError(
            f"{target}: could not be written ({os.strerror(number)}), what was there before is untouched: free the disk or "
            "choose another"
        ) from error


def _number(error: Exception) -> int:
    """The number of the system's error; polars and safetensors, written in Rust, have it in their text alone. 0 for none."""
    told = re.search(r"\(os error (\d+)\)", str(error))
    return (error.errno or 0) if isinstance(error, OSError) and error.errno else int(told[1]) if told else 0
