"""The command line: one function a verb, its signature the options. Heavy imports happen inside the verbs.

Exit codes: 0 done, 1 the data or the run failed, 2 wrong usage.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultcell.errors import ConditionError, FaultCellError

if TYPE_CHECKING:
    from faultcell.curves import Condition, Curves

app = typer.Typer(
    help="Draw lithium-ion fault curves of a requested type and severity.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
verb = app.command

Out = Annotated[Path, typer.Option("--out", help="Where the result goes; written whole or not at all.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="Only curves of this label; repeat for more.")]
Cells = Annotated[
    list[str] | None,
    typer.Option("--cells", help="Only curves of this cell; repeat for more, or separate by commas."),
]
StepTypes = Annotated[list[str] | None, typer.Option("--step-type", help="Only charge or discharge curves.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is random.")]
TrainSteps = Annotated[int | None, typer.Option("--steps", min=1, help="Training steps.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what a stopped run left in --out, or start.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Tick = Callable[[str, int, int], None]


def main() -> None:
    """Run the command line; what goes wrong on purpose is one sentence on standard error."""
    warnings.showwarning = lambda message, *_args, **_more: print(f"faultcell: warning: {message}", file=sys.stderr)
    try:
        app()
    except FaultCellError as error:
        print(f"faultcell: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@verb()
def demo(out: Out = Path("demo"), seed: Seed = 0, as_json: Json = False) -> None:
    """The whole story on the embedded data; ends with the path of an HTML page."""
    from faultcell import demo as story

    with _progress() as tick:
        page = story.run(out, seed=seed, tick=tick)
    _say({"page": str(page)}, as_json, f"{page}")


@verb()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Curve-set folders, NASA .mat files, BDF .csv or .parquet files.")],
    out: Out,
    lower: Annotated[float | None, typer.Option(help="Rated lower voltage limit, V.")] = None,
    upper: Annotated[float | None, typer.Option(help="Rated upper voltage limit, V.")] = None,
    nominal_capacity_ah: Annotated[float | None, typer.Option(help="Nominal capacity, Ah.")] = None,
    as_json: Json = False,
) -> None:
    """Bring cycler files into a curve set, and say what is missing or suspect in them."""
    from faultcell import files

    curves, suspicions = files.ingest(paths, lower=lower, upper=upper, nominal_capacity_ah=nominal_capacity_ah)
    settings = {"lower": lower, "upper": upper, "nominal_capacity_ah": nominal_capacity_ah}
    files.write(curves, out, config={"verb": "ingest", "paths": [path.name for path in paths], **settings})
    found = {"out": str(out), "curves": len(curves), "cells": len(curves.cells), "suspicions": suspicions}
    _say(
        found,
        as_json,
        "\n".join(
            [
                *(f"suspect: {line}" for line in suspicions),
                f"{len(curves)} curves of {len(curves.cells)} cells in {out}",
            ]
        ),
    )


@verb()
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
    with _progress() as tick:
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
    _say(found, as_json, f"{len(curves)} curves of {len(curves.cells)} cells in {out}; {len(failures)} failed")


@verb()
def show(path: Path, as_json: Json = False) -> None:
    """Say what a curve set, a bundle or a scores file is."""
    from faultcell import show as shown

    facts = shown.facts(path)
    _say(facts, as_json, shown.text(facts))


@verb()
def train(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set of the source domain.")],
    out: Out,
    steps: TrainSteps = None,
    seed: Seed = 0,
    resume: Resume = False,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Pre-train on normal curves (label `normal` unless --label says otherwise)."""
    from faultcell import store
    from faultcell.augment import Augmenter
    from faultcell.config import Config, TrainConfig
    from faultcell.curves import NORMAL

    store.make_ready(out, resume=resume)
    normal = _read(folder, label=label or [NORMAL], cells=cells, step_type=step_type)
    config = Config(train=TrainConfig(**_given(steps=steps), seed=seed))
    with _progress() as tick:
        model = Augmenter.pretrain(normal, config=config, folder=out, on_step=lambda s: tick("training", s.step, s.steps))
    model.save(out)
    _say_model(out, as_json)


