"""A local linear trend: how curves change with their conditions, for queries far from the support.

A kernel mean does not extrapolate: for 4 A where the support has 2 A it gives a curve of 2 A. So the prediction is moved by
ridge regression on the displacement from the support to the query. It is fitted with nearby cells held out, since curves with
a near neighbour show no trend.

References:
    Fan and Gijbels, Local Polynomial Modelling and Its Applications, 1996, https://doi.org/10.1201/9780203748725.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import CONTEXT
from faultcell.encoding.grid import MODES
from faultcell.regression.kernel import C_RATE, Queries

# Ridges, as numbers of curves that show no slope; the last is no slope at all.
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, np.inf)
FOLDS, FEWEST_CELLS = 8, 4


@dataclass(frozen=True, eq=False)
class LocalTrend:
    """Coefficients of the trend, for charges and discharges.

    Attributes:
        coefficients: of each target by the conditions; first those for new cells, then for the cells of each fold, whose own
            curves they were not fitted to `(S, 1 + FOLDS, F, D)`.
        span: the furthest way in each condition they were learnt from; no longer one is gone `(S, F)`.
    """

    coefficients: Array
    span: Array

    @classmethod
    def none(cls, size: int) -> LocalTrend:
        """No change of `size` targets."""
        return cls(np.zeros((len(MODES), 1 + FOLDS, len(CONTEXT), size)), np.zeros((len(MODES), len(CONTEXT))))

    def learnt(self, step: int, displacements: Array, residual: Array, *, cell: NDArray[np.int64]) -> LocalTrend:
        """With those of a half-cycle, by the ridge that serves cells best that had no part in it; every cell counts the same.

        Args:
            step: index into `grid.MODES`.
            displacements: from the neighbours to each query, in the conditions `(N, F)`.
            residual: what the neighbours left over of each curve, NaN where it is unknown `(N, D)`.
            cell: number of the cell of each `(N,)`.
        """
        if len(np.unique(cell)) < FEWEST_CELLS:
            return self
        coefficients, span = self.coefficients.copy(), self.span.copy()
        span[step] = np.abs(displacements).max(axis=0)
        told = np.isfinite(residual)
        for rows in np.unique(told, axis=1).T:  # channels that are known of the same curves are learnt together
            same = (told == rows[:, None]).all(axis=0)
            if len(np.unique(cell[rows])) >= FEWEST_CELLS:
                coefficients[step][..., same] = _fitted(displacements[rows], residual[np.ix_(rows, same)], cell[rows])
        return LocalTrend(coefficients, span)

    def along(self, displacements: Array, step: NDArray[np.int64], *, cell: NDArray[np.int64] | None = None) -> Array:
        """How far what is expected changes on these ways `(N, F)`, `(N, D)`.

        Args:
            displacements: as in `learnt`.
            step: half-cycle of each `(N,)`.
            cell: number of the cell of each, where it may have had a part in the slopes; else they are of new cells `(N,)`.
        """
        gone = np.clip(displacements, -self.span[step], self.span[step])
        coefficients = self.coefficients[step, 0 if cell is None else 1 + cell % FOLDS]
        return np.asarray(np.einsum("nf,nfd->nd", gone, coefficients))


def trend_features(queries: Queries) -> Array:
    """The operating context ways go through, with the C-rate itself: a voltage drops in proportion to the current `(N, F)`."""
    context = queries.features[:, : len(CONTEXT)].copy()
    context[:, C_RATE] = np.exp2(context[:, C_RATE])
    return context


def _fitted(displacements: Array, residual: Array, cell: NDArray[np.int64]) -> Array:
    """Coefficients from all cells, and without the cells of each fold `(1 + FOLDS, F, D)`."""
    cells, index, count = np.unique(cell, return_inverse=True, return_counts=True)
    weight = np.sqrt(len(cell) / len(cells) / count[index])[:, None]
    inputs, targets, fold = weight * displacements, weight * residual, cell % FOLDS
    parts = [fold != out for out in range(FOLDS)]
    whole = np.maximum(np.square(targets).sum(axis=0), 1e-12)  # volts and degrees count the same
    errors, found = np.zeros(len(RIDGES)), []
    for i, ridge in enumerate(RIDGES):
        found.append([_ridge(inputs[kept], targets[kept], ridge=ridge) for kept in parts])
        residuals = (targets[~kept] - inputs[~kept] @ part for kept, part in zip(parts, found[i], strict=True))
        errors[i] = (sum(np.square(one).sum(axis=0) for one in residuals) / whole).mean()
    best = int(np.argmin(errors))
    return np.stack([_ridge(inputs, targets, ridge=RIDGES[best]), *found[best]])


def _ridge(inputs: Array, targets: Array, *, ridge: float) -> Array:
    size = inputs.shape[1]
    if np.isinf(ridge):
        return np.zeros((size, targets.shape[1]))
    return np.asarray(np.linalg.solve(inputs.T @ inputs + ridge * np.eye(size), inputs.T @ targets))
