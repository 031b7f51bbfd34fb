"""The cheap sources every generator must beat: the nearest known curve, and the mean of the known curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from faultcell import severity
from faultcell.assemble import Samples, assemble
from faultcell.conditioning import Vocabulary
from faultcell.conditions import conditions_of
from faultcell.curves import FAULTS, Array, Condition, Curves, loaded_part
from faultcell.errors import ConditionError

# Each value of a condition counts by its distance over this floor or its spread among the known curves, if that is larger.
LEAST_SPREAD = 0.05
MEAN_POINTS = 128


class _Known:
    """Known curves and their conditions, by label."""

    def __init__(self, curves: Curves) -> None:
        self.curves = severity.complete(curves)

    @cached_property
    def conditions(self) -> list[Condition]:
        return conditions_of(self.curves)

    @cached_property
    def samples(self) -> list[Samples]:
        columns = [
            self.curves.column(name)
            for name in ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
        ]
        parts = [loaded_part(self.curves, rows) for rows in self.curves.slices()]
        return [
            Samples(second[part] - second[part][:1], *rest)
            for part in parts
            for second, rest in [(columns[0], [column[part] for column in columns[1:]])]
        ]

    def of(self, condition: Condition) -> list[int]:
        """Positions of the known curves of the same label and half-cycle."""
        same = [i for i, c in enumerate(self.conditions) if (c.fault, c.step) == (condition.fault, condition.step)]
        if not same:
            raise ConditionError(
                f"no known {condition.step} is labelled '{condition.fault}': known are {', '.join(self.curves.labels)}"
            )
        return same

    def filled(self, condition: Condition) -> Condition:
        """Limits and nominal capacity of a known curve where the condition has none."""
        donor = self.conditions[self.of(condition)[0]]
        return replace(
            condition,
            limits=condition.limits or donor.limits,
            nominal_capacity_ah=condition.nominal_capacity_ah or donor.nominal_capacity_ah,
        )


class Replay:
    """Repeats the known curve whose condition is nearest: same label, and all that both conditions know counts alike.

    Args:
        known: real curves.
    """

    def __init__(self, known: Curves) -> None:
        self._known = _Known(known)

    def draw(self, conditions: Sequence[Condition], seeds: Iterable[int]) -> Curves:
        """The nearest known curve for each condition; seeds change nothing."""
        nearest = self.nearest(conditions)
        drawn = [self._known.samples[i] for i in nearest]
        return assemble(drawn, [self._known.filled(c) for c in conditions], list(seeds), origin="replay")

    def nearest(self, conditions: Sequence[Condition]) -> list[int]:
        """Positions of the nearest known curves."""
        vocabulary = Vocabulary(tuple(FAULTS))
        known, has = vocabulary.encode(self._known.conditions)
        spread = np.maximum(known.std(axis=0), LEAST_SPREAD)
        asked, asks = vocabulary.encode(conditions)
        found = []
        for i, condition in enumerate(conditions):
            rows = np.array(self._known.of(condition))
            both = has[rows] * asks[i]
            distance = (((known[rows] - asked[i]) / spread) ** 2 * both).sum(axis=1) / both.sum(axis=1)
            found.append(int(rows[distance.argmin()]))
        return found


class MeanCurve:
    """Repeats the mean of the known curves of the same label, over the fraction of their loaded part.

    Args:
        known: real curves.
    """

    def __init__(self, known: Curves) -> None:
        self._known = _Known(known)
        self._means: dict[tuple[str, str], Samples] = {}

    def draw(self, conditions: Sequence[Condition], seeds: Iterable[int]) -> Curves:
        """The mean curve for each condition; seeds change nothing."""
        drawn = [self._mean(condition) for condition in conditions]
        return assemble(drawn, [self._known.filled(c) for c in conditions], list(seeds), origin="mean curve")

    def _mean(self, condition: Condition) -> Samples:
        key = (condition.fault, condition.step)
        if key not in self._means:
            parts = [self._known.samples[i] for i in self._known.of(condition)]
            seconds = float(np.mean([part.second[-1] for part in parts]))
            volt, ampere, celsius = (
                np.mean([_resampled(part, name) for part in parts], axis=0) for name in ("volt", "ampere", "celsius")
            )
            self._means[key] = Samples(np.linspace(0, seconds, MEAN_POINTS), volt, ampere, celsius)
        return self._means[key]


def _resampled(samples: Samples, name: str) -> Array:
    seconds = np.linspace(0, samples.second[-1], MEAN_POINTS)
    return np.asarray(np.interp(seconds, samples.second, getattr(samples, name)))
