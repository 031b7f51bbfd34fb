"""A seal on a Parquet file: the SHA-256 of all its other bytes, written between its pages and its footer.

Page checksums do not cover the footer: one flipped bit there renames a column, `synthetic` among them, and nothing is raised.
Readers find pages by their offset and the footer by its length from the end, so that none is troubled by what lies between. A
file that any other program writes anew has no seal, and is none of ours.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from faultcell.errors import DataError

BEFORE, AFTER = b"FCSHA256", b"652AHSCF"  # the digest: of the two marks one is found still where the other was changed
SIZE = len(BEFORE) + hashlib.sha256().digest_size + len(AFTER)
_END = 8  # bytes after the footer: its length, and `PAR1`
_PIECE = 1 << 20
_SEARCHED = 1 << 23  # bytes before the end in which a seal is looked for; the footer of a million curves takes 2 MB


def seal(path: Path) -> str:
    """Put the seal into a file that has none yet; gives its SHA-256."""
    with path.open("r+b") as file:
        place, size = _footer(file), os.path.getsize(path)
        file.seek(place)
        footer = file.read()
        file.seek(place)
        file.write(BEFORE + bytes(hashlib.sha256().digest_size) + AFTER + footer)
        file.flush()
        digest = _digest(file, place, size + SIZE)
        file.seek(place + len(BEFORE))
        file.write(digest)
    return digest.hex()


def check_seal(path: Path) -> str | None:
    """The SHA-256 of a file that has a seal; None where it has none.

    Raises:
        DataError: it has one, and was changed after it was written.
    """
    with path.open("rb") as file:
        size = os.path.getsize(path)
        place = _find(file, size)
        if place is None:
            return None
        file.seek(place + len(BEFORE))
        digest = file.read(hashlib.sha256().digest_size)
        if digest != _digest(file, place, size):
            raise DataError(
                f"{path}: found a damaged table (its SHA-256 is another), expected it as it was written: copy the file again "
                "or make it anew"
            )
    return digest.hex()


def _footer(file: BinaryIO) -> int:
    """Where the footer begins."""
    file.seek(-_END, os.SEEK_END)
    size = int.from_bytes(file.read(4), "little")
    return file.seek(-_END - size, os.SEEK_END)


def _find(file: BinaryIO, size: int) -> int | None:
    """Where the seal begins."""
    start = file.seek(max(0, size - _SEARCHED))
    tail = file.read()
    for mark, ahead in ((BEFORE, 0), (AFTER, SIZE - len(AFTER))):
        place = tail.rfind(mark) - ahead
        if tail.rfind(mark) >= 0 <= place:
            return start + place
    return None


def _digest(file: BinaryIO, place: int, size: int) -> bytes:
    """SHA-256 of all but the 32 bytes in the seal."""
    found = hashlib.sha256()
    for start, stop in ((0, place + len(BEFORE)), (place + SIZE - len(AFTER), size)):
        file.seek(start)
        while start < stop:
            piece = file.read(min(_PIECE, stop - start))
            found.update(piece)
            start += len(piece) or stop
    return found.digest()
