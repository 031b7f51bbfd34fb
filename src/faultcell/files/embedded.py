"""The curve set that comes with the package: virtual cells, made by `faultcell simulate`."""

from __future__ import annotations

from importlib.resources import as_file, files

import polars as pl

from faultcell.curves.curves import Curves
from faultcell.curves.faults import fault
from faultcell.curves.schema import NORMAL
from faultcell.files import read


def demo_data(*faults: str) -> Curves:
    """The curve set that comes with the package: simulated ageing and six kinds of fault (see `data/README.md`).

    Args:
        *faults: only the cells that have one of these, and those that have none; all cells where none is named.

    Raises:
        ConditionError: an unknown fault.
    """
    wanted = [fault(name).name for name in faults]
    with as_file(files("faultcell") / "data") as folder:
        curves = read(folder)
    if not wanted:
        return curves
    has = curves.halfcycles.group_by("cell_id").agg(
        pl.col("label").is_in(wanted).any().alias("asked"), (pl.col("label") != NORMAL).any().alias("faulty")
    )
    return curves.where(pl.col("cell_id").is_in(has.filter(pl.col("asked") | ~pl.col("faulty"))["cell_id"].to_list()))
