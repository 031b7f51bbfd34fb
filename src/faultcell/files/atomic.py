"""Outputs are written whole or not at all: a temporary neighbour first, then one rename."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from faultcell.errors import DataError

# What the disk, not the program, is to blame for: whatever the block was doing, and where we open, flush or rename.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_REFUSED = {*_FULL, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


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
        DataError: `path` is a file or holds something else, or the disk refuses (full, read-only).
    """
    target = Path(os.path.abspath(path))
    refuse_other(target, replaces)
    with _disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
        temporary.mkdir()
    try:
        with _disk_errors(target, among=_FULL):
            yield temporary
        with _disk_errors(target):
            _sync(temporary)
            refuse_other(target, replaces)
            _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 file whole or not at all; a file already there is replaced.

    Raises:
        DataError: `path` is a folder, or the disk refuses.
    """
    target = Path(os.path.abspath(path))
    if target.is_dir():
        raise DataError(f"{path}: found a folder, expected a file: choose another name")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with _disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            _sync_one(temporary)
            os.replace(temporary, target)
            _sync_one(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return Path(path)


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


def _swap(temporary: Path, target: Path) -> None:
    """Put `temporary` in the place of `target`; what was there stays until the new one stands."""
    if not target.exists():
        os.rename(temporary, target)
        _sync_one(target.parent)
        return
    earlier = temporary.with_suffix(".earlier")
    os.rename(target, earlier)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(earlier, target)
        raise
    _sync_one(target.parent)
    shutil.rmtree(earlier, ignore_errors=True)


def _sync(folder: Path) -> None:
    for entry in sorted(folder.rglob("*")):
        _sync_one(entry)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder to flush it
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk_errors(target: Path, *, among: Collection[int] = tuple(_REFUSED)) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in among:
            raise
        reason = os.strerror(error.errno or 0)
        raise DataError(
            f"{target}: could not be written ({reason}), nothing was left behind: free the disk or choose another"
        ) from error
