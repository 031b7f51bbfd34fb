"""The main verb: from normal curves and a handful of faults to a training set."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultcell.cli.common import (
    Cluster,
    Device,
    InParts,
    Json,
    OutAnywhere,
    Part,
    Seed,
    Tick,
    Workers,
    carrier,
    of_parts,
    out_of,
    part_of,
    progress,
    read,
    say,
    severities_of,
)
from faultcell.cli.draw import counted
from faultcell.cli.run_config import ConfigFile, config_of, left_open
from faultcell.cli.train import faults_of
from faultcell.errors import ConditionError, DataError, OutOfRangeWarning, many

if TYPE_CHECKING:
    from faultcell.augmenter import Augmenter
    from faultcell.config import Config
    from faultcell.curves.curves import Curves
    from faultcell.generation.counterfactuals import Plan
    from faultcell.runtime.workers import Workers as Carrier

MOST_PARTS = 2**31  # to look at the form of --part before anything is read
LOOKED_AT = 256  # drawn curves that the verdict is on


def augment(
    ctx: typer.Context,
    out: OutAnywhere,
    normal: Annotated[Path, typer.Option(metavar="DIR", help="Curve set with normal curves: to learn from, and to draw from.")],
    bundle: Annotated[
        Path | None, typer.Argument(metavar="[BUNDLE]", help="Adapted model; without one, a model is trained first.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Curve set with the handful of known faults; needed without BUNDLE.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Also keep the model that is trained, to draw more from.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many faults; as many as there are normal curves if not given.")
    ] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Fault to draw; repeat for more. All known ones by default.")] = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="between|grid|FILE|NAME=VALUE",
            help="Between known faults, evenly spread, a CSV with a column for each severity, or a value; repeat for more.",
        ),
    ] = None,
    with_real: Annotated[
        bool, typer.Option("--with-real", help="Write normal, known and drawn curves together, ready for a classifier.")
    ] = False,
    config_file: ConfigFile = None,
    in_parts: InParts = False,
    part: Part = None,
    workers: Workers = None,
    cluster: Cluster = None,
    device: Device = "cpu",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Your own normal curves, gone wrong: from normal curves and a few faults to a training set, in one command."""
    from faultcell import files, plotting
    from faultcell.augmentation import beside_real
    from faultcell.curves.curves import Curves
    from faultcell.files.curve_set import CONTENTS
    from faultcell.files.durable.atomic import refuse_other
    from faultcell.generation.rest_shorts import all_at_rest
    from faultcell.scoring.verdict import of_shapes

    place = out_of(out, in_parts=in_parts)
    part_of(part, MOST_PARTS)
    for option, given in (("--part", part is not None), ("--in-parts", in_parts)):
        _refuse_together(bundle, faults, keep=keep, config_file=config_file, whole=option if given else None, real=with_real)
    if isinstance(place, Path) and not in_parts:
        refuse_other(place, CONTENTS)  # not after minutes of training
    knobs = config_of(config_file)
    knobs = knobs if left_open(ctx, "seed") else _seeded(knobs, seed)
    depths = _depths(severity or ["between"])
    source = _normal(normal)
    few = faults_of(faults, label=None, cells=None, step_type=None) if faults else None
    if few is not None and bundle is None and all_at_rest(few):
        if keep is not None or fault or severity or config_file is not None:
            said = "leave out --keep, --fault, --severity and --config"
            raise ConditionError(f"shorts at rest are drawn from known ones as they are: {said}")
        shared = {"verb": "augment", "normal": normal.name, "faults": faults.name if faults else None, "seed": seed}
        _at_rest(source, few, out, count=count, settings=shared, with_real=with_real, as_json=as_json)
        return
    with carrier(workers, cluster, device) as carried, progress() as tick:
        model = _model(bundle, source, few, keep=keep, config=knobs, device=device, tick=tick)
        plan = model.plan(source, count=count, faults=fault, severity=depths, seed=seed)
        settings = {
            "verb": "augment",
            "gate": model.config.gate,
            "model_sha256": model.sha256,
            "normal": normal.name,
            "faults": faults.name if faults else None,
            "severity": depths if isinstance(depths, str) else {name: list(values) for name, values in depths.items()},
            "seed": seed,
            "part": part,
            "cells_seen": list(model.profile.cells),
        }
        if in_parts:
            _into_parts(model, plan, place, source, part=part, as_json=as_json, tick=tick, config=settings, workers=carried)
            return
        own = part_of(part, len(plan))
        plan = plan.part(own)
        again, labels, looked = Counter[str](), Counter[str](), list[Curves]()
        drawn = model.gone_wrong(plan, seed=seed + own.start, workers=carried, on_chunk=lambda n, m: tick("drawing", n, m))
        blocks = counted(drawn, again, settings)
        blocks = _looked_at(blocks, looked, labels)
        if with_real:
            blocks = beside_real(blocks, Curves.concat([source, *([few] if few is not None else [])]))
        files.write_blocks(blocks, place, config=settings, picture=lambda: plotting.gone_wrong_figure(source, looked[0]))
    verdict = of_shapes(looked[0], source)
    _say(model, plan, out, labels, verdict=verdict, again=again, looked=len(looked[0]), as_json=as_json)


