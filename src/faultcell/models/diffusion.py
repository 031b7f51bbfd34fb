"""Noise schedule and training target, from diffusers (the one place that imports it), and the sampler.

A noisy sample is `cos(a) x + sin(a) n`, its angle *a* between 0 and nearly pi/2, and on the way back it moves with the velocity
that the network predicts: `dx/da = v`. General-purpose solvers are exact where all data are one point. Ours are scaled to be as
wide as the noise, which is correlated as they are, and a Gaussian like the noise does not move at all. So the sampler walks in
the angle itself: two steps come as close to the end of the path as fifty, where DPM-Solver++ loses the spread with three
(`docs/performance.md`).

References:
    Ho et al., Denoising Diffusion Probabilistic Models, 2020, https://arxiv.org/abs/2006.11239.
    Salimans and Ho, Progressive Distillation (v-prediction), 2022, https://arxiv.org/abs/2202.00512.
    Lu and Song, Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models (the angle, TrigFlow), 2024,
    https://arxiv.org/abs/2410.11081.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from faultcell.config import DiffusionConfig

Denoise = Callable[[Tensor, Tensor], Tensor]
EVEN_STEPS = 4  # up to which steps are even in the angle


class Diffusion:
    """The forward process and its reversal.

    Args:
        config: schedule, prediction type and number of sampling steps.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        forward: Any = DDPMScheduler(  # type: ignore[no-untyped-call]
            **self.scheduler_config()
        )
        self._forward = forward
        self._kept: Tensor = forward.alphas_cumprod  # diffusers moves its own to where noise is added

    def scheduler_config(self) -> dict[str, Any]:
        """The part of the configuration any diffusers scheduler understands."""
        names = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type")
        return {name: getattr(self.config, name) for name in names}

    def timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Random time steps for training `(count,)`: `T u^p` for uniform `u`, so small ones come more often."""
        share = torch.rand(count, generator=generator) ** self.config.timestep_power
        return (self.config.num_train_timesteps * share).long()

    @property
    def predicts_velocity(self) -> bool:
        """Whether the network predicts the velocity, else the noise."""
        return self.config.prediction_type == "v_prediction"

    def signal_and_noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """`sqrt(abar_t)` and `sqrt(1 - abar_t)`, `(B,)` each, for time steps `(B,)`."""
        kept = self._kept.to(t.device)[t.long()]
        return kept.sqrt(), (1 - kept).sqrt()

    @cached_property
    def angles(self) -> Tensor:
        """Of every time step `(T,)`."""
        return torch.acos(self._kept.double().sqrt())

    def noised(self, x: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """A noisy sample and what the network shall predict from it.

        Args:
            x: clean `(B, ...)`.
            noise: standard normal `(B, ...)`.
            t: time steps `(B,)`.

        Returns:
            `sqrt(abar_t) x + sqrt(1 - abar_t) noise`, and the noise or the velocity, `(B, ...)` each.
        """
        noisy = self._forward.add_noise(x, noise, t)
        return noisy, self._forward.get_velocity(x, noise, t) if self.predicts_velocity else noise

    def sample(self, denoise: Denoise, noise: Tensor, *, steps: int | None = None) -> Tensor:
        """Walk back from pure noise along the angle, by the midpoint rule; or as the configured sampler of diffusers does.

        How a sample has moved so far says where it will be halfway, so that each step takes one evaluation. From pure noise it
        is taken not to move.

        Args:
            denoise: `(x_t (B, ...), t (B,)) -> prediction (B, ...)`.
            noise: standard normal `(B, ...)`; the sample is a deterministic function of it.
            steps: number of network evaluations; the configured one where not given.
        """
        if self.config.sampler == "ddim":
            return self._by_ddim(denoise, noise, steps or self.config.num_inference_steps)
        x, velocity = noise, torch.zeros_like(noise)
        for start, end, at in self.step_schedule(steps):
            t = torch.tensor(at, device=noise.device)
            halfway = x - (start - end) / 2 * velocity
            velocity = self._velocity(denoise(halfway, t.expand(len(x))), halfway, t)
            x = x - (start - end) * velocity
        return x

    def _by_ddim(self, denoise: Denoise, noise: Tensor, steps: int) -> Tensor:
        """Deterministic sampling by DDIM.

        References:
            Song et al., Denoising Diffusion Implicit Models, 2021, https://arxiv.org/abs/2010.02502.
        """
        clip = self.config.clip_sample_range
        scheduler: Any = DDIMScheduler(  # type: ignore[no-untyped-call]
            **self.scheduler_config(), clip_sample=clip is not None, clip_sample_range=clip or 1.0, timestep_spacing="trailing"
        )
        scheduler.set_timesteps(steps, device=noise.device)
        x = noise
        for t in scheduler.timesteps:
            x = scheduler.step(denoise(x, t.expand(len(x))), t, x).prev_sample
        return x

    def step_schedule(self, steps: int | None = None) -> Iterator[tuple[float, float, int]]:
        """Of each step from pure noise to none the angles it goes from and to, and the time step halfway.

        Even in the angle for a few steps, with many ever denser where data may be narrow.

        Args:
            steps: how many; the configured number where not given.
        """
        count = steps or self.config.num_inference_steps
        density = 1 + max(0.0, math.log10(count / EVEN_STEPS))
        stops = (self.angles[-1] * torch.linspace(1, 0, count + 1, dtype=torch.float64) ** density).tolist()
        for start, end in itertools.pairwise(stops):
            yield start, end, int((self.angles - (start + end) / 2).abs().argmin())

    def _velocity(self, prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """What is predicted for `x` `(B, ...)` at time step `t`, as a velocity `(B, ...)`."""
        if self.predicts_velocity:
            return prediction
        signal, noise = (float(part) for part in self.signal_and_noise(t))
        return (prediction - noise * x) / signal


def guided(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """Classifier-free guidance: a denoiser that goes `scale` times from the unconditional to the conditional prediction.

    References:
        Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, https://arxiv.org/abs/2207.12598.
    """
    if scale == 1.0:
        return conditional

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        free = unconditional(x, t)
        return free + scale * (conditional(x, t) - free)

    return denoise
