"""What a request leaves open of the operating context: drawn with its curve, jointly, as known curves have it.

Cells of one fault were run at 1, 2 and 4 A; their mean is the protocol of none. So a known curve of the fault is drawn, the
likelier the nearer it is to what was asked, every cell counting the same, and the request takes from it what it leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.condition import Condition
from faultcell.curves.schema import PULSED_REST_SHARE, REST_C_RATE, Array
from faultcell.encoding.condition_vector import CONTEXT, unscaled_context
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.kernel import DUTY, LASTS, Queries, squares

OPEN = ("c_rate", "ambient_temperature_celsius", "state_of_health", "cycle_count")
STREAM = 3  # of random numbers, beside those of the curve


def with_protocols(
    conditions: Sequence[Condition], seeds: Sequence[Sequence[int]], regression: KernelRegression, *, faults: Sequence[str]
) -> list[Condition]:
    """Conditions with all of the operating context that known curves can tell.

    Args:
        conditions: what is asked for.
        seeds: of each choice.
        regression: the known curves.
        faults: names of the one-hot part of the condition vector.
    """
    found = list(conditions)
    rows = [i for i, c in enumerate(found) if any(getattr(c, name) is None for name in OPEN)]
    if not rows:
        return found
    known = regression.known.queries
    queries = Queries.of([found[i] for i in rows], faults, regression.modes([found[i] for i in rows], faults))
    context = unscaled_context(known.features[:, : len(CONTEXT)])
    each = _share_of_cells(regression.known.cell)
    steady = np.nan_to_num(known.features[:, DUTY], nan=1.0) >= 1 - PULSED_REST_SHARE
    for place, row in enumerate(rows):
        one = queries.take(np.array([place]))
        like = (known.mode == one.mode) & (known.label == one.label) & steady
        if not like.any():
            continue
        some = np.flatnonzero(like)
        square = squares(one, known.take(some))[0] @ np.square(regression.metric[LASTS, int(one.mode[0])])
        weight = np.exp(square.min() - square) * each[some]
        rng = np.random.default_rng([*seeds[row], STREAM])
        template = int(rng.choice(some, p=weight / weight.sum()))
        found[row] = filled(found[row], {name: values[template] for name, values in context.items()})
    return found


def filled(condition: Condition, context: Mapping[str, float]) -> Condition:
    """A condition that takes what it leaves open from a context, as far as that is known."""
    left = [name for name in OPEN if getattr(condition, name) is None and np.isfinite(context.get(name, np.nan))]
    taken: dict[str, Any] = {name: float(context[name]) for name in left}
    if "cycle_count" in taken:
        taken["cycle_count"] = max(round(taken["cycle_count"]), 0)
    if "c_rate" in taken:
        taken["c_rate"] = max(taken["c_rate"], 1.01 * REST_C_RATE[condition.step])
    return replace(condition, **taken)


def _share_of_cells(cell: NDArray[np.int64]) -> Array:
    """One over how many curves of its cell are known, for each `(M,)`."""
    _, index, count = np.unique(cell, return_inverse=True, return_counts=True)
    return np.asarray(1 / count[index])
