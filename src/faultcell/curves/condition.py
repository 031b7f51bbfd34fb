"""What a curve is asked to be: a fault of some severity, rated limits, a load, and the condition they make."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.faults import FAULTS, breaks_limit, fault, inside, resting, severity_named
from faultcell.curves.schema import (
    FEWEST_PULSES,
    LOAD_REST_SHARE,
    NORMAL,
    PULSED_REST_SHARE,
    REST,
    REST_C_RATE,
    SEVERITY,
    Array,
    Side,
)
from faultcell.errors import ConditionError


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
        severities: by name, of a fault that breaks no limit; see `FAULTS`.
        c_rate: typical load current over nominal capacity, 1/h.
        ambient_temperature_celsius: degC.
        cycle_count: number of the cycle in the life of the cell.
        state_of_health: capacity over nominal capacity.
        step_type: `charge`, `discharge` or `rest`; the fault's own half-cycle where not given.
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
    severities: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        steps = None if self.fault == NORMAL else fault(self.fault).records
        if steps is not None and self.step not in steps:
            shows = " or a ".join(steps)
            raise ConditionError(f"{self.fault} shows in a {shows}, found step_type '{self.step_type}'")
        for name in (*SEVERITY, "c_rate", "cycle_count", "state_of_health", "nominal_capacity_ah"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise ConditionError(f"{name} must be a finite number >= 0, found {value}")
        if breaks_limit(self.fault) and self.peak_deviation_volt <= 0:
            raise ConditionError(f"peak_deviation_volt must be above 0 for {self.fault}, found {self.peak_deviation_volt}")
        self._check_severities()
        if self.c_rate is not None and self.c_rate <= REST_C_RATE.get(self.step, -1.0):
            raise ConditionError(
                f"c_rate {self.c_rate:g} counts as rest in a {self.step}: it must be above {REST_C_RATE[self.step]}"
            )

    def _check_severities(self) -> None:
        if self.fault == NORMAL:
            if self.severities:
                raise ConditionError(f"a normal curve has no {next(iter(self.severities))}: name the fault it belongs to")
            return
        kind = FAULTS[self.fault]
        for name, value in self.severities.items():
            severity = severity_named(name, self.fault)
            if severity not in kind.severities_in(self.step) and value:
                names = ", ".join(one.name for one in kind.severities_in(self.step))
                raise ConditionError(f"{name} says nothing of a {self.step}: {self.fault} takes {names} there")
            severity.check(value)
        drivers = kind.at_rest[:1] if self.step == REST else kind.drivers
        if drivers and not any(self.severities.get(one.name) for one in drivers):
            names = " or ".join(one.name for one in drivers)
            how = "" if self.step == REST else ", or give a normal curve of the same cell to measure it by"
            raise ConditionError(f"{self.fault} needs {names} other than 0: name it{how}")

    def severity(self, name: str) -> float | None:
        """The severity of that name, None where it is unknown; what belongs to another fault is 0."""
        if name in SEVERITY:
            value: float | None = getattr(self, name)
            return value
        own = self.fault != NORMAL and any(one.name == name for one in FAULTS[self.fault].severities_in(self.step))
        return self.severities.get(name) if own else 0.0

    @property
    def step(self) -> str:
        """The half-cycle's kind: the one asked for, else the fault's own, else a discharge."""
        own = "discharge" if self.fault == NORMAL else FAULTS[self.fault].step_types[0]
        return own if self.step_type is None else self.step_type

    @property
    def side(self) -> Side:
        """The rated limit this half-cycle can break."""
        return "high" if self.step == "charge" else "low"


def severe(fault: str, values: Mapping[str, float], **others: Any) -> Condition:
    """A fault as severe as that, by the names of its severities.

    Args:
        fault: a name of `FAULTS`.
        values: of severities, those of a fault inside all limits or those beyond one.
        **others: further attributes of `Condition`.
    """
    inside_limits = {name: value for name, value in values.items() if name not in SEVERITY}
    beyond: dict[str, Any] = {name: value for name, value in values.items() if name in SEVERITY}
    return Condition(fault, severities=inside_limits, **beyond, **others)


def grid(fault: str, *, repeat: int = 1, **values: float | Sequence[float] | None) -> list[Condition]:
    """Every combination of the values given for a fault, each `repeat` times in a row.

    Args:
        fault: a name of `FAULTS`, or `normal`.
        repeat: how many conditions of each combination.
        **values: attributes of `Condition` and severities of the fault, one value or several each.

    Raises:
        ConditionError: an unknown fault or attribute, a severity of another fault, or a value out of its domain.
    """
    attributes = [name for name in Condition.__dataclass_fields__ if name != "severities"]
    own = {one.name for one in (*inside(FAULTS), *resting(FAULTS))}
    unknown = set(values) - {*attributes, *own}
    if unknown:
        raise ConditionError(f"unknown condition '{sorted(unknown)[0]}': known are {', '.join((*attributes, *sorted(own)))}")
    axes = [value if isinstance(value, (list, tuple, range, np.ndarray)) else (value,) for value in values.values()]
    made = []
    for point in itertools.product(*axes):
        given = dict(zip(values, point, strict=True))
        severities = {name: value for name, value in given.items() if name in own and value is not None}
        others = {name: value for name, value in given.items() if name not in own}
        made.append(severe(fault, severities, **others))
    return [condition for condition in made for _ in range(repeat)]
