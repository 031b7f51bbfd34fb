"""Columns wanted and columns found: labels, units, times, the sign of the current.

A label may hold a star where the unit stands: `Voltage / *` matches `Voltage / mV`, and the unit gives the factor. The
first label that is in the file wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import polars as pl

from faultcell.files.cyclers.time_units import is_date, seconds
from faultcell.files.messages import refuse, some

# A question mark or a replacement character is what became of a degree sign on its way through an encoding.
UNITS = {
    "s": {"s": 1.0, "sec": 1.0, "sec.": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "min": 60.0, "minutes": 60.0,
          "h": 3600.0, "hr": 3600.0, "hours": 3600.0},
    "V": {"V": 1.0, "mV": 1e-3, "volt": 1.0, "volts": 1.0},
    "A": {"A": 1.0, "mA": 1e-3, "uA": 1e-6, "µA": 1e-6, "μA": 1e-6, "�A": 1e-6, "ampere": 1.0, "amps": 1.0},
    "Ah": {"Ah": 1.0, "A.h": 1.0, "A·h": 1.0, "mAh": 1e-3, "mA.h": 1e-3},
    "degC": {"degC": 1.0, "C": 1.0, "°C": 1.0, "℃": 1.0, "celsius": 1.0, "deg C": 1.0, "?": 1.0, "�": 1.0, "�C": 1.0,
             "?C": 1.0},
}  # fmt: skip
FEW_STEPS = 20
# Words of a step that say what is done to the cell: `CC DChg`, `Discharge`, `D`, `D_CC`; `CCCV Chg`, `Charge`, `C`, `C_CC`.
_DISCHARGE, _CHARGE = r"(?i)^d$|^d_|dis|d\.?chg|dch|放", r"(?i)^c$|^c_|chg|charge|充"


@dataclass(frozen=True)
class Column:
    """A column wanted: its machine name, the labels it goes by, and its unit (a key of `UNITS`, empty for none)."""

    name: str
    labels: tuple[str, ...]
    unit: str = ""
    needed: bool = False


@dataclass(frozen=True)
class FoundColumn:
    """A column found: its header, the factor to the unit wanted, and whether the header says the unit."""

    header: str
    factor: float
    stated: bool


@dataclass(frozen=True)
class FilePlace:
    """A piece of a file: the file's name and the number of its first row."""

    where: str
    first_row: int = 0


def wanted(
    *,
    time: tuple[str, ...],
    voltage: tuple[str, ...],
    current: tuple[str, ...],
    cycle: tuple[str, ...] = (),
    surface: tuple[str, ...] = (),
    ambient: tuple[str, ...] = (),
    state: tuple[str, ...] = (),
    date: tuple[str, ...] = (),
    record: tuple[str, ...] = (),
) -> tuple[Column, ...]:
    """The columns of a recording by the labels a vendor gives them.

    Args:
        time: since the start of the test, rising.
        voltage: of the cell.
        current: of the cell.
        cycle: number of the cycle.
        surface: temperature of the cell.
        ambient: temperature around it.
        state: kind of step, for vendors that count discharge currents as positive, too.
        date: date and time of day; tells the unit of a time that states none.
        record: number of the row, where no file of this vendor is without; tells it from others with like columns.
    """
    return (
        Column("time", time, unit="s", needed=True),
        Column("voltage_volt", voltage, unit="V", needed=True),
        Column("current_ampere", current, unit="A", needed=True),
        Column("cycle_count", cycle),
        Column("cell_id", ("cell_id", "cell id", "cell_name", "cell name")),
        Column("surface_temperature_celsius", surface, unit="degC"),
        Column("ambient_temperature_celsius", ambient, unit="degC"),
        Column("state", state),
        Column("date", date),
        *([Column("record", record, needed=True)] if record else []),
    )


@lru_cache(maxsize=4096)  # each reader asks for the same ones
def clean(header: str) -> str:
    """A header as labels are written: no quotes, marks of a comment or doubled spaces."""
    return re.sub(r"\s+", " ", header.strip('\ufeff"~# \t\r\n')).strip()


