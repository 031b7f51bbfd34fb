"""The condition vector: one-hot fault, six severities, operating context; each with a flag that says whether it is known.

    y = [onehot(fault); charge, discharge; dV_max, N_oc, T_oc; dV_min, N_od, T_od; s_1, s_2, ...; C-rate, ambient, cycle, ...]

where s_1, s_2, ... are the severities of those faults that break no limit. The severities of the side a half-cycle cannot
break, and those of faults that it does not have, are exactly zero. Normal curves have no fault bit set; how deep they go
beyond a rated limit, if they do, is told all the same, for it is from them that the model learns what deeper means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.condition import Condition
from faultcell.curves.faults import Severity, inside
from faultcell.curves.schema import Array
from faultcell.encoding.grid import CHANNELS, STEPS, charging

SEVERITIES = ("peak", "count", "seconds")
CONTEXT = ("c_rate", "ambient", "cycle", "health", "duty")
RADII = tuple(f"{channel}_{part}_radius" for channel in CHANNELS for part in ("head", "tail"))
# What is always told beside the conditions: how near known curves are by the first two kernels, how far each part of the curve
# strays, whether a fault is asked for at all, and whether another curve of the cell helped.
SUPPORT_FEATURES = ("head_reach", "lasts_reach", *RADII, "faulty", "referenced")


class ConditionEncoder:
    """Layout of the condition vector of a model.

    Args:
        faults: names of the one-hot part, in order; a model keeps those it was made with.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        sides = [f"{side}_{name}" for side in ("high", "low") for name in SEVERITIES]
        self.inside = inside(self.faults)
        self.names = (*self.faults, *STEPS, *sides, *(one.name for one in self.inside), *CONTEXT)

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
        table = np.zeros((len(conditions), len(self)))
        place = {name: i for i, name in enumerate(self.names)}
        for i, condition in enumerate(conditions):
            if condition.step in place:  # a rest is neither
                table[i, place[condition.step]] = 1.0
            if condition.fault in place:
                table[i, place[condition.fault]] = 1.0
        high = charging(conditions)
        for name, values in _scaled(conditions).items():
            if name in CONTEXT:
                table[:, place[name]] = values
            else:
                table[high, place[f"high_{name}"]] = values[high]
                table[~high, place[f"low_{name}"]] = values[~high]
        for one in self.inside:
            table[:, place[one.name]] = scaled_severity(one, conditions)
        known = np.isfinite(table)
        return np.where(known, table, 0.0).astype(np.float32), known.astype(np.float32)


def scaled_severity(severity: Severity, conditions: Sequence[Condition]) -> Array:
    """A severity of faults inside all limits, about one; NaN where unknown, zero where another fault was asked for `(N,)`."""
    values = np.array([condition.severity(severity.name) for condition in conditions], dtype=np.float64) / severity.typical
    return np.sign(values) * np.log1p(np.abs(values)) if np.isinf(severity.most) else values


def _scaled(conditions: Sequence[Condition]) -> dict[str, Array]:
    """Severities and context by name `(N,)`, NaN where unknown. The constants bring common values to about one."""

    def given(name: str) -> Array:
        return np.array([getattr(condition, name) for condition in conditions], dtype=np.float64)

    rate = given("c_rate")
    loads = [condition.load for condition in conditions]
    return {
        "peak": given("peak_deviation_volt") / 0.5,
        "count": np.log1p(given("repetition_count")) / 2,
        "seconds": np.log1p(given("cumulative_duration_second")) / 4,
        "c_rate": np.log2(np.where(rate > 0, rate, np.nan)),
        "ambient": (given("ambient_temperature_celsius") - 25) / 15,
        "cycle": np.log1p(given("cycle_count")) / 3,
        "health": (given("state_of_health") - 0.8) / 0.2,
        "duty": np.array([np.nan if load is None else load.duty for load in loads], dtype=np.float64),
    }


def unscaled_context(table: Array) -> dict[str, Array]:
    """The context of conditions in its own units, from the scaled values `(N, C)` in the order of `CONTEXT`; NaN stays NaN.

    The names are those of `Condition`; the duty of the load, which a condition tells by its load alone, is left out.
    """
    rate, ambient, cycle, health, _ = table.T
    return {
        "c_rate": np.exp2(rate),
        "ambient_temperature_celsius": 25 + 15 * ambient,
        "cycle_count": np.expm1(3 * cycle),
        "state_of_health": 0.8 + 0.2 * health,
    }
