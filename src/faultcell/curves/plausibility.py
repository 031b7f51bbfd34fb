"""What a cell can do, as training curves showed it: the bounds that every drawn curve must keep before it leaves.

To add a check, add a row to `CHECKS`: its words and a function of a curve, what it was asked to be, and the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.schema import Array

LEAST_CELSIUS, MOST_CELSIUS = -40.0, 80.0  # of a cell's surface, unless training curves went beyond
CELSIUS_MARGIN = 10.0  # beyond what was seen
MOST_CELSIUS_STEP = 8.0  # from one sample to the next
COOLING = 1.0  # below what the surface had come to, under load, K, unless training curves cooled further
STEP_VOLT, STEP_SHARE = 0.1, 0.005  # in so much of the time, between plateaus, unless they did more
NEAR_LIMIT = 0.2  # of the rated window: from there on a curve may be as steep as it likes
AGAINST_VOLT = 0.02  # against the direction of the half-cycle, unless training curves did more
FLAT_VOLT, FLAT_SHARE = 0.003, 0.02  # so near the limit, for so much of the time, unless training curves were
STEADY = 0.95  # of the typical largest current: above, the current is held constant
WHOLLY = 0.9  # of the samples, for a load to be constant throughout
MOST_SURGE = 2.0  # times the median load
MARGIN = 1.25  # times what was seen
# The share of training curves below, where not 0.99; of steps and falls a few broken curves must not tell.
RARELY = {"least_celsius": 0.01, "step_volt": 0.9, "against_volt": 0.9}
START_SHARE = 0.1  # of the time, at first, in which a voltage may turn


class Envelope(BaseModel):
    """What the curves of one kind of half-cycle did at most.

    Attributes:
        against_volt: against the direction of the half-cycle, under a constant load after the first tenth of the time, V.
        flat_share: of the time within 3 mV of the rated limit.
        least_celsius: surface temperature.
        most_celsius: the same.
        celsius_step: from one sample to the next, K.
        cooling: below what the surface had come to before, K.
        step_volt: in half a percent of the time, away from the start and the limit, under a constant load, V.
        other_volt: beyond the limit at which the half-cycle begins, as a cell that was drained before is, V.
        surge: largest over median load current of discharges.
        c_rate: largest current over nominal capacity, 1/h.
        charge: moved, over nominal capacity.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    against_volt: float = AGAINST_VOLT
    flat_share: float = FLAT_SHARE
    least_celsius: float = LEAST_CELSIUS
    most_celsius: float = MOST_CELSIUS
    celsius_step: float = MOST_CELSIUS_STEP
    cooling: float = COOLING
    step_volt: float = STEP_VOLT
    other_volt: float = 0.0
    surge: float = MOST_SURGE
    c_rate: float = 0.0
    charge: float = 0.0

    def joined(self, other: Envelope) -> Envelope:
        """What holds both."""
        return Envelope(
            **{
                name: (min if name == "least_celsius" else max)(getattr(self, name), getattr(other, name))
                for name in Envelope.model_fields
            }
        )

    @classmethod
    def of(cls, curves: Curves) -> Envelope:
        """Of the curves of one kind of half-cycle; one in a hundred may have done more."""
        nominal = curves.known("nominal_capacity_ah")
        figures = [
            {**one.figures(), "c_rate": one.most_current / nominal[i], "charge": one.charge / nominal[i]}
            for i, one in enumerate(loaded_curves(curves))
            if one.time.size > 1
        ]
        if not figures:
            return cls()
        found = {name: np.array([row[name] for row in figures]) for name in figures[0]}
        known = {name: values[np.isfinite(values)] for name, values in found.items()}
        most = {n: float(np.quantile(v, RARELY.get(n, 0.99))) for n, v in known.items() if v.size}
        plain = cls()
        kept = {n: (min if n == "least_celsius" else max)(most[n], getattr(plain, n)) for n in most}
        return cls(**kept)


