"""The anchored grid: where its points lie, and which channels stand on it.

A curve has two parts, divided where the voltage under load crosses the rated limit: the *head* inside the limits and the
*tail* beyond it (of a charge that stays inside: its hold at the limit). Within a part the voltage is registered by voltage, not
by time: the part is cut into voltage steps, and a curve is the logarithm of the share of the part's time that it spends in
each, for its width (incremental capacity, dQ/dV, under a constant current). Whatever is drawn there is a monotone curve, and
features such as a knee stand at the same place for all curves: also of a charge, which begins where the discharge before left
the cell, for from some voltage on its steps are the same whatever it begins at (`head_places`). The other channels stand at
fractions of the part's time.

Layout of the voltage channel `(L,)`, `L = head + tail`:

    0               start voltage, `LEVEL_WEIGHT` times its fraction of the rated window
    1               the same of the voltage at which the head ends, which is the limit where there is a tail; of a surge
                    that at which the tail ends
    2 to head       log shares of the head's time, relative to the share of its voltages that the step spans
    head to L       log shares of the tail's time on the way from the limit to the peak

A *surge* (a charge whose voltage peaks within its first moments and then falls back, as most measured over-voltages) has its
head up to the peak and its tail from there down to the voltage of its hold.

With `GridConfig.coordinate = "time"` none of this holds: every channel stands at `L` even fractions of the curve's own time, a
voltage as its fraction of the rated window. That is the paper's.

References:
    Dubarry et al., Incremental capacity analysis, 2006, https://doi.org/10.1149/1.2221767.
    Ramsay and Li, Curve registration, 1998, https://doi.org/10.1111/1467-9868.00129.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array

CHANNELS = ("voltage", "rest_voltage", "temperature", "current")
VOLTAGE, REST, TEMPERATURE, CURRENT = range(4)
STEPS = ("charge", "discharge")
# How a curve lies on the grid; the first two are the half-cycles themselves.
MODES = (*STEPS, "surge")
CHARGE, DISCHARGE, SURGE = range(3)
START, END, SHARES = 0, 1, 2  # places in the voltage channel of a head; shares begin at the last
HOLD_START = 0  # place in the tail's current of a charge: when it begins to fall, as a fraction of the tail's time
LEVEL_WEIGHT = 4.0  # voltages beside logarithms of shares: what they count for in a distance
LEAST_SHARE = 1e-3  # of an even share of the time
FIRST_STEPS = 0.22  # of the voltage steps of a charge's head lie below this fraction of the rated window, the others above
SAME_FROM, MOST_FIRST = 0.62, 0.75  # and span at most so much of its voltages
SMOOTHING = 3  # passes of a binomial filter
TYPICAL_CELSIUS = 25.0  # where the ambient temperature is unknown
THERMAL_SECOND = 600.0  # in which a cell's surface follows its heat; what it gains beyond the limit counts over that
HOLD_POWER = 2.0  # points of a falling current lie at this power of even fractions: it falls fastest at first


def head_positions(grid: GridConfig) -> Array:
    """Where the head's points lie, as fractions of its time `(head,)`: denser at the start and at the crossing."""
    return _warped(grid.head, grid.warp)


@lru_cache
def _warped(count: int, warp: float) -> Array:
    """The same; it is asked for with every curve."""
    s = np.linspace(0.0, 1.0, count)
    found = (1 - warp) * s + warp * (1 - np.cos(np.pi * s)) / 2
    found.flags.writeable = False
    return np.asarray(found)


def tail_positions(grid: GridConfig) -> Array:
    """Where the tail's points lie, as fractions of its time `(tail,)`; the crossing itself belongs to the head."""
    return np.arange(1, grid.tail + 1) / grid.tail


def hold_positions(grid: GridConfig) -> Array:
    """Where the points of a falling current lie, as fractions of the time in which it falls `(tail - 1,)`."""
    return (np.arange(1, grid.tail) / (grid.tail - 1)) ** HOLD_POWER


