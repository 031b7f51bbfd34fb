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

import numpy as np
from numpy.typing import NDArray

from faultcell.closing import nearest_cells, opened, own
from faultcell.config import GridConfig
from faultcell.curves import Array
from faultcell.kernel import (
    ENTRY,
    FIRST_SCALE,
    FIT_CURVES,
    HEAD,
    LASTS,
    LOOKS_AT,
    SECONDS,
    TAIL,
    Questions,
    fit_scales,
    pairs_apart,
    squares,
    weights,
)
from faultcell.known import ERRORS, Known, log_steepness
from faultcell.prepare import CHANNELS, STEPS, VOLTAGE, prior
from faultcell.slopes import Slopes, ways

COMPONENTS = 8  # of the voltages, in which distances are learnt
TYPICAL_LOG_SECONDS = (float(np.log(3600.0)), 4.5)  # of head and tail, where nothing is known
PAST_WEIGHT = 16.0  # curves for which it counts that the next fault of a cell lasts as its faults have lasted so far
STRAY_WEIGHT, LARGEST_STRAY = 4.0, 6.0
EMPTIED = 0.5  # of the cells, at most, that are closed to a curve slopes are learnt from, the nearest first
CHUNK = 256  # questions at once


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of curves.

    Attributes:
        values: coded channels `(N, C, L)`.
        log_seconds: logarithms of the seconds of head and tail `(N, 2)`.
        reach: root mean squared distance to the neighbours by each kernel `(N, K)`.
        strays: how far the neighbours strayed, over how far curves stray on the whole, without and with a reference; near one
            where neighbours are few `(N, 2, E)`.
        way: mean way from the neighbours by the first kernel, in the conditions; see `slopes` `(N, F)`.
    """

    values: Array
    log_seconds: Array
    reach: Array
    strays: Array
    way: Array

    def take(self, rows: NDArray[np.int64]) -> Expected:
        """These rows."""
        return Expected(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Expected]) -> Expected:
        """The rows of all parts."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


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
    def of(cls, earlier: Known, expected: Expected, *, apart: Array, head: int) -> Correction:
        """From the earlier curves and what the neighbours let expect of them; none where `apart` is NaN."""
        known, inside = np.isfinite(apart), np.s_[..., :head]
        mask = earlier.mask[inside] & known[:, None, None]
        return cls(
            np.where(mask, earlier.values[inside] - expected.values[inside], 0.0),
            np.where(known, earlier.log_seconds[:, 0] - expected.log_seconds[:, 0], 0.0),
            apart,
        )

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
        grid: the anchored grid.
    """

    known: Known
    scales: Array
    slopes: Slopes
    grid: GridConfig

    @classmethod
    def of(cls, known: Known, grid: GridConfig) -> Neighbours:
        """Learn the scales of the kernels."""
        scales = np.stack([np.where(looks_at, FIRST_SCALE, 0.0) for looks_at in LOOKS_AT])[:, None].repeat(len(STEPS), axis=1)
        for step in range(len(STEPS)):
            same = known.take(np.flatnonzero(known.questions.step == step))
            for kernel, (rows, targets) in enumerate(_targets(same, grid)):
                if len(rows):
                    part = same.take(rows)
                    scales[kernel, step] = fit_scales(part.questions, targets, cell=part.cell, looks_at=LOOKS_AT[kernel])
        found = cls(known, scales, Slopes.none(len(CHANNELS) * grid.head), grid)
        for step in range(len(STEPS)):
            found = replace(found, slopes=found._slopes_with(step))
        return found

    def _slopes_with(self, step: int) -> Slopes:
        """With those of a half-cycle: from curves to which their own cell, and then the nearest others, too, are closed."""
        whole = self.known.mask[:, VOLTAGE, : self.grid.head].all(axis=1)
        some, rng = self.known.take(_even((self.known.questions.step == step) & whole)), np.random.default_rng(0)
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
        closed = barred | (asked.step[:, None] != self.known.questions.step[None])
        apart = np.empty(closed.shape)
        for start in range(0, len(asked), CHUNK):
            part = np.arange(start, min(start + CHUNK, len(asked)))
            scales = np.square(self.scales[HEAD, asked.step[part]])
            apart[part] = np.einsum("nmf,nf->nm", squares(asked.take(part), self.known.questions), scales)
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
            part = asked.take(rows)
            closed = part.step[:, None] != self.known.questions.step[None]
            closed = closed if barred is None else closed | barred[rows]
            seconds, cells = (None if log_seconds is None else log_seconds[rows]), (None if cell is None else cell[rows])
            found.append(self._expected(part, closed, seconds, cells, correction.take(rows) if correction else None))
        return Expected.joined(found)

    def _expected(
        self,
        asked: Questions,
        closed: NDArray[np.bool_],
        log_seconds: Array | None,
        cell: NDArray[np.int64] | None,
        correction: Correction | None,
    ) -> Expected:
        square, known, inside = squares(asked, self.known.questions), self.known, slice(0, self.grid.head)
        values = np.tile(prior(self.grid), (len(asked), 1, 1))

        def near(kernel: int) -> tuple[Array, Array]:
            return weights(square, self.scales[kernel, asked.step], closed)

        head, head_reach = near(HEAD)
        way = ways(asked, known.questions, head)
        values[..., inside] = self._mean_of(head, inside, otherwise=values[..., inside])
        values[..., inside] += self.slopes.along(way, asked.step, cell=cell).reshape(values[..., inside].shape)
        head_seconds = self._head_seconds(asked, head)
        if correction:
            values[..., inside] += correction.values
            head_seconds = head_seconds + correction.log_seconds
            head_reach = np.where(np.isfinite(correction.apart), correction.apart, head_reach)
        lasts, lasts_reach = near(LASTS)
        expected = np.column_stack([head_seconds, self._tail_seconds(asked, lasts)])
        lasting = expected if log_seconds is None else log_seconds
        entering = asked.lasting(lasting[:, 1]).entering(log_steepness(values, lasting, self.grid))
        for feature in (SECONDS, ENTRY):
            square[..., feature] = squares(entering, known.questions, feature=feature)
        tail, tail_reach = near(TAIL)
        beyond = slice(self.grid.head, self.grid.length)
        values[..., beyond] = self._mean_of(tail, beyond, otherwise=values[..., beyond])
        by_kernel = {HEAD: head, LASTS: lasts, TAIL: tail}
        strays = [
            [_leaning(by_kernel[kernel], known.strays[:, mode, e]) for e, kernel in enumerate(ERRORS.values())]
            for mode in range(2)
        ]
        return Expected(
            values,
            expected,
            np.column_stack([head_reach, lasts_reach, tail_reach]),
            np.sqrt(np.moveaxis(np.array(strays), 2, 0)),
            way,
        )

    def _mean_of(self, weight: Array, part: slice, *, otherwise: Array) -> Array:
        """Weighted mean of coded channels over a part of the grid `(N, C, l)`, for weights `(N, M)`."""
        mask = self.known.mask[..., part].astype(np.float64)
        total = np.tensordot(weight, mask, axes=1)
        summed = np.tensordot(weight, self.known.values[..., part] * mask, axes=1)
        return np.where(total > 1e-9, summed / np.maximum(total, 1e-9), otherwise)

    def _head_seconds(self, asked: Questions, weight: Array) -> Array:
        """Logarithms of the seconds of the head `(N,)`: as the neighbours', by the charge balance.

        In proportion to health and inversely to the C-rate, where both sides know them.
        """
        other = self.known.questions
        moved = _moved(asked.log_health, other.log_health) - _moved(asked.log_rate, other.log_rate)
        return _mean(weight, self.known.log_seconds[:, 0] + moved, TYPICAL_LOG_SECONDS[0])

    def _tail_seconds(self, asked: Questions, weight: Array) -> Array:
        """Logarithms of the seconds of the tail `(N,)`: as this cell's so far, where that is known, else as the neighbours'."""
        tail, certain = self.known.log_seconds[:, 1], asked.certain
        plain = _mean(weight, np.broadcast_to(tail, weight.shape), TYPICAL_LOG_SECONDS[1])
        further = np.where(np.isfinite(self.known.questions.certain), np.nan, tail - self.known.questions.past)
        beyond = _shrunk(weight, further, further=PAST_WEIGHT)
        return np.where(np.isfinite(certain), certain, np.where(np.isfinite(asked.past), asked.past + beyond, plain))

    def apart(self, one: Questions, other: Questions) -> Array:
        """Distance of pairs of conditions by the first kernel `(N,)`."""
        return pairs_apart(one, other, self.known.questions, self.scales[HEAD])


def _targets(known: Known, grid: GridConfig) -> list[tuple[NDArray[np.int64], Array]]:
    """For each kernel: which curves it is learnt from, and what of them is to be expected `(n, D)`."""
    voltage, mask = known.values[:, VOLTAGE].astype(np.float64), known.mask[:, VOLTAGE]
    sections = {HEAD: slice(0, grid.head), TAIL: slice(grid.head, grid.length)}
    whole = {kernel: _even(np.asarray(mask[:, part].all(axis=1))) for kernel, part in sections.items()}
    lasting = _even(np.isfinite(known.log_seconds[:, 1]))
    return [
        (whole[HEAD], _components(voltage[whole[HEAD], sections[HEAD]])),
        (lasting, known.log_seconds[lasting, 1:]),
        (whole[TAIL], _components(voltage[whole[TAIL], sections[TAIL]])),
    ]


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


def _moved(asked: Array, known: Array) -> Array:
    """Difference of each question to each known curve `(N, M)`, zero where one of them does not know."""
    return np.nan_to_num(asked[:, None] - known[None])


def _mean(weight: Array, values: Array, otherwise: float) -> Array:
    """Weighted mean of each row over what is not NaN `(N,)`."""
    mask = np.isfinite(values)
    total = (weight * mask).sum(axis=1)
    summed = (weight * np.where(mask, values, 0.0)).sum(axis=1)
    return np.where(total > 1e-9, summed / np.maximum(total, 1e-9), otherwise)


def _leaning(weight: Array, squares: Array) -> Array:
    """Weighted mean of squares `(M,)`, drawn towards one as if `STRAY_WEIGHT` further curves showed it `(N,)`."""
    return 1 + _shrunk(weight, np.minimum(squares, LARGEST_STRAY) - 1, further=STRAY_WEIGHT)


def _shrunk(weight: Array, values: Array, *, further: float) -> Array:
    """Weighted mean of `values` `(M,)`, drawn towards zero as if further curves showed none `(N,)`."""
    kept = weight * np.isfinite(values)
    kept /= np.maximum(kept.sum(axis=1, keepdims=True), 1e-300)
    count = 1 / np.maximum(np.square(kept).sum(axis=1), 1e-9) * (kept.sum(axis=1) > 0)
    return np.asarray((kept @ np.nan_to_num(values)) * count / (count + further))
