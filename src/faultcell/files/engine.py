"""One engine for every vendor: a reader is a declaration of which columns it wants and how they are called.

A label may hold a star where the unit stands: `Voltage / *` matches `Voltage / mV`, and the unit gives the factor. The
first label that is in the file wins. A new vendor is a new `Reader` in a file of its own and a row in `ingest.READERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from faultcell.curves import Curves
from faultcell.files.sentence import refuse

UNITS = {
    "s": {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    "V": {"V": 1.0, "mV": 1e-3, "volt": 1.0},
    "A": {"A": 1.0, "mA": 1e-3, "uA": 1e-6, "µA": 1e-6, "ampere": 1.0},
    "Ah": {"Ah": 1.0, "A.h": 1.0, "A·h": 1.0, "mAh": 1e-3, "mA.h": 1e-3},
    "degC": {"degC": 1.0, "C": 1.0, "°C": 1.0, "℃": 1.0, "celsius": 1.0},
}


@dataclass(frozen=True)
class Column:
    """A column wanted: its machine name, the labels it goes by, and its unit (a key of `UNITS`, empty for none)."""

    name: str
    labels: tuple[str, ...]
    unit: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Rated:
    """What the user says of the cell; `None` is not said. Limits in V, capacity in Ah."""

    lower: float | None = None
    upper: float | None = None
    nominal_capacity_ah: float | None = None


class PiecewiseError(Exception):
    """A file that cannot be cut up piece by piece: what a piece says depends on others. Read it whole."""


@dataclass(frozen=True)
class Job:
    """What there is to read.

    Attributes:
        path: the file.
        rated: what the user says of the cell.
        whole: whether the file comes in one piece.
        notes: where to say what was assumed or left out.
    """

    path: Path
    rated: Rated
    whole: bool
    notes: list[str]


class Cut(Protocol):
    """Pieces of a table in machine names, in order -> curves, a piece at a time."""

    def __call__(self, tables: Iterable[pl.DataFrame], job: Job) -> Iterator[Curves]:
        """One cell or several, cut into half-cycles; raises PiecewiseError if that takes the whole file."""
        ...


@dataclass(frozen=True)
class Reader:
    """A file format, declared.

    Attributes:
        name: in words, for messages.
        suffixes: endings of the file name, lower case.
        columns: what to take.
        load: file -> table as the vendor wrote it.
        curves: how its samples become curves.
        sign: +1 where the vendor counts + = charge, -1 where + = discharge.
        pieces: file -> the same table in pieces of many rows, for formats whose files outgrow memory.
    """

    name: str
    suffixes: tuple[str, ...]
    columns: tuple[Column, ...]
    load: Callable[[Path], pl.DataFrame]
    curves: Cut
    sign: float = 1.0
    pieces: Callable[[Path], Iterator[pl.DataFrame]] | None = None

    def recognises(self, path: Path) -> bool:
        """Whether the file's name is one of this format."""
        return path.name.lower().endswith(self.suffixes)

    def read(self, job: Job) -> Iterator[Curves]:
        """Read a file, in one piece or in several; what is suspect is added to its notes.

        Raises:
            DataError: the file is missing, damaged, or lacks a column.
            PiecewiseError: it cannot be read in pieces.
        """
        if not job.path.is_file():
            refuse(job.path, found="no such file", expected=self.name, action="check the path")
        one = job.whole or self.pieces is None
        pieces = iter([self.load(job.path)]) if one or self.pieces is None else self.pieces(job.path)
        return self.curves(self._standard(pieces, job.path), job)

    def _standard(self, pieces: Iterable[pl.DataFrame], path: Path) -> Iterator[pl.DataFrame]:
        rows = 0
        for piece in pieces:
            yield standardise(piece, self, where=str(path), first_row=rows)
            rows += piece.height


def standardise(raw: pl.DataFrame, reader: Reader, *, where: str, first_row: int = 0) -> pl.DataFrame:
    """The wanted columns in machine names, units and sign (+ = charge), float64 where they have a unit; and `row`.

    Args:
        raw: as the vendor wrote it.
        reader: its format.
        where: the file, for messages.
        first_row: number of the first row in the file.

    Raises:
        DataError: a needed column or its unit is not known, or a value is not a number.
    """
    found = {column: _find(column, raw.columns, where=where) for column in reader.columns}
    missing = [column for column in reader.columns if column.needed and found[column] is None]
    if missing:
        refuse(
            where,
            f"column {', '.join(column.name for column in missing)}",
            found=f"only {', '.join(raw.columns)}",
            expected=f"{' and '.join(_spell(column) for column in missing)} ({reader.name})",
            action="rename the columns or export them too",
        )
    place = Place(where, first_row)
    taken = [_take(raw[hit[0]], column, factor=hit[1], place=place) for column, hit in found.items() if hit]
    rows = pl.int_range(first_row, first_row + raw.height, dtype=pl.Int64, eager=True)
    return pl.DataFrame([*taken, rows.alias("row")]).with_columns(pl.col("current_ampere") * reader.sign)


@dataclass
class CycleCounter:
    """Numbers the half-cycles of a cell in order: a charge after anything, or a second discharge, begins a new cycle."""

    cycle: int = 1
    _seen: frozenset[str] = frozenset()

    def number(self, step: str) -> int:
        """The cycle of the next half-cycle."""
        if step in self._seen or (step == "charge" and self._seen):
            self.cycle, self._seen = self.cycle + 1, frozenset()
        self._seen |= {step}
        return self.cycle


@dataclass(frozen=True)
class Place:
    """A piece of a file: the file's name and the number of its first row."""

    where: str
    first_row: int


def _find(column: Column, headers: list[str], *, where: str) -> tuple[str, float] | None:
    for label in column.labels:
        pattern = re.compile(re.escape(label).replace(r"\*", r"([^()\[\]/]+?)"), re.IGNORECASE)
        for header in headers:
            match = pattern.fullmatch(header.strip())
            if match:
                return header, _factor(match.group(1) if match.groups() else "", column, header=header, where=where)
    return None


def _factor(unit: str, column: Column, *, header: str, where: str) -> float:
    known = UNITS.get(column.unit, {})
    if not unit:
        return 1.0
    folded = {name.lower(): factor for name, factor in known.items()}
    factor = known.get(unit.strip(), folded.get(unit.strip().lower()))
    if factor is None:
        refuse(
            where,
            f"column {header}",
            found=f"the unit '{unit}'",
            expected=f"one of {', '.join(known)}",
            action="convert it",
        )
    return factor


def _take(series: pl.Series, column: Column, *, factor: float, place: Place) -> pl.Series:
    if not column.unit:
        return series.alias(column.name)
    stripped = series.str.strip_chars() if series.dtype == pl.String else series
    values = stripped.cast(pl.Float64, strict=False)
    lost = (values.is_null() & stripped.is_not_null()).arg_true()
    if len(lost):
        row = int(lost[0])
        found, action = f"row {place.first_row + row}, column {series.name}", "correct it or leave the row out"
        refuse(place.where, found, found=f"'{series[row]}'", expected="a number", action=action)
    return (values * factor).alias(column.name)


def _spell(column: Column) -> str:
    return " or ".join(f"'{label.replace('*', column.unit)}'" for label in column.labels[:2])
