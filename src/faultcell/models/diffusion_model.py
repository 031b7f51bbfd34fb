"""The conditional diffusion model.

Durations are drawn by a small network of their own; the curve is then drawn given its durations. The curve network denoises
what a curve has beyond the curve its conditions let expect. That expectation is learnt by plain regression, which needs far
fewer steps than to learn it through noise; the diffusion keeps to what conditions do not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faultcell.config import DiffusionConfig, NetConfig
from faultcell.models.base import DURATIONS, Batch, GenerativeModel, Phase, Sampling, Shape, masked_error, normal_like, weighted
from faultcell.models.correlated_noise import noise_factor
from faultcell.models.diffusion import Diffusion, guided
from faultcell.models.durations import DurationNet, joined
from faultcell.models.mean_network import Expectation, around
from faultcell.models.unet import UNet

VOLTAGE = 0  # the channel whose width sets the temperature
NOISE_KINDS = 4  # normal curves and faults, without and with a reference
CALIBRATION = 128  # curves looked at for that


@dataclass(frozen=True)
class Conditioning:
    """What the curve network is told.

    Attributes:
        condition: conditions and durations `(B, F)`.
        expected: the curve they let expect `(B, C, L)`.
        known: channels known beforehand `(B, K, L)`.
        observed: which are `(B, K)`.
    """

    condition: Tensor
    expected: Tensor
    known: Tensor
    observed: Tensor


class DiffusionModel(GenerativeModel):
    """The networks of durations, expectations and curves.

    Args:
        shape: sizes that the data set.
        config: sizes of the networks.
        diffusion: noise schedule, target and sampler.
        blur: std of the noise on the durations that the curve is told in training.

    Attributes:
        noise_factor: what makes noise on curves as smooth as they are, normal ones and faults, without and with a reference,
            those that stray little and those that stray far `(4, 2, C, L, L)`; see `models.correlated_noise`.
        temperature: what the drawn rest beyond the expectation is multiplied by, so that it is as wide as that of the
            source curves; a scalar.
    """

    noise_factor: Tensor
    temperature: Tensor

    def __init__(self, shape: Shape, *, config: NetConfig, diffusion: DiffusionConfig, blur: float) -> None:
        super().__init__(shape, blur=blur)
        self.config = config
        self.diffusion = Diffusion(diffusion)
        self.noise_size = DURATIONS + shape.channels * shape.length
        self.register_buffer("noise_factor", torch.eye(shape.length).repeat(NOISE_KINDS, 2, shape.channels, 1, 1))
        self.register_buffer("temperature", torch.ones(()))
        features, conditioning = shape.features, shape.features + 2 * DURATIONS
        self.durations = DurationNet(features, hidden=config.duration_hidden, embedding=config.embedding)
        expectation = Expectation(conditioning, shape=(shape.channels, shape.length), hidden=config.expectation_hidden)
        self.expectation = expectation if config.expectation else None
        self.expected_durations = Expectation(features, shape=(DURATIONS,), hidden=config.duration_hidden)
        self.curve = UNet(
            shape.channels,
            known=shape.known,
            features=conditioning,
            length=shape.length,
            widths=config.widths,
            attention=config.attention,
            bottleneck_attention=config.bottleneck_attention,
            heads=config.heads,
            rank=config.bias_rank,
            embedding=config.embedding,
            patch=config.patch,
        )

    def phases(self) -> list[Phase]:
        """One: everything learns at once."""
        return [Phase("denoise", [self], lambda batch, generator, _: self.loss(batch, generator))]

    def groups(self) -> list[list[nn.Module]]:
        """The layers of all networks, from the output inwards."""
        networks = (self.curve, self.durations, self.expectation, self.expected_durations)
        return joined(*(network.groups() for network in networks if network is not None))

    def input_layers(self) -> list[nn.Linear]:
        """The first layers of the embeddings and expectations."""
        first = (self.curve.embed.condition, self.durations.embed.condition)
        expectations = (self.expectation, self.expected_durations)
        layers = [part[0] for part in (*first, *(network.first for network in expectations if network is not None))]
        return [layer for layer in layers if isinstance(layer, nn.Linear)]

    def fit_noise(self, batch: Batch) -> None:
        """Make the noise on curves as smooth as they are; that of faults as that of normal curves, until some are seen."""
        kind, config = self.kind(batch.condition), self.diffusion.config
        for normal in range(NOISE_KINDS // 2):
            fault = normal + NOISE_KINDS // 2
            for own, before in ((normal, None), (fault, self.noise_factor[normal].clone())):
                some = kind == own
                if some.any():
                    far = self.far(batch.condition[some])
                    # What strays furthest tells most of how curves stray far.
                    furthest = far * torch.exp(2 * self.log_radius(batch.condition[some]))
                    furthest = furthest * far.sum(0) / furthest.sum(0).clamp(min=1e-9)
                    for place, weight in enumerate((1 - far, furthest)):
                        found = batch.curve[some], batch.mask[some], weight
                        earlier = None if before is None else before[place]
                        self.noise_factor[own, place] = noise_factor(*found, self.shape.sections, config, before=earlier)
                elif own == fault and not (kind >= NOISE_KINDS // 2).any():
                    self.noise_factor[fault] = self.noise_factor[normal]

    @torch.no_grad()
    def calibrate(self, batch: Batch) -> None:
        """Set the temperature: how wide the rest of real voltages beyond their expectation is, over the one drawn for them.

        A network that has not fully learnt its conditions draws too wide: curves it was trained on show by how much.
        """
        if self.expectation is None:
            return  # the whole curve is drawn: there is no rest to be as wide as
        some = batch.take(torch.linspace(0, len(batch) - 1, min(len(batch), CALIBRATION)).long())
        condition = self.condition_input(some.condition, some.durations, some.durations_mask)
        conditioning = Conditioning(condition, self.expect(condition), some.known, some.observed)
        noise = self.smooth(torch.randn(some.curve.shape, generator=torch.Generator().manual_seed(0)), condition)
        drawn = self.diffusion.sample(lambda x, t: self.denoise(x, t, conditioning), noise)
        real, made = (((curve - conditioning.expected) * some.mask)[:, VOLTAGE].square().sum() for curve in (some.curve, drawn))
        self.temperature.copy_((real / made.clamp(min=1e-12)).sqrt().clamp(0.1, 1.0))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Weighted mean squared error over what is known of curves and durations and of their expectations; a scalar."""
        condition = batch.condition
        durations, curve = batch.durations * batch.durations_mask, batch.curve * batch.mask
        noisy, t, target = self._noised(durations, normal_like(batch.durations, generator), generator)
        lengths = masked_error(self.denoise_durations(noisy, t, condition), target, batch.durations_mask)
        lengths = lengths + masked_error(self.expected_durations(condition), batch.durations, batch.durations_mask)
        condition = self.blurred_condition_input(batch, generator)
        expected = self.expect(condition)
        none = torch.zeros_like(batch.weight)
        expectations = masked_error(expected, batch.curve, batch.mask) if self.expectation else none
        noise = self.smooth(normal_like(batch.curve, generator), condition)
        noisy, t, target = self._noised(curve, noise, generator)
        # The expectation learns by regression alone: the noise of the other loss would only disturb it.
        conditioning = Conditioning(condition, expected.detach(), batch.known, batch.observed)
        shapes = masked_error(self.denoise(noisy, t, conditioning), target, batch.mask)
        return weighted(batch, shapes + expectations + lengths)

    def draw_durations(self, condition: Tensor, noise: Tensor, how: Sampling) -> Tensor:
        """Scaled durations `(B, 2)` for conditions `(B, F)`."""
        unconditional = self.unconditional(condition)
        denoise = guided(
            lambda x, t: self.denoise_durations(x, t, condition),
            lambda x, t: self.denoise_durations(x, t, unconditional),
            self._scale(how),
        )
        return self.diffusion.sample(denoise, noise[:, :DURATIONS], steps=how.steps)

    def draw_curve(self, conditioning: Tensor, load: tuple[Tensor, Tensor], noise: Tensor, how: Sampling) -> Tensor:
        """Scaled curves `(B, C, L)`; see `GenerativeModel.draw_curve`."""
        known, observed = load
        # The durations stay: without conditions, too, the network has always been told them.
        unconditional = torch.cat(
            [self.unconditional(conditioning[:, : -2 * DURATIONS]), conditioning[:, -2 * DURATIONS :]], dim=1
        )
        all_told, free = (
            Conditioning(condition, self.expect(condition), known, flags)
            for condition, flags in ((conditioning, observed), (unconditional, torch.zeros_like(observed)))
        )
        denoise = guided(lambda x, t: self.denoise(x, t, all_told), lambda x, t: self.denoise(x, t, free), self._scale(how))
        white = noise[:, DURATIONS:].reshape(len(noise), self.shape.channels, -1)
        sampled = self.diffusion.sample(denoise, self.smooth(white, conditioning), steps=how.steps)
        return torch.lerp(all_told.expected, sampled, self.temperature)

    def _scale(self, how: Sampling) -> float:
        return self.diffusion.config.guidance_scale if how.guidance is None else how.guidance

    def expect(self, condition: Tensor) -> Tensor:
        """The curve that conditions and durations `(B, F)` let expect `(B, C, L)`."""
        if self.expectation is None:
            return condition.new_zeros(len(condition), self.shape.channels, self.shape.length)
        return self.smooth(self.expectation(condition), condition)

    def denoise(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict the noise or velocity in curves, as smooth as they are.

        Args:
            x: noisy curves `(B, C, L)`.
            t: time steps `(B,)`.
            conditioning: what is known of the curves.
        """

        def rest(x: Tensor) -> Tensor:
            observed = conditioning.observed if self.config.load_in_curve else torch.zeros_like(conditioning.observed)
            return self.smooth(self.curve(x, t, conditioning.condition, conditioning.known, observed), conditioning.condition)

        return around(conditioning.expected, rest, x, diffusion=self.diffusion, t=t)

    def denoise_durations(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Predict the noise or velocity in durations `(B, 2)`, given conditions `(B, F)`."""
        expected = self.expected_durations(condition).detach()
        return around(expected, lambda x: self.durations(x, t, condition), x, diffusion=self.diffusion, t=t)

    def smooth(self, noise: Tensor, condition: Tensor) -> Tensor:
        """White noise `(B, C, L)` to noise as smooth as curves of these conditions `(B, F)` are."""
        kind, white = self.kind(condition), noise.transpose(0, 1)
        far = self.far(condition).transpose(0, 1)
        sections = [far[..., i : i + 1].expand(-1, -1, length) for i, length in enumerate(self.shape.sections)]
        share, smooth = torch.cat(sections, dim=2), torch.zeros_like(white)
        # All rows by the factors of each kind there is: so the bits of a row do not depend on what kind the others are of.
        # A graph that is exported cannot look at them, and has all.
        for own in range(NOISE_KINDS) if torch.compiler.is_compiling() else sorted(set(kind.tolist())):
            near, other = (white @ factor.mT for factor in self.noise_factor[own])
            smooth = torch.where((kind == own)[:, None], near + share * (other - near), smooth)
        return smooth.transpose(0, 1)

    def far(self, condition: Tensor) -> Tensor:
        """How far the parts of curves of these conditions `(B, F)` stray, from 0, hardly, to 1 `(B, C, S)`.

        What strays far does so in another way: temperatures as a whole, not to and fro; voltages about the knee.
        """
        return torch.sigmoid(2 * self.log_radius(condition))

    def log_radius(self, condition: Tensor) -> Tensor:
        """How far the parts of curves of these conditions `(B, F)` stray, over how far such curves do `(B, C, S)`."""
        parts = (self.shape.channels, len(self.shape.sections))
        if not self.shape.radii:
            return torch.zeros_like(condition[:, :1, None]).expand(-1, *parts)
        end = self.shape.features // 2 - 2
        return condition[:, end - parts[0] * parts[1] : end].reshape(-1, *parts)

    def kind(self, condition: Tensor) -> Tensor:
        """Normal or a fault, without or with a reference `(B,)`: the last two of the values that come before the flags."""
        faulty, referenced = (condition[:, : self.shape.features // 2][:, -2:] > 0.5).long().unbind(1)
        return referenced + 2 * faulty

    def _noised(self, x: Tensor, noise: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        t = self.diffusion.timesteps(len(x), generator).to(x.device)
        noisy, target = self.diffusion.noised(x, noise, t)
        return noisy, t, target
