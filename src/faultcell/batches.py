"""Curve sets as what training and drawing work on: conditions, the anchored grid, scaled tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from faultcell import severity
from faultcell.conditioning import Vocabulary
from faultcell.conditions import conditions_of
from faultcell.config import Config
from faultcell.curves import Condition, Curves
from faultcell.errors import TrainingError
from faultcell.models.generative import Batch
from faultcell.prepare import CURRENT, STEPS, Encoded, Scaler, code_durations, encode
from faultcell.profile import Profile

KNOWN = 1  # the load current; a reference curve of the same cell would be the next


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


def steps_of(conditions: Sequence[Condition]) -> NDArray[np.int64]:
    """Index into `STEPS` of each condition `(N,)`."""
    return np.array([STEPS.index(condition.step) for condition in conditions])


def batch_of(
    encoded: Encoded, conditions: Sequence[Condition], scaler: Scaler, profile: Profile, *, weight: float = 1.0
) -> Batch:
    """The usable curves of a set as scaled tensors."""
    rows = np.flatnonzero(encoded.usable)
    kept = [conditions[row] for row in rows.tolist()]
    step, mask = steps_of(kept), encoded.mask[rows]
    curve = np.where(mask, scaler.forward(encoded.values[rows].astype(np.float64), step), 0.0)
    durations = scaler.forward_durations(code_durations(encoded.seconds[rows], kept), step)
    values, flags = Vocabulary(profile.faults).encode(kept)
    tensor = torch.from_numpy
    return Batch(
        curve=tensor(curve).float(),
        mask=tensor(mask),
        durations=tensor(np.nan_to_num(durations)).float(),
        durations_mask=tensor(np.isfinite(durations)),
        values=tensor(values),
        flags=tensor(flags),
        known=tensor(curve[:, [CURRENT]]).float(),
        is_known=torch.ones(len(rows), KNOWN),
        weight=torch.full((len(rows),), weight),
    )
