"""The verb that keeps cells back: whatever is learnt from one part, nothing has seen the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultcell.cli.common import Cells, Json, Labels, Seed, StepTypes, read, say
from faultcell.errors import ConditionError, DataError


def split(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set to divide.")],
    train: Annotated[Path, typer.Option("--train", metavar="DIR", help="Where the curves to learn from go.")],
    test: Annotated[Path, typer.Option("--test", metavar="DIR", help="Where the curves of cells kept back go.")],
    share: Annotated[float, typer.Option(help="Of the cells of each fault, and of those without any, kept back.")] = 0.3,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Divide a curve set by cell: a share of the cells of each fault, and of those without any, is kept back."""
    from faultcell import files
    from faultcell.curves import NORMAL
    from faultcell.files.atomic import refuse_other
    from faultcell.files.curve_set import CONTENTS
    from faultcell.study.split import held_out

    if not 0 < share < 1:
        raise ConditionError(f"--share takes a number between 0 and 1, found {share:g}")
    if train.resolve() == test.resolve():
        raise ConditionError("--train and --test take two folders: what is kept back must not lie with the rest")
    for out in (train, test):
        if out.resolve() == folder.resolve():
            raise ConditionError(f"{out} is the set to divide: choose other folders for its parts")
        refuse_other(out, CONTENTS)
    curves = read(folder, label=label, cells=cells, step_type=step_type)
    if len(curves.cells) < 2:
        raise DataError(f"{folder} holds one cell only ({curves.cells[0]}): there is none to keep back")
    faults = [name for name in curves.labels if name not in (None, NORMAL)]
    alone = [name for name in faults if len(curves.select(label=name).cells) < 2]
    if alone:
        raise DataError(f"'{alone[0]}' was seen in one cell only: leave it out with --label, or bring a second cell of it")
    kept = set(held_out(curves, faults, test=share, seed=seed))
    parts = {
        out: curves.select(cells=[cell for cell in curves.cells if (cell in kept) == is_test])
        for out, is_test in ((train, False), (test, True))
    }
    for out, part in parts.items():
        files.write(part, out)
    facts = {str(out): {"cells": part.cells, "curves": len(part)} for out, part in parts.items()}
    say(facts, as_json, "\n".join(f"{out}: {part!r}" for out, part in parts.items()))
