"""Recordings of one cell or several in one file, cut into half-cycles as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.files.cyclers.reader import PiecewiseError, ReadJob
from faultcell.files.cyclers.segment import CARRIED, READINGS, Recording
from faultcell.files.messages import refuse
from faultcell.files.validate import STEP_TYPES

ENDINGS = (".bdf.csv", ".bdf.parquet")
# Numbers are exact up to here.
MOST_CYCLES = 2.0**53
# A name longer than that is something else that stands in the column.
MOST_NAME_LETTERS = 200


def curves(tables: Iterable[pl.DataFrame], job: ReadJob) -> Iterator[Curves]:
    """Cut the recording of each cell in the file, one cell after the other; it is named by `cell_id`, or by the file."""
    recordings = dict[str, Recording]()
    running: str | None = None  # the one cell that may go on in the next piece: that of the last row
    for table in tables:
        if not job.whole and any(table[name][-1] is None for name in READINGS):
            raise PiecewiseError  # it may be the last row of the file, which breaks off
        made = list[Curves | None]()
        parts = _by_cell(_whole_cycles(_typed(table), str(job.path)), job.path)
        if running is not None and all(cell != running for cell, _, _ in parts):
            made.append(recordings[running].end())
        last = None
        for cell, where, part in parts:
            if cell in recordings and cell != running:
                raise PiecewiseError
            if cell not in recordings:
                recordings[cell] = Recording(cell, rated=job.rated.of(cell), where=where, sign=job.sign, whole=job.whole)
            made.append(recordings[cell].add(part))
            if part["row"][-1] == table["row"][-1]:
                last = cell
            else:
                made.append(recordings[cell].end())
        running = last
        yield from _together(made)
    if not recordings:
        raise PiecewiseError
    if running is not None:
        yield from _together([recordings[running].end()])
    job.notes.extend(note for recording in recordings.values() for note in recording.notes)


def name_of(path: Path) -> str:
    """The file's name without its ending."""
    ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def _by_cell(table: pl.DataFrame, path: Path) -> list[tuple[str, str, pl.DataFrame]]:
    """Name of each cell, where it stands, its rows."""
    if "cell_id" not in table.columns:
        return [(name_of(path), str(path), table)]
    if table["cell_id"].null_count():
        row = int(table["row"][table["cell_id"].is_null().arg_true()[0]])
        refuse(path, f"row {row}, column cell_id", found="nothing", expected="the name of a cell", action="fill it in")
    long = table["cell_id"].cast(pl.String).str.len_chars() > MOST_NAME_LETTERS
    if long.any():
        row, found = int(table["row"][long.arg_true()[0]]), f"a name of more than {MOST_NAME_LETTERS} letters"
        refuse(path, f"row {row}, column cell_id", found=found, expected="the name of a cell", action="shorten it")
    groups = table.partition_by("cell_id", maintain_order=True, as_dict=True)
    return [(str(key), f"{path} (cell {key})", group) for (key,), group in groups.items()]


def _together(made: Iterable[Curves | None]) -> Iterator[Curves]:
    parts = [curves for curves in made if curves is not None]
    if parts:
        yield Curves.concat(parts) if len(parts) > 1 else parts[0]


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    """What our own exports say of a sample, in its types; empty columns of a CSV file are text.

    Others have steps of their own by that name, which are no half-cycles: theirs are not looked at.
    """
    found = (pl.col(name).cast(kind, strict=False) for name, kind in CARRIED.items() if name in table.columns)
    ours = {"label", "step_type", "cycle_count"} <= set(table.columns) and table["step_type"].is_in(STEP_TYPES).all()
    return table.with_columns(*found) if ours else table.with_columns(*found).drop("step_type", strict=False)


def _whole_cycles(table: pl.DataFrame, where: str) -> pl.DataFrame:
    if "cycle_count" not in table.columns:
        return table
    given = table["cycle_count"]
    given = given.str.strip_chars() if given.dtype == pl.String else given
    values = given.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    broken = np.flatnonzero(~((values == np.round(values)) & (np.abs(values) < MOST_CYCLES)))
    if broken.size:
        row = int(broken[0])
        refuse(
            where,
            f"row {table['row'][row]}, column cycle_count",
            found=str(table["cycle_count"][row]),
            expected="whole numbers",
            action="correct it (6.283185 is a known fault of a converter) or drop the column and cycles are counted",
        )
    return table.with_columns(pl.Series("cycle_count", values.astype(np.int64)))
