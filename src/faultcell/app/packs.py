"""Drawn curves as files: a zip of a curve set, and a CSV in the Battery Data Format."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from faultcell.curves import KEYS, Curves
from faultcell.files import write

# What a recording says of itself in the Battery Data Format, and, lest it be taken for one, that it was drawn.
SAID = (
    "label",
    "ambient_temperature_celsius",
    "lower_voltage_limit_volt",
    "upper_voltage_limit_volt",
    "nominal_capacity_ah",
    "synthetic",
    "seed",
    "model_sha256",
)


def zipped(curves: Curves, *, config: Mapping[str, Any]) -> bytes:
    """A zip with the two tables of a curve set and the settings it was made with."""
    packed = io.BytesIO()
    with TemporaryDirectory() as temporary, zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(write(curves, Path(temporary) / "drawn", config=config).iterdir()):
            archive.write(path, path.name)  # Parquet is compressed already
    return packed.getvalue()


def bdf_csv(curves: Curves) -> bytes:
    """One CSV of all curves in the Battery Data Format: machine names, SI units, + = charge; each curve begins at 0 s."""
    said = curves.halfcycles.select(*KEYS, *(name for name in SAID if name in curves.halfcycles.columns))
    table = curves.timeseries.join(said, on=KEYS, how="left", maintain_order="left").rename(
        {"step_time_second": "test_time_second"}
    )
    lost = [name for name in table.columns if table[name].null_count() == table.height]
    return table.drop(lost).with_columns(pl.col(pl.Float64).round(6)).write_csv().encode()
