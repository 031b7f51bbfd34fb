"""Figures of each curve of a set at once: sums over its steps, charge moved, medians."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves.curves import Curves
from faultcell.curves.schema import Array

Index = NDArray[np.int64]
FEWEST_BENDS = 16
CENTRAL_STD = 0.789  # of the central nine tenths of a normal distribution


def summed(steps: Array, starts: Index, stops: Index) -> Array:
    """Sums of what belongs to each step from one sample to the next `(n - 1,)`, within runs of samples `(N,)`.

    Args:
        steps: of all samples.
        starts: the first sample of each run, rising; no run may overlap the one before.
        stops: one past the last.
    """
    found, some = np.zeros(len(starts)), stops - starts > 1
    if some.any():
        # From each start to the step before its last sample and, left out, from there to the next start.
        edges = np.column_stack([starts[some], stops[some] - 1]).ravel()
        found[some] = np.add.reduceat(np.append(steps, 0.0), edges)[::2]
    return found


def seconds_above(time: Array, value: Array, valid: NDArray[np.bool_]) -> float:
    """Time for which the line through (`time`, `value`) is above zero, over steps whose two ends are valid, in s."""
    return float(above(time, value, valid).sum())


def above(time: Array, value: Array, valid: NDArray[np.bool_]) -> Array:
    """That time of each step `(n - 1,)`."""
    start, end, step = value[:-1], value[1:], np.diff(time)
    reach = np.abs(start) + np.abs(end)
    share = np.divide(np.maximum(start, 0) + np.maximum(end, 0), reach, out=np.zeros_like(reach), where=reach > 0)
    return np.where(valid[:-1] & valid[1:], share * step, 0.0)


def charge_ah(time: Array, current: Array, starts: Index, stops: Index) -> Array:
    """Charge moved within runs of samples, whatever its direction, Ah `(N,)`: trapezoid rule on |current| in A, time in s."""
    magnitude = np.abs(current)
    return summed((magnitude[:-1] + magnitude[1:]) / 2 * np.diff(time), starts, stops) / 3600


def medians(values: Array, counts: Index) -> Array:
    """Medians of runs of so many values each, those that are NaN left out; NaN where there is no other `(N,)`."""
    table = pl.DataFrame({"run": np.repeat(np.arange(counts.size), counts), "value": values}).filter(
        pl.col("value").is_not_nan()
    )
    middle = table.group_by("run").agg(pl.col("value").median())
    found = np.full(counts.size, np.nan)
    found[middle["run"].to_numpy()] = middle["value"].to_numpy()
    return found


def sensor_noise(curves: Curves, column: str) -> float:
    """Standard deviation of what a sensor adds to a column of `timeseries`, in its unit; 0 where no curve tells.

    The median over curves of a robust one of fourth differences, which a smooth curve under load hardly has: the standard
    deviation of their central nine tenths, which rounded readings do not turn into steps.
    """
    values, found = curves.column(column), []
    for rows in curves.slices():
        bend = np.diff(values[rows][curves.under_load[rows]], 4)
        bend = bend[np.isfinite(bend)]
        if bend.size >= FEWEST_BENDS:
            low, high = np.quantile(bend, [0.05, 0.95])
            found.append(np.std(bend[(bend >= low) & (bend <= high)]) / CENTRAL_STD / np.sqrt(70))
    return float(np.median(found)) if found else 0.0


def typical_current(curves: Curves) -> Array:
    """Median of |current| under load of each curve, A `(N,)`; NaN where no sample is under load."""
    loaded = np.where(curves.under_load, np.abs(curves.column("current_ampere")), np.nan)
    return medians(loaded, np.diff(curves.offsets))
