"""The verbs that show what is there: demo, show, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultcell.cli.common import Everything, Json, Out, Seed, progress, read, say
from faultcell.errors import DataError


def demo(out: Out = Path("demo"), seed: Seed = 0, as_json: Json = False) -> None:
    """The whole story on the embedded data; ends with the path of an HTML page."""
    from faultcell.cli import story

    with progress() as tick:
        page = story.run(out, seed=seed, tick=tick)
    say({"page": str(page)}, as_json, f"{page}")


def show(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Curve set, bundle, export, study, scores or gain.")],
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Say what a curve set, a bundle or a file of results is, and what it comes to."""
    from faultcell.report import describe
    from faultcell.report.brief import brief

    if everything or as_json:
        facts = describe.facts(path)
        say(facts, as_json, describe.text(facts))
    else:
        print(brief(path))


def report(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of a finished study, or a file of scores or of gain.")],
    out: Annotated[Path | None, typer.Option("--out", help="Page to write; beside PATH if not given.")] = None,
    real: Annotated[Path | None, typer.Option(metavar="DIR", help="With scores: the real curves, to be shown.")] = None,
    synthetic: Annotated[Path | None, typer.Option(metavar="DIR", help="With scores: the drawn curves, to be shown.")] = None,
    as_json: Json = False,
) -> None:
    """Make the page of a study, of scores or of gain: one HTML file that needs nothing beside it."""
    from faultcell.report import write_results, write_study

    if not path.exists():
        raise DataError(
            f"{path}: found nothing there, expected a study's folder, or a file of scores or of gain: check the path"
        )
    if path.is_file():
        sets = {"real": read(real) if real else None, "synthetic": read(synthetic) if synthetic else None}
        page = write_results(path, out or path.with_suffix(".html"), **sets)
    else:
        page = write_study(path, out)
    say({"page": str(page)}, as_json, f"{page}")
