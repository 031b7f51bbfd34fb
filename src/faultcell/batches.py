"""Curve sets as what training works on: conditions, the anchored grid."""

from __future__ import annotations

from faultcell import severity
from faultcell.conditions import conditions_of
from faultcell.config import Config
from faultcell.curves import Condition, Curves
from faultcell.errors import TrainingError
from faultcell.prepare import STEPS, Encoded, encode


def encoded_set(curves: Curves, config: Config) -> tuple[Curves, list[Condition], Encoded]:
    """Curves with their severity, their conditions, and the curves on the grid."""
    curves = severity.complete(curves)
    curves = curves.select(step_type=[name for name in STEPS if name in set(curves.halfcycles["step_type"])] or None)
    conditions = conditions_of(curves)
    encoded = encode(curves, conditions, config.grid)
    if not encoded.usable.any():
        raise TrainingError(
            "none of the curves can be used: each needs at least four samples under load that begin inside the limits"
        )
    return curves, conditions, encoded
