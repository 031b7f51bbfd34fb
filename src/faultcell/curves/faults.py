"""Kinds of fault, one row each: where it shows, how severe it can be, and what it does to a normal curve.

**To add a fault, add a row to the end of `FAULTS`** (its place is its place in the condition vector). What it can be asked for
on the command line and the page, its columns in curve sets, the condition vector, what is measured and shown all follow.

A fault either breaks a voltage limit (`side`), or it goes on inside all limits. Of the latter a row also says what physics
knows of it (`effect`): by how much a normal curve is moved along its voltage, stretched in time and warmed at first order. What
the known faults show beyond that is learnt (`regression.fault_effect`), in proportion to the severities that `drive` it.
One that also shows in a cell at rest has severities of such a record (`at_rest`), which say nothing of a half-cycle.

References:
    Batteries 2025, 11(7), 248 (condition vector: peak deviation, repetitions, duration of over-charge and -discharge).
    Hu et al., An Online Adaptive Internal Short Circuit Detection Method, 2020, https://doi.org/10.1007/s42154-020-00127-9
    (the leak of an internal short as what the charge balance lacks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from faultcell.curves.schema import NORMAL, REST, Side
from faultcell.errors import ConditionError, meant

if TYPE_CHECKING:
    from faultcell.curves.condition import Condition

LEAST_RATE_LEFT = 0.05  # of the load current that a leak leaves to the cell, at least: beyond, a charge never ends


@dataclass(frozen=True)
class Severity:
    """A number that says how severe a fault is.

    Attributes:
        name: column and attribute, with its unit at the end.
        unit: as it is shown.
        meaning: in words.
        typical: what counts as one in the condition vector, in that unit.
        most: what is possible, in that unit; as much below zero where it is `signed`.
        drives: whether the fault's effect grows in proportion to it; else it is a consequence, and may stay unknown.
        signed: whether it can be negative.
    """

    name: str
    unit: str
    meaning: str
    typical: float
    most: float
    drives: bool = False
    signed: bool = False

    def check(self, value: float) -> None:
        """Raise ConditionError for what no cell has."""
        least = -self.most if self.signed else 0.0
        if not (np.isfinite(value) and least <= value <= self.most):
            raise ConditionError(f"{self.name} must be between {least:g} and {self.most:g} {self.unit}, found {value:g}")


class FirstOrder(NamedTuple):
    """What physics says a fault does to a normal curve.

    Attributes:
        volt: how far it is moved along its voltage, in the direction of its half-cycle (a charge up, a discharge down), V.
        log_stretch: logarithm of how much longer the part inside its limits lasts.
        kelvin: how much warmer it reads.
    """

    volt: float = 0.0
    log_stretch: float = 0.0
    kelvin: float = 0.0


def _unknown(_: Condition) -> FirstOrder:
    return FirstOrder()


def _ampere(condition: Condition) -> float:
    """The load current of a condition, A; 0 where it is unknown."""
    return (condition.c_rate or 0.0) * (condition.nominal_capacity_ah or 1.0)


def _bypassed(condition: Condition, c_rate: float) -> float:
    """Log stretch of a half-cycle of which so much of the current passes the cell by; negative where more flows through it."""
    if not condition.c_rate:
        return 0.0
    share = c_rate / condition.c_rate * (1 if condition.step == "charge" else -1)
    return float(-np.log(max(1 - share, LEAST_RATE_LEFT)))


def _leak(condition: Condition) -> FirstOrder:
    """Charge balance: what leaks is charged in vain, and is missing from the discharge."""
    return FirstOrder(log_stretch=_bypassed(condition, condition.severity("leakage_c_rate") or 0.0))


def _contact(condition: Condition) -> FirstOrder:
    """Ohm's law."""
    return FirstOrder(volt=(condition.severity("added_resistance_milliohm") or 0.0) / 1000 * _ampere(condition))


