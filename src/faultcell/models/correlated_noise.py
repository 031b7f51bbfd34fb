"""Noise that is as smooth as the data, for the forward process on curves.

White noise is rougher than any curve, and what a network fails to remove of it stays in the sample as jitter that no cell
shows. Noise with the correlations of the data itself leaves none, and asks the network for the few directions in which
curves really differ. Of `x_t = sqrt(abar) x + sqrt(1 - abar) n` with `n ~ N(0, K)` the reverse updates are the same for every
covariance `K`, so the schedulers serve as they are.

References:
    Bilos et al., Modeling Temporal Data as Continuous Functions with Stochastic Process Diffusion, 2023,
    https://arxiv.org/abs/2211.02590.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from faultcell.config import DiffusionConfig

FEWEST_FOR_CORRELATION = 8
SOURCE_WEIGHT = 16  # curves for which the covariance before counts


def noise_factor(
    curves: Tensor,
    mask: Tensor,
    weight: Tensor,
    sections: Sequence[int],
    config: DiffusionConfig,
    *,
    before: Tensor | None = None,
) -> Tensor:
    """Symmetric factors `(C, L, L)` that turn white noise into noise correlated as the data are.

    The covariance of each channel and section is `(1 - s) C + s K + w I`: that of the data with a mean variance of one, and,
    lest what the data never did become impossible, a share of a Gaussian process and of white noise.

    Args:
        curves: standardised `(N, C, L)`.
        mask: where they are known `(N, C, L)`.
        weight: what each section of each counts for, 0 to 1 `(N, C, S)`.
        sections: lengths of the parts of the grid, each with noise of its own; `L` is their sum.
        config: the shares `s` and `w`, and the length scales of `K`.
        before: factors of other curves, towards whose covariance that of a few is drawn `(C, L, L)`.
    """
    channels, length = curves.shape[1:]
    if not config.noise_scales:
        return torch.eye(length).expand(channels, length, length).contiguous()
    edges = list(itertools.accumulate(sections, initial=0))
    parts = [
        [
            _factor(
                curves[:, c, a:b].double(),
                mask[:, c, a:b],
                weight[:, c, section].double(),
                config,
                None if before is None else before[c, a:b, a:b].double(),
            )
            for section, (a, b) in enumerate(itertools.pairwise(edges))
        ]
        for c in range(channels)
    ]
    joined = [torch.block_diag(*blocks) for blocks in parts]  # type: ignore[no-untyped-call]
    return torch.stack(joined).float()


def _factor(curves: Tensor, mask: Tensor, weight: Tensor, config: DiffusionConfig, before: Tensor | None) -> Tensor:
    """Symmetric square root `(S, S)` for one channel and section; the data count where whole curves are known."""
    whole = mask.all(1)
    known, weight = curves[whole], weight[whole]
    length = curves.shape[1]
    covariance = _process(length, config)
    if len(known) >= FEWEST_FOR_CORRELATION:
        seen = torch.cov(known.T, correction=0, aweights=weight)
        seen = seen / seen.diagonal().mean().clamp(min=1e-12)
        covariance = (1 - config.noise_smooth) * seen + config.noise_smooth * covariance
        if before is not None:
            share = float(weight.sum()) / (float(weight.sum()) + SOURCE_WEIGHT)
            covariance = share * covariance + (1 - share) * (before @ before.T)
    elif before is not None:
        return before
    values, vectors = torch.linalg.eigh(covariance)
    # The symmetric root, not Cholesky's: it keeps what happens at a point near that point, which suits convolutions.
    root: Tensor = vectors @ torch.diag((values.clamp(min=0) + config.noise_white).sqrt()) @ vectors.T
    return root


def _process(length: int, config: DiffusionConfig) -> Tensor:
    points = torch.arange(length, dtype=torch.float64)
    square = (points[:, None] - points) ** 2
    return torch.stack([torch.exp(-square / (2 * scale**2)) for scale in config.noise_scales]).mean(0)
