"""The population of virtual cells: who they are and what will be done to them, drawn from a seed. Pure.

Cell *i* of seed *s* depends on ``(s, i)`` alone. Its `PopulationPlan` lists every cycle before anything is simulated:

- cycle 0 and every sixth cycle after it are **check-ups** (25 degC, C/3 charge with a hold to C/20, 1C discharge)
  that give the state of health. They are not recorded as curves, so no class is recognisable by their protocol;
- the other cycles run at the cell's own rates and ambient temperature, with a cut-off of the constant-voltage hold
  drawn from one distribution for normal and fault cycles alike;
- faults fall on random cycles after the first quarter, or last from one of them on, at severities spread around a level of
  the cell's own;
- charges begin as those of a laboratory do: some after a pause, some already begun (`Cycle.before`), all a little warmer or
  colder than the chamber says, and by a current that each cell's channel misreads in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from faultcell.simulate.scenarios import (
    AGEING,
    LOWER_LIMIT_VOLT,
    NOMINAL_CAPACITY_AH,
    NONE,
    UPPER_LIMIT_VOLT,
    Defect,
    Scenario,
    scenario,
)

CHECKUP_EVERY = 6
# Half the range of severity levels one cell's faults cover; 1 would be the whole table row.
_SPREAD = 0.15
_GOLDEN = (5**0.5 - 1) / 2
# Random streams of one seed. Numpy pads seeds with zeros, so streams are told apart in one and the same place.
_CELL, _CYCLES, _LEVEL, NOISE, _INSTRUMENT = range(5)
# What no channel is free of, and no label may hang on: a constant offset [A], what it drifts from cycle to cycle [A], and the
# chamber's deviation [K], standard deviations. Without them a leak of 1 kOhm is found by its balance alone.
_OFFSET_AMPERE, _DRIFT_AMPERE, _JITTER_CELSIUS = (0.005, 0.02), 0.0035, 0.7
_BEFORE = {"": 0.5, "pause": 0.25, "top_up": 0.25}  # shares of the cycles
_BEGIN_VOLT = (3.3, 3.6)


@dataclass(frozen=True)
class Cell:
    """One virtual cell, as it is now.

    Attributes:
        cell_id: name, ``SIM-0001`` and so on.
        contact_resistance_ohm: series resistance [Ohm].
        positive_fraction: active material of the positive electrode, relative to the parameter set.
        negative_fraction: the same of the negative electrode.
        lithium_fraction: lithium of the full negative electrode left at the start, relative to the parameter set.
        positive_diffusivity: factor on the diffusivity in the positive particles.
        negative_diffusivity: factor on the diffusivity in the negative particles.
        sei_diffusivity: factor on the solvent diffusivity in the SEI, large so that a short life ages visibly.
        heat_transfer: heat transfer coefficient [W/(m2.K)].
        ambient_celsius: temperature of its surroundings [degC].
        charge_c_rate: constant current of its charges [1/h].
        discharge_c_rate: constant current of its discharges [1/h].
        ampere_offset: what its channel's current reads too much [A], + = charge.
    """

    cell_id: str
    contact_resistance_ohm: float
    positive_fraction: float
    negative_fraction: float
    lithium_fraction: float
    positive_diffusivity: float
    negative_diffusivity: float
    sei_diffusivity: float
    heat_transfer: float
    ambient_celsius: float
    charge_c_rate: float
    discharge_c_rate: float
    ampere_offset: float = 0.0


@dataclass(frozen=True)
class Cycle:
    """One planned cycle.

    Attributes:
        scenario: what is done to the cell.
        defect: how far.
        cutoff_c_rate: of the hold [1/h].
        checkup: whether it is one, which is not recorded.
        before: what is done first: nothing, a "pause" of an hour, or a "top_up" to `begin_volt` and ten minutes of rest.
        begin_volt: voltage under load at which the charge then begins [V].
        drift_ampere: what the channel's current reads too much in this cycle, beside its offset [A].
        jitter_celsius: how much warmer than the chamber says the surroundings are [K].
    """

    scenario: Scenario = AGEING
    defect: Defect = NONE
    cutoff_c_rate: float = 0.05
    checkup: bool = False
    before: str = ""
    begin_volt: float = 0.0
    drift_ampere: float = 0.0
    jitter_celsius: float = 0.0

    @property
    def faulty(self) -> bool:
        """Whether anything is wrong in it."""
        return self.defect != NONE


@dataclass(frozen=True)
class PopulationPlan:
    """A cell's whole life, before it is lived. The position in `cycles` is the cycle count."""

    cell: Cell
    cycles: tuple[Cycle, ...]
    seed: int
    index: int


