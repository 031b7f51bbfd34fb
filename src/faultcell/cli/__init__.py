"""The command line: one function a verb, its signature the options. Heavy imports happen inside the verbs.

    common.py      what the verbs share: options, selections, progress bars
    augment.py     augment, the main verb: from normal curves and a few faults to a training set
    data.py        ingest, simulate, split
    train.py       train, finetune
    draw.py        sample, band
    evaluate.py    evaluate, classify, study
    show.py        demo, show, report; story.py what the demo tells
    deploy.py      export, doctor
    serve.py       serve
    run_config.py  --config and --print-config
    messages.py    --log-level, warnings, progress off a terminal

Exit codes: 0 done, 1 the data or the run failed, 2 wrong usage, 130 or 143 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from faultcell import __version__
from faultcell.cli import augment, data, deploy, draw, evaluate, serve, show, train
from faultcell.cli.messages import LogLevel, begin
from faultcell.errors import FaultCellError
from faultcell.runtime.signals import sigterm_ends

app = typer.Typer(
    help="Your own normal battery curves, gone wrong: fault curves of a requested type and severity to train classifiers with.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# The verbs, in the order in which `--help` lists them.
VERBS = (
    augment.augment,
    show.demo,
    data.ingest,
    data.simulate,
    show.show,
    data.split,
    train.train,
    train.finetune,
    draw.sample,
    draw.band,
    evaluate.evaluate,
    evaluate.classify,
    evaluate.study,
    show.report,
    deploy.export,
    deploy.doctor,
    serve.serve,
)
for _verb in VERBS:
    app.command()(_verb)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"faultcell {__version__}")
        raise typer.Exit


@app.callback()
def _of_all(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Its version.")] = False,
    log_level: LogLevel = "info",
) -> None:
    pass


def main() -> None:
    """Run the command line; what goes wrong on purpose is one sentence on standard error."""
    begin()
    try:
        with sigterm_ends():
            app(prog_name="faultcell")
    except FaultCellError as error:
        print(f"faultcell: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
