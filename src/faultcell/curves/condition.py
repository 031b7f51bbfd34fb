"""What a curve is asked to be: a fault, rated limits, a load, and the condition they make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.schema import (
    FEWEST_PULSES,
    LOAD_REST_SHARE,
    NORMAL,
    PULSED_REST_SHARE,
    REST_C_RATE,
    SEVERITY,
    Array,
    Side,
)
from faultcell.errors import ConditionError, meant


@dataclass(frozen=True)
class Fault:
    """A kind of fault: the rated limit it breaks (`side`) and the half-cycle in which it shows (`step_type`)."""

    name: str
    side: Side
    step_type: str


# To add a fault type that breaks a voltage limit, add a row; its place in the table is its place in the condition vector,
# so new rows go to the end.
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("overcharge", side="high", step_type="charge"),
        Fault("overdischarge", side="low", step_type="discharge"),
        Fault("overvoltage", side="high", step_type="charge"),
    )
}


def fault(name: str) -> Fault:
    """The fault of that name; raises ConditionError if there is none."""
    if name not in FAULTS:
        raise ConditionError(f"unknown fault '{name}'{meant(name, FAULTS)}: known are {', '.join(FAULTS)}")
    return FAULTS[name]


@dataclass(frozen=True)
class Limits:
    """Rated voltage limits of a cell, in volt."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ConditionError(f"the lower voltage limit ({self.lower} V) must be below the upper one ({self.upper} V)")


@dataclass(frozen=True, eq=False)
class Load:
    """A known load current over the loaded part of a half-cycle.

    Only its shape over the fraction of that part is used, never its length: how long a fault lasts is for the model to say.

    Attributes:
        fraction: where in the loaded part, 0 to 1, rising `(n,)`.
        current_ampere: the current there, + = charge `(n,)`.
    """

    fraction: Array
    current_ampere: Array

    @cached_property
    def resting(self) -> NDArray[np.bool_]:
        """Which samples carry no current to speak of `(n,)`."""
        magnitude = np.abs(self.current_ampere)
        return np.asarray(magnitude < LOAD_REST_SHARE * magnitude.max())

    @cached_property
    def duty(self) -> float:
        """Share of the samples that carry current."""
        return float((~self.resting).mean())

    @property
    def is_pulsed(self) -> bool:
        """Whether it swings between current and rest, as NASA's square waves do; the falling one of a charge does not."""
        return 1 - self.duty > PULSED_REST_SHARE and (self.resting[:-1] & ~self.resting[1:]).sum() >= FEWEST_PULSES


@dataclass(frozen=True)
class Condition:
    """What a curve is asked to be. `None` means unknown, never zero; what is unknown is left to the model.

    Attributes:
        fault: a name of `FAULTS`, or `normal`.
        peak_deviation_volt: how far the voltage goes beyond the rated limit under load, V.
        repetition_count: faults of that kind the cell has seen, this one included.
        cumulative_duration_second: time beyond the limit under load summed over those faults, s.
        c_rate: typical load current over nominal capacity, 1/h.
        ambient_temperature_celsius: degC.
        cycle_count: number of the cycle in the life of the cell.
        state_of_health: capacity over nominal capacity.
        step_type: `charge` or `discharge`; the fault's own where not given.
        nominal_capacity_ah: Ah; the model's typical one where not given.
        limits: rated limits; the model's typical ones where not given.
        load: the load current, where it is known.
        cell_id: the name the drawn curve shall have.
    """

    fault: str = NORMAL
    peak_deviation_volt: float = 0.0
    repetition_count: float | None = None
    cumulative_duration_second: float | None = None
    c_rate: float | None = None
    ambient_temperature_celsius: float | None = None
    cycle_count: int | None = None
    state_of_health: float | None = None
    step_type: str | None = None
    nominal_capacity_ah: float | None = None
    limits: Limits | None = None
    load: Load | None = None
    cell_id: str | None = None

    def __post_init__(self) -> None:
        if self.fault != NORMAL and fault(self.fault).step_type != self.step:
            raise ConditionError(f"{self.fault} shows in a {fault(self.fault).step_type}, found step_type '{self.step_type}'")
        for name in (*SEVERITY, "c_rate", "cycle_count", "state_of_health", "nominal_capacity_ah"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise ConditionError(f"{name} must be a finite number >= 0, found {value}")
        if self.fault != NORMAL and self.peak_deviation_volt <= 0:
            raise ConditionError(f"peak_deviation_volt must be above 0 for {self.fault}, found {self.peak_deviation_volt}")
        if self.c_rate is not None and self.c_rate <= REST_C_RATE.get(self.step, -1.0):
            raise ConditionError(
                f"c_rate {self.c_rate:g} counts as rest in a {self.step}: it must be above {REST_C_RATE[self.step]}"
            )

    @property
    def step(self) -> str:
        """The half-cycle's kind: the one asked for, else the fault's own, else a discharge."""
        own = "discharge" if self.fault == NORMAL else FAULTS[self.fault].step_type
        return own if self.step_type is None else self.step_type

    @property
    def side(self) -> Side:
        """The rated limit this half-cycle can break."""
        return "high" if self.step == "charge" else "low"


def grid(fault: str, *, repeat: int = 1, **values: float | Sequence[float] | None) -> list[Condition]:
    """Every combination of the values given for a fault, each `repeat` times in a row.

    Args:
        fault: a name of `FAULTS`, or `normal`.
        repeat: how many conditions of each combination.
        **values: attributes of `Condition`, one value or several each.

    Raises:
        ConditionError: an unknown fault or attribute, or a value out of its domain.
    """
    unknown = set(values) - set(Condition.__dataclass_fields__)
    if unknown:
        raise ConditionError(f"unknown condition '{sorted(unknown)[0]}': known are {', '.join(Condition.__dataclass_fields__)}")
    axes = [value if isinstance(value, (list, tuple, range, np.ndarray)) else (value,) for value in values.values()]
    made = (Condition(fault=fault, **dict(zip(values, point, strict=True))) for point in itertools.product(*axes))
    return [condition for condition in made for _ in range(repeat)]
