"""Virtual cells: PyBaMM, a table of fault scenarios and a declared damage law, as one more source of measured curves.

Left to right, each word a file:

    scenarios -> population -> engine -> record -> life -> run

`scenarios` and `population` are values and pure functions of a seed; `engine` alone speaks to PyBaMM, and only once a
cycle is solved, so importing this package is cheap; `record` makes of the solution what a cycler would write down.
"""

from faultcell.simulate.life import Failure
from faultcell.simulate.run import CELLS_IN_PART, SimulationResult, simulate, simulate_into
from faultcell.simulate.scenarios import SCENARIOS, Scenario

__all__ = ["CELLS_IN_PART", "SCENARIOS", "Failure", "Scenario", "SimulationResult", "simulate", "simulate_into"]
