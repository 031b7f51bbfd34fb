"""One engine for every vendor: a reader is a declaration of how its columns are called, and how it counts the current.

What a file is, is told from its content. Text, workbooks and Parquet are told apart first (`tables.py`); then the first
reader whose mark and needed columns are there takes it. A new vendor is a new `Reader` in a file of its own in `vendors/`,
and a row in `vendors.READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from faultcell.curves.curves import Curves
from faultcell.files.cyclers.columns import Column, FilePlace, depends_on_all, standardise
from faultcell.files.messages import refuse
from faultcell.files.sanity import HIGH_VOLT
from faultcell.runtime.workers import ahead


@dataclass(frozen=True)
class Rated:
    """What the user says of the cells; `None` is not said. Limits in V, capacity in Ah; `cells` of some by name."""

    lower: float | None = None
    upper: float | None = None
    nominal_capacity_ah: float | None = None
    cells: Mapping[str, Rated] = field(default_factory=dict)

    def of(self, cell: str) -> Rated:
        """What is said of one cell."""
        own = self.cells.get(cell, self)
        return Rated(
            self.lower if own.lower is None else own.lower,
            self.upper if own.upper is None else own.upper,
            self.nominal_capacity_ah if own.nominal_capacity_ah is None else own.nominal_capacity_ah,
        )


class PiecewiseError(Exception):
    """A file that cannot be cut up piece by piece: what a piece says depends on others. Read it whole."""


@dataclass
class ReadJob:
    """What there is to read, and what comes of it.

    Attributes:
        path: the file.
        rated: what the user says of the cell.
        whole: whether the file comes in one piece.
        sign: +1 where + = charge, -1 where + = discharge; `None` where the data must tell. Tables come in the former already.
        rows: read so far.
        notes: what was assumed or left out.
    """

    path: Path
    rated: Rated
    whole: bool
    sign: float | None
    rows: int = 0
    notes: list[str] = field(default_factory=list)


class TableFile(Protocol):
    """A file that holds a table with headers."""

    @property
    def start(self) -> str:
        """The text that the file begins with, in which vendors leave their marks."""
        ...

    def count_needed(self, columns: tuple[Column, ...]) -> tuple[int, int]:
        """How many of the needed columns are there at best, and how many are needed."""
        ...

    def load(self, columns: tuple[Column, ...]) -> pl.DataFrame:
        """The table under the headers of these columns."""
        ...

    def pieces(self, columns: tuple[Column, ...]) -> Iterator[pl.DataFrame]:
        """The same in pieces of many rows; raises PiecewiseError where only the whole will do."""
        ...


Cut = Callable[[Iterable[pl.DataFrame], ReadJob], Iterator[Curves]]  # pieces of a table in machine names, in order


@dataclass(frozen=True)
class Reader:
    """A file format, declared.

    Attributes:
        name: in words, for messages.
        columns: what to take.
        curves: how its samples become curves.
        sign: +1 where the vendor counts + = charge, -1 where + = discharge, `None` where that differs from file to file.
        mark: what the text at the beginning of such a file holds, in lower case; empty for nothing special.
        detects: for formats that are no table: whether a file is one, from its path and first bytes.
        load: for these: file -> table as the vendor wrote it.
        may_be_millivolt: whether its voltages are at times in mV under the same header: no cell has a kilovolt.
    """

    name: str
    columns: tuple[Column, ...]
    curves: Cut
    sign: float | None = 1.0
    mark: str = ""
    detects: Callable[[Path, bytes], bool] | None = None
    load: Callable[[Path], pl.DataFrame] | None = None
    may_be_millivolt: bool = False

    def read(self, table: TableFile | None, job: ReadJob) -> Iterator[Curves]:
        """Read a file, in one piece or in several; what is suspect is added to its notes.

        Raises:
            DataError: the file is damaged, or lacks a column.
            PiecewiseError: it cannot be read in pieces.
        """
        tables = self._standard(self._raw(table, job), job)
        return self.curves(tables if job.whole else ahead(tables), job)

    def _raw(self, table: TableFile | None, job: ReadJob) -> Iterator[pl.DataFrame]:
        if self.load is not None:
            yield self.load(job.path)
        elif table is not None and job.whole:
            yield table.load(self.columns)
        elif table is not None:
            yield from table.pieces(self.columns)

    def _standard(self, pieces: Iterable[pl.DataFrame], job: ReadJob) -> Iterator[pl.DataFrame]:
        for piece in pieces:
            if piece.is_empty() and not job.whole:
                continue
            if piece.is_empty():
                refuse(job.path, found="no row below the header", expected="one row a sample", action="export it anew")
            if not job.whole and depends_on_all(piece, self.columns):
                raise PiecewiseError
            place = FilePlace(str(job.path), job.rows)
            job.rows += piece.height
            table = standardise(piece, self.columns, name=self.name, place=place, sign=self.sign)
            table = self._in_volt(table, job) if self.may_be_millivolt else table
            yield self._without_torn(table, job) if job.whole else table

    def _in_volt(self, table: pl.DataFrame, job: ReadJob) -> pl.DataFrame:
        """The same in V where the values can only be mV."""
        middle = table["voltage_volt"].median()
        if not isinstance(middle, float) or not middle > HIGH_VOLT:
            return table
        note = f"{job.path}: voltages of {middle:.4g} are taken for mV"
        job.notes += [] if any("are taken for mV" in one for one in job.notes) else [note]
        return table.with_columns(pl.col("voltage_volt") / 1000)

    def _without_torn(self, table: pl.DataFrame, job: ReadJob) -> pl.DataFrame:
        """The same without a last row that breaks off, as where a test was still running."""
        names = [column.name for column in self.columns if column.needed or column.name == "cycle_count"]
        there = [name for name in names if name in table.columns]
        if table.height < 2 or not any(table[name][-1] is None and table[name][-2] is not None for name in there):
            return table
        job.notes.append(f"{job.path}: the last row breaks off and is left out")
        return table[:-1]


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
