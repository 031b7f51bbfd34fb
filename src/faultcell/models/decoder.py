"""Residual convolutional decoder and encoder of whole curves: what the GAN and the VAE are built from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultcell.models.base import Shape, fold, unfold


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation, eight groups where the channels allow it."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


class ResidualBlock(nn.Module):
    """Two convolutions, the second modulated by the embedding, around a skip: `(B, C_in, L) -> (B, C_out, L)`."""

    def __init__(self, before: int, after: int, *, embedding: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(before), nn.SiLU(), nn.Conv1d(before, after, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * after)
        self.normalise = norm(after)
        self.second = nn.Conv1d(after, after, 3, padding=1)
        self.skip = nn.Conv1d(before, after, 1) if before != after else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias) if self.second.bias is not None else None

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """`x` `(B, C_in, L)`, `embedded` `(B, E)` to `(B, C_out, L)`."""
        scale, shift = self.modulation(F.silu(embedded))[..., None].chunk(2, dim=1)
        inner = self.normalise(self.first(x)) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.second(F.silu(inner))
        return out


class Decoder(nn.Module):
    """A code, what is told and what is known to a curve, from a coarse level to a fine one.

    Args:
        shape: sizes that the data set.
        latent: size of the code.
        conditioning: size of what is told.
        widths: channels of each level, coarse to fine.
        patch: neighbouring points that leave the network together.
        hidden: size of the embedding that modulates every block.
    """

    def __init__(self, shape: Shape, *, latent: int, conditioning: int, widths: Sequence[int], patch: int, hidden: int) -> None:
        super().__init__()
        self.patch = patch
        self.coarse = _coarsest(shape, widths, patch)
        self.embed = nn.Sequential(nn.Linear(conditioning + latent, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.first = nn.Linear(hidden, widths[0] * self.coarse)
        self.load = nn.Conv1d((patch + 1) * shape.known, widths[-1], 3, padding=1)
        befores = [widths[0], *widths[:-1]]
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after, embedding=hidden) for before, after in zip(befores, widths, strict=True)
        )
        self.last = ResidualBlock(widths[-1], widths[-1], embedding=hidden)
        self.out = nn.Sequential(norm(widths[-1]), nn.SiLU(), nn.Conv1d(widths[-1], patch * shape.channels, 3, padding=1))

    def forward(self, code: Tensor, conditioning: Tensor, load: tuple[Tensor, Tensor]) -> Tensor:
        """`code` `(B, Z)`, `told` `(B, F)`, known channels `(B, K, L)` and flags `(B, K)` to `(B, C, L)`."""
        embedded = self.embed(torch.cat([conditioning, code], dim=1))
        x = self.first(F.silu(embedded)).unflatten(1, (-1, self.coarse))
        for level, block in enumerate(self.blocks):
            x = block(F.interpolate(x, scale_factor=2.0) if level else x, embedded)
        x = self.last(x + self.load(folded_load(load, self.patch)), embedded)
        return unfold(self.out(x), self.patch)

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards."""
        return [[self.out], [self.last, self.load], *[[block] for block in reversed(self.blocks)], [self.first], [self.embed]]


class Encoder(nn.Module):
    """A curve, what is told and what is known to a vector, from a fine level to a coarse one.

    Args:
        shape: sizes that the data set.
        conditioning: size of what is told.
        widths: channels of each level, fine to coarse.
        patch: neighbouring points that enter the network together.
        hidden: size of the embedding that modulates every block.
        out: size of the vector.
    """

    def __init__(self, shape: Shape, *, conditioning: int, widths: Sequence[int], patch: int, hidden: int, out: int) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Sequential(nn.Linear(conditioning, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        channels = patch * 2 * shape.channels + (patch + 1) * shape.known
        self.stem = nn.Conv1d(channels, widths[0], 3, padding=1)
        befores = [widths[0], *widths[:-1]]
        self.blocks = nn.ModuleList(
            ResidualBlock(before, after, embedding=hidden) for before, after in zip(befores, widths, strict=True)
        )
        self.out = nn.Linear(widths[-1] * _coarsest(shape, widths, patch), out)

    def forward(self, curve: Tensor, mask: Tensor, conditioning: Tensor, load: tuple[Tensor, Tensor]) -> Tensor:
        """`curve` and `mask` `(B, C, L)`, `told` `(B, F)`, known channels and flags to `(B, out)`."""
        kept = mask.to(curve.dtype)
        x = torch.cat([fold(torch.cat([curve * kept, kept], dim=1), self.patch), folded_load(load, self.patch)], dim=1)
        x, embedded = self.stem(x), self.embed(conditioning)
        for level, block in enumerate(self.blocks):
            x = block(F.avg_pool1d(x, 2) if level else x, embedded)
        encoded: Tensor = self.out(F.silu(x).flatten(1))
        return encoded

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards."""
        return [[self.out], *[[block] for block in reversed(self.blocks)], [self.stem, self.embed]]


def folded_load(load: tuple[Tensor, Tensor], patch: int) -> Tensor:
    """Known channels, zero where unknown, and their flags, `(B, (P + 1) K, L / P)`."""
    known, observed = load
    patches = fold(known * observed[..., None], patch)
    return torch.cat([patches, observed[..., None].expand(-1, -1, patches.shape[-1])], dim=1)


def _coarsest(shape: Shape, widths: Sequence[int], patch: int) -> int:
    """Points of the coarsest level."""
    factor = patch * 2 ** (len(widths) - 1)
    if shape.length % factor:
        raise ValueError(f"{len(widths)} levels of patches of {patch} need a length divisible by {factor}")
    return int(shape.length // factor)
