"""What nearest neighbours tell of two sets of points: how well one covers the other, and whether it copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from faultcell.errors import DataError
from faultcell.metrics.paired import Array

# Copies pass through resampling and units, which leaves rounding errors of this size.
ROUNDING = 1e-9


def density_coverage(real: Array, generated: Array, *, k: int = 5) -> tuple[float, float]:
    """Density and coverage; about 1 for a fresh draw of the same distribution.

    Around each real point lies a ball that reaches to its k-th nearest real neighbour. Density, >= 0 and unbounded, is the mean
    number of balls a generated point lies in, over k; coverage, 0 to 1, higher is better, the share of balls that hold a
    generated point (M. F. Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020,
    https://arxiv.org/abs/2002.09797).

    Traps: an exact copy of the real set has 1 for both, and points piled on one dense place have a density above 1.

    Args:
        real: features `(N, D)`, N > k.
        generated: features `(M, D)`.
        k: neighbours that set the size of a ball.

    Raises:
        DataError: not more than k real points.
    """
    if len(real) <= k:
        raise DataError(f"density and coverage with k={k} need more real curves than that, found {len(real)}: give more")
    radius = _nearest(real, count=k).kneighbors()[0][:, -1]
    distance = np.sqrt(((real[:, None] - generated[None]) ** 2).sum(axis=2))
    inside = distance < radius[:, None]
    return float(inside.sum(axis=0).mean() / k), float(inside.any(axis=1).mean())


def authenticity(train: Array, generated: Array) -> float:
    """Share of generated points that are no copies, 0 to 1: an exact copy scores 0.

    A point counts as a copy if its nearest training point is closer to it than to any other training point (A. M. Alaa et al.,
    "How Faithful is your Synthetic Data?", 2022, https://arxiv.org/abs/2102.08921).

    Traps: a fresh draw does not score 1, and how much it scores grows with the dimension (0.45 in 4, 0.83 in 128); hold it
    against the score of held-out real points. The second distance belongs to the *training* point that was found.

    Args:
        train: features `(N, D)`, N >= 2.
        generated: features `(M, D)`.
    """
    apart, nearest = _to_nearest(train, generated)
    others = _nearest(train).kneighbors()[0]
    return float((apart > others[nearest, 0] + ROUNDING).mean())


def closest_record(train: Array, generated: Array, *, held_out: Array) -> float:
    """Median distance to the nearest training point, generated over held-out: 0 for copies, about 1 for a fresh draw.

    Well above 1 the generated points are further from the training set than real ones are, which is no merit. The idea is the
    baseline of "distance to closest record" in SDMetrics (https://docs.sdv.dev/sdmetrics).

    Args:
        train: features `(N, D)`.
        generated: features `(M, D)`.
        held_out: features of real points not in `train` `(K, D)`.

    Returns:
        The ratio; infinite where held-out points lie on training points and generated ones do not, NaN where both do.
    """
    ours, theirs = (float(np.median(_to_nearest(train, points)[0])) for points in (generated, held_out))
    if theirs > ROUNDING:
        return ours / theirs
    return float("inf") if ours > ROUNDING else float("nan")


def spread_ratio(real: Array, generated: Array, *, neighbours: NDArray[np.int64]) -> float:
    """How much curves of nearly the same condition differ, generated over real: 0 for a collapsed source, 1 is right.

    Root mean squared difference of neighbours, generated over real. Above 1 the generated curves scatter more than real ones.

    Args:
        real: curves or features `(N, D)`.
        generated: for the same conditions, in the same order `(N, D)`.
        neighbours: positions of curves of nearly the same condition `(P, 2)`, P >= 1.

    Returns:
        The ratio; NaN where real neighbours do not differ.
    """
    one, other = neighbours.T
    theirs, ours = (float(np.sqrt(np.mean((x[one] - x[other]) ** 2))) for x in (real, generated))
    return ours / theirs if theirs > 0 else float("nan")


def _nearest(points: Array, *, count: int = 1) -> NearestNeighbors:
    return NearestNeighbors(n_neighbors=count).fit(points)


def _to_nearest(train: Array, points: Array) -> tuple[Array, NDArray[np.int64]]:
    """How far from points `(M, D)` the nearest of others lies, and which it is `(M,)` each.

    Measured anew: a distance from products of matrices is not zero between equal points, and how far off it is depends on the
    processor.
    """
    nearest = _nearest(train).kneighbors(points, return_distance=False)[:, 0]
    return np.linalg.norm(points - train[nearest], axis=1), nearest
