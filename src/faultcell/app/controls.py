"""What can be asked of a model, and the ranges of it that the model has seen: the sliders of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faultcell.augmenter import Augmenter
from faultcell.bundle.profile import Ranges, kind_of
from faultcell.curves.conditions import LEAST_DRIVE
from faultcell.curves.faults import FAULTS, Severity, half_cycles, inside
from faultcell.curves.schema import NORMAL, SEVERITY, Array
from faultcell.encoding.condition_vector import CONTEXT, unscaled_context
from faultcell.encoding.grid import DISCHARGE, STEPS
from faultcell.regression.kernel import drivers

UNIT = re.compile(r"_c_rate$|(_[a-z]+_per)?_[a-z]+$")  # at the end of the name of a severity
BEYOND = 0.2  # share of the range seen by which a slider goes on beyond it, on either side
STOPS = 100  # of a slider, at least, over what was seen


@dataclass(frozen=True)
class Quantity:
    """A number that a condition has.

    Attributes:
        name: attribute of `Condition`.
        title: for readers.
        unit: of it; empty where it has none.
        hint: what it means.
        least: smallest value a slider offers.
        most: largest one.
        whole: whether only whole numbers make sense.
        digits: decimals in which drawn curves tell it.
    """

    name: str
    title: str
    unit: str = ""
    hint: str = ""
    least: float = 0.0
    most: float = math.inf
    whole: bool = False
    digits: int = 0


def _of(severity: Severity) -> Quantity:
    """A severity of faults inside all limits."""
    title = UNIT.sub("", severity.name).replace("_", " ").capitalize()
    least = -severity.most if severity.signed else LEAST_DRIVE * severity.typical if severity.drives else 0.0
    digits = max(0, 3 - math.ceil(math.log10(severity.typical)))
    return Quantity(severity.name, title, severity.unit, severity.meaning, least, severity.most, digits=digits)


QUANTITIES = (
    Quantity("peak_deviation_volt", "Peak deviation", "V", "how far beyond the rated limit under load", 0.005, digits=3),
    Quantity(
        "repetition_count", "Repetitions", "", "faults of this kind the cell has seen, this one included", least=1, whole=True
    ),
    Quantity("cumulative_duration_second", "Cumulated time", "s", "beyond the limit, summed over these faults", least=1),
    *(_of(severity) for severity in inside(FAULTS)),
    Quantity("c_rate", "C-rate", "1/h", "load current over nominal capacity", least=0.06, digits=2),
    Quantity("ambient_temperature_celsius", "Ambient temperature", "°C", "around the cell", least=-60, most=120),
    Quantity("cycle_count", "Cycle", "", "number of the cycle in the life of the cell", least=1, whole=True),
    Quantity("state_of_health", "State of health", "", "capacity over nominal capacity", least=0.05, most=1.2),
)
SEVERITIES = {severity.name: severity for severity in inside(FAULTS)}  # of faults inside all limits
DEPTHS = (SEVERITY[0], *(name for name, one in SEVERITIES.items() if one.drives))  # what a fault is asked for by


@dataclass(frozen=True)
class Control:
    """A quantity of one model and kind of curve.

    Attributes:
        quantity: what it is.
        low: smallest value seen.
        high: largest value seen.
        usual: the median of those seen.
    """

    quantity: Quantity
    low: float
    high: float
    usual: float

    @property
    def optional(self) -> bool:
        """Whether it may be left unknown: all but what a fault is asked for by."""
        return self.quantity.name not in DEPTHS

    @property
    def step(self) -> float:
        """From one stop of the slider to the next: 1, 2 or 5 times a power of ten."""
        width = (self.high - self.low) or abs(self.high) or 1.0
        power = 10.0 ** math.floor(math.log10(width / STOPS))
        found = power * max(factor for factor in (1, 2, 5) if factor * power <= width / STOPS)
        return max(1.0, round(found)) if self.quantity.whole else found

    @property
    def digits(self) -> int:
        """Decimals of its stops."""
        return max(0, -math.floor(math.log10(self.step)))

    @property
    def ends(self) -> tuple[float, float]:
        """Where the slider ends: a bit beyond what was seen."""
        room = BEYOND * ((self.high - self.low) or abs(self.high) or 1.0)
        low = max(self._stop(self.quantity.least, math.ceil), self._stop(self.low - room, math.floor))
        return low, min(self.quantity.most, self._stop(self.high + max(room, self.step), math.ceil))

    @property
    def start(self) -> float:
        """The stop of the slider nearest to the usual value; what a fault is asked for by is not rounded to none."""
        nearest = self._stop(self.usual, round)
        if not nearest and self.usual and not self.optional:
            nearest = math.copysign(self.step, self.usual)
        return max(nearest, self.ends[0])

    def spelt(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:,.{self.digits}f} {self.quantity.unit}".strip()

    def beyond(self, value: float | None) -> str | None:
        """A sentence where a value lies outside of what was seen."""
        slack = 0.51 * self.step  # the stop next to the smallest or largest value seen is no extrapolation
        if value is None or self.low - slack <= value <= self.high + slack:
            return None
        seen = f"{self.spelt(self.low)} to {self.spelt(self.high)}" if self.low < self.high else f"only {self.spelt(self.low)}"
        return f"{self.quantity.title} {self.spelt(value)} is beyond what the model has seen ({seen})"

    def _stop(self, value: float, to_whole: Callable[[float], int]) -> float:
        return round(to_whole(round(value / self.step, 6)) * self.step, self.digits)


@dataclass(frozen=True)
class Kind:
    """A label and the half-cycle it shows in."""

    label: str
    step_type: str

    @property
    def id(self) -> str:
        """A name for it."""
        if self.label == NORMAL:
            return f"{NORMAL} {self.step_type}"
        return next(name for name, step in half_cycles(self.label).items() if step == self.step_type)


def kinds(model: Augmenter) -> list[Kind]:
    """What a model can draw, the faults first, each in the half-cycles in which it was seen."""
    profile = model.profile
    faults = [Kind(name, step) for name in profile.labels if name in FAULTS for step in FAULTS[name].step_types]
    faults = [kind for kind in faults if kind_of(kind.label, kind.step_type) in profile.seconds]
    plain = [Kind(NORMAL, step) for step in profile.step_types] if NORMAL in profile.labels else []
    return faults + plain


def knobs(model: Augmenter, kind: Kind) -> list[Control]:
    """What can be asked of a model for a kind of curve; what no curve has ever told is left out.

    Severities are those of the fault, the context is that of all curves of the same half-cycle; the usual values are those of
    the curves of the kind that the model keeps.
    """
    known = model.encoder.regression.known.queries
    same_step = (known.mode == DISCHARGE) == (kind.step_type == STEPS[DISCHARGE])
    place = model.profile.faults.index(kind.label) if kind.label != NORMAL else -1
    own = same_step & (known.label == place)
    context = unscaled_context(known.features[:, : len(CONTEXT)])
    ranges = {**model.profile.contexts.get(kind.step_type, {}), **model.profile.ranges.get(kind.label, {})}
    seen = {name: (np.array(ranges[name]), values[own]) for name, values in context.items() if name in ranges}
    if kind.label != NORMAL and FAULTS[kind.label].side is None:
        names = [one.name for one in drivers(model.profile.faults)]
        columns = {one: known.severities[own, names.index(one.name)] for one in FAULTS[kind.label].drivers}
        seen |= _driven(columns, ranges)
    elif kind.label != NORMAL:
        peaks, count = known.peak_volt[own], known.count[own]
        for name, values in zip(SEVERITY, (peaks, count, count * np.exp(known.past[own])), strict=True):
            seen[name] = (np.array(ranges[name]), values)
    return [_knob(quantity, seen[quantity.name]) for quantity in QUANTITIES if _told(seen.get(quantity.name))]


def _driven(columns: Mapping[Severity, Array], ranges: Ranges) -> dict[str, tuple[Array, Array]]:
    """The range seen and the usual value of each severity that drives a fault inside all limits, where it was ever there.

    Of several one is enough for a fault: the others are usually zero.

    Args:
        columns: the severities of the curves that the model keeps, in what is typical of each `(K,)`.
        ranges: the smallest and the largest value seen of each.
    """
    known = {one: values * one.typical if values.any() else np.array(ranges[one.name]) for one, values in columns.items()}
    there = {one: values[values != 0] for one, values in known.items() if values.any()}
    main = max(there, key=lambda one: float(np.abs(there[one]).sum()) / one.typical, default=None)
    found = {}
    for one, values in there.items():
        usual = float(np.quantile(values, 0.5, method="higher")) if one is main else 0.0
        ends = np.array([*ranges[one.name], *([0.0] if len(columns) > 1 else [])])
        # One that was measured may have come out as less than none.
        found[one.name] = (ends if one.signed else np.maximum(ends, LEAST_DRIVE * one.typical), np.array([usual]))
    return found


def _told(values: Sequence[Array] | None) -> bool:
    return values is not None and bool(np.isfinite(values[0]).any())


def _knob(quantity: Quantity, seen: tuple[Array, Array]) -> Control:
    all_seen, own = seen
    usual = own if own.size and np.isfinite(own).any() else all_seen
    numbers = (np.nanmin(all_seen), np.nanmax(all_seen), np.nanmedian(usual))
    return Control(quantity, *(float(f"{number:.6g}") for number in numbers))  # scaled values come back with noise
