"""The condition of each curve, as the tables of its set tell it, and new ones between those of known curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from faultcell.curves.condition import Condition, Limits, Load
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.faults import FAULTS, Severity, stays_inside
from faultcell.curves.per_curve import typical_current
from faultcell.curves.schema import KEYS, NORMAL, SEVERITY, Array
from faultcell.errors import ConditionError, DataError

CONTEXT = ("c_rate", "ambient_temperature_celsius", "cycle_count", "state_of_health")
LEAST_DRIVE = 0.02  # of what is typical, that a fault inside all limits has at least
_READ = ("c_rate", "ambient_temperature_celsius", "state_of_health", "nominal_capacity_ah")


def conditions_of(curves: Curves, *, load: bool = True) -> list[Condition]:
    """The condition of each curve; what its tables do not tell is unknown, not zero.

    Args:
        curves: with the severity columns filled in (see `severity.complete`).
        load: also take the load current of each curve as known.

    Raises:
        DataError: a curve's label and its severity or half-cycle contradict each other.
    """
    loads = list(_loads(curves)) if load else [None] * len(curves)
    table = curves.halfcycles.select(*KEYS, "label").to_dicts()
    numbers = {name: curves.known(name) for name in (*SEVERITY, *_READ)}
    severities = _severities(curves)
    numbers["state_of_health"] = _first_known(
        numbers["state_of_health"], curves.known("capacity_ah") / numbers["nominal_capacity_ah"]
    )
    numbers["c_rate"] = _first_known(numbers["c_rate"], typical_current(curves) / numbers["nominal_capacity_ah"])
    lower, upper = curves.known("lower_voltage_limit_volt"), curves.known("upper_voltage_limit_volt")
    return [
        _condition(
            row,
            limits=Limits(float(lower[i]), float(upper[i])) if np.isfinite([lower[i], upper[i]]).all() else None,
            load=loads[i],
            severities=severities[i],
            **{name: _or_none(values[i]) for name, values in numbers.items()},
        )
        for i, row in enumerate(table)
    ]


def between(known: Sequence[Condition], count: int, *, seed: int) -> list[Condition]:
    """Conditions to ask for when a few faults are to become many: each between those of two known curves of one label.

    Every number both know is mixed with one random weight; limits, nominal capacity and the shape of a pulsed load, as strong
    as the mixed C-rate, are the first one's. Condition *i* depends on `known`, `seed` and *i* alone.

    Args:
        known: conditions of the known curves.
        count: how many to make.
        seed: of the choice.

    Raises:
        ConditionError: nothing is known.
    """
    if not known:
        raise ConditionError("there is no known condition to go between: give at least one fault curve")
    return [_between(known, np.random.default_rng([seed, i])) for i in range(count)]


def _between(known: Sequence[Condition], rng: np.random.Generator) -> Condition:
    first = known[int(rng.integers(len(known)))]
    alike = [c for c in known if (c.fault, c.step, driven_by(c)) == (first.fault, first.step, driven_by(first))]
    second, weight = alike[int(rng.integers(len(alike)))], float(rng.uniform())
    mixed: dict[str, Any] = {"severities": mixed_severities(first, second, weight)}
    for name in (*SEVERITY, "c_rate", "ambient_temperature_celsius", "state_of_health", "cycle_count"):
        one, other = getattr(first, name), getattr(second, name)
        mixed[name] = one if one is None or other is None else one + weight * (other - one)
    for name in ("cycle_count", "repetition_count"):
        mixed[name] = None if mixed[name] is None else round(mixed[name])
    return replace(first, **mixed, load=_pulses(first, mixed["c_rate"]), cell_id=None)


def driven_by(condition: Condition) -> frozenset[str]:
    """Names and signs of the severities that a fault inside all limits is driven by: what is unlike in them is another."""
    drivers = FAULTS[condition.fault].drivers if condition.fault in FAULTS else ()
    values = {one.name: condition.severities.get(one.name) or 0.0 for one in drivers}
    return frozenset(f"{name}{'-' if value < 0 else ''}" for name, value in values.items() if value)


def mixed_severities(one: Condition, other: Condition, weight: float) -> dict[str, float]:
    """The severities both of two conditions know, mixed."""
    both = set(one.severities) & set(other.severities)
    return {n: one.severities[n] + weight * (other.severities[n] - one.severities[n]) for n in one.severities if n in both}


def _severities(curves: Curves) -> list[dict[str, float]]:
    """What is known of the severities of faults inside all limits, of each curve."""
    found = [dict[str, float]() for _ in range(len(curves))]
    for label in filter(stays_inside, curves.labels):
        kind, steps = FAULTS[label], curves.halfcycles["step_type"].to_list()
        rows = np.flatnonzero((curves.halfcycles["label"] == label).to_numpy())
        for one in (*kind.severities, *kind.at_rest):
            values = curves.known(one.name)
            for row in rows[np.isfinite(values[rows])].tolist():
                if one in kind.severities_in(steps[row]):
                    found[row][one.name] = _in_domain(one, float(values[row]))
    return found


def _in_domain(severity: Severity, value: float) -> float:
    """A severity as it was measured, which may come out on the wrong side of zero; what is labelled a fault is never none."""
    least = LEAST_DRIVE * severity.typical if severity.drives else 0.0
    return value if severity.signed else max(value, least)


def _pulses(condition: Condition, c_rate: float | None) -> Load | None:
    """The pulsed load of a condition, as strong as another C-rate asks for; None where it is steady."""
    load = condition.load
    if load is None or not load.is_pulsed:
        return None
    return Load(load.fraction, load.current_ampere * ((c_rate or 1.0) / (condition.c_rate or c_rate or 1.0)))


def _condition(row: dict[str, Any], **known: Any) -> Condition:
    """The condition of one curve; what contradicts itself is said of the curve it is found in."""
    keys = {name: row[name] for name in KEYS}
    try:
        return Condition(
            fault=row["label"] or NORMAL, **keys, **{**known, "peak_deviation_volt": known["peak_deviation_volt"] or 0.0}
        )
    except ConditionError as error:
        place = f"cell {row['cell_id']}, cycle {row['cycle_count']}, {row['step_type']}, labelled {row['label']}"
        raise DataError(f"{place}: {error}; mend its row in halfcycles.parquet or leave it out") from error


def _loads(curves: Curves) -> Iterator[Load | None]:
    time, current = curves.column("step_time_second"), curves.column("current_ampere")
    for rows in curves.slices():
        part = loaded_part(curves, rows)
        seconds = time[part] - time[part][:1]
        known = seconds.size > 1 and seconds[-1] > 0
        yield Load(seconds / seconds[-1], current[part]) if known else None


def _first_known(first: Array, second: Array) -> Array:
    return np.where(np.isfinite(first), first, second)


def _or_none(value: float) -> Any:
    return float(value) if np.isfinite(value) else None
