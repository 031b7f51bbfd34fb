"""How severe a fault inside all limits is: measured against the cell's own normal curve of the same half-cycle.

A leak lengthens a charge, a bad contact lifts its voltage, failing cooling warms it: by how much cannot be seen in a curve
alone, but beside what the same cell did before. Real and drawn curves are measured in the same way.

References:
    Hu et al., An Online Adaptive Internal Short Circuit Detection Method, 2020, https://doi.org/10.1007/s42154-020-00127-9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.faults import FAULTS, inside, stays_inside
from faultcell.curves.per_curve import seconds_above
from faultcell.curves.schema import KEYS, NORMAL, Array, Key
from faultcell.errors import ConditionError

NEAR_LIMIT_VOLT = 0.015  # a charge held at its limit does no more tell time by voltage
BEGUN = 0.1  # of the charge moved: until then a voltage still settles to its load
SHIFTS, MOST_SHIFT = 61, 0.15  # trial shifts along the charge, up to that share of it
MIDDLE = (0.1, 0.8)  # of the charge moved, where a shift of the voltage is read
REST_SECOND, LEAST_REST = 600.0, 60.0  # of the rest behind a load, in which its voltage is read
RISE_SECOND = 60.0  # shortest time over which a rise of the temperature is told
LIMIT_CELSIUS = {"charge": 45.0, "discharge": 60.0}  # where no table names one: what data sheets of most cells say


@dataclass(frozen=True, eq=False)
class Loaded:
    """The loaded part of a curve: s, V, A (without sign), degC `(n,)`, whether it is a charge, Ah, its limits, V and degC.

    Attributes:
        ambient_celsius: of the surroundings, NaN where no table tells.
        rest_volt: how far the voltage goes in the rest behind the load, within `REST_SECOND`; NaN where there is none.
    """

    second: Array
    volt: Array
    ampere: Array
    celsius: Array
    rising: bool
    nominal_ah: float
    limit: float
    most_celsius: float
    ambient_celsius: float = float("nan")
    rest_volt: float = float("nan")

    @cached_property
    def progress(self) -> Array:
        """The voltage in the direction of the half-cycle, V; it never goes back `(n,)`."""
        return np.maximum.accumulate(self.volt if self.rising else -self.volt)

    @cached_property
    def moved(self) -> Array:
        """Charge moved so far, Ah `(n,)`."""
        steps = (self.ampere[1:] + self.ampere[:-1]) / 2 * np.diff(self.second) / 3600
        return np.concatenate([[0.0], np.cumsum(steps)])

    @cached_property
    def warm(self) -> Array:
        """Its known temperatures, degC."""
        return np.asarray(self.celsius[np.isfinite(self.celsius)])


def measured(curves: Curves, among: Curves | None = None, references: Sequence[Key | None] | None = None) -> pl.DataFrame:
    """The severities of faults inside all limits, of each curve.

    Args:
        curves: the set.
        among: where the normal curves of the cells are; the set itself where not given.
        references: key of each curve's own normal one there; the nearest earlier (else the next) normal curve of its cell and
            half-cycle where not given.

    Returns:
        One row a curve, by the names of the severities: zero for what belongs to another label, NaN where it cannot be told.
    """
    others = curves if among is None else among
    keys = own_normals(curves, others) if references is None else references
    place = {key: row for row, key in enumerate(others.halfcycles.select(KEYS).rows())}
    columns = {one.name: np.zeros(len(curves)) for one in inside(FAULTS)}
    wanted = [row for row, label in enumerate(curves.halfcycles["label"]) if stays_inside(label)]
    if wanted:
        own = dict(zip(wanted, loaded(curves, wanted), strict=True))
        there = sorted({place[key] for row in wanted if (key := keys[row]) in place})
        normal = dict(zip(there, loaded(others, there), strict=True))
        for row in wanted:
            reference = normal.get(place.get(keys[row], -1))  # type: ignore[arg-type]
            for name in FAULTS[curves.halfcycles["label"][row]].names:
                columns[name][row] = MEASURES[name](own[row], reference) if name in MEASURES else np.nan
    return pl.DataFrame(columns)


def refuse_untold(curves: Curves) -> None:
    """Raise ConditionError where a fault cannot be told without a column that its curves do not have."""
    for label in curves.labels:
        for column in FAULTS[label].needs if label in FAULTS else ():
            own = curves.where(pl.col("label") == label)
            if column not in own.timeseries.columns or not np.isfinite(own.column(column)).any():
                raise ConditionError(
                    f"{label} cannot be told without {column}: give curves that have it, or leave that fault out"
                )


def loaded(curves: Curves, rows: Sequence[int]) -> Iterator[Loaded]:
    """The loaded parts of these curves."""
    names = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
    samples = [curves.column(name) for name in names]
    nominal, steps = curves.known("nominal_capacity_ah"), curves.halfcycles["step_type"].to_list()
    limits = {"charge": curves.known("upper_voltage_limit_volt"), "discharge": curves.known("lower_voltage_limit_volt")}
    told, slices = curves.known("upper_temperature_limit_celsius"), list(curves.slices())
    ambient = curves.known("ambient_temperature_celsius")
    for row in rows:
        part, step = loaded_part(curves, slices[row]), steps[row]
        second, volt, ampere, celsius = (values[part] for values in samples)
        most = told[row] if np.isfinite(told[row]) else LIMIT_CELSIUS.get(step, np.inf)
        limit = limits[step][row] if step in limits else np.nan
        rated = float(nominal[row]), float(limit), float(most)
        rest = _rested(samples[0], samples[1], slice(part.stop - 1, slices[row].stop)) if second.size else float("nan")
        yield Loaded(second, volt, np.abs(ampere), celsius, step == "charge", *rated, float(ambient[row]), rest)


def _rested(second: Array, volt: Array, rows: slice) -> float:
    """How far the voltage goes from the first of these samples, the last under load, to the end of the rest behind, V."""
    passed = second[rows] - second[rows.start]
    within = passed <= REST_SECOND
    if passed[within][-1] < LEAST_REST:
        return float("nan")
    return float(volt[rows][within][-1] - volt[rows.start])


def own_normals(curves: Curves, among: Curves) -> list[Key | None]:
    """The nearest earlier, else the next, normal curve of each curve's cell and half-cycle."""
    cycles, found = _normal_cycles(among), list[Key | None]()
    for cell, cycle, step in curves.halfcycles.select(KEYS).rows():
        own = cycles.get((cell, step), [])
        earlier, later = [c for c in own if c < cycle], [c for c in own if c > cycle]
        nearest = max(earlier) if earlier else min(later) if later else None
        found.append(None if nearest is None else (cell, nearest, step))
    return found


