"""Distances between two sets of points, such as encoded curves."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.metrics import pairwise_distances

from faultcell.metrics.paired import Array


def frechet(a: Array, b: Array) -> float:
    """Frechet distance of the Gaussians through two sets of features, >= 0, lower is better.

    |m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)) with means m and covariances A, B (D. C. Dowson, B. V. Landau, 1982,
    https://doi.org/10.1016/0047-259X(82)90077-X; as a score: M. Heusel et al., 2017, https://arxiv.org/abs/1706.08500).
    Covariances are shrunk (O. Ledoit, M. Wolf, 2004, https://doi.org/10.1016/S0047-259X(03)00096-4), which keeps them regular
    where there are fewer curves than features.

    Trap: the value depends on how many points there are; compare sets of equal size only.

    Args:
        a: features `(N, D)`.
        b: features `(M, D)`.
    """
    first, second = (LedoitWolf().fit(x).covariance_ for x in (a, b))
    root = _root(first)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(max(0.0, apart + np.trace(first) + np.trace(second) - 2 * cross))


def mmd(a: Array, b: Array, *, permutations: int = 200, seed: int = 0) -> tuple[float, float]:
    """Squared maximum mean discrepancy, unbiased, and its permutation p-value; lower and higher are better.

    Mean of k within a plus mean within b minus twice the mean across, with k = exp(-d^2 / 2 s^2) and s the median distance of
    the pooled points (A. Gretton et al., "A Kernel Two-Sample Test", 2012, https://jmlr.org/papers/v13/gretton12a.html).
    Unbiased means that it may fall below zero where the sets are alike.

    Trap: the p-value holds for independent points; curves of one cell are not, so it is too small between different cells.

    Args:
        a: features `(N, D)`, N >= 2.
        b: features `(M, D)`, M >= 2.
        permutations: of the pooled points.
        seed: of the permutations.

    Returns:
        The discrepancy, at most 2, and the p-value, from 1 / (permutations + 1) to 1.
    """
    distance = pairwise_distances(np.vstack([a, b]))
    median = float(np.median(distance[np.triu_indices_from(distance, 1)])) or 1.0
    kernel = np.exp(-((distance / median) ** 2) / 2)
    np.fill_diagonal(kernel, 0.0)
    rng = np.random.default_rng(seed)
    first = np.arange(len(distance)) < len(a)
    draws = np.stack([first, *(rng.permutation(first) for _ in range(permutations))], axis=1).astype(np.float64)
    found = _discrepancy(kernel, draws)
    return float(found[0]), float((1 + (found[1:] >= found[0]).sum()) / (1 + permutations))


def _discrepancy(kernel: Array, first: Array) -> Array:
    """Unbiased discrepancy of each division `(P,)`; `kernel` (n, n) has an empty diagonal, `first` (n, P) is one or zero."""
    n, m = first[:, 0].sum(), (1 - first[:, 0]).sum()
    reach = kernel @ first
    inside = (first * reach).sum(axis=0)
    across = ((1 - first) * reach).sum(axis=0)
    rest = kernel.sum() - inside - 2 * across
    return np.asarray(inside / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m))


def _root(matrix: Array) -> Array:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
