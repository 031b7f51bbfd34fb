"""From curves to arrays and back: load mask, anchored grid, reversible scaling. Pure functions of arrays.

A curve is put on a grid that is *anchored* where the voltage under load crosses the rated limit: `head` points up to the
crossing, `tail` points beyond it. In the head the voltage is a fraction of the rated window; in the tail it is a fraction of
the peak deviation, so that scaling the tail by the requested deviation meets the request exactly. The tail of a charge that
stays inside is its hold at the limit; a discharge that stays inside has a head only. Two durations (head, tail) give the
curve back its seconds.

Channels `(C, L)`: voltage under load, voltage at rest (pulsed loads only), surface temperature, load current. Where a
channel has no value it is masked, never filled with a number that a network could learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves import Array, Condition, Curves, Limits, loaded_part

CHANNELS = ("voltage", "rest_voltage", "temperature", "current")
VOLTAGE, REST, TEMPERATURE, CURRENT = range(4)
STEPS = ("charge", "discharge")
# Of the width of a curve's rest: what strays less is fixed by construction, as the crossing of the limit is.
FLOOR = 0.02
PLAIN_WEIGHT, SOURCE_WEIGHT = 2.0, 16.0  # curves for which it counts what is thought of a point before it is seen
# A charge that stays inside has come to its limit once it is this close: a hold is not exactly at it, V.
HOLD_VOLT = 0.01


@dataclass(frozen=True, eq=False)
class Encoded:
    """Curves on the anchored grid.

    Attributes:
        values: coded channels `(N, C, L)`, zero where masked.
        mask: where they are known `(N, C, L)`.
        seconds: durations of head and tail, s `(N, 2)`; the tail's is NaN for curves inside the limits.
        usable: curves with a head to speak of `(N,)`; the others cannot be put on the grid.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    seconds: Array
    usable: NDArray[np.bool_]


def head_positions(grid: GridConfig) -> Array:
    """Where the head's points lie, as fractions of its duration `(head,)`: denser at the start and at the crossing."""
    s = np.linspace(0.0, 1.0, grid.head)
    return (1 - grid.warp) * s + grid.warp * (1 - np.cos(np.pi * s)) / 2


def tail_positions(grid: GridConfig) -> Array:
    """Where the tail's points lie, as fractions of its duration `(tail,)`; the crossing itself belongs to the head."""
    return np.arange(1, grid.tail + 1) / grid.tail


def grid_times(grid: GridConfig, seconds: Array) -> Array:
    """Seconds of every grid point `(N, L)` for durations of head and tail `(N, 2)`, a missing tail taken as zero."""
    head, tail = seconds[:, :1], np.nan_to_num(seconds[:, 1:])
    return np.concatenate([head * head_positions(grid), head + tail * tail_positions(grid)], axis=1)


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
    columns = _Columns.of(curves)
    for i, rows in enumerate(curves.slices()):
        placed = _place(columns.rows(loaded_part(curves, rows)), conditions[i], grid)
        if placed is not None:
            values[i], mask[i], seconds[i] = placed
            usable[i] = True
    return Encoded(values, mask, seconds, usable)


def known_currents(conditions: Sequence[Condition], seconds: Array, grid: GridConfig) -> Array:
    """The load currents on the grid, in C, NaN where they are not known `(N, L)`.

    Args:
        conditions: with their loads, of which only the shape over the loaded part is used, and nominal capacities.
        seconds: durations of head and tail, s `(N, 2)`: they say where on the grid the load stands.
        grid: the grid.
    """
    times = grid_times(grid, seconds)
    found = np.full(times.shape, np.nan)
    for i, condition in enumerate(conditions):
        if condition.load is not None:
            load, nominal = condition.load, condition.nominal_capacity_ah or 1.0
            loaded = ~load.resting if load.is_pulsed else slice(None)
            found[i] = np.interp(times[i] / times[i, -1], load.fraction[loaded], load.current_ampere[loaded]) / nominal
    return found


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


