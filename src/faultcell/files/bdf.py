"""The Battery Data Format: CSV or Parquet with machine names or preferred labels, + = charge.

Names, units and sign: Battery Data Format ontology 1.3.0, Battery Data Alliance. Exports of Arbin and of
batteryarchive.org have the same columns and sign under other labels, so those are synonyms here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from faultcell.curves import Curves
from faultcell.errors import DataError
from faultcell.files.check import STEP_TYPES
from faultcell.files.curve_set import read_table
from faultcell.files.engine import Column, Job, PiecewiseError, Reader
from faultcell.files.recording import CARRIED, Recording
from faultcell.files.sentence import refuse

INFERRED_ROWS = 10_000
# A piece of so many rows takes some 200 MB from reading to writing, and the overhead of a piece does not show.
PIECE_ROWS = 500_000
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
    Column("step_type", ("step_type",)),
    *(Column(name, (name,)) for name in CARRIED),
)  # fmt: skip


def load(path: Path) -> pl.DataFrame:
    """Read the file as it stands.

    Raises:
        DataError: it is empty, or neither CSV nor Parquet.
    """
    if _is_parquet(path):
        return read_table(path)
    try:
        table = _csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:160]
        raise DataError(
            f"{path}: found no readable table ({reason}), expected CSV with one header line: export it anew"
        ) from error
    if table.is_empty():
        raise DataError(f"{path}: found no row below the header, expected one row a sample: export it anew")
    return table


def pieces(path: Path) -> Iterator[pl.DataFrame]:
    """The same table in pieces.

    Raises:
        PiecewiseError: its types are not those of the first rows, or it is damaged: `load` knows better.
    """
    try:
        if _is_parquet(path):
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for batch in file.iter_batches(PIECE_ROWS):
                    yield pl.DataFrame(pl.from_arrow(batch))
        else:
            yield from _scan(path, INFERRED_ROWS).collect_batches(chunk_size=PIECE_ROWS, maintain_order=True)
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        raise PiecewiseError from error


def curves(tables: Iterable[pl.DataFrame], job: Job) -> Iterator[Curves]:
    """Cut the recording of each cell in the file, one cell after the other; it is named by `cell_id`, or by the file."""
    recordings, ended = dict[str, Recording](), set[str]()
    for table in tables:
        made = list[Curves | None]()
        parts = _by_cell(_whole_cycles(_typed(table), str(job.path)), job.path)
        for cell, where, part in parts:
            if cell in ended:
                raise PiecewiseError
            if cell not in recordings:
                recordings[cell] = Recording(cell, rated=job.rated, where=where, whole=job.whole)
            made.append(recordings[cell].add(part))
            if part["row"][-1] != table["row"][-1]:
                made.append(recordings[cell].end())
                ended.add(cell)
        yield from _together(made)
    if not recordings:
        raise PiecewiseError
    yield from _together(recording.end() for cell, recording in recordings.items() if cell not in ended)
    job.notes.extend(note for recording in recordings.values() for note in recording.notes)


def _csv(path: Path) -> pl.DataFrame:
    """The table, its types from the first rows; from all of them, which takes several times as long, where those mislead."""
    try:
        return _scan(path, INFERRED_ROWS).collect()
    except pl.exceptions.ComputeError:
        return _scan(path, None).collect()


def _scan(path: Path, inferred: int | None) -> pl.LazyFrame:
    with path.open(encoding="utf-8", errors="replace") as lines:
        header = lines.readline()
    return pl.scan_csv(path, separator=max(",;\t", key=header.count), encoding="utf8-lossy", infer_schema_length=inferred)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _by_cell(table: pl.DataFrame, path: Path) -> list[tuple[str, str, pl.DataFrame]]:
    """Name of each cell, where it stands, its rows."""
    if "cell_id" not in table.columns:
        return [(name_of(path), str(path), table)]
    groups = table.partition_by("cell_id", maintain_order=True, as_dict=True)
    return [(str(key), f"{path} (cell {key})", group) for (key,), group in groups.items()]


def _together(made: Iterable[Curves | None]) -> Iterator[Curves]:
    parts = [curves for curves in made if curves is not None]
    if parts:
        yield Curves.concat(parts) if len(parts) > 1 else parts[0]


def name_of(path: Path) -> str:
    """The file's name without the ending of the format."""
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    """What our own exports say of a sample, in its types; empty columns of a CSV file are text.

    Others have steps of their own by that name, which are no half-cycles: theirs are not looked at.
    """
    found = (pl.col(name).cast(kind, strict=False) for name, kind in CARRIED.items() if name in table.columns)
    ours = {"label", "step_type", "cycle_count"} <= set(table.columns) and table["step_type"].is_in(STEP_TYPES).all()
    return table.with_columns(*found) if ours else table.with_columns(*found).drop("step_type", strict=False)


def _whole_cycles(table: pl.DataFrame, where: str) -> pl.DataFrame:
    if "cycle_count" not in table.columns:
        return table
    values = table["cycle_count"].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    broken = np.flatnonzero(~(values == np.round(values)))
    if broken.size:
        row = int(broken[0])
        refuse(
            where,
            f"row {table['row'][row]}, column cycle_count",
            found=str(table["cycle_count"][row]),
            expected="whole numbers",
            action="correct it (6.283185 is a known fault of a converter) or drop the column and cycles are counted",
        )
    return table.with_columns(pl.Series("cycle_count", values.astype(np.int64)))


BDF = Reader("Battery Data Format", suffixes=SUFFIXES, columns=COLUMNS, load=load, pieces=pieces, curves=curves)
