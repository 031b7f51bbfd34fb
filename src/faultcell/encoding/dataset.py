"""Curve sets on the anchored grid: conditions, and the curves themselves."""

from __future__ import annotations

import numpy as np

from faultcell.config import Config, GridConfig
from faultcell.curves import severity
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.schema import KEYS
from faultcell.encoding.encode import Encoded, encode
from faultcell.encoding.grid import STEPS
from faultcell.errors import TrainingError
from faultcell.files.validate import READINGS


def on_grid(curves: Curves, grid: GridConfig) -> tuple[Curves, list[Condition], Encoded]:
    """The charges and discharges of a set with their severity, their conditions, and these curves on the grid."""
    curves = severity.complete(curves)
    steps = set(curves.halfcycles["step_type"])
    if len(curves) and not steps & {*STEPS}:
        found = ", ".join(sorted(map(str, steps)))
        raise TrainingError(f"none of the curves is a charge or a discharge, but {found}: those alone can be learnt and drawn")
    curves = curves.select(step_type=[name for name in STEPS if name in steps] or None)
    conditions = conditions_of(curves)
    return curves, conditions, encode(curves, conditions, grid)


def encoded_set(curves: Curves, config: Config) -> tuple[Curves, list[Condition], Encoded]:
    """The same of a set to learn from.

    Raises:
        DataError: generated curves are among them.
        TrainingError: none of them can be used, or a reading is not finite.
    """
    curves.refuse_generated("training")
    for name in READINGS:
        broken = np.flatnonzero(~np.isfinite(curves.column(name)))
        if broken.size:
            key = "cell {}, cycle {}, {}".format(*curves.timeseries.select(KEYS).row(int(broken[0])))
            raise TrainingError(f"{key}: found {name} that is not finite, expected numbers: correct it or leave the curve out")
    curves, conditions, encoded = on_grid(curves, config.grid)
    if not encoded.usable.any():
        raise TrainingError(
            "none of the curves can be used: each needs at least four samples under load that begin inside the limits"
        )
    return curves, conditions, encoded
