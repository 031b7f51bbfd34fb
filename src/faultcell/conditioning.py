"""The condition vector: one-hot fault, six severities, operating context; each with a flag that says whether it is known.

    y = [onehot(fault); charge, discharge; dV_max, N_oc, T_oc; dV_min, N_od, T_od; C-rate, ambient, cycle, health, duty]

The severities of the side a half-cycle cannot break are exactly zero. Normal curves have no fault bit set; how deep they go
beyond a rated limit, if they do, is told all the same, for it is from them that the model learns what deeper means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultcell.curves import Condition
from faultcell.prepare import STEPS, duty

SEVERITIES = ("peak", "count", "seconds")
CONTEXT = ("c_rate", "ambient", "cycle", "health", "duty")
# What is always told beside the conditions: how near known curves are by the first two kernels, whether a fault is asked for
# at all, and whether another curve of the cell helped.
STANDING = ("head_reach", "lasts_reach", "faulty", "referenced")


class Vocabulary:
    """Layout of the condition vector of a model.

    Args:
        faults: names of the one-hot part, in order; a model keeps those it was made with.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        sides = [f"{side}_{name}" for side in ("high", "low") for name in SEVERITIES]
        self.names = (*self.faults, *STEPS, *sides, *CONTEXT)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def droppable(self) -> NDArray[np.bool_]:
        """Values that may become unknown on their own `(F,)`: counts, times and context; not what is asked for."""
        return np.asarray(self.history | self.context)

    @property
    def context(self) -> NDArray[np.bool_]:
        """Values of the operating context `(F,)`."""
        return np.array([name in CONTEXT for name in self.names])

    @property
    def history(self) -> NDArray[np.bool_]:
        """Values that tell the past of a cell: counts and cumulated times `(F,)`."""
        return np.array([name.endswith(("_count", "_seconds")) for name in self.names])

    def encode(self, conditions: Sequence[Condition]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values and flags of known `(N, F)` each; the value of what is unknown is zero."""
        rows = [self._row(condition) for condition in conditions]
        table = np.array([[row.get(name, 0.0) for name in self.names] for row in rows], dtype=np.float64)
        table = table.reshape(len(rows), len(self))
        known = np.isfinite(table)
        return np.where(known, table, 0.0).astype(np.float32), known.astype(np.float32)

    def _row(self, condition: Condition) -> dict[str, float]:
        """Scaled values by name; NaN is unknown, absent is zero. The constants bring common values to about one."""
        severities = (
            condition.peak_deviation_volt / 0.5,
            _scaled(condition.repetition_count, np.log1p, centre=0, spread=2),
            _scaled(condition.cumulative_duration_second, np.log1p, centre=0, spread=4),
        )
        context = (
            _scaled(condition.c_rate, np.log2, centre=0, spread=1),
            _scaled(condition.ambient_temperature_celsius, float, centre=25, spread=15),
            _scaled(condition.cycle_count, np.log1p, centre=0, spread=3),
            _scaled(condition.state_of_health, float, centre=0.8, spread=0.2),
            _scaled(duty(condition.load), float, centre=0, spread=1),
        )
        sided = [f"{condition.side}_{name}" for name in SEVERITIES]
        return {
            condition.fault: 1.0,
            condition.step: 1.0,
            **dict(zip(sided, severities, strict=True)),
            **dict(zip(CONTEXT, context, strict=True)),
        }


def _scaled(value: float | None, transform: np.ufunc | type[float], *, centre: float, spread: float) -> float:
    if value is None or (transform is np.log2 and value <= 0):
        return float("nan")
    return (float(transform(value)) - centre) / spread
