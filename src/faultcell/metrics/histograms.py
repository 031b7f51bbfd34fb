"""Distances between the pooled values of two sets: they see which voltages occur, not when, so shuffled curves are perfect."""

from __future__ import annotations

import numpy as np

from faultcell.metrics.paired import Array

BINS = 50


def kl(real: Array, generated: Array, *, bins: int = BINS) -> float:
    """KL(real || generated) of the pooled values, in nats, >= 0, lower is better.

    Histograms over [0, 1], the real range; values beyond it count in the outermost bins; add-one counts. Bins and counts decide
    its size, so compare only values of one protocol.

    Args:
        real: scaled values `(N, L)`.
        generated: scaled values `(M, L)`.
        bins: of the histogram.
    """
    p, q = _shares(real, bins), _shares(generated, bins)
    return float((p * np.log(p / q)).sum())


def js(real: Array, generated: Array, *, bins: int = BINS) -> float:
    """Jensen-Shannon divergence of the histograms of `kl`, in nats: 0 to ln 2, lower is better.

    The mean of the two divergences from the mixture: KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2 (J. Lin, "Divergence
    measures based on the Shannon entropy", 1991, https://doi.org/10.1109/18.61115). scipy's `jensenshannon` is its square root.

    Args:
        real: scaled values `(N, L)`.
        generated: scaled values `(M, L)`.
        bins: of the histogram.
    """
    p, q = _shares(real, bins), _shares(generated, bins)
    mixture = (p + q) / 2
    return float(((p * np.log(p / mixture)).sum() + (q * np.log(q / mixture)).sum()) / 2)


def wasserstein(real: Array, generated: Array) -> float:
    """Wasserstein-1 distance of the pooled values, in their unit, >= 0, lower is better.

    The area between the two distribution functions (L. N. Vaserstein, 1969; computed by scipy). Unlike `kl` it has no bins and
    counts how far a misplaced value is from where it belongs.

    Args:
        real: values `(N, L)`.
        generated: values `(M, L)`.
    """
    from scipy.stats import wasserstein_distance  # slow to load, and only needed here

    return float(wasserstein_distance(real.ravel(), generated.ravel()))


def _shares(values: Array, bins: int) -> Array:
    counts = np.histogram(np.clip(values, 0, 1), bins=bins, range=(0, 1))[0] + 1.0
    return np.asarray(counts / counts.sum())
