"""Any mix of native files and curve-set folders -> one checked curve set, and a report of what was found in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

import polars as pl

from faultcell.curves import severity
from faultcell.curves.curves import Curves
from faultcell.curves.schema import KEYS, Key
from faultcell.files.curve_set import TABLES, in_order, is_curve_set, read_checked, write_blocks
from faultcell.files.cyclers.detect import detect
from faultcell.files.cyclers.mapping import read_mapping, read_rated
from faultcell.files.cyclers.reader import PiecewiseError, Rated, Reader, ReadJob, TableFile
from faultcell.files.messages import refuse
from faultcell.files.sanity import Suspicion, sentences
from faultcell.files.validate import check_part
from faultcell.runtime.workers import Workers, ahead, spread

LOGGER = logging.getLogger(__name__)
# What lies beside recordings and is none.
NO_RECORDINGS = frozenset({".md", ".pdf", ".html", ".toml", ".json", ".yaml", ".yml", ".png", ".jpg", ".py", ".m"})


# Files from so much on are read here, in pieces: others hand all they hold over at once.
LARGE_BYTE = 200 * 2**20
# For so many bytes of text a process pays, which takes some seconds to begin.
WORTH_BYTE = 50 * 2**20


class UserMapping(TypedDict, total=False):
    """What users may say of their files.

    Attributes:
        lower: rated lower limit of cells whose file has none, V.
        upper: rated upper limit of cells whose file has none, V.
        nominal_capacity_ah: rated capacity of cells whose file has none, Ah.
        cell_file: TOML file with the same, also for some cells by name; see `cyclers.mapping`.
        mapping: TOML file that says which column is which; see `cyclers.mapping`.
    """

    lower: float | None
    upper: float | None
    nominal_capacity_ah: float | None
    cell_file: str | Path | None
    mapping: str | Path | None


@dataclass(frozen=True)
class FileReport:
    """What was found in a file.

    Attributes:
        path: of the file or folder.
        format: as which it was read.
        rows: in the file.
        samples: of them in a curve.
        curves: charges and discharges.
        cells: their names.
        cycles: first and last number.
        volts: lowest and highest reading in a curve, V.
        amperes: the same, A, + = charge.
    """

    path: str
    format: str
    rows: int
    samples: int
    curves: int
    cells: tuple[str, ...]
    cycles: tuple[int, int]
    volts: tuple[float, float]
    amperes: tuple[float, float]


@dataclass(frozen=True)
class Intake:
    """What was ingested.

    Attributes:
        halfcycles: the table of curves.
        files: what was found in each.
        notes: what was assumed, left out or is suspect, one sentence each.
    """

    halfcycles: pl.DataFrame
    files: list[FileReport]
    notes: list[str]


def ingest(paths: Sequence[str | Path], **user_mapping: Unpack[UserMapping]) -> tuple[Curves, list[str]]:
    """Read files and folders, put them together, fill in the severity.

    Curves without a label are labelled `overdischarge` or `overcharge` where the voltage under load leaves the rated
    limits by more than 0.05 V, else `normal`; what was done is among the sentences handed back.

    Args:
        paths: native files, curve-set folders, and folders of native files.
        **user_mapping: see `UserMapping`.

    Returns:
        The curves, and one sentence for each suspicion.

    Raises:
        DataError: a file is not what it should be, or two hold the same curve.
    """
    intake = _Reading(paths, user_mapping, whole=True)
    done = [curves for path in intake.paths for curves in intake.read(path)]
    return severity.complete(Curves.concat(done) if len(done) > 1 else done[0]), intake.notes


def ingest_into(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    config: Mapping[str, Any],
    workers: Workers = 1,
    on_file: Callable[[int, int], None] | None = None,
    **user_mapping: Unpack[UserMapping],
) -> Intake:
    """The same, written to a folder piece by piece: some half a million samples are in memory, and the table of all curves.

    A file is held whole where a piece of it would not do: the limits or the capacity are neither given nor in its first
    rows, or a cycle goes on after others. Curve-set folders may have columns of their own; where one is among the
    paths, all are put together first.

    Args:
        paths: as in `ingest`.
        out: the folder.
        config: as in `curve_set.write`; the report is added.
        workers: processes, or a cluster, that read files other than the largest, which are read here; no more than pay.
        on_file: called with files done and files in all.
        **user_mapping: see `UserMapping`.
    """
    try:
        return _write(_Reading(paths, user_mapping, whole=False), out, config=config, workers=workers, on_file=on_file)
    except PiecewiseError:
        return _write(_Reading(paths, user_mapping, whole=True), out, config=config, workers=workers, on_file=on_file)


class _Reading:
    """Reads files one after the other.

    Args:
        paths: all of them.
        user_mapping: what the user says of them.
        whole: whether each file comes in one piece.

    Attributes:
        paths: all of them.
        notes: what was assumed, left out or is suspect so far.
        files: what was found in each.
    """

    def __init__(self, paths: Sequence[str | Path], user_mapping: UserMapping, *, whole: bool) -> None:
        if not paths:
            refuse("ingest", found="no path", expected="files or curve-set folders", action="name at least one")
        self.notes: list[str] = []
        self.files: list[FileReport] = []
        self._rated, self._whole = _rated(user_mapping), whole
        self.paths = [one for path in paths for one in self._files_of(Path(path))]
        mapping = user_mapping.get("mapping")
        self._mapping = read_mapping(Path(mapping)) if mapping is not None else None
        self._seen: dict[Key, Path] = {}
        self._folder_here = Path.cwd()

    @property
    def together(self) -> bool:
        """Whether all must be put together before anything is written: the columns of a curve set are its own."""
        return any(path.is_dir() for path in self.paths)

    def _files_of(self, path: Path) -> list[Path]:
        """A path, or the recordings of a folder that is no curve set, by name."""
        if not path.is_dir() or is_curve_set(path):
            return [path]
        within = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        left = [one.name for one in within if one.suffix.lower() in NO_RECORDINGS or one.name.lower().startswith("readme")]
        if len(left) == len(within):
            found = f"neither {' nor '.join(TABLES)} nor recordings in this folder"
            refuse(path, found=found, expected="a curve set, or files of cyclers", action="name a folder that has them")
        folders = sorted(f"{one.name}/" for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
        if folders:
            self.notes.append(f"{path}: not looked into are {', '.join(folders)}: name them, too, where they hold recordings")
        if left:
            self.notes.append(f"{path}: left out are {', '.join(left)}, which are no recordings")
        return [one for one in within if one.name not in left]

    def read_all(self, workers: Workers) -> Iterator[tuple[Path, Iterator[Curves]]]:
        """Each path, in order, and its curves; what others read is here when it is asked for."""
        sizes = [path.stat().st_size if path.is_file() else LARGE_BYTE for path in self.paths]
        small = [path for path, size in zip(self.paths, sizes, strict=True) if size < LARGE_BYTE]
        if isinstance(workers, int):
            workers = max(min(workers, sum(size for size in sizes if size < LARGE_BYTE) // WORTH_BYTE), 1)
        if workers == 1:
            yield from ((path, self.read(path)) for path in self.paths)
            return
        elsewhere = spread(partial(_read_apart, self._apart()), small, workers=workers)
        for path, size in zip(self.paths, sizes, strict=True):
            yield path, self._taken(path, next(elsewhere)) if size < LARGE_BYTE else self.read(path)

    def _apart(self) -> _Reading:
        """One that has read nothing yet, for another process."""
        own = copy(self)
        own.paths, own.notes, own.files, own._seen = [], [], [], {}
        return own

    def _taken(self, path: Path, found: tuple[list[Curves], _Reading]) -> Iterator[Curves]:
        """The curves of a file that another process has read."""
        pieces, other = found
        while pieces:
            self._refuse_twice(path, pieces[0])
            yield pieces.pop(0)
        self.notes.extend(other.notes)
        self.files.extend(other.files)

    def read(self, path: Path) -> Iterator[Curves]:
        """The curves of a file or folder, checked, in one piece or in several."""
        for curves in self._folder(path) if path.is_dir() else self._file(path):
            self._refuse_twice(path, curves)
            yield curves

    def _file(self, path: Path) -> Iterator[Curves]:
        reader, table = self._reader(path)
        LOGGER.debug("%s is read as %s", path, reader.name)
        job = ReadJob(path, self._rated, self._whole, reader.sign)
        suspicions, found = list[Suspicion](), _none_yet(path, reader.name)
        coming = reader.read(table, job)
        for curves in coming if self._whole else ahead(coming):
            suspicions.extend(check_part(curves, where=str(path)))
            found = _more(found, curves)
            yield in_order(curves)
        self.files.append(replace(found, rows=job.rows))
        self.notes.extend([*job.notes, *(f"{path}: {sentence}" for sentence in sentences(suspicions))])

    def _reader(self, path: Path) -> tuple[Reader, TableFile | None]:
        if self._mapping is None or not path.is_file():
            return detect(path)
        return self._mapping, None

    def _folder(self, path: Path) -> Iterator[Curves]:
        curves, notes = read_checked(path)
        self.notes.extend(notes)
        if self._rated != Rated():
            self.notes.append(f"{path}: the limits and capacity given are not used, a curve set carries its own")
        self.files.append(replace(_more(_none_yet(path, "curve set"), curves), rows=curves.timeseries.height))
        yield curves

    def _refuse_twice(self, path: Path, curves: Curves) -> None:
        """Raise DataError where a file has a curve that one before it has, too; and remember its curves."""
        keys = curves.halfcycles.select(KEYS).rows()
        twice = next((key for key in keys if key in self._seen), None)
        if twice is not None:
            place, found = "cell {}, cycle {}, {}".format(*twice), f"the same curve as in {self._seen[twice]}"
            refuse(path, place, found=found, expected="each curve once", action="leave one out or rename the cell")
        self._seen.update(dict.fromkeys(keys, path))


def _read_apart(reading: _Reading, path: Path) -> tuple[list[Curves], _Reading]:
    """The curves of a file, and what is to be said of it."""
    own = reading._apart()
    with chdir(reading._folder_here):  # a worker of a cluster was begun in another
        pieces = list(own.read(path))
    own._seen.clear()
    return pieces, own


def _write(
    reading: _Reading,
    out: str | Path,
    *,
    config: Mapping[str, Any],
    workers: Workers,
    on_file: Callable[[int, int], None] | None,
) -> Intake:
    alone, tables, resolved = list[pl.DataFrame](), list[pl.DataFrame](), dict(config)

    def blocks() -> Iterator[Curves]:
        for done, (_, pieces) in enumerate(reading.read_all(workers), start=1):
            for curves in pieces:
                alone.append(severity.excursions(curves))
                yield curves
            if on_file is not None:
                on_file(done, len(reading.paths))

    def at_last(halfcycles: pl.DataFrame) -> pl.DataFrame:
        tables.append(severity.completed(halfcycles, severity.counted(halfcycles, pl.concat(alone))))
        # All files are read, and the configuration is written after the tables.
        resolved["intake"] = {"files": [asdict(file) for file in reading.files], "notes": reading.notes}
        return tables[0]

    coming = iter([Curves.concat(blocks())]) if reading.together else blocks()
    write_blocks(coming, out, config=resolved, at_last=at_last)
    return Intake(tables[0], reading.files, reading.notes)


def _rated(user_mapping: UserMapping) -> Rated:
    """What the user says of the cells, where it can be; single values go before those of the file."""
    file = user_mapping.get("cell_file")
    rated = read_rated(Path(file)) if file is not None else Rated()
    given = Rated(user_mapping.get("lower"), user_mapping.get("upper"), user_mapping.get("nominal_capacity_ah"))
    rated = replace(replace(rated, cells={"given": given}).of("given"), cells=rated.cells)
    for one in (rated, *(rated.of(name) for name in rated.cells)):
        if one.lower is not None and one.upper is not None and not one.lower < one.upper:
            found = f"{one.lower:g} V and {one.upper:g} V"
            refuse("--lower, --upper", found=found, expected="a lower limit below the upper one", action="correct them")
    return rated


def _none_yet(path: Path, kind: str) -> FileReport:
    inf = float("inf")
    return FileReport(str(path), kind, 0, 0, 0, (), (0, 0), (inf, -inf), (inf, -inf))


def _more(found: FileReport, curves: Curves) -> FileReport:
    """The report with more curves in it."""
    cycles = curves.halfcycles["cycle_count"].to_list()
    before = found.cycles if found.curves else (min(cycles), max(cycles))
    return replace(
        found,
        samples=found.samples + curves.timeseries.height,
        curves=found.curves + len(curves),
        cells=tuple(dict.fromkeys((*found.cells, *curves.cells))),
        cycles=(min(before[0], *cycles), max(before[1], *cycles)),
        volts=_wider(found.volts, curves.timeseries["voltage_volt"]),
        amperes=_wider(found.amperes, curves.timeseries["current_ampere"]),
    )


def _wider(found: tuple[float, float], values: pl.Series) -> tuple[float, float]:
    least, most = values.min(), values.max()
    assert isinstance(least, float)
    assert isinstance(most, float)
    return min(found[0], least), max(found[1], most)
