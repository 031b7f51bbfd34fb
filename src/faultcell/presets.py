"""Configurations by name. `paper` is the paper's model, with each of ours switched off by the field that says so.

References:
    Limited-Data Augmentation for Fault Diagnosis in Lithium-Ion Battery Energy Storage Systems via Transferable Conditional
    Diffusion, Batteries 2025, 11(7), 248.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from faultcell.config import (
    Config,
    DiffusionConfig,
    FinetuneConfig,
    GridConfig,
    NeighbourConfig,
    NetConfig,
    TrainConfig,
)
from faultcell.errors import ConditionError

T = TypeVar("T", bound=TrainConfig)
PAPER_STEPS = 50  # of sampling: the paper does not say


def paper() -> Config:
    """The paper's model, as far as its text says it; its fine-tuning is in `finetune`.

    Where the text is silent: the noise schedule is that of DDPM, the sampler DDIM, the network ours (points are taken four
    at a time), batches of 64, 128 points; a clean curve is never taken to be beyond 1.5 of its range, as DDPM clips images.
    Two things it does not have are needed to write a curve: how long it lasts, from a small network of its own that is told
    the operating context, and its temperature and current, drawn as further channels. Its voltages alone are held against
    its claims.
    """
    plain = {"condition_noise": 0.0, "duration_noise": 0.0, "drop_condition": 0.0, "learning_rate": 1e-3}
    return Config(
        grid=GridConfig(coordinate="time"),
        neighbours=NeighbourConfig(expect=False),
        net=NetConfig(
            attention=(False, True, True),
            history_in_curve=True,
            context_in_curve=False,
            durations_in_curve=False,
            load_in_curve=False,
            expectation=False,
        ),
        diffusion=DiffusionConfig(
            prediction_type="epsilon",
            noise_scales=(),
            timestep_power=1.0,
            sampler="ddim",
            clip_sample_range=1.5,
            num_inference_steps=PAPER_STEPS,
        ),
        gate=False,
        train=TrainConfig(epochs=200, **plain),
        finetune=FinetuneConfig(epochs=200, unfreeze="progressive3", **plain),
    )


PRESETS: dict[str, Callable[[], Config]] = {"default": Config, "paper": paper}


def preset_of(config: Config) -> str | None:
    """The preset whose grid, neighbours, network, diffusion and gate a model has; None for one of its own."""
    parts = ("grid", "neighbours", "net", "diffusion", "gate")
    same = (name for name, make in PRESETS.items() if all(getattr(make(), p) == getattr(config, p) for p in parts))
    return next(same, None)


def agreed(config: Config, name: str | None) -> str | None:
    """The preset a model was made with; raises ConditionError where another is asked for."""
    if name is not None and name not in PRESETS:
        raise ConditionError(f"there is no preset '{name}': there are {', '.join(PRESETS)}")
    own = preset_of(config)
    if name is not None and name != own:
        made = f"with the preset '{own}'" if own else "with settings of its own"
        raise ConditionError(f"the model was made {made}, not with '{name}': pre-train one with --preset {name}")
    return own


def finetuning(config: Config, name: str | None = None) -> FinetuneConfig:
    """The knobs of fine-tuning that belong to a pre-trained model's preset; raises ConditionError where it is not `name`."""
    own = agreed(config, name)
    return (PRESETS[own]().finetune if own else None) or FinetuneConfig()


def budget(config: T, *, steps: int | None, **changes: object) -> T:
    """Knobs of a run with other ones, and, where given, a number of steps in place of epochs."""
    fixed = {} if steps is None else {"steps": steps, "epochs": None}
    return type(config)(**{**config.model_dump(), **fixed, **changes})
