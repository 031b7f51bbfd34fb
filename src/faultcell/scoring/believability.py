"""Whether single curves are such as a cell could have made: shares of curves that break what cells keep.

An average (mae, CRPS, coverage) never shows that a curve is impossible; these do. Each is told of the real curves, too.
"""

from __future__ import annotations

import numpy as np

from faultcell.curves.curves import Curves
from faultcell.curves.plausibility import (
    AGAINST_VOLT,
    FLAT_SHARE,
    LEAST_CELSIUS,
    MOST_CELSIUS,
    MOST_CELSIUS_STEP,
    MOST_SURGE,
    LoadedCurve,
    loaded_curves,
)
from faultcell.curves.schema import REST, Array

# Of one curve: whether it does what its name says, NaN where it has no such channel.
SHARES = ("rises", "flat_at_limit", "hot", "surges")


def broken(curves: Curves) -> dict[str, Array]:
    """For each curve 1.0 where it does what no cell does `(N,)` each, NaN where that cannot be told.

    `rises`: more than 20 mV against its direction under a constant load, after the first tenth of its time.
    `flat_at_limit`: within 3 mV of its limit for more than 2 % of its time (discharges).
    `hot`: a surface below -40 or above 80 degC, or that jumps by more than 8 K between samples.
    `surges`: a current of more than twice its median (discharges).

    Of a rest none of them can be told: a cell that shorts collapses, comes back and burns.
    """
    steps = curves.halfcycles["step_type"].to_list()
    rows = [
        (
            one.against > AGAINST_VOLT,
            one.flat > FLAT_SHARE,
            _hot(one),
            np.nan if np.isnan(one.surge) else one.surge > MOST_SURGE,
        )
        if one.time.size > 1 and step != REST
        else (np.nan,) * len(SHARES)  # never under load
        for one, step in zip(loaded_curves(curves), steps, strict=True)
    ]
    return dict(zip(SHARES, np.array(rows, dtype=np.float64).reshape(-1, len(SHARES)).T, strict=True))


def _hot(one: LoadedCurve) -> float:
    if not one.warm.size:
        return np.nan
    return float(one.celsius_step > MOST_CELSIUS_STEP or one.warm.min() < LEAST_CELSIUS or one.warm.max() > MOST_CELSIUS)


def share(values: Array) -> float | None:
    """Mean of what is known, of `broken`; None where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