@dataclass(frozen=True, eq=False)
class LoadedCurve:
    """The loaded part of one curve: s, V, A, degC `(n,)`, whether it is a charge, the limit it can break and the window, V."""

    time: Array
    voltage: Array
    current: Array
    celsius: Array
    charge_step: bool
    limit: float
    window: float

    def figures(self) -> dict[str, float]:
        """What `Envelope` bounds, but for what needs a nominal capacity; NaN where it has no meaning."""
        return {
            "against_volt": self.against,
            "flat_share": self.flat,
            "least_celsius": float(self.warm.min()) if self.warm.size else np.nan,
            "most_celsius": float(self.warm.max()) if self.warm.size else np.nan,
            "celsius_step": self.celsius_step,
            "cooling": self.cooling,
            "step_volt": self.step,
            "other_volt": self.other,
            "surge": self.surge,
        }

    @cached_property
    def warm(self) -> Array:
        """Known surface temperatures, degC."""
        return np.asarray(self.celsius[np.isfinite(self.celsius)])

    @property
    def celsius_step(self) -> float:
        """Largest change of the surface temperature from one known sample to the next, K; NaN where there are not two."""
        return float(np.abs(np.diff(self.warm)).max()) if self.warm.size > 1 else np.nan

    @property
    def cooling(self) -> float:
        """How far the surface temperature falls below what it had come to, K; NaN where it is unknown."""
        return float((np.maximum.accumulate(self.warm) - self.warm).max()) if self.warm.size else np.nan

    @property
    def other(self) -> float:
        """How far the voltage lies beyond the limit at which the half-cycle begins, V."""
        sign = 1.0 if self.charge_step else -1.0
        return float(max((sign * self.limit - self.window - sign * self.voltage).max(), 0.0))

    @property
    def step(self) -> float:
        """Largest change of the voltage in a short time, away from both ends, where the load is constant, V."""
        if self.steady.mean() < WHOLLY:
            return 0.0
        time = self.time[0] + np.arange(START_SHARE / 2, 1, STEP_SHARE) * (self.time[-1] - self.time[0])
        voltage = np.interp(time, self.time, self.voltage)
        away = np.minimum.accumulate(np.abs(voltage - self.limit) > NEAR_LIMIT * self.window)
        return float(np.abs(np.diff(voltage[away])).max(initial=0.0))

    @cached_property
    def steady(self) -> NDArray[np.bool_]:
        """Where the current is held constant `(n,)`."""
        magnitude = np.abs(self.current)
        return np.asarray(magnitude > STEADY * np.quantile(magnitude, 0.995))

    @property
    def most_current(self) -> float:
        """Largest |current|, A."""
        return float(np.abs(self.current).max())

    @property
    def charge(self) -> float:
        """Moved, Ah."""
        magnitude = np.abs(self.current)
        return float(((magnitude[1:] + magnitude[:-1]) / 2 * np.diff(self.time)).sum() / 3600)

    @property
    def surge(self) -> float:
        """Largest over median current of a discharge; a charge has a current that falls to next to none."""
        magnitude = np.abs(self.current)
        median = float(np.median(magnitude[magnitude > STEADY / 10 * magnitude.max()])) if magnitude.any() else 0.0
        return np.nan if self.charge_step or median <= 0 else self.most_current / median

    @property
    def against(self) -> float:
        """How far the voltage goes against its direction under a constant load, after the first tenth of the time, V."""
        kept = self.steady & (self.time - self.time[0] > START_SHARE * (self.time[-1] - self.time[0]))
        if self.steady.mean() < 0.5 or kept.sum() < 4:
            return 0.0  # a load that swings, or falls: nothing is constant
        progress = self.voltage[kept] if self.charge_step else -self.voltage[kept]
        return float((np.maximum.accumulate(progress) - progress).max())

    @property
    def flat(self) -> float:
        """Share of the time within a few millivolts of the limit, for a discharge; a charge is held there."""
        if self.charge_step:
            return 0.0
        near = np.interp(np.linspace(self.time[0], self.time[-1], 400), self.time, self.voltage) - self.limit
        return float((np.abs(near) < FLAT_VOLT).mean())


def loaded_curves(curves: Curves) -> Iterator[LoadedCurve]:
    """The loaded part of each curve of a set."""
    names = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
    columns = [curves.column(name) for name in names]
    charges = (curves.halfcycles["step_type"] == "charge").to_list()
    lower, upper = (curves.known(f"{side}_voltage_limit_volt") for side in ("lower", "upper"))
    for i, rows in enumerate(curves.slices()):
        part = loaded_part(curves, rows)
        time, voltage, current, celsius = (column[part] for column in columns)
        yield LoadedCurve(
            time, voltage, current, celsius, charges[i], float(upper[i] if charges[i] else lower[i]), upper[i] - lower[i]
        )


class Bounds(NamedTuple):
    """What one drawn curve must keep.

    Attributes:
        envelope: of its half-cycle.
        seconds: shortest and longest training curve of its label, None where the request says how long it lasts.
    """

    envelope: Envelope
    seconds: tuple[float, float] | None


