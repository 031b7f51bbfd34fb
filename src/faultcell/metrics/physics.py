"""What no cell does: one number a curve, and which of them lie outside what real curves show.

The numbers are plain measurements. A value is a violation only where no real curve of the same kind has the like, so sensor
noise and the habits of a cycler are no violations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faultcell.metrics.paired import Array

RANGE = (0.005, 0.995)
Lines = Sequence[Array] | Array  # curves of any lengths, or all of one
CONSTANT = 0.05  # a current this close to the highest, as a share, counts as constant


def beyond_limits(volts: Lines, *, lower: Array, upper: Array) -> Array:
    """How far each curve goes below its lower and above its upper limit, V, >= 0 `(N, 2)`.

    Faults go beyond a limit by intent: compare with real curves of the same fault.

    Args:
        volts: voltages under load of each curve, V, `(n,)` each.
        lower: rated limits, V `(N,)`.
        upper: rated limits, V `(N,)`.
    """
    lows, highs = np.array([(curve.min(), curve.max()) for curve in volts]).T
    return np.asarray(np.maximum(np.stack([lower - lows, highs - upper], axis=1), 0.0))


def against_trend(volts: Lines, *, amperes: Lines) -> Array:
    """Share of the voltage's movement that goes against its trend at constant current, 0 to 0.5 `(N,)`.

    At constant current the voltage of a discharge falls and that of a charge rises; white noise has about 0.5. The constant
    part are samples whose |current| is within 5 % of the highest. NaN where the voltage does not move there.

    Trap: sensor noise between close samples counts as movement, so compare curves on the same number of points only.

    Args:
        volts: voltages of each curve, V, `(n,)` each.
        amperes: currents at the same samples, A, `(n,)` each.
    """
    return np.array([_against(volt, current) for volt, current in zip(volts, amperes, strict=True)])


def charge_balance(seconds: Lines, *, amperes: Lines, capacity: Array) -> Array:
    """Charge moved over the charge the cell holds, about 1 for a full half-cycle `(N,)`.

    Integral of |current| by the trapezoid rule, over nominal capacity times state of health.

    Args:
        seconds: times of each curve, s, `(n,)` each.
        amperes: currents at the same samples, A, `(n,)` each.
        capacity: nominal capacity times state of health, Ah `(N,)`.
    """
    moved = [np.trapezoid(np.abs(current), time) / 3600 for time, current in zip(seconds, amperes, strict=True)]
    return np.asarray(np.array(moved) / capacity)


def outside(values: Array, reference: Array, *, slack: float = 0.0, below: bool = True) -> NDArray[np.bool_]:
    """Which values lie outside the central 99 % of the reference `(N,)`; NaN never does.

    Real curves of other cells lie outside a little more often than 1 %: with few reference curves the range is their extremes.

    Args:
        values: of generated curves `(N,)`.
        reference: of real curves `(M,)`, NaN left out; with nothing left, nothing lies outside.
        slack: by how much a value may exceed the range, in its unit.
        below: whether values under the range count too.
    """
    known = reference[np.isfinite(reference)]
    if not known.size:
        return np.zeros(len(values), dtype=np.bool_)
    low, high = np.quantile(known, RANGE)
    return np.asarray((values > high + slack) | (below & (values < low - slack)))


def _against(volt: Array, current: Array) -> float:
    size = np.abs(current)
    constant = size >= (1 - CONSTANT) * np.quantile(size, RANGE[1])
    moves = np.diff(volt)[constant[:-1] & constant[1:]]
    total = np.abs(moves).sum()
    return float((total - abs(moves.sum())) / (2 * total)) if total > 0 else float("nan")
