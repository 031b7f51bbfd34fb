"""The only file that speaks to PyBaMM: one charge and discharge of one virtual cell.

Single-particle model with electrolyte (SPMe) of an LG M50 (parameter set Chen2020), solvent-diffusion-limited SEI,
lumped temperature and a contact resistance, solved by IDAKLU. One `Simulation` serves every cell and every scenario:
whatever varies is an input parameter, and a cell goes on from the state its last cycle left.

References:
    Sulzer et al., "Python Battery Mathematical Modelling (PyBaMM)", J. Open Res. Softw. 9 (2021) 14,
    https://doi.org/10.5334/jors.309
    Chen et al., "Development of Experimental Techniques for Parameterization of Multi-scale Lithium-ion Battery
    Models", J. Electrochem. Soc. 167 (2020) 080534, https://doi.org/10.1149/1945-7111/ab9050
    Marquis et al., "An asymptotic derivation of a single particle model with electrolyte", J. Electrochem. Soc. 166
    (2019) A3693, https://doi.org/10.1149/2.0341915jes
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultcell.errors import MissingExtraError
from faultcell.simulate.population import Cell, Loading

Floats = NDArray[np.float64]

#: Solver output, and later sampling, period [s]: the same for every class.
PERIOD_SECOND = 15.0

_KELVIN = 273.15
_OPTIONS = {"SEI": "solvent-diffusion limited", "thermal": "lumped", "contact resistance": "true"}
# At most 1.1 mV from PyBaMM's default mesh on a charge to 4.4 V.
_MESH = {"x_n": 10, "x_s": 8, "x_p": 10, "r_n": 15, "r_p": 15}
_STEPS = 5
_CHARGE, _DISCHARGE = slice(0, 2), slice(3, 4)
# How far [V, and relative for the current] from its set point a step may end before it counts as cut short.
_END_VOLT, _END_CURRENT = 0.005, 0.02

_POSITIVE = "Positive electrode active material volume fraction"
_NEGATIVE = "Negative electrode active material volume fraction"
_POSITIVE_DIFFUSIVITY = "Positive particle diffusivity [m2.s-1]"
_NEGATIVE_DIFFUSIVITY = "Negative particle diffusivity [m2.s-1]"
_SEI_DIFFUSIVITY = "SEI solvent diffusivity [m2.s-1]"
_HEAT_TRANSFER = "Total heat transfer coefficient [W.m-2.K-1]"
_RESISTANCE = "Contact resistance [Ohm]"
_LITHIUM = "Initial concentration in negative electrode [mol.m-3]"


class CycleError(Exception):
    """PyBaMM did not complete a cycle as it was planned."""


@dataclass(frozen=True)
class Wave:
    """What a perfect cycler would see of one half-cycle under load: s, V, A (+ = charge), degC, each of shape (N,)."""

    second: Floats
    volt: Floats
    ampere: Floats
    celsius: Floats


@dataclass(frozen=True)
class Outcome:
    """One solved cycle; `state` is PyBaMM's, to go on from; `stoichiometry` the negative electrode's highest."""

    charge: Wave
    discharge: Wave
    stoichiometry: float
    state: Any


@dataclass(frozen=True)
class _Bench:
    simulation: Any
    stock: Mapping[str, float]
    full_lithium: float


def run_cycle(cell: Cell, loading: Loading, *, state: Any = None) -> Outcome:
    """Charge (CC-CV), rest, discharge (CC) and rest a cell, from `state` or, for its first cycle, from half charge.

    Raises:
        CycleError: if a step is missing, empty, or ended before its set point was reached.
    """
    errors: list[str] = []
    try:
        solution = _bench().simulation.solve(
            inputs=_inputs(cell, loading), starting_solution=state, calc_esoh=False, callbacks=_recorder(errors)
        )
    except _pybamm().SolverError as error:
        raise CycleError(f"solver: {error}") from error
    steps = _checked_steps(solution, errors)
    outcome = Outcome(
        charge=wave(steps[_CHARGE]),
        discharge=wave(steps[_DISCHARGE]),
        stoichiometry=float(np.max(steps[1]["Negative electrode stoichiometry"].entries)),
        state=solution.cycles[-1].last_state,
    )
    _check_ends(outcome, loading)
    return outcome


def require() -> None:
    """Refuse early, before a worker process has to, if PyBaMM is not installed; without loading it.

    Raises:
        MissingExtraError: if it is not.
    """
    if importlib.util.find_spec("pybamm") is None:
        raise MissingExtraError("pybamm", "sim")


@cache
def _pybamm() -> Any:
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"
    pybamm = importlib.import_module("pybamm")
    # Failures surface through the recorder and the checks below, not through the log.
    pybamm.set_logging_level("CRITICAL")
    return pybamm


@cache
def _bench() -> _Bench:
    """Build the model once a process."""
    pybamm = _pybamm()
    values = pybamm.ParameterValues("Chen2020")
    values.set_initial_state(1.0)
    full_lithium = float(values[_LITHIUM])
    values.set_initial_state(0.5)
    varied = (_POSITIVE, _NEGATIVE, _POSITIVE_DIFFUSIVITY, _NEGATIVE_DIFFUSIVITY, _SEI_DIFFUSIVITY, _LITHIUM)
    stock = {name: float(values[name]) for name in varied}
    ambient = pybamm.InputParameter("ambient")
    updates: dict[str, Any] = dict.fromkeys((*varied, _HEAT_TRANSFER, _RESISTANCE), "[input]")
    updates |= {"Ambient temperature [K]": ambient, "Initial temperature [K]": ambient}
    # PyBaMM's own cut-offs must stay out of the way: the limits here are the cycler's.
    updates |= {"Upper voltage cut-off [V]": 5.5, "Lower voltage cut-off [V]": 0.1}
    values.update(updates, check_already_exists=False)
    simulation = pybamm.Simulation(
        pybamm.lithium_ion.SPMe(_OPTIONS),
        parameter_values=values,
        experiment=pybamm.Experiment([_protocol(pybamm)], period=f"{PERIOD_SECOND} seconds"),
        solver=pybamm.IDAKLUSolver(options={"silence_sundials_errors": True}),
        var_pts=_MESH,
    )
    return _Bench(simulation=simulation, stock=stock, full_lithium=full_lithium)


def _protocol(pybamm: Any) -> tuple[Any, ...]:
    given, step = pybamm.InputParameter, pybamm.step
    full = step.CustomTermination("full", lambda v: given("upper") - v["Voltage [V]"])
    held = step.CustomTermination("held", lambda v: pybamm.AbsoluteValue(v["Current [A]"]) - given("cutoff"))
    empty = step.CustomTermination("empty", lambda v: v["Voltage [V]"] - given("lower"))
    rest = step.rest(duration="10 minutes")
    return (
        step.current(given("charge"), duration="10 hours", termination=full),
        step.voltage(given("upper"), duration="6 hours", termination=held),
        rest,
        step.current(given("discharge"), duration="10 hours", termination=empty),
        rest,
    )


def _inputs(cell: Cell, loading: Loading) -> dict[str, float]:
    bench = _bench()
    stock = bench.stock
    return {
        _POSITIVE: stock[_POSITIVE] * cell.positive_fraction,
        _NEGATIVE: stock[_NEGATIVE] * cell.negative_fraction,
        _POSITIVE_DIFFUSIVITY: stock[_POSITIVE_DIFFUSIVITY] * cell.positive_diffusivity,
        _NEGATIVE_DIFFUSIVITY: stock[_NEGATIVE_DIFFUSIVITY] * cell.negative_diffusivity,
        _SEI_DIFFUSIVITY: stock[_SEI_DIFFUSIVITY] * cell.sei_diffusivity,
        _LITHIUM: stock[_LITHIUM] - (1.0 - cell.lithium_fraction) * bench.full_lithium,
        _HEAT_TRANSFER: cell.heat_transfer,
        _RESISTANCE: cell.contact_resistance_ohm,
        "ambient": loading.ambient_celsius + _KELVIN,
        "charge": -loading.charge_ampere,  # PyBaMM: + = discharge
        "discharge": loading.discharge_ampere,
        "upper": loading.upper_volt,
        "lower": loading.lower_volt,
        "cutoff": loading.cutoff_ampere,
    }


def _recorder(errors: list[str]) -> Any:
    """A callback that keeps what PyBaMM would only log: it swallows solver errors after the first step."""

    class Recorder(_pybamm().callbacks.Callback):  # type: ignore[misc]
        def on_experiment_error(self, logs: Mapping[str, Any]) -> None:
            errors.append(str(logs["error"]))

        def on_experiment_infeasible_event(self, logs: Mapping[str, Any]) -> None:
            errors.append("infeasible event")

    return Recorder()


def _checked_steps(solution: Any, errors: list[str]) -> list[Any]:
    if errors:
        raise CycleError(f"solver: {'; '.join(errors)}")
    steps = list(solution.cycles[-1].steps) if solution is not None and solution.cycles else []
    if len(steps) != _STEPS:
        raise CycleError(f"{len(steps)} of {_STEPS} steps were solved")
    if any(isinstance(step, _pybamm().EmptySolution) for step in steps):
        raise CycleError("a step was past its limit before it began")
    return steps


def _check_ends(outcome: Outcome, loading: Loading) -> None:
    reached = {
        "upper limit": outcome.charge.volt.max() >= loading.upper_volt - _END_VOLT,
        "cut-off current": outcome.charge.ampere[-1] <= loading.cutoff_ampere * (1 + _END_CURRENT),
        "lower limit": outcome.discharge.volt[-1] <= loading.lower_volt + _END_VOLT,
    }
    missed = [name for name, ok in reached.items() if not ok]
    if missed:
        raise CycleError(f"a step ran out of time before its {missed[0]}")


def wave(solutions: Sequence[Any]) -> Wave:
    """Solutions in a row as one run of samples that starts at 0 s; adjoining ones share an instant, kept once.

    Args:
        solutions: PyBaMM's, or anything of which `solution["Voltage [V]"].entries` are the values. Where the temperature is
            not among its variables, it is NaN.
    """
    second = _joined(solutions, "Time [s]")
    kept = np.append(True, np.diff(second) > 0)
    try:
        celsius = _joined(solutions, "Volume-averaged cell temperature [K]") - _KELVIN
    except KeyError:
        celsius = np.full_like(second, np.nan)
    return Wave(
        second=(second - second[0])[kept],
        volt=_joined(solutions, "Voltage [V]")[kept],
        ampere=-_joined(solutions, "Current [A]")[kept],  # the one place where the sign turns: + = charge from here on
        celsius=celsius[kept],
    )


def _joined(steps: Sequence[Any], name: str) -> Floats:
    return np.concatenate([np.asarray(step[name].entries, dtype=np.float64) for step in steps])