@dataclass(frozen=True)
class Loading:
    """What is done to a cell in one charge and discharge, at its terminals: amperes without sign, volts, degC, siemens, ohm."""

    charge_ampere: float
    cutoff_ampere: float
    upper_volt: float
    discharge_ampere: float
    lower_volt: float
    ambient_celsius: float
    leak_siemens: float = 0.0
    added_ohm: float = 0.0
    cooling_share: float = 1.0
    before: str = ""
    begin_volt: float = 0.0


CHECKUP = Loading(
    charge_ampere=NOMINAL_CAPACITY_AH / 3,
    cutoff_ampere=NOMINAL_CAPACITY_AH / 20,
    upper_volt=UPPER_LIMIT_VOLT,
    discharge_ampere=NOMINAL_CAPACITY_AH,
    lower_volt=LOWER_LIMIT_VOLT,
    ambient_celsius=25.0,
)


def sample_cell(index: int, *, seed: int) -> Cell:
    """Draw virtual cell number `index`, independent of every other."""
    rng, instrument = (np.random.default_rng([seed, index, stream]) for stream in (_CELL, _INSTRUMENT))
    return Cell(
        cell_id=f"SIM-{index + 1:04d}",
        contact_resistance_ohm=rng.uniform(0.002, 0.015),
        positive_fraction=rng.uniform(0.92, 1.0),
        negative_fraction=rng.uniform(0.95, 1.02),
        lithium_fraction=rng.uniform(0.92, 1.0),
        positive_diffusivity=_log_uniform(rng, low=0.7, high=1.4),
        negative_diffusivity=_log_uniform(rng, low=0.7, high=1.4),
        sei_diffusivity=_log_uniform(rng, low=300.0, high=1500.0),
        heat_transfer=_log_uniform(rng, low=5.0, high=30.0),
        ambient_celsius=round(rng.uniform(5.0, 40.0), 1),
        charge_c_rate=_log_uniform(rng, low=0.25, high=1.0),
        discharge_c_rate=_log_uniform(rng, low=0.5, high=1.5),
        ampere_offset=instrument.choice([-1.0, 1.0]) * instrument.uniform(*_OFFSET_AMPERE),
    )


def plan(index: int, *, seed: int, cycles: int, faults: Sequence[str]) -> PopulationPlan:
    """Plan the life of cell `index`: `cycles` recorded cycles plus the check-ups between them.

    The cells take turns: the first of `faults`, the second, ..., none, the first again.
    """
    rng = np.random.default_rng([seed, index, _CYCLES])
    cell = sample_cell(index, seed=seed)
    turns = [scenario(name) for name in faults] + [AGEING]
    turn, place = index % len(turns), index // len(turns)
    level = _level(np.random.default_rng([seed, turn, _LEVEL]).uniform(), place=place)
    recorded = _recorded(rng, fault=turns[turn], level=level, cycles=cycles, charge_c_rate=cell.charge_c_rate)
    instrument = np.random.default_rng([seed, index, _INSTRUMENT, 1])
    recorded = [_as_in_a_laboratory(cycle, instrument) for cycle in recorded]
    return PopulationPlan(cell=cell, cycles=_with_checkups(recorded), seed=seed, index=index)