def first_normals(curves: Curves, among: Curves, *, cells: Sequence[str | None] | None = None) -> list[Key | None]:
    """The first normal curve of each curve's cell and half-cycle, the second for the first itself: what the cell was when new.

    A fault that lasts has its last normal curve further behind than a normal curve has; its first one tells nothing by its age.

    Args:
        curves: charges and discharges.
        among: where the normal curves are.
        cells: name of the cell that each is held against; its own where not given.
    """
    own = _normal_cycles(among)
    found: list[Key | None] = []
    for (cell, cycle, step), other in zip(
        curves.halfcycles.select(KEYS).rows(), cells or curves.halfcycles["cell_id"], strict=True
    ):
        first = sorted(one for one in own.get((other, step), []) if (other, one) != (cell, cycle))
        found.append((other, first[0], step) if first else None)
    return found


def _normal_cycles(among: Curves) -> dict[tuple[str, str], list[int]]:
    """Cycles of the normal curves of each cell and half-cycle."""
    cycles: dict[tuple[str, str], list[int]] = {}
    for cell, cycle, step in among.halfcycles.filter(label=NORMAL).select(KEYS).rows():
        cycles.setdefault((cell, step), []).append(cycle)
    return cycles


def leakage_c_rate(curve: Loaded, normal: Loaded | None) -> float:
    """What leaks, as C-rate: the charge moved between two voltages beyond (in a discharge: below) the normal one, over time."""
    if normal is None or min(curve.second.size, normal.second.size) < 4:
        return float("nan")
    sign = 1.0 if curve.rising else -1.0
    first = max(float(np.interp(BEGUN * one.moved[-1], one.moved, one.progress)) for one in (curve, normal))
    last = min(curve.progress[-1], normal.progress[-1], sign * curve.limit - (NEAR_LIMIT_VOLT if curve.rising else 0.0))
    if not first < last:
        return float("nan")
    (charge, hours), (usual, _) = (_between(one, first, last) for one in (curve, normal))
    return float(sign * (charge - usual) / max(hours, 1e-9) / curve.nominal_ah)


