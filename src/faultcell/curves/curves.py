"""A set of curves, and the one verb of every source of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves.condition import Condition
from faultcell.curves.schema import KEYS, MARKS, REST_C_RATE, Array
from faultcell.errors import ConditionError, DataError, many, meant
from faultcell.runtime.shown import Plotted


@dataclass(frozen=True, eq=False)
class Curves(Plotted):
    """A set of curves: rows of `timeseries` stand in the order of `halfcycles`, by time within a curve.

    Build it with `Curves.from_tables`, which puts the rows in that order.
    """

    timeseries: pl.DataFrame
    halfcycles: pl.DataFrame

    picture = "plot_curves"

    @classmethod
    def from_tables(cls, timeseries: pl.DataFrame, halfcycles: pl.DataFrame) -> Curves:
        """Join the two tables on their keys; samples without a row in `halfcycles` are left out.

        The order of `halfcycles`, and of the samples of a curve, is kept. Keys are joined once a run of equal keys, not
        once a sample: a set has few of the former.
        """
        halfcycles = halfcycles.with_columns(pl.col("cycle_count").cast(pl.Int64))
        timeseries = timeseries.with_columns(pl.col("cycle_count").cast(pl.Int64))
        starts, keys = runs(timeseries)
        order = halfcycles.select(KEYS).with_row_index("_curve")
        curve = keys.join(order, on=KEYS, how="left", maintain_order="left")["_curve"].cast(pl.Int64).fill_null(-1).to_numpy()
        owner = np.repeat(curve, np.diff(np.append(starts, timeseries.height)))
        rows = np.flatnonzero(owner >= 0)
        in_order = rows.size == owner.size and bool((np.diff(owner) >= 0).all())
        rows = rows if in_order else rows[np.argsort(owner[rows], kind="stable")]
        return cls(timeseries if in_order else timeseries[rows], halfcycles)

    def __len__(self) -> int:
        return self.halfcycles.height

    def __repr__(self) -> str:
        kinds = self.halfcycles.group_by("label", "step_type").len("n").sort("n", descending=True).rows()
        more = ", ..." if len(kinds) > 3 else ""
        said = ", ".join(f"{n} {label} {step}s" for label, step, n in kinds[:3])
        cells = self.halfcycles["cell_id"].n_unique()
        return f"Curves({said or 'none'}{more}; {many(cells, 'cell')}, {self.timeseries.height} samples)"

    @property
    def cells(self) -> list[str]:
        """Names of the cells, in order of appearance."""
        return self.halfcycles["cell_id"].unique(maintain_order=True).to_list()

    @property
    def labels(self) -> list[str]:
        """Labels found, in order of appearance."""
        return self.halfcycles["label"].unique(maintain_order=True).to_list()

    @property
    def has_generated(self) -> bool:
        """Whether any curve is generated, not measured: `synthetic` in either table, or the hash of a model."""
        marks = [table[name] for table in (self.halfcycles, self.timeseries) for name in MARKS if name in table.columns]
        return any(bool((mark.cast(pl.Boolean) if mark.name == MARKS[0] else mark.is_not_null()).any()) for mark in marks)

    def refuse_generated(self, name: str) -> None:
        """Raise DataError where any curve is generated; `name` says which set it is."""
        if self.has_generated:
            raise DataError(f"the {name} set has generated curves (synthetic = true): give measured ones only")

    @cached_property
    def runs(self) -> tuple[NDArray[np.int64], pl.DataFrame]:
        """Where the key changes from row to row of `timeseries` `(r,)`, and the key of each such run."""
        return runs(self.timeseries)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each curve begins in `timeseries`; one more than there are curves `(N + 1,)`."""
        starts, keys = self.runs
        counts = keys.with_columns(_count=pl.Series(np.diff(np.append(starts, self.timeseries.height)), dtype=pl.Int64))
        rows = self.halfcycles.select(KEYS).join(counts, on=KEYS, how="left", maintain_order="left")
        return np.concatenate([[0], np.cumsum(rows["_count"].fill_null(0).to_numpy())]).astype(np.int64)

    def column(self, name: str) -> Array:
        """A column of `timeseries` as float64 `(n,)`, null as NaN."""
        return self.timeseries[name].cast(pl.Float64).to_numpy()

    def known(self, name: str) -> Array:
        """A column of `halfcycles` as float64 `(N,)`, NaN where it, or its value, is missing."""
        if name not in self.halfcycles.columns:
            return np.full(len(self), np.nan)
        return self.halfcycles[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    @cached_property
    def under_load(self) -> NDArray[np.bool_]:
        """Which samples carry a load current `(n,)`; all of them where the step is neither charge nor discharge."""
        least = self.halfcycles["step_type"].replace_strict(REST_C_RATE, default=-1.0, return_dtype=pl.Float64)
        # Rest and field curves need not know a capacity: none of their samples is left out.
        threshold = np.where(least.to_numpy() < 0, -1.0, least.to_numpy() * self.known("nominal_capacity_ah"))
        return np.abs(self.column("current_ampere")) > np.repeat(threshold, np.diff(self.offsets))

    def renamed(self, names: Mapping[str, str]) -> Curves:
        """The same curves with other names of labels and step types, from those of who recorded them to those of `FAULTS`.

        Raises:
            DataError: neither a label nor a step type has a name that is to be replaced, or two curves would have one key.
        """
        known = {*self.labels, *self.halfcycles["step_type"]}
        for name in names:
            if name not in known:
                raise DataError(f"nothing is named '{name}': labels and step types are {', '.join(sorted(map(str, known)))}")
        columns = [name for name in ("label", "step_type") if name in self.halfcycles.columns]
        halfcycles = self.halfcycles.with_columns(pl.col(columns).replace(names))
        if halfcycles.select(KEYS).is_duplicated().any():
            raise DataError("two curves of a cell and cycle would be of one step type: rename one kind of step alone")
        return Curves(self.timeseries.with_columns(pl.col("step_type").replace(names)), halfcycles)

    def slices(self) -> Iterator[slice]:
        """The rows of each curve in `timeseries`."""
        return (slice(start, stop) for start, stop in itertools.pairwise(self.offsets.tolist()))

    def take(self, rows: Iterable[int]) -> Curves:
        """The curves at these positions, in this order."""
        picked = list(rows)
        starts, ends = self.offsets[:-1][picked], self.offsets[1:][picked]
        samples = [np.arange(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return Curves(self.timeseries[np.concatenate(samples)] if samples else self.timeseries[:0], self.halfcycles[picked])

    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[Any]) -> Curves:
        """The curve at a position, those of a slice, of several positions or of a mask: a set again.

        Raises:
            IndexError: a position is beyond the last curve.
            DataError: a position is named twice: a set has each curve once.
        """
        if isinstance(index, int | np.integer):
            return self.take([range(len(self))[int(index)]])
        places = index if isinstance(index, slice) else np.asarray(index, dtype=None if len(index) else np.int64)
        rows = np.arange(len(self))[places]
        if len(np.unique(rows)) < len(rows):
            raise DataError("a curve is named twice: a set has each curve once")
        return self.take(rows.tolist())

    def __iter__(self) -> Iterator[Curves]:
        """Each curve, as a set of one."""
        return (self[row] for row in range(len(self)))

    def __add__(self, other: Curves) -> Curves:
        """The curves of both.

        Raises:
            DataError: both have the same curve, by cell, cycle and half-cycle.
        """
        if not isinstance(other, Curves):
            return NotImplemented
        shared = set(self.halfcycles.select(KEYS).rows()) & set(other.halfcycles.select(KEYS).rows())
        if shared:
            key = "cell {}, cycle {}, {}".format(*min(shared))
            raise DataError(f"both sets have {key} ({len(shared)} such curves): a set has each curve once, so name them apart")
        return Curves.concat([self, other])

    def head(self, count: int = 5) -> Curves:
        """The first curves."""
        return self[:count]

    def where(self, *predicates: pl.Expr) -> Curves:
        """The curves whose row in `halfcycles` meets every predicate."""
        return self.take(self.halfcycles.with_row_index("_row").filter(*predicates)["_row"].to_list())

    def select(
        self,
        *,
        label: str | Sequence[str] | None = None,
        cells: str | Sequence[str] | None = None,
        step_type: str | Sequence[str] | None = None,
    ) -> Curves:
        """The curves of these labels, cells and step types, of one or several; `None` keeps all.

        Raises:
            DataError: nothing is left, or a name is not in the set.
        """
        given = {"label": label, "cell_id": cells, "step_type": step_type}
        wanted = {column: [names] if isinstance(names, str) else names for column, names in given.items()}
        for column, names in wanted.items():
            self._check_known(column, names or ())
        picked = [pl.col(column).is_in(list(names)) for column, names in wanted.items() if names]
        found = self.where(*picked) if picked else self
        if not len(found):
            raise DataError(f"no curve is left after selecting {_spell(wanted)}: loosen the selection")
        return found

    def _check_known(self, column: str, names: Sequence[str]) -> None:
        present = self.halfcycles[column].unique().to_list()
        for name in names:
            if name not in present:
                known = ", ".join(map(str, sorted(present)))
                raise DataError(f"{column} '{name}' is not in the curve set{meant(name, present)}: it has {known}")

    def split(self, *, by: str = "cell_id", test: float = 0.3, seed: int = 0) -> tuple[Curves, Curves]:
        """Divide by cell, never by curve: two cycles of one cell are near copies.

        Args:
            by: only `cell_id` is offered.
            test: share of the cells that goes to the second set, at least one.
            seed: of the choice.

        Raises:
            ConditionError: another `by`, or a share out of (0, 1).
            DataError: fewer than two cells.
        """
        if by != "cell_id" or not 0 < test < 1:
            raise ConditionError(f"split takes by='cell_id' and 0 < test < 1, found by='{by}', test={test}")
        if len(self.cells) < 2:
            raise DataError(f"a split by cell needs at least two cells, found {len(self.cells)}")
        cells = np.random.default_rng(seed).permutation(sorted(self.cells)).tolist()
        held_out = cells[: min(max(1, round(test * len(cells))), len(cells) - 1)]
        inside = pl.col("cell_id").is_in(held_out)
        return self.where(~inside), self.where(inside)

    def few(self, count: int, *, seed: int = 0) -> Curves:
        """At most `count` curves, as evenly spread over the cells as can be, chosen at random within a cell."""
        rng = np.random.default_rng(seed)
        rows = self.halfcycles.with_row_index("_row")
        queues = [
            rng.permutation(group["_row"].to_numpy()) for _, group in sorted(rows.group_by("cell_id"), key=lambda g: g[0])
        ]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*queues))
        return self.take(sorted(itertools.islice((int(row) for row in turns if row is not None), count)))

    @classmethod
    def concat(cls, sets: Iterable[Curves]) -> Curves:
        """All curves of several sets, in order."""
        parts = list(sets)
        return cls(
            pl.concat([part.timeseries for part in parts], how="diagonal_relaxed"),
            pl.concat([part.halfcycles for part in parts], how="diagonal_relaxed"),
        )


