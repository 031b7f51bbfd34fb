"""A curve set of many parts, each written by whichever process makes it: for more curves than one process draws or holds.

    set/timeseries/000000.parquet ...   samples, a file a part
    set/halfcycles/000000.parquet ...   curves
    set/config.json                     what it is made from: who goes on with it must mean the same
    set/parts.json                      which parts there are, with the SHA-256 of each: without it the set is not whole
    set/augment.png                     of some curves

A part is the same whoever makes it and however often. So a run that was stopped, or that lost a machine, goes on with the parts
that are missing, and several that were given the same command with a `share` each make one set.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import pyarrow.parquet as pq

from faultcell.curves.curves import Curves
from faultcell.curves.severity import complete
from faultcell.errors import DataError
from faultcell.files.curve_set import CONFIG, PICTURE, TABLES, in_order, read_part, write_blocks
from faultcell.files.durable.part_list import LIST, RECORDS, Part, PartFile, PartList, listed_parts, path_of
from faultcell.files.durable.place import Place, place_of
from faultcell.files.durable.seal import check_seal
from faultcell.files.validate import check, conform
from faultcell.runtime.workers import Workers, spread

Item = TypeVar("Item")
Counts: TypeAlias = defaultdict[str, Counter[str]]
"""What whoever makes a part counts of it, by what is counted."""
Make: TypeAlias = Callable[[Item, Counts], Iterator[Curves]]
"""Makes the curves of a part, a block at a time."""


@dataclass(frozen=True)
class InParts(Generic[Item]):
    """What a set of parts is made from.

    Attributes:
        make: makes a part; a function of a module, or a partial of one, that gives the same for the same item.
        item: what the part of an index is made from; asked for in rising order.
        count: parts of the whole set.
    """

    make: Make[Item]
    item: Callable[[int], Item]
    count: int


def write_parts(
    parts: InParts[Item],
    out: str | Path,
    *,
    config: Mapping[str, Any],
    share: slice = slice(None),
    workers: Workers = 1,
    picture: Callable[[Curves], bytes] | None = None,
    on_part: Callable[[int, int], None] | None = None,
) -> PartList | None:
    """Write a set of parts, or what is missing of it.

    Args:
        parts: what it is made from.
        out: a folder that all workers see, or a URL of a store that they reach.
        config: all that the curves depend on.
        share: of the parts, which are made here; all where not given.
        workers: processes, or a cluster.
        picture: makes a PNG of the first curves.
        on_part: called with parts of the share done and parts in it.

    Returns:
        The list of all parts; None where some are another's to make.

    Raises:
        DataError: something else is there, a part cannot be written, or what a worker wrote is not to be seen from here.
    """
    place, mine = place_of(out), range(parts.count)[share]
    tell = on_part or (lambda _done, _all: None)
    if _is_whole(place, config):
        tell(len(mine), len(mine))
        return listed_parts(place)
    there = _records(place)
    todo = [index for index in mine if index not in there]
    tell(len(mine) - len(todo), len(mine))
    work, items = partial(_made, place, parts.make), ((index, parts.item(index)) for index in todo)
    for n, part in enumerate(spread(work, items, workers=workers), start=len(mine) - len(todo) + 1):
        _refuse_unseen(place, part)
        tell(n, len(mine))
    if len(_records(place)) == parts.count:
        _seal(place, parts.count, picture)
    return listed_parts(place) if place.text(LIST) is not None else None


def read_parts(where: str | Path) -> Iterator[Curves]:
    """The curves of a set of parts, a part at a time, each checked: for more than memory holds.

    Args:
        where: its folder, or its URL.

    Raises:
        DataError: the set is not whole, or a part is missing, damaged or not what a curve set is.
    """
    place = place_of(where)
    listed = listed_parts(place)
    if listed is None:
        raise DataError(f"{where}: found no {LIST}, expected a set of parts: read other sets with `read`")
    for part in listed.parts:
        if part.files:
            said = f"{where}, part {part.index}"
            curves = conform(*read_part(place, part), where=said)
            check(curves, where=said)
            yield complete(in_order(curves))


def _is_whole(place: Place, config: Mapping[str, Any]) -> bool:
    """Whether the set is there; where nothing is, it is begun with its configuration.

    Raises:
        DataError: something else is there.
    """
    said = json.dumps(dict(config), indent=2, sort_keys=True, default=str) + "\n"
    there = place.text(CONFIG)
    if there == said:
        return place.text(LIST) is not None
    others = place.names()
    if there is not None and set(others) & {LIST, RECORDS}:
        raise DataError(
            f"{place.name}: found parts that were made from {_other(there, said)}, which are not replaced: give the command "
            "that made them, or choose another folder"
        )
    if others:
        raise DataError(f"{place.name}: found {others[0]} in it, expected nothing or parts of this set: choose another folder")
    place.write(CONFIG, said)
    return False


def _other(there: str, said: str) -> str:
    """In what two configurations differ."""
    try:
        one, other = json.loads(there), json.loads(said)
        names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    except (ValueError, AttributeError):
        names = []
    return f"another {' and '.join(names[:3])}" if names else "something else"


def _records(place: Place) -> set[int]:
    """Which parts are written."""
    return {int(name) for text in place.names(RECORDS) if (name := Path(text).stem).isdecimal()}


def _record(place: Place, index: int) -> Part:
    name = _record_name(index)
    try:
        return Part.model_validate_json(place.text(name) or "")
    except ValueError as error:
        raise DataError(f"{place.name}/{name}: found a damaged record: remove it, and begin again") from error


def _record_name(index: int) -> str:
    return f"{RECORDS}/{index:06d}.json"


def _made(place: Place, make: Make[Item], numbered: tuple[int, Item]) -> Part:
    """One part, made and written, by any process."""
    index, item = numbered
    told: Counts = defaultdict(Counter)
    counts = Counter[str]()

    def blocks() -> Iterator[Curves]:
        for curves in make(item, told):
            if len(curves):
                counts.update(curves=len(curves), samples=curves.timeseries.height)
                yield curves

    coming, files = blocks(), dict[str, PartFile]()
    first = next(coming, None)
    if first is not None:
        with place.making(f"{RECORDS}/{index:06d}") as folder:
            write_blocks(_chained([first], coming), folder / "part", several=True)
            for name in TABLES:
                path, table = folder / "part" / name, Path(name).stem
                files[table] = PartFile(bytes=path.stat().st_size, sha256=check_seal(path) or "", columns=_columns(path))
                place.put(path, path_of(table, index))
    said = {name: dict(counter) for name, counter in told.items() if counter}
    part = Part(index=index, curves=counts["curves"], samples=counts["samples"], files=files, told=said)
    place.write(_record_name(index), part.model_dump_json() + "\n")  # last: from then on the part is there
    return part


def _chained(begun: list[Curves], coming: Iterator[Curves]) -> Iterator[Curves]:
    """What was taken from an iterator, and the rest of it; nothing is held for longer than it is asked for."""
    while begun:
        yield begun.pop(0)
    yield from coming


def _columns(path: Path) -> str:
    """A digest of the columns of a file."""
    schema = pq.read_schema(path)
    return hashlib.sha256(repr([(field.name, str(field.type)) for field in schema]).encode()).hexdigest()[:16]


def _refuse_unseen(place: Place, part: Part) -> None:
    """Raise DataError where what a worker wrote is not to be seen from here."""
    for table, file in part.files.items():
        if (size := place.size(part.path(table))) != file.bytes:
            raise DataError(
                f"{place.name}/{part.path(table)}: found {'no such file' if size is None else f'{size} bytes'}, a worker wrote "
                f"{file.bytes}: all machines of a cluster must see the same folder; or write to a store, such as s3://"
            )


def _seal(place: Place, count: int, picture: Callable[[Curves], bytes] | None) -> None:
    """Make the set whole, unless another one that made parts of it has done so meanwhile."""
    try:
        parts = [_record(place, index) for index in range(count)]
    except DataError:
        if place.text(LIST) is None:
            raise
        return
    for part in parts:
        _refuse_unseen(place, part)
    listed = PartList.of(parts)
    if picture is not None:
        with place.making(f"{RECORDS}/picture") as folder:
            first = next(part for part in parts if part.files)
            (folder / PICTURE).write_bytes(picture(Curves(*read_part(place, first))))
            place.put(folder / PICTURE, PICTURE)
    listed.write(place)
    place.remove(RECORDS)
