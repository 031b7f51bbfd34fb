"""Any mix of native files and curve-set folders -> one checked curve set and what is suspect in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from faultcell import severity
from faultcell.curves import KEYS, Curves, Key
from faultcell.files.bdf import BDF
from faultcell.files.check import check_part
from faultcell.files.curve_set import TABLES, in_order, is_curve_set, read_checked, write, write_blocks
from faultcell.files.engine import Job, PiecewiseError, Rated
from faultcell.files.nasa import NASA
from faultcell.files.plausible import Suspicion, sentences
from faultcell.files.sentence import refuse

READERS = (NASA, BDF)


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
    intake = _Intake(rated, whole=True)
    done = [curves for path in paths for curves in intake.read(Path(path))]
    return severity.complete(Curves.concat(done) if len(done) > 1 else done[0]), intake.notes


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
    """The same, written to a folder piece by piece: some half a million samples are in memory, and the table of all curves.

    A file is held whole where a piece of it would not do: the limits or the capacity are neither given nor in its first
    rows, or a cycle goes on after others. Curve-set folders may have columns of their own; where one is among the
    paths, all are put together first.

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
    rated = _rated(paths, **stated)
    try:
        return _write_pieces(_Intake(rated, whole=False), paths, out, config=config, on_file=on_file)
    except PiecewiseError:
        return _write_pieces(_Intake(rated, whole=True), paths, out, config=config, on_file=on_file)


def _write_pieces(
    intake: _Intake,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    config: Mapping[str, Any],
    on_file: Callable[[int, int], None] | None,
) -> tuple[pl.DataFrame, list[str]]:
    alone, table = list[pl.DataFrame](), list[pl.DataFrame]()

    def blocks() -> Iterator[Curves]:
        for done, path in enumerate(paths, start=1):
            for curves in intake.read(Path(path)):
                alone.append(severity.excursions(curves))
                yield curves
            if on_file is not None:
                on_file(done, len(paths))

    def at_last(halfcycles: pl.DataFrame) -> pl.DataFrame:
        table.append(severity.completed(halfcycles, severity.counted(halfcycles, pl.concat(alone))))
        return table[0]

    write_blocks(blocks(), out, config=config, at_last=at_last)
    return table[0], intake.notes


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


class _Intake:
    """Reads files one after the other.

    Args:
        rated: what the user says of the cells.
        whole: whether each file comes in one piece.

    Attributes:
        notes: what was assumed, left out or is suspect so far.
    """

    def __init__(self, rated: Rated, *, whole: bool) -> None:
        self.notes: list[str] = []
        self._rated, self._whole = rated, whole
        self._seen: dict[Key, Path] = {}

    def read(self, path: Path) -> Iterator[Curves]:
        """The curves of a file or folder, checked, in one piece or in several."""
        for curves in self._folder(path) if path.is_dir() else self._file(path):
            self._refuse_twice(path, curves)
            yield curves

    def _file(self, path: Path) -> Iterator[Curves]:
        reader = next((reader for reader in READERS if reader.recognises(path)), None)
        if reader is None:
            kind = "a file of unknown kind" if path.exists() else "nothing there"
            known = "; ".join(f"{each.name} ({', '.join(each.suffixes)})" for each in READERS)
            action = "export it as one of these" if path.exists() else "check the path"
            refuse(path, found=kind, expected=f"one of {known}; or a curve-set folder", action=action)
        suspicions = list[Suspicion]()
        for curves in reader.read(Job(path, self._rated, self._whole, self.notes)):
            suspicions.extend(check_part(curves, where=str(path)))
            yield in_order(curves)
        self.notes.extend(f"{path}: {sentence}" for sentence in sentences(suspicions))

    def _folder(self, path: Path) -> Iterator[Curves]:
        if not is_curve_set(path):
            found = f"neither {' nor '.join(TABLES)} in this folder"
            refuse(path, found=found, expected="a curve set", action="name a curve-set folder, or the files in it one by one")
        curves, notes = read_checked(path)
        self.notes.extend(notes)
        if self._rated != Rated():
            self.notes.append(f"{path}: the limits and capacity given are not used, a curve set carries its own")
        yield curves

    def _refuse_twice(self, path: Path, curves: Curves) -> None:
        """Raise DataError where a file has a curve that one before it has, too; and remember its curves."""
        keys = curves.halfcycles.select(KEYS).rows()
        twice = next((key for key in keys if key in self._seen), None)
        if twice is not None:
            place, found = "cell {}, cycle {}, {}".format(*twice), f"the same curve as in {self._seen[twice]}"
            refuse(path, place, found=found, expected="each curve once", action="leave one out or rename the cell")
        self._seen.update(dict.fromkeys(keys, path))
