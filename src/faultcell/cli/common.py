"""What the verbs share: options, selections, what is printed, progress bars."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultcell.cli.messages import Lines
from faultcell.errors import ConditionError, many, meant

if TYPE_CHECKING:
    from pydantic import BaseModel

    from faultcell.curves.curves import Curves
    from faultcell.diagnosis import Gain
    from faultcell.files.durable.part_list import PartList
    from faultcell.runtime.workers import Workers as Carrier
    from faultcell.scoring import Scores
    from faultcell.training.loop import Step

Out = Annotated[Path, typer.Option("--out", help="Where the result goes; written whole or not at all.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="Only curves of this label; repeat for more.")]
Cells = Annotated[
    list[str] | None,
    typer.Option("--cells", help="Only curves of this cell; repeat for more, or separate by commas."),
]
StepTypes = Annotated[list[str] | None, typer.Option("--step-type", help="Only charge or discharge curves.")]
Rename = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="OLD=NEW", help="Name a label or step type of the set otherwise; repeat for more."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all that is random.")]
TrainSteps = Annotated[int | None, typer.Option("--steps", min=1, help="Training steps.")]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Model to draw from.")]
Reference = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Earlier curves of the same cells: their part inside the limits, and their past."),
]
SamplerSteps = Annotated[int | None, typer.Option("--steps", min=1, help="Network evaluations a curve.")]
Preset = Annotated[str | None, typer.Option(help="That of the model, told for certainty: paper, or default.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what a stopped run left in --out, or start.")]
Mlflow = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="Log to this MLflow server, or to sqlite:///FILE (extra `track`)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Everything = Annotated[bool, typer.Option("--all", help="Print all that was measured, not the verdict and five numbers alone.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes at most; as many as there are cores if not given. Few pieces of work begin fewer."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="local|HOST:PORT",
        help="Spread the work by Ray (extra `ray`): over this machine, or over a cluster that this machine is a node of.",
    ),
]
Part = Annotated[
    str | None,
    typer.Option("--part", metavar="K/N", help="Only the K-th of N parts, which together are the whole: for a batch system."),
]
OutAnywhere = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="DIR|URL",
        help="Where the result goes; written whole or not at all. With --in-parts also a URL (s3://...).",
    ),
]
InParts = Annotated[
    bool,
    typer.Option(
        "--in-parts", help="Write many files, each by the process that makes it: for millions. The same command again goes on."
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, or auto: a GPU where there is one.")]
Severities = Annotated[
    list[str] | None,
    typer.Option("--severity", metavar="NAME=VALUE", help="How severe a fault is, the unit in the name; repeat for more."),
]
Tick = Callable[[str, int, int], None]


def read(
    path: Path,
    *,
    label: list[str] | None = None,
    cells: list[str] | None = None,
    step_type: list[str] | None = None,
    rename: list[str] | None = None,
) -> Curves:
    """The curves of a folder that the options select, by the names that they then have."""
    from faultcell import files

    if not rename:
        return select(files.read(path), label=label, cells=cells, step_type=step_type)
    from faultcell.curves.severity import complete

    names = dict(pair for text in rename if len(pair := text.split("=")) == 2 and all(pair))
    if len(names) < len(rename):
        raise ConditionError(f"--rename takes OLD=NEW, once for each name, found '{' '.join(rename)}'")
    return select(complete(read_as_told(path).renamed(names)), label=label, cells=cells, step_type=step_type)


def read_as_told(path: Path) -> Curves:
    """The curves of a folder with the severities that its table tells; none is measured."""
    from faultcell.files.curve_set import read_checked

    return read_checked(path)[0]


def select(curves: Curves, *, label: list[str] | None, cells: list[str] | None, step_type: list[str] | None) -> Curves:
    """The curves of a set that the options select."""
    return curves.select(label=label, cells=separated(cells) or None, step_type=step_type)


def separated(values: list[str] | None) -> tuple[str, ...]:
    """The values of an option that may be repeated, or take several with commas between."""
    return tuple(name for part in values or () for name in part.split(","))


def check(option: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConditionError if an option takes no such value."""
    if value not in known:
        raise ConditionError(f"{option} takes {', '.join(known)}, found '{value}'{meant(value, known)}")