def _into_parts(
    model: Augmenter,
    plan: Plan,
    out: str | Path,
    source: Curves,
    *,
    config: dict[str, Any],
    part: str | None,
    workers: Carrier,
    as_json: bool,
    tick: Tick,
) -> None:
    """Draw a set of parts, or a share of them."""
    from faultcell import plotting
    from faultcell.augmentation import augment_into
    from faultcell.generation import in_parts
    from faultcell.scoring.verdict import of_shapes

    share = part_of(part, -(-len(plan) // in_parts.PART))
    looked: list[Curves] = []

    def picture(first: Curves) -> bytes:
        looked.append(first.take(range(min(len(first), LOOKED_AT))))
        return plotting.gone_wrong_figure(source, looked[0])

    listed = augment_into(
        model,
        plan,
        out,
        config={name: value for name, value in config.items() if name != "part"},
        seed=config["seed"],
        curves_in_part=in_parts.PART,
        share=share,
        workers=workers,
        picture=picture,
        on_part=lambda n, m: tick("drawing parts", n, m),
    )
    if listed is None or not looked:
        facts = {"out": str(out), "curves": listed.curves if listed else None, "whole": listed is not None}
        say(facts, as_json, of_parts(part, listed, out))
        return
    told, verdict = listed.told, of_shapes(looked[0], source)
    found: dict[str, Any] = {"verdict": verdict, "again": told["redrawn"], "looked": len(looked[0])}
    _say(model, plan, out, told["labels"], as_json=as_json, **found)


def _say(model: Augmenter, plan: Plan, out: str | Path, labels: Counter[str], *, as_json: bool, **found: Any) -> None:
    """Print what was drawn."""
    facts = {"out": str(out), "curves": labels.total(), "verdict": found["verdict"], "redrawn": found["again"]["curves"]}
    facts |= {"model_sha256": model.sha256, "left_out": [str(one) for one in plan.unserved]}
    say(facts, as_json, _said(plan, out, labels, **found))


def _refuse_together(
    bundle: Path | None, faults: Path | None, *, keep: Path | None, config_file: Path | None, whole: str | None, real: bool
) -> None:
    """Raise ConditionError where options do not go together."""
    if (bundle is None) == (faults is None) and not (bundle and real):
        raise ConditionError("augment takes either a BUNDLE, or --faults DIR to train one (with BUNDLE, for --with-real alone)")
    if keep is not None and bundle is not None:
        raise ConditionError("--keep is for a model that is trained here: leave it out, or leave out BUNDLE")
    if config_file is not None and bundle is not None:
        raise ConditionError("--config is for a model that is trained here: BUNDLE has its own; leave out one of them")
    if whole is not None and (bundle is None or real):
        raise ConditionError(f"{whole} is of what one kept model draws: give BUNDLE, and leave out --with-real")


def _at_rest(
    source: Curves, few: Curves, out: str, *, count: int | None, settings: dict[str, Any], with_real: bool, as_json: bool
) -> None:
    """Shorts of resting cells, which no model draws."""
    from faultcell import files, plotting
    from faultcell.augmentation import beside_real
    from faultcell.curves.curves import Curves
    from faultcell.generation.rest_shorts import RestShorts

    shorts = RestShorts(few)
    drawn = shorts.augment(source, count=count, seed=settings["seed"])
    blocks = beside_real([drawn], Curves.concat([source, few])) if with_real else iter([drawn])
    settings = {**settings, "cells_seen": sorted({*few.cells, *source.cells})}
    files.write_blocks(blocks, out, config=settings, picture=lambda: plotting.gone_wrong_figure(source, drawn))
    facts = {"out": str(out), "curves": len(drawn), "known": len(shorts.known), "width": shorts.width}
    cells = len(set(drawn.halfcycles["source_cell_id"]))
    said = f"{many(len(drawn), 'short')} at rest of {many(cells, 'resting cell')}, in {out}; see augment.png"
    say(facts, as_json, f"{said}\nfrom {many(len(shorts.known), 'known collapse')}: no model is trained for a rest")


def _model(
    bundle: Path | None, source: Curves, few: Curves | None, *, keep: Path | None, config: Config, device: str, tick: Tick
) -> Augmenter:
    """The model of a bundle, or one that is trained on these curves, and kept where that is asked for."""
    from faultcell.augmentation import adapted
    from faultcell.augmenter import Augmenter
    from faultcell.training import checkpoint

    if bundle is not None:
        return Augmenter.load(bundle).to(device)
    assert few is not None
    if keep is not None:
        checkpoint.make_ready(keep)
    model = adapted(
        source,
        few,
        config=config.model_copy(update={"finetune": None}),
        finetune=config.finetune,
        device=device,
        on_step=lambda s: tick("learning normal curves", s.step, s.steps),
        on_adapt=lambda s: tick("adapting to the faults", s.step, s.steps),
    )
    if keep is not None:
        model.save(keep)
    return model.to(device)


def _seeded(config: Config, seed: int) -> Config:
    """Knobs with one seed for both trainings."""
    from faultcell.config import FinetuneConfig

    seeds = {"seed": seed}
    finetune = (config.finetune or FinetuneConfig()).model_copy(update=seeds)
    return config.model_copy(update={"train": config.train.model_copy(update=seeds), "finetune": finetune})


def _normal(folder: Path) -> Curves:
    """The normal curves of a set; warns of others."""
    from faultcell.curves.schema import NORMAL

    whole = read(folder)
    whole.refuse_generated("normal")
    others = Counter(label for label in whole.halfcycles["label"] if label != NORMAL)
    if len(others) and others.total() == len(whole):
        raise DataError(f"{folder}: found no curve labelled normal, only {', '.join(map(str, others))}: check --normal")
    if others:
        said = ", ".join(f"{count} {label or 'without a label'}" for label, count in others.items())
        warnings.warn(f"{folder}: left out are {said}: a fault is drawn from a normal curve", OutOfRangeWarning, stacklevel=2)
    return whole.select(label=[NORMAL]) if others else whole


def _depths(given: list[str]) -> str | dict[str, tuple[float, ...]]:
    """How severe faults shall be: `between`, a `grid`, or values by the name of a severity."""
    if len(given) == 1 and given[0] in ("between", "grid"):
        return given[0]
    if all("=" in text for text in given):
        named: dict[str, tuple[float, ...]] = {}
        for text in given:
            ((name, value),) = severities_of([text]).items()
            named[name] = (*named.get(name, ()), value)
        return named
    if len(given) > 1 or not Path(given[0]).is_file():
        raise ConditionError(
            f"--severity takes between, grid or a CSV file, or NAME=VALUE, found '{' '.join(given)}', which is none"
        )
    return _columns(Path(given[0]))


def _columns(path: Path) -> dict[str, tuple[float, ...]]:
    """The columns of a CSV file that are severities."""
    import polars as pl

    from faultcell.curves.faults import FAULTS

    names = [name for kind in FAULTS.values() for name in kind.names]
    try:
        table = pl.read_csv(path)
        found = {name: tuple(table[name].cast(pl.Float64)) for name in table.columns if name in names}
    except pl.exceptions.PolarsError as error:
        raise ConditionError(f"{path}: found no columns of numbers ({error}): name the severities so") from error
    if not found:
        raise ConditionError(
            f"{path}: found no column peak_deviation_volt of numbers, nor another severity: name the depths so"
        )
    return found


def _looked_at(blocks: Iterable[Curves], kept: list[Curves], labels: Counter[str]) -> Iterator[Curves]:
    """Blocks as they are; the first curves of the first are kept, the labels of all are counted."""
    for curves in blocks:
        if not kept:
            kept.append(curves.take(range(min(len(curves), LOOKED_AT))))
        labels.update(curves.halfcycles["label"])
        yield curves


def _said(plan: Plan, out: str | Path, labels: Counter[str], *, verdict: str, again: Counter[str], looked: int) -> str:
    """Three lines: what was drawn from what, what was left out or drawn again, and what of it can be believed."""
    least, most = plan.often
    often = f"each {most} times" if least == most else f"each {least} to {most} times"
    cells = len({cell for cell, _ in plan.cycles})
    drawn = ", ".join(f"{count} {name}" for name, count in labels.items())
    source = f"{many(len(plan.normal), 'normal curve')} of {many(cells, 'cell')}"
    lines = [f"{drawn} from {source} ({often}), in {out}; see augment.png"]
    left = f"left out: {'; '.join(map(str, plan.unserved))}" if plan.unserved else "every normal curve can serve"
    lines.append(f"{left}; drawn again, for no cell could have made them: {again['curves']}")
    lines.append(f"{verdict}, of {looked} looked at; on cells left out: faultcell evaluate --bundle")
    return "\n".join(lines)
