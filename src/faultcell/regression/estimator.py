"""What known curves let expect of a condition: the mean of the curves whose conditions are nearest.

A network that has seen fourteen cells recalls them; a mean over cells that ran under nearly the same conditions carries over
to the next one. So a curve is first expected from known curves, in training from those of *other* cells alone, and a model
learns only what is left: how cells differ, which is just what it shall draw for a cell that nobody has seen.

References:
    Liu et al., Retrieval-Augmented Diffusion Models for Time Series Forecasting, 2024, https://arxiv.org/abs/2410.18712.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.grid import CHANNELS, MODES, SHARES, STEPS, SURGE, VOLTAGE, prior, shares, smoothed
from faultcell.regression.holdout import nearest_cells, opened, own
from faultcell.regression.kernel import (
    FAR,
    FIRST_SCALE,
    FIT_CURVES,
    HEAD,
    LASTS,
    LOOKS_AT,
    TAIL,
    Differences,
    Points,
    Questions,
    fit_scales,
    known_sums,
    pairs_apart,
    product,
    weights,
)
from faultcell.regression.local_linear import Slopes, drive
from faultcell.regression.prediction import TYPICAL_LOG_SECONDS, Expected
from faultcell.regression.support import ERRORS, Known, log_steepness

COMPONENTS = 8  # of the voltages, in which distances are learnt
PAST_WEIGHT = 16.0  # curves for which it counts that the next fault of a cell lasts as its faults have lasted so far
STRAY_WEIGHT, LARGEST_STRAY = 4.0, 6.0
EMPTIED = 0.5  # of the cells, at most, that are closed to a curve slopes are learnt from, the nearest first
DURATION_MARGIN = 0.1  # of the logarithm, beyond what was seen
CHUNK = 256  # questions at once


@dataclass(frozen=True, eq=False)
class Correction:
    """How an earlier curve of the same cell differs from what was expected of it, inside its limits.

    Attributes:
        values: of the coded channels, zero where there is none `(N, C, head)`.
        log_seconds: of the logarithm of the seconds of the head `(N,)`.
        apart: distance of its condition, NaN where there is no earlier curve `(N,)`.
    """

    values: Array
    log_seconds: Array
    apart: Array

    @classmethod
    def of(cls, earlier: Known, expected: Expected, *, apart: Array, neighbours: Neighbours) -> Correction:
        """From the earlier curves and what the neighbours let expect of them; none where `apart` is NaN.

        The further the condition of the earlier curve, the less of its difference is carried over.
        """
        known, inside = np.isfinite(apart), np.s_[..., : neighbours.grid.head]
        mask = earlier.mask[inside] & known[:, None, None]
        kept = persistent(np.nan_to_num(apart), neighbours.persistence[earlier.questions.mode])
        values = smoothed(np.where(mask, earlier.values[inside] - expected.values[inside], 0.0), neighbours.grid)
        log_seconds = np.where(known, earlier.log_seconds[:, 0] - expected.log_seconds[:, 0], 0.0)
        return cls(kept[:, None, None] * values, kept * log_seconds, apart)

    def take(self, rows: NDArray[np.int64]) -> Correction:
        """These rows."""
        return Correction(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Known curves, and the kernels by which they are near.

    Attributes:
        known: the curves.
        scales: of each kernel, for charges and discharges `(K, S, F + 1)`.
        slopes: of the coded channels inside the limits, `C * head` targets.
        persistence: distance at which half of how a cell differs from others is still there, by mode `(S,)`.
        grid: the anchored grid.
        expects: whether anything is expected at all; else the known curves serve protocols and bounds alone.
    """

    known: Known
    scales: Array
    slopes: Slopes
    persistence: Array
    grid: GridConfig
    expects: bool = True

    @classmethod
    def silent(cls, known: Known, grid: GridConfig) -> Neighbours:
        """Known curves from which nothing is expected."""
        return cls(
            known, _first_scales(), Slopes.none(len(CHANNELS) * grid.head), np.full(len(MODES), 1e6), grid, expects=False
        )

    @classmethod
    def of(cls, known: Known, grid: GridConfig) -> Neighbours:
        """Learn the scales of the kernels."""
        scales = _first_scales()
        for step in range(len(MODES)):
            same = known.take(np.flatnonzero(known.questions.mode == step))
            for kernel, (rows, targets) in enumerate(_targets(same, grid)):
                if len(rows):
                    part = same.take(rows)
                    scales[kernel, step] = fit_scales(part.questions, targets, cell=part.cell, looks_at=LOOKS_AT[kernel])
        found = cls(known, scales, Slopes.none(len(CHANNELS) * grid.head), np.full(len(MODES), 1e6), grid)
        for step in range(len(MODES)):
            found = replace(found, slopes=found._slopes_with(step))
        return found

    def _slopes_with(self, step: int) -> Slopes:
        """With those of a half-cycle: from curves to which their own cell, and then the nearest others, too, are closed."""
        whole = self.known.mask[:, VOLTAGE, : self.grid.head].all(axis=1)
        some, rng = self.known.take(_even((self.known.questions.mode == step) & whole)), np.random.default_rng(0)
        if not len(some):
            return self.slopes
        near = own(some, self.known)
        ways_gone, left = [], []
        for closed in (near, self.emptied(some.questions, near, share=EMPTIED, rng=rng)):
            expected = self.expect(some.questions, some.log_seconds, barred=closed)
            rest = np.where(some.mask, some.values - expected.values, np.nan)[..., : self.grid.head]
            ways_gone.append(expected.way)
            left.append(rest.reshape(len(some), -1))
        return self.slopes.learnt(step, np.concatenate(ways_gone), np.concatenate(left), cell=np.tile(some.cell, 2))

    def emptied(
        self, asked: Questions, barred: NDArray[np.bool_], *, share: float, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """What is barred, and with it for each question the curves of the nearest cells; see `nearest_cells` `(N, M)`."""
        closed = barred | (asked.mode[:, None] != self.known.questions.mode[None])
        apart = np.empty(closed.shape)
        for start in range(0, len(asked), CHUNK):
            part = np.arange(start, min(start + CHUNK, len(asked)))
            apart[part] = self._points.distances(asked.take(part), self.scales[HEAD, asked.mode[part]])
        further = nearest_cells(np.where(closed, np.inf, apart), self.known.cell, share=share, rng=rng)
        return opened(barred | further, barred, asked, self.known.questions)

    def expect(
        self,
        asked: Questions,
        log_seconds: Array | None = None,
        *,
        barred: NDArray[np.bool_] | None = None,
        cell: NDArray[np.int64] | None = None,
        correction: Correction | None = None,
    ) -> Expected:
        """What the known curves let expect.

        Args:
            asked: the conditions.
            log_seconds: seconds of head and tail, where they are known already; else the expected ones are taken `(N, 2)`.
            barred: known curves that must not be used `(N, M)`; those of another half-cycle never are.
            cell: numbers of the cells that are asked for, if they may be among the known ones `(N,)`.
            correction: by earlier curves of the same cells.
        """
        found = []
        for start in range(0, max(len(asked), 1), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(asked)))
            closed, own = (None if barred is None else barred[rows]), (None if cell is None else cell[rows])
            moved = correction.take(rows) if correction else None
            inside = self.expect_inside(asked.take(rows), barred=closed, cell=own, correction=moved)
            lasting = inside.log_seconds if log_seconds is None else log_seconds[rows]
            found.append(self.expect_beyond(asked.take(rows), inside, lasting, barred=closed))
        return Expected.joined(found)

    def expect_inside(
        self,
        asked: Questions,
        *,
        barred: NDArray[np.bool_] | None = None,
        cell: NDArray[np.int64] | None = None,
        correction: Correction | None = None,
    ) -> Expected:
        """The first half of `expect`: curves inside their limits, and all durations; nothing of a tail yet."""
        closed, inside = self._closed(asked, barred), slice(0, self.grid.head)
        values = np.tile(prior(self.grid), (len(asked), 1, 1))
        if not self.expects:
            return Expected.nothing(values)
        head, head_reach = self._near(HEAD, asked, closed)
        way = self._ways.to(drive(asked), head)
        values[..., inside] = self._mean_of(head, HEAD, otherwise=values[..., inside])
        values[..., inside] += self.slopes.along(way, asked.mode, cell=cell).reshape(values[..., inside].shape)
        head_seconds = self._head_seconds(asked, head)
        if correction:
            values[..., inside] += correction.values
            head_seconds = head_seconds + correction.log_seconds
            head_reach = np.where(np.isfinite(correction.apart), correction.apart, head_reach)
        lasts, lasts_reach = self._near(LASTS, asked, closed)
        log_seconds = np.column_stack([head_seconds, self._tail_seconds(asked, lasts)])
        reach = np.column_stack([head_reach, lasts_reach, np.full(len(asked), FAR)])
        strays = np.ones((len(asked), 2, len(ERRORS)))
        self._set_strays(strays, {HEAD: head, LASTS: lasts})
        return Expected(values, log_seconds, reach, strays, way)

    def expect_beyond(
        self, asked: Questions, inside: Expected, log_seconds: Array, *, barred: NDArray[np.bool_] | None = None
    ) -> Expected:
        """The second half: how curves go on beyond their limits, known inside them, and how long they last `(N, 2)`."""
        if not self.expects:
            return inside
        entering = asked.lasting(log_seconds[:, 1]).entering(log_steepness(inside.values, log_seconds, self.grid))
        tail, tail_reach = self._near(TAIL, entering, self._closed(asked, barred))
        values, reach, strays = inside.values.copy(), inside.reach.copy(), inside.strays.copy()
        beyond = slice(self.grid.head, self.grid.length)
        values[..., beyond] = self._mean_of(tail, TAIL, otherwise=values[..., beyond])
        reach[:, TAIL] = tail_reach
        self._set_strays(strays, {TAIL: tail})
        return replace(inside, values=values, reach=reach, strays=strays)

    def _closed(self, asked: Questions, barred: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        other = asked.mode[:, None] != self.known.questions.mode[None]
        return np.asarray(other if barred is None else other | barred)

    def _near(self, kernel: int, asked: Questions, closed: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Weights of the known curves by a kernel `(N, M)`, and how far they reach `(N,)`."""
        return weights(self._points.distances(asked, self.scales[kernel, asked.mode]), closed)

    def _set_strays(self, strays: Array, weight: dict[int, Array]) -> None:
        """How far the neighbours by these kernels strayed, in `Expected.strays` `(N, 2, E)`."""
        for e, kernel in enumerate(ERRORS.values()):
            if kernel in weight:
                strays[..., e] = np.sqrt(1 + _shrunk(weight[kernel], self._excess[..., e], further=STRAY_WEIGHT))

    @cached_property
    def _points(self) -> Points:
        return Points(self.known.questions)

    @cached_property
    def _ways(self) -> Differences:
        return Differences(drive(self.known.questions))

    @cached_property
    def _amounts(self) -> Differences:
        return Differences(_amounts(self.known.questions))

    @cached_property
    def _excess(self) -> Array:
        """How much further than curves on the whole each known one strayed, as a square `(M, 2, E)`."""
        return np.asarray(np.minimum(self.known.strays, LARGEST_STRAY) - 1)

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

    def _head_seconds(self, asked: Questions, weight: Array) -> Array:
        """Logarithms of the seconds of the head `(N,)`: as the neighbours', by the charge balance.

        In proportion to health and inversely to the C-rate, where both sides know them.
        """
        health, rate = self._amounts.to(_amounts(asked), weight).T * (asked.mode != SURGE)  # which moves next to no charge
        # Every known curve has a head.
        expected = product(weight, self.known.log_seconds[:, 0]) + health - rate
        return np.where(weight.any(axis=1), expected, TYPICAL_LOG_SECONDS[0])

    def _tail_seconds(self, asked: Questions, weight: Array) -> Array:
        """Logarithms of the seconds of the tail `(N,)`: as this cell's so far, where that is known, else as the neighbours'."""
        tail, certain = self.known.log_seconds[:, 1], asked.certain
        plain = _divided(*known_sums(weight, tail), otherwise=TYPICAL_LOG_SECONDS[1])
        further = np.where(np.isfinite(self.known.questions.certain), np.nan, tail - self.known.questions.past)
        beyond = _shrunk(weight, further, further=PAST_WEIGHT)
        told = np.isfinite(asked.past) & (asked.mode != SURGE)  # whose tail goes on after it has fallen back
        return np.where(np.isfinite(certain), certain, np.where(told, asked.past + beyond, plain))

    def bounded(self, asked: Questions, log_seconds: Array) -> Array:
        """Logarithms of the seconds of head and tail, no further than known curves of their kind had them `(N, 2)`.

        Those of a head are told by the charge it moves, where that can be known.
        """
        found = log_seconds.copy()
        moved, own = asked.full_log_hours, self.known.questions.full_log_hours
        for mode, label in {*zip(asked.mode.tolist(), asked.label.tolist(), strict=True)}:
            rows = (asked.mode == mode) & (asked.label == label)
            heads = self.known.log_seconds[self.known.questions.mode == mode, 0] - own[self.known.questions.mode == mode]
            like = (self.known.questions.mode == mode) & (self.known.questions.label == label)
            tails = self.known.log_seconds[like, 1]
            for column, seen, offset in ((0, heads, moved[rows]), (1, tails, 0.0)):
                seen = seen[np.isfinite(seen)]
                if seen.size:
                    least, most = seen.min() - DURATION_MARGIN + offset, seen.max() + DURATION_MARGIN + offset
                    found[rows, column] = np.clip(found[rows, column], least, most)
        certain = np.isfinite(asked.certain)
        found[certain, 1] = log_seconds[certain, 1]  # it was asked for
        return found

    def modes(self, conditions: Sequence[Condition], faults: Sequence[str]) -> NDArray[np.int64]:
        """How curves of these conditions lie on the grid, as most known ones of their fault do `(N,)`."""
        label, mode = self.known.questions.label, self.known.questions.mode
        surges = {i for i in range(len(faults)) if (mode[label == i] == SURGE).sum() * 2 > (label == i).sum()}
        found = [SURGE if c.fault in faults and faults.index(c.fault) in surges else STEPS.index(c.step) for c in conditions]
        return np.array(found, dtype=np.int64)

    def apart(self, one: Questions, other: Questions) -> Array:
        """Distance of pairs of conditions by the first kernel `(N,)`."""
        return pairs_apart(one, other, self.known.questions, self.scales[HEAD])


def _first_scales() -> Array:
    """Scales of the kernels before any are learnt `(K, S, F + 1)`."""
    return np.stack([np.where(looks_at, FIRST_SCALE, 0.0) for looks_at in LOOKS_AT])[:, None].repeat(len(MODES), axis=1)


def _targets(known: Known, grid: GridConfig) -> list[tuple[NDArray[np.int64], Array]]:
    """For each kernel: which curves it is learnt from, and what of them is to be expected `(n, D)`."""
    voltage, mask = known.values[:, VOLTAGE].astype(np.float64), known.mask[:, VOLTAGE]
    sections = {HEAD: slice(0, grid.head), TAIL: slice(grid.head, grid.length)}
    whole = {kernel: _even(np.asarray(mask[:, part].all(axis=1))) for kernel, part in sections.items()}
    lasting = _even(np.isfinite(known.log_seconds[:, 1]))
    return [
        (whole[HEAD], _components(_by_time(voltage[whole[HEAD], sections[HEAD]]))),
        (lasting, known.log_seconds[lasting, 1:]),
        (whole[TAIL], _components(np.cumsum(shares(voltage[whole[TAIL], sections[TAIL]]), axis=1))),
    ]


def _by_time(heads: Array) -> Array:
    """Heads as the share of their time that has gone by at each voltage, after where they start `(n, head)`."""
    return np.column_stack([heads[:, :SHARES], np.cumsum(shares(heads[:, SHARES:]), axis=1)])


def _even(usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows that are usable, thinned evenly to what a fit needs."""
    rows = np.flatnonzero(usable)
    return rows[np.linspace(0, len(rows) - 1, FIT_CURVES).astype(np.int64)] if len(rows) > FIT_CURVES else rows


def _components(curves: Array) -> Array:
    """The leading principal components of curves `(n, L)`, `(n, D)`."""
    if not len(curves):
        return curves
    centred = curves - curves.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray((u * s)[:, :COMPONENTS])


def _amounts(questions: Questions) -> Array:
    """What the charge balance is between: logarithms of health and of the mean C-rate `(N, 2)`."""
    return np.column_stack([questions.log_health, questions.log_rate])


def persistent(apart: Array, persistence: Array | float) -> Array:
    """Share of a difference that is still there at a distance `(N,)`."""
    return np.asarray(1 / (1 + np.square(apart / persistence)))


def _divided(total: Array, summed: Array, *, otherwise: Array | float) -> Array:
    """A weighted mean from the sums of weights and of values by them; something else where nothing has a weight."""
    return np.where(total > 1e-9, summed / np.maximum(total, 1e-9), otherwise)


def _shrunk(weight: Array, values: Array, *, further: float) -> Array:
    """Weighted mean of `values` `(M, ...)` that are not NaN, drawn towards zero as if further curves showed none `(N, ...)`."""
    total, summed = known_sums(weight, values)
    # How many curves alike have the same say.
    count = np.square(total) / np.maximum(product(np.square(weight), np.isfinite(values)), 1e-300)
    return np.where(total > 0, summed / np.maximum(total, 1e-300) * count / (count + further), 0.0)
