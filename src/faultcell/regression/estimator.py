"""Kernel regression of curves on their conditions: `m(c) = sum K(c, c_i) x_i / sum K(c, c_i)`, with a local linear trend.

A network trained on fourteen cells memorises them; a kernel mean over cells tested under similar conditions generalises. So the
mean curve is predicted from a support set, in training from *other* cells only, and a network models the residual: how cells
differ, which is what has to be drawn for an unseen cell.

References:
    Liu et al., Retrieval-Augmented Diffusion Models for Time Series Forecasting, 2024, https://arxiv.org/abs/2410.18712.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.grid import CHANNELS, MODES, STEPS, SURGE, VOLTAGE, prior
from faultcell.regression.fault_effect import KELVIN, FaultEffect, at_first_order, begun_warmer, rise_of
from faultcell.regression.fit_targets import fit_targets, thinned
from faultcell.regression.holdout import nearest_cells, own_cell, with_fallback
from faultcell.regression.kernel import (
    FAR,
    FIRST_SCALE,
    HEAD,
    LASTS,
    LOOKS_AT,
    TAIL,
    Differences,
    Points,
    Queries,
    fit_metric,
    known_sums,
    pairs_apart,
    product,
    weights,
)
from faultcell.regression.local_linear import LocalTrend, trend_features
from faultcell.regression.prediction import TYPICAL_LOG_SECONDS, Prediction
from faultcell.regression.reference_shift import ReferenceShift
from faultcell.regression.support import ERRORS, SupportSet, log_steepness

PAST_WEIGHT = 16.0  # curves for which it counts that the next fault of a cell lasts as its faults have lasted so far
Z_WEIGHT, LARGEST_Z = 4.0, 6.0
EMPTIED = 0.5  # of the cells, at most, that are closed to a curve slopes are learnt from, the nearest first
DURATION_MARGIN = 0.1  # of the logarithm, beyond what was seen
CHUNK = 256  # queries at once


@dataclass(frozen=True, eq=False)
class KernelRegression:
    """A support set, the metric of each kernel, and a local linear trend.

    Attributes:
        known: the curves.
        metric: of each kernel, for charges and discharges `(K, S, F + 1)`.
        trend: of the coded channels inside the limits, `C * head` targets.
        persistence: distance at which half of how a cell differs from others is still there, by mode `(S,)`.
        grid: the anchored grid.
        effect: what faults inside all limits do.
        predicts: whether anything is expected at all; else the known curves serve protocols and bounds alone.
    """

    known: SupportSet
    metric: Array
    trend: LocalTrend
    persistence: Array
    grid: GridConfig
    effect: FaultEffect
    predicts: bool = True

    @classmethod
    def silent(cls, known: SupportSet, grid: GridConfig) -> KernelRegression:
        """A support set that predicts nothing and serves protocols and bounds alone."""
        return replace(cls._unlearnt(known, _first_scales(), grid), predicts=False)

    @classmethod
    def _unlearnt(cls, known: SupportSet, metric: Array, grid: GridConfig) -> KernelRegression:
        trend, effect = LocalTrend.none(len(CHANNELS) * grid.head), FaultEffect.none(grid)
        return cls(known, metric, trend, np.full(len(MODES), 1e6), grid, effect)

    @classmethod
    def of(cls, known: SupportSet, grid: GridConfig) -> KernelRegression:
        """Learn the scales of the kernels."""
        metric = _first_scales()
        for step in range(len(MODES)):
            same = known.take(np.flatnonzero((known.queries.mode == step) & ~known.queries.inside))
            for kernel, (rows, targets) in enumerate(fit_targets(same, grid)):
                if len(rows):
                    part = same.take(rows)
                    metric[kernel, step] = fit_metric(part.queries, targets, cell=part.cell, looks_at=LOOKS_AT[kernel])
        found = cls._unlearnt(known, metric, grid)
        for step in range(len(MODES)):
            found = replace(found, trend=found._with_trend(step))
        return found

    def _with_trend(self, step: int) -> LocalTrend:
        """With those of a half-cycle: from curves to which their own cell, and then the nearest others, too, are closed."""
        whole = self.known.mask[:, VOLTAGE, : self.grid.head].all(axis=1)
        whole &= (self.known.queries.mode == step) & ~self.known.queries.inside
        some, rng = self.known.take(thinned(whole)), np.random.default_rng(0)
        if not len(some):
            return self.trend
        near = own_cell(some, self.known)
        ways_gone, left = [], []
        for closed in (near, self.leave_cells_out(some.queries, near, share=EMPTIED, rng=rng)):
            prediction = self.predict(some.queries, some.log_seconds, excluded=closed)
            residual = np.where(some.mask, some.values - prediction.values, np.nan)[..., : self.grid.head]
            ways_gone.append(prediction.displacement)
            left.append(residual.reshape(len(some), -1))
        return self.trend.learnt(step, np.concatenate(ways_gone), np.concatenate(left), cell=np.tile(some.cell, 2))

    def shift_by(self, earlier: SupportSet, prediction: Prediction, *, apart: Array) -> ReferenceShift:
        """The shift by earlier curves, of which the neighbours let expect that; none where `apart` is NaN."""
        return ReferenceShift.of(earlier, prediction, apart=apart, persistence=self.persistence, grid=self.grid)

    def leave_cells_out(
        self, queries: Queries, excluded: NDArray[np.bool_], *, share: float, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """What is barred, and with it for each query the curves of the nearest cells; see `nearest_cells` `(N, M)`."""
        closed = self._closed(queries, excluded)
        apart = np.empty(closed.shape)
        for start in range(0, len(queries), CHUNK):
            part = np.arange(start, min(start + CHUNK, len(queries)))
            apart[part] = self._points.distances(queries.take(part), self.metric[HEAD, queries.mode[part]])
        further = nearest_cells(np.where(closed, np.inf, apart), self.known.cell, share=share, rng=rng)
        return with_fallback(excluded | further, excluded, queries, self.known.queries)

    def predict(
        self,
        queries: Queries,
        log_seconds: Array | None = None,
        *,
        excluded: NDArray[np.bool_] | None = None,
        cell: NDArray[np.int64] | None = None,
        correction: ReferenceShift | None = None,
    ) -> Prediction:
        """What the known curves let expect.

        Args:
            queries: the conditions.
            log_seconds: seconds of head and tail, where they are known already; else the expected ones are taken `(N, 2)`.
            excluded: known curves that must not be used `(N, M)`; those of another half-cycle never are.
            cell: numbers of the cells that are asked for, if they may be among the known ones `(N,)`.
            correction: by earlier curves of the same cells.
        """
        found = []
        for start in range(0, max(len(queries), 1), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(queries)))
            closed, own = (None if excluded is None else excluded[rows]), (None if cell is None else cell[rows])
            moved = correction.take(rows) if correction else None
            inside = self.predict_head(queries.take(rows), excluded=closed, cell=own, correction=moved)
            with_duration = inside.log_seconds if log_seconds is None else log_seconds[rows]
            found.append(self.predict_tail(queries.take(rows), inside, with_duration, excluded=closed))
        return Prediction.joined(found)

    def predict_head(
        self,
        queries: Queries,
        *,
        excluded: NDArray[np.bool_] | None = None,
        cell: NDArray[np.int64] | None = None,
        correction: ReferenceShift | None = None,
    ) -> Prediction:
        """The first half of `expect`: curves inside their limits, and all durations; nothing of a tail yet."""
        closed, inside = self._closed(queries, excluded), slice(0, self.grid.head)
        values = np.tile(prior(self.grid), (len(queries), 1, 1))
        if not self.predicts:
            return Prediction.empty(values)
        asked, queries = queries, queries.sound
        head, head_distance = self._near(HEAD, queries, closed)
        displacement = self._trend_differences.to(trend_features(queries), head)
        values[..., inside] = self._mean_of(head, HEAD, otherwise=values[..., inside])
        values[..., inside] += self.trend.along(displacement, queries.mode, cell=cell).reshape(values[..., inside].shape)
        head_seconds = self._head_seconds(queries, head)
        if correction:
            values[..., inside] += correction.values
            head_seconds = head_seconds + correction.log_seconds
            head_distance = np.where(np.isfinite(correction.apart), correction.apart, head_distance)
        lasts, lasts_distance = self._near(LASTS, queries, closed)
        log_seconds = np.column_stack([head_seconds, self._tail_seconds(queries, lasts)])
        own = np.zeros(len(queries), dtype=bool)
        if asked.inside.any():
            own, values, log_seconds = self._gone_wrong(asked, values, log_seconds, excluded, correction)
        distance = np.column_stack([head_distance, lasts_distance, np.full(len(queries), FAR)])
        z = np.ones((len(queries), 2, len(ERRORS)))
        self._set_z(z, {HEAD: head, LASTS: lasts})
        return Prediction(values, log_seconds, distance, z, displacement, own)

    def _gone_wrong(
        self,
        asked: Queries,
        values: Array,
        log_seconds: Array,
        excluded: NDArray[np.bool_] | None,
        correction: ReferenceShift | None,
    ) -> tuple[NDArray[np.bool_], Array, Array]:
        """Normal curves as faults inside all limits change them, and which of them are the cells' own, tails included."""
        own = np.zeros(len(asked), dtype=bool)
        if correction and correction.own:
            own = correction.own.there & asked.inside
            values, log_seconds = correction.own.instead_of(values, log_seconds, own)
        rise = rise_of(values, None, self.grid)
        values, log_seconds[:, 0] = at_first_order(values, log_seconds[:, 0], asked, self.grid)
        further, longer, kelvin = self._effect_on(asked, excluded, rise)
        if correction and correction.own:
            values, log_seconds = correction.own.begun(values, log_seconds, own, self.grid)
            told = correction.own.warmer(values, own)
            # A sensor that is off by so much is so from the first sample on: of that nothing is left to learn.
            kelvin = np.where(own & (asked.first_order[:, KELVIN] != 0), 0.0, kelvin)
            kelvin = np.where(np.isfinite(told), told, kelvin)
        values = begun_warmer(values, log_seconds, kelvin, self.grid)
        values[..., : self.grid.head] += further[..., : self.grid.head]
        values[own, :, self.grid.head :] += further[own, :, self.grid.head :]
        return own, values, log_seconds + longer

    def predict_tail(
        self, queries: Queries, inside: Prediction, log_seconds: Array, *, excluded: NDArray[np.bool_] | None = None
    ) -> Prediction:
        """The second half: how curves go on beyond their limits, known inside them, and how long they last `(N, 2)`."""
        if not self.predicts:
            return inside
        asked, queries = queries, queries.sound
        with_entry_slope = queries.with_duration(log_seconds[:, 1]).with_entry_slope(
            log_steepness(inside.values, log_seconds, queries.mode, self.grid)
        )
        tail, tail_distance = self._near(TAIL, with_entry_slope, self._closed(queries, excluded))
        values, distance, z = inside.values.copy(), inside.distance.copy(), inside.z.copy()
        beyond = slice(self.grid.head, self.grid.length)
        expected = self._mean_of(tail, TAIL, otherwise=values[..., beyond])
        if (asked.inside & ~inside.own).any():  # the others have their tail
            expected += self._effect_on(asked, excluded, rise_of(inside.values, None, self.grid))[0][..., beyond]
        values[..., beyond] = np.where(inside.own[:, None, None], values[..., beyond], expected)
        distance[:, TAIL] = tail_distance
        self._set_z(z, {TAIL: tail})
        return replace(inside, values=values, distance=distance, z=z)

    def _closed(self, queries: Queries, excluded: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Of another half-cycle, barred, or changed by a fault inside their limits `(N, M)`."""
        other = (queries.mode[:, None] != self.known.queries.mode[None]) | self.known.queries.inside[None]
        return np.asarray(other if excluded is None else other | excluded)

    def _effect_on(self, queries: Queries, excluded: NDArray[np.bool_] | None, rise: Array) -> tuple[Array, Array, Array]:
        """What their faults inside all limits do beyond the first order; see `FaultEffect.expected`."""
        barred = np.zeros((len(queries), len(self.known)), dtype=bool) if excluded is None else excluded
        squared = self._points.distances(queries.sound, self.metric[HEAD, queries.mode])
        return self.effect.expected(queries, self.known.queries, squared, barred, rise, self.grid)

    def _near(self, kernel: int, queries: Queries, closed: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Weights of the known curves by a kernel `(N, M)`, and how far they reach `(N,)`."""
        return weights(self._points.distances(queries, self.metric[kernel, queries.mode]), closed)

    def _set_z(self, z: Array, weight: dict[int, Array]) -> None:
        """How far the neighbours by these kernels strayed, in `Prediction.strays` `(N, 2, E)`."""
        for e, kernel in enumerate(ERRORS.values()):
            if kernel in weight:
                z[..., e] = np.sqrt(1 + _shrunk(weight[kernel], self._excess[..., e], further=Z_WEIGHT))

    @cached_property
    def _points(self) -> Points:
        return Points(self.known.queries)

    @cached_property
    def _trend_differences(self) -> Differences:
        return Differences(trend_features(self.known.queries))

    @cached_property
    def _amounts(self) -> Differences:
        return Differences(_amounts(self.known.queries))

    @cached_property
    def _excess(self) -> Array:
        """How much further than curves on the whole each known one strayed, as a square `(M, 2, E)`."""
        return np.asarray(np.minimum(self.known.z, LARGEST_Z) - 1)

    @cached_property
    def _parts(self) -> dict[int, tuple[Array, Array, NDArray[np.int64]]]:
        """For heads and tails: coded channels, zero where masked `(M, C l)`; the mask's distinct columns; which is whose."""
        found = {}
        for kernel, part in {HEAD: slice(0, self.grid.head), TAIL: slice(self.grid.head, self.grid.length)}.items():
            mask = self.known.mask[..., part].reshape(len(self.known), -1)
            values = self.known.values[..., part].reshape(mask.shape) * mask
            columns, which = np.unique(mask, axis=1, return_inverse=True)
            found[kernel] = (values.astype(np.float64), columns.astype(np.float64), which)
        return found

    def _mean_of(self, weight: Array, kernel: int, *, otherwise: Array) -> Array:
        """Weighted mean of coded channels of heads or tails `(N, C, l)`, for weights `(N, M)`."""
        values, columns, which = self._parts[kernel]
        total = product(weight, columns)[:, which].reshape(otherwise.shape)
        return _divided(total, product(weight, values).reshape(otherwise.shape), otherwise=otherwise)

    def _head_seconds(self, queries: Queries, weight: Array) -> Array:
        """Logarithms of the seconds of the head `(N,)`: as the neighbours', by the charge balance.

        In proportion to health and inversely to the C-rate, where both sides know them.
        """
        health, rate = self._amounts.to(_amounts(queries), weight).T * (queries.mode != SURGE)  # which moves next to no charge
        # Every known curve has a head.
        prediction = product(weight, self.known.log_seconds[:, 0]) + health - rate
        return np.where(weight.any(axis=1), prediction, TYPICAL_LOG_SECONDS[0])

    def _tail_seconds(self, queries: Queries, weight: Array) -> Array:
        """Logarithms of the seconds of the tail `(N,)`: as this cell's so far, where that is known, else as the neighbours'."""
        tail, known_log_seconds = self.known.log_seconds[:, 1], queries.known_log_seconds
        plain = _divided(*known_sums(weight, tail), otherwise=TYPICAL_LOG_SECONDS[1])
        further = np.where(np.isfinite(self.known.queries.known_log_seconds), np.nan, tail - self.known.queries.past)
        beyond = _shrunk(weight, further, further=PAST_WEIGHT)
        told = np.isfinite(queries.past) & (queries.mode != SURGE)  # whose tail goes on after it has fallen back
        return np.where(np.isfinite(known_log_seconds), known_log_seconds, np.where(told, queries.past + beyond, plain))

    def bounded(self, queries: Queries, log_seconds: Array) -> Array:
        """Logarithms of the seconds of head and tail, no further than known curves of their kind had them `(N, 2)`.

        Those of a head are told by the charge it moves, where that can be known.
        """
        found = log_seconds.copy()
        moved, own = queries.full_log_hours, self.known.queries.full_log_hours
        for mode, label in {*zip(queries.mode.tolist(), queries.label.tolist(), strict=True)}:
            rows = (queries.mode == mode) & (queries.label == label)
            heads = self.known.log_seconds[self.known.queries.mode == mode, 0] - own[self.known.queries.mode == mode]
            like = (self.known.queries.mode == mode) & (self.known.queries.label == label)
            if queries.inside[rows].any():  # what a normal curve can last, such a fault can, too
                like |= (self.known.queries.mode == mode) & (self.known.queries.label < 0)
            tails = self.known.log_seconds[like, 1]
            for column, seen, offset in ((0, heads, moved[rows]), (1, tails, 0.0)):
                seen = seen[np.isfinite(seen)]
                if seen.size:
                    least, most = seen.min() - DURATION_MARGIN + offset, seen.max() + DURATION_MARGIN + offset
                    found[rows, column] = np.clip(found[rows, column], least, most)
        known_log_seconds = np.isfinite(queries.known_log_seconds)
        found[known_log_seconds, 1] = log_seconds[known_log_seconds, 1]  # it was asked for
        return found

    def modes(self, conditions: Sequence[Condition], faults: Sequence[str]) -> NDArray[np.int64]:
        """How curves of these conditions lie on the grid, as most known ones of their fault do `(N,)`."""
        label, mode = self.known.queries.label, self.known.queries.mode
        surges = {i for i in range(len(faults)) if (mode[label == i] == SURGE).sum() * 2 > (label == i).sum()}
        found = [SURGE if c.fault in faults and faults.index(c.fault) in surges else STEPS.index(c.step) for c in conditions]
        return np.array(found, dtype=np.int64)

    def apart(self, one: Queries, other: Queries) -> Array:
        """Distance of pairs of conditions by the first kernel `(N,)`."""
        return pairs_apart(one, other, self.known.queries, self.metric[HEAD])


def _first_scales() -> Array:
    """Scales of the kernels before any are learnt `(K, S, F + 1)`."""
    return np.stack([np.where(looks_at, FIRST_SCALE, 0.0) for looks_at in LOOKS_AT])[:, None].repeat(len(MODES), axis=1)


def _amounts(queries: Queries) -> Array:
    """What the charge balance is between: logarithms of health and of the mean C-rate `(N, 2)`."""
    return np.column_stack([queries.log_health, queries.log_rate])


def _divided(total: Array, summed: Array, *, otherwise: Array | float) -> Array:
    """A weighted mean from the sums of weights and of values by them; something else where nothing has a weight."""
    return np.where(total > 1e-9, summed / np.maximum(total, 1e-9), otherwise)


def _shrunk(weight: Array, values: Array, *, further: float) -> Array:
    """Weighted mean of `values` `(M, ...)` that are not NaN, drawn towards zero as if further curves showed none `(N, ...)`."""
    total, summed = known_sums(weight, values)
    # How many curves alike have the same say.
    count = np.square(total) / np.maximum(product(np.square(weight), np.isfinite(values)), 1e-300)
    return np.where(total > 0, summed / np.maximum(total, 1e-300) * count / (count + further), 0.0)