def _place(curve: _Columns, condition: Condition, grid: GridConfig) -> tuple[Array, NDArray[np.bool_], Array] | None:
    """One curve's coded values, mask and durations, or None if it has no head."""
    on = curve.rows(curve.loaded)
    if on.time.size < 4 or condition.limits is None or not condition.nominal_capacity_ah:
        return None
    beyond = condition.peak_deviation_volt > 0
    crossing = _crossing(on, condition, margin=0.0 if beyond else HOLD_VOLT) if has_tail(condition) else np.nan
    anchored = beyond or crossing < on.time[-1]
    crossing = crossing if anchored else on.time[-1]
    if not curve.time[0] < crossing <= on.time[-1]:
        return None
    seconds = np.array([crossing - curve.time[0], on.time[-1] - crossing if anchored else np.nan])
    times = curve.time[0] + grid_times(grid, seconds[None])[0]
    resting = curve.rows(~curve.loaded)
    physical = np.stack(
        [
            np.interp(times, on.time, on.voltage),
            np.interp(times, resting.time, resting.voltage) if resting.time.size > 4 else np.full(times.size, np.nan),
            np.interp(times, curve.time, curve.temperature),
            np.interp(times, on.time, on.current),
        ]
    )
    if not anchored:
        physical[:, grid.head :] = np.nan
    elif not beyond:
        physical[VOLTAGE, grid.head :] = np.nan  # held at the limit: the fraction of a deviation that is zero says nothing
    coded = code(physical, condition, grid)
    mask = np.isfinite(coded)
    return np.where(mask, coded, 0.0), mask, seconds


def charging(conditions: Sequence[Condition]) -> NDArray[np.bool_]:
    """Which of them are charges, and so break the upper limit if any `(N,)`."""
    return np.array([condition.step == "charge" for condition in conditions], dtype=bool)


def has_tail(condition: Condition) -> bool:
    """Whether a curve goes on after it has come to its limit: beyond it, or, on a charge, held at it."""
    return condition.peak_deviation_volt > 0 or condition.step == "charge"


def _crossing(on: _Columns, condition: Condition, *, margin: float) -> float:
    """When the voltage under load first goes beyond the limit less a margin, s; NaN if it never does or starts beyond."""
    assert condition.limits is not None
    beyond = _beyond(on.voltage, condition.side, condition.limits) + margin
    first = int(np.argmax(beyond > 0))
    if first == 0:
        return float("nan")
    before, after = beyond[first - 1], beyond[first]
    return float(on.time[first - 1] + (on.time[first] - on.time[first - 1]) * before / (before - after))


def _beyond(voltage: Array, side: str, limits: Limits) -> Array:
    return voltage - limits.upper if side == "high" else limits.lower - voltage


def code(physical: Array, condition: Condition, grid: GridConfig) -> Array:
    """Volt, degC and ampere of one curve to coded units `(C, L)`; `decode` is its inverse."""
    limits, nominal = condition.limits, condition.nominal_capacity_ah
    assert limits is not None
    assert nominal is not None
    coded = physical.copy()
    coded[[VOLTAGE, REST]] = (physical[[VOLTAGE, REST]] - limits.lower) / (limits.upper - limits.lower)
    if condition.peak_deviation_volt > 0:
        tail = physical[VOLTAGE, grid.head :]
        coded[VOLTAGE, grid.head :] = _beyond(tail, condition.side, limits) / condition.peak_deviation_volt
    coded[CURRENT] = physical[CURRENT] / nominal
    return coded


def decode(coded: Array, conditions: Sequence[Condition], grid: GridConfig) -> Array:
    """Coded units of curves to volt, degC and ampere `(N, C, L)`."""
    limits = [condition.limits for condition in conditions]
    lower, upper = (np.array([getattr(bound, name) for bound in limits])[:, None] for name in ("lower", "upper"))
    nominal = np.array([condition.nominal_capacity_ah for condition in conditions], dtype=np.float64)[:, None]
    peak = np.array([condition.peak_deviation_volt for condition in conditions])[:, None]
    high = charging(conditions)[:, None]
    physical = coded.copy()
    physical[:, [VOLTAGE, REST]] = lower[:, None] + coded[:, [VOLTAGE, REST]] * (upper - lower)[:, None]
    beyond = np.where(high, upper, lower) + np.where(high, peak, -peak) * coded[:, VOLTAGE, grid.head :]
    physical[:, VOLTAGE, grid.head :] = np.where(peak > 0, beyond, physical[:, VOLTAGE, grid.head :])
    physical[:, CURRENT] = coded[:, CURRENT] * nominal
    return physical


