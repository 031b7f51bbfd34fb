"""Verbs that make curves or models."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from faultcell.cli.common import (
    Bundle,
    Cells,
    Json,
    Labels,
    Mlflow,
    Out,
    Preset,
    Reference,
    Resume,
    SamplerSteps,
    Seed,
    StepTypes,
    TrainSteps,
    check,
    given,
    progress,
    read,
    read_as_told,
    say,
    say_model,
    watched,
)
from faultcell.errors import ConditionError, DataError, OutOfRangeWarning

if TYPE_CHECKING:
    from faultcell import files
    from faultcell.curves import Condition, Curves


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files of cyclers (see docs/formats.md), or curve-set folders.")],
    out: Out,
    lower: Annotated[float | None, typer.Option(help="Rated lower voltage limit, V.")] = None,
    upper: Annotated[float | None, typer.Option(help="Rated upper voltage limit, V.")] = None,
    nominal_capacity_ah: Annotated[float | None, typer.Option(help="Nominal capacity, Ah.")] = None,
    cell: Annotated[
        Path | None, typer.Option(metavar="TOML", help="File with rated values, also of some cells by name.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(metavar="TOML", help="File that says which column is which.")] = None,
    to: Annotated[str, typer.Option(help="curves, or bdf: one Battery Data Format file a cell, for other tools.")] = "curves",
    as_json: Json = False,
) -> None:
    """Bring cycler files into a curve set, and say what was found, assumed and is suspect in them."""
    from dataclasses import asdict

    from faultcell import files, show

    told: files.Told = {"lower": lower, "upper": upper, "nominal_capacity_ah": nominal_capacity_ah}
    told |= {"cell_file": cell, "mapping": mapping}
    check("--to", to, ("curves", "bdf"))
    if to == "bdf":
        say_bdf(paths, out, told=told, as_json=as_json)
        return
    config = {"verb": "ingest", "paths": [path.name for path in paths], **told}
    with progress() as tick:
        found = files.ingest_into(paths, out, config=config, on_file=lambda n, m: tick("reading", n, m), **told)
    cells = found.halfcycles["cell_id"].n_unique()
    facts = {"files": [asdict(file) for file in found.files], "suspicions": found.notes}
    made = {"out": str(out), "curves": found.halfcycles.height, "cells": cells}
    shown = show.text({**facts, "files": show.files_found(found.files)})
    groups = found.halfcycles.group_by("label", "step_type", maintain_order=True).len().rows()
    counts = ", ".join(f"{count} {label} {step}s" for label, step, count in groups)
    say({**made, **facts}, as_json, f"{shown}\n{counts}: {made['curves']} curves, cells: {cells}, in {out}")


def say_bdf(paths: list[Path], out: Path, *, told: files.Told, as_json: bool) -> None:
    """Write the curves of files as Battery Data Format files, and say which."""
    from faultcell import exchange, files, show

    curves, notes = files.ingest(paths, **told)
    made = [str(path) for path in exchange.to_bdf(curves, out)]
    facts = {"out": str(out), "curves": len(curves), "made": made, "suspicions": notes}
    say(facts, as_json, show.text(facts))


def simulate(
    out: Out,
    cells: Annotated[int, typer.Option(min=1, help="Virtual cells.")] = 48,
    cycles: Annotated[int, typer.Option(min=2, help="Cycles recorded of each cell.")] = 15,
    fault: Annotated[
        list[str] | None, typer.Option(help="Fault to simulate; repeat for more. All known ones by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Simulate ageing and faults of virtual cells with PyBaMM (extra `sim`)."""
    from faultcell import files
    from faultcell import simulate as simulation
    from faultcell.curves import Curves

    faults = tuple(fault) if fault else tuple(name for name, row in simulation.SCENARIOS.items() if row.label != "normal")
    with progress() as tick:
        result = simulation.simulate(
            cells=cells,
            cycles=cycles,
            faults=faults,
            workers=workers,
            seed=seed,
            progress=lambda n, m: tick("simulating cells", n, m),
        )
    curves = Curves.from_tables(result.timeseries, result.halfcycles)
    settings = {"cells": cells, "cycles": cycles, "faults": list(faults), "seed": seed}
    files.write(curves, out, config={"verb": "simulate", **settings})
    failures = [str(failure) for failure in result.failures]
    found = {"out": str(out), "curves": len(curves), "cells": len(curves.cells), "failures": failures}
    say(found, as_json, f"{len(curves)} curves of {len(curves.cells)} cells in {out}; {len(failures)} failed")


