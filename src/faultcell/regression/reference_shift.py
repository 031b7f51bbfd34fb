"""How a prediction is shifted by an earlier curve of the same cell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.schema import Array
from faultcell.encoding.grid import smoothed
from faultcell.regression.fault_effect import OwnNormals
from faultcell.regression.prediction import Prediction
from faultcell.regression.support import SupportSet


@dataclass(frozen=True, eq=False)
class ReferenceShift:
    """The residual of an earlier curve of the same cell, inside its limits: by it the prediction is shifted.

    Attributes:
        values: of the coded channels, zero where there is none `(N, C, head)`.
        log_seconds: of the logarithm of the seconds of the head `(N,)`.
        apart: distance of its condition, NaN where there is no earlier curve `(N,)`.
        own: the earlier curves themselves, where they are normal ones that faults inside all limits are told from.
    """

    values: Array
    log_seconds: Array
    apart: Array
    own: OwnNormals | None = None

    @classmethod
    def of(
        cls, earlier: SupportSet, prediction: Prediction, *, apart: Array, persistence: Array, grid: GridConfig
    ) -> ReferenceShift:
        """From the earlier curves and what the neighbours let expect of them; none where `apart` is NaN.

        The further the condition of the earlier curve, the less of its difference is carried over.
        """
        known, inside = np.isfinite(apart), np.s_[..., : grid.head]
        mask = earlier.mask[inside] & known[:, None, None]
        kept = persistent(np.nan_to_num(apart), persistence[earlier.queries.mode])
        values = smoothed(np.where(mask, earlier.values[inside] - prediction.values[inside], 0.0), grid)
        log_seconds = np.where(known, earlier.log_seconds[:, 0] - prediction.log_seconds[:, 0], 0.0)
        return cls(kept[:, None, None] * values, kept * log_seconds, apart)

    def told_from(self, own: OwnNormals) -> ReferenceShift:
        """The same, and for faults inside all limits these normal curves as they are."""
        return replace(self, own=own)

    def take(self, rows: NDArray[np.int64]) -> ReferenceShift:
        """These rows."""
        own = None if self.own is None else self.own.take(rows)
        return ReferenceShift(self.values[rows], self.log_seconds[rows], self.apart[rows], own)


def persistent(apart: Array, persistence: Array | float) -> Array:
    """Share of a difference that is still there at a distance `(N,)`."""
    return np.asarray(1 / (1 + np.square(apart / persistence)))
