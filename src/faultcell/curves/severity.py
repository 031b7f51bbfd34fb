"""How severe a fault is: measured from the curve and the rated limits, the same way for real and generated curves.

Six attributes, three for each side of the rated window (Batteries 2025, 11(7), 248, condition vector): the peak deviation
beyond the limit in volt, how many faults of that kind the cell has seen, and the time spent beyond the limit summed over
those faults, in seconds. Only samples under load count; the side a half-cycle cannot break, and a deviation inside the
noise of a voltage reading, are exactly zero.

What breaks no limit is measured against the cell's own normal curve (`against_normal`), and what belongs to another fault is
exactly zero, too.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves import against_normal, at_rest
from faultcell.curves.condition import Limits
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, inside, stays_inside
from faultcell.curves.per_curve import above, summed
from faultcell.curves.schema import KEYS, NORMAL, REST, SEVERITY, Array, Side

# Below this a deviation cannot be told from sensor noise: 1.5 mV noise gives peaks of 3 to 7 mV on normal charges.
NOISE_VOLT = 0.01
SIDES: dict[Side, str] = {"high": "charge", "low": "discharge"}
_ALONE = ("peak", "seconds")


def measure(curves: Curves, limits: Limits | None = None, *, noise_volt: float = NOISE_VOLT) -> pl.DataFrame:
    """The six severity attributes of each curve.

    A curve counts as one more fault of its side if its label says so (or it has none) and it left the limits; a curve
    labelled normal adds nothing to the history of its cell. The history is counted over the curves given, so measure a
    whole life before taking samples of it.

    Args:
        curves: the set.
        limits: rated limits for all; each curve's own where not given.
        noise_volt: deviations up to this are zero, V.

    Returns:
        One row a curve: the keys, then `{high,low}_{peak_deviation_volt,repetition_count,cumulative_duration_second}`.
    """
    return counted(curves.halfcycles, excursions(curves, limits, noise_volt=noise_volt))


def excursions(curves: Curves, limits: Limits | None = None, *, noise_volt: float = NOISE_VOLT) -> pl.DataFrame:
    """The part of `measure` that needs the samples: `{high,low}_{peak,seconds}` of each curve by itself."""
    found = {side: excursion(curves, side=side, limits=limits, noise_volt=noise_volt) for side in SIDES}
    return pl.DataFrame(
        {f"{side}_{name}": values for side, parts in found.items() for name, values in zip(_ALONE, parts, strict=True)}
    )


def counted(halfcycles: pl.DataFrame, alone: pl.DataFrame) -> pl.DataFrame:
    """The part of `measure` that needs the whole lives of cells: their table, and the `excursions` of the same curves."""
    table = halfcycles.select(KEYS)
    for side in SIDES:
        peak, seconds = (alone[f"{side}_{name}"].to_numpy() for name in _ALONE)
        event = _events(halfcycles, side) & (peak > 0)
        history = _history(halfcycles, event=event, seconds=seconds)
        columns = zip(SEVERITY, (peak, *history), strict=True)
        table = table.with_columns(pl.Series(f"{side}_{name}", values) for name, values in columns)
    return table


def excursion(
    curves: Curves, *, side: Side, limits: Limits | None = None, noise_volt: float = NOISE_VOLT
) -> tuple[Array, Array]:
    """How far (V) and how long (s) each curve goes beyond its limit on one side, under load.

    Time is taken on the piecewise-linear curve, so a crossing between two samples counts in part.

    Returns:
        Peak deviation `(N,)` and duration `(N,)`, zero for half-cycles that cannot break that side.
    """
    sign = 1.0 if side == "high" else -1.0
    bound = _bound(curves, side, limits)
    possible = ~curves.halfcycles["step_type"].is_in([step for other, step in SIDES.items() if other != side]).to_numpy()
    beyond = sign * (curves.column("voltage_volt") - np.repeat(bound, np.diff(curves.offsets)))
    time, loaded = curves.column("step_time_second"), curves.under_load
    peak, some = np.zeros(len(curves)), np.diff(curves.offsets) > 0
    if some.any():
        starts = curves.offsets[:-1][some]
        peak[some] = np.maximum.reduceat(np.where(loaded, beyond, 0.0), starts)
    peak = np.where(possible & np.isfinite(peak), np.maximum(peak, 0.0), 0.0)
    outside = peak > noise_volt
    if not outside.any():  # of normal curves, which most are: then nobody need add up how long
        return np.zeros(len(curves)), np.zeros(len(curves))
    seconds = summed(above(time, beyond, loaded), curves.offsets[:-1], curves.offsets[1:])
    return np.where(outside, peak, 0.0), np.where(outside, seconds, 0.0)


def complete(curves: Curves) -> Curves:
    """The same curves with the severity of their own side in the plain columns; what is there is taken as given.

    A sample of a cell's history cannot be recounted, so values that a curve set carries are never overwritten. Faults inside
    all limits have columns of their own where there are any.
    """
    whole = completed(curves.halfcycles, measure(curves))
    if REST in set(curves.halfcycles["step_type"]):
        whole = _filled(whole, at_rest.measured(curves))
    kinds = [label for label in curves.labels if stays_inside(label)]
    names = [one.name for one in inside(kinds)]
    if not any(_lacks(whole, label) for label in kinds):
        return Curves(curves.timeseries, whole)
    return Curves(curves.timeseries, _filled(whole, against_normal.measured(curves).select(names)))


def main_severity(curves: Curves) -> Array:
    """How severe each curve is, by the first severity of its fault in its kind of record, without a sign `(N,)`.

    NaN where that is unknown, where another severity drives the fault (a sensor that is off in its current alone), and for
    normal curves and labels that are no faults, or do not show in such a record.
    """
    found, places = np.full(len(curves), np.nan), curves.halfcycles.select("label", "step_type")
    for label, step in places.unique().rows():
        if label in FAULTS and FAULTS[label].severities_in(step):
            own = ((places["label"] == label) & (places["step_type"] == step)).to_numpy()
            values = np.abs(curves.known(FAULTS[label].severities_in(step)[0].name)[own])
            found[own] = np.where(values > 0, values, np.nan) if len(FAULTS[label].drivers) > 1 else values
    return found


def _lacks(halfcycles: pl.DataFrame, label: str) -> bool:
    """Whether a severity of that label is unknown of any of its curves."""
    names = FAULTS[label].names
    if not set(names) <= set(halfcycles.columns):
        return True
    own = halfcycles.filter(label=label).select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names)
    return bool(own.null_count().sum_horizontal().item())


def completed(halfcycles: pl.DataFrame, measured: pl.DataFrame) -> pl.DataFrame:
    """The table of `complete`, from that of a set and what `measure` says of it."""
    return _filled(halfcycles, pl.DataFrame(own_side(halfcycles, measured)))


def _filled(halfcycles: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """A table with these columns, where it does not have them or their values."""
    present = [name for name in found.columns if name in halfcycles.columns]
    filled = [pl.coalesce(pl.col(name).cast(pl.Float64).fill_nan(None), found[name]).alias(name) for name in present]
    added = [found[name] for name in found.columns if name not in present]
    return halfcycles.with_columns(*filled, *added)


def own_side(halfcycles: pl.DataFrame, measured: pl.DataFrame) -> dict[str, Array]:
    """From the six attributes, the three of the side each half-cycle can break: charges high, discharges low."""
    high = (halfcycles["step_type"] == SIDES["high"]).to_numpy()
    return {name: np.where(high, measured[f"high_{name}"], measured[f"low_{name}"]) for name in SEVERITY}


def _bound(curves: Curves, side: Side, limits: Limits | None) -> Array:
    if limits is not None:
        return np.full(len(curves), limits.upper if side == "high" else limits.lower)
    return curves.known("upper_voltage_limit_volt" if side == "high" else "lower_voltage_limit_volt")


def _events(halfcycles: pl.DataFrame, side: Side) -> NDArray[np.bool_]:
    names = [name for name, kind in FAULTS.items() if kind.side == side]
    label = pl.col("label")
    is_event = label.is_null() | label.is_in(names) | ~label.is_in([*FAULTS, NORMAL])
    return cast("NDArray[np.bool_]", halfcycles.select(is_event).to_series().to_numpy())


def _history(halfcycles: pl.DataFrame, *, event: NDArray[np.bool_], seconds: Array) -> tuple[Array, Array]:
    """Running count and running time of the events of each cell, by cycle; `(N,)` each."""
    rows = halfcycles.select("cell_id", "cycle_count", "step_type").with_columns(
        _one=pl.Series(event.astype(np.float64)), _seconds=pl.Series(np.where(event, seconds, 0.0))
    )
    # Within a cycle the charge comes before the discharge: the fault of one does not count for the other's side anyway.
    running = [pl.col(name).cum_sum().over("cell_id", order_by=["cycle_count", "step_type"]) for name in ("_one", "_seconds")]
    table = rows.select(running)
    return table["_one"].to_numpy(), table["_seconds"].to_numpy()