def count_needed(columns: Sequence[Column], headers: Sequence[str]) -> tuple[int, int]:
    """How many of the needed columns are there, whatever their unit, and how many are needed."""
    needed = [column for column in columns if column.needed]
    names = [clean(header) for header in headers]
    return sum(any(map(_any_label(column).fullmatch, names)) for column in needed), len(needed)


def pick(columns: Sequence[Column], headers: Sequence[str]) -> list[str]:
    """The headers of the columns that are there."""
    found = (_match(column, headers) for column in columns)
    return list(dict.fromkeys(match[0] for match in found if match))


def depends_on_all(raw: pl.DataFrame, columns: Sequence[Column]) -> bool:
    """Whether the whole file tells what a time means: dates with day or month first, or no unit but dates beside it."""
    match = {column.name: _match(column, raw.columns) for column in columns}
    time = match.get("time")
    if time is None:
        return False
    first = raw[time[0]].drop_nulls().head(1)
    dated = first.dtype == pl.String and len(first) and is_date(str(first[0]))
    return bool(dated) or (not _states_unit(*time) and match.get("date") is not None)


def standardise(
    raw: pl.DataFrame, columns: Sequence[Column], *, name: str, place: FilePlace, sign: float | None = 1.0
) -> pl.DataFrame:
    """The wanted columns in machine names, units and sign (+ = charge), float64 where they have a unit; and `row`.

    Args:
        raw: as the vendor wrote it.
        columns: wanted.
        name: of the format, for messages.
        place: where in which file, for messages.
        sign: +1 where the vendor counts + = charge, -1 where + = discharge, `None` where that is not known.

    Raises:
        DataError: a needed column or its unit is not known, or a value is not a number.
    """
    found = {column: _find(column, raw.columns, where=place.where) for column in columns}
    missing = [column for column in columns if column.needed and found[column] is None]
    if missing:
        refuse(
            place.where,
            f"column {', '.join(column.name for column in missing)}",
            found=f"only {some(raw.columns)}",
            expected=f"{' and '.join(_spell(column) for column in missing)} ({name})",
            action="rename the columns, export them too, or say which they are in a file for --mapping",
        )
    rows = pl.int_range(place.first_row, place.first_row + raw.height, dtype=pl.Int64, eager=True).alias("row")
    taken = [_take(raw, column, hit, place) for column, hit in found.items() if hit]
    table = pl.DataFrame([*taken, rows])
    if any(hit and not hit.stated for column, hit in found.items() if column.name == "time"):
        table = _with_clock(table)
    return _with_sign(table, sign).drop("state", "date", "record", strict=False)


def _with_clock(table: pl.DataFrame) -> pl.DataFrame:
    """Time in seconds also where no header says so: dates beside it tell whether it counts seconds, minutes or hours."""
    time, date = table["time"], table.get_column("date", default=None)
    if date is None or time.null_count() or table.height < 2:
        return table
    passed = seconds(date)
    if passed is None or passed.null_count():
        return table
    # Dates have whole seconds, and go on while a test is stopped: the usual step tells, not the whole.
    steps = pl.DataFrame({"date": passed.diff(), "time": time.diff()}).filter((pl.col("date") > 0) & (pl.col("time") > 0))
    ratio = (
        steps.select(pl.col("date").sum() / pl.col("time").sum()).item()
        if steps.height < FEW_STEPS
        else (steps.select((pl.col("date") / pl.col("time")).median()).item())
    )
    factor = next((unit for unit in (60.0, 3600.0) if ratio is not None and abs(ratio / unit - 1) < 0.25), 1.0)
    return table.with_columns(time * factor)


def _with_sign(table: pl.DataFrame, sign: float | None) -> pl.DataFrame:
    current = pl.col("current_ampere")
    if "state" in table.columns:
        word = pl.col("state").cast(pl.String).str.strip_chars()
        discharge = word.str.contains(_DISCHARGE).fill_null(False)
        charge = word.str.contains(_CHARGE).fill_null(False) & ~discharge
        # A step as a whole goes the way its word says; what goes the other way within it, as braking does, still does.
        down, up = (current.filter(kind).sum().sign() for kind in (discharge, charge))
        told = pl.when(discharge).then(-current * down).when(charge).then(current * up)
        return table.with_columns(told.otherwise(current * (sign or 1.0)))
    return table.with_columns(current * (sign or 1.0))


