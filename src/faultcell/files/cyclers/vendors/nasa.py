"""NASA PCoE battery files (`B0005.mat` and its like), as B. Saha and K. Goebel published them in 2007.

Rated values from NASA's description of the set: 2 Ah, 2.7 V to 4.2 V. What the files do not tell is the voltage a
discharge was meant to end at. It is estimated as the median, over the discharges of the cell, of the lowest voltage
under load: on the 26 cells whose end voltage is known this sorts every one right, while the lowest voltage of all does
not (one late sample puts a 2.7 V cell at 1.75 V).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.curves.per_curve import seconds_above
from faultcell.curves.schema import HALFCYCLES, KEYS, NORMAL, TIMESERIES, Array
from faultcell.errors import DataError, first_line
from faultcell.files.bounded import _child
from faultcell.files.bounded.sandbox import MEBIBYTE, Allowance, ApartError, read_apart
from faultcell.files.cyclers.columns import Column
from faultcell.files.cyclers.reader import CycleCounter, Rated, Reader, ReadJob
from faultcell.files.messages import refuse

LOWER_VOLT, UPPER_VOLT, NOMINAL_AH = 2.7, 4.2, 2.0
# NASA's own files take 130 MiB and a tenth of a second a megabyte, on top of half a second to begin.
ALLOWANCE = Allowance(512 * MEBIBYTE, 40, 6.0, 1e-6)
# Discharges meant to end at 2.0 or 2.2 V are over-discharges, at 2.5 or 2.7 V not.
DEEP_END_VOLT = 2.3
DEEP_VOLT = 2.5
# A charge is an over-voltage from this peak on, if it also stays above the second for so long.
OVERVOLTAGE_VOLT, OVERVOLTAGE_HOLD_VOLT, OVERVOLTAGE_SECOND = 4.25, 4.22, 20.0
# Below these a current is rest, A.
REST_AMPERE = {"discharge": 0.1, "charge": 0.02}

COLUMNS = (
    *(Column(name, (name,)) for name in KEYS),
    Column("step_time_second", ("Time",), unit="s", needed=True),
    Column("voltage_volt", ("Voltage_measured",), unit="V", needed=True),
    Column("current_ampere", ("Current_measured",), unit="A", needed=True),
    Column("surface_temperature_celsius", ("Temperature_measured",), unit="degC"),
    Column("ambient_temperature_celsius", ("ambient",), unit="degC"),
    Column("capacity_ah", ("capacity",), unit="Ah"),
)


def load(path: Path) -> pl.DataFrame:
    """Read the file in a child process with a limit on time and memory.

    Raises:
        DataError: the file is damaged, of another kind, or takes too long.
    """
    try:
        with (
            read_apart(path, "matlab", size=path.stat().st_size, allowance=ALLOWANCE) as folder,
            np.load(folder / "arrays.npz", allow_pickle=False) as stored,
        ):
            arrays = {name: stored[name] for name in stored.files}
    except (ApartError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: found a damaged or different file ({first_line(error)}), expected a NASA PCoE .mat file: fetch it anew"
        ) from error
    return _table(arrays)


def curves(tables: Iterable[pl.DataFrame], job: ReadJob) -> Iterator[Curves]:
    """The half-cycles of the cell, labelled by the rules above."""
    parts = list(tables)
    if not parts:
        refuse(job.path, found="no sample in any half-cycle", expected="one row a sample", action="fetch it anew")
    table = pl.concat(parts)
    groups = list(table.group_by(KEYS, maintain_order=True))
    lowest = [_lowest_under_load(group) for key, group in groups if key[2] == "discharge"]
    end_volt = float(np.nanmedian(lowest)) if np.isfinite(lowest).any() else math.nan
    rows = [_row(group, deep=end_volt <= DEEP_END_VOLT, rated=job.rated.of(str(table["cell_id"][0]))) for _, group in groups]
    schema = {**HALFCYCLES, "capacity_ah": pl.Float64}
    job.notes.append(
        f"{job.path}: the end voltage of the discharges is not in the file, estimated as {end_volt:.2f} V (median of the "
        f"lowest voltage under load); up to {DEEP_END_VOLT} V discharges that pass {DEEP_VOLT} V count as overdischarge"
    )
    yield Curves(table.select(*TIMESERIES), pl.DataFrame(rows, schema=schema))


def label_of(table: pl.DataFrame, *, deep: bool) -> str:
    """The label of one half-cycle; `deep` where the cell's discharges are meant to end at 2.2 V or lower."""
    step = str(table["step_type"][0])
    loaded = _loaded(table)
    voltage, time = table["voltage_volt"].to_numpy(), table["step_time_second"].to_numpy()
    if not loaded.any():
        return NORMAL
    if step == "discharge":
        return "overdischarge" if deep and voltage[loaded].min() < DEEP_VOLT else NORMAL
    held = seconds_above(time, voltage - OVERVOLTAGE_HOLD_VOLT, loaded)
    return "overvoltage" if voltage[loaded].max() >= OVERVOLTAGE_VOLT and held > OVERVOLTAGE_SECOND else NORMAL


def _table(arrays: dict[str, np.ndarray]) -> pl.DataFrame:
    length = arrays["length"]
    steps, counter = [str(step) for step in arrays["step_type"]], CycleCounter()
    halves = pl.DataFrame(
        {
            "cell_id": [str(arrays["cell_id"])] * len(steps),
            "cycle_count": [counter.number(step) for step in steps],
            "step_type": steps,
            "ambient": arrays["ambient"],
            "capacity": arrays["capacity"],
        }
    )
    samples = pl.DataFrame({name: arrays[name] for name in _child.READINGS})
    return pl.concat([halves[np.repeat(np.arange(len(steps)), length)], samples], how="horizontal")


def _row(table: pl.DataFrame, *, deep: bool, rated: Rated) -> dict[str, object]:
    first = table.row(0, named=True)
    ambient, capacity = first["ambient_temperature_celsius"], first["capacity_ah"]
    return {
        **{key: first[key] for key in KEYS},
        "label": label_of(table, deep=deep),
        "lower_voltage_limit_volt": LOWER_VOLT if rated.lower is None else rated.lower,
        "upper_voltage_limit_volt": UPPER_VOLT if rated.upper is None else rated.upper,
        "ambient_temperature_celsius": ambient if math.isfinite(ambient) else None,
        "nominal_capacity_ah": NOMINAL_AH if rated.nominal_capacity_ah is None else rated.nominal_capacity_ah,
        "capacity_ah": capacity if math.isfinite(capacity) else None,
    }


def _loaded(table: pl.DataFrame) -> np.ndarray:
    return np.asarray(np.abs(table["current_ampere"].to_numpy()) > REST_AMPERE[str(table["step_type"][0])])


def _lowest_under_load(table: pl.DataFrame) -> float:
    voltage: Array = table["voltage_volt"].to_numpy()[_loaded(table)]
    return float(voltage.min()) if voltage.size else math.nan


def is_matlab(_: Path, start: bytes) -> bool:
    """Whether the file is one of MATLAB, from its first words."""
    return start.startswith(b"MATLAB") or start.startswith(b"\x89HDF")


NASA = Reader("NASA PCoE .mat", COLUMNS, curves, detects=is_matlab, load=load)