def runs(timeseries: pl.DataFrame) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """Where the key changes from row to row `(r,)`, and the key of each such run."""
    changes = timeseries.select(pl.any_horizontal([pl.col(key).ne_missing(pl.col(key).shift()) for key in KEYS]).arg_true())
    starts = changes.to_series().cast(pl.Int64).to_numpy()
    if timeseries.height and not (starts.size and starts[0] == 0):
        starts = np.insert(starts, 0, 0)
    return starts, timeseries.select(KEYS)[starts]


class Source(Protocol):
    """Anything that yields curves. Curve *i* depends on `conditions[i]` and `seeds[i]` alone, in any chunking."""

    def draw(self, conditions: Sequence[Condition], seeds: Iterable[int]) -> Curves:
        """One curve for each condition and seed."""
        ...


def loaded_part(curves: Curves, rows: slice) -> slice:
    """The rows of a curve from its first to its last sample under load, rests within kept; empty if there is none."""
    loaded = np.flatnonzero(curves.under_load[rows])
    if not loaded.size:
        return slice(rows.start, rows.start)
    return slice(rows.start + int(loaded[0]), rows.start + int(loaded[-1]) + 1)


def _spell(wanted: Mapping[str, Sequence[str] | None]) -> str:
    return " and ".join(f"{column} in ({', '.join(names)})" for column, names in wanted.items() if names)
