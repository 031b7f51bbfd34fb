"""Internal shorts at rest: how deep the open-circuit voltage of a cell collapses, and how fast.

A cell that rests and shorts inside loses its voltage without any load: at once to nothing, or by a few millivolt that come back
when the short burns free. The record has one level before and one collapse; whatever it does later is its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, resting
from faultcell.curves.schema import REST, Array

QUIET = 0.05  # share of a record, and at least that many samples, from which its level before is read
FEWEST_QUIET = 5
FALLEN = (0.1, 0.9)  # of the depth, between which the fall is timed
ONSET = 0.05  # of the depth: the last sample above it is the last before the collapse
LEAST_SECOND = 0.01  # no logger tells less


@dataclass(frozen=True, eq=False)
class Collapse:
    """The record of a rest in which the voltage collapses.

    Attributes:
        second: from the start `(n,)`.
        volt: V `(n,)`.
        celsius: surface temperature, NaN where unknown `(n,)`.
        level: voltage before, V.
        depth: how far it falls below at most, V.
        onset: when it begins to fall, s.
        falls: time from a tenth to nine tenths of the depth, s.
    """

    second: Array
    volt: Array
    celsius: Array
    level: float
    depth: float
    onset: float
    falls: float

    @classmethod
    def of(cls, second: Array, volt: Array, celsius: Array) -> Collapse:
        """From samples `(n,)`, two at least."""
        time = second - second[0]
        quiet = max(int(QUIET * volt.size), min(FEWEST_QUIET, volt.size))
        level = float(np.median(volt[:quiet]))
        lowest = int(np.argmin(volt))
        depth = level - float(volt[lowest])
        if depth <= 0:
            return cls(time, volt, celsius, level, 0.0, float(time[-1]), LEAST_SECOND)
        fallen = (level - volt[: lowest + 1]) / depth
        last = int(np.flatnonzero(fallen <= ONSET)[-1]) if (fallen <= ONSET).any() else 0
        first, nearly = (int(np.flatnonzero(fallen >= share)[0]) for share in FALLEN)
        return cls(time, volt, celsius, level, depth, float(time[last]), max(float(time[nearly] - time[first]), LEAST_SECOND))


# How each severity is measured.
MEASURES: dict[str, Callable[[Collapse], float]] = {
    "collapse_depth_volt": lambda one: one.depth,
    "collapse_second": lambda one: one.falls,
}


def collapses(curves: Curves) -> Iterator[Collapse | None]:
    """The collapse of each record of a set; None for those with fewer than two samples."""
    columns = [curves.column(name) for name in ("step_time_second", "voltage_volt", "surface_temperature_celsius")]
    for rows in curves.slices():
        yield Collapse.of(*(column[rows] for column in columns)) if rows.stop - rows.start >= 2 else None


def measured(curves: Curves) -> pl.DataFrame:
    """How severe faults at rest are, a row a curve; zero for all else, NaN where it cannot be told."""
    found = {one.name: np.zeros(len(curves)) for one in resting(FAULTS)}
    shows = [label for label, kind in FAULTS.items() if kind.at_rest]
    own = (curves.halfcycles["step_type"] == REST) & curves.halfcycles["label"].is_in(shows)
    rows = np.flatnonzero(own.to_numpy()).tolist()
    for row, one in zip(rows, collapses(curves.take(rows)), strict=True):
        for name, values in found.items():
            values[row] = MEASURES[name](one) if one else np.nan
    return pl.DataFrame(found)