def _match(column: Column, headers: Sequence[str]) -> tuple[str, str | None] | None:
    """The header of a column and the unit it states, if it states one; one with a unit of another kind is the last choice."""
    hits = [hit for exact in (True, False) for label in column.labels for hit in _hits(label, column, headers, exact=exact)]
    known = {name.lower() for name in UNITS.get(column.unit, {})}
    fitting = (hit for hit in hits if not column.unit or hit[1] is None or hit[1].strip().lower() in known or ":" in hit[1])
    return next(fitting, hits[0] if hits else None)


def _hits(label: str, column: Column, headers: Sequence[str], *, exact: bool) -> list[tuple[str, str | None]]:
    """The headers that a label matches. Of labels of one letter the case counts at first: `t` is a time, `T` is not."""
    pattern = _pattern(label, has_unit=bool(column.unit), exact=exact)
    found = ((header, pattern.fullmatch(clean(header))) for header in headers)
    return [(header, match.group(1) if match.groups() else None) for header, match in found if match]


@cache  # the labels are a few hundred, more than `re` keeps, and asked for again with every line that may be a header
def _pattern(label: str, *, has_unit: bool, exact: bool) -> re.Pattern[str]:
    written = re.escape(clean(label)).replace(r"\*", r"([^()\[\]/]+?)")
    if has_unit and "*" not in label:
        written += r"(?: ?\(([^()]+)\))?"
    is_letter = len(re.match(r"[^\W_]*", label)[0]) == 1  # type: ignore[index]
    return re.compile(written.replace(r"\ \(", r"\ ?\("), 0 if exact and is_letter else re.IGNORECASE)


@cache
def _any_label(column: Column) -> re.Pattern[str]:
    """What matches if any label of a column does: one question instead of one for each label."""
    labels = (_pattern(label, has_unit=bool(column.unit), exact=False).pattern for label in column.labels)
    return re.compile("|".join(f"(?:{label})" for label in labels), re.IGNORECASE)


def _states_unit(header: str, unit: str | None) -> bool:
    """Whether a header says its unit. A machine name ends in it; any other label without one leaves it open."""
    return unit is not None or header == clean(header).lower().replace(" ", "_")


def _find(column: Column, headers: Sequence[str], *, where: str) -> FoundColumn | None:
    match = _match(column, headers)
    if match is None:
        return None
    header, unit = match
    stated = _states_unit(header, unit)
    if unit is None or not column.unit or ":" in unit:  # a form like hh:mm:ss, not a unit
        return FoundColumn(header, 1.0, stated)
    known = UNITS[column.unit]
    folded = {name.lower(): factor for name, factor in known.items()}
    factor = known.get(unit.strip(), folded.get(unit.strip().lower()))
    if factor is None:
        units = ", ".join(name for name in known if name.isascii())
        refuse(where, f"column {header}", found=f"the unit '{unit}'", expected=f"one of {units}", action="convert it")
    return FoundColumn(header, factor, stated)


def _take(raw: pl.DataFrame, column: Column, found: FoundColumn, place: FilePlace) -> pl.Series:
    series = raw[found.header]
    if not column.unit:
        return series.alias(column.name)
    if not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Null)) and column.name != "time":
        kind, action = str(series.dtype).lower(), "write numbers into it"
        refuse(place.where, f"column {series.name}", found=f"values of the kind {kind}", expected="numbers", action=action)
    stripped = series.str.strip_chars() if series.dtype == pl.String else series
    values = seconds(stripped) if column.name == "time" else None
    if values is None:
        values = stripped.cast(pl.Float64, strict=False)
    lost = (values.is_null() & stripped.is_not_null()).arg_true()
    if len(lost) and column.needed:
        row = int(lost[0])
        spot, action = f"row {place.first_row + row}, column {series.name}", "correct it or leave the row out"
        refuse(place.where, spot, found=f"'{series[row]}'", expected="a number", action=action)
    return (values * found.factor).alias(column.name)


def _spell(column: Column) -> str:
    return " or ".join(f"'{label.replace('*', column.unit)}'" for label in column.labels[:2])
