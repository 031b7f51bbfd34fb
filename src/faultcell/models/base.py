"""What a generative model is to everything that trains it and draws from it: a network with losses, and two verbs.

A model draws in two steps: how long a curve lasts, then how it runs. Durations come first because a known load can only be
laid on the anchored grid once head and tail have a length.

To add a model: subclass `GenerativeModel` in a file of its own, give it a configuration in `config.py`, add it to
`models.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

DURATIONS = 2


@dataclass(frozen=True)
class Batch:
    """Scaled curves and their conditions.

    Attributes:
        curve: channels `(B, C, L)`.
        mask: where they are known `(B, C, L)`.
        durations: scaled durations of head and tail `(B, 2)`.
        durations_mask: where they are known `(B, 2)`.
        values: condition values `(B, F)`.
        flags: which are known `(B, F)`.
        known: channels that may be known beforehand `(B, K, L)`.
        observed: which are `(B, K)`.
        weight: of each curve in the loss `(B,)`.
    """

    curve: Tensor
    mask: Tensor
    durations: Tensor
    durations_mask: Tensor
    values: Tensor
    flags: Tensor
    known: Tensor
    observed: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.curve)

    @property
    def condition(self) -> Tensor:
        """Values and flags side by side `(B, 2 F)`."""
        return torch.cat([self.values, self.flags], dim=1)

    def take(self, rows: Tensor) -> Batch:
        """These rows."""
        return Batch(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device) -> Batch:
        """The same, there."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


Loss = Callable[[Batch, torch.Generator, float], Tensor]


