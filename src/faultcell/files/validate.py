"""What a curve set must be before anything else sees it: hard errors in one sentence, suspicions as a list.

Checks stand at the border, here, and nowhere further in. Each error says where, what was found, what was expected and
what to do next. What a generator drew (`synthetic` = true) may break the physics: that is for the scores to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.curves.schema import HALFCYCLES, KEYS, SEVERITY, TIMESERIES
from faultcell.files import sanity
from faultcell.files.messages import refuse, some
from faultcell.files.samples import Samples, arrange, name_curve

STEP_TYPES = ("charge", "discharge", "rest", "field")
FILLED = {"surface_temperature_celsius", "ambient_temperature_celsius"}
READINGS = ("step_time_second", "voltage_volt", "current_ampere")
# What a curve set may carry beside what it must, in the types that we know it by.
OPTIONAL = {
    **dict.fromkeys((*SEVERITY, "state_of_health"), pl.Float64),
    "synthetic": pl.Boolean,
    "quality": pl.String,
    "model_sha256": pl.String,
}
_SPOKEN = {pl.String: "text", pl.Boolean: "true or false", pl.Float64: "a number", pl.Int64: "a whole number"}
_NEEDS_LIMITS = pl.col("step_type").is_in(["charge", "discharge"])


def conform(timeseries: pl.DataFrame, halfcycles: pl.DataFrame, *, where: str) -> Curves:
    """The two tables in the types of the contract, rows as they stand; unknown temperatures are filled in as such.

    Raises:
        DataError: a column is missing or cannot be read as its type.
    """
    timeseries = _filled(timeseries, "surface_temperature_celsius", value=float("nan"))
    halfcycles = _filled(halfcycles, "ambient_temperature_celsius", value=None)
    return Curves(
        _cast(timeseries, TIMESERIES, place="timeseries", where=where),
        _cast(halfcycles, HALFCYCLES | OPTIONAL, place="halfcycles", where=where),
    )


def check(curves: Curves, *, where: str) -> list[str]:
    """Check a set, whatever the order of its rows.

    Args:
        curves: the set, see `conform`.
        where: the file or folder it comes from, for the messages.

    Returns:
        What is suspect but may be right, one sentence each.

    Raises:
        DataError: what cannot be right, one sentence, the first found.
    """
    return [f"{where}: {sentence}" for sentence in sanity.sentences(check_part(curves, where=where))]


def check_part(curves: Curves, *, where: str) -> list[sanity.Suspicion]:
    """The same of a part of a set, its suspicions not yet in sentences."""
    _columns(curves.timeseries, TIMESERIES, place="timeseries", where=where)
    _columns(curves.halfcycles, HALFCYCLES, place="halfcycles", where=where)
    _halfcycles(curves.halfcycles, where)
    _finite(curves.timeseries, where)
    samples = arrange(curves)
    _covered(curves, samples, where=where)
    _forward(curves, samples, where=where)
    sanity.check_units(curves, samples, where=where)
    sanity.check_sign(curves, samples, where=where)
    return sanity.suspicions(curves, samples)


def check_order(curves: Curves) -> bool:
    """Whether the samples already stand in the order of `halfcycles`, one run a curve: then no join is needed."""
    starts, table = curves.runs
    return len(starts) == len(curves) and table.equals(curves.halfcycles.select(KEYS))


def _filled(table: pl.DataFrame, column: str, *, value: float | None) -> pl.DataFrame:
    return table if column in table.columns else table.with_columns(pl.lit(value, dtype=pl.Float64).alias(column))


def _columns(table: pl.DataFrame, schema: Iterable[str], *, place: str, where: str) -> None:
    missing = [name for name in schema if name not in table.columns and name not in FILLED]
    if missing:
        refuse(
            where,
            f"{place}, column {', '.join(missing)}",
            found=f"none of that name (columns are {some(table.columns) or 'none'})",
            expected="all of " + ", ".join(name for name in schema if name not in FILLED),
            action="add or rename what is missing",
        )


def _cast(table: pl.DataFrame, schema: Mapping[str, Any], *, place: str, where: str) -> pl.DataFrame:
    _columns(table, [name for name in schema if name not in OPTIONAL], place=place, where=where)
    for name, kind in schema.items():
        if name in table.columns and table[name].dtype != kind:
            table = table.with_columns(_changed(table[name], kind, place=place, where=where))
    return table


def _changed(column: pl.Series, kind: Any, *, place: str, where: str) -> pl.Series:
    """A column in its type, where what stands in it can be that."""
    if not _can_be(column.dtype, kind):
        refuse(
            where,
            f"{place}, column {column.name}",
            found=f"values of the kind {str(column.dtype).lower()}",
            expected=_SPOKEN[kind],
            action="correct the column, or leave it out if it is none of those that a curve set must have",
        )
    if kind == pl.Int64:
        _whole(column, column.name, place=place, where=where)
    if kind == pl.Boolean and column.dtype == pl.String:
        changed = column.str.to_lowercase().replace_strict(
            {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
        )
    else:
        changed = column.cast(kind, strict=False)
    lost = (changed.is_null() & column.is_not_null()).arg_true()
    if len(lost):
        row = int(lost[0])
        refuse(
            where,
            f"{place} row {row}, column {column.name}",
            found=f"{column[row]!r} ({column.dtype})",
            expected=_SPOKEN[kind],
            action="correct the value or leave the row out",
        )
    return changed


def _can_be(found: pl.DataType, kind: Any) -> bool:
    """Whether values of one type may be meant as another: a date is no voltage, and a voltage no name."""
    if found in (pl.String, pl.Null):
        return True
    if kind == pl.String:
        return found.is_integer() or found in (pl.Categorical, pl.Enum)
    return found.is_numeric()


def _whole(column: pl.Series, name: str, *, place: str, where: str) -> None:
    if not column.dtype.is_float():
        return
    broken = (column.is_null() | ~column.is_finite() | (column != column.round())).fill_null(True).arg_true()
    if len(broken):
        row = int(broken[0])
        refuse(
            where,
            f"{place} row {row}, column {name}",
            found=str(column[row]),
            expected="whole numbers",
            action="correct the column (6.283185 is a known unit-conversion fault of a converter) or drop it",
        )


def _halfcycles(table: pl.DataFrame, where: str) -> None:
    if table.is_empty():
        refuse(where, "halfcycles", found="no row", expected="one row a curve", action="check the export or the selection")
    for column in (*KEYS, "label"):
        empty = pl.col(column).is_null() | (pl.col(column).cast(pl.String).str.len_chars() == 0)
        _refuse_rows(table, empty, column=column, where=where, expected="a value", action="fill it in")
    known = f"one of {', '.join(STEP_TYPES)}"
    action = "rename the step or leave the row out"
    broken = ~pl.col("step_type").is_in(STEP_TYPES)
    _refuse_rows(table, broken, column="step_type", where=where, expected=known, action=action)
    twice = pl.struct(KEYS).is_duplicated()
    action = "renumber the cycles or drop the doubled rows"
    _refuse_rows(table, twice, column=", ".join(KEYS), where=where, expected="each key once, not twice", action=action)
    _limits(table, where)
    for name in set(SEVERITY) & set(table.columns):
        wrong = pl.col(name).is_infinite() | (pl.col(name) < 0)
        action = "leave the column out, and it is measured"
        _refuse_rows(table, wrong, column=name, where=where, expected="0 or more", action=action)


def _limits(table: pl.DataFrame, where: str) -> None:
    lower, upper = pl.col("lower_voltage_limit_volt"), pl.col("upper_voltage_limit_volt")
    for name in ("lower_voltage_limit_volt", "upper_voltage_limit_volt"):
        unknown = _NEEDS_LIMITS & ~(pl.col(name).is_finite() & (pl.col(name) > -sanity.HIGH_VOLT)).fill_null(False)
        action = "give the limits of the cell's data sheet"
        _refuse_rows(table, unknown, column=name, where=where, expected="the rated limit in volt", action=action)
    turned = (lower >= upper).fill_null(False) & lower.is_not_nan() & upper.is_not_nan()
    expected = "a lower limit below upper_voltage_limit_volt of the same row"
    action = "correct the two limits"
    _refuse_rows(table, turned, column="lower_voltage_limit_volt", where=where, expected=expected, action=action)
    capacity = pl.col("nominal_capacity_ah")
    broken = _NEEDS_LIMITS & ~(capacity.is_finite() & (capacity > 0)).fill_null(False)
    action = "give the rated capacity of the cell"
    expected = "a capacity above 0 Ah"
    _refuse_rows(table, broken, column="nominal_capacity_ah", where=where, expected=expected, action=action)


def _refuse_rows(table: pl.DataFrame, broken: pl.Expr, *, column: str, where: str, expected: str, action: str) -> None:
    rows = table.select(broken.fill_null(False).arg_true()).to_series()
    if not len(rows):
        return
    row = int(rows[0])
    names = column.split(", ")
    found = ", ".join("nothing" if value is None else str(value) for value in table.select(names).row(row))
    more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
    place = f"halfcycles row {row} ({name_curve(table, row)}), column {column}"
    refuse(where, place, found=found + more, expected=expected, action=action)


def _finite(table: pl.DataFrame, where: str) -> None:
    if table.is_empty():
        refuse(where, "timeseries", found="no row", expected="one row a sample", action="check the export or the selection")
    for column in (*KEYS, *READINGS):
        series = table[column]
        sound = series.is_finite() if series.dtype.is_float() else series.is_not_null()
        rows = (~sound.fill_null(False)).arg_true()
        if not len(rows):
            continue
        row = int(rows[0])
        value = "nothing" if series[row] is None else str(series[row])
        refuse(
            where,
            f"timeseries row {row} ({name_curve(table, row)}), column {column}",
            found=f"{value} ({len(rows)} such rows)",
            expected="a finite number" if column in READINGS else "a value",
            action="correct these samples or leave them out",
        )


def _covered(curves: Curves, samples: Samples, *, where: str) -> None:
    empty = np.setdiff1d(np.arange(len(curves)), samples.curve)
    if empty.size:
        row = int(empty[0])
        refuse(
            where,
            f"halfcycles row {row} ({name_curve(curves.halfcycles, row)})",
            found=f"no sample in timeseries ({empty.size} such curves)",
            expected="samples for every curve",
            action="add the samples, make cell_id, cycle_count and step_type agree, or leave the row out",
        )


def _forward(curves: Curves, samples: Samples, *, where: str) -> None:
    back = np.flatnonzero(samples.step < 0)
    if back.size:
        first = int(back[0])
        start, end = samples.time[first], samples.time[first + 1]
        refuse(
            where,
            f"timeseries row {samples.row[first + 1]} ({samples.name(curves, first + 1)}), column step_time_second",
            found=f"{end:g} s after {start:g} s",
            expected="time that does not run backwards within a curve",
            action="sort the samples by time or split the curve there",
        )