def _between(curve: Loaded, first: float, last: float) -> tuple[float, float]:
    """Charge moved, Ah, and hours, from one progress to another."""
    new = np.append(True, np.diff(curve.progress) > 0)
    moved, hours = (np.interp([first, last], curve.progress[new], y[new]) for y in (curve.moved, curve.second / 3600))
    return float(moved[1] - moved[0]), float(hours[1] - hours[0])


def _raised_volt(curve: Loaded, normal: Loaded | None) -> tuple[float, float]:
    """How far the voltage lies above the normal one at equal charge, V, and the current there, A; NaN where none is given.

    The two need not begin at the same charge: the shift along it that leaves the least of the difference is taken.
    """
    if normal is None or min(curve.second.size, normal.second.size) < 4:
        return float("nan"), float("nan")
    whole = min(curve.moved[-1], normal.moved[-1])
    at = np.linspace(*MIDDLE, 200) * whole
    volt, ampere = np.interp(at, curve.moved, curve.volt), np.interp(at, curve.moved, curve.ampere)
    # A charge that is held at its limit has no voltage left to be shifted.
    free = ampere > 0.95 * np.median(curve.ampere[: max(curve.ampere.size // 2, 1)])
    differences = []
    for shift in np.linspace(-MOST_SHIFT, MOST_SHIFT, SHIFTS) * whole:
        there = free & (at + shift >= 0) & (at + shift <= normal.moved[-1])
        usual = np.interp(at + shift, normal.moved, normal.volt)
        there &= np.interp(at + shift, normal.moved, normal.ampere) > 0.95 * np.median(ampere[free])
        if there.sum() >= 20:
            apart = (volt - usual)[there]
            differences.append((float(apart.std()), float(apart.mean())))
    if not differences:
        return float("nan"), float("nan")
    return min(differences)[1], float(np.median(ampere[free]))


def added_resistance_milliohm(curve: Loaded, normal: Loaded | None) -> float:
    """The voltage beyond the normal one at equal charge, over the current."""
    volt, ampere = _raised_volt(curve, normal)
    return 1000 * (volt if curve.rising else -volt) / ampere if ampere else float("nan")


def fastest_rise(second: Array, celsius: Array) -> float:
    """Fastest rise of a temperature over `RISE_SECOND`, K/min; NaN where it is not known for as long."""
    known = np.isfinite(celsius)
    time, warm = second[known], celsius[known]
    if time.size < 2 or time[-1] - time[0] < RISE_SECOND:
        return float("nan")
    begin = time[time <= time[-1] - RISE_SECOND]
    return float((np.interp(begin + RISE_SECOND, time, warm) - np.interp(begin, time, warm)).max() * 60 / RISE_SECOND)


def warmer(curve: Loaded, normal: Loaded | None, of: Callable[[Array], float]) -> float:
    """A figure of its known temperatures above the normal one's, K; NaN where either has none."""
    if normal is None or not curve.warm.size or not normal.warm.size:
        return float("nan")
    return float(of(curve.warm) - of(normal.warm))


def _overtemperature(curve: Loaded, _: Loaded | None) -> float:
    known = np.isfinite(curve.celsius)
    if not known.any():
        return float("nan")
    return seconds_above(curve.second[known], curve.celsius[known] - curve.most_celsius, known[known])


# How each severity is measured from a curve and the cell's own normal one, which may be missing.
MEASURES: dict[str, Callable[[Loaded, Loaded | None], float]] = {
    "leakage_c_rate": leakage_c_rate,
    "temperature_rise_kelvin": lambda curve, normal: warmer(curve, normal, np.max),
    "fastest_rise_kelvin_per_minute": lambda curve, _: fastest_rise(curve.second, curve.celsius),
    "overtemperature_second": _overtemperature,
    "added_resistance_milliohm": added_resistance_milliohm,
    "voltage_offset_millivolt": lambda curve, normal: 1000 * _raised_volt(curve, normal)[0],
    "current_offset_milliampere": lambda curve, normal: 1000 * leakage_c_rate(curve, normal) * curve.nominal_ah,
    "temperature_offset_kelvin": lambda curve, normal: warmer(curve, normal, lambda celsius: float(celsius[0])),
}