def _sensor(condition: Condition) -> FirstOrder:
    """What is read is off, and the cycler goes by it; a current that reads too high leaves the cell less."""
    sign, nominal = (1 if condition.step == "charge" else -1), condition.nominal_capacity_ah or 1.0
    volt, ampere, kelvin = (
        (condition.severity(f"{name}_offset_{unit}") or 0.0) / per
        for name, unit, per in (("voltage", "millivolt", 1000), ("current", "milliampere", 1000), ("temperature", "kelvin", 1))
    )
    return FirstOrder(sign * volt, _bypassed(condition, ampere / nominal), kelvin)


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: its label.
        step_types: half-cycles in which it shows.
        severities: how severe it can be, the first before all others.
        side: the rated voltage limit it breaks; None if it breaks none.
        effect: what physics says it does to a normal curve of that condition.
        needs: columns of `timeseries` without which it cannot be told.
        at_rest: how severe it can be in the record of a rest, the first before all others; none where it does not show there.
    """

    name: str
    step_types: tuple[str, ...]
    severities: tuple[Severity, ...]
    side: Side | None = None
    effect: Callable[[Condition], FirstOrder] = _unknown
    needs: tuple[str, ...] = ()
    at_rest: tuple[Severity, ...] = ()

    @property
    def records(self) -> tuple[str, ...]:
        """What kinds of record it shows in: half-cycles, and rests."""
        return (*self.step_types, *((REST,) if self.at_rest else ()))

    def severities_in(self, step: str) -> tuple[Severity, ...]:
        """How severe it can be in a kind of record."""
        return self.at_rest if step == REST else self.severities

    @property
    def step_type(self) -> str:
        """The half-cycle it is asked for in where none is named."""
        return self.step_types[0]

    @property
    def main(self) -> Severity:
        """The severity it is asked for by."""
        return self.severities[0]

    @property
    def drivers(self) -> tuple[Severity, ...]:
        """The severities that it grows in proportion to; none for one that breaks a limit."""
        return tuple(one for one in self.severities if one.drives)

    @property
    def asked_by(self) -> tuple[Severity, ...]:
        """The severities it is asked for by: what drives it, or how far it goes beyond its limit."""
        return self.drivers or (self.main,)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its severities."""
        return tuple(one.name for one in self.severities)


BEYOND = (
    Severity("peak_deviation_volt", "V", "how far the voltage goes beyond the rated limit under load", 0.5, 2.5),
    Severity("repetition_count", "", "faults of that kind the cell has seen, this one included", 1.0, np.inf),
    Severity("cumulative_duration_second", "s", "time beyond the limit summed over those faults", 60.0, np.inf),
)
BOTH = ("charge", "discharge")
CELSIUS = "surface_temperature_celsius"

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("overcharge", ("charge",), BEYOND, side="high"),
        Fault("overdischarge", ("discharge",), BEYOND, side="low"),
        Fault("overvoltage", ("charge",), BEYOND, side="high"),
        Fault(
            "internal_short",
            BOTH,
            (
                Severity(
                    "leakage_c_rate", "1/h", "current that leaks inside the cell, over nominal capacity", 0.05, 2.0, drives=True
                ),
            ),
            effect=_leak,
            at_rest=(
                Severity("collapse_depth_volt", "V", "how far the voltage of a resting cell falls at most", 2.0, 6.0, True),
                Severity("collapse_second", "s", "time from a tenth to nine tenths of that fall", 10.0, np.inf),
            ),
        ),
        Fault(
            "cooling_failure",
            BOTH,
            (
                Severity(
                    "temperature_rise_kelvin",
                    "K",
                    "peak temperature above that of the cell's own normal cycle",
                    10.0,
                    100.0,
                    True,
                ),
                Severity("fastest_rise_kelvin_per_minute", "K/min", "fastest rise over a minute", 1.0, 1000.0),
                Severity("overtemperature_second", "s", "time above the rated temperature limit", 600.0, np.inf),
            ),
            needs=(CELSIUS,),
        ),
        Fault(
            "contact_fault",
            BOTH,
            (
                Severity(
                    "added_resistance_milliohm", "mOhm", "series resistance on top of the cell's own", 20.0, 1e4, drives=True
                ),
            ),
            effect=_contact,
        ),
        Fault(
            "sensor_offset",
            BOTH,
            (
                Severity("voltage_offset_millivolt", "mV", "what the voltage reads too much", 30.0, 500.0, True, signed=True),
                Severity(
                    "current_offset_milliampere",
                    "mA",
                    "what the current (+ = charge) reads too much",
                    100.0,
                    1e4,
                    True,
                    signed=True,
                ),
                Severity("temperature_offset_kelvin", "K", "what the temperature reads too much", 5.0, 50.0, True, signed=True),
            ),
            effect=_sensor,
        ),
    )
}


