"""The residual scale `s(c)`: heteroscedastic, larger the further the support is.

A log-linear regression of the root mean squared error of each training curve on the distance to its support and on what was
known. Networks learn and draw residuals divided by it.

References:
    Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994,
    https://doi.org/10.1109/ICNN.1994.374138 (a variance that is a function of the inputs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.schema import Array
from faultcell.encoding.grid import CHANNELS, CURRENT, END, MODES, REST, START, TEMPERATURE, VOLTAGE
from faultcell.regression.kernel import Queries
from faultcell.regression.prediction import Prediction
from faultcell.regression.support import ERRORS

# Of the voltages of head and tail, as logarithms of shares of time, of the logarithms of their seconds, of their
# temperatures, K, and of their currents, in C; of those of a falling current as logarithms; of the two voltages that the
# head names, times `LEVEL_WEIGHT`, and of recoveries at rest, as fractions of the window. In the order of `ERRORS`.
LEAST = np.array([5e-3, 5e-3, 5e-4, 5e-3, 0.05, 0.05, 1e-4, 1e-4, 2e-3, 2e-3, 1e-3, 1e-3])
TYPICAL = np.array([0.3, 0.3, 0.05, 0.3, 2.0, 2.0, 0.01, 0.01, 0.1, 0.1, 0.02, 0.02])  # where no curve has told
LEAST_DISTANCE = 0.05
# One, the logarithm of the distance, whether it is a fault beyond a limit, whether the cell's past is known, whether it is a
# fault inside all limits.
INPUTS = 5
SHRINK = 4.0  # curves that the width before counts for
QUANTILES = 32
LEAST_RADIUS, MOST_RADIUS = 0.02, 6.0
RADII_WEIGHT = 16.0  # curves for which it counts how normal curves stray


@dataclass(frozen=True, eq=False)
class ResidualScale:
    """Coefficients of the regression.

    Attributes:
        coefficients: without and with a reference, for charges and discharges, for each error `(2, S, E, I)`.
    """

    coefficients: Array

    @classmethod
    def fit(
        cls, queries: Queries, distance: Array, referenced: NDArray[np.bool_], errors: Array, *, before: ResidualScale
    ) -> ResidualScale:
        """Learn from curves how far they stray.

        Args:
            queries: of `N` curves.
            distance: to their neighbours `(N, 3)`.
            referenced: whether a reference helped `(N,)`.
            errors: root mean squared, NaN where there is none `(N, E)`.
            before: what is thought of widths where there are few curves.
        """
        coefficients = before.coefficients.copy()
        inputs = _inputs(queries, distance)
        for mode, step, e in np.ndindex(coefficients.shape[:3]):
            if mode and not coefficients[mode, step, e].any():
                # No curve has told of it yet: with a reference as without, which is so for what lies beyond the limits.
                coefficients[mode, step, e] = coefficients[0, step, e]
            rows = (referenced == bool(mode)) & (queries.mode == step) & np.isfinite(errors[:, e])
            if rows.any():
                coefficients[mode, step, e] = _regressed(
                    inputs[rows, e], np.maximum(errors[rows, e], LEAST[e]), before=coefficients[mode, step, e]
                )
        return cls(coefficients)

    @classmethod
    def plain(cls) -> ResidualScale:
        """Before any curve is seen: what is typical, whatever the reach."""
        return cls(np.zeros((2, len(MODES), len(ERRORS), INPUTS)))

    def of(self, queries: Queries, distance: Array, referenced: NDArray[np.bool_]) -> Array:
        """Widths `(N, E)`."""
        coefficients = self.coefficients[referenced.astype(np.int64), queries.mode]
        logarithm = (coefficients * _inputs(queries, distance)).sum(axis=2)
        found = np.where(coefficients.any(axis=2), np.exp(np.clip(logarithm, -10, 3)), TYPICAL)
        return np.asarray(np.maximum(found, LEAST))


def _inputs(queries: Queries, distance: Array) -> Array:
    """What each width depends on `(N, E, I)`."""
    logarithm = np.log(np.maximum(distance[:, list(ERRORS.values())], LEAST_DISTANCE))
    beyond = (queries.label >= 0) & ~queries.inside
    flags = np.column_stack([beyond, np.isfinite(queries.past), queries.inside]).astype(np.float64)
    one = np.ones((*logarithm.shape, 1))
    return np.concatenate([one, logarithm[..., None], flags[:, None].repeat(len(ERRORS), axis=1)], axis=2)


def _regressed(inputs: Array, errors: Array, *, before: Array) -> Array:
    """Ridge regression of the logarithm, drawn towards the coefficients before; few errors come out far above their width."""
    target = np.log(errors)
    first = before if before.any() else np.array([target.mean(), *np.zeros(INPUTS - 1)])
    gram = inputs.T @ inputs + SHRINK * np.eye(INPUTS)
    found = first + np.linalg.solve(gram, inputs.T @ (target - inputs @ first))
    found[1] = max(found[1], 0.0)  # further neighbours never make surer
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Radii:
    """How far single curves stray over how far such curves do: most less, a few cells much further.

    A Gaussian as wide as the latter is too wide for most curves. So a drawn curve has a direction, which a network draws, and
    a radius, drawn from those that known curves had: together an elliptical distribution, with the tails the data have.

    Attributes:
        table: quantiles of errors over widths, without and with a reference; then of faults inside all limits `(4, E, Q)`.
        count: curves they come from `(4, E)`.

    References:
        Fang, Kotz and Ng, Symmetric Multivariate and Related Distributions, 1990, https://doi.org/10.1201/9781351077040.
    """

    table: Array
    count: Array

    @classmethod
    def plain(cls) -> Radii:
        """Before any curve is seen: one."""
        return cls(np.ones((4, len(ERRORS), QUANTILES)), np.zeros((4, len(ERRORS))))

    @classmethod
    def of(
        cls,
        ratios: Array,
        referenced: NDArray[np.bool_],
        inside: NDArray[np.bool_],
        cell: NDArray[np.int64],
        *,
        before: Radii | None,
    ) -> Radii:
        """From errors over widths, NaN where there is none `(N, E)`; every cell counts the same.

        Args:
            ratios: of `N` curves.
            referenced: whether a reference helped `(N,)`.
            inside: whether it is a fault inside all limits `(N,)`.
            cell: number of the cell of each `(N,)`.
            before: those of other curves, towards which the quantiles of a few are drawn.
        """
        table, count = cls.plain().table, cls.plain().count
        kind = referenced + 2 * inside
        for mode, e in np.ndindex(4, len(ERRORS)):
            rows = (kind == mode) & np.isfinite(ratios[:, e])
            count[mode, e] = rows.sum()
            if rows.any():
                _, index, each = np.unique(cell[rows], return_inverse=True, return_counts=True)
                table[mode, e] = _quantiles(np.clip(ratios[rows, e], LEAST_RADIUS, MOST_RADIUS), 1 / each[index])
        if before is None:
            return cls(table, count)
        share = (count / np.maximum(count + RADII_WEIGHT * (before.count > 0), 1.0))[..., None]
        return cls(share * table + (1 - share) * before.table, count + before.count)

    def at(self, uniform: Array, referenced: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Array:
        """Radii at uniform random numbers `(N, E)`."""
        table = self.table[referenced + 2 * inside]
        place = np.clip(uniform * QUANTILES - 0.5, 0, QUANTILES - 1)  # each stands in the middle of its share
        low = np.minimum(place.astype(np.int64), QUANTILES - 2)
        first, second = (np.take_along_axis(table, (low + i)[..., None], axis=2)[..., 0] for i in (0, 1))
        return np.asarray(first + (place - low) * (second - first))


def _quantiles(values: Array, weight: Array) -> Array:
    """Evenly spaced weighted quantiles `(Q,)`."""
    order = np.argsort(values)
    rank = np.cumsum(weight[order]) - weight[order] / 2
    return np.interp((np.arange(QUANTILES) + 0.5) / QUANTILES, rank / weight.sum(), values[order])


OWNERS = {
    VOLTAGE: ("head", "tail"),
    REST: ("head_recovery", "tail_recovery"),
    TEMPERATURE: ("head_celsius", "tail_celsius"),
    CURRENT: ("head_current", "tail_current"),
}
SECONDS = slice(2, 4)  # of `support.ERRORS`


def rms_residuals(residual: Array, mask: NDArray[np.bool_], log_seconds: Array, grid: GridConfig) -> Array:
    """Root mean squares of the rest, NaN where there is none `(N, E)`; see `support.ERRORS`."""
    owner = owners(grid)
    found = np.full((len(residual), len(ERRORS)), np.nan)
    for error in sorted(set(owner.ravel().tolist())):
        kept = mask & (owner == error)
        count = kept.sum(axis=(1, 2))
        square = (np.square(residual) * kept).sum(axis=(1, 2))
        found[:, error] = np.where(count > 0, np.sqrt(square / np.maximum(count, 1)), np.nan)
    found[:, SECONDS] = np.abs(log_seconds)
    return found


def divisors(errors: Array) -> Array:
    """Root mean squares to divide by `(N, E)`."""
    return np.where(np.isfinite(errors), np.maximum(errors, LEAST), 1.0)


def width_of(scale: ResidualScale, queries: Queries, prediction: Prediction, referenced: NDArray[np.bool_]) -> Array:
    """How far curves may stray `(N, E)`: as such curves do on the whole, and as their neighbours did."""
    z = np.where(referenced[:, None], prediction.z[:, 1], prediction.z[:, 0])
    return scale.of(queries, prediction.distance, referenced) * z


def owners(grid: GridConfig) -> NDArray[np.int64]:
    """Which of `support.ERRORS` each point of the grid strays by `(C, L)`."""
    names, found = list(ERRORS), np.zeros((len(CHANNELS), grid.length), dtype=np.int64)
    for channel, (head, tail) in OWNERS.items():
        found[channel] = np.repeat([names.index(head), names.index(tail)], [grid.head, grid.tail])
    found[VOLTAGE, START], found[VOLTAGE, END] = names.index("start"), names.index("end")
    return found


def over_grid(width: Array, grid: GridConfig) -> Array:
    """Widths laid on the grid `(N, C, L)`."""
    return np.asarray(width[:, owners(grid)])
