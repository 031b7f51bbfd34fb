"""From generated arrays to a curve set: real seconds, volts and amperes, what was asked for and what was measured back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from faultcell.curves import at_rest, severity
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import CONTEXT
from faultcell.curves.curves import Curves
from faultcell.curves.faults import inside, resting
from faultcell.curves.per_curve import charge_ah, typical_current
from faultcell.curves.schema import REST, SEVERITY, Array, Key
from faultcell.encoding.decode import CurveSamples

REQUESTED = (*SEVERITY, *CONTEXT)


def assemble(
    drawn: Sequence[CurveSamples],
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    *,
    origin: str,
    requested: Sequence[Condition] | None = None,
    redraws: Sequence[int] | None = None,
    beyond: Sequence[Sequence[str]] | None = None,
    history_before: Array | None = None,
    severities: Sequence[str] | None = None,
    seen: Counter[Key] | None = None,
) -> Curves:
    """The curve set of drawn curves, with the requested condition and the severity measured back.

    Args:
        drawn: one for each condition.
        conditions: what was asked for, with limits, nominal capacity and what else was open filled in.
        seeds: one for each curve.
        requested: what was asked for as it was, where more than limits and capacity was filled in.
        redraws: how often each was drawn again until a cell could have made it.
        origin: SHA-256 of the model, or the name of the source, for the column `model_sha256`.
        beyond: what of each condition lies outside of what the model has seen, by name; unknown where not given.
        history_before: faults, and seconds beyond the limit, that each cell is known to have seen before `(N, 2)`; none
            where not given.
        severities: names of those of faults inside all limits that have columns; those of the faults asked for where not given.
            They are measured against a curve of the cell, so unknown here.
        seen: keys that curves before these have, and then these too; see `_keys`.
    """
    keys = _keys(conditions, seeds, Counter() if seen is None else seen)
    lengths = [curve.second.size for curve in drawn]
    names = {
        "second": "step_time_second",
        "volt": "voltage_volt",
        "ampere": "current_ampere",
        "celsius": "surface_temperature_celsius",
    }
    timeseries = keys[np.repeat(np.arange(len(lengths)), lengths)].with_columns(
        pl.Series(column, np.concatenate([getattr(curve, name) for curve in drawn]) if drawn else [], dtype=pl.Float64)
        for name, column in names.items()
    )
    # Whoever is handed this table alone must see it, too.
    marks = {"synthetic": pl.lit(True), "model_sha256": pl.lit(origin, dtype=pl.Categorical)}
    timeseries = timeseries.with_columns(**marks, seed=pl.Series(np.repeat(np.array(seeds, dtype=np.int64), lengths)))
    inside_limits = [one.name for one in inside({c.fault: 0 for c in conditions})] if severities is None else severities
    rests = [one.name for one in resting({c.fault: 0 for c in conditions if c.step == REST})]
    table = _halfcycles(conditions, seeds, origin, beyond, requested or conditions, (*REQUESTED, *inside_limits, *rests))
    curves = Curves(timeseries, keys.hstack(table))
    if rests:
        curves = Curves(timeseries, curves.halfcycles.with_columns(at_rest.measured(curves)))
    back = {name: pl.Series(name, values) for name, values in measured_back(curves, conditions, history_before).items()}
    time, current = (curves.column(name) for name in ("step_time_second", "current_ampere"))
    charge = charge_ah(time, current, curves.offsets[:-1], curves.offsets[1:])
    amount = {"c_rate": typical_current(curves) / curves.known("nominal_capacity_ah"), "capacity_ah": charge}
    counted = {} if redraws is None else {"redraw_count": pl.Series(redraws, dtype=pl.Int64)}
    found = {**back, **{name: pl.Series(name, values) for name, values in amount.items()}, **counted}
    return Curves(curves.timeseries, curves.halfcycles.with_columns(**found))


def key_of(condition: Condition, seed: int) -> Key:
    """Where a curve that is drawn belongs; named after its seed, if no cell is asked for."""
    return condition.cell_id or f"synthetic-{seed:06d}", condition.cycle_count or 1, condition.step


def _keys(conditions: Sequence[Condition], seeds: Sequence[int], seen: Counter[Key]) -> pl.DataFrame:
    """Keys that depend on condition and seed alone, but for a suffix where two would be equal."""
    rows, nameless = [], Counter[Key]()  # a seed is a name of its own: what a stream remembers shall not grow with it
    for condition, seed in zip(conditions, seeds, strict=True):
        key = key_of(condition, seed)
        (nameless if condition.cell_id is None else seen).update([key])
        count = nameless[key] + seen[key]
        rows.append((key[0] if count == 1 else f"{key[0]}-{count}", *key[1:]))
    return pl.DataFrame(rows, schema={"cell_id": pl.String, "cycle_count": pl.Int64, "step_type": pl.String}, orient="row")


def _halfcycles(
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    origin: str,
    beyond: Sequence[Sequence[str]] | None,
    asked: Sequence[Condition],
    told: Sequence[str],
) -> pl.DataFrame:
    limits = [condition.limits for condition in conditions]
    requested = {f"requested_{name}": [_asked(condition, name) for condition in asked] for name in told}
    unknown = {name: [None if c.severity(name) != 0 else 0.0 for c in conditions] for name in told if name not in REQUESTED}
    return pl.DataFrame(
        {
            "label": [condition.fault for condition in conditions],
            "lower_voltage_limit_volt": [bound.lower if bound else None for bound in limits],
            "upper_voltage_limit_volt": [bound.upper if bound else None for bound in limits],
            "ambient_temperature_celsius": [condition.ambient_temperature_celsius for condition in conditions],
            "nominal_capacity_ah": [condition.nominal_capacity_ah for condition in conditions],
            "state_of_health": [condition.state_of_health for condition in conditions],
            "synthetic": [True] * len(conditions),
            "seed": list(seeds),
            "model_sha256": [origin] * len(conditions),
            "extrapolated": [bool(names) for names in beyond] if beyond is not None else [None] * len(conditions),
            "extrapolated_in": [", ".join(names) for names in beyond] if beyond is not None else [None] * len(conditions),
            "requested_label": [condition.fault for condition in conditions],
            **requested,
            **unknown,
        },
        schema_overrides={
            "label": pl.String,
            "requested_label": pl.String,
            "synthetic": pl.Boolean,
            "model_sha256": pl.String,
            "extrapolated": pl.Boolean,
            "extrapolated_in": pl.String,
            "lower_voltage_limit_volt": pl.Float64,
            "upper_voltage_limit_volt": pl.Float64,
            "nominal_capacity_ah": pl.Float64,
            "seed": pl.Int64,
            "ambient_temperature_celsius": pl.Float64,
            "state_of_health": pl.Float64,
            **dict.fromkeys((*requested, *unknown), pl.Float64),
        },
    )


def _asked(condition: Condition, name: str) -> float | None:
    value: float | None = getattr(condition, name) if name in REQUESTED else condition.severity(name)
    return value


def measured_back(curves: Curves, conditions: Sequence[Condition], history_before: Array | None = None) -> dict[str, Array]:
    """The severity of drawn curves, measured as that of real ones, on top of the history their conditions speak of.

    A drawn curve has no past. The past asked for is `repetition_count - 1` faults that took an equal share each of
    `cumulative_duration_second`, or, where the cell is known to have stood somewhere, of what has come since; the drawn curve
    adds itself, if it really is beyond its limit.
    """
    peak, seconds = np.zeros(len(curves)), np.zeros(len(curves))
    for side, step in severity.SIDES.items():
        own = (curves.halfcycles["step_type"] == step).to_numpy()
        peaks, times = severity.excursion(curves, side=side)
        peak, seconds = np.where(own, peaks, peak), np.where(own, times, seconds)
    is_fault = (curves.halfcycles["label"] != "normal").to_numpy() & (peak > 0)
    faults = [float(condition.fault != "normal") for condition in conditions]
    count = np.array([c.repetition_count or own for c, own in zip(conditions, faults, strict=True)], dtype=np.float64)
    total = np.array([condition.cumulative_duration_second or 0.0 for condition in conditions], dtype=np.float64)
    first, until_then = np.zeros((2, len(conditions))) if history_before is None else history_before.T
    since = count - first
    before = until_then + np.where(since > 1, (total - until_then) * (since - 1) / np.maximum(since, 1), 0.0)
    history = (np.maximum(count - 1, 0) + is_fault, before + np.where(is_fault, seconds, 0.0))
    return dict(zip(SEVERITY, (peak, *history), strict=True))
