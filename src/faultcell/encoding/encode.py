"""Measured curves to the anchored grid; see `encoding.grid` for how they lie on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.schema import Array
from faultcell.encoding.grid import (
    CHANNELS,
    CHARGE,
    CURRENT,
    DISCHARGE,
    HOLD_START,
    LEVEL_WEIGHT,
    REST,
    SHARES,
    STEPS,
    SURGE,
    TEMPERATURE,
    TYPICAL_CELSIUS,
    VOLTAGE,
    grid_times,
    has_tail,
    head_places,
    hold_positions,
    log_shares,
    warming,
)

# A charge that stays inside has come to its limit once it is this close: a hold is not exactly at it, V.
HOLD_VOLT = 0.01
# A charge is a surge if it peaks within this share of its time, this far beyond its limit (V), and falls back by half of that.
SURGE_SHARE, SURGE_VOLT = 0.05, 0.03
FULL_CURRENT = 0.98  # of the current at the crossing: below, a charge's current falls
LEAST_CURRENT = 1e-3  # of the current at the crossing
FEWEST_SAMPLES = 4
FEWEST_RESTING = 5
LEAST_HEAD_SECOND = 0.5


@dataclass(frozen=True, eq=False)
class Encoded:
    """Curves on the anchored grid.

    Attributes:
        values: coded channels `(N, C, L)`, zero where masked.
        mask: where they are known `(N, C, L)`.
        seconds: durations of head and tail, s `(N, 2)`; the tail's is NaN for curves inside the limits.
        mode: how each lies on the grid, an index into `grid.MODES` `(N,)`.
        usable: curves with a head to speak of `(N,)`; the others cannot be put on the grid.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    seconds: Array
    mode: NDArray[np.int64]
    usable: NDArray[np.bool_]


def encode(curves: Curves, conditions: Sequence[Condition], grid: GridConfig) -> Encoded:
    """Put curves on the anchored grid.

    Args:
        curves: charges and discharges.
        conditions: of the same curves; their peak deviation says whether a curve has a tail.
        grid: the grid.
    """
    shape = (len(curves), len(CHANNELS), grid.length)
    values, mask = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    seconds, usable = np.full((len(curves), 2), np.nan), np.zeros(len(curves), dtype=bool)
    mode = np.array([STEPS.index(condition.step) for condition in conditions], dtype=np.int64)
    columns = _Columns.of(curves)
    for i, rows in enumerate(curves.slices()):
        placed = _place(columns.rows(loaded_part(curves, rows)), conditions[i], grid)
        if placed is not None:
            values[i], mask[i], seconds[i], mode[i] = placed
            usable[i] = True
    return Encoded(values, mask, seconds, mode, usable)


