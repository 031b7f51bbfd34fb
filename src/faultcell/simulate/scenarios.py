"""Fault scenarios as values, and the damage law that goes with them.

A scenario says what goes wrong, how far, and what it leaves behind. It is a row of `SCENARIOS`, not a program: to add a fault
that a `Defect` can express, add a row.

**The damage law is declared, not physics.** With published degradation constants PyBaMM shows no visible damage from
repeated overcharge or overdischarge, so the cell's answer to a fault is prescribed here. With the exposure
``E = integral of the excess beyond the limit`` [V.h] of one fault half-cycle,

    contact resistance   +=  ohm_per_volt_hour * E
    active material      *=  1 - loss_per_volt_hour * E      (of the electrode the scenario names)

Overcharge takes 6 mOhm/(V.h) and 3 %/(V.h) of the positive electrode. A constant-current overdischarge lasts minutes
where an overcharge with its constant-voltage hold lasts the better part of an hour, so its exposure is about a fifth
(0.014 against 0.077 V.h on average); its coefficients are ten times larger, for damage of the same order per event.

What breaks no limit needs no such law: PyBaMM's cell leaks, warms and polarises by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from faultcell.errors import ConditionError

StepType = Literal["charge", "discharge"]
Electrode = Literal["positive", "negative"]

#: Rated limits [V, degC] and capacity [A.h] of the simulated cell: LG M50, parameter set Chen2020.
LOWER_LIMIT_VOLT = 2.5
UPPER_LIMIT_VOLT = 4.2
NOMINAL_CAPACITY_AH = 5.0
UPPER_LIMIT_CELSIUS: Mapping[StepType, float] = MappingProxyType({"charge": 45.0, "discharge": 60.0})
BOTH: tuple[StepType, ...] = ("charge", "discharge")


@dataclass(frozen=True)
class Defect:
    """What is wrong during a cycle with the cycler's limits, the cell, its cooling, its connection or a sensor.

    Attributes:
        excess_volt: commanded distance beyond the rated limit [V].
        leak_siemens: conductance of an internal short [S].
        cooling_share: of the heat transfer coefficient, what is left of it.
        added_ohm: resistance of a connection on top of the cell's own [Ohm].
        volt_offset: what a voltage reads too much [V]; the cycler goes by what it reads.
        ampere_offset: what a current reads too much [A], + = charge.
        celsius_offset: what a temperature reads too much [K].
    """

    excess_volt: float = 0.0
    leak_siemens: float = 0.0
    cooling_share: float = 1.0
    added_ohm: float = 0.0
    volt_offset: float = 0.0
    ampere_offset: float = 0.0
    celsius_offset: float = 0.0


NONE = Defect()


@dataclass(frozen=True)
class Range:
    """One quantity of a `Defect`, from the mildest to the worst; evenly in its logarithm or not, of either sign or not."""

    quantity: str
    mildest: float
    worst: float
    logarithmic: bool = False
    either_sign: bool = False

    def at(self, level: float, *, sign: float = 1.0) -> Defect:
        """The defect at a severity level from 0 to 1."""
        if self.logarithmic:
            value = self.mildest * (self.worst / self.mildest) ** level
        else:
            value = self.mildest + level * (self.worst - self.mildest)
        return Defect(**{self.quantity: sign * value if self.either_sign else value})


@dataclass(frozen=True)
class Scenario:
    """What is done to a cell.

    Attributes:
        name: how the scenario is asked for on the command line.
        label: label of the half-cycles in which it shows.
        step_types: these; the others of the cycle are normal.
        ranges: what can go wrong; a cell has one of them.
        events: fewest and most faults a cell sees, on random cycles; of what lasts, the cycles from its beginning on.
        lasts: whether every cycle from the first on has it.
        grows: whether it does so worse from cycle to cycle.
        electrode: electrode that loses active material.
        ohm_per_volt_hour: rise of the contact resistance [Ohm/(V.h)].
        loss_per_volt_hour: fraction of the active material lost [1/(V.h)].
    """

    name: str
    label: str
    step_types: tuple[StepType, ...]
    ranges: tuple[Range, ...]
    events: tuple[int, int] = (1, 8)
    lasts: bool = False
    grows: bool = False
    electrode: Electrode = "positive"
    ohm_per_volt_hour: float = 0.0
    loss_per_volt_hour: float = 0.0

    def limits(self, excess_volt: float) -> tuple[float, float]:
        """Lower and upper cut-off voltage [V] of a cycle that goes `excess_volt` [V] too far."""
        if self.step_types == ("charge",):
            return LOWER_LIMIT_VOLT, UPPER_LIMIT_VOLT + excess_volt
        return LOWER_LIMIT_VOLT - excess_volt, UPPER_LIMIT_VOLT


AGEING = Scenario(name="ageing", label="normal", step_types=(), ranges=(), events=(0, 0))

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            AGEING,
            Scenario(
                name="overcharge",
                label="overcharge",
                step_types=("charge",),
                ranges=(Range("excess_volt", 0.05, 0.25),),
                electrode="positive",
                ohm_per_volt_hour=0.006,
                loss_per_volt_hour=0.03,
            ),
            Scenario(
                name="overdischarge",
                label="overdischarge",
                step_types=("discharge",),
                ranges=(Range("excess_volt", 0.2, 1.5),),
                electrode="negative",
                ohm_per_volt_hour=0.06,
                loss_per_volt_hour=0.3,
            ),
            # 100 to 15 Ohm: below, at weak cooling, it is a thermal runaway, which is out of scope; above, nobody finds it.
            Scenario(
                name="internal_short",
                label="internal_short",
                step_types=BOTH,
                ranges=(Range("leak_siemens", 1 / 100, 1 / 15, logarithmic=True),),
                events=(4, 8),
                lasts=True,
                grows=True,
            ),
            Scenario(
                name="cooling_failure",
                label="cooling_failure",
                step_types=BOTH,
                ranges=(Range("cooling_share", 0.7, 0.2, logarithmic=True),),
                events=(4, 8),
                lasts=True,
            ),
            Scenario(
                name="contact_fault",
                label="contact_fault",
                step_types=BOTH,
                ranges=(Range("added_ohm", 0.005, 0.05, logarithmic=True),),
                events=(4, 8),
                lasts=True,
                grows=True,
            ),
            Scenario(
                name="sensor_offset",
                label="sensor_offset",
                step_types=BOTH,
                ranges=(
                    Range("volt_offset", 0.01, 0.06, logarithmic=True, either_sign=True),
                    Range("ampere_offset", 0.04, 0.3, logarithmic=True, either_sign=True),
                    Range("celsius_offset", 2.0, 10.0, logarithmic=True, either_sign=True),
                ),
                events=(4, 8),
                lasts=True,
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
