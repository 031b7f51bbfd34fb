"""A conditional 1-D U-Net with residual, condition-biased self-attention.

Every residual block is modulated by the embedded time step and condition (feature-wise scale and shift). Attention is
`softmax(Q K^T / sqrt(d_k) + B_c) V` added to its input, where `B_c` is a learned bias set by the condition: here a sum of
`r` learned position patterns per head, weighted by the condition.

References:
    Ronneberger et al., U-Net, 2015, https://arxiv.org/abs/1505.04597.
    Perez et al., FiLM, 2018, https://arxiv.org/abs/1709.07871.
    Limited-Data Augmentation for Fault Diagnosis in Lithium-Ion Battery Energy Storage Systems via Transferable
    Conditional Diffusion, Batteries 2025, 11(7), 248 (attention with condition bias).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultcell.models.generative import fold, unfold


def norm(channels: int) -> nn.GroupNorm:
    """Group normalisation, eight groups where the channels allow it."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


class Embedding(nn.Module):
    """Time step and condition to one vector, and the condition alone to another.

    Args:
        features: size of the condition vector.
        size: size of the embedding.
    """

    frequencies: Tensor

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, -math.log(10_000), size // 2)), persistent=False)
        self.time = nn.Sequential(nn.Linear(2 * (size // 2), size), nn.SiLU(), nn.Linear(size, size))
        self.condition = nn.Sequential(nn.Linear(features, size), nn.SiLU(), nn.Linear(size, size))

    def forward(self, t: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Embed.

        Args:
            t: time steps `(B,)`.
            condition: `(B, F)`.

        Returns:
            Time and condition together, and the condition alone, `(B, E)` each.
        """
        angles = t[:, None].to(self.frequencies.dtype) * self.frequencies
        embedded = self.condition(condition)
        return self.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + embedded, embedded


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


class ConditionedAttention(nn.Module):
    """Residual multi-head self-attention whose logits carry a bias `B_c` set by the condition.

    Args:
        channels: `C`, a multiple of `heads`.
        length: `L`, the length of the sequence at this level.
        heads: number of heads.
        embedding: size of the embedded condition.
        rank: number of position patterns per head that make up `B_c`; 0 for attention without a bias.
    """

    def __init__(self, channels: int, *, length: int, heads: int, embedding: int, rank: int) -> None:
        super().__init__()
        self.heads = heads
        self.normalise = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        self.rank = rank
        if rank:
            self.rows = nn.Parameter(torch.randn(heads, rank, length) / math.sqrt(rank))
            self.columns = nn.Parameter(torch.randn(heads, rank, length) / math.sqrt(rank))
            self.weights = nn.Linear(embedding, heads * rank)
            nn.init.zeros_(self.weights.weight)

    def bias(self, condition: Tensor) -> Tensor:
        """`B_c` `(B, heads, L, L)` for the embedded condition `(B, E)`."""
        weights = self.weights(condition).unflatten(1, (self.heads, -1))
        return torch.einsum("bhr,hrl,hrm->bhlm", weights, self.rows, self.columns)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` `(B, C, L)`, embedded `condition` `(B, E)` to `(B, C, L)`."""
        q, k, v = self.qkv(self.normalise(x)).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias(condition) if self.rank else None)
        out: Tensor = x + self.out(attended.transpose(-1, -2).flatten(1, 2))
        return out


class Level(nn.Module):
    """A residual block and, where asked for, attention."""

    def __init__(self, block: ResidualBlock, attention: ConditionedAttention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x: Tensor, embedded: Tensor, condition: Tensor) -> Tensor:
        """`x` `(B, C_in, L)` to `(B, C_out, L)`."""
        x = self.block(x, embedded)
        return x if self.attention is None else self.attention(x, condition)


class UNet(nn.Module):
    """The denoiser of curves.

    Args:
        channels: `C`, of the noisy curve and of what is predicted.
        known: `K`, channels that may be known beforehand (the load current; later a reference curve).
        features: size of the condition vector.
        length: `L`, divisible by 2 to the power of the number of levels less one.
        widths: channels of each level.
        attention: whether each encoder level has attention.
        bottleneck_attention: whether the bottleneck has.
        heads: heads of every attention.
        rank: rank of every `B_c`.
        embedding: size of the time and condition embeddings.
        patch: neighbouring points taken together at the border of the network, which then works on `L / patch` points.
    """

    def __init__(
        self,
        channels: int,
        *,
        known: int,
        features: int,
        length: int,
        widths: Sequence[int],
        attention: Sequence[bool],
        bottleneck_attention: bool,
        heads: int,
        rank: int,
        embedding: int,
        patch: int,
    ) -> None:
        super().__init__()
        coarsest = patch * 2 ** (len(widths) - 1)
        if len(widths) != len(attention) or length % coarsest:
            raise ValueError(f"{len(widths)} widths need as many attention switches and a length divisible by {coarsest}")

        def attend(width: int, level: int, wanted: bool) -> ConditionedAttention | None:
            shape = {"length": length // patch >> level, "heads": heads, "embedding": embedding, "rank": rank}
            return ConditionedAttention(width, **shape) if wanted else None

        self.patch = patch
        deepest, last = widths[-1], len(widths) - 1
        self.embed = Embedding(features, embedding)
        self.stem = nn.Conv1d(patch * (channels + known) + known, widths[0], 3, padding=1)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            block = ResidualBlock(widths[max(level - 1, 0)], width, embedding=embedding)
            self.encoder.append(Level(block, attend(width, level, attention[level])))
            self.decoder.append(Level(ResidualBlock(2 * width, width, embedding=embedding), None))
            if level < last:
                self.down.append(nn.Conv1d(width, width, 3, stride=2, padding=1))
                self.up.append(nn.Conv1d(widths[level + 1], width, 3, padding=1))
        self.middle = nn.ModuleList(
            [
                Level(ResidualBlock(deepest, deepest, embedding=embedding), attend(deepest, last, bottleneck_attention)),
                Level(ResidualBlock(deepest, deepest, embedding=embedding), None),
            ]
        )
        last_layer = nn.Conv1d(widths[0], patch * channels, 3, padding=1)
        nn.init.zeros_(last_layer.weight)
        nn.init.zeros_(last_layer.bias)  # type: ignore[arg-type]
        self.out = nn.Sequential(norm(widths[0]), nn.SiLU(), last_layer)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, known: Tensor, is_known: Tensor) -> Tensor:
        """Predict the noise (or velocity) in a curve.

        Args:
            x: noisy curves `(B, C, L)`.
            t: time steps `(B,)`.
            condition: `(B, F)`.
            known: channels known beforehand `(B, K, L)`; ignored where not known.
            is_known: one where they are known, else zero `(B, K)`.

        Returns:
            `(B, C, L)`.
        """
        embedded, alone = self.embed(t, condition)
        patches = fold(torch.cat([x, known * is_known[..., None]], dim=1), self.patch)
        x = self.stem(torch.cat([patches, is_known[..., None].expand(-1, -1, patches.shape[-1])], dim=1))
        skips = []
        for level, part in enumerate(self.encoder):
            x = part(x, embedded, alone)
            skips.append(x)
            x = self.down[level](x) if level < len(self.down) else x
        for part in self.middle:
            x = part(x, embedded, alone)
        for level in reversed(range(len(self.decoder))):
            if level < len(self.up):
                x = self.up[level](F.interpolate(x, scale_factor=2.0))
            x = self.decoder[level](torch.cat([x, skips[level]], dim=1), embedded, alone)
        return unfold(self.out(x), self.patch)

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards: the order in which fine-tuning thaws them. Together they are the network."""
        levels = range(len(self.decoder))
        decoder = [[self.decoder[i], *self.up[i : i + 1]] for i in levels]
        encoder = [[self.encoder[i], *self.down[i : i + 1]] for i in reversed(levels)]
        return [[self.out], *decoder, [self.middle], *encoder, [self.stem, self.embed]]