Check = Callable[[LoadedCurve, Condition, Bounds], bool]
CHECKS: dict[str, Check] = {
    "readings that are no numbers": lambda curve, _, __: bool(
        np.isfinite(curve.time).all() and np.isfinite(curve.voltage).all() and np.isfinite(curve.current).all()
    ),
    "time that does not run": lambda curve, _, __: bool((np.diff(curve.time) >= 0).all() and curve.time[-1] > 0),
    "a voltage against its direction": lambda curve, _, bounds: curve.against <= bounds.envelope.against_volt,
    "a voltage flat along its limit": lambda curve, _, bounds: curve.flat <= bounds.envelope.flat_share,
    "a voltage that drops from one plateau to another": lambda curve, _, bounds: curve.step <= bounds.envelope.step_volt,
    "a voltage no rated cell has": lambda curve, asked, bounds: _rated(curve, asked, bounds.envelope),
    "a temperature no cell here had": lambda curve, asked, bounds: _warm(curve, asked, bounds.envelope),
    "a temperature that jumps": lambda curve, _, bounds: not curve.celsius_step > bounds.envelope.celsius_step,
    "a surface that cools under load": lambda curve, _, bounds: not curve.cooling > bounds.envelope.cooling + COOLING,
    "a current that surges": lambda curve, asked, bounds: _current(curve, asked, bounds.envelope),
    "more charge than a cell holds": lambda curve, asked, bounds: (
        curve.charge / (asked.nominal_capacity_ah or 1.0)
        <= MARGIN * max(bounds.envelope.charge, asked.state_of_health or 0.0, 1e-9)
    ),
    "a duration no curve of its kind had": lambda curve, asked, bounds: _lasts(curve, asked, bounds.seconds),
}


def violations(time: Array, voltage: Array, current: Array, celsius: Array, asked: Condition, bounds: Bounds) -> list[str]:
    """What of a drawn curve no cell does, in words; none for one that may leave.

    Args:
        time: s `(n,)`.
        voltage: V `(n,)`.
        current: A `(n,)`.
        celsius: surface temperature, NaN where there is none `(n,)`.
        asked: what was asked for, with limits and nominal capacity.
        bounds: what it must keep.
    """
    assert asked.limits is not None
    charge = asked.step == "charge"
    limit, window = (asked.limits.upper if charge else asked.limits.lower), asked.limits.upper - asked.limits.lower
    curve = LoadedCurve(time, voltage, current, celsius, charge, limit, window)
    numbers = next(iter(CHECKS))  # which the others need
    if not CHECKS[numbers](curve, asked, bounds):
        return [numbers]
    return [words for words, holds in CHECKS.items() if not holds(curve, asked, bounds)]


def _rated(curve: LoadedCurve, asked: Condition, envelope: Envelope) -> bool:
    """Whether a voltage stays between the limits and what was asked beyond them.

    The limit at which it begins it may pass by a tenth of the window, or as far as training curves did: a cell that was drained
    is charged from there.
    """
    assert asked.limits is not None
    room = max(0.1 * (asked.limits.upper - asked.limits.lower), MARGIN * envelope.other_volt)
    peak = asked.peak_deviation_volt + 0.01
    below, above = (room, peak) if asked.step == "charge" else (peak, room)
    low = asked.limits.lower - below
    return bool(curve.voltage.min() >= low and curve.voltage.max() <= asked.limits.upper + above)


def _lasts(curve: LoadedCurve, asked: Condition, seconds: tuple[float, float] | None) -> bool:
    """Whether a curve lasts as long as those of its kind did, or as the charge asked for takes."""
    if seconds is None:
        return True
    full = 3600 * asked.state_of_health / asked.c_rate if asked.state_of_health and asked.c_rate else None
    least, most = (seconds[0], seconds[1]) if full is None else (min(seconds[0], full / 2), max(seconds[1], full))
    return bool(least / 2 <= curve.time[-1] - curve.time[0] <= 2 * most)


def _warm(curve: LoadedCurve, asked: Condition, envelope: Envelope) -> bool:
    """Whether temperatures lie within what was seen, or near the ambient one that was asked for."""
    warm = curve.warm
    if not warm.size:
        return True
    ambient = asked.ambient_temperature_celsius
    least, most = envelope.least_celsius - CELSIUS_MARGIN, envelope.most_celsius + CELSIUS_MARGIN
    if ambient is not None:
        least, most = min(least, ambient - CELSIUS_MARGIN), max(most, ambient + CELSIUS_MARGIN)
    return bool(warm.min() >= max(least, LEAST_CELSIUS - CELSIUS_MARGIN) and warm.max() <= most)


def _current(curve: LoadedCurve, asked: Condition, envelope: Envelope) -> bool:
    """Whether a current is one that the load asked for has, or, where none was, one that was seen."""
    if asked.load is not None and asked.load.is_pulsed:
        return True
    surge, most = curve.surge, MARGIN * max(envelope.c_rate, asked.c_rate or 0.0) * (asked.nominal_capacity_ah or 1.0)
    return not surge > envelope.surge and curve.most_current <= max(most, 1e-9)