@verb()
def finetune(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Pre-trained model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set with the faults.")],
    out: Out,
    normal: Annotated[Path | None, typer.Option(metavar="DIR", help="Normal curves for L_T + lambda L_S.")] = None,
    unfreeze: Annotated[str, typer.Option(help="progressive, last, last3 or all.")] = "progressive",
    steps: TrainSteps = None,
    seed: Seed = 0,
    resume: Resume = False,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Adapt a model to a handful of faults (every label but `normal` unless --label says otherwise)."""
    from faultcell import store
    from faultcell.augment import Augmenter
    from faultcell.config import FinetuneConfig
    from faultcell.curves import NORMAL

    ways = ("progressive", "last", "last3", "all")
    if unfreeze not in ways:
        raise ConditionError(f"--unfreeze takes {', '.join(ways)}, found '{unfreeze}'")
    store.make_ready(out, resume=resume)
    base = Augmenter.load(bundle)
    few = _read(folder, label=label, cells=cells, step_type=step_type)
    few = few if label else few.select(label=[name for name in few.labels if name != NORMAL] or ["any fault"])
    source = _read(normal, label=[NORMAL]) if normal else None
    with _progress() as tick:
        model = base.finetune(
            few,
            normal=source,
            config=FinetuneConfig(**_given(steps=steps), seed=seed, unfreeze=unfreeze),
            folder=out,
            on_step=lambda s: tick("fine-tuning", s.step, s.steps),
        )
    model.save(out)
    _say_model(out, as_json)


@verb()
def sample(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Model to draw from.")],
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
    steps: Annotated[int | None, typer.Option(min=2, help="Network evaluations a curve.")] = None,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Draw curves: by condition (--fault ...), or one for each curve of a set (--like)."""
    from faultcell import files
    from faultcell.augment import Augmenter
    from faultcell.conditions import conditions_of
    from faultcell.curves import grid

    asked: list[Condition]
    if (like is None) == (fault is None):
        raise ConditionError("sample takes either --fault (with --peak-deviation-volt ...) or --like DIR")
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
        if fault != "normal" and peak_deviation_volt is None:
            raise ConditionError(f"sample --fault {fault} needs --peak-deviation-volt: how far beyond the limit, in V")
        if fault != "normal" and repetition_count is None:
            values["repetition_count"] = 1
        model = Augmenter.load(bundle)
        asked = grid(fault, repeat=count, **_given(**values))
    else:
        if _given(**values) or count != 1:
            raise ConditionError("sample --like takes every condition from that set: leave out --count and the conditions")
        asked = conditions_of(_read(Path(str(like)), label=label, cells=cells, step_type=step_type))
        model = Augmenter.load(bundle)
    seeds = range(seed, seed + len(asked))
    with _progress() as tick:
        drawn = model.draw(asked, seeds, steps=steps, on_chunk=lambda n, m: tick("drawing", n, m))
    settings = {
        "verb": "sample",
        "model_sha256": model.sha256,
        "seed": seed,
        "steps": steps or model.config.diffusion.num_inference_steps,
    }
    files.write(drawn, out, config=settings)
    _say({"out": str(out), "curves": len(drawn), "model_sha256": model.sha256}, as_json, f"{len(drawn)} curves in {out}")


@verb()
def evaluate(
    real: Annotated[Path, typer.Option(metavar="DIR", help="Real curves the model has not seen.")],
    synthetic: Annotated[Path, typer.Option(metavar="DIR", help="Generated curves.")],
    out: Annotated[Path, typer.Option("--out", help="Scores file to write.")],
    train: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The faults the model was adapted to: scores replay and mean curve too."),
    ] = None,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Score generated curves against real ones, beside nearest replay and the mean curve."""
    from faultcell import show as shown
    from faultcell.files.atomic import write_text
    from faultcell.scoring import evaluate as score
    from faultcell.scoring import same_part

    known = _read(train) if train else None
    whole = _read(real)
    chosen = _select(whole, label=label, cells=cells, step_type=step_type)
    part = same_part(_read(synthetic), of=whole, selected=chosen)
    scores = score(real=chosen, synthetic=part, train=known)
    write_text(out, scores.model_dump_json(indent=2) + "\n")
    _say(scores.model_dump(mode="json"), as_json, shown.text(shown.facts(out)))


def _read(
    path: Path, *, label: list[str] | None = None, cells: list[str] | None = None, step_type: list[str] | None = None
) -> Curves:
    from faultcell import files

    return _select(files.read(path), label=label, cells=cells, step_type=step_type)


def _select(curves: Curves, *, label: list[str] | None, cells: list[str] | None, step_type: list[str] | None) -> Curves:
    names = [name for part in cells or [] for name in part.split(",")]
    return curves.select(label=label, cells=names or None, step_type=step_type)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _say(found: dict[str, Any], as_json: bool, text: str) -> None:
    print(json.dumps(found, indent=2) if as_json else text)


def _say_model(out: Path, as_json: bool) -> None:
    from faultcell import show as shown

    facts = shown.facts(out)
    _say(facts, as_json, shown.text(facts))


@contextmanager
def _progress() -> Iterator[Tick]:
    """Bars with the time left on a terminal, nothing in a pipe."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def tick(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tick
