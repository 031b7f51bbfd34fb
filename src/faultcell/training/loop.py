"""The training loop: a generator of steps. Whoever runs it logs, saves and stops by writing an ordinary `for`.

What is minimised is the model's own affair (`models.base.GenerativeModel`). Fine-tuning adds `lambda` times the loss over the
source domain, `L_T + lambda L_S`, and thaws layers from the output side inwards. Every random number of step *k* comes from
(seed, *k*), so a resumed run repeats the bits of one that was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NoReturn, TypeVar

import torch
from torch import Tensor, nn

from faultcell.config import TrainConfig, Unfreeze
from faultcell.errors import TrainingError
from faultcell.models.base import Batch, GenerativeModel, Phase

T = TypeVar("T", bound=TrainConfig)
# Losses are of scaled values. Sound runs of all models stay below 30; of those that rose above this, none came to anything.
LARGEST_LOSS = 1e4


@dataclass(frozen=True)
class Step:
    """What one step of training did.

    Attributes:
        step: how many are done.
        steps: how many there will be.
        losses: of each phase, by name.
        gradient_norm: before clipping, of the last phase.
        thawed: groups of layers that learnt.
    """

    step: int
    steps: int
    losses: dict[str, float]
    gradient_norm: float
    thawed: int

    @property
    def loss(self) -> float:
        """Of all phases together."""
        return sum(self.losses.values())


@dataclass
class State:
    """What a run needs to go on: weights, their moving average, an optimiser for each phase, the number of steps done."""

    network: GenerativeModel
    ema: dict[str, Tensor]
    optimizers: dict[str, torch.optim.Optimizer]
    step: int = 0

    @classmethod
    def start(cls, network: GenerativeModel, config: TrainConfig) -> State:
        """The state before the first step."""
        optimizers: dict[str, torch.optim.Optimizer] = {
            phase.name: torch.optim.AdamW(
                parameters(phase),
                lr=phase.pace * config.learning_rate,
                betas=phase.betas,
                weight_decay=config.weight_decay,
                fused=True,
            )
            for phase in network.phases()
        }
        return cls(network, {name: value.detach().clone() for name, value in network.state_dict().items()}, optimizers)


def parameters(phase: Phase) -> list[nn.Parameter]:
    """What a phase updates."""
    return [value for part in phase.parts for value in part.parameters()]


def train(
    state: State, data: Sequence[Batch], *, config: TrainConfig, unfreeze: Unfreeze = "all", noisy: Tensor
) -> Iterator[Step]:
    """Train until `config.steps` are done, yielding after each.

    Args:
        state: changed in place.
        data: one or more sets; every update takes an equal share from each, with replacement.
        config: knobs.
        unfreeze: which layers learn.
        noisy: condition values that get noise `(F,)`.

    Raises:
        TrainingError: a set is empty, or training diverged: a loss or a gradient is not finite, or a loss is huge. The
            state is that after the last sound step.
    """
    if any(not len(part) for part in data):
        raise TrainingError("no curve is left to train on: check the selection and what `faultcell show` says of the data")
    groups, phases, always = state.network.groups(), state.network.phases(), state.network.shape.always
    while state.step < config.steps:
        thawed = thaw(groups, unfreeze=unfreeze, done=state.step / config.steps)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + state.step)
        losses, norm = {}, 0.0
        for phase in phases:
            for _ in range(phase.repeat):
                batch = forget(mixed(data, config.batch_size, generator), config, noisy, always, generator)
                batch = batch.to(state.network.device)
                losses[phase.name], norm = _update(state, phase, batch, config=config, generator=generator)
        state.step += 1
        average(state.ema, state.network, min(config.ema_decay, state.step / (state.step + 10)))
        yield Step(state.step, config.steps, losses, norm, thawed)


def _update(
    state: State, phase: Phase, batch: Batch, *, config: TrainConfig, generator: torch.Generator
) -> tuple[float, float]:
    """One update of a phase; its loss and the norm of its gradient."""
    value = phase.loss(batch, generator, state.step / config.steps)
    if not value.detach().abs() <= LARGEST_LOSS:  # false for NaN, too
        _refuse(state, config, f"the loss is {float(value.detach()):.3g}")
    if not value.requires_grad:
        return float(value), 0.0  # every layer of this phase is frozen, or it has nothing to do yet
    optimizer = state.optimizers[phase.name]
    for part in optimizer.param_groups:
        part["lr"] = phase.pace * config.learning_rate * _pace(state.step, config)
    state.network.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(parameters(phase), config.gradient_clip)
    if not norm.isfinite():
        _refuse(state, config, f"the gradient's norm is {float(norm):.3g}")
    optimizer.step()
    return float(value.detach()), float(norm)


def _refuse(state: State, config: TrainConfig, found: str) -> NoReturn:
    raise TrainingError(
        f"training diverged at step {state.step + 1}, {found}: lower the learning rate, {config.learning_rate:g} now, "
        "or look for readings that no cell gives"
    )


def thaw(groups: list[list[nn.Module]], *, unfreeze: Unfreeze, done: float) -> int:
    """Let the layers learn that are due and freeze the rest; returns how many groups learn.

    Args:
        groups: layers from the output inwards.
        unfreeze: `last` and `last3` groups, `all`, or `progressive`: one more group at a time, evenly over the first half of
            the run; the second half is for the whole network. `progressive3` stops at three groups.
        done: share of the run that is done, 0 to 1.
    """
    half = min(2 * done, 1.0)
    counts = {"last": 1, "last3": 3, "all": len(groups), "progressive": 1 + int(half * len(groups))}
    counts["progressive3"] = min(1 + int(half * 3), 3)
    for i, group in enumerate(groups):
        for module in group:
            module.requires_grad_(i < counts[unfreeze])
    return min(counts[unfreeze], len(groups))


def in_steps(config: T, curves: int) -> T:
    """Knobs whose epochs, if any, are told in steps: passes over so many curves."""
    if config.epochs is None:
        return config
    return config.model_copy(update={"steps": max(1, math.ceil(config.epochs * curves / config.batch_size)), "epochs": None})


def mixed(data: Sequence[Batch], size: int, generator: torch.Generator) -> Batch:
    """An equal share of curves from each set, drawn with replacement; weights make it the sum of the sets' mean losses."""
    share = max(1, size // len(data))
    parts = [part.take(torch.randint(len(part), (share,), generator=generator)) for part in data]
    return Batch(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Batch)))


def forget(batch: Batch, config: TrainConfig, noisy: Tensor, always: Tensor, generator: torch.Generator) -> Batch:
    """Make every condition of a few curves unknown, for guidance, and known channels too; add noise to the other conditions."""
    kept_all = torch.rand(len(batch), 1, generator=generator) >= config.drop_condition
    flags = batch.flags * (kept_all | always)
    # What is exactly zero, as the severities of the side that cannot break are, stays so.
    noise = config.condition_noise * noisy * (batch.values != 0) * torch.randn(batch.values.shape, generator=generator)
    kept_known = (torch.rand(batch.observed.shape, generator=generator) >= config.drop_known) & kept_all
    changed = {"values": (batch.values + noise) * flags, "flags": flags, "observed": batch.observed * kept_known}
    return Batch(**{field.name: changed.get(field.name, getattr(batch, field.name)) for field in fields(Batch)})


def average(ema: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move the averaged weights towards the network's, in place and in one call; buffers do not change in training."""
    names, values = zip(*network.named_parameters(), strict=True)
    with torch.no_grad():
        torch._foreach_lerp_([ema[name] for name in names], [*values], 1 - decay)


def _pace(step: int, config: TrainConfig) -> float:
    """Learning rate over its peak: linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))
