"""The verbs that train: train, finetune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from faultcell.cli.common import (
    Cells,
    Device,
    Json,
    Labels,
    Mlflow,
    Out,
    Preset,
    Resume,
    Seed,
    StepTypes,
    TrainSteps,
    check,
    given,
    read,
    say_model,
    watched,
)
from faultcell.cli.run_config import ConfigFile, PrintConfig, TrainPreset, config_of, left_open
from faultcell.errors import DataError

if TYPE_CHECKING:
    from faultcell.curves.curves import Curves


def train(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set of the source domain.")],
    out: Out,
    model: Annotated[str, typer.Option(help="diffusion, or a baseline: wgan_gp, timevae, timegan.")] = "diffusion",
    preset: TrainPreset = "default",
    config_file: ConfigFile = None,
    print_config: PrintConfig = False,
    steps: TrainSteps = None,
    seed: Seed = 0,
    device: Device = "cpu",
    resume: Resume = False,
    mlflow: Mlflow = None,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Pre-train on normal curves (label `normal` unless --label says otherwise)."""
    from faultcell.augmenter import Augmenter
    from faultcell.config import Kind
    from faultcell.curves.schema import NORMAL
    from faultcell.presets import PRESETS, budget
    from faultcell.runtime.device import device_of
    from faultcell.training import checkpoint

    check("--model", model, get_args(Kind))
    device_of(device)
    check("--preset", preset, tuple(PRESETS))
    checkpoint.make_ready(out)
    normal = read(folder, label=label or [NORMAL], cells=cells, step_type=step_type)
    chosen = config_of(config_file, preset=preset)
    run = budget(chosen.train, steps=steps, seed=chosen.train.seed if left_open(ctx, "seed") else seed)
    kind = chosen.model if left_open(ctx, "model") else model
    config = chosen.model_copy(update={"model": kind, "train": run, "finetune": None})
    if not resume:
        checkpoint.forget(out)  # not before all that was named could be read
    with watched("training", mlflow=mlflow, config=config) as (tell, keep):
        keep(Augmenter.pretrain(normal, config=config, device=device, folder=out, on_step=tell).save(out))
    say_model(out, as_json)


def finetune(
    ctx: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Pre-trained model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set with the faults.")],
    out: Out,
    normal: Annotated[Path | None, typer.Option(metavar="DIR", help="Normal curves for L_T + lambda L_S.")] = None,
    unfreeze: Annotated[
        str | None, typer.Option(help="progressive, progressive3, last, last3 or all; that of the preset if not given.")
    ] = None,
    preset: Preset = None,
    config_file: ConfigFile = None,
    steps: TrainSteps = None,
    seed: Seed = 0,
    device: Device = "cpu",
    resume: Resume = False,
    mlflow: Mlflow = None,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Adapt a model to a handful of faults (every label but `normal` unless --label says otherwise)."""
    from faultcell.augmenter import Augmenter
    from faultcell.config import Unfreeze
    from faultcell.presets import budget, finetuning
    from faultcell.runtime.device import device_of
    from faultcell.training import checkpoint

    check("--unfreeze", unfreeze or "all", get_args(Unfreeze))
    device_of(device)
    checkpoint.make_ready(out)
    base = Augmenter.load(bundle)
    knobs = finetuning(base.config, preset)
    knobs = config_of(config_file, base=base.config.model_copy(update={"finetune": knobs})).finetune or knobs
    few = faults_of(folder, label=label, cells=cells, step_type=step_type)
    source = normals_of(normal, step_type=step_type)
    config = budget(knobs, steps=steps, seed=knobs.seed if left_open(ctx, "seed") else seed, **given(unfreeze=unfreeze))
    if not resume:
        checkpoint.forget(out)
    with watched("fine-tuning", mlflow=mlflow, config=config) as (tell, keep):
        keep(base.finetune(few, normal=source, config=config, device=device, folder=out, on_step=tell).save(out))
    say_model(out, as_json)


def faults_of(folder: Path, *, label: list[str] | None, cells: list[str] | None, step_type: list[str] | None) -> Curves:
    """The curves of a set that are asked for; every fault where no label is."""
    from faultcell.curves.schema import NORMAL

    few = read(folder, label=label, cells=cells, step_type=step_type)
    faults = [name for name in few.labels if name != NORMAL]
    if not label and not faults:
        raise DataError(
            f"{folder}: found no fault, only normal curves ({len(few)}), expected the faults to adapt to: draw from the "
            "pre-trained model as it is, or check the rated limits that labels were told by"
        )
    return few if label else few.select(label=faults)


def normals_of(folder: Path | None, *, step_type: list[str] | None) -> Curves | None:
    """The normal curves of a set, where one is given; charges or discharges alone where those are asked for."""
    from faultcell.curves.schema import NORMAL

    return read(folder, label=[NORMAL], step_type=step_type) if folder else None
