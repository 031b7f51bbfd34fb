"""Columns, units and names of curve sets.

A *curve* is one half-cycle (a charge or a discharge) of one cell. A set of them is two tables: `timeseries`, one row a
sample, and `halfcycles`, one row a curve, both keyed by (`cell_id`, `cycle_count`, `step_type`). Column names, units and
the sign of the current (+ = charge) are those of the Battery Data Format.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[np.float64]
Side = Literal["low", "high"]
NORMAL = "normal"
REST = "rest"  # the step type of a record without a load
KEYS = ("cell_id", "cycle_count", "step_type")
Key = tuple[str, int, str]  # of one curve
TIMESERIES = {
    "cell_id": pl.String,
    "cycle_count": pl.Int64,
    "step_type": pl.String,
    "step_time_second": pl.Float64,
    "voltage_volt": pl.Float64,
    "current_ampere": pl.Float64,
    "surface_temperature_celsius": pl.Float64,
}
SEVERITY = ("peak_deviation_volt", "repetition_count", "cumulative_duration_second")
HALFCYCLES = {
    "cell_id": pl.String,
    "cycle_count": pl.Int64,
    "step_type": pl.String,
    "label": pl.String,
    "lower_voltage_limit_volt": pl.Float64,
    "upper_voltage_limit_volt": pl.Float64,
    "ambient_temperature_celsius": pl.Float64,
    "nominal_capacity_ah": pl.Float64,
}
SOURCE = ("source_cell_id", "source_cycle_count")  # what a generated curve was drawn from
MARKS = ("synthetic", "model_sha256")  # of what is generated, in both tables
# A current below these fractions of the nominal capacity per hour is rest, not load (0.1 A and 0.02 A of a 2 Ah cell).
REST_C_RATE = {"discharge": 0.05, "charge": 0.01}
# Less than this share of a load's largest current is rest; a load that rests for more than that share of its time is pulsed:
# voltage under load and at rest are told apart.
LOAD_REST_SHARE, PULSED_REST_SHARE, FEWEST_PULSES = 0.02, 0.1, 3
