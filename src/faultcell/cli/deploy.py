"""Verbs of the way to other machines: models as ONNX files, and what this machine is like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultcell.cli.common import Json, Out, Seed, given, read, say
from faultcell.errors import ConditionError


def export(
    out: Out,
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="Diffusion model whose networks to write.")] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Real curves a classifier learns from: normal ones and faults.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Real curves of other cells; some of --train's cells if not given.")
    ] = None,
    synthetic: Annotated[Path | None, typer.Option(metavar="DIR", help="Generated faults to add to the training.")] = None,
    classifier: Annotated[str | None, typer.Option(help="mlp, cnn, lstm, gru, bilstm or cnn_lstm; cnn if not given.")] = None,
    fault: Annotated[str | None, typer.Option(help="Fault to tell from normal curves; the only one if not given.")] = None,
    view: Annotated[str | None, typer.Option(help="whole, or in_limits: the part inside the rated limits.")] = None,
    tolerance: Annotated[float | None, typer.Option(min=0, max=1, help="Recall that int8 may cost a class.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps of the classifier.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write a fault classifier (--train) or the networks of a BUNDLE as ONNX, to run without torch (extra `onnx`)."""
    from faultcell.augmenter import Augmenter
    from faultcell.export import Order, export_classifier, export_generator
    from faultcell.report import describe as shown

    chosen = given(classifier=classifier, fault=fault, view=view, tolerance=tolerance, steps=steps)
    if (bundle is None) == (train is None):
        raise ConditionError("export takes either a BUNDLE, whose networks it writes, or --train DIR, to train a classifier")
    if bundle is not None:
        if chosen or test or synthetic:
            raise ConditionError("export BUNDLE takes --out alone: the other options are those of a classifier (--train)")
        found = export_generator(Augmenter.load(bundle), out)
    else:
        assert train is not None
        found = export_classifier(
            out,
            train=read(train),
            test=read(test) if test else None,
            synthetic=read(synthetic) if synthetic else None,
            order=Order(**chosen, seed=seed),
        )
    say({"out": str(out), **found}, as_json, shown.text({"out": str(out), **found}))


def doctor(as_json: Json = False) -> None:
    """Say what is installed, what this machine offers, and whether FaultCell works here: it loads data, trains and draws."""
    from faultcell import doctor as examine

    found = examine.examine()
    say(found, as_json, examine.text(found))
    raise typer.Exit(0 if found["sound"] else 1)
