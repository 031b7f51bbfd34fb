"""The cheap sources every generator must beat: classic augmentations of the known curves, and white noise.

None of them knows how to make a curve as severe as it is asked for: the severity measured back tells how severe it came out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator

from faultcell.baselines.replay import MEAN_POINTS, CurveLibrary, MeanCurve, Replay, ResamplingSource, at_fractions, mean
from faultcell.curves.against_normal import own_normals
from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves, Source
from faultcell.curves.faults import stays_inside
from faultcell.curves.schema import KEYS, Array
from faultcell.encoding.decode import CurveSamples
from faultcell.errors import ConditionError

JITTER_SHARE = 0.03  # of the spread of a curve's voltage: 6 to 13 mV on the embedded faults
SCALING_STD = 0.05
WARP_PIECES, WARP_STD = 5, 0.2
SMOTE_NEIGHBOURS = 5
ROUNDING = 1e-6  # V, A, degC: a smaller spread is an artefact of resampling and must not count as much as a real one
BOOTSTRAP_NEIGHBOURS = 3


class Jitter(ResamplingSource):
    """The nearest known curve with white Gaussian noise on its voltage, `JITTER_SHARE` of its standard deviation.

    Um et al., "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural
    Networks", 2017, https://arxiv.org/abs/1706.00527.

    Args:
        known: real curves.
    """

    origin = "jitter"

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        curve = self._nearest(condition)
        return replace(curve, volt=curve.volt + rng.normal(0, JITTER_SHARE * curve.volt.std(), curve.volt.size))


class Scaling(ResamplingSource):
    """The nearest known curve, its voltage stretched about its mean by one random factor.

    The source scales signals that are centred at zero. About 0 V, a twentieth would shift a whole curve by 0.2 V.

    Um et al. 2017, as for `Jitter`.

    Args:
        known: real curves.
    """

    origin = "scaling"

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        curve = self._nearest(condition)
        centre = curve.volt.mean()
        return replace(curve, volt=centre + rng.normal(1, SCALING_STD) * (curve.volt - centre))


class TimeWarp(ResamplingSource):
    """The nearest known curve with its time stretched here and squeezed there, smoothly; the samples keep their values.

    Each of `WARP_PIECES` equal parts takes a random factor times as long, 1 on average; a monotone cubic (PCHIP) joins them.
    Unlike in the source, where every window has the same length, the duration changes too, by about 9 %.

    Um et al. 2017, as for `Jitter`.

    Args:
        known: real curves.
    """

    origin = "time warp"

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        curve = self._nearest(condition)
        factors = rng.lognormal(-(WARP_STD**2) / 2, WARP_STD, WARP_PIECES)
        knots = np.linspace(0, curve.second[-1], WARP_PIECES + 1)
        warped = np.concatenate([[0.0], np.cumsum(factors * np.diff(knots))])
        return replace(curve, second=PchipInterpolator(knots, warped)(curve.second))


class Interpolate(ResamplingSource):
    """A curve between the two nearest known ones, over the fraction of their loaded part; its duration lies between too.

    The weight is uniform in [0, 1] and comes from the seed: by distance there would be one curve a condition, a smoother
    replay but no augmentation. One known curve is repeated.

    DeVries and Taylor, "Dataset Augmentation in Feature Space", 2017, https://arxiv.org/abs/1702.05538, in the space of curves.

    Args:
        known: real curves.
    """

    origin = "interpolate"

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        first, *others = (self._known.samples[i] for i in self._known.nearest(condition, 2))
        weight = rng.uniform()
        share = first.second / first.second[-1]
        return mean([first, at_fractions(others[0], share)], weights=[1 - weight, weight]) if others else first


class Smote(ResamplingSource):
    """A curve on the line between a random known curve and one of its `SMOTE_NEIGHBOURS` nearest in shape.

    Of a condition only label and half-cycle count. One known curve is repeated.

    Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", 2002, https://arxiv.org/abs/1106.1813, in the form of
    imbalanced-learn.

    Args:
        known: real curves.
    """

    origin = "smote"

    def __init__(self, known: Curves) -> None:
        super().__init__(known)
        self._vectors: dict[tuple[str, str], _Vectors] = {}

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        key = (condition.fault, condition.step)
        if key not in self._vectors:
            self._vectors[key] = _Vectors([self._known.resampled[i] for i in self._known.of(condition)])
        return self._vectors[key].draw(int(rng.integers(2**32)))


class _Vectors:
    """Curves as rows in which voltage, current, temperature, its gaps and the log of the duration count alike.

    Args:
        curves: at the same fractions.
    """

    def __init__(self, curves: list[CurveSamples]) -> None:
        volt, ampere, celsius = (np.stack([getattr(c, name) for c in curves]) for name in ("volt", "ampere", "celsius"))
        gaps = np.isnan(celsius)
        filled = np.where(gaps, np.mean(celsius[~gaps]) if not gaps.all() else 0.0, celsius)
        blocks = [volt, ampere, filled, gaps.astype(np.float64), np.log([c.second[-1:] for c in curves])]
        self._scale = np.concatenate([np.full(b.shape[1], _spread(b) * np.sqrt(b.shape[1])) for b in blocks])
        self._ends = np.cumsum([b.shape[1] for b in blocks])[:-1]
        self.rows: Array = np.hstack(blocks) / self._scale

    def draw(self, seed: int) -> CurveSamples:
        """The curve of one new row."""
        volt, ampere, celsius, gaps, log_seconds = np.split(self._new_row(seed) * self._scale, self._ends)
        return CurveSamples(
            np.linspace(0, float(np.exp(log_seconds[0])), MEAN_POINTS),
            volt,
            ampere,
            np.where(gaps > 0, np.nan, celsius),
        )

    def _new_row(self, seed: int) -> Array:
        """One more row `(F,)`: a class of zeros that has one row more makes SMOTE add one to the known."""
        # Loaded here alone: scikit-learn takes a second or two to load, and the other sources do without it.
        from imblearn.over_sampling import SMOTE

        count = len(self.rows)
        if count == 1:
            return np.asarray(self.rows[0])
        table = np.vstack([self.rows, np.zeros((count + 1, self.rows.shape[1]))])
        smote = SMOTE(random_state=seed, k_neighbors=min(SMOTE_NEIGHBOURS, count - 1))
        return np.asarray(smote.fit_resample(table, np.repeat([1, 0], [count, count + 1]))[0][-1])


def _spread(block: Array) -> float:
    """Standard deviation about the mean curve, no less than `ROUNDING`."""
    return max(float(np.sqrt(block.var(axis=0).mean())), ROUNDING)


class Bootstrap(ResamplingSource):
    """What the condition lets expect, plus what a random known curve has beyond what its own condition lets expect.

    The expectation is the mean of the `BOOTSTRAP_NEIGHBOURS` nearest known curves. About one mean for all curves the same sum
    would give back the known curves themselves. Voltage and temperature take the difference of the random curve, the duration
    its ratio; the current is the expected one, since a difference could turn it round.

    Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979, https://doi.org/10.1214/aos/1176344552, for a regression.

    Args:
        known: real curves.
    """

    origin = "bootstrap"

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        expected = self._expected(condition)
        other = int(rng.choice(self._known.of(condition)))
        curve, fitted = self._known.resampled[other], self._expected(self._known.conditions[other])
        return CurveSamples(
            expected.second * (curve.second[-1] / fitted.second[-1]),
            expected.volt + (curve.volt - fitted.volt),
            expected.ampere,
            expected.celsius + (curve.celsius - fitted.celsius),
        )

    def _expected(self, condition: Condition) -> CurveSamples:
        return mean([self._known.resampled[i] for i in self._known.nearest(condition, BOOTSTRAP_NEIGHBOURS)])


class Splice(ResamplingSource):
    """A normal curve up to its limit, and from there the end of the nearest known fault: a fault drawn with scissors.

    The normal curve is the last of the condition's cell before its cycle; any, where there is none. What is beyond the limit is
    the known fault's own, at its own pace; the temperature goes on from where the normal curve stood. Of a fault inside all
    limits, what the known one has beyond its own cell's normal curve is laid on the normal curve.

    Args:
        known: real faults.
        normal: real normal curves.
    """

    origin = "splice"

    def __init__(self, known: Curves, normal: Curves) -> None:
        super().__init__(known)
        self._normal = CurveLibrary(normal)

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        normal, fault = self._normal.samples[self._before(condition, rng)], self._nearest(condition)
        if stays_inside(condition.fault):
            return self._laid_on(normal, condition)
        filled = self._known.filled(condition)
        assert filled.limits is not None
        sign, limit = (1.0, filled.limits.upper) if condition.step == "charge" else (-1.0, filled.limits.lower)
        inside, beyond = (_until(curve.volt, sign=sign, limit=limit) for curve in (normal, fault))
        head, tail = (
            CurveSamples(*(column[part] for column in (curve.second, curve.volt, curve.ampere, curve.celsius)))
            for curve, part in ((normal, slice(0, max(inside, 2))), (fault, slice(min(beyond, fault.volt.size - 1), None)))
        )
        step = float(np.median(np.diff(tail.second))) if tail.second.size > 1 else 1.0
        return CurveSamples(
            np.concatenate([head.second, head.second[-1] + max(step, 1e-3) + tail.second - tail.second[0]]),
            np.concatenate([head.volt, tail.volt]),
            np.concatenate([head.ampere, tail.ampere]),
            np.concatenate([head.celsius, head.celsius[-1] + tail.celsius - tail.celsius[0]]),
        )

    def _laid_on(self, normal: CurveSamples, condition: Condition) -> CurveSamples:
        """A normal curve with what the nearest known fault has beyond its own cell's normal one, at equal shares of time."""
        row = self._known.nearest(condition)[0]
        fault, base, place = self._known.resampled[row], at_fractions(normal, np.linspace(0, 1, MEAN_POINTS)), self._own[row]
        own = fault if place is None else self._normal.resampled[place]  # without one nothing is known to be laid on
        return CurveSamples(
            base.second * (fault.second[-1] / own.second[-1]),
            base.volt + (fault.volt - own.volt),
            base.ampere + (fault.ampere - own.ampere),
            base.celsius + (fault.celsius - own.celsius),
        )

    @cached_property
    def _own(self) -> list[int | None]:
        """Position of the normal curve of each known fault's cell, None where there is none."""
        place = {key: i for i, key in enumerate(self._normal.curves.halfcycles.select(KEYS).rows())}
        keys = own_normals(self._known.curves, self._normal.curves)
        return [None if key is None else place[key] for key in keys]

    def _source(self, condition: Condition, rng: np.random.Generator) -> tuple[str | None, int | None]:
        normal = self._normal.conditions[self._before(condition, rng)]
        return normal.cell_id, normal.cycle_count

    def _before(self, condition: Condition, rng: np.random.Generator) -> int:
        """The last normal curve of the condition's cell before its cycle, else any of its half-cycle."""
        cycle = np.inf if condition.cycle_count is None else condition.cycle_count
        cells = self._rows.get(condition.step, {})
        if not cells:
            raise ConditionError(f"no normal {condition.step} is known to splice a fault on")
        earlier = [row for row in cells.get(condition.cell_id, ()) if row[0] < cycle]
        own = self._any[condition.step]
        return max(earlier)[1] if earlier else own[int(rng.integers(len(own)))]

    @cached_property
    def _any(self) -> dict[str, list[int]]:
        """Positions of the normal curves that have samples under load, by half-cycle."""
        return {step: sorted(i for rows in cells.values() for _, i in rows) for step, cells in self._rows.items()}

    @cached_property
    def _rows(self) -> dict[str, dict[str | None, list[tuple[int, int]]]]:
        """Cycles and positions of the same, by half-cycle and cell."""
        found: dict[str, dict[str | None, list[tuple[int, int]]]] = {}
        for i, (c, curve) in enumerate(zip(self._normal.conditions, self._normal.samples, strict=True)):
            if curve.second.size > 1:
                found.setdefault(c.step, {}).setdefault(c.cell_id, []).append((c.cycle_count or 0, i))
        return found