@dataclass(frozen=True, eq=False)
class _Columns:
    time: Array
    voltage: Array
    temperature: Array
    current: Array
    loaded: NDArray[np.bool_]

    @classmethod
    def of(cls, curves: Curves) -> _Columns:
        return cls(
            time=curves.column("step_time_second"),
            voltage=curves.column("voltage_volt"),
            temperature=curves.column("surface_temperature_celsius"),
            current=curves.column("current_ampere"),
            loaded=curves.under_load,
        )

    def rows(self, part: slice | NDArray[np.bool_]) -> _Columns:
        return _Columns(*(getattr(self, field.name)[part] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class _Parts:
    """Head and tail of one curve; progress is the voltage in the direction of the half-cycle, V.

    Attributes:
        time: of its samples under load, s from the start `(n,)`.
        progress: there `(n,)`.
        crossing: where the head ends, s.
        first: progress at the start.
        limit: progress at the rated limit.
        peak: how far beyond it the curve goes, V; 0 for one that stays inside.
        mode: index into `grid.MODES`.
        anchored: whether there is a tail.
    """

    time: Array
    progress: Array
    crossing: float
    first: float
    limit: float
    peak: float
    mode: int
    anchored: bool

    @property
    def end(self) -> float:
        """Progress where the head ends."""
        inside = self.limit if self.anchored else float(self.progress.max())
        return self.limit + self.peak if self.mode == SURGE else inside


def _place(curve: _Columns, condition: Condition, grid: GridConfig) -> tuple[Array, NDArray[np.bool_], Array, int] | None:
    """One curve's coded values, mask, durations and mode, or None if it has no head."""
    on = curve.rows(curve.loaded)
    if on.time.size < FEWEST_SAMPLES or condition.limits is None or not condition.nominal_capacity_ah:
        return None
    if not grid.anchored:
        return _evenly(on, condition, grid)
    parts = _divide(on, condition)
    if parts is None:
        return None
    last = float(parts.time[-1])
    seconds = np.array([parts.crossing, last - parts.crossing if parts.anchored else np.nan])
    values = np.full((len(CHANNELS), grid.length), np.nan)
    window = condition.limits.upper - condition.limits.lower
    values[VOLTAGE] = _coded_voltage(parts, condition, grid, window)
    times = grid_times(grid, seconds[None])[0]
    start, resting = float(on.time[0]), curve.rows(~curve.loaded)
    if resting.time.size >= FEWEST_RESTING:
        sign = 1.0 if condition.step == "charge" else -1.0
        under_load = np.interp(times, parts.time, parts.progress)
        values[REST] = (under_load - sign * np.interp(times, resting.time - start, resting.voltage)) / window
    celsius = np.interp(times, curve.time - start, curve.temperature)
    values[TEMPERATURE] = coded_temperature(celsius, seconds, condition, grid)
    values[CURRENT] = coded_current(parts.time, on.current / condition.nominal_capacity_ah, seconds, condition, grid)
    if not parts.anchored:
        values[:, grid.head :] = np.nan
    mask = np.isfinite(values)
    return np.where(mask, values, 0.0), mask, seconds, parts.mode


def _evenly(on: _Columns, condition: Condition, grid: GridConfig) -> tuple[Array, NDArray[np.bool_], Array, int] | None:
    """The same at even times: nothing is divided, and the duration is that of the whole curve."""
    assert condition.limits is not None
    time = on.time - on.time[0]
    if time[-1] <= 0:
        return None
    seconds = np.array([float(time[-1]), np.nan])
    times = grid_times(grid, seconds[None])[0]
    values = np.full((len(CHANNELS), grid.length), np.nan)
    volt = (on.voltage - condition.limits.lower) / (condition.limits.upper - condition.limits.lower)
    values[VOLTAGE] = np.interp(times, time, volt)
    values[TEMPERATURE] = coded_temperature(np.interp(times, time, on.temperature), seconds, condition, grid)
    values[CURRENT] = coded_current(time, on.current / (condition.nominal_capacity_ah or 1.0), seconds, condition, grid)
    mask = np.isfinite(values)
    return np.where(mask, values, 0.0), mask, seconds, STEPS.index(condition.step)


def _divide(on: _Columns, condition: Condition) -> _Parts | None:
    """Where the head ends; None where the curve begins beyond its limit, or has no head."""
    assert condition.limits is not None
    high = condition.step == "charge"
    sign, time = (1.0 if high else -1.0), on.time - on.time[0]
    progress, limit = sign * on.voltage, condition.limits.upper if high else -condition.limits.lower
    top = int(np.argmax(progress))
    peak = float(progress[top] - limit) if condition.peak_deviation_volt > 0 else 0.0
    falls_back = progress[-1] - limit < 0.5 * peak
    if high and peak > SURGE_VOLT and time[top] <= SURGE_SHARE * time[-1] and falls_back:
        crossing = max(float(time[top]), LEAST_HEAD_SECOND)
        return _Parts(time, progress, crossing, min(float(progress[0]), limit + 0.999 * peak), limit, peak, SURGE, True)
    beyond = peak > 0
    crossing = _crossing(time, progress - limit + (0.0 if beyond else HOLD_VOLT)) if has_tail(condition) else np.nan
    anchored = beyond or crossing < time[-1]
    crossing = crossing if anchored else float(time[-1])
    mode = CHARGE if high else DISCHARGE
    parts = _Parts(time, progress, crossing, float(progress[0]), limit, max(peak, 0.0), mode, anchored)
    return parts if 0 < crossing <= time[-1] and parts.first < parts.end else None


def _crossing(time: Array, beyond: Array) -> float:
    """When a voltage first goes beyond its limit, s; NaN if it never does or starts beyond."""
    first = int(np.argmax(beyond > 0))
    if first == 0:
        return float("nan")
    before, after = beyond[first - 1], beyond[first]
    return float(time[first - 1] + (time[first] - time[first - 1]) * before / (before - after))


def _coded_voltage(parts: _Parts, condition: Condition, grid: GridConfig, window: float) -> Array:
    """The voltage channel `(L,)`, NaN in a tail that stays at the limit."""
    assert condition.limits is not None
    coded = np.full(grid.length, np.nan)
    sign = 1.0 if condition.step == "charge" else -1.0
    end = float(parts.progress[-1]) if parts.mode == SURGE else parts.end
    coded[:SHARES] = LEVEL_WEIGHT * (sign * np.array([parts.first, end]) - condition.limits.lower) / window
    inside = parts.time <= parts.crossing
    places = head_places(coded, parts.mode, grid.head - SHARES)
    head = _level_times(
        np.append(parts.time[inside], parts.crossing),
        np.append(parts.progress[inside], parts.end),
        (1 - places) * parts.first + places * parts.end,
    )
    coded[SHARES : grid.head] = log_shares(head, places)
    if parts.peak <= 0:
        return coded
    rest = parts.time > parts.crossing
    time = np.append(parts.crossing, parts.time[rest])
    progress = np.append(parts.end, parts.progress[rest])
    if parts.mode == SURGE:
        falling, least = -progress, float(progress.min())
        coded[grid.head :] = log_shares(_level_times(time, falling, np.linspace(-parts.end, -least, grid.tail + 1)))
    else:
        levels = np.linspace(parts.limit, parts.limit + parts.peak, grid.tail + 1)
        coded[grid.head :] = log_shares(_level_times(time, progress, levels))
    return coded


def _level_times(time: Array, progress: Array, levels: Array) -> Array:
    """When a curve first comes to each level, which rise; it starts at the first and is, at its end, at the last.

    What it has already passed, as after a rebound, is passed over: time then counts for the step in which it waits.
    """
    highest = np.maximum.accumulate(progress)
    new = np.append(True, highest[1:] > highest[:-1])
    found = np.interp(levels, highest[new], time[new])
    found[0], found[-1] = time[0], time[-1]
    return np.asarray(np.maximum.accumulate(found))


def coded_temperature(celsius: Array, seconds: Array, condition: Condition, grid: GridConfig) -> Array:
    """Surface temperatures at `grid_times` `(L,)`: of the head over the ambient one, of the tail over that at the crossing.

    What a tail gains is told over what its time lets it gain: heat takes time.
    """
    ambient = condition.ambient_temperature_celsius
    coded = celsius - (TYPICAL_CELSIUS if ambient is None else ambient)
    if grid.anchored:
        coded[grid.head :] = (celsius[grid.head :] - celsius[grid.head - 1]) / warming(np.nan_to_num(seconds[1]))
    return coded


def coded_current(time: Array, c_rate: Array, seconds: Array, condition: Condition, grid: GridConfig) -> Array:
    """The current `(L,)`: in C, but for the tail of a charge, where it is told by when and how it falls.

    Args:
        time: s from the start of the curve `(n,)`.
        c_rate: current there over the nominal capacity, 1/h `(n,)`.
        seconds: durations of head and tail `(2,)`.
        condition: says whether it is a charge.
        grid: the grid.
    """
    coded = np.interp(grid_times(grid, seconds[None])[0], time, c_rate)
    if condition.step != "charge" or not grid.anchored:
        return np.asarray(coded)
    crossing, tail = seconds[0], np.nan_to_num(seconds[1])
    full = max(float(np.interp(crossing, time, c_rate)), 1e-6)
    held = np.flatnonzero((time > crossing) & (c_rate >= FULL_CURRENT * full))
    falls = min(float(time[held[-1]]), crossing + tail) if held.size else crossing
    coded[grid.head + HOLD_START] = (falls - crossing) / max(tail, 1e-9)
    falling = np.interp(falls + (crossing + tail - falls) * hold_positions(grid), time, c_rate)
    coded[grid.head + 1 :] = np.log(np.maximum(falling / full, LEAST_CURRENT))
    return np.asarray(coded)


def known_currents(conditions: Sequence[Condition], seconds: Array, grid: GridConfig) -> Array:
    """The known load currents on the grid, NaN where they are not known `(N, L)`.

    Args:
        conditions: with their loads, of which only the shape over the loaded part is used, and nominal capacities.
        seconds: durations of head and tail, s `(N, 2)`: they say where on the grid the load stands.
        grid: the grid.
    """
    found = np.full((len(conditions), grid.length), np.nan)
    for i, condition in enumerate(conditions):
        if condition.load is not None:
            load, nominal = condition.load, condition.nominal_capacity_ah or 1.0
            loaded = ~load.resting if load.is_pulsed else slice(None)
            time = load.fraction[loaded] * np.nansum(seconds[i])
            found[i] = coded_current(time, load.current_ampere[loaded] / nominal, seconds[i], condition, grid)
    return found