def loading_of(cell: Cell, cycle: Cycle) -> Loading:
    """Translate a planned cycle of a cell into what happens to it: the cycler goes by what its sensors read."""
    if cycle.checkup:
        return CHECKUP
    defect = cycle.defect
    lower, upper = cycle.scenario.limits(defect.excess_volt)
    misread = ampere_offset(cell, cycle)
    return Loading(
        charge_ampere=cell.charge_c_rate * NOMINAL_CAPACITY_AH - misread,
        cutoff_ampere=cycle.cutoff_c_rate * NOMINAL_CAPACITY_AH - misread,
        upper_volt=upper - defect.volt_offset,
        discharge_ampere=cell.discharge_c_rate * NOMINAL_CAPACITY_AH + misread,
        lower_volt=lower - defect.volt_offset,
        ambient_celsius=cell.ambient_celsius + cycle.jitter_celsius,
        leak_siemens=defect.leak_siemens,
        added_ohm=defect.added_ohm,
        cooling_share=defect.cooling_share,
        before=cycle.before,
        begin_volt=cycle.begin_volt,
    )


def ampere_offset(cell: Cell, cycle: Cycle) -> float:
    """What the current of a cell reads too much in a cycle [A], + = charge."""
    return cell.ampere_offset + cycle.drift_ampere + cycle.defect.ampere_offset


def damaged(cell: Cell, fault: Scenario, *, volt_hours: float) -> Cell:
    """Apply the declared damage law: the cell after an exposure of `volt_hours` [V.h] beyond a limit."""
    kept = 1.0 - fault.loss_per_volt_hour * volt_hours
    positive, negative = (kept, 1.0) if fault.electrode == "positive" else (1.0, kept)
    return replace(
        cell,
        contact_resistance_ohm=cell.contact_resistance_ohm + fault.ohm_per_volt_hour * volt_hours,
        positive_fraction=cell.positive_fraction * positive,
        negative_fraction=cell.negative_fraction * negative,
    )


def _level(offset: float, *, place: int) -> float:
    """Severity level of a cell, 0 to 1: the cells of one fault step by the golden ratio, to cover the range evenly."""
    turn = (offset + place * _GOLDEN) % 1.0
    # Away from both ends, so that the cell's events can spread evenly around it.
    return _SPREAD + (1.0 - 2.0 * _SPREAD) * turn


def _recorded(rng: np.random.Generator, *, fault: Scenario, level: float, cycles: int, charge_c_rate: float) -> list[Cycle]:
    candidates = np.arange(cycles // 4, cycles)
    wanted = int(rng.integers(fault.events[0], fault.events[1] + 1))
    struck = set(rng.choice(candidates, size=min(wanted, len(candidates)), replace=False).tolist())
    if fault.lasts:
        struck = set(range(cycles - min(wanted, len(candidates)), cycles))
    planned, what = list[Cycle](), np.random.default_rng(rng.integers(2**63))
    kind = fault.ranges[int(what.integers(len(fault.ranges)))] if fault.ranges else None
    sign = float(what.choice([-1.0, 1.0]))
    for position in range(cycles):
        # A hold cannot end at a current the charge never exceeded.
        cutoff = min(_log_uniform(rng, low=0.05, high=0.25), 0.8 * charge_c_rate)
        off = rng.uniform(-_SPREAD, _SPREAD)
        if fault.grows and len(struck) > 1:
            off = _SPREAD * (2 * (position - min(struck)) / (len(struck) - 1) - 1)
        if kind is None or position not in struck:
            planned.append(Cycle(cutoff_c_rate=cutoff))
        else:
            planned.append(Cycle(fault, kind.at(level + off, sign=sign), cutoff_c_rate=cutoff))
    return planned


def _as_in_a_laboratory(cycle: Cycle, rng: np.random.Generator) -> Cycle:
    """A cycle with what comes before it, a chamber and a channel that are not quite as they say."""
    return replace(
        cycle,
        before=str(rng.choice(list(_BEFORE), p=list(_BEFORE.values()))),
        begin_volt=rng.uniform(*_BEGIN_VOLT),
        drift_ampere=rng.normal(scale=_DRIFT_AMPERE),
        jitter_celsius=rng.normal(scale=_JITTER_CELSIUS),
    )


def _with_checkups(recorded: Sequence[Cycle]) -> tuple[Cycle, ...]:
    block = CHECKUP_EVERY - 1
    checkup = Cycle(checkup=True)
    blocks = [recorded[start : start + block] for start in range(0, len(recorded), block)]
    return tuple(cycle for part in blocks for cycle in (checkup, *part))


def _log_uniform(rng: np.random.Generator, *, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
