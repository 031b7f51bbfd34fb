"""The generative network: how long a curve lasts, then how it runs.

Durations are drawn first, by a small network of their own, because a known load can only be laid on the anchored grid once
head and tail have a length. The curve is then drawn given its durations.

The curve network denoises what a curve has beyond the curve its conditions let expect. That expectation is learnt by plain
regression, which needs far fewer steps than to learn it through noise; the diffusion keeps to what conditions do not tell.

References:
    Han et al., CARD: Classification and Regression Diffusion Models, 2022, https://arxiv.org/abs/2206.07275.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faultcell.config import GridConfig, NetConfig
from faultcell.models.diffusion import Diffusion
from faultcell.models.unet import Embedding, UNet

DURATIONS = 2


class DurationNet(nn.Module):
    """A conditional denoiser of the two durations.

    Args:
        features: size of the condition vector.
        hidden: width.
        embedding: size of the embeddings.
    """

    def __init__(self, features: int, *, hidden: int, embedding: int) -> None:
        super().__init__()
        self.embed = Embedding(features, embedding)
        self.first = nn.Linear(DURATIONS + embedding, hidden)
        self.second = nn.Linear(hidden + embedding, hidden)
        self.out = nn.Linear(hidden, DURATIONS)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Predict the noise (or velocity) in the durations.

        Args:
            x: noisy durations `(B, 2)`.
            t: time steps `(B,)`.
            condition: `(B, F)`.
        """
        embedded, _ = self.embed(t, condition)
        embedded = nn.functional.silu(embedded)
        hidden = nn.functional.silu(self.first(torch.cat([x, embedded], dim=1)))
        hidden = hidden + nn.functional.silu(self.second(torch.cat([hidden, embedded], dim=1)))
        predicted: Tensor = self.out(hidden)
        return predicted

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards."""
        return [[self.out], [self.second], [self.first], [self.embed]]


@dataclass(frozen=True)
class Told:
    """What the curve network is told.

    Attributes:
        condition: conditions and durations `(B, F)`.
        expected: the curve they let expect `(B, C, L)`.
        known: channels known beforehand `(B, K, L)`.
        is_known: which are `(B, K)`.
    """

    condition: Tensor
    expected: Tensor
    known: Tensor
    is_known: Tensor


class Expectation(nn.Module):
    """What conditions let expect.

    Args:
        features: size of the condition vector.
        shape: of what is expected, `(C, L)` or `(2,)`.
        hidden: width.
    """

    def __init__(self, features: int, *, shape: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.shape = shape
        self.first = nn.Sequential(nn.Linear(features, hidden), nn.SiLU())
        self.second = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU())
        self.out = nn.Linear(hidden, math.prod(shape))
        nn.init.zeros_(self.out.weight)

    def forward(self, condition: Tensor) -> Tensor:
        """`condition` `(B, F)` to `(B, *shape)`."""
        hidden = self.first(condition)
        expected: Tensor = self.out(hidden + self.second(hidden))
        return expected.reshape(-1, *self.shape)

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards."""
        return [[self.out], [self.second], [self.first]]


def around(expected: Tensor, rest: Callable[[Tensor], Tensor], x: Tensor, *, diffusion: Diffusion, t: Tensor) -> Tensor:
    """A prediction for `x` from one for what `x` has beyond its expectation.

    Of a noisy `a x + s n` the network sees `a (x - m) + s n`, where `m` is the expectation; the velocity `a n - s x` is that
    of the rest, less `s m`; the noise is the same.

    Args:
        expected: `m` `(B, ...)`.
        rest: predicts noise or velocity in the rest.
        x: noisy samples `(B, ...)`.
        diffusion: the forward process, for `a`, `s` and what is predicted.
        t: time steps `(B,)`.
    """
    signal, noise = (factor.reshape(-1, *[1] * (x.ndim - 1)) for factor in diffusion.signal_and_noise(t))
    predicted = rest(x - signal * expected)
    return predicted - noise * expected if diffusion.predicts_velocity else predicted


