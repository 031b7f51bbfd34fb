"""The only file that speaks to PyBaMM: one charge and discharge of one virtual cell.

Single-particle model with electrolyte (SPMe) of an LG M50 (parameter set Chen2020), solvent-diffusion-limited SEI,
lumped temperature and a contact resistance, solved by IDAKLU. One `Simulation` serves every cell and every scenario:
whatever varies is an input parameter, and a cell goes on from the state its last cycle left.

An internal short is a conductance across the cell, behind its contact resistance: the cell carries the terminal current and the
leak `G V`, which also heats it by `G V^2`. For that the voltage is a state of the model ("voltage as a state"), and the current
of each step an explicit function of it. What is recorded is the terminal current.

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
_OPTIONS = {
    "SEI": "solvent-diffusion limited",
    "thermal": "lumped",
    "contact resistance": "true",
    "voltage as a state": "true",
}
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
_LEAK = "leak"  # of our own: a conductance across the cell [S]
_TEMPERATURE = "Volume-averaged cell temperature [K]"


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
    before: Mapping[str, Any]  # what is done to a cell before its cycle, by name
    stock: Mapping[str, float]
    full_lithium: float


def run_cycle(cell: Cell, loading: Loading, *, state: Any = None) -> Outcome:
    """Charge (CC-CV), rest, discharge (CC) and rest a cell, from `state` or, for its first cycle, from half charge.

    The outcome is what happens at the terminals; what sensors make of it is for `record` to say.

    Raises:
        CycleError: if a step is missing, empty, or ended before its set point was reached.
    """
    bench, inputs = _bench(), _inputs(cell, loading)
    if state is not None and loading.before:
        state = _prepared(bench.before[loading.before], inputs, state=state)
    solution = _solved(bench.simulation, inputs, state=state, steps=_STEPS)
    steps, leak = solution.cycles[-1].steps, (loading.leak_siemens, inputs[_RESISTANCE])
    outcome = Outcome(
        charge=_at_terminals(wave(steps[_CHARGE]), *leak),
        discharge=_at_terminals(wave(steps[_DISCHARGE]), *leak),
        stoichiometry=float(np.max(steps[1]["Negative electrode stoichiometry"].entries)),
        state=solution.cycles[-1].last_state,
    )
    _check_ends(outcome, loading)
    return outcome


def _solved(simulation: Any, inputs: Mapping[str, float], *, state: Any, steps: int) -> Any:
    """A cycle of so many steps, from `state`; raises CycleError where it was not completed."""
    errors: list[str] = []
    try:
        solution = simulation.solve(inputs=inputs, starting_solution=state, calc_esoh=False, callbacks=_recorder(errors))
    except _pybamm().SolverError as error:
        raise CycleError(f"solver: {error}") from error
    _check_steps(solution, errors, wanted=steps)
    return solution


def _prepared(simulation: Any, inputs: Mapping[str, float], *, state: Any) -> Any:
    """The state after what comes before a cycle; as it was, where the cell is there already."""
    try:
        return _solved(simulation, inputs, state=state, steps=2).cycles[-1].last_state
    except CycleError:
        return state


def _at_terminals(seen: Wave, leak_siemens: float, contact_ohm: float) -> Wave:
    """What a cell with a leak shows at its terminals: the leak bypasses them, and their resistance."""
    leak = leak_siemens * seen.volt
    return Wave(seen.second, seen.volt + contact_ohm * leak, seen.ampere + leak, seen.celsius)


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
    updates: dict[str, Any] = dict.fromkeys((*varied, _HEAT_TRANSFER, _RESISTANCE, _LEAK), "[input]")
    updates |= {"Ambient temperature [K]": ambient, "Initial temperature [K]": ambient}
    # PyBaMM's own cut-offs must stay out of the way: the limits here are the cycler's.
    updates |= {"Upper voltage cut-off [V]": 5.5, "Lower voltage cut-off [V]": 0.1}
    values.update(updates, check_already_exists=False)
    protocols = {"": _protocol(pybamm), **_before(pybamm)}
    simulations = {
        name: pybamm.Simulation(
            _model(pybamm),
            parameter_values=values,
            experiment=pybamm.Experiment([protocol], period=f"{PERIOD_SECOND} seconds"),
            solver=pybamm.IDAKLUSolver(options={"silence_sundials_errors": True}),
            var_pts=_MESH,
        )
        for name, protocol in protocols.items()
    }
    return _Bench(simulation=simulations.pop(""), before=simulations, stock=stock, full_lithium=full_lithium)


def _model(pybamm: Any) -> Any:
    """SPMe, heated by a leak, too: PyBaMM knows no heat but that of the current through the cell."""
    model = pybamm.lithium_ion.SPMe(_OPTIONS)
    celsius = next(variable for variable in model.rhs if variable.name == _TEMPERATURE)
    capacity = model.variables["Volume-averaged effective heat capacity [J.K-1.m-3]"] * model.param.V_cell
    model.rhs[celsius] += pybamm.Parameter(_LEAK) * model.variables["Voltage [V]"] ** 2 / capacity
    return model


def _protocol(pybamm: Any) -> tuple[Any, ...]:
    given, step = pybamm.InputParameter, pybamm.step
    behind = 1 + given(_LEAK) * given(_RESISTANCE)  # from PyBaMM's voltage to that of the terminals
    full = step.CustomTermination("full", lambda v: given("upper") - v["Voltage [V]"] * behind)
    held = step.CustomTermination(
        "held", lambda v: pybamm.AbsoluteValue(v["Current [A]"] - given(_LEAK) * v["Voltage [V]"]) - given("cutoff")
    )
    empty = step.CustomTermination("empty", lambda v: v["Voltage [V]"] * behind - given("lower"))
    rest = _constant(pybamm, 0.0, duration="10 minutes")
    return (
        _constant(pybamm, given("charge"), duration="10 hours", termination=full),
        step.voltage(given("upper") / behind, duration="10 hours", termination=held),
        rest,
        _constant(pybamm, given("discharge"), duration="10 hours", termination=empty),
        rest,
    )


def _before(pybamm: Any) -> dict[str, tuple[Any, ...]]:
    """What is done to a cell before its cycle, so that not every charge begins as the one before."""
    given, step = pybamm.InputParameter, pybamm.step
    begun = step.CustomTermination("begun", lambda v: given("begin") - v["Voltage [V]"])
    pause = _constant(pybamm, 0.0, duration="30 minutes")
    return {
        "pause": (pause, pause),
        "top_up": (
            _constant(pybamm, given("charge"), duration="10 hours", termination=begun),
            _constant(pybamm, 0.0, duration="10 minutes"),
        ),
    }


def _constant(pybamm: Any, ampere: Any, **how: Any) -> Any:
    """A step of constant current at the terminals; the cell carries that and the leak."""
    leak = pybamm.InputParameter(_LEAK)
    return pybamm.step.CustomStepExplicit(lambda v: ampere + leak * v["Voltage [V]"], **how)


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
        _HEAT_TRANSFER: cell.heat_transfer * loading.cooling_share,
        _RESISTANCE: cell.contact_resistance_ohm + loading.added_ohm,
        _LEAK: loading.leak_siemens,
        "ambient": loading.ambient_celsius + _KELVIN,
        "charge": -loading.charge_ampere,  # PyBaMM: + = discharge
        "discharge": loading.discharge_ampere,
        "upper": loading.upper_volt,
        "lower": loading.lower_volt,
        "cutoff": loading.cutoff_ampere,
        "begin": loading.begin_volt,
    }


def _recorder(errors: list[str]) -> Any:
    """A callback that keeps what PyBaMM would only log: it swallows solver errors after the first step."""

    class Recorder(_pybamm().callbacks.Callback):  # type: ignore[misc]
        def on_experiment_error(self, logs: Mapping[str, Any]) -> None:
            errors.append(str(logs["error"]))

        def on_experiment_infeasible_event(self, logs: Mapping[str, Any]) -> None:
            errors.append("infeasible event")

    return Recorder()


def _check_steps(solution: Any, errors: list[str], *, wanted: int) -> None:
    if errors:
        raise CycleError(f"solver: {'; '.join(errors)}")
    steps = list(solution.cycles[-1].steps) if solution is not None and solution.cycles else []
    if len(steps) != wanted:
        raise CycleError(f"{len(steps)} of {wanted} steps were solved")
    if any(isinstance(step, _pybamm().EmptySolution) for step in steps):
        raise CycleError("a step was past its limit before it began")


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