def _until(volt: Array, *, sign: float, limit: float) -> int:
    """How many samples come before the first that is beyond the limit; all of them where none is."""
    beyond = np.flatnonzero(sign * (volt - limit) > 0)
    return int(beyond[0]) if beyond.size else volt.size


class Noise(ResamplingSource):
    """White noise, uniform over the voltages of all known curves, at the times of the nearest.

    It is the sanity row: a score of shape that does not place it last measures nothing.

    Args:
        known: real curves.
    """

    origin = "noise"

    def _curve(self, condition: Condition, rng: np.random.Generator) -> CurveSamples:
        curve, (low, high) = self._nearest(condition), self._range
        return replace(curve, volt=rng.uniform(low, high, curve.volt.size))

    @cached_property
    def _range(self) -> tuple[float, float]:
        volt = np.concatenate([curve.volt for curve in self._known.samples])
        return float(volt.min()), float(volt.max())


CHEAP: dict[str, Callable[[Curves], Source]] = {
    "replay": Replay,
    "jitter": Jitter,
    "scaling": Scaling,
    "time_warp": TimeWarp,
    "interpolate": Interpolate,
    "smote": Smote,
    "bootstrap": Bootstrap,
    "mean_curve": MeanCurve,
}
# Controls that need normal curves beside the known faults.
FROM_NORMAL: dict[str, Callable[[Curves, Curves], Source]] = {"splice": Splice}
CONTROLS = (*CHEAP, *FROM_NORMAL)
