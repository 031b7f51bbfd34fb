"""The Battery Data Format: CSV or Parquet with machine names or preferred labels, + = charge.

Names, units and sign: Battery Data Format ontology 1.3.0, Battery Data Alliance. Exports of Arbin and of
batteryarchive.org have the same columns and sign under other labels, so those are synonyms here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from faultcell.curves import Curves
from faultcell.errors import DataError
from faultcell.files.curve_set import read_table
from faultcell.files.engine import Column, Rated, Reader
from faultcell.files.recording import half_cycles
from faultcell.files.sentence import refuse

INFERRED_ROWS = 10_000
SUFFIXES = (".bdf.csv", ".bdf.parquet", ".csv", ".parquet")
COLUMNS = (
    Column("time", ("test_time_second", "Test Time / *", "Test_Time (*)", "Test Time (*)", "Test_Time",
           "unix_time_second", "Unix Time / *"), unit="s", needed=True),
    Column("voltage_volt", ("voltage_volt", "Voltage / *", "Voltage (*)", "Voltage(*)", "Voltage [*]", "Voltage"),
           unit="V", needed=True),
    Column("current_ampere", ("current_ampere", "Current / *", "Current (*)", "Current(*)", "Current [*]", "Current"),
           unit="A", needed=True),
    Column("cycle_count", ("cycle_count", "Cycle Count / 1", "Cycle Count", "Cycle_Index")),
    Column("cell_id", ("cell_id",)),
    Column("surface_temperature_celsius", ("surface_temperature_celsius", "Surface Temperature / *",
           "temperature_t1_celsius", "Temperature T1 / *", "Cell_Temperature (*)", "Temperature"), unit="degC"),
    Column("ambient_temperature_celsius", ("ambient_temperature_celsius", "Ambient Temperature / *",
           "Environment_Temperature (*)"), unit="degC"),
    Column("lower_voltage_limit_volt", ("lower_voltage_limit_volt",), unit="V"),
    Column("upper_voltage_limit_volt", ("upper_voltage_limit_volt",), unit="V"),
    Column("nominal_capacity_ah", ("nominal_capacity_ah",), unit="Ah"),
)  # fmt: skip


def load(path: Path) -> pl.DataFrame:
    """Read the file as it stands.

    Raises:
        DataError: it is empty, or neither CSV nor Parquet.
    """
    if path.name.lower().endswith(".parquet"):
        return read_table(path)
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            header = lines.readline()
        separator = max(",;\t", key=header.count)
        table = _csv(path, separator)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:160]
        raise DataError(
            f"{path}: found no readable table ({reason}), expected CSV with one header line: export it anew"
        ) from error
    if table.is_empty():
        raise DataError(f"{path}: found no row below the header, expected one row a sample: export it anew")
    return table


def _csv(path: Path, separator: str) -> pl.DataFrame:
    """The table, its types from the first rows; from all of them, which takes several times as long, where those mislead."""
    read = partial(pl.read_csv, path, separator=separator, encoding="utf8-lossy")
    try:
        return read(infer_schema_length=INFERRED_ROWS)
    except pl.exceptions.ComputeError:
        return read(infer_schema_length=None)


def curves(table: pl.DataFrame, *, path: Path, rated: Rated) -> tuple[Curves, list[str]]:
    """Cut the recording of each cell in the file; the cell is named by `cell_id`, or by the file."""
    table = _whole_cycles(table, str(path))
    if "cell_id" not in table.columns:
        return half_cycles(table, cell_id=name_of(path), rated=rated, where=str(path))
    done = [
        half_cycles(group, cell_id=str(key[0]), rated=rated, where=f"{path} (cell {key[0]})")
        for key, group in table.group_by("cell_id", maintain_order=True)
    ]
    return Curves.concat(made for made, _ in done), [note for _, notes in done for note in notes]


def name_of(path: Path) -> str:
    """The file's name without the ending of the format."""
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def _whole_cycles(table: pl.DataFrame, where: str) -> pl.DataFrame:
    if "cycle_count" not in table.columns:
        return table
    values = table["cycle_count"].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    broken = np.flatnonzero(~(values == np.round(values)))
    if broken.size:
        row = int(broken[0])
        refuse(
            where,
            f"row {row}, column cycle_count",
            found=str(table["cycle_count"][row]),
            expected="whole numbers",
            action="correct it (6.283185 is a known fault of a converter) or drop the column and cycles are counted",
        )
    return table.with_columns(pl.Series("cycle_count", values.astype(np.int64)))


BDF = Reader("Battery Data Format", suffixes=SUFFIXES, columns=COLUMNS, load=load, curves=curves)
