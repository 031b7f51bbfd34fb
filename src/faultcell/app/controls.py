"""What can be asked of a model, and the ranges of it that the model has seen: the sliders of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from faultcell.augmenter import Augmenter
from faultcell.curves.condition import FAULTS
from faultcell.curves.schema import NORMAL, SEVERITY, Array
from faultcell.encoding.condition_vector import CONTEXT, unscaled_context
from faultcell.encoding.grid import DISCHARGE, STEPS

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
    """

    name: str
    title: str
    unit: str = ""
    hint: str = ""
    least: float = 0.0
    most: float = math.inf
    whole: bool = False


QUANTITIES = (
    Quantity("peak_deviation_volt", "Peak deviation", "V", "how far beyond the rated limit under load", least=0.005),
    Quantity(
        "repetition_count", "Repetitions", "", "faults of this kind the cell has seen, this one included", least=1, whole=True
    ),
    Quantity("cumulative_duration_second", "Cumulated time", "s", "beyond the limit, summed over these faults", least=1),
    Quantity("c_rate", "C-rate", "1/h", "load current over nominal capacity", least=0.06),
    Quantity("ambient_temperature_celsius", "Ambient temperature", "°C", "around the cell", least=-60, most=120),
    Quantity("cycle_count", "Cycle", "", "number of the cycle in the life of the cell", least=1, whole=True),
    Quantity("state_of_health", "State of health", "", "capacity over nominal capacity", least=0.05, most=1.2),
)


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
        """Whether it may be left unknown."""
        return self.quantity.name != SEVERITY[0]

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
        """The stop of the slider nearest to the usual value."""
        return self._stop(self.usual, round)

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
        return f"{NORMAL} {self.step_type}" if self.label == NORMAL else self.label


def kinds(model: Augmenter) -> list[Kind]:
    """What a model can draw, the faults first."""
    profile = model.profile
    faults = [Kind(name, FAULTS[name].step_type) for name in profile.labels if name in FAULTS]
    plain = [Kind(NORMAL, step) for step in profile.step_types] if NORMAL in profile.labels else []
    return [kind for kind in faults if kind.step_type in profile.step_types] + plain


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
    if kind.label != NORMAL:
        peaks, count = known.peak_volt[own], known.count[own]
        for name, values in zip(SEVERITY, (peaks, count, count * np.exp(known.past[own])), strict=True):
            seen[name] = (np.array(ranges[name]), values)
    return [_knob(quantity, seen[quantity.name]) for quantity in QUANTITIES if _told(seen.get(quantity.name))]


def _told(values: Sequence[Array] | None) -> bool:
    return values is not None and bool(np.isfinite(values[0]).any())


def _knob(quantity: Quantity, seen: tuple[Array, Array]) -> Control:
    all_seen, own = seen
    usual = own if np.isfinite(own).any() else all_seen
    numbers = (np.nanmin(all_seen), np.nanmax(all_seen), np.nanmedian(usual))
    return Control(quantity, *(float(f"{number:.6g}") for number in numbers))  # scaled values come back with noise
