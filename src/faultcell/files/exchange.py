"""Curve sets and the outside: pandas and polars tables, arrays of aeon and sktime, Battery Data Format files, PyBaMM.

Everything that comes in is checked as a curve set on disk is; nothing that goes out loses its mark of being synthetic.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves import severity
from faultcell.curves.curves import Curves, loaded_part
from faultcell.errors import ConditionError, DataError, MissingExtraError, first_line
from faultcell.files.curve_set import in_order
from faultcell.files.cyclers.segment import CARRIED
from faultcell.files.durable.atomic import whole_folder
from faultcell.files.validate import check, conform

if TYPE_CHECKING:
    import pandas

CHANNELS = ("voltage_volt", "current_ampere", "surface_temperature_celsius")
LENGTH = 128
# Between two half-cycles of a file, s: what was between them is not known, so nothing is made up for it.
GAP_SECOND = 1.0
LABELS = {
    "test_time_second": "Test Time / s",
    "voltage_volt": "Voltage / V",
    "current_ampere": "Current / A",
    "cycle_count": "Cycle Count / 1",
    "step_count": "Step Count / 1",
    "surface_temperature_celsius": "Surface Temperature / degC",
    "ambient_temperature_celsius": "Ambient Temperature / degC",
}
RATED = ("lower_voltage_limit_volt", "upper_voltage_limit_volt", "nominal_capacity_ah")


def to_polars(curves: Curves) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The two tables of a set, `timeseries` and `halfcycles`."""
    return curves.timeseries, curves.halfcycles


def from_polars(timeseries: pl.DataFrame, halfcycles: pl.DataFrame) -> Curves:
    """A curve set from its two tables, checked; severities they do not carry are measured.

    Args:
        timeseries: one row a sample, see `curves.TIMESERIES`.
        halfcycles: one row a curve, see `curves.HALFCYCLES`.

    Raises:
        DataError: a column is missing, or a value cannot be right; one sentence.
    """
    curves = conform(timeseries, halfcycles, where="the tables")
    check(curves, where="the tables")
    return severity.complete(in_order(curves))


def to_pandas(curves: Curves) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The same two tables for pandas (extra `pandas`)."""
    _require_pandas()
    return curves.timeseries.to_pandas(), curves.halfcycles.to_pandas()


def from_pandas(timeseries: pandas.DataFrame, halfcycles: pandas.DataFrame) -> Curves:
    """The same from two pandas tables; keys that are their index are taken from there. Raises as `from_polars` does."""
    _require_pandas()
    plain = (
        table if all(name is None for name in table.index.names) else table.reset_index() for table in (timeseries, halfcycles)
    )
    # What pandas holds and cannot be handed on ends in errors of pandas, pyarrow and polars, each in its own way.
    try:
        tables = [pl.from_pandas(table) for table in plain]
    except Exception as error:
        raise DataError(
            f"the tables: found what is no table of numbers and texts ({first_line(error)}), expected one type in each column, "
            "each name once: correct the column"
        ) from error
    return from_polars(tables[0], tables[1])


def to_numpy3d(
    curves: Curves, *, length: int = LENGTH, channels: Sequence[str] = CHANNELS
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Curves as an array in the layout of aeon and sktime, with their labels: what their classifiers, and ours, are fitted on.

    Each curve is resampled to equal steps over its loaded part, from the first to the last sample under load. So the array does
    not tell how long a curve lasts.

    Args:
        curves: the set.
        length: time points a curve.
        channels: numeric columns of `timeseries`, in the order they shall have; where not given, voltage in volt, current in
            ampere (+ = charge), temperature in degC. What a curve does not know is NaN.

    Returns:
        `(n, channel, time)` and `(n,)`.

    Raises:
        ConditionError: a length below 2, or a channel that is not in the set.
        DataError: a curve without a load.
    """
    numeric = [name for name, kind in curves.timeseries.schema.items() if kind.is_numeric()]
    unknown = [name for name in channels if name not in numeric]
    if length < 2 or unknown:
        found = f"the channel '{unknown[0]}'" if unknown else f"length {length}"
        raise ConditionError(
            f"to_numpy3d takes a length of 2 or more and channels among {', '.join(numeric)}, found {found}: correct it"
        )
    values, second = [curves.column(name) for name in channels], curves.column("step_time_second")
    resampled = np.empty((len(curves), len(channels), length))
    for i, rows in enumerate(curves.slices()):
        part = loaded_part(curves, rows)
        if part.stop == part.start:
            key = ", ".join(f"{name} {value}" for name, value in zip(("cell", "cycle", "step"), _key(curves, i), strict=True))
            raise DataError(f"{key}: found no sample under load, expected one at least: leave the curve out")
        at = np.linspace(second[part.start], second[part.stop - 1], length)
        resampled[i] = [np.interp(at, second[part], column[part]) for column in values]
    return resampled, curves.halfcycles["label"].to_numpy().astype(np.str_)


