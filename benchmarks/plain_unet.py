"""The yardstick: a conditional 1-D U-Net as it is usually written, on every point, eager, in fp32.

Two group norms a block, points last in memory, skips laid beside, attention with its bias as a matrix of its own. It is what
FaultCell's own network was before it was made fast, at a patch of one point.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two convolutions, the second modulated, around a skip: `(B, C_in, L) -> (B, C_out, L)`."""

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, before), nn.SiLU(), nn.Conv1d(before, after, 3, padding=1))
        self.modulation = nn.Linear(embedding, 2 * after)
        self.norm = nn.GroupNorm(8, after)
        self.second = nn.Conv1d(after, after, 3, padding=1)
        self.skip = nn.Conv1d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        scale, shift = self.modulation(F.silu(embedded))[..., None].chunk(2, dim=1)
        out: Tensor = self.skip(x) + self.second(F.silu(self.norm(self.first(x)) * (1 + scale) + shift))
        return out


class Attention(nn.Module):
    """Residual self-attention with a bias set by the condition."""

    def __init__(self, channels: int, length: int, embedding: int, *, heads: int = 4, rank: int = 4) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(8, channels)
        self.qkv, self.out = nn.Conv1d(channels, 3 * channels, 1), nn.Conv1d(channels, channels, 1)
        self.rows, self.columns = (nn.Parameter(torch.randn(heads, rank, length)) for _ in range(2))
        self.weights = nn.Linear(embedding, heads * rank)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        weights = self.weights(condition).unflatten(1, (self.heads, -1))
        bias = torch.einsum("bhr,hrl,hrm->bhlm", weights, self.rows, self.columns)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = x + self.out(attended.transpose(-1, -2).flatten(1, 2))
        return out


class PlainUNet(nn.Module):
    """`(B, C, L)` to the same, for conditions `(B, F)`; attention at every level."""

    def __init__(self, channels: int, *, features: int, length: int, widths: tuple[int, ...], embedding: int = 128) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, -math.log(10_000), embedding // 2)))
        self.time, self.condition = (
            nn.Sequential(nn.Linear(size, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
            for size in (embedding, features)
        )
        self.stem = nn.Conv1d(channels, widths[0], 3, padding=1)
        self.encoder, self.attention, self.down = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.decoder, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            self.encoder.append(Block(widths[max(level - 1, 0)], width, embedding))
            self.attention.append(Attention(width, length >> level, embedding))
            self.decoder.append(Block(2 * width, width, embedding))
            if level + 1 < len(widths):
                self.down.append(nn.Conv1d(width, width, 3, stride=2, padding=1))
                self.up.append(nn.Conv1d(widths[level + 1], width, 3, padding=1))
        self.middle = Block(widths[-1], widths[-1], embedding)
        self.out = nn.Sequential(nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv1d(widths[0], channels, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        angles, alone = t[:, None] * self.frequencies, self.condition(condition)
        embedded = self.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + alone
        x, seen = self.stem(x), []
        for level, block in enumerate(self.encoder):
            x = self.attention[level](block(x, embedded), alone)
            seen.append(x)
            x = self.down[level](x) if level < len(self.down) else x
        x = self.middle(x, embedded)
        for level in reversed(range(len(self.decoder))):
            x = self.up[level](F.interpolate(x, scale_factor=2.0)) if level < len(self.up) else x
            x = self.decoder[level](torch.cat([x, seen[level]], dim=1), embedded)
        out: Tensor = self.out(x)
        return out