TYPICAL_VOLT = 3.7  # of a lithium-ion cell, over which a leak is told as a resistance


def ohm_of_leak(c_rate: float, nominal_ah: float) -> float:
    """The resistance inside a cell through which so much leaks, Ohm."""
    return TYPICAL_VOLT / (c_rate * nominal_ah)


def fault(name: str) -> Fault:
    """The fault of that name; raises ConditionError if there is none."""
    if name not in FAULTS:
        raise ConditionError(f"unknown fault '{name}'{meant(name, FAULTS)}: known are {', '.join(FAULTS)}")
    return FAULTS[name]


def half_cycles(name: str) -> dict[str, str]:
    """The half-cycles in which a fault shows, by a name for the fault in it: its own where there is one half-cycle."""
    steps = FAULTS[name].step_types
    return {name if len(steps) == 1 else f"{name} {step}": step for step in steps}


def in_half_cycle(name: str) -> tuple[str, str]:
    """The label and the half-cycle that a name of `half_cycles` means; raises ConditionError if there is none."""
    found = {key: (label, step) for label in FAULTS for key, step in half_cycles(label).items()}
    if name not in found:
        raise ConditionError(f"unknown fault '{name}'{meant(name, found)}: known are {', '.join(found)}")
    return found[name]


def resting_name(label: str) -> str:
    """The name for a fault in cells at rest, as `half_cycles` has one for each half-cycle."""
    return f"{label} {REST}"


def in_record(name: str) -> tuple[str, str]:
    """The label and the kind of record that a name of `half_cycles` or `resting_name` means; raises ConditionError so, too."""
    label = name.removesuffix(resting_name(""))
    return (label, REST) if label != name and label in FAULTS else in_half_cycle(name)


def inside(names: Iterable[str]) -> tuple[Severity, ...]:
    """The severities of those of these faults that break no limit, in order."""
    kinds = (FAULTS[name] for name in names if stays_inside(name))
    return tuple({one.name: one for kind in kinds for one in kind.severities}.values())


def resting(names: Iterable[str]) -> tuple[Severity, ...]:
    """The severities of those of these faults that show in a cell at rest, in its record, in order."""
    return tuple(one for name in names if name in FAULTS for one in FAULTS[name].at_rest)


def severities_of(label: str, steps: Iterable[str] = ("charge",)) -> tuple[Severity, ...]:
    """The severities of a label in these kinds of record; those of what breaks a limit for normal curves and unknown labels."""
    if label not in FAULTS:
        return BEYOND
    return tuple(dict.fromkeys(one for step in steps for one in FAULTS[label].severities_in(step)))


def breaks_limit(label: str) -> bool:
    """Whether a curve of that label is a fault that breaks a voltage limit; unknown labels are taken for such."""
    return label != NORMAL and (label not in FAULTS or FAULTS[label].side is not None)


def stays_inside(label: str | None) -> bool:
    """Whether a curve of that label is a fault that goes on inside all limits; unknown labels and normal curves are not."""
    return label in FAULTS and FAULTS[label].side is None


def severity_named(name: str, label: str) -> Severity:
    """A severity of a fault by its name; raises ConditionError where the fault has none of that name."""
    kind = fault(label)
    for one in (*kind.severities, *kind.at_rest):
        if one.name == name:
            return one
    owners = [other.name for other in FAULTS.values() if any(name == one.name for one in (*other.severities, *other.at_rest))]
    whose = f" is of {', '.join(owners)}" if owners else f" is unknown{meant(name, kind.names)}"
    raise ConditionError(f"severity '{name}'{whose}: {label} takes {', '.join(kind.names)}")
