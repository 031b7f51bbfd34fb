"""Fault scenarios as values, and the damage law that goes with them.

A scenario says which rated limit is exceeded, by how much, and what one volt-hour beyond it costs the cell. It is a
row of `SCENARIOS`, not a program: to add a fault, add a row.

**The damage law is declared, not physics.** With published degradation constants PyBaMM shows no visible damage from
repeated overcharge or overdischarge, so the cell's answer to a fault is prescribed here. With the exposure
``E = integral of the excess beyond the limit`` [V.h] of one fault half-cycle,

    contact resistance   +=  ohm_per_volt_hour * E
    active material      *=  1 - loss_per_volt_hour * E      (of the electrode the scenario names)

Overcharge takes 6 mOhm/(V.h) and 3 %/(V.h) of the positive electrode. A constant-current overdischarge lasts minutes
where an overcharge with its constant-voltage hold lasts the better part of an hour, so its exposure is about a sixth
(0.014 against 0.084 V.h on average); its coefficients are ten times larger, for damage of the same order per event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from faultcell.errors import ConditionError

StepType = Literal["charge", "discharge"]
Electrode = Literal["positive", "negative"]

#: Rated limits [V] and capacity [A.h] of the simulated cell: LG M50, parameter set Chen2020.
LOWER_LIMIT_VOLT = 2.5
UPPER_LIMIT_VOLT = 4.2
NOMINAL_CAPACITY_AH = 5.0


@dataclass(frozen=True)
class Scenario:
    """What is done to a cell in one cycle.

    Attributes:
        name: how the scenario is asked for on the command line.
        label: label of the half-cycle that leaves the limits.
        step_type: that half-cycle; the cycle's other half stays within the limits.
        excess_volt: smallest and largest commanded distance beyond the rated limit [V].
        events: fewest and most faults a cell sees.
        electrode: electrode that loses active material.
        ohm_per_volt_hour: rise of the contact resistance [Ohm/(V.h)].
        loss_per_volt_hour: fraction of the active material lost [1/(V.h)].
    """

    name: str
    label: str
    step_type: StepType
    excess_volt: tuple[float, float]
    events: tuple[int, int] = (1, 8)
    electrode: Electrode = "positive"
    ohm_per_volt_hour: float = 0.0
    loss_per_volt_hour: float = 0.0

    def excess(self, level: float) -> float:
        """Commanded distance beyond the rated limit [V] at a severity level from 0 to 1."""
        low, high = self.excess_volt
        return low + level * (high - low)

    def limits(self, excess_volt: float) -> tuple[float, float]:
        """Lower and upper cut-off voltage [V] of a cycle that goes `excess_volt` [V] too far."""
        if self.step_type == "charge":
            return LOWER_LIMIT_VOLT, UPPER_LIMIT_VOLT + excess_volt
        return LOWER_LIMIT_VOLT - excess_volt, UPPER_LIMIT_VOLT


AGEING = Scenario(name="ageing", label="normal", step_type="charge", excess_volt=(0.0, 0.0), events=(0, 0))

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            AGEING,
            Scenario(
                name="overcharge",
                label="overcharge",
                step_type="charge",
                excess_volt=(0.05, 0.25),
                electrode="positive",
                ohm_per_volt_hour=0.006,
                loss_per_volt_hour=0.03,
            ),
            Scenario(
                name="overdischarge",
                label="overdischarge",
                step_type="discharge",
                excess_volt=(0.2, 1.5),
                electrode="negative",
                ohm_per_volt_hour=0.06,
                loss_per_volt_hour=0.3,
            ),
        )
    }
)


def scenario(name: str) -> Scenario:
    """Look a scenario up by name.

    Raises:
        ConditionError: if there is none of that name.
    """
    if name not in SCENARIOS:
        raise ConditionError(f"unknown fault '{name}': the simulator knows {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
