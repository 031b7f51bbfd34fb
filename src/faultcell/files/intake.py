"""Any mix of native files and curve-set folders -> one checked curve set and what is suspect in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from faultcell import severity
from faultcell.curves import KEYS, Curves, Key
from faultcell.files.bdf import BDF
from faultcell.files.check import check
from faultcell.files.curve_set import TABLES, in_order, is_curve_set, read_checked, write, write_blocks
from faultcell.files.engine import Rated
from faultcell.files.nasa import NASA
from faultcell.files.sentence import refuse

READERS = (NASA, BDF)
Seen = dict[Key, str]  # curves, and the file each is in


def ingest(
    paths: Sequence[str | Path],
    *,
    lower: float | None = None,
    upper: float | None = None,
    nominal_capacity_ah: float | None = None,
) -> tuple[Curves, list[str]]:
    """Read files and folders, put them together, fill in the severity.

    Curves without a label are labelled `overdischarge` or `overcharge` where the voltage under load leaves the rated
    limits by more than 0.05 V, else `normal`; what was done is among the sentences handed back.

    Args:
        paths: native files and curve-set folders.
        lower: rated lower limit of cells whose file has none, V.
        upper: rated upper limit of cells whose file has none, V.
        nominal_capacity_ah: rated capacity of cells whose file has none, Ah.

    Returns:
        The curves, and one sentence for each suspicion.

    Raises:
        DataError: a file is not what it should be, or two hold the same curve.
    """
    rated = _rated(paths, lower=lower, upper=upper, nominal_capacity_ah=nominal_capacity_ah)
    done = [_one(Path(path), rated) for path in paths]
    seen: Seen = {}
    for path, (curves, _) in zip(paths, done, strict=True):
        _refuse_twice(path, curves, seen)
    together = Curves.concat(curves for curves, _ in done) if len(done) > 1 else done[0][0]
    return severity.complete(together), [note for _, notes in done for note in notes]


def ingest_into(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    config: Mapping[str, Any],
    lower: float | None = None,
    upper: float | None = None,
    nominal_capacity_ah: float | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> tuple[pl.DataFrame, list[str]]:
    """The same, written to a folder a file at a time: the samples of two at most are in memory, and the table of all curves.

    Curve-set folders may have columns of their own; where one is among the paths, all are put together first.

    Args:
        paths: as in `ingest`, as are the limits and the capacity.
        out: the folder.
        config: as in `curve_set.write`.
        lower: V.
        upper: V.
        nominal_capacity_ah: Ah.
        on_file: called with files done and files in all.

    Returns:
        The table of curves, and one sentence for each suspicion.
    """
    stated = {"lower": lower, "upper": upper, "nominal_capacity_ah": nominal_capacity_ah}
    if any(Path(path).is_dir() for path in paths):
        curves, notes = ingest(paths, **stated)
        write(curves, out, config=config)
        return curves.halfcycles, notes
    rated, notes, alone, table = _rated(paths, **stated), list[str](), list[pl.DataFrame](), list[pl.DataFrame]()

    def blocks() -> Iterator[Curves]:
        seen: Seen = {}
        for done, path in enumerate(paths, start=1):
            curves, found = _one(Path(path), rated)
            _refuse_twice(path, curves, seen)
            notes.extend(found)
            alone.append(severity.excursions(curves))
            yield curves
            if on_file is not None:
                on_file(done, len(paths))

    def at_last(halfcycles: pl.DataFrame) -> pl.DataFrame:
        table.append(severity.completed(halfcycles, severity.counted(halfcycles, pl.concat(alone))))
        return table[0]

    write_blocks(blocks(), out, config=config, at_last=at_last)
    return table[0], notes


def _rated(
    paths: Sequence[str | Path], *, lower: float | None, upper: float | None, nominal_capacity_ah: float | None
) -> Rated:
    """What the user says of the cells, where it can be."""
    if not paths:
        refuse("ingest", found="no path", expected="files or curve-set folders", action="name at least one")
    if lower is not None and upper is not None and not lower < upper:
        found = f"{lower:g} V and {upper:g} V"
        refuse("--lower, --upper", found=found, expected="a lower limit below the upper one", action="correct them")
    return Rated(lower, upper, nominal_capacity_ah)


def _one(path: Path, rated: Rated) -> tuple[Curves, list[str]]:
    if path.is_dir():
        return _folder(path, rated)
    reader = next((reader for reader in READERS if reader.recognises(path)), None)
    if reader is None:
        kind = "a file of unknown kind" if path.exists() else "nothing there"
        known = "; ".join(f"{each.name} ({', '.join(each.suffixes)})" for each in READERS)
        action = "export it as one of these" if path.exists() else "check the path"
        refuse(path, found=kind, expected=f"one of {known}; or a curve-set folder", action=action)
    curves, notes = reader.read(path, rated)
    found = check(curves, where=str(path))
    return in_order(curves), [*notes, *found]


def _folder(path: Path, rated: Rated) -> tuple[Curves, list[str]]:
    if not is_curve_set(path):
        found = f"neither {' nor '.join(TABLES)} in this folder"
        refuse(path, found=found, expected="a curve set", action="name a curve-set folder, or the files in it one by one")
    curves, notes = read_checked(path)
    if rated != Rated():
        notes.append(f"{path}: the limits and capacity given are not used, a curve set carries its own")
    return curves, notes


def _refuse_twice(path: str | Path, curves: Curves, seen: Seen) -> None:
    """Raise DataError where a file has a curve that one before it has, too; and remember its curves."""
    keys = curves.halfcycles.select(KEYS).rows()
    twice = next((key for key in keys if key in seen), None)
    if twice is not None:
        place, found = "cell {}, cycle {}, {}".format(*twice), f"the same curve as in {seen[twice]}"
        refuse(path, place, found=found, expected="each curve once", action="leave one out or rename the cell")
    seen.update(dict.fromkeys(keys, str(path)))
