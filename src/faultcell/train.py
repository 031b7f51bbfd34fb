"""The training loop: a generator of steps. Whoever runs it logs, saves and stops by writing an ordinary `for`.

Loss: the mean squared error of the predicted noise or velocity over what is known of a curve, plus that of its expectation
and of its two durations. Fine-tuning adds `lambda` times the same loss over the source domain, `L_T + lambda L_S`, and thaws
layers from the output side inwards. Every random number of step *k* comes from (seed, *k*), so a resumed run repeats the
bits of one that was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from faultcell.config import TrainConfig, Unfreeze
from faultcell.errors import TrainingError
from faultcell.models.diffusion import Diffusion
from faultcell.models.network import Network, Told


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
        is_known: which are `(B, K)`.
        weight: of each curve in the loss `(B,)`.
    """

    curve: Tensor
    mask: Tensor
    durations: Tensor
    durations_mask: Tensor
    values: Tensor
    flags: Tensor
    known: Tensor
    is_known: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.curve)

    def take(self, rows: Tensor) -> Batch:
        """These rows."""
        return Batch(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Step:
    """What one step of training did."""

    step: int
    steps: int
    loss: float
    gradient_norm: float
    thawed: int


@dataclass
class State:
    """What a run needs to go on: weights, their moving average, the optimiser and the number of steps done."""

    network: Network
    ema: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def start(cls, network: Network, config: TrainConfig) -> State:
        """The state before the first step."""
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        return cls(network, {name: value.detach().clone() for name, value in network.state_dict().items()}, optimizer)


def train(
    state: State,
    data: Sequence[Batch],
    *,
    diffusion: Diffusion,
    config: TrainConfig,
    unfreeze: Unfreeze = "all",
    droppable: Tensor,
) -> Iterator[Step]:
    """Train until `config.steps` are done, yielding after each.

    Args:
        state: changed in place.
        data: one or more sets; every step takes an equal share from each, with replacement.
        diffusion: noise schedule and target.
        config: knobs.
        unfreeze: which layers learn.
        droppable: condition values that may be made unknown one by one `(F,)`.

    Raises:
        TrainingError: a set is empty, or the loss is not finite.
    """
    if any(not len(part) for part in data):
        raise TrainingError("no curve is left to train on: check the selection and what `faultcell show` says of the data")
    groups = state.network.groups()
    while state.step < config.steps:
        thawed = thaw(groups, unfreeze=unfreeze, done=state.step / config.steps)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
        batch = mixed(data, config.batch_size, generator)
        for part in state.optimizer.param_groups:
            part["lr"] = config.learning_rate * _pace(state.step, config)
        value = loss(
            state.network, forget(batch, config, droppable, generator), diffusion, generator, blur=config.duration_noise
        )
        if not torch.isfinite(value):
            raise TrainingError(f"the loss is not finite at step {state.step + 1}: lower the learning rate and train again")
        state.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(state.network.parameters(), config.gradient_clip)
        state.optimizer.step()
        state.step += 1
        average(state.ema, state.network, min(config.ema_decay, state.step / (state.step + 10)))
        yield Step(state.step, config.steps, float(value.detach()), float(norm), thawed)


def thaw(groups: list[list[nn.Module]], *, unfreeze: Unfreeze, done: float) -> int:
    """Let the layers learn that are due and freeze the rest; returns how many groups learn.

    Args:
        groups: layers from the output inwards.
        unfreeze: `last` and `last3` groups, `all`, or `progressive`: one more group at a time, evenly over the first half of
            the run; the second half is for the whole network.
        done: share of the run that is done, 0 to 1.
    """
    counts = {"last": 1, "last3": 3, "all": len(groups), "progressive": 1 + int(2 * done * len(groups))}
    for i, group in enumerate(groups):
        for module in group:
            module.requires_grad_(i < counts[unfreeze])
    return min(counts[unfreeze], len(groups))


def mixed(data: Sequence[Batch], size: int, generator: torch.Generator) -> Batch:
    """An equal share of curves from each set, drawn with replacement; weights make it the sum of the sets' mean losses."""
    share = max(1, size // len(data))
    parts = [part.take(torch.randint(len(part), (share,), generator=generator)) for part in data]
    return Batch(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Batch)))


