"""One virtual cell lives its plan: cycles are solved in order, recorded, measured, and leave their damage behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from faultcell.curves import against_normal
from faultcell.curves.faults import CELSIUS, FAULTS, inside
from faultcell.simulate import engine, record
from faultcell.simulate.population import NOISE, Cell, Cycle, PopulationPlan, ampere_offset, damaged, loading_of
from faultcell.simulate.scenarios import (
    LOWER_LIMIT_VOLT,
    NOMINAL_CAPACITY_AH,
    NONE,
    UPPER_LIMIT_CELSIUS,
    UPPER_LIMIT_VOLT,
    StepType,
)

Reason = Literal["solver", "graphite_full", "recovery"]

#: Above this stoichiometry of the negative electrode SPMe and the full model (DFN) part: such cycles are rejected.
FULL_STOICHIOMETRY = 0.97
# Six standard deviations of the voltage noise: a normal curve never gets there by noise alone.
_OUTSIDE_VOLT = 0.01
_BEYOND = ("peak_deviation_volt", "cumulative_duration_second", "true_excess_volt", "true_exposure_volt_hour")
_NO_SEVERITY: Mapping[str, Any] = {
    "label": "normal",
    "repetition_count": 0,
    **dict.fromkeys((*_BEYOND, *(one.name for one in inside(FAULTS))), 0.0),
}


@dataclass(frozen=True)
class Failure:
    """Something that was simulated or tried and is not in the tables.

    Attributes:
        cell_id: the cell.
        cycle_count: the cycle.
        step_type: the half-cycle, or "" for the whole cycle.
        reason: ``solver``: PyBaMM did not complete the cycle. ``graphite_full``: the negative electrode was filled
            beyond 0.97, where the model is not to be trusted. Either way the cell goes on as if the cycle had not
            been. ``recovery``: a half-cycle within the commanded limits that begins outside the rated ones, as a
            discharge right after an overcharge does; it is neither a normal curve nor a labelled fault.
        detail: one sentence.
    """

    cell_id: str
    cycle_count: int
    step_type: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Life:
    """What one cell leaves: a row of attributes and a recorded wave for each curve, and what is missing."""

    rows: tuple[dict[str, Any], ...]
    waves: tuple[engine.Wave, ...]
    failures: tuple[Failure, ...]


@dataclass
class _History:
    """The cell on its way through the plan. Repetitions and seconds are those of the one fault a cell sees."""

    plan: PopulationPlan
    cell: Cell
    state: Any = None
    twin: Any = None
    health: float = float("nan")
    repetitions: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    waves: list[engine.Wave] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def live(plan: PopulationPlan) -> Life:
    """Simulate a cell's whole life. Needs PyBaMM."""
    history = _History(plan=plan, cell=plan.cell)
    for count, cycle in enumerate(plan.cycles):
        sound = _sound(history, cycle)
        outcome = _solved(history, cycle, count=count)
        if outcome is not None:
            _advance(history, cycle, count=count, outcome=outcome, sound=sound)
        elif history.state is None:
            break  # Without its first check-up a cell has neither a history nor a state of health.
    return Life(rows=tuple(history.rows), waves=tuple(history.waves), failures=tuple(history.failures))


def _solved(history: _History, cycle: Cycle, *, count: int) -> engine.Outcome | None:
    try:
        outcome = engine.run_cycle(history.cell, loading_of(history.cell, cycle), state=history.state)
    except engine.CycleError as error:
        _fail(history, count, reason="solver", detail=str(error))
        return None
    if outcome.stoichiometry > FULL_STOICHIOMETRY:
        detail = f"negative electrode stoichiometry {outcome.stoichiometry:.3f} is above {FULL_STOICHIOMETRY}"
        _fail(history, count, reason="graphite_full", detail=detail)
        return None
    return outcome


def _sound(history: _History, cycle: Cycle) -> engine.Outcome | None:
    """The same cycle of a twin with which nothing ever went wrong, where a severity is told by what differs from it."""
    if cycle.faulty and CELSIUS in FAULTS[cycle.scenario.label].needs and history.twin is None:
        history.twin = history.state
    if history.twin is None:
        return None
    try:
        sound = engine.run_cycle(history.cell, loading_of(history.cell, replace(cycle, defect=NONE)), state=history.twin)
    except engine.CycleError:
        return None  # its severity is then measured, as that of real curves is
    history.twin = sound.state
    return sound


def _advance(history: _History, cycle: Cycle, *, count: int, outcome: engine.Outcome, sound: engine.Outcome | None) -> None:
    history.state = outcome.state
    if cycle.checkup:
        history.health = record.ampere_hours(outcome.discharge) / NOMINAL_CAPACITY_AH
        return
    for half in _recorded(history, cycle, outcome, sound, count=count):
        _keep(history, cycle, half, count=count)
    # The whole cycle was solved with the cell as it was; its damage shows from the next cycle on.
    if cycle.defect.excess_volt > 0:
        (step_type,) = cycle.scenario.step_types
        struck = outcome.charge if step_type == "charge" else outcome.discharge
        history.cell = damaged(history.cell, cycle.scenario, volt_hours=_exposure(struck, step_type=step_type))


class _Half(NamedTuple):
    """A half-cycle as it was, as it was recorded, and as it would have been with nothing wrong, where that is known."""

    step_type: StepType
    clean: engine.Wave
    wave: engine.Wave
    sound: engine.Wave | None


