"""Noise schedule, training target and sampler, all from diffusers: the one place that imports it.

The default step grids of fast samplers destroy the spread of narrow data, and voltage curves of one fault and severity
are just that. So: Karras sigmas, ending at the schedule's smallest sigma, no clipping, a fresh scheduler for each draw.

References:
    Ho et al., Denoising Diffusion Probabilistic Models, 2020, https://arxiv.org/abs/2006.11239.
    Salimans and Ho, Progressive Distillation (v-prediction), 2022, https://arxiv.org/abs/2202.00512.
    Lu et al., DPM-Solver++, 2022, https://arxiv.org/abs/2211.01095.
    Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, https://arxiv.org/abs/2206.00364.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from faultcell.config import DiffusionConfig

Denoise = Callable[[Tensor, Tensor], Tensor]


class Diffusion:
    """The forward process and its reversal.

    Args:
        config: schedule, prediction type and number of sampling steps.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        self._forward: Any = DDPMScheduler(  # type: ignore[no-untyped-call]
            **self.scheduler_config()
        )

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
        kept = self._forward.alphas_cumprod[t.long()]
        return kept.sqrt(), (1 - kept).sqrt()

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

    @torch.no_grad()
    def sample(self, denoise: Denoise, noise: Tensor, *, steps: int | None = None) -> Tensor:
        """Solve the reverse process from pure noise with DPM-Solver++ (2M).

        Args:
            denoise: `(x_t (B, ...), t (B,)) -> prediction (B, ...)`.
            noise: standard normal `(B, ...)`; the sample is a deterministic function of it.
            steps: number of network evaluations; the configured one where not given.
        """
        scheduler: Any = DPMSolverMultistepScheduler(  # type: ignore[no-untyped-call]
            **self.scheduler_config(), use_karras_sigmas=True, final_sigmas_type="sigma_min", solver_order=2
        )
        scheduler.set_timesteps(steps or self.config.num_inference_steps)
        scheduler.set_begin_index(0)  # rounded Karras time steps can repeat, and the search for the start would go astray
        x = noise
        for t in scheduler.timesteps:
            x = scheduler.step(denoise(x, t.expand(len(x))), t, x).prev_sample
        return x


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
