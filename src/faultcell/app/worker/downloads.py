"""Drawn curves as files: a zip of a curve set, and a CSV in the Battery Data Format."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from faultcell.curves.curves import Curves
from faultcell.files import write
from faultcell.files.exchange import bdf_table


def zipped(curves: Curves, *, config: Mapping[str, Any]) -> bytes:
    """A zip with the two tables of a curve set and the settings it was made with."""
    packed = io.BytesIO()
    with TemporaryDirectory() as temporary, zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(write(curves, Path(temporary) / "drawn", config=config).iterdir()):
            archive.write(path, path.name)  # Parquet is compressed already
    return packed.getvalue()


def bdf_csv(curves: Curves) -> bytes:
    """One CSV of all curves in the Battery Data Format, machine names, one cell after the other; see `exchange.to_bdf`."""
    tables = [bdf_table(curves.where(pl.col("cell_id") == cell)) for cell in curves.cells]
    return pl.concat(tables).with_columns(pl.col(pl.Float64).round(6)).write_csv().encode()
