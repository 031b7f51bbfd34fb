"""The verbs that make curve sets of measured or simulated curves: ingest, simulate, split."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faultcell.cli.common import (
    Cells,
    Cluster,
    InParts,
    Json,
    Labels,
    Out,
    OutAnywhere,
    Part,
    Rename,
    Seed,
    StepTypes,
    Workers,
    carrier,
    check,
    of_parts,
    out_of,
    part_of,
    progress,
    read,
    say,
)
from faultcell.errors import ConditionError, DataError, many

if TYPE_CHECKING:
    from faultcell import files


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files of cyclers (docs/formats.md), folders of them, or curve sets.")],
    out: Out,
    lower: Annotated[float | None, typer.Option(help="Rated lower voltage limit, V.")] = None,
    upper: Annotated[float | None, typer.Option(help="Rated upper voltage limit, V.")] = None,
    nominal_capacity_ah: Annotated[float | None, typer.Option(help="Nominal capacity, Ah.")] = None,
    cell: Annotated[
        Path | None, typer.Option(metavar="TOML", help="File with rated values, also of some cells by name.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(metavar="TOML", help="File that says which column is which.")] = None,
    to: Annotated[str, typer.Option(help="curves, or bdf: one Battery Data Format file a cell, for other tools.")] = "curves",
    workers: Workers = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Bring cycler files into a curve set, and say what was found, assumed and is suspect in them."""
    from dataclasses import asdict

    from faultcell import files
    from faultcell.report import describe

    user_mapping: files.UserMapping = {"lower": lower, "upper": upper, "nominal_capacity_ah": nominal_capacity_ah}
    user_mapping |= {"cell_file": cell, "mapping": mapping}
    check("--to", to, ("curves", "bdf"))
    if to == "bdf":
        say_bdf(paths, out, user_mapping=user_mapping, as_json=as_json)
        return
    config = {"verb": "ingest", "paths": [path.name for path in paths], **user_mapping}
    with carrier(workers, cluster) as carried, progress() as tick:
        tell = partial(tick, "reading")
        found = files.ingest_into(paths, out, config=config, workers=carried, on_file=tell, **user_mapping)
    cells = found.halfcycles["cell_id"].n_unique()
    facts = {"files": [asdict(file) for file in found.files], "suspicions": found.notes}
    made = {"out": str(out), "curves": found.halfcycles.height, "cells": cells}
    shown = describe.text({**facts, "files": describe.files_found(found.files)})
    groups = found.halfcycles.group_by("label", "step_type", maintain_order=True).len().rows()
    counts = ", ".join(many(count, f"{label} {step}") for label, step, count in groups)
    say(
        {**made, **facts},
        as_json,
        f"{shown}\n{counts}: {many(found.halfcycles.height, 'curve')} of {many(cells, 'cell')}, in {out}",
    )


def say_bdf(paths: list[Path], out: Path, *, user_mapping: files.UserMapping, as_json: bool) -> None:
    """Write the curves of files as Battery Data Format files, and say which."""
    from faultcell import files
    from faultcell.files import exchange
    from faultcell.report import describe

    curves, notes = files.ingest(paths, **user_mapping)
    made = [str(path) for path in exchange.to_bdf(curves, out)]
    facts = {"out": str(out), "curves": len(curves), "made": made, "suspicions": notes}
    say(facts, as_json, describe.text(facts))


def simulate(
    out: OutAnywhere,
    cells: Annotated[int, typer.Option(min=1, help="Virtual cells.")] = 48,
    cycles: Annotated[int, typer.Option(min=2, help="Cycles recorded of each cell.")] = 15,
    fault: Annotated[
        list[str] | None, typer.Option(help="Fault to simulate; repeat for more. All known ones by default.")
    ] = None,
    in_parts: InParts = False,
    part: Part = None,
    workers: Workers = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Simulate ageing and faults of virtual cells with PyBaMM (extra `sim`)."""
    from faultcell import files
    from faultcell import simulate as simulation
    from faultcell.curves.curves import Curves

    place = out_of(out, in_parts=in_parts)
    faults = tuple(fault) if fault else tuple(name for name, row in simulation.SCENARIOS.items() if row.label != "normal")
    if in_parts:
        share, tell = part_of(part, -(-cells // simulation.CELLS_IN_PART)), "simulating parts"
        with carrier(workers, cluster) as carried, progress() as tick:
            listed = simulation.simulate_into(
                place,
                cells=cells,
                cycles=cycles,
                faults=faults,
                cells_in_part=simulation.CELLS_IN_PART,
                share=share,
                workers=carried,
                seed=seed,
                on_part=lambda n, m: tick(tell, n, m),
            )
        lost = list(listed.told.get("failures", ())) if listed else []
        facts = {"out": out, "curves": listed.curves if listed else None, "whole": listed is not None, "failures": lost}
        say(facts, as_json, of_parts(part, listed, out) + (f"; {len(lost)} failed" if listed else ""))
        return
    with carrier(workers, cluster) as carried, progress() as tick:
        result = simulation.simulate(
            cells=cells,
            cycles=cycles,
            faults=faults,
            part=part_of(part, cells),
            workers=carried,
            seed=seed,
            progress=lambda n, m: tick("simulating cells", n, m),
        )
    curves = Curves.from_tables(result.timeseries, result.halfcycles)
    settings = {"cells": cells, "cycles": cycles, "faults": list(faults), "part": part, "seed": seed}
    files.write(curves, place, config={"verb": "simulate", **settings})
    failures = [str(failure) for failure in result.failures]
    found = {"out": str(out), "curves": len(curves), "cells": len(curves.cells), "failures": failures}
    say(found, as_json, f"{many(len(curves), 'curve')} of {many(len(curves.cells), 'cell')} in {out}; {len(failures)} failed")


def split(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Curve set to divide.")],
    train: Annotated[Path, typer.Option("--train", metavar="DIR", help="Where the curves to learn from go.")],
    test: Annotated[Path, typer.Option("--test", metavar="DIR", help="Where the curves of cells kept back go.")],
    share: Annotated[float, typer.Option(help="Of the cells of each fault, and of those without any, kept back.")] = 0.3,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    rename: Rename = None,
    as_json: Json = False,
) -> None:
    """Divide a curve set by cell: a share of the cells of each fault, and of those without any, is kept back."""
    from faultcell import files
    from faultcell.curves.schema import NORMAL
    from faultcell.files.curve_set import CONTENTS
    from faultcell.files.durable.atomic import refuse_other
    from faultcell.study.split import held_out

    if not 0 < share < 1:
        raise ConditionError(f"--share takes a number between 0 and 1, found {share:g}")
    if train.resolve() == test.resolve():
        raise ConditionError("--train and --test take two folders: what is kept back must not lie with the rest")
    for out in (train, test):
        if out.resolve() == folder.resolve():
            raise ConditionError(f"{out} is the set to divide: choose other folders for its parts")
        refuse_other(out, CONTENTS)
    curves = read(folder, label=label, cells=cells, step_type=step_type, rename=rename)
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