def _recorded(
    history: _History, cycle: Cycle, outcome: engine.Outcome, sound: engine.Outcome | None, *, count: int
) -> Iterator[_Half]:
    """Both half-cycles; their noise depends on seed, cell, cycle and half alone."""
    offsets = (cycle.defect.volt_offset, ampere_offset(history.cell, cycle), cycle.defect.celsius_offset)
    halves: tuple[StepType, StepType] = ("charge", "discharge")
    for half, step_type in enumerate(halves):
        rng = np.random.default_rng([history.plan.seed, history.plan.index, NOISE, count, half])
        clean, other = getattr(outcome, step_type), getattr(sound, step_type) if sound else None
        yield _Half(step_type, clean, record.record(clean, rng=rng, offsets=offsets), other)


def _keep(history: _History, cycle: Cycle, half: _Half, *, count: int) -> None:
    step_type, wave = half.step_type, half.wave
    faulty = cycle.faulty and step_type in cycle.scenario.step_types
    outside = record.outside_volt(wave)
    if not faulty and outside > _OUTSIDE_VOLT:
        detail = f"a half-cycle within its limits begins {outside:.3f} V outside the rated ones"
        _fail(history, count, reason="recovery", detail=detail, step_type=step_type)
        return
    history.waves.append(wave)
    row = _context(history, cycle, count=count, step_type=step_type)
    history.rows.append({**row, **(_severity(history, cycle, half) if faulty else _NO_SEVERITY)})
    history.rows[-1]["capacity_ah"] = record.ampere_hours(wave)


def _context(history: _History, cycle: Cycle, *, count: int, step_type: StepType) -> dict[str, Any]:
    """What is known of a half-cycle before it begins."""
    cell, charge = history.cell, step_type == "charge"
    return {
        "cell_id": cell.cell_id,
        "cycle_count": count,
        "step_type": step_type,
        "lower_voltage_limit_volt": LOWER_LIMIT_VOLT,
        "upper_voltage_limit_volt": UPPER_LIMIT_VOLT,
        "upper_temperature_limit_celsius": UPPER_LIMIT_CELSIUS[step_type],
        "ambient_temperature_celsius": cell.ambient_celsius,
        "nominal_capacity_ah": NOMINAL_CAPACITY_AH,
        "state_of_health": history.health,
        "c_rate": cell.charge_c_rate if charge else cell.discharge_c_rate,
        "source": "faultcell simulate",
        "quality": "ok",
        "cutoff_c_rate": cycle.cutoff_c_rate if charge else None,
        "true_contact_resistance_ohm": cell.contact_resistance_ohm,
        "true_positive_fraction": cell.positive_fraction,
        "true_negative_fraction": cell.negative_fraction,
    }


def _severity(history: _History, cycle: Cycle, half: _Half) -> dict[str, Any]:
    """How severe a fault is: beyond a limit, peak and time from the record, as for real data; else from the truth."""
    label = cycle.scenario.label
    if FAULTS[label].side is None:
        return {**_NO_SEVERITY, "label": label, **_inside(cycle, half)}
    excess = record.excess_volt(half.wave, step_type=half.step_type)
    history.repetitions += 1
    history.seconds += record.seconds_beyond(half.wave.second, excess)
    return {
        **_NO_SEVERITY,
        "label": label,
        "peak_deviation_volt": float(excess.max()),
        "repetition_count": history.repetitions,
        "cumulative_duration_second": history.seconds,
        "true_excess_volt": cycle.defect.excess_volt,
        "true_exposure_volt_hour": _exposure(half.clean, step_type=half.step_type),
    }


def _inside(cycle: Cycle, half: _Half) -> dict[str, Any]:
    """The severities of a fault that breaks no limit."""
    defect, wave = cycle.defect, half.clean
    if cycle.scenario.label == "cooling_failure":
        most = UPPER_LIMIT_CELSIUS[half.step_type]
        rise = wave.celsius.max() - half.sound.celsius.max() if half.sound else None
        return {
            "temperature_rise_kelvin": None if rise is None else float(rise),
            "fastest_rise_kelvin_per_minute": against_normal.fastest_rise(wave.second, wave.celsius),
            "overtemperature_second": record.seconds_beyond(wave.second, wave.celsius - most),
        }
    told = {
        "leakage_c_rate": defect.leak_siemens
        * float(np.trapezoid(wave.volt, wave.second) / wave.second[-1])
        / NOMINAL_CAPACITY_AH,
        "added_resistance_milliohm": 1000 * defect.added_ohm,
        "voltage_offset_millivolt": 1000 * defect.volt_offset,
        "current_offset_milliampere": 1000 * defect.ampere_offset,
        "temperature_offset_kelvin": defect.celsius_offset,
    }
    return {name: told[name] for name in FAULTS[cycle.scenario.label].names}


def _exposure(wave: engine.Wave, *, step_type: StepType) -> float:
    return record.volt_hours_beyond(wave.second, record.excess_volt(wave, step_type=step_type))


def _fail(history: _History, count: int, *, reason: Reason, detail: str, step_type: str = "") -> None:
    history.failures.append(Failure(history.cell.cell_id, count, step_type=step_type, reason=reason, detail=detail))