def severities_of(values: list[str] | None) -> dict[str, float]:
    """The severities that an option names, by name.

    Raises:
        ConditionError: one is no NAME=VALUE, or named twice.
    """
    found: dict[str, float] = {}
    for text in values or ():
        name, equal, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            equal, value = "", 0.0
        if not equal or name in found:
            raise ConditionError(f"--severity takes NAME=VALUE, each name once, found '{text}'")
        found[name] = value
    return found


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def carrier(workers: int | None, cluster: str | None, device: str = "cpu") -> Iterator[Carrier]:
    """What carries the work: processes of this machine, as many as cores if not given; or a cluster, joined till then."""
    from faultcell.runtime.device import device_of

    if device != "cpu" and device_of(device).type != "cpu":  # else torch need not be there yet
        if cluster is not None or (workers or 1) > 1:
            raise ConditionError(f"--device {device} draws in one process: leave out --workers and --cluster")
        workers = 1
    if cluster is None:
        yield workers or cores()
        return
    from faultcell.runtime.on_ray import LOCAL, RayCluster

    if workers is not None and cluster != LOCAL:
        raise ConditionError(f"--workers is for this machine: how many the cluster at {cluster} has, it knows itself")
    own = RayCluster(cluster, workers=workers or cores())
    with own.joined():
        yield own


def part_of(told: str | None, whole: int) -> slice:
    """Which of so many pieces `--part K/N` means: the K-th of N runs of nearly the same length; all where it is not given.

    Raises:
        ConditionError: it is no such pair, or there are fewer pieces than parts.
    """
    if told is None:
        return slice(0, whole)
    which, _, parts = told.partition("/")
    if not (which.isdecimal() and parts.isdecimal() and 1 <= int(which) <= int(parts)):
        raise ConditionError(f"--part takes K/N, the K-th of N parts, found '{told}'")
    if int(parts) > whole:
        raise ConditionError(f"--part {told}: there are only {whole} pieces to divide")
    start, stop = (whole * k // int(parts) for k in (int(which) - 1, int(which)))
    return slice(start, stop)


def out_of(told: str, *, in_parts: bool) -> str | Path:
    """Where `--out` is: a folder, or a URL, which only a set of parts can be written to."""
    if "://" not in told:
        return Path(told)
    if not in_parts:
        raise ConditionError(f"--out {told}: only a set of parts is written to a URL: give --in-parts, or a folder")
    return told


def of_parts(told: str | None, listed: PartList | None, out: str | Path) -> str:
    """What is said of a set of parts that is written, or some parts of which are."""
    if listed is not None:
        return f"{many(listed.curves, 'curve')} in {many(len(listed.parts), 'part')}, in {out}"
    return f"part {told} of the set in {out} is written: whichever command writes the last of them makes the set whole"


def given(**values: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def say(found: dict[str, Any], as_json: bool, text: str) -> None:
    """Print a result, as JSON or as text."""
    print(json.dumps(found, indent=2) if as_json else text)


def say_result(found: Scores | Gain, as_json: bool, everything: bool) -> None:
    """Print scores or a gain: at a glance, all of it, or as JSON."""
    from faultcell.report import describe
    from faultcell.report.brief import brief_of

    text = describe.text(describe.facts_of(found)) if everything else brief_of(found)
    say(found.model_dump(mode="json"), as_json, text)


def say_model(out: Path, as_json: bool) -> None:
    """Print what a bundle is."""
    from faultcell.report import describe as shown

    facts = shown.facts(out)
    say(facts, as_json, shown.text(facts))


@contextmanager
def progress() -> Iterator[Tick]:
    """Bars with the time left on a terminal, a line now and then in a pipe."""
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
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def tick(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tick


@contextmanager
def watched(
    what: str, *, mlflow: str | None, config: BaseModel
) -> Iterator[tuple[Callable[[Step], None], Callable[[Path], None]]]:
    """A progress bar and, where a URI is given, an MLflow run: what to call after each step, and with the bundle at last."""
    with progress() as tick:
        if mlflow is None:
            yield lambda s: tick(what, s.step, s.steps), lambda _: None
            return
        from faultcell.training.tracking import mlflow_logger

        with mlflow_logger(mlflow, config=config, run_name=what) as log:

            def tell(step: Step) -> None:
                tick(what, step.step, step.steps)
                log(step)

            yield tell, log.bundle
