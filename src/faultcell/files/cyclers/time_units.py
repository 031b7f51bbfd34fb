"""Times as cyclers write them: numbers, hours:minutes:seconds with or without days, dates."""

from __future__ import annotations

import re

import polars as pl

# `27:55:41`, `1d 03:55:41.5`, `0-00:05:00`
_DURATION = r"^(?:(?<days>\d+)\s*(?:d|days?)?[\s-]+)?(?<hours>\d+):(?<minutes>\d{1,2}):(?<seconds>\d{1,2}(?:[.,]\d+)?)$"
# Month or day first is told by which of the two never goes back, and lets less time pass.
_DATES = (
    "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y/%m/%d %H:%M:%S%.f", "%m/%d/%Y %H:%M:%S%.f", "%d/%m/%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f", "%m-%d-%Y %H:%M:%S%.f", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%y %I:%M:%S %p",
    "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M",
)  # fmt: skip


def is_date(value: str) -> bool:
    """Whether a time is written as a date."""
    return ":" in value and re.fullmatch(_DURATION.replace("?<", "?P<"), value.strip()) is None


def seconds(values: pl.Series) -> pl.Series | None:
    """Times as numbers: numbers as they are, durations and dates in seconds (dates since 1970).

    Returns:
        Float64; `None` where the values are neither.
    """
    if values.dtype == pl.Duration:
        return values.dt.total_microseconds().cast(pl.Float64) / 1e6
    if values.dtype == pl.Time or not (values.dtype.is_temporal() or values.dtype.is_numeric() or values.dtype == pl.String):
        return pl.Series(values.name, [None] * len(values), dtype=pl.Float64)
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64) / 1e6
    if values.dtype != pl.String:
        return values.cast(pl.Float64, strict=False)
    known = values.drop_nulls()
    if not len(known) or known.cast(pl.Float64, strict=False).null_count() == 0:
        return values.cast(pl.Float64, strict=False)
    if ":" not in known[0]:
        return None
    return _durations(values) if "/" not in known[0] and known.str.contains(_DURATION)[0] else _dates(values)


def _durations(values: pl.Series) -> pl.Series:
    parts = values.str.extract_groups(_DURATION).struct.unnest()
    numbers = parts.with_columns(pl.all().str.replace(",", ".", literal=True).cast(pl.Float64))
    return numbers.select(
        (pl.col("days").fill_null(0.0) * 24 + pl.col("hours")) * 3600 + pl.col("minutes") * 60 + pl.col("seconds")
    ).to_series()


def _dates(values: pl.Series) -> pl.Series | None:
    """Of the forms in which all can be read, the one in which time never goes back, and passes slowest."""
    values = values.str.strip_chars().str.replace(r"(?:Z|[+-]00:?00)$", "")
    read = (
        values.str.to_datetime(form, strict=False, time_unit="us").dt.timestamp("us").cast(pl.Float64) / 1e6 for form in _DATES
    )
    forms = [parsed for parsed in read if parsed.null_count() == values.null_count()]
    rising = [parsed for parsed in forms if (parsed.diff() >= 0).fill_null(True).all()]
    return min(rising or forms, key=lambda parsed: float(parsed[-1] or 0.0) - float(parsed[0] or 0.0), default=None)
