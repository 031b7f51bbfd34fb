"""TimeVAE: a variational autoencoder whose decoder adds a trend and a residual, here conditional.

Its seasonal block is left out: a half-cycle has no season. Durations come from a conditional Gaussian learnt beside it.

References:
    Desai et al., TimeVAE: A Variational Auto-Encoder for Multivariate Time Series Generation, 2021,
    https://arxiv.org/abs/2111.08095.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faultcell.config import VaeConfig
from faultcell.models.base import DURATIONS, Batch, Phase, Sampling, Shape, masked_error, normal_like, weighted
from faultcell.models.decoder import Decoder, Encoder
from faultcell.models.durations import OneShot, joined


class Trend(nn.Module):
    """A polynomial in the place on the grid, its coefficients set by the code and what is told.

    Args:
        size: of code and told together.
        shape: sizes that the data set.
        degree: of the polynomial.
        hidden: width.
    """

    powers: Tensor

    def __init__(self, size: int, *, shape: Shape, degree: int, hidden: int) -> None:
        super().__init__()
        place = torch.linspace(0, 1, shape.length)
        self.register_buffer("powers", torch.stack([place**p for p in range(degree + 1)]), persistent=False)
        self.first = nn.Sequential(nn.Linear(size, hidden), nn.SiLU())
        self.out = nn.Linear(hidden, shape.channels * (degree + 1))

    def forward(self, code: Tensor) -> Tensor:
        """`(B, size)` to `(B, C, L)`."""
        coefficients = self.out(self.first(code)).unflatten(1, (-1, len(self.powers)))
        trend: Tensor = coefficients @ self.powers
        return trend


class TimeVae(OneShot):
    """Encoder, decoder and durations.

    Args:
        shape: sizes that the data set.
        config: sizes and weights.
        blur: std of the noise on the durations that the curve is told in training.
    """

    def __init__(self, shape: Shape, *, config: VaeConfig, blur: float) -> None:
        super().__init__(shape, hidden=config.hidden, blur=blur)
        self.config = config
        self.noise_size = DURATIONS + config.latent
        conditioning = shape.features + 2 * DURATIONS
        sizes = {"conditioning": conditioning, "patch": config.patch, "hidden": config.hidden}
        self.encoder = Encoder(shape, widths=config.widths, out=2 * config.latent, **sizes)
        self.decoder = Decoder(shape, latent=config.latent, widths=config.widths[::-1], **sizes)
        self.trend = Trend(conditioning + config.latent, shape=shape, degree=config.trend_degree, hidden=config.hidden)

    def phases(self) -> list[Phase]:
        """Encoder and decoder together; the durations."""
        parts = [self.encoder, self.decoder, self.trend]
        return [
            Phase("evidence", parts, lambda b, g, _: self._loss(b, g), pace=self.config.pace),
            self.durations_phase(),
        ]

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards: those of the decoder, then those of the encoder."""
        trend: list[list[nn.Module]] = [[self.trend.out], [self.trend.first]]
        decoder = joined(self.decoder.groups(), trend, self.durations.groups())
        return [*decoder, *self.encoder.groups()]

    def input_layers(self) -> list[nn.Linear]:
        """The first layers of the embeddings."""
        layers = (self.encoder.embed[0], self.decoder.embed[0], self.trend.first[0], self.durations.first[0])
        return [layer for layer in layers if isinstance(layer, nn.Linear)]

    def draw_curve(self, conditioning: Tensor, load: tuple[Tensor, Tensor], noise: Tensor, how: Sampling) -> Tensor:
        """Scaled curves `(B, C, L)`; see `GenerativeModel.draw_curve`."""
        return self._decode(noise[:, DURATIONS:], conditioning, load)

    def _decode(self, code: Tensor, conditioning: Tensor, load: tuple[Tensor, Tensor]) -> Tensor:
        decoded: Tensor = self.trend(torch.cat([conditioning, code], dim=1)) + self.decoder(code, conditioning, load)
        return decoded

    def _loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error of what is known of a curve, and `beta` times the divergence of its code from the prior."""
        conditioning, load = self.blurred_condition_input(batch, generator), (batch.known, batch.observed)
        mean, log_variance = self.encoder(batch.curve, batch.mask, conditioning, load).chunk(2, dim=1)
        log_variance = log_variance.clamp(-10, 4)
        code = mean + (0.5 * log_variance).exp() * normal_like(mean, generator)
        error = masked_error(self._decode(code, conditioning, load), batch.curve, batch.mask)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return weighted(batch, error + self.config.beta * divergence)