@dataclass(frozen=True)
class Phase:
    """One of the updates that a training step consists of.

    Attributes:
        name: of the phase, for logs and checkpoints.
        parts: modules it updates.
        loss: of a batch, with a source of random numbers and the share of the run that is done (0 to 1); a scalar.
        repeat: updates a step, each on a batch of its own.
        pace: its learning rate over that of the run.
        betas: of Adam.
    """

    name: str
    parts: Sequence[nn.Module]
    loss: Loss
    repeat: int = 1
    pace: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Shape:
    """Sizes that the data set.

    Attributes:
        channels: `C` of a curve.
        sections: lengths of the parts of the grid; `L` is their sum.
        known: `K`, channels that may be known beforehand.
        hidden: conditions that only the durations are told `(F,)`, true where hidden.
        support_features: values at the end of a condition that are known of every curve; the last two say
            whether it is a fault, and whether a reference helped.
        radii: whether those before the two say how far each part of each channel strays, as logarithms.
        durations_told: whether the curve is told how long it lasts.
    """

    channels: int
    sections: tuple[int, ...]
    known: int
    hidden: Tensor
    support_features: int
    radii: bool = False
    durations_told: bool = True

    @property
    def length(self) -> int:
        """Points of a curve, `L`."""
        return sum(self.sections)

    @property
    def features(self) -> int:
        """Size of the condition vector, without the durations, `F`."""
        return len(self.hidden)

    @property
    def always(self) -> Tensor:
        """Which of a condition's values are always known `(F / 2,)`."""
        places = torch.arange(self.features // 2)
        return places >= len(places) - self.support_features


@dataclass(frozen=True)
class Sampling:
    """How to draw; models that draw in one go take no notice.

    Attributes:
        steps: network evaluations; the configured number where not given.
        guidance: scale of classifier-free guidance; the configured one where not given.
    """

    steps: int | None = None
    guidance: float | None = None


class GenerativeModel(nn.Module, ABC):
    """A conditional generative model of scaled curves and their durations.

    Args:
        shape: sizes that the data set.
        blur: std of the noise on the durations that the curve is told in training.

    Attributes:
        noise_size: standard-normal numbers that one draw takes.
    """

    shown: Tensor
    noise_size: int

    def __init__(self, shape: Shape, *, blur: float) -> None:
        super().__init__()
        self.shape = shape
        self.blur = blur
        self.register_buffer("shown", (~shape.hidden).float(), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.shown.device

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The updates of a training step, in order."""

    @abstractmethod
    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards: the order in which fine-tuning thaws them. Together they are the model."""

    @abstractmethod
    def input_layers(self) -> Sequence[nn.Linear]:
        """The layers whose first inputs are the condition vector."""

    @abstractmethod
    def draw_durations(self, condition: Tensor, noise: Tensor, how: Sampling) -> Tensor:
        """Scaled durations `(B, 2)` for conditions `(B, F)`, a function of `noise` `(B, noise_size)`."""

    @abstractmethod
    def draw_curve(self, conditioning: Tensor, load: tuple[Tensor, Tensor], noise: Tensor, how: Sampling) -> Tensor:
        """Scaled curves `(B, C, L)`, a function of `noise`.

        Args:
            conditioning: what `tell` gives `(B, F + 4)`.
            load: known channels `(B, K, L)` and which are known `(B, K)`.
            noise: the same as for the durations `(B, noise_size)`.
            how: sampling steps and guidance.
        """

    def fit_noise(self, batch: Batch) -> None:
        """Take from data, before training, what is not learnt; at faults after a look at normal curves."""

    def calibrate(self, batch: Batch) -> None:
        """Take from data, after training, what is not learnt."""

    def zero_inputs(self, columns: Tensor) -> None:
        """Give conditions that pre-training never sets, by their places `(n,)`, no say to begin with; in place.

        Their weights would stay as random as they began, and would shift every curve on the day they are first set.
        """
        for layer in self.input_layers():
            layer.weight.data[:, columns] = 0

    def unconditional(self, condition: Tensor) -> Tensor:
        """Conditions `(B, F)` of which only what is known of every curve is told `(B, F)`."""
        return condition * self.shape.always.repeat(2).to(condition.device)

    def condition_input(self, condition: Tensor, durations: Tensor, mask: Tensor) -> Tensor:
        """What the curve is told: its part of the conditions, and the durations.

        Counts and cumulated times of a handful of faults name the cell they come from rather than what it went through; a
        model that sees them recalls that cell. They reach the curve through the durations.

        Args:
            condition: `(B, F)`.
            durations: scaled `(B, 2)`.
            mask: which are known `(B, 2)`.

        Returns:
            `(B, F + 4)`.
        """
        kept = mask.to(durations.dtype) * self.shape.durations_told
        return torch.cat([condition * self.shown, durations * kept, kept], dim=1)

    def blurred_condition_input(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """What the curve is told in training `(B, F + 4)`: durations a little wrong, as drawn ones are.

        Else it would take their last digit for a sign of which cell it is.

        References:
            Ho et al., Cascaded Diffusion Models (conditioning augmentation), 2021, https://arxiv.org/abs/2106.15282.
        """
        blurred = batch.durations + self.blur * normal_like(batch.durations, generator)
        return self.condition_input(batch.condition, blurred, batch.durations_mask)


def normal_like(there: Tensor, generator: torch.Generator) -> Tensor:
    """Standard-normal numbers of the shape of a tensor, where it lies: drawn here, so that a seed gives the same everywhere."""
    return torch.randn(there.shape, generator=generator).to(there.device)


def masked_error(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of each sample over its mask `(B,)`."""
    return masked_mean((predicted - target).square(), mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each sample over its mask `(B,)`."""
    kept = mask.to(values.dtype)
    return (values * kept).flatten(1).sum(1) / kept.flatten(1).sum(1).clamp(min=1)


def weighted(batch: Batch, errors: Tensor) -> Tensor:
    """Mean over a batch of errors `(B,)`, each with the weight of its curve; a scalar."""
    return (batch.weight * errors).mean()


def fold(x: Tensor, patch: int) -> Tensor:
    """`(B, C, L)` to `(B, C P, L / P)`: neighbouring points become channels."""
    count, channels, length = x.shape
    return x.reshape(count, channels, length // patch, patch).transpose(2, 3).flatten(1, 2)


def unfold(x: Tensor, patch: int) -> Tensor:
    """The inverse of `fold`."""
    count, channels, length = x.shape
    return x.reshape(count, channels // patch, patch, length).transpose(2, 3).flatten(2, 3)
