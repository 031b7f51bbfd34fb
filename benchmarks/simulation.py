"""How many cycles a second the virtual cells take, over PyBaMM used as its examples do: a new simulation for every cycle.

Both solve the same single-particle model with electrolyte of the same cell. FaultCell builds it once; what varies is an input.
Needs the extra `sim`.

    python benchmarks/simulation.py [--cells N] [--cycles N] [--out JSON]
"""

from __future__ import annotations

import os

import measure
from faultcell.simulate import simulate

RUNS = 3


def main() -> None:
    options = measure.arguments(__doc__, cells={"type": int, "default": 4}, cycles={"type": int, "default": 4})
    done = options.cells * options.cycles
    contenders = {
        "PyBaMM, a simulation a cycle": lambda: plain(options.cycles) * options.cells,
        "faultcell.simulate": lambda: measure.seconds_of(lambda: simulate(cells=options.cells, cycles=options.cycles)),
        f"faultcell.simulate, {options.threads} processes": lambda: measure.seconds_of(
            lambda: simulate(cells=options.cells, cycles=options.cycles, workers=options.threads)
        ),
    }
    seconds = measure.in_turn(contenders, runs=RUNS)
    slowest = seconds["PyBaMM, a simulation a cycle"]
    rows = [{"": name, "s": taken, "cycles/s": done / taken, "faster by": slowest / taken} for name, taken in seconds.items()]
    measure.report(f"{options.cells} virtual cells, {options.cycles} recorded cycles each", rows, options)


def plain(cycles: int) -> float:
    """Seconds of so many cycles of one cell."""
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"
    import pybamm

    steps = ("Charge at 0.5C until 4.2 V", "Hold at 4.2 V until C/20", "Rest for 10 minutes", "Discharge at 1C until 2.5 V")

    def cycle() -> None:
        model = pybamm.lithium_ion.SPMe({"SEI": "solvent-diffusion limited", "thermal": "lumped"})
        experiment = pybamm.Experiment([steps], period="15 seconds")
        pybamm.Simulation(model, parameter_values=pybamm.ParameterValues("Chen2020"), experiment=experiment).solve()

    return measure.seconds_of(lambda: [cycle() for _ in range(cycles)])


if __name__ == "__main__":
    main()
