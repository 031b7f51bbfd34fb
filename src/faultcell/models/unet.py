"""A conditional 1-D U-Net with residual, condition-biased self-attention.

Every residual block is modulated by the embedded time step and condition (feature-wise scale and shift). Attention is
`softmax(Q K^T / sqrt(d_k) + B_c) V` added to its input, where `B_c` is a learned bias set by the condition: here a sum of
`r` learned position patterns per head, weighted by the condition.

Built for speed on CPUs, where most of the time is lost between the convolutions (`docs/performance.md`): within the network
points come before channels, `(B, L, C)`, so that convolutions, matrix products and normalisation read memory in order and copy
nothing; a block normalises once, what the encoder saw is added in the decoder, not laid beside, and `B_c` costs a few more
columns of `Q` and `K`, not a matrix of its own.

References:
    Ronneberger et al., U-Net, 2015, https://arxiv.org/abs/1505.04597.
    Peebles and Xie, Scalable Diffusion Models with Transformers (modulated layer normalisation), 2023,
    https://arxiv.org/abs/2212.09748.
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

from faultcell.models.base import fold, unfold


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


class Conv(nn.Module):
    """A convolution over points that keeps channels last: `(B, L, C_in) -> (B, L / stride, C_out)`.

    oneDNN reads such memory as it lies only as an image of height one.

    Args:
        before: `C_in`.
        after: `C_out`.
        stride: points from one output to the next.
        zero: begin with an output of zero.
    """

    def __init__(self, before: int, after: int, *, stride: int = 1, zero: bool = False) -> None:
        super().__init__()
        self.stride = stride
        plain = nn.Conv1d(before, after, 3)
        if zero:
            nn.init.zeros_(plain.weight)
            nn.init.zeros_(plain.bias)  # type: ignore[arg-type]
        self.weight = nn.Parameter(plain.weight.detach().transpose(1, 2).contiguous())  # channels last as well
        self.bias = plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """`(B, L, C_in)` to `(B, L / stride, C_out)`."""
        image, weight = (part.transpose(1, 2).unsqueeze(2) for part in (x, self.weight))
        out = F.conv2d(image, weight, self.bias, stride=(1, self.stride), padding=(0, 1))
        return out.squeeze(2).transpose(1, 2)


def normalised(x: Tensor) -> Tensor:
    """Each point of `(B, L, C)` with mean zero and variance one over its channels."""
    return F.layer_norm(x, x.shape[-1:])


class ResidualBlock(nn.Module):
    """Two convolutions of a modulated input, added to it: `(B, L, C) -> (B, L, C)`."""

    def __init__(self, channels: int, *, embedding: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.first = Conv(channels, channels)
        self.second = Conv(channels, channels, zero=True)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """`x` `(B, L, C)`, activated embedding `embedded` `(B, E)` to `(B, L, C)`."""
        scale, shift = self.modulation(embedded).unsqueeze(1).chunk(2, dim=2)
        inner = self.first(F.silu(torch.addcmul(shift, normalised(x), 1 + scale)))
        out: Tensor = x + self.second(F.silu(inner))
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
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        self.rank = rank
        if rank:
            self.rows = nn.Parameter(torch.randn(heads, length, rank) / math.sqrt(rank))
            self.columns = nn.Parameter(torch.randn(heads, length, rank) / math.sqrt(rank))
            self.weights = nn.Linear(embedding, heads * rank)
            nn.init.zeros_(self.weights.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` `(B, L, C)`, embedded `condition` `(B, E)` to `(B, L, C)`."""
        q, k, v = self.qkv(normalised(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = q / math.sqrt(q.shape[-1])
        if self.rank:
            # B_c = rows diag(weights) columns^T: a few more columns of Q and K.
            weights = self.weights(condition).view(-1, self.heads, 1, self.rank)
            q = torch.cat([q, weights * self.rows], dim=-1)
            k = torch.cat([k, self.columns.expand(x.shape[0], -1, -1, -1)], dim=-1)
        attended = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        out: Tensor = x + self.out(attended.transpose(1, 2).flatten(2))
        return out


class Level(nn.Module):
    """A residual block and, where asked for, attention."""

    def __init__(self, block: ResidualBlock, attention: ConditionedAttention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x: Tensor, embedded: Tensor, condition: Tensor) -> Tensor:
        """`(B, L, C)` to the same."""
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
        self.stem = Conv(patch * (channels + known) + known, widths[0])
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            self.encoder.append(Level(ResidualBlock(width, embedding=embedding), attend(width, level, attention[level])))
            self.decoder.append(Level(ResidualBlock(width, embedding=embedding), None))
            if level < last:
                self.down.append(Conv(width, widths[level + 1], stride=2))
                self.up.append(Conv(widths[level + 1], width))
        self.middle = nn.ModuleList(
            [
                Level(ResidualBlock(deepest, embedding=embedding), attend(deepest, last, bottleneck_attention)),
                Level(ResidualBlock(deepest, embedding=embedding), None),
            ]
        )
        self.out = Conv(widths[0], patch * channels, zero=True)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, known: Tensor, observed: Tensor) -> Tensor:
        """Predict the noise (or velocity) in a curve.

        Args:
            x: noisy curves `(B, C, L)`.
            t: time steps `(B,)`.
            condition: `(B, F)`.
            known: channels known beforehand `(B, K, L)`; ignored where not known.
            observed: one where they are known, else zero `(B, K)`.

        Returns:
            `(B, C, L)`.
        """
        embedded, alone = self.embed(t, condition)
        embedded = F.silu(embedded)
        patches = fold(torch.cat([x, known * observed[..., None]], dim=1), self.patch).transpose(1, 2)
        x = self.stem(torch.cat([patches, observed[:, None].expand(-1, patches.shape[1], -1)], dim=2))
        seen = []
        for level, part in enumerate(self.encoder):
            x = part(x, embedded, alone)
            seen.append(x)
            x = self.down[level](x) if level < len(self.down) else x
        for part in self.middle:
            x = part(x, embedded, alone)
        for level in reversed(range(len(self.decoder))):
            if level < len(self.up):
                x = self.up[level](x.repeat_interleave(2, dim=1))
            x = self.decoder[level](x + seen[level], embedded, alone)
        return unfold(self.out(F.silu(normalised(x))).transpose(1, 2), self.patch)

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards: the order in which fine-tuning thaws them. Together they are the network."""
        levels = range(len(self.decoder))
        decoder = [[self.decoder[i], *self.up[i : i + 1]] for i in levels]
        encoder = [[self.encoder[i], *self.down[i : i + 1]] for i in reversed(levels)]
        return [[self.out], *decoder, [self.middle], *encoder, [self.stem, self.embed]]
