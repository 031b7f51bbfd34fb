"""Whether a forecaster that learnt on one set of curves works on another."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

from faultcell.metrics.paired import Array

# Steps of 1/31 of a curve: between closer points there is little to forecast but sensor noise.
POINTS = 32
WINDOW = 16
# Small beside the windows' own scatter, so that only directions no curve shows are damped.
DAMPING = 1e-3


def predictive(train: Array, test: Array) -> float:
    """Mean absolute error on `test` of a next-point forecast learnt on `train`, >= 0, lower is better.

    Train on synthetic, test on real (C. Esteban et al., 2017, https://arxiv.org/abs/1706.02633), with a ridge regression on the
    last 16 of 32 points in place of the recurrent network of TimeGAN (J. Yoon et al., 2019), which has no input at all with one
    channel. Deterministic.

    Trap: one step ahead is easy, so the values of good and fair sources lie close together; read it beside the value for
    training on real curves of other cells.

    Args:
        train: curves `(N, L)`, L >= 32.
        test: curves `(M, L)`, in the same unit.
    """
    model = Ridge(alpha=DAMPING).fit(*_windows(train))
    seen, after = _windows(test)
    return float(np.abs(model.predict(seen) - after).mean())


def _windows(curves: Array) -> tuple[Array, Array]:
    """Every stretch of `WINDOW` points `(n, WINDOW)`, and the point after it `(n,)`."""
    at = np.linspace(0, curves.shape[1] - 1, POINTS).round().astype(np.int64)
    stretches = np.lib.stride_tricks.sliding_window_view(curves[:, at], WINDOW + 1, axis=1).reshape(-1, WINDOW + 1)
    return stretches[:, :-1], stretches[:, -1]
