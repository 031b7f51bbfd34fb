"""A tiny model of faults inside all limits, which the tests of the page share."""

import polars as pl
import pytest

from faultcell.curves import Curves
from faultcell.curves.severity import complete
from strategies import FINETUNE

# Cell, label, severities, and what becomes of a normal charge or discharge: how much longer it lasts, V, K.
WRONG = [
    ("N0", "internal_short", {"leakage_c_rate": 0.02}, (1.06, 0.97), 0.0, 0.5),
    ("N1", "internal_short", {"leakage_c_rate": 0.05}, (1.15, 0.94), 0.0, 1.0),
    ("N2", "internal_short", {"leakage_c_rate": 0.08}, (1.25, 0.91), 0.0, 1.5),
    ("N3", "sensor_offset", {"voltage_offset_millivolt": -20.0}, (1.0, 1.0), -0.02, 0.0),
    ("N4", "sensor_offset", {"voltage_offset_millivolt": 10.0}, (1.0, 1.0), 0.01, 0.0),
    ("N5", "sensor_offset", {"temperature_offset_kelvin": 4.0}, (1.0, 1.0), 0.0, 4.0),
]


@pytest.fixture(scope="session")
def inside_faults(tiny):
    """Internal shorts and sensors that are off, four cycles after the last normal ones of the same cells."""
    names = dict.fromkeys(name for _, _, severities, *_ in WRONG for name in severities)
    parts = []
    for cell, label, severities, stretch, volt, kelvin in WRONG:
        normal = tiny[0].where(pl.col("cell_id") == cell, pl.col("cycle_count") > 2)
        later = pl.col("cycle_count") + 4
        lasts = pl.when(pl.col("step_type") == "charge").then(stretch[0]).otherwise(stretch[1])
        changed = {"voltage_volt": volt, "surface_temperature_celsius": kelvin}
        timeseries = normal.timeseries.with_columns(
            later, pl.col("step_time_second") * lasts, *(pl.col(name) + value for name, value in changed.items())
        )
        told = {name: severities.get(name, 0.0) for name in names}
        halfcycles = normal.halfcycles.with_columns(later, label=pl.lit(label), **{n: pl.lit(v) for n, v in told.items()})
        parts.append(Curves(timeseries, halfcycles))
    return complete(Curves.concat(parts))


@pytest.fixture(scope="session")
def inside(models, tiny, inside_faults):
    """The pre-trained model, adapted to them."""
    return models[0].finetune(inside_faults, normal=tiny[0], config=FINETUNE)
