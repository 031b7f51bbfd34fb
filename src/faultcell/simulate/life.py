"""One virtual cell lives its plan: cycles are solved in order, recorded, measured, and leave their damage behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from faultcell.simulate import engine, record
from faultcell.simulate.population import NOISE, Cell, Cycle, PopulationPlan, damaged, loading_of
from faultcell.simulate.scenarios import LOWER_LIMIT_VOLT, NOMINAL_CAPACITY_AH, UPPER_LIMIT_VOLT, StepType

Reason = Literal["solver", "graphite_full", "recovery"]

#: Above this stoichiometry of the negative electrode SPMe and the full model (DFN) part: such cycles are rejected.
FULL_STOICHIOMETRY = 0.97
# Six standard deviations of the voltage noise: a normal curve never gets there by noise alone.
_OUTSIDE_VOLT = 0.01
_NO_SEVERITY: Mapping[str, Any] = {
    "label": "normal",
    "peak_deviation_volt": 0.0,
    "repetition_count": 0,
    "cumulative_duration_second": 0.0,
    "true_excess_volt": 0.0,
    "true_exposure_volt_hour": 0.0,
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
        outcome = _solved(history, cycle, count=count)
        if outcome is not None:
            _advance(history, cycle, count=count, outcome=outcome)
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


def _advance(history: _History, cycle: Cycle, *, count: int, outcome: engine.Outcome) -> None:
    history.state = outcome.state
    if cycle.checkup:
        history.health = record.ampere_hours(outcome.discharge) / NOMINAL_CAPACITY_AH
        return
    for step_type, clean, wave in _recorded(history, outcome, count=count):
        _keep(history, cycle, count=count, step_type=step_type, clean=clean, wave=wave)
    # The whole cycle was solved with the cell as it was; its damage shows from the next cycle on.
    if cycle.excess_volt > 0:
        struck = outcome.charge if cycle.scenario.step_type == "charge" else outcome.discharge
        exposure = _exposure(struck, step_type=cycle.scenario.step_type)
        history.cell = damaged(history.cell, cycle.scenario, volt_hours=exposure)


def _recorded(history: _History, outcome: engine.Outcome, *, count: int) -> Iterator[tuple[StepType, engine.Wave, engine.Wave]]:
    """Each half-cycle, clean and as recorded; its noise depends on seed, cell, cycle and half alone."""
    halves: tuple[tuple[StepType, engine.Wave], ...] = (("charge", outcome.charge), ("discharge", outcome.discharge))
    for half, (step_type, clean) in enumerate(halves):
        rng = np.random.default_rng([history.plan.seed, history.plan.index, NOISE, count, half])
        yield step_type, clean, record.record(clean, rng=rng)


def _keep(history: _History, cycle: Cycle, *, count: int, step_type: StepType, clean: engine.Wave, wave: engine.Wave) -> None:
    faulty = cycle.excess_volt > 0 and cycle.scenario.step_type == step_type
    outside = record.outside_volt(wave)
    if not faulty and outside > _OUTSIDE_VOLT:
        detail = f"a half-cycle within its limits begins {outside:.3f} V outside the rated ones"
        _fail(history, count, reason="recovery", detail=detail, step_type=step_type)
        return
    history.waves.append(wave)
    row = _context(history, cycle, count=count, step_type=step_type)
    severity = _severity(history, cycle, clean=clean, wave=wave) if faulty else _NO_SEVERITY
    history.rows.append({**row, **severity, "capacity_ah": record.ampere_hours(wave)})


def _context(history: _History, cycle: Cycle, *, count: int, step_type: StepType) -> dict[str, Any]:
    """What is known of a half-cycle before it begins."""
    cell, charge = history.cell, step_type == "charge"
    return {
        "cell_id": cell.cell_id,
        "cycle_count": count,
        "step_type": step_type,
        "lower_voltage_limit_volt": LOWER_LIMIT_VOLT,
        "upper_voltage_limit_volt": UPPER_LIMIT_VOLT,
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


def _severity(history: _History, cycle: Cycle, *, clean: engine.Wave, wave: engine.Wave) -> dict[str, Any]:
    """Count a fault and measure it: peak and time from the record, as for real data; the exposure from the truth."""
    step_type = cycle.scenario.step_type
    excess = record.excess_volt(wave, step_type=step_type)
    history.repetitions += 1
    history.seconds += record.seconds_beyond(wave.second, excess)
    return {
        "label": cycle.scenario.label,
        "peak_deviation_volt": float(excess.max()),
        "repetition_count": history.repetitions,
        "cumulative_duration_second": history.seconds,
        "true_excess_volt": cycle.excess_volt,
        "true_exposure_volt_hour": _exposure(clean, step_type=step_type),
    }


def _exposure(wave: engine.Wave, *, step_type: StepType) -> float:
    return record.volt_hours_beyond(wave.second, record.excess_volt(wave, step_type=step_type))


def _fail(history: _History, count: int, *, reason: Reason, detail: str, step_type: str = "") -> None:
    history.failures.append(Failure(history.cell.cell_id, count, step_type=step_type, reason=reason, detail=detail))