def to_bdf(
    curves: Curves,
    folder: str | Path,
    *,
    suffix: Literal[".bdf.csv", ".bdf.parquet"] = ".bdf.csv",
    names: Literal["preferred", "machine"] = "preferred",
) -> list[Path]:
    """One Battery Data Format file a cell, which `faultcell ingest` reads back to the same curves.

    Half-cycles follow each other by their cycles, a second apart: `test_time_second` rises throughout, `cycle_count` is kept
    and `step_count` numbers the half-cycles. Beside the columns of the format, each row says of its curve, in columns of our
    own under machine names: `cell_id`, `step_type`, the rated `lower_voltage_limit_volt`, `upper_voltage_limit_volt` and
    `nominal_capacity_ah`, `label`, the three severities, and where the set has them `state_of_health`, `synthetic`, `seed` and
    `model_sha256`. Further columns are not written.

    Args:
        curves: the set.
        folder: new, empty, or with files of the same names, which are replaced.
        suffix: which kind of file.
        names: the format's `preferred` labels (`Voltage / V`) or `machine` names (`voltage_volt`).

    Returns:
        The files, one a cell, named by the cell; characters that file names cannot have become `_`.

    Raises:
        ConditionError: an unknown suffix or kind of names.
        DataError: two cells would get the same file, the folder holds something else, or the disk refuses.
    """
    if suffix not in (".bdf.csv", ".bdf.parquet") or names not in ("preferred", "machine"):
        raise ConditionError(
            f"to_bdf takes suffix '.bdf.csv' or '.bdf.parquet' and names 'preferred' or 'machine', found '{suffix}', '{names}'"
        )
    named = {re.sub(r"[^\w.+-]", "_", cell) + suffix: cell for cell in curves.cells}
    if len(named) < len(curves.cells):
        raise DataError(f"{folder}: found cells whose names are the same as file names, expected one file a cell: rename one")
    with whole_folder(folder, replaces=named) as draft:
        for name, cell in named.items():
            table = bdf_table(curves.where(pl.col("cell_id") == cell))
            table = table.rename({old: new for old, new in LABELS.items() if old in table.columns and names == "preferred"})
            if suffix == ".bdf.csv":
                table.write_csv(draft / name)
            else:
                table.write_parquet(draft / name)
    return [Path(folder) / name for name in named]


def bdf_table(curves: Curves) -> pl.DataFrame:
    """The half-cycles of one cell in a row, in machine names of the Battery Data Format and of our own; see `to_bdf`."""
    order = curves.halfcycles.with_row_index("_row").sort("cycle_count", maintain_order=True)["_row"].to_list()
    curves = curves.take(order)
    second, counts = curves.column("step_time_second"), np.diff(curves.offsets)
    ends, begins = second[curves.offsets[1:] - 1], second[curves.offsets[:-1]]
    starts = np.concatenate([[0.0], np.cumsum(ends - begins + GAP_SECOND)[:-1]])
    owner = np.repeat(np.arange(len(curves)), counts)
    of_curve = ("cell_id", "step_type", "ambient_temperature_celsius", *RATED, *CARRIED)
    said = curves.halfcycles.select("cycle_count", *(name for name in of_curve if name in curves.halfcycles.columns))
    samples = curves.timeseries.select("voltage_volt", "current_ampere", "surface_temperature_celsius")
    table = said[owner].with_columns(
        pl.Series("test_time_second", starts[owner] + second - begins[owner]),
        pl.Series("step_count", owner + 1),
        *samples.fill_nan(None).get_columns(),
    )
    return table.select(*LABELS, *(name for name in table.columns if name not in LABELS))


def _key(curves: Curves, row: int) -> tuple[Any, ...]:
    return curves.halfcycles.select("cell_id", "cycle_count", "step_type").row(row)


def _require_pandas() -> None:
    from importlib.util import find_spec

    if find_spec("pandas") is None:
        raise MissingExtraError("pandas", "pandas")