class Network(nn.Module):
    """The networks of durations, expectations and curves, made from one configuration.

    Args:
        channels: channels of a curve.
        known: channels that may be known beforehand.
        features: size of the condition vector, without the durations.
        config: sizes.
        grid: the grid, for its length.
        hidden: conditions that only the durations are told `(features,)`, true where hidden.

    Attributes:
        noise_factor: what makes noise on curves as smooth as they are `(C, L, L)`; see `models.noise`.
    """

    noise_factor: Tensor
    shown: Tensor

    def __init__(
        self, channels: int, *, known: int, features: int, config: NetConfig, grid: GridConfig, hidden: Tensor | None = None
    ) -> None:
        super().__init__()
        shown = torch.ones(features) if hidden is None else (~hidden).float()
        self.register_buffer("shown", shown, persistent=False)
        self.register_buffer("noise_factor", torch.eye(grid.length).repeat(channels, 1, 1))
        self.durations = DurationNet(features, hidden=config.duration_hidden, embedding=config.embedding)
        told = features + 2 * DURATIONS
        self.expectation = Expectation(told, shape=(channels, grid.length), hidden=config.expectation_hidden)
        self.expected_durations = Expectation(features, shape=(DURATIONS,), hidden=config.duration_hidden)
        self.curve = UNet(
            channels,
            known=known,
            features=told,
            length=grid.length,
            widths=config.widths,
            attention=config.attention,
            bottleneck_attention=config.bottleneck_attention,
            heads=config.heads,
            rank=config.bias_rank,
            embedding=config.embedding,
            patch=config.patch,
        )

    def silence(self, columns: Tensor) -> None:
        """Give conditions that pre-training never sets, by their places `(n,)`, no say to begin with; in place.

        Their weights would stay as random as they began, and would shift every curve on the day they are first set.
        """
        embeddings = (self.curve.embed.condition, self.durations.embed.condition)
        for first in (*embeddings, self.expectation.first, self.expected_durations.first):
            layer = first[0]
            assert isinstance(layer, nn.Linear)
            layer.weight.data[:, columns] = 0

    def tell(self, condition: Tensor, durations: Tensor, mask: Tensor) -> Tensor:
        """What the curve network is told: its part of the conditions, and the durations.

        Counts and cumulated times of a handful of faults name the cell they come from rather than what it went through; a
        curve network that sees them recalls that cell. They reach the curve through the durations.

        Args:
            condition: `(B, F)`.
            durations: scaled `(B, 2)`.
            mask: which are known `(B, 2)`.

        Returns:
            `(B, F + 4)`.
        """
        return torch.cat([condition * self.shown, durations * mask, mask.to(durations.dtype)], dim=1)

    def expect(self, condition: Tensor) -> Tensor:
        """The curve that conditions and durations `(B, F)` let expect `(B, C, L)`."""
        return self.smooth(self.expectation(condition))

    def denoise(self, x: Tensor, t: Tensor, told: Told, diffusion: Diffusion) -> Tensor:
        """Predict the noise or velocity in curves, as smooth as they are.

        Args:
            x: noisy curves `(B, C, L)`.
            t: time steps `(B,)`.
            told: what is known of the curves.
            diffusion: the forward process.
        """

        def rest(x: Tensor) -> Tensor:
            return self.smooth(self.curve(x, t, told.condition, told.known, told.is_known))

        return around(told.expected, rest, x, diffusion=diffusion, t=t)

    def denoise_durations(self, x: Tensor, t: Tensor, condition: Tensor, diffusion: Diffusion) -> Tensor:
        """Predict the noise or velocity in durations `(B, 2)`, given conditions `(B, F)`."""
        expected = self.expected_durations(condition).detach()
        return around(expected, lambda x: self.durations(x, t, condition), x, diffusion=diffusion, t=t)

    def smooth(self, noise: Tensor) -> Tensor:
        """White noise `(B, C, L)` to noise as smooth as curves are."""
        return torch.einsum("bcl,cml->bcm", noise, self.noise_factor)

    def groups(self) -> list[list[nn.Module]]:
        """The layers of all networks, from the output inwards; the shorter ones are thawed whole when they run out."""
        networks = (self.curve, self.durations, self.expectation, self.expected_durations)
        parts = [network.groups() for network in networks]
        return [list(itertools.chain(*group)) for group in itertools.zip_longest(*parts, fillvalue=())]
