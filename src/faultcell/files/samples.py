"""The samples of a set laid out curve after curve in plain arrays, which is how checks look at them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves.curves import Curves
from faultcell.curves.per_curve import medians
from faultcell.curves.schema import KEYS, REST_C_RATE, Array

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in the order of their curves, whatever order the table has; those of no curve are left out.

    Attributes:
        row: row in `timeseries` of each sample `(n,)`.
        start: where each curve that has samples begins `(m,)`.
        curve: its row in `halfcycles`, rising `(m,)`.
        time: s `(n,)`.
        voltage: V `(n,)`.
        current: A, + = charge `(n,)`.
        rest_ampere: currents up to this are rest, A, NaN where the capacity is unknown `(m,)`.
        stray: samples that belong to no curve.
    """

    row: Index
    start: Index
    curve: Index
    time: Array
    voltage: Array
    current: Array
    rest_ampere: Array
    stray: int

    @cached_property
    def count(self) -> Index:
        """Samples of each curve `(m,)`."""
        return np.diff(np.append(self.start, self.time.size))

    @cached_property
    def step(self) -> Array:
        """Time to the next sample of the same curve, 0 for the last one, s `(n,)`."""
        step = np.append(np.diff(self.time), 0.0)
        step[self.start[1:] - 1] = 0.0
        return step

    @cached_property
    def loaded(self) -> NDArray[np.bool_]:
        """Which samples carry a load current; none where the capacity is unknown `(n,)`."""
        return np.abs(self.current) > np.repeat(np.nan_to_num(self.rest_ampere, nan=np.inf), self.count)

    def total(self, values: Array) -> Array:
        """Sum over each curve `(m,)`."""
        return np.add.reduceat(values, self.start)

    def highest(self, values: Array) -> Array:
        """Maximum of each curve `(m,)`."""
        return np.maximum.reduceat(values, self.start)

    def median(self, values: Array) -> Array:
        """Median of each curve, NaN left out `(m,)`."""
        return medians(values, self.count)

    def name(self, curves: Curves, sample: int) -> str:
        """The curve a sample belongs to, in words."""
        position = int(np.searchsorted(self.start, sample, side="right")) - 1
        return name_curve(curves.halfcycles, int(self.curve[position]))


def name_curve(table: pl.DataFrame, row: int) -> str:
    """The key of a row, in words."""
    cell, cycle, step = table.select(KEYS).row(row)
    return f"cell {cell}, cycle {cycle}, {step}"


def arrange(curves: Curves) -> Samples:
    """Lay the samples out. Keys are joined once a run of equal keys, not once a sample: a set has few of the former."""
    starts, table = curves.runs
    rows = curves.halfcycles.select(KEYS).with_row_index("curve")
    joined = table.join(rows, on=KEYS, how="left", maintain_order="left")["curve"].cast(pl.Int64)
    lengths = np.diff(np.append(starts, curves.timeseries.height))
    owner = np.repeat(joined.fill_null(-1).to_numpy(), lengths)
    order = np.argsort(owner, kind="stable") if np.any(np.diff(owner) < 0) else np.arange(owner.size)
    order = order[owner[order] >= 0]
    kept = owner[order]
    start = np.flatnonzero(np.diff(kept, prepend=-1))
    least = curves.halfcycles["step_type"].replace_strict(REST_C_RATE, default=np.nan, return_dtype=pl.Float64)
    rest = (least * pl.Series(curves.known("nominal_capacity_ah"))).to_numpy()
    columns = (curves.column(name) for name in ("step_time_second", "voltage_volt", "current_ampere"))
    in_place = order.size == owner.size and not np.any(np.diff(order) != 1)
    time, voltage, current = (column if in_place else column[order] for column in columns)
    return Samples(order, start, kept[start], time, voltage, current, rest[kept[start]], int(owner.size - order.size))