def grid_times(grid: GridConfig, seconds: Array) -> Array:
    """Seconds of every point in time `(N, L)` for durations of head and tail `(N, 2)`, a missing tail taken as zero."""
    head, tail = seconds[:, :1], np.nan_to_num(seconds[:, 1:])
    if not grid.anchored:
        return np.asarray(head * np.linspace(0.0, 1.0, grid.length))
    return np.concatenate([head * head_positions(grid), head + tail * tail_positions(grid)], axis=1)


def charging(conditions: Sequence[Condition]) -> NDArray[np.bool_]:
    """Which of them are charges, and so break the upper limit if any `(N,)`."""
    return np.array([condition.step == "charge" for condition in conditions], dtype=bool)


def has_tail(condition: Condition) -> bool:
    """Whether a curve goes on after it has come to its limit: beyond it, or, on a charge, held at it."""
    return condition.peak_deviation_volt > 0 or condition.step == "charge"


def prior(grid: GridConfig) -> Array:
    """What is expected of a curve where nothing is known, coded `(C, L)`: even shares, no rest, no warming, no current."""
    mean = np.zeros((len(CHANNELS), grid.length))
    if not grid.anchored:
        return mean
    mean[VOLTAGE, [START, END]] = LEVEL_WEIGHT / 2
    return mean


def warming(seconds: Array | float) -> Array:
    """How far a surface has come, after some time, to where a constant heat would bring it; see `THERMAL_SECOND`."""
    return np.asarray(-np.expm1(-np.maximum(seconds, 1e-3) / THERMAL_SECOND))


def head_places(coded: Array, mode: Array | NDArray[np.int64] | int, count: int) -> Array:
    """Where the edges of a head's voltage steps lie, as fractions of the way from where it begins to where it ends.

    Steps are even, but of a charge, whose steps above `SAME_FROM` of the rated window do not depend on where it begins.

    Args:
        coded: the voltage channel of heads, of which the two levels are looked at `(..., head)`.
        mode: how they lie on the grid `(...,)`.
        count: of the steps.

    Returns:
        `(..., count + 1)`.
    """
    first, end = coded[..., START] / LEVEL_WEIGHT, coded[..., END] / LEVEL_WEIGHT
    at = np.clip((SAME_FROM - first) / np.maximum(end - first, 1e-6), FIRST_STEPS, MOST_FIRST)
    at = np.where(np.asarray(mode) == CHARGE, at, FIRST_STEPS)[..., None]
    even = np.linspace(0.0, 1.0, count + 1)
    later = 1 - (1 - even) * (1 - at) / (1 - FIRST_STEPS)  # which ends at one exactly
    return np.asarray(np.where(even < FIRST_STEPS, even * at / FIRST_STEPS, later))


def shares(values: Array, places: Array | None = None) -> Array:
    """Log shares to shares that sum to one `(..., n)`; of steps with these edges `(..., n + 1)`, else of even ones."""
    weight = np.exp(values - values.max(axis=-1, keepdims=True))
    if places is not None:
        weight = weight * np.diff(places, axis=-1)
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def log_shares(times: Array, places: Array | None = None) -> Array:
    """Times at the edges of voltage steps, rising `(n + 1,)`, to log shares relative to their widths, else to an even one."""
    step = np.diff(times)
    even = 1 / step.size if places is None else np.diff(places)
    return np.asarray(np.log(np.maximum(step / max(times[-1] - times[0], 1e-9) / even, LEAST_SHARE)))


def smoothed(values: Array, grid: GridConfig) -> Array:
    """Coded channels `(N, C, L)` of which log shares and temperatures are smoothed over a few points, head and tail apart.

    How the samples of a cycler happen to fall on voltage steps, and its sensors' noise, are nothing that a cell does.
    """
    found, tail = values.copy(), slice(grid.head, values.shape[-1])
    parts = [(VOLTAGE, slice(SHARES, grid.head)), (VOLTAGE, tail), (TEMPERATURE, slice(0, grid.head)), (TEMPERATURE, tail)]
    for channel, part in parts:
        found[:, channel, part] = _binomial(found[:, channel, part], SMOOTHING)
    return found


def _binomial(values: Array, passes: int) -> Array:
    """Rows `(N, n)` after so many passes of a binomial filter."""
    for _ in range(passes if values.shape[1] else 0):
        padded = np.concatenate([values[:, :1], values, values[:, -1:]], axis=1)
        values = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return values
