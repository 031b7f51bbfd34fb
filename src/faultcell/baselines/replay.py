"""What every cheap source builds on, the known curves, and the two plainest: the nearest known curve, and their mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves import severity
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.faults import FAULTS, resting
from faultcell.curves.schema import SOURCE, Array
from faultcell.encoding.assemble import assemble
from faultcell.encoding.condition_vector import ConditionEncoder, scaled_severity
from faultcell.encoding.decode import CurveSamples
from faultcell.errors import ConditionError

# Each value of a condition counts by its distance over this floor or its spread among the known curves, if that is larger.
LEAST_SPREAD = 0.05
MEAN_POINTS = 128


class CurveLibrary:
    """Known curves, their conditions, and which of them are near a condition.

    Args:
        curves: real curves.
    """

    def __init__(self, curves: Curves) -> None:
        self.curves = severity.complete(curves)
        self._vocabulary = ConditionEncoder(tuple(FAULTS))

    @cached_property
    def conditions(self) -> list[Condition]:
        """The condition of each curve."""
        return conditions_of(self.curves)

    @cached_property
    def samples(self) -> list[CurveSamples]:
        """The loaded part of each curve, its time counted from the first sample under load."""
        columns = [
            self.curves.column(name)
            for name in ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
        ]
        parts = [loaded_part(self.curves, rows) for rows in self.curves.slices()]
        return [
            CurveSamples(second[part] - second[part][:1], *rest)
            for part in parts
            for second, rest in [(columns[0], [column[part] for column in columns[1:]])]
        ]

    @cached_property
    def resampled(self) -> list[CurveSamples]:
        """The loaded part of each curve at `MEAN_POINTS` even fractions of its duration; empty without load."""
        share = np.linspace(0, 1, MEAN_POINTS)
        return [at_fractions(part, share) if part.second.size else part for part in self.samples]

    def of(self, condition: Condition) -> list[int]:
        """Positions of the known curves of the same label and half-cycle that have at least two samples under load.

        Raises:
            ConditionError: there is none.
        """
        same = [i for i, c in enumerate(self.conditions) if (c.fault, c.step) == (condition.fault, condition.step)]
        if not same:
            raise ConditionError(
                f"no known {condition.step} is labelled '{condition.fault}': known are {', '.join(self.curves.labels)}"
            )
        loaded = [i for i in same if self.samples[i].second.size > 1]
        if not loaded:
            raise ConditionError(f"no known {condition.step} labelled '{condition.fault}' has a load: give one that has")
        return loaded

    def nearest(self, condition: Condition, count: int = 1) -> list[int]:
        """Positions of the nearest known curves of the same label and half-cycle, nearest first; fewer if there are fewer."""
        rows = np.array(self.of(condition))
        known, has, spread = self._encoded
        asked, asks = self._vocabulary.encode([condition])
        asked, asks = _with_rests(asked, asks, [condition])
        both = has[rows] * asks
        distance = (((known[rows] - asked) / spread) ** 2 * both).sum(axis=1) / both.sum(axis=1)
        return [int(row) for row in rows[distance.argsort(kind="stable")[:count]]]

    @cached_property
    def _encoded(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        known, has = _with_rests(*self._vocabulary.encode(self.conditions), self.conditions)
        return known, has, np.maximum(known.std(axis=0), LEAST_SPREAD)

    def filled(self, condition: Condition) -> Condition:
        """Limits and nominal capacity of a known curve where the condition has none."""
        donor = self.conditions[self.of(condition)[0]]
        return replace(
            condition,
            limits=condition.limits or donor.limits,
            nominal_capacity_ah=condition.nominal_capacity_ah or donor.nominal_capacity_ah,
        )


def _with_rests(
    values: NDArray[np.float32], has: NDArray[np.float32], conditions: Sequence[Condition]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Condition vectors and flags `(N, F)`, followed by how severe faults at rest are, which no network is told."""
    more = np.column_stack([scaled_severity(one, conditions) for one in resting(FAULTS)])
    known = np.isfinite(more)
    return np.hstack([values, np.where(known, more, 0.0)]), np.hstack([has, known])


class ResamplingSource(ABC):
    """A source that makes each curve from known ones, its condition and its seed.

    Args:
        known: real curves.
    """

    origin: ClassVar[str]

    def __init__(self, known: Curves) -> None:
        self._known = CurveLibrary(known)

    def draw(self, conditions: Sequence[Condition], seeds: Iterable[int]) -> Curves:
        """One curve for each condition and seed, as severe as it comes: that is measured back, not corrected.

        Raises:
            ConditionError: no known curve has the label and half-cycle that a condition asks for.
        """
        seeds = list(seeds)
        drawn = [self._curve(c, np.random.default_rng(seed)) for c, seed in zip(conditions, seeds, strict=True)]
        made = assemble(drawn, [self._known.filled(c) for c in conditions], seeds, origin=self.origin)
        sources = [self._source(c, np.random.default_rng(seed)) for c, seed in zip(conditions, seeds, strict=True)]
        table = pl.DataFrame(sources, schema=dict(zip(SOURCE, (pl.String, pl.Int64), strict=True)), orient="row")
        return Curves(made.timeseries, made.halfcycles.hstack(table))

    def _source(self, condition: Condition, rng: np.random.Generator) -> tuple[str | None, int | None]:
        """Cell and cycle of the known curve that a drawn one is made from, or is nearest to."""
        known = self._known.conditions[self._known.nearest(condition)[0]]
        return known.cell_id, known.cycle_count

    def _nearest(self, condition: Condition) -> CurveSamples:
        return self._known.samples[self._known.nearest(condition)[0]]

    @abstractmethod
    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        """The curve for one condition."""


class Replay(ResamplingSource):
    """Repeats the known curve whose condition is nearest: same label, and all that both conditions know counts alike.

    Seeds change nothing.

    Args:
        known: real curves.
    """

    origin = "replay"

    def nearest(self, conditions: Sequence[Condition]) -> list[int]:
        """Positions of the nearest known curves."""
        return [self._known.nearest(condition)[0] for condition in conditions]

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        return self._nearest(condition)


class MeanCurve(ResamplingSource):
    """Repeats the mean of the known curves of the same label, over the fraction of their loaded part.

    Seeds change nothing.

    Args:
        known: real curves.
    """

    origin = "mean curve"

    def __init__(self, known: Curves) -> None:
        super().__init__(known)
        self._means: dict[tuple[str, str], CurveSamples] = {}

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        key = (condition.fault, condition.step)
        if key not in self._means:
            self._means[key] = mean([self._known.resampled[i] for i in self._known.of(condition)])
        return self._means[key]


def at_fractions(curve: CurveSamples, fraction: Array) -> CurveSamples:
    """A curve at fractions of its duration, linear between its samples.

    Args:
        curve: begins at 0 s.
        fraction: 0 to 1, rising `(n,)`.
    """
    seconds = fraction * curve.second[-1]
    values = (curve.volt, curve.ampere, curve.celsius)
    return CurveSamples(seconds, *(np.asarray(np.interp(seconds, curve.second, value)) for value in values))


def mean(curves: Sequence[CurveSamples], *, weights: Sequence[float] | None = None) -> CurveSamples:
    """The weighted mean of curves given at the same fractions: of time, voltage, current and temperature alike."""
    columns = zip(*((c.second, c.volt, c.ampere, c.celsius) for c in curves), strict=True)
    return CurveSamples(*(np.average(np.stack(column), axis=0, weights=weights) for column in columns))
