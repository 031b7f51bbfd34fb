"""From generated arrays to a curve set: real seconds, volts and amperes, what was asked for and what was measured back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell import severity
from faultcell.by_curve import charge_ah, typical_current
from faultcell.config import GridConfig
from faultcell.curves import REST_C_RATE, SEVERITY, Array, Condition, Curves, Key
from faultcell.prepare import CURRENT, REST, TEMPERATURE, VOLTAGE, charging, decode, grid_times, has_tail
from faultcell.profile import CONTEXT

REQUESTED = (*SEVERITY, *CONTEXT)


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one drawn curve, `(n,)` each: s, V, A, degC."""

    second: Array
    volt: Array
    ampere: Array
    celsius: Array


def rebuild(coded: Array, seconds: Array, conditions: Sequence[Condition], grid: GridConfig) -> list[Samples]:
    """Curves from the grid to real units; the requested peak deviation is met exactly, and no sooner than asked.

    Args:
        coded: channels in coded units `(N, C, L)`.
        seconds: durations of head and tail, s `(N, 2)`.
        conditions: what was asked for, with limits and nominal capacity.
        grid: the grid.
    """
    shaped = coded.astype(np.float64)
    tailed = np.array([has_tail(condition) for condition in conditions])
    beyond = np.array([condition.peak_deviation_volt > 0 for condition in conditions])
    shaped[:, VOLTAGE, : grid.head] = _inside(shaped[:, VOLTAGE, : grid.head], high=charging(conditions), anchored=tailed)
    tail = _peak_at_one(shaped[:, VOLTAGE, grid.head :])
    shaped[:, VOLTAGE, grid.head :] = np.where(beyond[:, None], tail, 1.0)  # a charge that stays inside is held at its limit
    times, physical = grid_times(grid, seconds), decode(shaped, conditions, grid)
    physical[:, CURRENT] = _under_load(physical[:, CURRENT], conditions)
    ends = np.where(tailed, grid.length, grid.head)
    return [_samples(physical[i, :, :end], times[i, :end], conditions[i]) for i, end in enumerate(ends.tolist())]


def _under_load(current: Array, conditions: Sequence[Condition]) -> Array:
    """Drawn currents kept on their half-cycle's side of zero, and above what counts as rest; known ones as they are."""
    sign = np.where(charging(conditions), 1.0, -1.0)
    least = np.array([1.01 * REST_C_RATE[condition.step] * (condition.nominal_capacity_ah or 1.0) for condition in conditions])
    known = np.array([condition.load is not None for condition in conditions])
    kept = sign[:, None] * np.maximum(sign[:, None] * current, least[:, None])
    return np.where(known[:, None], current, kept)


def _inside(head: Array, *, high: NDArray[np.bool_], anchored: NDArray[np.bool_]) -> Array:
    """Heads `(N, head)` kept on the right side of their limits, and put on them at the crossing, where there is one."""
    kept = np.where(high[:, None], np.minimum(head, 1.0), np.maximum(head, 0.0))
    kept[:, -1] = np.where(anchored, high, kept[:, -1])
    return kept


def _peak_at_one(tail: Array) -> Array:
    """Tails `(N, tail)` scaled to a peak of exactly one; one that never leaves the limit is replaced by a straight one."""
    peak = tail.max(axis=1, keepdims=True)
    straight = np.arange(1, tail.shape[1] + 1) / tail.shape[1]
    return np.where(peak > 0.1, tail / np.where(peak > 0.1, peak, 1.0), straight)


def _samples(physical: Array, times: Array, condition: Condition) -> Samples:
    """One curve `(C, n)` at its times `(n,)`; under a load that swings between current and rest, at the load's own samples."""
    if condition.load is None or not condition.load.is_pulsed:
        return Samples(times, physical[VOLTAGE], physical[CURRENT], physical[TEMPERATURE])
    seconds = condition.load.fraction * times[-1]
    under_load, at_rest = (np.interp(seconds, times, physical[channel]) for channel in (VOLTAGE, REST))
    # A model that has never seen a rest knows of no recovery: the voltage stays as it is under load.
    at_rest = np.where(np.isnan(at_rest), under_load, at_rest)
    # A rested cell recovers: it is never further along its half-cycle than it is under load.
    at_rest = np.minimum(at_rest, under_load) if condition.step == "charge" else np.maximum(at_rest, under_load)
    return Samples(
        seconds,
        np.where(condition.load.resting, at_rest, under_load),
        condition.load.current_ampere,
        np.interp(seconds, times, physical[TEMPERATURE]),
    )


def assemble(
    drawn: Sequence[Samples],
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    *,
    origin: str,
    beyond: Sequence[Sequence[str]] | None = None,
    stood: Array | None = None,
    seen: Counter[Key] | None = None,
) -> Curves:
    """The curve set of drawn curves, with the requested condition and the severity measured back.

    Args:
        drawn: one for each condition.
        conditions: what was asked for, with limits and nominal capacity filled in.
        seeds: one for each curve.
        origin: SHA-256 of the model, or the name of the source, for the column `model_sha256`.
        beyond: what of each condition lies outside of what the model has seen, by name; unknown where not given.
        stood: faults, and seconds beyond the limit, that each cell is known to have seen before `(N, 2)`; none
            where not given.
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
    curves = Curves(timeseries, keys.hstack(_halfcycles(conditions, seeds, origin, beyond)))
    back = {name: pl.Series(name, values) for name, values in measured_back(curves, conditions, stood).items()}
    time, current = (curves.column(name) for name in ("step_time_second", "current_ampere"))
    charge = charge_ah(time, current, curves.offsets[:-1], curves.offsets[1:])
    amount = {"c_rate": typical_current(curves) / curves.known("nominal_capacity_ah"), "capacity_ah": charge}
    return Curves(curves.timeseries, curves.halfcycles.with_columns(**back, **{k: pl.Series(k, v) for k, v in amount.items()}))


def _keys(conditions: Sequence[Condition], seeds: Sequence[int], seen: Counter[Key]) -> pl.DataFrame:
    """Keys that depend on condition and seed alone, but for a suffix where two would be equal."""
    rows, nameless = [], Counter[Key]()  # a seed is a name of its own: what a stream remembers shall not grow with it
    for condition, seed in zip(conditions, seeds, strict=True):
        key = (condition.cell_id or f"synthetic-{seed:06d}", condition.cycle_count or 1, condition.step)
        (nameless if condition.cell_id is None else seen).update([key])
        count = nameless[key] + seen[key]
        rows.append((key[0] if count == 1 else f"{key[0]}-{count}", *key[1:]))
    return pl.DataFrame(rows, schema={"cell_id": pl.String, "cycle_count": pl.Int64, "step_type": pl.String}, orient="row")


def _halfcycles(
    conditions: Sequence[Condition], seeds: Sequence[int], origin: str, beyond: Sequence[Sequence[str]] | None
) -> pl.DataFrame:
    limits = [condition.limits for condition in conditions]
    requested = {f"requested_{name}": [getattr(condition, name) for condition in conditions] for name in REQUESTED}
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
            **dict.fromkeys(requested, pl.Float64),
        },
    )


def measured_back(curves: Curves, conditions: Sequence[Condition], stood: Array | None = None) -> dict[str, Array]:
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
    first, until_then = np.zeros((2, len(conditions))) if stood is None else stood.T
    since = count - first
    before = until_then + np.where(since > 1, (total - until_then) * (since - 1) / np.maximum(since, 1), 0.0)
    history = (np.maximum(count - 1, 0) + is_fault, before + np.where(is_fault, seconds, 0.0))
    return dict(zip(SEVERITY, (peak, *history), strict=True))
