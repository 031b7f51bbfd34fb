"""Internal shorts of cells at rest: a user's own resting cells, collapsed as known cells have.

A rest has no load and no limit to be registered by, and real records of shorts at rest are few and of every form: a step to
nothing, a dip that burns free, a slow end. So no network draws them. Each draw takes one known collapse, near in severity and
kind of cell, registered at its onset: its fall is made as deep and as fast as asked for, and begins at the voltage and the
temperature of the rest that it comes from; how long it lasts and how its logger reads are the known one's. How near is near
is chosen on known cells left out, by their CRPS.

References:
    Silverman and Young, The bootstrap: to smooth or not to smooth?, 1987, https://doi.org/10.1093/biomet/74.3.469.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves import severity as severities
from faultcell.curves.at_rest import Collapse, collapses
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, resting
from faultcell.curves.schema import KEYS, NORMAL, REST, SOURCE, Array, Key
from faultcell.encoding.assemble import assemble
from faultcell.encoding.decode import CurveSamples
from faultcell.errors import ConditionError, DataError
from faultcell.generation.counterfactuals import even, from_sources

ORIGIN = "known collapses at rest"
WIDTHS = (0.1, 0.2, 0.4, 0.8, 1.6, 100.0)  # of the kernel, in standard deviations of what it looks at; the last: all alike
LEAST_SPREAD = 0.05
MOST_STRETCH = 4.0  # of a known collapse in time
STRAY = 0.4  # standard deviation of logarithms, of the time before and after the fall: of which severities tell nothing
BEFORE, AFTER = 60, 340  # samples of a drawn record before the collapse and from it on
FINEST = 0.05  # s between the first of them
POINTS = 64  # of a record, at which draws for a cell left out are scored
LOWEST_VOLT = -0.15  # a shorted cell reads as little, with the offset of its leads


@dataclass(frozen=True, eq=False)
class Example:
    """A known collapse, and what it was of."""

    condition: Condition
    collapse: Collapse


class RestShorts:
    """A source of internal shorts at rest, from known ones.

    Args:
        known: real records of rests in which cells shorted; others are left out.

    Raises:
        DataError: there is no such record, or generated ones are among them.
    """

    def __init__(self, known: Curves) -> None:
        known.refuse_generated("known")
        shows = [label for label, kind in FAULTS.items() if kind.at_rest]
        own = severities.complete(known.where(pl.col("step_type") == REST, pl.col("label").is_in(shows)))
        found = zip(conditions_of(own, load=False), collapses(own), strict=True)
        self.known = [Example(condition, one) for condition, one in found if one is not None and one.depth > 0]
        if not self.known:
            raise DataError(f"no rest is labelled {' or '.join(shows)}: give records of cells that shorted at rest")

    def draw(self, conditions: Sequence[Condition], seeds: Iterable[int], *, reference: Curves | None = None) -> Curves:
        """One record for each condition and seed. Record *i* depends on its condition, seed and reference alone.

        Args:
            conditions: what is asked for, of rests; what is unknown of their severity is that of a known one.
            seeds: one for each condition.
            reference: normal rests of the cells asked for (`Condition.cell_id`): each begins as the last one of its cell does.

        Raises:
            ConditionError: a condition is none of a rest, or its fault is not known at rest.
        """
        for condition in conditions:
            if condition.step != REST or condition.fault not in {one.condition.fault for one in self.known}:
                named = f"a {condition.step} of {condition.fault}"
                raise ConditionError(f"known collapses at rest tell nothing of {named}: ask for an internal_short, a rest")
        normal = pl.col("label") == NORMAL, pl.col("step_type") == REST
        given = {} if reference is None else {key[0]: one for key, one in _rests(reference.where(*normal))}
        seeds = list(seeds)
        drawn = [
            self._drawn(condition, given.get(condition.cell_id or ""), np.random.default_rng(seed))
            for condition, seed in zip(conditions, seeds, strict=True)
        ]
        first = self.known[0].condition
        complete = [
            replace(c, limits=c.limits or first.limits, nominal_capacity_ah=c.nominal_capacity_ah or first.nominal_capacity_ah)
            for c in conditions
        ]
        return assemble(drawn, complete, seeds, origin=ORIGIN, requested=conditions)

    def augment(self, normal: Curves, *, count: int | None = None, seed: int = 0) -> Curves:
        """Your own resting cells, collapsed: each cell serves the same share, as deep for its voltage as two known ones are.

        Args:
            normal: normal rests.
            count: how many; as many as there are normal rests where not given.
            seed: of the choice and of the first record; the next ones count on.

        Raises:
            DataError: faults or generated records are among the normal ones, or no rest is.
        """
        normal.refuse_generated("normal")
        rests = normal.where(pl.col("step_type") == REST, pl.col("label") == NORMAL)
        rests = rests.take(np.flatnonzero(np.diff(rests.offsets) >= 2).tolist())
        if not len(rests):
            raise DataError("no rest of two samples and more is labelled normal: give records of cells that rest")
        rng, own = np.random.default_rng(seed), list(_rests(rests))
        conditions, keys = conditions_of(rests, load=False), [key for key, _ in own]
        wanted = len(own) if count is None else count
        rows = even([cell for cell, _, _ in keys], wanted, rng).tolist()
        asked = [self._between(conditions[row], own[row][1], rng) for row in rows]
        drawn = [
            self._drawn(condition, own[row][1], np.random.default_rng(seed + i))
            for i, (condition, row) in enumerate(zip(asked, rows, strict=True))
        ]
        made = assemble(drawn, asked, range(seed, seed + wanted), origin=ORIGIN)
        schema = dict(zip(SOURCE, (pl.String, pl.Int64), strict=True))
        return from_sources(made, pl.DataFrame([keys[row][:2] for row in rows], schema=schema, orient="row"))

    def _between(self, normal: Condition, own: Collapse, rng: np.random.Generator) -> Condition:
        """A short of a resting cell, between two known ones in share of its voltage and in logarithm of its time."""
        one, other, weight = *(self.known[i].collapse for i in rng.integers(len(self.known), size=2)), rng.uniform()
        share = (1 - weight) * one.depth / one.level + weight * other.depth / other.level
        falls = np.exp((1 - weight) * np.log(one.falls) + weight * np.log(other.falls))
        kind = self.known[0].condition.fault
        values = dict(zip([s.name for s in resting([kind])], (float(share * own.level), float(falls)), strict=True))
        cycle = None if normal.cycle_count is None else normal.cycle_count + 1
        return replace(normal, fault=kind, severities=values, cycle_count=cycle, load=None)

    def _drawn(self, condition: Condition, own: Collapse | None, rng: np.random.Generator) -> CurveSamples:
        weights = self._weights(_features(condition, own.level if own else None), slice(None))
        one = self.known[int(rng.choice(len(self.known), p=weights))]
        return _laid_on(one.collapse, condition, own, np.exp(STRAY * rng.normal(size=2)))

    def _weights(self, asked: Array, rows: slice | NDArray[np.int64], width: float | None = None) -> Array:
        """How much each known collapse counts for what is asked, of which NaN is not known `(n,)`."""
        apart = (self._features[rows] - asked) / self._spread / (width or self.width)
        far = np.nansum(apart**2, axis=1) / np.maximum(np.isfinite(apart).sum(axis=1), 1)
        near = np.exp(-0.5 * (far - far.min()))
        return np.asarray(near / near.sum(), dtype=np.float64)

    @cached_property
    def _features(self) -> Array:
        return np.stack([_features(one.condition, one.collapse.level) for one in self.known])

    @cached_property
    def _spread(self) -> Array:
        known = np.where(np.isfinite(self._features), self._features, np.nan)
        return np.asarray(np.maximum(np.nan_to_num(np.nanstd(known, axis=0)), LEAST_SPREAD))

    @cached_property
    def width(self) -> float:
        """Width of the kernel with the least CRPS on known cells that are left out."""
        cells = np.array([one.condition.cell_id for one in self.known])
        if len(set(cells.tolist())) < 3:
            return WIDTHS[-1]
        share, errors = np.linspace(0, 1, POINTS), np.zeros(len(WIDTHS))
        for row, one in enumerate(self.known):
            rows = np.flatnonzero(cells != cells[row])
            records = [_laid_on(self.known[i].collapse, one.condition, None) for i in rows]
            drawn = np.stack([np.interp(share * c.second[-1], c.second, c.volt) for c in records])
            real = np.interp(share * one.collapse.second[-1], one.collapse.second, one.collapse.volt)
            away = np.abs(drawn - real).mean(axis=1)
            apart = np.abs(drawn[:, None] - drawn[None]).mean(axis=2)
            for k, width in enumerate(WIDTHS):
                w = self._weights(_features(one.condition, None), rows, width)
                errors[k] += w @ away - 0.5 * w @ apart @ w
        return WIDTHS[int(np.argmin(errors))]


def all_at_rest(few: Curves) -> bool:
    """Whether a set holds records of rests alone.

    Raises:
        DataError: there are rests beside half-cycles under load: they are drawn in other ways.
    """
    steps = set(few.halfcycles["step_type"])
    if REST in steps and len(steps) > 1:
        raise DataError("rests are among half-cycles under load: give either alone, as they are drawn in other ways")
    return steps == {REST}


def _features(condition: Condition, level: float | None) -> Array:
    """What makes two shorts alike: depth, time of the fall, capacity, rated limit and voltage before; NaN unknown `(5,)`."""
    depth, falls = (condition.severity(one.name) for one in resting([condition.fault]))
    upper = condition.limits.upper if condition.limits else None
    values = (depth, _log(falls), _log(condition.nominal_capacity_ah), upper, level)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _log(value: float | None) -> float | None:
    return None if value is None else float(np.log10(max(value, 1e-3)))


def _rests(curves: Curves) -> list[tuple[Key, Collapse]]:
    """The rests of a set by key, those of two samples and more."""
    keys = curves.halfcycles.select(KEYS).rows()
    return [(key, one) for key, one in zip(keys, collapses(curves), strict=True) if one is not None]


def _laid_on(
    known: Collapse, condition: Condition, own: Collapse | None, longer: Sequence[float] | Array = (1.0, 1.0)
) -> CurveSamples:
    """A known collapse as deep and as fast as asked for, on the rest that it comes from, or on its own.

    Args:
        known: the collapse.
        condition: what is asked for.
        own: the normal rest it comes from.
        longer: how much longer the time before and the time after its fall last.
    """
    depth, falls = (condition.severity(one.name) for one in resting([condition.fault]))
    depth, falls = depth or known.depth, falls or known.falls
    stretch = float(np.clip(falls / known.falls, 1 / MOST_STRETCH, MOST_STRETCH))
    lowest = max(known.level - known.depth, LOWEST_VOLT)
    level = own.level if own else max(known.level, depth + lowest)
    if condition.limits is not None and own is None:
        level = min(level, max(condition.limits.upper, depth + LOWEST_VOLT))
    rows = _thinned(known)
    lowest_at = float(known.second[np.argmin(known.volt)])
    edges = np.array([0.0, known.onset, lowest_at, max(known.second[-1], lowest_at)])
    lasting = np.diff(edges) * np.array([longer[0], stretch, stretch * longer[1]])
    second = np.interp(known.second[rows], edges, np.append(0.0, np.cumsum(lasting)))
    fallen = (known.level - known.volt[rows]) / known.depth
    volt = np.maximum(level - depth * fallen, LOWEST_VOLT)
    celsius = known.celsius[rows]
    begun = own.celsius[np.isfinite(own.celsius)][:1] if own else np.empty(0)
    ambient = float(begun[0]) if begun.size else condition.ambient_temperature_celsius
    if ambient is not None and np.isfinite(celsius).any():
        celsius = celsius - celsius[np.isfinite(celsius)][0] + ambient
    return CurveSamples(second, volt, np.zeros(second.size), celsius)


def _thinned(known: Collapse) -> NDArray[np.int64]:
    """Rows of a record that tell its form: even ones before the collapse, then ever fewer `(n,)`."""
    end, onset = float(known.second[-1]), known.onset
    after = onset + np.concatenate([[0.0], np.geomspace(FINEST, max(end - onset, 2 * FINEST), AFTER)])
    wanted = np.concatenate([np.linspace(0.0, onset, BEFORE), after])
    places = np.clip(np.searchsorted(known.second, wanted), 0, known.second.size - 1).astype(np.int64)
    return np.unique(np.append(places, np.argmin(known.volt)))
