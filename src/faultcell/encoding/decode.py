"""Generated arrays back to curves: what stands on the anchored grid to seconds, volts, amperes and degrees.

The voltage of head and tail is monotone by construction, and the request is met exactly: the tail ends at the peak asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from faultcell.config import GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import REST_C_RATE, Array
from faultcell.encoding.encode import SURGE_VOLT
from faultcell.encoding.grid import (
    CHARGE,
    CURRENT,
    END,
    HOLD_START,
    LEVEL_WEIGHT,
    REST,
    SHARES,
    START,
    SURGE,
    TEMPERATURE,
    TYPICAL_CELSIUS,
    VOLTAGE,
    grid_times,
    has_tail,
    head_places,
    hold_positions,
    shares,
    warming,
)

MOST_HOLD = 0.5  # of the peak deviation that is left where a surge has fallen back
LEAST_STEP = 1e-9  # of a curve's time, between samples
MOST_REST = 1.09  # rated windows from the limit to where a cell rests
NOISE_STREAM = 1  # of random numbers, beside that of a curve
LEAST_HEAD = 0.01  # of the rated window that a head spans
KINK_STEPS, KINK_BOUND = 3.0, 1.5  # steps beyond the limit over which a slope goes over, and how much of it, as a logarithm


@dataclass(frozen=True, eq=False)
class CurveSamples:
    """The samples of one drawn curve, `(n,)` each: s, V, A, degC."""

    second: Array
    volt: Array
    ampere: Array
    celsius: Array


def rebuild(
    coded: Array, seconds: Array, conditions: Sequence[Condition], mode: NDArray[np.int64], grid: GridConfig
) -> list[CurveSamples]:
    """Curves from the grid to real units; the requested peak deviation is met exactly, and no sooner than asked.

    Args:
        coded: channels in coded units `(N, C, L)`.
        seconds: durations of head and tail, s `(N, 2)`.
        conditions: what was asked for, with limits and nominal capacity.
        mode: how each lies on the grid `(N,)`.
        grid: the grid.
    """
    coded = coded.astype(np.float64)
    if not grid.anchored:
        return [_evenly(coded[i], float(seconds[i, 0]), condition, grid) for i, condition in enumerate(conditions)]
    return [
        _Curve(coded[i], np.nan_to_num(seconds[i]), condition, int(mode[i]), grid).samples()
        for i, condition in enumerate(conditions)
    ]


def _evenly(coded: Array, seconds: float, condition: Condition, grid: GridConfig) -> CurveSamples:
    """A curve that stands at even times: nothing about it holds by construction."""
    assert condition.limits is not None
    times = grid_times(grid, np.array([[seconds, np.nan]]))[0]
    volt = condition.limits.lower + (condition.limits.upper - condition.limits.lower) * coded[VOLTAGE]
    ambient = condition.ambient_temperature_celsius
    celsius = coded[TEMPERATURE] + (TYPICAL_CELSIUS if ambient is None else ambient)
    sign, nominal = (1.0 if condition.step == "charge" else -1.0), condition.nominal_capacity_ah or 1.0
    ampere = sign * np.maximum(sign * coded[CURRENT], 1.01 * REST_C_RATE[condition.step]) * nominal
    return CurveSamples(times, volt, ampere, celsius)


def cooling_little(curve: CurveSamples, most: float) -> CurveSamples:
    """With a surface that falls under load by at most so many kelvin; small falls stay nearly as they are."""
    top = np.maximum.accumulate(curve.celsius)
    return CurveSamples(curve.second, curve.volt, curve.ampere, top + most * np.expm1((curve.celsius - top) / most))


def with_noise(
    curve: CurveSamples, condition: Condition, stream: Sequence[int], *, volt: float, celsius: float
) -> CurveSamples:
    """As sensors read it: noise of these standard deviations; the peak of a fault beyond its limit stays, and is not passed.

    What goes to its limit and no further is read about it, as real curves are: noise to one side alone would give it away.

    Args:
        curve: a drawn curve.
        condition: what was asked for.
        stream: seeds of the noise.
        volt: of the voltage.
        celsius: of the temperature.
    """
    first, second = np.random.default_rng([*stream, NOISE_STREAM]).normal(size=(2, curve.second.size))
    sign = 1.0 if condition.step == "charge" else -1.0
    top = sign * curve.volt
    noisy = top + volt * first
    if condition.peak_deviation_volt > 0:
        noisy = np.minimum(noisy, top.max())
        noisy[np.argmax(top)] = top.max()
    return CurveSamples(curve.second, sign * noisy, curve.ampere, curve.celsius + celsius * second)


@dataclass(frozen=True, eq=False)
class _Curve:
    """One curve on the grid, on its way back; progress is the voltage in the direction of the half-cycle, V."""

    coded: Array
    seconds: Array
    condition: Condition
    mode: int
    grid: GridConfig

    def samples(self) -> CurveSamples:
        """Its samples; under a load that swings between current and rest, at the load's own."""
        times, load = self._times(), self.condition.load
        times = np.sort(np.concatenate([times, (times[1:] + times[:-1]) / 2]))  # about as many as a cycler takes
        times = times[np.append(np.diff(times) > LEAST_STEP * times[-1], True)]
        times[0] = 0.0
        if load is not None and load.is_pulsed:
            times = load.fraction * self.seconds.sum()
        volt = self._sign * self._progress(times)
        ampere, celsius = self._current(times), self._celsius(times)
        if load is not None and load.is_pulsed:
            # A rested cell recovers: never further along its half-cycle than under load, nor far beyond the other limit.
            recovery = np.maximum(np.nan_to_num(self._over_time(REST, times)), 0.0) * self._window
            room = np.maximum(self._sign * volt - (self._limit - MOST_REST * self._window), 0.0)
            volt = np.where(load.resting, volt - self._sign * np.minimum(recovery, room), volt)
            ampere = load.current_ampere
        return CurveSamples(times, volt, ampere, celsius)

    def _times(self) -> Array:
        """When to take samples: as the grid has them, and where the current of a charge falls."""
        times = self._own
        if not has_tail(self.condition):
            return np.asarray(times[: self.grid.head])
        if self.condition.step != "charge":
            return np.asarray(times)
        head, tail = self.seconds
        start = self._hold_start()
        # Where it has fallen is the end, which is there already.
        held = head + start + (tail - start) * hold_positions(self.grid)[:-1]
        return np.asarray(np.unique(np.concatenate([times, held])))

    @cached_property
    def _own(self) -> Array:
        """Seconds of every point of the grid `(L,)`."""
        return np.asarray(grid_times(self.grid, self.seconds[None])[0])

    @property
    def _sign(self) -> float:
        return 1.0 if self.condition.step == "charge" else -1.0

    @property
    def _window(self) -> float:
        assert self.condition.limits is not None
        return float(self.condition.limits.upper - self.condition.limits.lower)

    @property
    def _limit(self) -> float:
        assert self.condition.limits is not None
        return float(self.condition.limits.upper if self.condition.step == "charge" else -self.condition.limits.lower)

    @property
    def _peak(self) -> float:
        return self.condition.peak_deviation_volt

    def _progress(self, times: Array) -> Array:
        """Progress at these times `(n,)`."""
        head_seconds, tail_seconds = self.seconds
        first, end = self._ends()
        places = self._places(first, end)
        head = shares(self.coded[VOLTAGE, SHARES : self.grid.head], places)
        levels = [(1 - places) * first + places * end]
        edges = [np.append(0.0, np.cumsum(head)) * head_seconds]
        if has_tail(self.condition):
            tail, below = self._tail(entry=float(head[-3:].sum()) * head_seconds / (levels[0][-1] - levels[0][-4]))
            levels.append(below)
            edges.append(head_seconds + np.append(np.cumsum(tail)[:-1], 1.0) * tail_seconds)
        found = _through(np.concatenate(edges), np.concatenate(levels), times)
        if self.mode == SURGE:  # where edges are kept apart, its peak may lie a little after its time
            top = int(np.argmin(np.abs(times - head_seconds)))
            found[top] = end
            found[top:] = np.minimum.accumulate(found[top:])
        return found

    def _places(self, first: float, end: float) -> Array:
        """Where the edges of the head's voltage steps lie between its two ends, by progress."""
        assert self.condition.limits is not None
        ends = LEVEL_WEIGHT * (self._sign * np.array([first, end]) - self.condition.limits.lower) / self._window
        return head_places(ends, self.mode, self.grid.head - SHARES)

    def _ends(self) -> tuple[float, float]:
        """Progress at the start and at the end of the head."""
        first, end = self._at(START), self._at(END)
        if self.mode == SURGE:
            end = self._limit + self._peak
        else:
            end = self._limit if has_tail(self.condition) else min(end, self._limit)
        return min(first, end - LEAST_HEAD * self._window), end

    def _at(self, place: int) -> float:
        """Progress at one of the two ends that the voltage channel names."""
        assert self.condition.limits is not None
        volt = self.condition.limits.lower + self._window * float(self.coded[VOLTAGE, place]) / LEVEL_WEIGHT
        return self._sign * volt

    def _tail(self, *, entry: float) -> tuple[Array, Array]:
        """Shares of the tail's time, and the progress at the end of each.

        Args:
            entry: seconds a volt where the head ends: no voltage has a kink at its limit.
        """
        coded, peak = self.coded[VOLTAGE, self.grid.head :], self._peak
        if self.mode == SURGE:
            hold = min(self._at(END), self._limit + MOST_HOLD * peak)
            return shares(coded), np.linspace(self._limit + peak, hold, coded.size + 1)[1:]
        if peak <= 0:  # a charge that stays inside is held at its limit
            return np.full(coded.size, 1 / coded.size), np.full(coded.size, self._limit)
        if peak >= SURGE_VOLT:
            coded = _without_kink(coded, entry * peak / coded.size / max(self.seconds[1], 1e-9))
        return shares(coded), self._limit + peak * np.arange(1, coded.size + 1) / coded.size

    def _over_time(self, channel: int, times: Array) -> Array:
        """A channel that stands at fractions of the time, at these times `(n,)`."""
        return np.interp(times, self._own[: self._length], self.coded[channel, : self._length])

    @property
    def _length(self) -> int:
        return self.grid.length if has_tail(self.condition) else self.grid.head

    def _celsius(self, times: Array) -> Array:
        """Surface temperatures at these times, in one piece over the crossing `(n,)`."""
        ambient = self.condition.ambient_temperature_celsius
        coded = self.coded[TEMPERATURE] + (TYPICAL_CELSIUS if ambient is None else ambient)
        head = self.grid.head
        coded[head:] = coded[head - 1] + self.coded[TEMPERATURE, head:] * warming(self.seconds[1])
        return np.asarray(np.interp(times, self._own[: self._length], coded[: self._length]))

    def _current(self, times: Array) -> Array:
        """Load current at these times, in A, on its half-cycle's side of zero and above what counts as rest `(n,)`."""
        nominal = self.condition.nominal_capacity_ah or 1.0
        if self.condition.step != "charge":
            current = self._over_time(CURRENT, times)
        else:
            head, tail = self.seconds
            own = self._own[: self.grid.head]
            full = max(float(self.coded[CURRENT, self.grid.head - 1]), 2 * REST_C_RATE["charge"])
            start = self._hold_start()
            held = head + start + (tail - start) * hold_positions(self.grid)
            falls = full * np.exp(np.minimum.accumulate(np.minimum(self.coded[CURRENT, self.grid.head + 1 :], 0.0)))
            edges = np.concatenate([own, [head + start], held])
            current = np.interp(times, edges, np.concatenate([self.coded[CURRENT, : self.grid.head - 1], [full, full], falls]))
        if self.condition.load is None:
            current = self._sign * np.maximum(self._sign * current, 1.01 * REST_C_RATE[self.condition.step])
        return np.asarray(current * nominal)

    def _hold_start(self) -> float:
        """Seconds beyond the crossing at which the current of a charge begins to fall: when its voltage is at its peak."""
        if self.mode == CHARGE and self._peak >= SURGE_VOLT:
            tail = shares(self.coded[VOLTAGE, self.grid.head :])
            return float(tail[:-1].sum() * self.seconds[1])
        return float(np.clip(self.coded[CURRENT, self.grid.head + HOLD_START], 0.0, 0.99) * self.seconds[1])


def _without_kink(tail: Array, first: float) -> Array:
    """Log shares `(n,)` of which the first is what the slope at the limit asks for, as a share, and the next go over."""
    fading = np.exp(-np.arange(tail.size) / KINK_STEPS)
    moved = tail
    for _ in range(3):  # shares sum to one: what is moved moves the others
        off = np.log(max(first, 1e-9)) - np.log(max(shares(moved)[0], 1e-9))
        moved = moved + np.clip(off, -KINK_BOUND, KINK_BOUND) * fading
    return moved


def _through(edges: Array, levels: Array, times: Array) -> Array:
    """A smooth curve through levels at their times, monotone between them.

    References:
        Fritsch and Butland, A Method for Constructing Local Monotone Piecewise Cubic Interpolants, 1984,
        https://doi.org/10.1137/0905021.
    """
    least = 1e-9 * max(edges[-1], 1.0) * np.arange(edges.size)
    apart = np.maximum.accumulate(edges - least) + least
    found = PchipInterpolator(apart, levels)(np.minimum(times, apart[-1]))
    return np.asarray(np.where(times >= edges[-1], levels[-1], found))
