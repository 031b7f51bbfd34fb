"""Solutions of PyBaMM as curve sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from faultcell.curves import severity
from faultcell.curves.curves import Curves
from faultcell.errors import DataError, first_line
from faultcell.files.cyclers.reader import Rated
from faultcell.files.cyclers.segment import Recording
from faultcell.simulate.engine import wave


def from_pybamm(
    solution: Any,
    *,
    lower: float,
    upper: float,
    nominal_capacity_ah: float | None = None,
    cell_id: str = "pybamm",
    ambient_temperature_celsius: float | None = None,
) -> Curves:
    """Charges and discharges of a PyBaMM solution, cut by the sign of the current as a cycler's recording is.

    PyBaMM counts + = discharge; curve sets count + = charge. Cycles are numbered in order: a charge begins a new one. A voltage
    under load more than 0.05 V beyond a limit makes a curve an `overcharge` or an `overdischarge`.

    Args:
        solution: what `Simulation.solve` gives, or anything whose `solution["Voltage [V]"].entries` are values; also needed are
            `Time [s]` and `Current [A]`, and welcome `Volume-averaged cell temperature [K]`.
        lower: rated lower voltage limit, V.
        upper: rated upper voltage limit, V.
        nominal_capacity_ah: Ah; the largest charge moved where not given.
        cell_id: name of the cell.
        ambient_temperature_celsius: degC.

    Raises:
        DataError: no load at all, or the variables are not there.
    """
    try:
        seen = wave([solution])
    except KeyError as error:
        raise DataError(
            f"the solution: found no variable {error}, expected Time [s], Voltage [V] and Current [A]: solve a battery model"
        ) from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"the solution: found no numbers ({first_line(error)}), expected a battery model: solve one") from error
    columns = {
        "time": seen.second,
        "voltage_volt": seen.volt,
        "current_ampere": seen.ampere,
        "surface_temperature_celsius": seen.celsius,
    }
    sizes = {np.shape(column) for column in columns.values()}
    if sizes != {(seen.second.size,)} or not seen.second.size:
        raise DataError(
            f"the solution: found {', '.join(map(str, sorted(sizes)))} values, expected as many of each variable: solve anew"
        )
    table = pl.DataFrame({**columns, "row": np.arange(seen.second.size)})
    if ambient_temperature_celsius is not None:
        table = table.with_columns(ambient_temperature_celsius=pl.lit(float(ambient_temperature_celsius)))
    recording = Recording(cell_id, rated=Rated(lower, upper, nominal_capacity_ah), where="the solution", sign=1.0, whole=True)
    found = [curves for curves in (recording.add(table), recording.end()) if curves is not None]
    return severity.complete(Curves.concat(found))
