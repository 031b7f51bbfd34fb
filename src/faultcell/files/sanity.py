"""Can these be volts, amperes and seconds of that cell? Units and sign as errors, oddities as suspicions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves.curves import Curves
from faultcell.curves.schema import Array
from faultcell.files.messages import refuse
from faultcell.files.samples import Samples, name_curve

Mask = NDArray[np.bool_]

# No cell is at five times its rated voltage on average, and none at a kilovolt.
HIGH_RATIO, HIGH_VOLT = 5.0, 1000.0
# A single reading this many times the rated voltage is in another unit.
SPIKE_RATIO = 100.0
# No cell of this kind takes a hundred times its capacity an hour, or moves ten times its capacity in a half-cycle.
HIGH_C_RATE, HIGH_TURNS = 100.0, 10.0
# Through half of its voltage window a cell moves far more than this share of its capacity.
WINDOW_SHARE, LEAST_SHARE, LEAST_CROSSING = 0.5, 0.03, 20
# A capacity this many times the largest current in the whole set is not in Ah.
LEAST_C_RATE = 1 / 200
# A single reading above so many times the capacity an hour is in another unit, or of a sensor that failed.
SPIKE_C_RATE = 1000.0
# Temperatures in which cells are tested at all, degC, and health as a share; beyond, they are in kelvin or percent.
COLD_CELSIUS, HOT_CELSIUS, MOST_HEALTH = -80.0, 250.0, 2.0
FEW_SAMPLES = 50
GAP_SECOND, GAP_RATIO = 120.0, 10.0
ABOVE_VOLT = 0.3


def check_units(curves: Curves, samples: Samples, *, where: str) -> None:
    """Raise DataError where voltage, current, time or capacity cannot be in V, A, s, Ah."""
    real = _real(curves, samples)
    upper = curves.known("upper_voltage_limit_volt")[samples.curve]
    middle = samples.median(samples.voltage)
    _voltage(curves, samples, high=real & (middle > np.fmin(HIGH_RATIO * upper, HIGH_VOLT)), middle=middle, where=where)
    _spike(curves, samples, upper=np.where(real, upper, np.inf), where=where)
    _limits(curves, samples, middle=middle, where=where)
    _capacity(curves, samples, real=real, where=where)
    _current(curves, samples, real=real, where=where)
    _slow_clock(curves, samples, real=real, where=where)


def check_sign(curves: Curves, samples: Samples, *, where: str) -> None:
    """Raise DataError where a discharge charges on balance, or a charge discharges."""
    wrong = _real(curves, samples) & _wrong_sign(curves, samples)
    if not wrong.any():
        return
    steps = _steps(curves, samples)
    step = steps[np.flatnonzero(wrong)[0]]
    kind, other = ("positive", "negative") if step == "discharge" else ("negative", "positive")
    share = f"{int((wrong & (steps == step)).sum())} of {int((steps == step).sum())} {step}s"
    refuse(
        where,
        f"timeseries ({_first(curves, samples, mask=wrong)}), column current_ampere",
        found=f"a {kind} load current on balance in a {step} ({share})",
        expected=f"{other} (the Battery Data Format counts + = charge)",
        action="turn the sign of the current or correct step_type",
    )


def check_spikes(table: pl.DataFrame, *, nominal_capacity_ah: float, where: str) -> None:
    """Raise DataError where a recording has a current no cell of this capacity takes: it would part a half-cycle in two."""
    current = table["current_ampere"].to_numpy()
    high = np.flatnonzero(np.abs(current) > SPIKE_C_RATE * nominal_capacity_ah)
    if high.size:
        refuse(
            where,
            f"row {table['row'][int(high[0])]}, column current_ampere",
            found=f"{current[high[0]]:.4g} A ({high.size} such rows)",
            expected=f"what a cell of {nominal_capacity_ah:g} Ah can take",
            action="give the current in ampere, not milliampere, or leave out the readings of a failed sensor",
        )


@dataclass(frozen=True)
class Suspicion:
    """What may be right but should be looked at, in some curves of a set or of a part of one.

    Attributes:
        words: for the sentence, with `{count}`, `{of}` and `{first}`.
        count: of the curves (or samples) it is about.
        of: so many curves in all.
        first: the first of them, in words.
        throughout: whether it is of no interest unless it is of all.
    """

    words: str
    count: int
    of: int
    first: str = ""
    throughout: bool = False


def sentences(parts: Iterable[Suspicion]) -> list[str]:
    """What is suspect in a set, from what is suspect in its parts; one sentence each."""
    found: dict[str, Suspicion] = {}
    for part in parts:
        before = found.get(part.words, replace(part, count=0, of=0, first=""))
        first = before.first or part.first
        found[part.words] = replace(before, count=before.count + part.count, of=before.of + part.of, first=first)
    said = (one for one in found.values() if one.count and (not one.throughout or one.count == one.of))
    return [one.words.format(count=one.count, of=one.of, first=one.first) for one in said]


def suspicions(curves: Curves, samples: Samples) -> list[Suspicion]:
    """What may be right but should be looked at."""
    return [*_odd_curves(curves, samples), *_odd_columns(curves, samples)]


def _voltage(curves: Curves, samples: Samples, *, high: Mask, middle: Array, where: str) -> None:
    if not high.any():
        return
    found = f"about {middle[high][0]:.5g} V in {_cells(curves, samples, mask=high)}"
    if not high.all():
        others = f"{np.median(middle[~high]):.3g} V in other curves ({_cells(curves, samples, mask=~high)})"
        found = f"{found} but {others}, so mixed units"
    place = f"timeseries ({_first(curves, samples, mask=high)}), column voltage_volt"
    refuse(where, place, found=found, expected="volt in every curve", action="divide millivolt by 1000")


def _spike(curves: Curves, samples: Samples, *, upper: Array, where: str) -> None:
    bound = SPIKE_RATIO * np.where(np.isnan(upper), np.inf, upper)
    if not (samples.highest(np.abs(samples.voltage)) > bound).any():
        return
    place = int(np.flatnonzero(np.abs(samples.voltage) > np.repeat(bound, samples.count))[0])
    refuse(
        where,
        f"timeseries row {samples.row[place]} ({samples.name(curves, place)}), column voltage_volt",
        found=f"{samples.voltage[place]:g} V among readings near {np.median(samples.voltage):.3g} V (mixed units?)",
        expected="volt in every row",
        action="divide millivolt by 1000, or leave out the readings of a failed sensor",
    )


def _limits(curves: Curves, samples: Samples, *, middle: Array, where: str) -> None:
    upper = curves.known("upper_voltage_limit_volt")[samples.curve]
    high = (upper > HIGH_VOLT / 10) & (samples.highest(samples.voltage) < upper / 100)
    if high.any():
        first = int(np.flatnonzero(high)[0])
        refuse(
            where,
            f"halfcycles row {samples.curve[first]} ({_first(curves, samples, mask=high)}), column upper_voltage_limit_volt",
            found=f"{upper[first]:g} V for a curve of about {middle[first]:.3g} V",
            expected="the rated limits in volt",
            action="divide millivolt by 1000",
        )


def _capacity(curves: Curves, samples: Samples, *, real: Mask, where: str) -> None:
    nominal = _nominal(curves, samples)
    known = real & np.isfinite(nominal)
    largest = samples.highest(np.abs(samples.current))[known]
    if largest.size and largest.max() > 0 and np.all(largest < LEAST_C_RATE * nominal[known]):
        row = samples.curve[known][0]
        refuse(
            where,
            f"halfcycles row {row} ({_first(curves, samples, mask=known)}), column nominal_capacity_ah",
            found=f"{nominal[known][0]:g} Ah for currents up to {largest.max():.3g} A",
            expected="the rated capacity in Ah",
            action="divide milliampere-hours by 1000, or give the current in ampere",
        )


def _current(curves: Curves, samples: Samples, *, real: Mask, where: str) -> None:
    nominal = _nominal(curves, samples)
    typical = samples.median(np.where(samples.loaded, np.abs(samples.current), np.nan))
    moved = samples.total(np.abs(samples.current) * samples.step) / 3600
    high = real & (typical > HIGH_C_RATE * nominal)
    wrong = high | (real & (moved > HIGH_TURNS * nominal))
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    found = f"typically {typical[first]:.4g} A" if high[first] else f"{moved[first]:.4g} Ah moved"
    if not wrong[real].all():
        found += f" in {_cells(curves, samples, mask=wrong)} but not in other curves (mixed units)"
    column = "current_ampere" if high[first] else "current_ampere or step_time_second"
    refuse(
        where,
        f"timeseries ({_first(curves, samples, mask=wrong)}), column {column}",
        found=found,
        expected=f"what a cell of {nominal[first]:g} Ah can take",
        action="give the current in ampere (not milliampere) and time in seconds (not milliseconds)",
    )


def _slow_clock(curves: Curves, samples: Samples, *, real: Mask, where: str) -> None:
    """Hours or minutes in place of seconds: the voltage crosses its window while next to no charge moves."""
    nominal = _nominal(curves, samples)
    lower, upper = (curves.known(f"{side}_voltage_limit_volt")[samples.curve] for side in ("lower", "upper"))
    top = samples.highest(np.where(samples.loaded, samples.voltage, -np.inf))
    bottom = -samples.highest(np.where(samples.loaded, -samples.voltage, -np.inf))
    crosses = real & (samples.count >= LEAST_CROSSING) & (top - bottom > WINDOW_SHARE * (upper - lower))
    share = samples.total(np.abs(samples.current) * samples.step) / 3600 / nominal
    if crosses.any() and np.median(share[crosses]) < LEAST_SHARE:
        seconds = samples.total(samples.step)[crosses][0]
        refuse(
            where,
            f"timeseries ({_first(curves, samples, mask=crosses)}), column step_time_second",
            found=f"{share[crosses][0]:.2g} of the nominal capacity moved in {seconds:.3g} s across the voltage window",
            expected="time in seconds and current in ampere",
            action="multiply hours by 3600, minutes by 60",
        )


def _odd_curves(curves: Curves, samples: Samples) -> Iterator[Suspicion]:
    nominal, upper = _nominal(curves, samples), curves.known("upper_voltage_limit_volt")[samples.curve]
    top = samples.highest(samples.voltage)
    spacing = samples.median(np.where(samples.step > 0, samples.step, np.nan))
    gap = samples.highest(samples.step)
    odd = {
        f"fewer than {FEW_SAMPLES} samples": samples.count < FEW_SAMPLES,
        f"a gap of more than {GAP_SECOND:g} s between samples": (gap > GAP_SECOND) & (gap > GAP_RATIO * spacing),
        f"readings more than {ABOVE_VOLT} V above the upper limit (a saturated sensor?)": top > upper + ABOVE_VOLT,
        "repeated time stamps": samples.count - samples.total((samples.step > 0).astype(float)) > 1,
        "no sample under load": np.isfinite(nominal) & (samples.total(samples.loaded.astype(float)) == 0),
        "a drawn load current of the wrong sign": ~_real(curves, samples) & _wrong_sign(curves, samples),
    }
    for words, mask in odd.items():
        first = _first(curves, samples, mask=mask) if mask.any() else ""
        yield Suspicion("{count} of {of} curves with " + words + ", first {first}", int(mask.sum()), len(curves), first)


def _odd_columns(curves: Curves, samples: Samples) -> Iterator[Suspicion]:
    yield Suspicion("{count} samples belong to no row of halfcycles and are left out", samples.stray, len(curves))
    for table, name in ((curves.timeseries, "surface_temperature_celsius"), (curves.halfcycles, "ambient_temperature_celsius")):
        missing = 0 if _any_finite(table, name) else len(curves)
        yield Suspicion(f"{name} is missing throughout", missing, len(curves), throughout=True)
    for table, name, least, most, unit in (
        (curves.timeseries, "surface_temperature_celsius", COLD_CELSIUS, HOT_CELSIUS, "degC"),
        (curves.halfcycles, "ambient_temperature_celsius", COLD_CELSIUS, HOT_CELSIUS, "degC"),
        (curves.halfcycles, "state_of_health", 0.0, MOST_HEALTH, "(a share)"),
    ):
        beyond = _beyond(table, name, least=least, most=most)
        words = f"{{count}} values of {name} are not between {least:g} and {most:g} {unit}"
        yield Suspicion(words, beyond, len(curves))
    if "quality" in curves.halfcycles.columns:
        marks = curves.halfcycles.filter(pl.col("quality") != "ok")["quality"].value_counts().sort("quality").rows()
        said = ", ".join(f"{count} curves ({mark})".replace("{", "{{").replace("}", "}}") for mark, count in marks)
        yield Suspicion(f"quality is not ok in {said}", len(marks), len(curves))


def _beyond(table: pl.DataFrame, column: str, *, least: float, most: float) -> int:
    if column not in table.columns:
        return 0
    values = table[column].cast(pl.Float64)
    return int(((values < least) | ((values > most) & values.is_not_nan())).sum())


def _any_finite(table: pl.DataFrame, column: str) -> bool:
    return column in table.columns and bool(table[column].cast(pl.Float64).is_finite().fill_null(False).any())


def _wrong_sign(curves: Curves, samples: Samples) -> Mask:
    # The tiny weight lets a curve whose samples share one time stamp count as well.
    charge = samples.total(np.where(samples.loaded, samples.current, 0.0) * (samples.step + 1e-9))
    steps = _steps(curves, samples)
    return np.asarray(((steps == "discharge") & (charge > 0)) | ((steps == "charge") & (charge < 0)))


def _steps(curves: Curves, samples: Samples) -> NDArray[np.str_]:
    return np.array(curves.halfcycles["step_type"].to_list(), dtype=np.str_)[samples.curve]


def _nominal(curves: Curves, samples: Samples) -> Array:
    """Capacity of the curves that carry a load, NaN for rest and field data, Ah `(m,)`."""
    return np.where(np.isfinite(samples.rest_ampere), curves.known("nominal_capacity_ah")[samples.curve], np.nan)


def _real(curves: Curves, samples: Samples) -> Mask:
    if "synthetic" not in curves.halfcycles.columns:
        return np.ones(samples.curve.size, dtype=bool)
    drawn = curves.halfcycles["synthetic"].cast(pl.Boolean).fill_null(False).to_numpy()
    return ~drawn[samples.curve]


def _first(curves: Curves, samples: Samples, *, mask: Mask) -> str:
    return name_curve(curves.halfcycles, int(samples.curve[np.flatnonzero(mask)[0]]))


def _cells(curves: Curves, samples: Samples, *, mask: Mask) -> str:
    names = curves.halfcycles["cell_id"].gather(samples.curve[mask]).unique(maintain_order=True).to_list()
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"cell{'s' if len(names) > 1 else ''} {', '.join(names[:4])}{more}"
