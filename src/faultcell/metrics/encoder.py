"""Curves as points of a small fixed space, in which distances between sets are taken."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from faultcell.metrics.paired import Array

SHAPES = 16  # cosine coefficients of the curve
STRETCHES = 8  # parts whose mean steepness is taken
STEEPNESS_WEIGHT = 0.1  # makes the spread of both kinds of feature alike among real discharges and charges


def encode(curves: Array) -> Array:
    """Features of curves `(N, 24)`: their shape, and how steep and rough they are along the way.

    The first 16 coefficients of the cosine transform (N. Ahmed, T. Natarajan, K. R. Rao, "Discrete cosine transform", 1974,
    https://doi.org/10.1109/T-C.1974.223784), and log(1 + root mean square slope) over 8 equal stretches, which sees the noise
    that the low coefficients do not. Nothing is fitted, so values of different sets and studies can be compared.

    A small space on purpose: in 128 dimensions everything is far from everything, and distances say little.

    Args:
        curves: scaled to [0, 1] by the real range `(N, L)`, L >= 16.
    """
    shape = dct(curves, axis=1, norm="ortho")[:, :SHAPES] / np.sqrt(curves.shape[1])
    slope = np.diff(curves, axis=1) * (curves.shape[1] - 1)
    parts = np.array_split(slope**2, STRETCHES, axis=1)
    steepness = np.stack([np.log1p(np.sqrt(part.mean(axis=1))) for part in parts], axis=1)
    return np.hstack([shape, STEEPNESS_WEIGHT * steepness])
