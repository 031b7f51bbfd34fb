"""The paper's GAN baseline: a conditional Wasserstein GAN with gradient penalty, residual blocks on both sides.

Durations come from a conditional Gaussian learnt beside it, as for every baseline.

References:
    Gulrajani et al., Improved Training of Wasserstein GANs, 2017, https://arxiv.org/abs/1704.00028.
    Zheng et al., Conditional Wasserstein generative adversarial network-gradient penalty-based approach to alleviating
    imbalanced data classification, Information Sciences 512, 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faultcell.config import GanConfig
from faultcell.models.base import DURATIONS, Batch, Phase, Sampling, Shape, normal_like, weighted
from faultcell.models.decoder import Decoder, Encoder
from faultcell.models.durations import OneShot, joined


class WassersteinGan(OneShot):
    """Generator and critic of curves, and the durations.

    Args:
        shape: sizes that the data set.
        config: sizes and weights.
        blur: std of the noise on the durations that the curve is told in training.
    """

    def __init__(self, shape: Shape, *, config: GanConfig, blur: float) -> None:
        super().__init__(shape, hidden=config.hidden, blur=blur)
        self.config = config
        self.noise_size = DURATIONS + config.latent
        conditioning = shape.features + 2 * DURATIONS
        sizes = {"conditioning": conditioning, "patch": config.patch, "hidden": config.hidden}
        self.generator = Decoder(shape, latent=config.latent, widths=config.widths, **sizes)
        self.critic = Encoder(shape, widths=config.widths[::-1], out=1, **sizes)

    def phases(self) -> list[Phase]:
        """The critic several times, then the generator."""
        betas = (0.5, 0.9)
        pace, repeat = self.config.pace, self.config.critic_updates
        return [
            Phase("critic", [self.critic], self._critic_loss, repeat=repeat, pace=pace, betas=betas),
            Phase("generator", [self.generator], self._generator_loss, pace=pace, betas=betas),
            self.durations_phase(),
        ]

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards; the critic, which is no part of what draws, always learns."""
        first, *others = joined(self.generator.groups(), self.durations.groups())
        return [[*first, self.critic], *others]

    def input_layers(self) -> list[nn.Linear]:
        """The first layers of the embeddings."""
        layers = (self.generator.embed[0], self.critic.embed[0], self.durations.first[0])
        return [layer for layer in layers if isinstance(layer, nn.Linear)]

    def draw_curve(self, conditioning: Tensor, load: tuple[Tensor, Tensor], noise: Tensor, how: Sampling) -> Tensor:
        """Scaled curves `(B, C, L)`; see `GenerativeModel.draw_curve`."""
        drawn: Tensor = self.generator(noise[:, DURATIONS:], conditioning, load)
        return drawn

    def _fake(self, batch: Batch, conditioning: Tensor, generator: torch.Generator) -> Tensor:
        code = normal_like(batch.weight[:, None].expand(-1, self.config.latent), generator)
        fake: Tensor = self.generator(code, conditioning, (batch.known, batch.observed))
        return fake * batch.mask

    def _critic_loss(self, batch: Batch, generator: torch.Generator, done: float) -> Tensor:
        """What the critic gives generated curves less what it gives real ones, and the penalty on its slope."""
        conditioning, load = self.blurred_condition_input(batch, generator), (batch.known, batch.observed)
        fake, real = self._fake(batch, conditioning, generator).detach(), batch.curve * batch.mask
        gap = self.critic(fake, batch.mask, conditioning, load) - self.critic(real, batch.mask, conditioning, load)
        share = torch.rand(len(batch), 1, 1, generator=generator).to(real.device)
        between = torch.lerp(real, fake, share).requires_grad_(True)
        value = self.critic(between, batch.mask, conditioning, load).sum()
        (slope,) = torch.autograd.grad(value, between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square()
        return weighted(batch, gap[:, 0] + self.config.gradient_penalty * penalty)

    def _generator_loss(self, batch: Batch, generator: torch.Generator, done: float) -> Tensor:
        conditioning = self.blurred_condition_input(batch, generator)
        value = self.critic(self._fake(batch, conditioning, generator), batch.mask, conditioning, (batch.known, batch.observed))
        return -weighted(batch, value[:, 0])
