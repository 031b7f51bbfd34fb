"""Zip archives (workbooks, Neware's `.ndax`) looked through before a library unpacks them: is it all there, and not a bomb?"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

from faultcell.files.messages import refuse

# The end of an archive says how long its list of entries is; workbooks have a hundred bytes each for some dozens.
END, END_64_PLACE, MOST_LIST_BYTE = b"PK\5\6", b"PK\6\7", 2**20
# So much may any archive unpack to; larger ones to so many times their size. Workbooks of numbers take a tenth to a fiftieth of
# their text; Apache POI draws the line at a hundredth, too.
FREE_BYTE, MOST_RATIO = 48 * 2**20, 100
CHUNK_BYTE = 2**20
# What stands before the bytes of an entry, and where in it the lengths of its name and of further fields do.
_HEAD, _LENGTHS = 30, 26


def entries(path: Path) -> list[str]:
    """The names in an archive; none where it is no archive, or its list is absurdly long."""
    try:
        if _list_byte(path) > MOST_LIST_BYTE:
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []


def unpacked_byte(path: Path) -> int:
    """How many bytes an archive really unpacks to, whatever it says.

    Raises:
        DataError: it is damaged, or unpacks to far more than such a file does.
    """
    most = max(FREE_BYTE, MOST_RATIO * path.stat().st_size)
    total = 0
    try:
        if _list_byte(path) > MOST_LIST_BYTE:
            raise ValueError("its list of entries is longer than that of any workbook")
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            for info in archive.infolist():
                total += _unpacked(file, info, most - total)
                if total > most:
                    _refuse_bomb(path, most)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError) as error:
        refuse(path, found=f"a damaged archive ({error})", expected="a whole one", action="copy it again or export it anew")
    return total


def _unpacked(file: IO[bytes], info: zipfile.ZipInfo, most: int) -> int:
    """Bytes of an entry, counted no further than a little beyond `most`."""
    if info.compress_type == zipfile.ZIP_STORED:
        return info.compress_size
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise ValueError(f"{info.filename[:60]} is packed in an unusual way")
    file.seek(info.header_offset + _LENGTHS)
    lengths = file.read(4)
    file.seek(info.header_offset + _HEAD + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"))
    stream, left, total = zlib.decompressobj(-zlib.MAX_WBITS), info.compress_size, 0
    while left > 0 and total <= most and not stream.eof:
        packed = file.read(min(left, CHUNK_BYTE))
        if not packed:
            raise ValueError("it breaks off")
        left -= len(packed)
        while packed and total <= most:
            total += len(stream.decompress(packed, CHUNK_BYTE))
            packed = stream.unconsumed_tail
    return total


def _list_byte(path: Path) -> int:
    """Bytes of the list of entries, as the end of the archive says."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2**16 - 22))
        end = file.read()
        place = end.rfind(END)
        if place < 0:
            return 0
        if end[max(0, place - 20) : place].startswith(END_64_PLACE):
            file.seek(int.from_bytes(end[place - 12 : place - 4], "little") + 40)
            return int.from_bytes(file.read(8), "little")
        return int.from_bytes(end[place + 12 : place + 16], "little")


def _refuse_bomb(path: Path, most: int) -> None:
    refuse(
        path,
        found=f"an archive that unpacks to more than {most / 1e6:.0f} MB, {MOST_RATIO} times its size",
        expected="a workbook or .ndax as cyclers write it",
        action="save it anew, or export the test as CSV",
    )