def forget(batch: Batch, config: TrainConfig, droppable: Tensor, generator: torch.Generator) -> Batch:
    """Make conditions unknown at random and add noise to the rest, so that the model does without them and can be guided.

    Every condition of a few curves goes (for guidance), single counts and context values go, and so do known channels.
    """
    count = len(batch)
    kept_all = torch.rand(count, 1, generator=generator) >= config.drop_condition
    whole = torch.rand(count, 1, generator=generator) < config.keep_context
    kept_one = (torch.rand(batch.flags.shape, generator=generator) >= config.drop_context * droppable) | whole
    flags = batch.flags * kept_all * kept_one
    # What is exactly zero, as the severities of the side that cannot break are, stays so.
    noise = config.condition_noise * droppable * (batch.values != 0) * torch.randn(batch.values.shape, generator=generator)
    kept_known = (torch.rand(batch.is_known.shape, generator=generator) >= config.drop_known) & kept_all
    changed = {"values": (batch.values + noise) * flags, "flags": flags, "is_known": batch.is_known * kept_known}
    return Batch(**{field.name: changed.get(field.name, getattr(batch, field.name)) for field in fields(Batch)})


def loss(network: Network, batch: Batch, diffusion: Diffusion, generator: torch.Generator, *, blur: float = 0.0) -> Tensor:
    """Weighted mean squared error over what is known of curves and durations and of their expectations; a scalar.

    Args:
        network: what learns.
        batch: scaled curves and conditions.
        diffusion: noise schedule and target.
        generator: of the noise.
        blur: std of the noise on the durations that the curve network is told.

    References:
        Ho et al., Cascaded Diffusion Models (conditioning augmentation), 2021, https://arxiv.org/abs/2106.15282.
    """
    condition = torch.cat([batch.values, batch.flags], dim=1)
    noisy, t, target = _noised(batch.durations, torch.randn(batch.durations.shape, generator=generator), diffusion, generator)
    lengths = _masked_error(network.denoise_durations(noisy, t, condition, diffusion), target, batch.durations_mask)
    lengths = lengths + _masked_error(network.expected_durations(condition), batch.durations, batch.durations_mask)
    # Drawn durations are a little wrong: the curve must not take their last digit for a sign of which cell it is.
    blurred = batch.durations + blur * torch.randn(batch.durations.shape, generator=generator)
    condition = network.tell(condition, blurred, batch.durations_mask)
    expected = network.expect(condition)
    expectations = _masked_error(expected, batch.curve, batch.mask)
    noise = network.smooth(torch.randn(batch.curve.shape, generator=generator))
    noisy, t, target = _noised(batch.curve, noise, diffusion, generator)
    # The expectation learns by regression alone: the noise of the other loss would only disturb it.
    told = Told(condition, expected.detach(), batch.known, batch.is_known)
    shapes = _masked_error(network.denoise(noisy, t, told, diffusion), target, batch.mask)
    return (batch.weight * (shapes + expectations + lengths)).mean()


def average(ema: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the network's, in place."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            ema[name].lerp_(value, 1 - decay)


def _noised(x: Tensor, noise: Tensor, diffusion: Diffusion, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    t = diffusion.timesteps(len(x), generator)
    noisy, target = diffusion.noised(x, noise, t)
    return noisy, t, target


def _masked_error(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of each sample over its mask `(B,)`."""
    kept = mask.to(predicted.dtype)
    return ((predicted - target).square() * kept).flatten(1).sum(1) / kept.flatten(1).sum(1).clamp(min=1)


def _pace(step: int, config: TrainConfig) -> float:
    """Learning rate over its peak: linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))
