"""How the severity attributes go with the waveform: the paper's Pearson analysis, and where it misleads.

For every fault, the correlation over its real curves between each attribute of the condition vector and the voltage at each
place of the loaded part. Two attributes of one cell's history rise together with its age, so a correlation here is no cause.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy.stats import pearsonr

from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.schema import SEVERITY, Array
from faultcell.scoring.resample import resampled

POINTS = 64
FEWEST = 4
LEAST_RANGE = 1e-6


def analyse(faults: Curves) -> pl.DataFrame:
    """One row for each label, attribute and place (0 to 1 of the loaded part): `r`, its p-value and the number of curves."""
    rows = [row for label in sorted(faults.labels) for row in _rows(faults.select(label=[label]), label)]
    schema = {
        "label": pl.String,
        "attribute": pl.String,
        "place": pl.Float64,
        "r": pl.Float64,
        "p": pl.Float64,
        "curves": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def strongest(table: pl.DataFrame) -> list[dict[str, Any]]:
    """For each label and attribute, where its correlation is strongest, and how strong it is there."""
    best = (
        table.drop_nulls("r")
        .sort(pl.col("r").abs(), descending=True)
        .group_by("label", "attribute", maintain_order=True)
        .first()
    )
    return best.sort("label", "attribute").to_dicts()


def _rows(curves: Curves, label: str) -> list[tuple[Any, ...]]:
    volts, rows = waveforms(curves), []
    for attribute in SEVERITY:
        values = curves.known(attribute)
        known = np.isfinite(values)
        for place, column in zip(np.linspace(0, 1, POINTS), volts.T, strict=True):
            rows.append((label, attribute, float(place), *_correlation(values[known], column[known]), int(known.sum())))
    return rows


def waveforms(curves: Curves, *, points: int = POINTS) -> Array:
    """Voltage over the fraction of the loaded part `(N, points)`, V."""
    time, volt = curves.column("step_time_second"), curves.column("voltage_volt")
    parts = [loaded_part(curves, rows) for rows in curves.slices()]
    return resampled([time[part] for part in parts], [volt[part] for part in parts], points=points)


def _correlation(a: Array, b: Array) -> tuple[float | None, float | None]:
    if len(a) < FEWEST or min(np.ptp(a), np.ptp(b)) < LEAST_RANGE:
        return None, None
    found = pearsonr(a, b)
    return float(found.statistic), float(found.pvalue)
