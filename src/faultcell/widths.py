"""How far curves stray from what is expected of them: the further the neighbours, the further.

A log-linear regression of the error of each training curve on the distance to its neighbours and on what was known. Errors
divided by this width are alike for all curves, which is what a network learns from and draws.

References:
    Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994,
    https://doi.org/10.1109/ICNN.1994.374138 (a variance that is a function of the inputs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.curves import Array
from faultcell.kernel import Questions
from faultcell.known import ERRORS
from faultcell.prepare import STEPS

# Of the voltages of head and tail, as shares of the window and of the peak deviation, and of the logarithms of their seconds.
LEAST = np.array([5e-4, 2e-3, 5e-4, 5e-3])
LEAST_REACH = 0.05
INPUTS = 4  # one, the logarithm of the reach, whether it is a fault, whether the cell's past is known
LARGEST = 6.0  # square of an error over the width that counts in full
SHRINK = 4.0  # curves that the width before counts for


@dataclass(frozen=True, eq=False)
class Widths:
    """Coefficients of the regression.

    Attributes:
        coefficients: without and with a reference, for charges and discharges, for each error `(2, S, E, I)`.
    """

    coefficients: Array

    @classmethod
    def fit(cls, questions: Questions, reach: Array, referenced: NDArray[np.bool_], errors: Array, *, before: Widths) -> Widths:
        """Learn from curves how far they stray.

        Args:
            questions: of `N` curves.
            reach: to their neighbours `(N, 3)`.
            referenced: whether a reference helped `(N,)`.
            errors: root mean squared, NaN where there is none `(N, E)`.
            before: what is thought of widths where there are few curves.
        """
        coefficients = before.coefficients.copy()
        inputs = _inputs(questions, reach)
        for mode, step, e in np.ndindex(coefficients.shape[:3]):
            if mode and not coefficients[mode, step, e].any():
                # No curve has told of it yet: with a reference as without, which is so for what lies beyond the limits.
                coefficients[mode, step, e] = coefficients[0, step, e]
            rows = (referenced == bool(mode)) & (questions.step == step) & np.isfinite(errors[:, e])
            if rows.any():
                coefficients[mode, step, e] = _regressed(
                    inputs[rows, e], np.maximum(errors[rows, e], LEAST[e]), before=coefficients[mode, step, e]
                )
        return cls(coefficients)

    @classmethod
    def plain(cls) -> Widths:
        """Before any curve is seen: one, whatever the reach."""
        return cls(np.zeros((2, len(STEPS), len(ERRORS), INPUTS)))

    def of(self, questions: Questions, reach: Array, referenced: NDArray[np.bool_]) -> Array:
        """Widths `(N, E)`."""
        logarithm = (self.coefficients[referenced.astype(np.int64), questions.step] * _inputs(questions, reach)).sum(axis=2)
        return np.asarray(np.maximum(np.exp(np.clip(logarithm, -10, 3)), LEAST))


def _inputs(questions: Questions, reach: Array) -> Array:
    """What each width depends on `(N, E, I)`."""
    logarithm = np.log(np.maximum(reach[:, list(ERRORS.values())], LEAST_REACH))
    flags = np.column_stack([questions.label >= 0, np.isfinite(questions.past)]).astype(np.float64)
    one = np.ones((*logarithm.shape, 1))
    return np.concatenate([one, logarithm[..., None], flags[:, None].repeat(len(ERRORS), axis=1)], axis=2)


def _regressed(inputs: Array, errors: Array, *, before: Array) -> Array:
    """Ridge regression of the logarithm, drawn towards the coefficients before; few errors come out far above their width."""
    target = np.log(errors)
    first = before if before.any() else np.array([target.mean(), *np.zeros(INPUTS - 1)])
    gram = inputs.T @ inputs + SHRINK * np.eye(INPUTS)
    found = first + np.linalg.solve(gram, inputs.T @ (target - inputs @ first))
    found[1] = max(found[1], 0.0)  # further neighbours never make surer
    # One cell in ten strays far, as of faults that come in two kinds; a width for it would be too wide for all the others.
    square = np.minimum(np.square(errors / np.exp(inputs @ found)), LARGEST)
    found[0] += 0.5 * np.log((square.sum() + SHRINK) / (len(errors) + SHRINK))
    return np.asarray(found)
