"""How long a curve lasts: networks of the two durations, head and tail."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from faultcell.models.base import DURATIONS, Batch, GenerativeModel, Phase, Sampling, Shape, masked_mean, weighted
from faultcell.models.unet import Embedding


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


class GaussianDurations(nn.Module):
    """Mean and spread of the durations, each a function of the condition: what the baselines draw them from.

    Args:
        features: size of the condition vector.
        hidden: width.
    """

    def __init__(self, features: int, *, hidden: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(features, hidden), nn.SiLU())
        self.second = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU())
        self.out = nn.Linear(hidden, 2 * DURATIONS)
        nn.init.zeros_(self.out.weight)

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation, `(B, 2)` each, for conditions `(B, F)`."""
        mean, log_std = self.out(self.second(self.first(condition))).chunk(2, dim=1)
        return mean, log_std.clamp(-4, 1)

    def draw(self, condition: Tensor, noise: Tensor) -> Tensor:
        """Durations `(B, 2)` for conditions `(B, F)` and standard-normal `noise` `(B, 2)`."""
        mean, log_std = self(condition)
        drawn: Tensor = mean + log_std.exp() * noise
        return drawn

    def loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of each sample `(B,)`, without its constant."""
        mean, log_std = self(batch.condition)
        return masked_mean(0.5 * ((batch.durations - mean) / log_std.exp()).square() + log_std, batch.durations_mask)

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards."""
        return [[self.out], [self.second], [self.first]]


def joined(*groups: list[list[nn.Module]]) -> list[list[nn.Module]]:
    """The layers of several networks, from the output inwards; the shorter ones are thawed whole when they run out."""
    return [list(itertools.chain(*parts)) for parts in itertools.zip_longest(*groups, fillvalue=())]


class OneShot(GenerativeModel):
    """What the baselines have in common: a curve is drawn in one go, its durations from a conditional Gaussian.

    Args:
        shape: sizes that the data set.
        hidden: width of the network of durations.
        blur: std of the noise on the durations that the curve is told in training.
    """

    def __init__(self, shape: Shape, *, hidden: int, blur: float) -> None:
        super().__init__(shape, blur=blur)
        self.durations = GaussianDurations(shape.features, hidden=hidden)

    def durations_phase(self) -> Phase:
        """The update of the durations."""
        return Phase("durations", [self.durations], lambda batch, *_: weighted(batch, self.durations.loss(batch)))

    def draw_durations(self, condition: Tensor, noise: Tensor, how: Sampling) -> Tensor:
        """Scaled durations `(B, 2)` for conditions `(B, F)`."""
        return self.durations.draw(condition, noise[:, :DURATIONS])