def train(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set of the source domain.")],
    out: Out,
    model: Annotated[str, typer.Option(help="diffusion, or a baseline: wgan_gp, timevae, timegan.")] = "diffusion",
    preset: Annotated[str, typer.Option(help="default, or paper: the paper's model, without anything of ours.")] = "default",
    steps: TrainSteps = None,
    seed: Seed = 0,
    resume: Resume = False,
    mlflow: Mlflow = None,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Pre-train on normal curves (label `normal` unless --label says otherwise)."""
    from faultcell import store
    from faultcell.augmenter import Augmenter
    from faultcell.config import Kind
    from faultcell.curves import NORMAL
    from faultcell.presets import PRESETS, budget

    check("--model", model, get_args(Kind))
    check("--preset", preset, tuple(PRESETS))
    store.make_ready(out)
    normal = read(folder, label=label or [NORMAL], cells=cells, step_type=step_type)
    chosen = PRESETS[preset]()
    config = chosen.model_copy(update={"model": model, "train": budget(chosen.train, steps=steps, seed=seed), "finetune": None})
    if not resume:
        store.forget(out)  # not before all that was named could be read
    with watched("training", mlflow=mlflow, config=config) as (tell, keep):
        keep(Augmenter.pretrain(normal, config=config, folder=out, on_step=tell).save(out))
    say_model(out, as_json)


def finetune(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Pre-trained model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set with the faults.")],
    out: Out,
    normal: Annotated[Path | None, typer.Option(metavar="DIR", help="Normal curves for L_T + lambda L_S.")] = None,
    unfreeze: Annotated[
        str | None, typer.Option(help="progressive, progressive3, last, last3 or all; that of the preset if not given.")
    ] = None,
    preset: Preset = None,
    steps: TrainSteps = None,
    seed: Seed = 0,
    resume: Resume = False,
    mlflow: Mlflow = None,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Adapt a model to a handful of faults (every label but `normal` unless --label says otherwise)."""
    from faultcell import store
    from faultcell.augmenter import Augmenter
    from faultcell.config import Unfreeze
    from faultcell.presets import budget, finetuning

    check("--unfreeze", unfreeze or "all", get_args(Unfreeze))
    store.make_ready(out)
    base = Augmenter.load(bundle)
    knobs = finetuning(base.config, preset)
    few = faults_of(folder, label=label, cells=cells, step_type=step_type)
    source = normals_of(normal, step_type=step_type)
    config = budget(knobs, steps=steps, seed=seed, **given(unfreeze=unfreeze))
    if not resume:
        store.forget(out)
    with watched("fine-tuning", mlflow=mlflow, config=config) as (tell, keep):
        keep(base.finetune(few, normal=source, config=config, folder=out, on_step=tell).save(out))
    say_model(out, as_json)


def distil(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Model that shall draw faster.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set with the faults it was adapted to.")],
    out: Out,
    normal: Annotated[Path | None, typer.Option(metavar="DIR", help="Normal curves it was trained on.")] = None,
    steps: TrainSteps = None,
    seed: Seed = 0,
    resume: Resume = False,
    mlflow: Mlflow = None,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Teach a copy of a model to draw in one network evaluation (every label but `normal` unless --label says otherwise)."""
    from faultcell import store
    from faultcell.augmenter import Augmenter
    from faultcell.config import DistilConfig

    store.make_ready(out)
    teacher = Augmenter.load(bundle)
    few = faults_of(folder, label=label, cells=cells, step_type=step_type)
    source = normals_of(normal, step_type=step_type)
    config = DistilConfig(**given(steps=steps), seed=seed)
    if not resume:
        store.forget(out)
    with watched("distilling", mlflow=mlflow, config=config) as (tell, keep):
        keep(teacher.distil(few, normal=source, config=config, folder=out, on_step=tell).save(out))
    say_model(out, as_json)


def faults_of(folder: Path, *, label: list[str] | None, cells: list[str] | None, step_type: list[str] | None) -> Curves:
    """The curves of a set that are asked for; every fault where no label is."""
    from faultcell.curves import NORMAL

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
    from faultcell.curves import NORMAL

    return read(folder, label=[NORMAL], step_type=step_type) if folder else None


def sample(
    bundle: Bundle,
    out: Out,
    fault: Annotated[str | None, typer.Option(help="Fault to draw, or normal.")] = None,
    peak_deviation_volt: Annotated[float | None, typer.Option(help="How far beyond the rated limit, V.")] = None,
    repetition_count: Annotated[int | None, typer.Option(help="Faults of that kind so far, this one included.")] = None,
    duration_second: Annotated[float | None, typer.Option(help="Time beyond the limit, summed over those faults, s.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many curves.")] = 1,
    c_rate: Annotated[float | None, typer.Option(help="Load current over nominal capacity, 1/h.")] = None,
    ambient_temperature_celsius: Annotated[float | None, typer.Option(help="degC.")] = None,
    cycle_count: Annotated[int | None, typer.Option(help="Cycle number in the life of the cell.")] = None,
    state_of_health: Annotated[float | None, typer.Option(help="Capacity over nominal capacity.")] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="DIR", help="One curve for each curve of this set, with its conditions.")
    ] = None,
    reference: Reference = None,
    preset: Preset = None,
    steps: SamplerSteps = None,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Draw curves: by condition (--fault ...), or one for each curve of a set (--like)."""
    from faultcell import files
    from faultcell.augmenter import Augmenter
    from faultcell.conditions import conditions_of
    from faultcell.presets import agreed

    check_one_way(like, fault, reference)
    values = {
        "peak_deviation_volt": peak_deviation_volt,
        "repetition_count": repetition_count,
        "cumulative_duration_second": duration_second,
        "c_rate": c_rate,
        "ambient_temperature_celsius": ambient_temperature_celsius,
        "cycle_count": cycle_count,
        "state_of_health": state_of_health,
    }
    if fault is not None:
        asked = asked_for(fault, count, given(**values))
    else:
        assert like is not None
        if given(**values) or count != 1:
            raise ConditionError("sample --like takes every condition from that set: leave out --count and the conditions")
        asked = conditions_of(read(like, label=label, cells=cells, step_type=step_type))
    earlier = read_as_told(reference) if reference else None
    model = Augmenter.load(bundle)
    settings = {
        "verb": "sample",
        "preset": agreed(model.config, preset),
        "gate": model.config.gate,
        "model_sha256": model.sha256,
        "seed": seed,
        "steps": steps or model.config.diffusion.num_inference_steps,
        "reference": reference.name if reference else None,
        "cells_seen": list(model.profile.cells),
    }
    redraws = Counter[str]()
    with progress() as tick:
        blocks = model.stream(
            asked,
            range(seed, seed + len(asked)),
            steps=steps,
            reference=earlier,
            on_chunk=lambda n, m: tick("drawing", n, m),
        )
        files.write_blocks(counted(blocks, redraws, settings), out, config=settings)
    beyond = [found for condition in asked if (found := model.profile.beyond(condition))]
    if like is not None and len(beyond) > len(asked) / 2:
        said = f"most of what is asked for ({len(beyond)} of {len(asked)}) lies outside what the model has seen"
        warnings.warn(f"{said}: its curves are extrapolations", OutOfRangeWarning, stacklevel=2)
    facts = {"out": str(out), "curves": len(asked), "extrapolated": len(beyond), "model_sha256": model.sha256}
    facts |= {"redrawn": redraws["curves"]}
    text = f"{len(asked)} curves in {out}"
    if redraws["curves"]:
        text += f"; {redraws['curves']} were drawn again ({redraws['draws']} draws), for no cell could have made them"
    if beyond:
        text += f"; {len(beyond)} extrapolate, in {', '.join(dict.fromkeys(name for names in beyond for name in names))}"
    say(facts, as_json, text)


def counted(blocks: Iterable[Curves], redraws: Counter[str], settings: dict[str, Any]) -> Iterator[Curves]:
    """Blocks as they are; how many of their curves were drawn again, and in how many draws, is counted and kept."""
    for curves in blocks:
        again = curves.known("redraw_count")
        redraws.update(curves=int((again > 0).sum()), draws=int(again.sum()))
        settings["redrawn"] = dict(redraws)
        yield curves


def band(
    bundle: Bundle,
    out: Out,
    like: Annotated[Path, typer.Option(metavar="DIR", help="A band for each curve of this set, with its conditions.")],
    reference: Reference = None,
    draws: Annotated[int, typer.Option(help="Curves drawn for each.")] = 100,
    level: Annotated[float, typer.Option(help="Share of them within the band at each point.")] = 0.9,
    steps: SamplerSteps = None,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Draw a band for each curve of a set: where a curve of its conditions lies; and say how much of the real one is within."""
    from faultcell import bands, report
    from faultcell.augmenter import Augmenter
    from faultcell.conditions import conditions_of

    real = read(like, label=label, cells=cells, step_type=step_type)
    earlier = read_as_told(reference) if reference else None
    model = Augmenter.load(bundle)
    with progress() as tick:
        found = bands.draw_band(
            model,
            conditions_of(real),
            draws=draws,
            level=level,
            seed=seed,
            steps=steps,
            reference=earlier,
            on_chunk=lambda n, m: tick("drawing", n, m),
        )
    covered = None if real.has_generated else found.coverage(real)
    settings = {"verb": "band", "model_sha256": model.sha256, "draws": draws, "level": level, "seed": seed}
    bands.write(found, out, config=settings, figure=report.band_figure(found, None if real.has_generated else real))
    facts: dict[str, object] = {"out": str(out), "bands": len(found), "level": level, "draws": draws}
    text = f"{len(found)} bands in {out}"
    if covered is not None:
        facts |= {"coverage": covered.all, "coverage_by_cell": covered.by_cell}
        text += f"; {100 * covered.all:.1f} % of the points of the real curves lie within (asked for: {100 * level:g} %)"
    say(facts, as_json, text)


def check_one_way(like: Path | None, fault: str | None, reference: Path | None) -> None:
    """Raise ConditionError where it is not clear what is to be drawn."""
    if (like is None) == (fault is None):
        raise ConditionError("sample takes either --fault (with --peak-deviation-volt ...) or --like DIR")
    if reference is not None and like is None:
        raise ConditionError("--reference needs --like: earlier curves help only where cell and cycle are known")


def asked_for(fault: str, count: int, values: dict[str, Any]) -> list[Condition]:
    """The conditions of `sample --fault`."""
    from faultcell.curves import grid

    if fault != "normal" and "peak_deviation_volt" not in values:
        raise ConditionError(f"sample --fault {fault} needs --peak-deviation-volt: how far beyond the limit, in V")
    if fault != "normal":
        values = {"repetition_count": 1, **values}
    return grid(fault, **values) * count
