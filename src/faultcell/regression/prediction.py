"""A prediction: mean curves and durations, the distance to the support, and how far that lies from its own predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import CONTEXT
from faultcell.regression.kernel import FAR, LOOKS_AT
from faultcell.regression.support import ERRORS

TYPICAL_LOG_SECONDS = (float(np.log(3600.0)), 4.5)  # of head and tail, where nothing is known


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is expected of curves.

    Attributes:
        values: coded channels `(N, C, L)`.
        log_seconds: logarithms of the seconds of head and tail `(N, 2)`.
        distance: root mean squared distance to the neighbours by each kernel `(N, K)`.
        z: how far the neighbours strayed, over how far curves stray on the whole, without and with a reference; near one
            where neighbours are few `(N, 2, E)`.
        displacement: mean way from the neighbours by the first kernel, in the conditions; see `slopes` `(N, F)`.
        own: whether it is the cell's own normal curve, changed by a fault inside all limits: its tail is told already `(N,)`.
    """

    values: Array
    log_seconds: Array
    distance: Array
    z: Array
    displacement: Array
    own: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64]) -> Prediction:
        """These rows."""
        return Prediction(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Prediction]) -> Prediction:
        """The rows of all parts."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @classmethod
    def empty(cls, values: Array) -> Prediction:
        """Where there are no neighbours: typical durations, and these values `(N, C, L)`."""
        count = len(values)
        log_seconds, distance = np.tile(TYPICAL_LOG_SECONDS, (count, 1)), np.full((count, len(LOOKS_AT)), FAR)
        everywhere, none = np.ones((count, 2, len(ERRORS))), np.zeros(count, dtype=bool)
        return cls(values, log_seconds, distance, everywhere, np.zeros((count, len(CONTEXT))), none)
