"""Errors of pairs: each generated curve against the real one whose condition it was given.

The paper's protocol, with what it leaves open decided: both curves are resampled to the same number of points over their own
duration, and voltages are scaled to [0, 1] by the real set's range (Batteries 2025, 11(7), 248).

Traps: on independent draws a perfect sampler has twice the squared error of the constant mean; a correlation of about 0.97
is normal for any two discharges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mae(real: Array, generated: Array) -> Array:
    """Mean absolute error of each pair `(N,)`, >= 0, lower is better; inputs `(N, L)`, scaled."""
    return np.asarray(np.abs(real - generated).mean(axis=1))


def mse(real: Array, generated: Array) -> Array:
    """Mean squared error of each pair `(N,)`, >= 0, lower is better; inputs `(N, L)`, scaled."""
    return np.asarray(np.square(real - generated).mean(axis=1))


def pcc(real: Array, generated: Array) -> Array:
    """Pearson correlation of each pair `(N,)`, -1 to 1, higher is better; NaN where a curve is constant.

    About 0.97 for any two discharges, the mean curve included. Inputs `(N, L)`.
    """
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (real, generated))
    covariance: Array = (a * b).sum(axis=1)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide(covariance, norm, out=np.full(len(a), np.nan), where=norm > 0))


def dpcc(real: Array, generated: Array) -> Array:
    """Pearson correlation of the first differences of each pair `(N,)`, -1 to 1, higher is better; inputs `(N, L)`."""
    return pcc(np.diff(real, axis=1), np.diff(generated, axis=1))


def scaled(curves: Array, reference: Array) -> Array:
    """Values `(N, L)` scaled so that the range of `reference` becomes [0, 1]."""
    low, high = np.nanmin(reference), np.nanmax(reference)
    return np.asarray((curves - low) / (high - low))
