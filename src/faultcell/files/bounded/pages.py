"""How much the pages of a Parquet file unpack to: what each says itself, whatever the end of the file says of them.

Page headers are Thrift structures in its compact form: https://github.com/apache/parquet-format, `PageHeader`, of which the
second and third fields are the sizes of the page unpacked and packed.
"""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# A set of a billion rows has some 60 000 pages.
MOST_PAGES = 200_000
# Structures within structures; a page header has three.
MOST_DEPTH = 8
_UNPACKED, _PACKED = 2, 3
_STOP, _BYTE, _NUMBERS, _DOUBLE, _TEXT, _LISTS, _MAP, _STRUCT = 0, 3, (4, 5, 6), 7, 8, (9, 10), 11, 12


def unpacked_bytes(path: Path, meta: Any, places: Sequence[int]) -> tuple[int, int]:
    """Bytes of the largest page of each column, all columns together, and of all pages.

    Args:
        path: the file.
        meta: pyarrow's metadata of it.
        places: of the columns to look at.

    Raises:
        ValueError: it holds no such pages, or absurdly many.
        IndexError: it breaks off.
    """
    largest, total, count = dict.fromkeys(places, 0), 0, 0
    groups = [n for n in range(meta.num_row_groups) if meta.row_group(n).num_rows]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for group, place in itertools.product(groups, places):
            for unpacked in _pages(content, meta.row_group(group).column(place)):
                largest[place] = max(largest[place], unpacked)
                total, count = total + unpacked, count + 1
                if count > MOST_PAGES:
                    raise ValueError(f"more than {MOST_PAGES} pages")
    return sum(largest.values()), total


def _pages(content: mmap.mmap, column: Any) -> Iterator[int]:
    """What each page of a column unpacks to."""
    starts = (column.dictionary_page_offset, column.data_page_offset)
    at = min(start for start in starts if start is not None)
    stop = at + column.total_compressed_size
    while at < stop:
        sizes, at = _struct(content, at, 0)
        unpacked, packed = sizes.get(_UNPACKED, -1), sizes.get(_PACKED, -1)
        if unpacked < 0 or packed < 0:
            raise ValueError("no head of a page")
        yield unpacked
        at += packed


def _struct(content: mmap.mmap, at: int, depth: int) -> tuple[dict[int, int], int]:
    """The whole numbers among the fields of a structure by their number, and where it ends."""
    if depth > MOST_DEPTH:
        raise ValueError("structures without end")
    found, field = dict[int, int](), 0
    while (head := content[at]) != _STOP:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(content, at)
        kind = head & 0x0F
        if kind in _NUMBERS:
            found[field], at = _number(content, at)
        else:
            at = _behind(content, at, kind, depth)
    return found, at + 1


def _behind(content: mmap.mmap, at: int, kind: int, depth: int) -> int:
    """Where a value ends."""
    if kind == _STRUCT:
        return _struct(content, at, depth + 1)[1]
    if kind == _TEXT:
        length, at = _varint(content, at)
        return at + length
    if kind in _NUMBERS:
        return _varint(content, at)[1]
    if kind in _LISTS or kind == _MAP:
        raise ValueError("a list in the head of a page")
    return at + {_BYTE: 1, _DOUBLE: 8}.get(kind, 0)  # truth values stand in the kind itself


def _number(content: mmap.mmap, at: int) -> tuple[int, int]:
    value, at = _varint(content, at)
    return value >> 1 ^ -(value & 1), at


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while shift < 64:
        byte = content[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")
