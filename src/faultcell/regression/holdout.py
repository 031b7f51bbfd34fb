"""Cells held out of a prediction: a curve's own cell always, the nearest other cells at times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.schema import Array
from faultcell.encoding.grid import START, VOLTAGE
from faultcell.regression.kernel import CYCLE, Queries
from faultcell.regression.support import SupportSet

LIKE_START, LIKE_CYCLE = 0.05, 0.2  # what counts as one: of a coded voltage, of the logarithm of the cycle


def own_cell(known: SupportSet, others: SupportSet) -> NDArray[np.bool_]:
    """Which of the others are of a curve's own cell; only the curve itself, where there is no other cell `(N, M)`."""
    same = known.cell[:, None] == others.cell[None]
    return with_fallback(same, _itself(known, others), known.queries, others.queries)


def own_normal(known: SupportSet, others: SupportSet) -> NDArray[np.int64]:
    """Which of the others is the normal curve of each one's cell and half-cycle that begins most like it; -1 for none `(N,)`.

    What begins alike differs by the fault alone; of such curves the nearest in the life of the cell.
    """
    same = (known.cell[:, None] == others.cell[None]) & (known.queries.mode[:, None] == others.queries.mode[None])
    same &= (others.queries.label < 0)[None]
    begins = np.abs(known.values[:, None, VOLTAGE, START] - others.values[None, :, VOLTAGE, START]) / LIKE_START
    later = np.abs(known.queries.features[:, None, CYCLE] - others.queries.features[None, :, CYCLE]) / LIKE_CYCLE
    apart = np.where(same, begins + np.nan_to_num(later), np.inf)
    return np.where(np.isfinite(apart).any(axis=1), apart.argmin(axis=1), -1)


def _itself(known: SupportSet, others: SupportSet) -> NDArray[np.bool_]:
    cycle, other = known.queries.features[:, CYCLE], others.queries.features[:, CYCLE]
    return np.asarray((known.cell[:, None] == others.cell[None]) & (cycle[:, None] == other[None]))


def with_fallback(
    excluded: NDArray[np.bool_], otherwise: NDArray[np.bool_], queries: Queries, known: Queries
) -> NDArray[np.bool_]:
    """What is barred, or, for curves to which that leaves no neighbour, what is barred otherwise."""
    useless = excluded | (queries.mode[:, None] != known.mode[None])
    return np.where(useless.all(axis=1, keepdims=True), otherwise, excluded)


def nearest_cells(apart: Array, cell: NDArray[np.int64], *, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Curves of the nearest cells, of none to a share of all, so that what is left is far `(N, M)`.

    Cells of one protocol are near each other. A cell of another has none of them near, and that is to be learnt, too.

    Args:
        apart: how far each known curve is from each query, infinite where it is closed already `(N, M)`.
        cell: number of the cell of each known curve `(M,)`.
        share: of the other cells, at most.
        rng: of how many.
    """
    cells, index = np.unique(cell, return_inverse=True)
    nearest = np.stack([apart[:, index == i].min(axis=1) for i in range(len(cells))], axis=1)
    rank = nearest.argsort(axis=1).argsort(axis=1)
    others = np.isfinite(nearest).sum(axis=1)
    closed = rank < np.round(rng.random(len(apart)) * share * others)[:, None]
    return np.asarray(closed[:, index])
