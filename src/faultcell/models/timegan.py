"""TimeGAN: a GAN in the latent space of a recurrent autoencoder, with a supervisor of its dynamics, here conditional.

The autoencoder learns first, then the supervisor, then all of them together. Neighbouring points of the grid enter as one
step. Durations come from a conditional Gaussian learnt beside it.

References:
    Yoon et al., Time-series Generative Adversarial Networks, 2019 (NeurIPS 32).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faultcell.config import TimeGanConfig
from faultcell.models.base import DURATIONS, Batch, Phase, Sampling, Shape, fold, masked_error, normal_like, unfold, weighted
from faultcell.models.decoder import folded_load
from faultcell.models.durations import OneShot, joined

FOOLED_ENOUGH = 0.15  # a discriminator better than this waits for the generator, as in the original


class Recurrent(nn.Module):
    """A GRU over the steps of a curve, told the same at each, and a linear layer on top.

    Args:
        before: channels that enter.
        conditioning: size of what is told.
        hidden: width.
        out: channels that leave.
    """

    def __init__(self, before: int, *, conditioning: int, hidden: int, out: int) -> None:
        super().__init__()
        self.condition_input = nn.Linear(conditioning, hidden)
        self.gru = nn.GRU(before + hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, out)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """`x` `(B, T, before)`, `told` `(B, F)` to `(B, T, out)`."""
        same = F.silu(self.condition_input(conditioning))[:, None].expand(-1, x.shape[1], -1)
        states, _ = self.gru(torch.cat([x, same], dim=2))
        seen: Tensor = self.out(states)
        return seen


class TimeGan(OneShot):
    """Embedder, recovery, generator, supervisor, discriminator and durations.

    Args:
        shape: sizes that the data set.
        config: sizes and weights.
        blur: std of the noise on the durations that the curve is told in training.
    """

    def __init__(self, shape: Shape, *, config: TimeGanConfig, blur: float) -> None:
        super().__init__(shape, hidden=config.hidden, blur=blur)
        self.config = config
        if shape.length % config.patch:
            raise ValueError(f"patches of {config.patch} need a length divisible by {config.patch}")
        self.steps = shape.length // config.patch
        self.noise_size = DURATIONS + self.steps * config.latent
        conditioning, points = shape.features + 2 * DURATIONS, config.patch * shape.channels
        load = (config.patch + 1) * shape.known
        sizes = {"conditioning": conditioning, "hidden": config.hidden}
        self.embedder = Recurrent(points + load, out=config.latent, **sizes)
        self.recovery = Recurrent(config.latent + load, out=points, **sizes)
        self.generator = Recurrent(config.latent + load, out=config.latent, **sizes)
        self.supervisor = Recurrent(config.latent, out=config.latent, **sizes)
        self.discriminator = Recurrent(config.latent, out=1, **sizes)

    def phases(self) -> list[Phase]:
        """Autoencoder, generator with supervisor, discriminator, durations."""
        pace = self.config.pace
        return [
            Phase("autoencoder", [self.embedder, self.recovery], self._autoencoder_loss, pace=pace),
            Phase("generator", [self.generator, self.supervisor], self._generator_loss, pace=pace),
            Phase("discriminator", [self.discriminator], self._discriminator_loss, pace=pace),
            self.durations_phase(),
        ]

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards; the discriminator, which is no part of what draws, always learns."""
        networks = (self.recovery, self.supervisor, self.generator, self.embedder)
        drawing: list[list[nn.Module]] = []
        for network in networks:
            drawing += [[network.out], [network.gru, network.condition_input]]
        first, *others = joined(drawing, self.durations.groups())
        return [[*first, self.discriminator], *others]

    def input_layers(self) -> list[nn.Linear]:
        """The layers that what is told passes first."""
        networks = (self.embedder, self.recovery, self.generator, self.supervisor, self.discriminator)
        first = self.durations.first[0]
        assert isinstance(first, nn.Linear)
        return [*[network.condition_input for network in networks], first]

    def draw_curve(self, conditioning: Tensor, load: tuple[Tensor, Tensor], noise: Tensor, how: Sampling) -> Tensor:
        """Scaled curves `(B, C, L)`; see `GenerativeModel.draw_curve`."""
        z = noise[:, DURATIONS:].reshape(len(noise), self.steps, -1)
        imagined = self._imagine(z, conditioning, self._load(load))
        return self._recover(self._supervise(imagined, conditioning), conditioning, self._load(load))

    def _load(self, load: tuple[Tensor, Tensor]) -> Tensor:
        return folded_load(load, self.config.patch).transpose(1, 2)

    def _imagine(self, z: Tensor, conditioning: Tensor, load: Tensor) -> Tensor:
        return torch.sigmoid(self.generator(torch.cat([z, load], dim=2), conditioning))

    def _supervise(self, latent: Tensor, conditioning: Tensor) -> Tensor:
        return torch.sigmoid(self.supervisor(latent, conditioning))

    def _embed(self, batch: Batch, conditioning: Tensor, load: Tensor) -> Tensor:
        points = fold(batch.curve * batch.mask, self.config.patch).transpose(1, 2)
        return torch.sigmoid(self.embedder(torch.cat([points, load], dim=2), conditioning))

    def _recover(self, latent: Tensor, conditioning: Tensor, load: Tensor) -> Tensor:
        return unfold(self.recovery(torch.cat([latent, load], dim=2), conditioning).transpose(1, 2), self.config.patch)

    def _told(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.blurred_condition_input(batch, generator), self._load((batch.known, batch.observed))

    def _noise(self, batch: Batch, generator: torch.Generator) -> Tensor:
        return normal_like(batch.weight[:, None, None].expand(-1, self.steps, self.config.latent), generator)

    def _autoencoder_loss(self, batch: Batch, generator: torch.Generator, done: float) -> Tensor:
        """Reconstruction of curves, and later, a little, how well the supervisor foresees their latent steps."""
        conditioning, load = self._told(batch, generator)
        latent = self._embed(batch, conditioning, load)
        error = masked_error(self._recover(latent, conditioning, load), batch.curve, batch.mask)
        if done >= self.config.supervise_until:
            error = error + 0.1 * self._foresight(latent, conditioning)
        return weighted(batch, error)

    def _foresight(self, latent: Tensor, conditioning: Tensor) -> Tensor:
        """Squared error of the supervisor's next latent step, for each curve `(B,)`."""
        return (latent[:, 1:] - self._supervise(latent, conditioning)[:, :-1]).square().mean(dim=(1, 2))

    def _generator_loss(self, batch: Batch, generator: torch.Generator, done: float) -> Tensor:
        """The supervisor alone at first; then with it, how well curves pass for real, and match in mean and spread."""
        if done < self.config.embed_until:
            return batch.weight.new_zeros(())
        conditioning, load = self._told(batch, generator)
        foresight = weighted(batch, self._foresight(self._embed(batch, conditioning, load).detach(), conditioning))
        if done < self.config.supervise_until:
            return foresight
        imagined = self._imagine(self._noise(batch, generator), conditioning, load)
        supervised = self._supervise(imagined, conditioning)
        passing = sum(self._verdict(latent, conditioning, batch, real=True) for latent in (supervised, imagined))
        drawn = self._recover(supervised, conditioning, load)
        matching = self.config.moments * _moments_apart(drawn, batch)
        return passing + self.config.supervision * foresight.clamp(min=1e-12).sqrt() + matching

    def _discriminator_loss(self, batch: Batch, generator: torch.Generator, done: float) -> Tensor:
        if done < self.config.supervise_until:
            return batch.weight.new_zeros(())
        conditioning, load = self._told(batch, generator)
        with torch.no_grad():
            imagined = self._imagine(self._noise(batch, generator), conditioning, load)
            real, fakes = self._embed(batch, conditioning, load), (self._supervise(imagined, conditioning), imagined)
        verdict = self._verdict(real, conditioning, batch, real=True)
        verdict = verdict + sum(self._verdict(fake, conditioning, batch, real=False) for fake in fakes)
        return verdict if verdict > FOOLED_ENOUGH else verdict.detach()

    def _verdict(self, latent: Tensor, conditioning: Tensor, batch: Batch, *, real: bool) -> Tensor:
        logits = self.discriminator(latent, conditioning)[..., 0]
        target = torch.full_like(logits, float(real))
        error = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)
        return weighted(batch, error)


def _moments_apart(drawn: Tensor, batch: Batch) -> Tensor:
    """Mean absolute difference of mean and of spread, over the batch, between drawn and real points; a scalar."""
    kept = (batch.mask * batch.weight[:, None, None]).to(drawn.dtype)
    count = kept.sum(0).clamp(min=1e-6)
    means = [(curve * kept).sum(0) / count for curve in (drawn, batch.curve)]
    spreads = [
        (((curve - mean).square() * kept).sum(0) / count + 1e-6).sqrt()
        for curve, mean in zip((drawn, batch.curve), means, strict=True)
    ]
    apart = (means[0] - means[1]).abs() + (spreads[0] - spreads[1]).abs()
    seen = kept.sum(0) > 0
    return (apart * seen).sum() / seen.sum().clamp(min=1)
