"""How close generated curves are to real ones: pure functions of arrays.

The paper's protocol, with what it leaves open decided: a generated curve is paired with the real one whose condition it was
given; both are resampled to the same number of points over their own duration; voltages are scaled to [0, 1] by the real
set's range; the histogram has 50 bins over that range, add-one counts, and the divergence is KL(real || generated).

Paired errors reward collapse, and a correlation near one is normal for any two discharges: never rank on them alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 50


def mae(real: Array, generated: Array) -> Array:
    """Mean absolute error of each pair `(N,)`, >= 0, lower is better; inputs `(N, L)`, scaled."""
    return np.asarray(np.abs(real - generated).mean(axis=1))


def mse(real: Array, generated: Array) -> Array:
    """Mean squared error of each pair `(N,)`, >= 0, lower is better; inputs `(N, L)`, scaled."""
    return np.asarray(np.square(real - generated).mean(axis=1))


def pcc(real: Array, generated: Array) -> Array:
    """Pearson correlation of each pair `(N,)`, -1 to 1, higher is better; NaN where a curve is constant.

    About 0.97 for any two discharges, the mean curve included.
    """
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (real, generated))
    covariance: Array = (a * b).sum(axis=1)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide(covariance, norm, out=np.full(len(a), np.nan), where=norm > 0))


def dpcc(real: Array, generated: Array) -> Array:
    """Pearson correlation of the first differences of each pair `(N,)`, -1 to 1, higher is better."""
    return pcc(np.diff(real, axis=1), np.diff(generated, axis=1))


def kl(real: Array, generated: Array, *, bins: int = BINS) -> float:
    """KL(real || generated) of the pooled values, in nats, >= 0, lower is better.

    Histograms over [0, 1], the real range; values beyond it count in the outermost bins; add-one counts.
    """
    p, q = (np.histogram(np.clip(x, 0, 1), bins=bins, range=(0, 1))[0] + 1.0 for x in (real, generated))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def scaled(curves: Array, reference: Array) -> Array:
    """Values `(N, L)` scaled so that the range of `reference` becomes [0, 1]."""
    low, high = np.nanmin(reference), np.nanmax(reference)
    return np.asarray((curves - low) / (high - low))