@dataclass(frozen=True, eq=False)
class Scaler:
    """Point-wise standardisation, a set of numbers for each kind of curve; `inverse(forward(x)) == x`.

    Fitted on what curves of the source domain have beyond what is expected of them. Scaling each point of the grid by its own
    spread keeps narrow data wide enough for the noise schedule: samplers lose the spread of data whose deviation is far below
    one.

    Attributes:
        mean: `(K, C, L)` for the K kinds.
        std: `(K, C, L)`.
        duration_mean: of the durations `(K, 2)`.
        duration_std: `(K, 2)`.
        seen: curves that a point's numbers come from `(K, C, L)`.
        duration_seen: the same of the durations `(K, 2)`.
    """

    mean: Array
    std: Array
    duration_mean: Array
    duration_std: Array
    seen: Array
    duration_seen: Array

    @classmethod
    def fit(cls, values: Array, mask: NDArray[np.bool_], durations: Array, kind: NDArray[np.int64], kinds: int) -> Scaler:
        """Statistics of curves, drawn towards zero and one as if a few more curves showed them.

        Args:
            values: `(N, C, L)`.
            mask: where they are known `(N, C, L)`.
            durations: `(N, 2)`, NaN where unknown.
            kind: of each curve `(N,)`.
            kinds: how many there are.
        """
        parts = []
        for index in range(kinds):
            chosen, two = kind == index, durations[kind == index]
            mean, std, seen = _moments(values[chosen].astype(np.float64), mask[chosen])
            parts.append((mean, std, *_moments(np.nan_to_num(two), np.isfinite(two)), seen))
        mean, std, duration_mean, duration_std, duration_seen, seen = (np.stack(part) for part in zip(*parts, strict=True))
        return cls(mean, std, duration_mean, duration_std, seen, duration_seen)

    def adapted(self, few: Scaler) -> Scaler:
        """The same scaler, for faults with the numbers of a few, drawn towards those of normal curves of their kind.

        The second half of the kinds are the first half's faults. Where no normal curve has been seen, as beyond a limit that
        none of them leaves, the few alone count, for both.
        """
        half = len(self.mean) // 2
        found = {"seen": np.concatenate([self.seen[:half], few.seen[half:]])}
        found["duration_seen"] = np.concatenate([self.duration_seen[:half], few.duration_seen[half:]])
        for prefix in ("", "duration_"):
            names = [f"{prefix}{name}" for name in ("mean", "std", "seen")]
            mean, std, seen = (getattr(self, name)[:half] for name in names)
            other_mean, other_std, count = (getattr(few, name)[half:] for name in names)
            share = np.where(seen > 0, count / (count + SOURCE_WEIGHT), 1.0)
            both = mean + share * (other_mean - mean)
            variance = (1 - share) * std**2 + share * other_std**2
            found[f"{prefix}mean"] = np.concatenate([np.where(seen > 0, mean, other_mean), both])
            found[f"{prefix}std"] = np.concatenate([np.where(seen > 0, std, other_std), np.sqrt(variance)])
        return Scaler(**found)

    def forward(self, values: Array, kind: NDArray[np.int64]) -> Array:
        """Channels to scaled ones `(N, C, L)`."""
        return (values - self.mean[kind]) / self.std[kind]

    def inverse(self, scaled: Array, kind: NDArray[np.int64]) -> Array:
        """The inverse of `forward` `(N, C, L)`."""
        return scaled * self.std[kind] + self.mean[kind]

    def forward_durations(self, durations: Array, kind: NDArray[np.int64]) -> Array:
        """Durations to scaled ones `(N, 2)`."""
        return (durations - self.duration_mean[kind]) / self.duration_std[kind]

    def inverse_durations(self, scaled: Array, kind: NDArray[np.int64]) -> Array:
        """The inverse of `forward_durations` `(N, 2)`."""
        return scaled * self.duration_std[kind] + self.duration_mean[kind]


def prior(grid: GridConfig) -> Array:
    """What is expected of a curve where nothing is known, coded `(C, L)`: a straight tail, 25 degC, no current."""
    mean = np.repeat(np.array([0.6, 0.8, 25.0, 0.0])[:, None], grid.length, axis=1)
    mean[VOLTAGE, grid.head :] = tail_positions(grid)
    return mean


def _moments(values: Array, mask: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Masked mean and standard deviation over the first axis, drawn towards zero and one, and how many there are."""
    count = mask.sum(axis=0).astype(np.float64)
    mean = (values * mask).sum(axis=0) / (count + PLAIN_WEIGHT)
    square = (((values - mean) ** 2) * mask).sum(axis=0)
    return mean, np.maximum(np.sqrt((square + PLAIN_WEIGHT) / (count + PLAIN_WEIGHT)), FLOOR), count
