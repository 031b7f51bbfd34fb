"""How a surface temperature may stray from what is expected of it: as heat goes, and no otherwise.

A cell that begins warmer than expected loses that within minutes, and one that heats more does so throughout. These two tell
all but 2 % of the variance by which the temperatures of embedded cells stray from what other cells let expect, and all but 6 %
of NASA's discharges. A network draws any shape, and of few curves it learns shapes that no cell makes: humps, falls under load,
a start colder than the chamber. So of what it draws these two numbers are taken, of the tail two more, and no further than
known curves went.

Reference:
    Bernardi et al., A general energy balance for battery systems, 1985, https://doi.org/10.1149/1.2113792 (one thermal mass,
    which loses heat to its surroundings).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.schema import Array
from faultcell.encoding.grid import MODES, TEMPERATURE, THERMAL_SECOND, head_positions, tail_positions, warming
from faultcell.regression.support import SupportSet

LITTLE_HEAT = 1.0  # root mean square of an expected warming, K, below which a curve may not be said to heat more or less
RARE = 0.02  # of the starts of known curves, at either end
BEYOND_SEEN = 1.25  # times what the warmest and the coldest known curve show
OWN_GAIN = 2.0  # times as much as its own normal curve with its fault, or as little, that a cell heats
ROUNDING = 1e-9


def seen_warmth(known: SupportSet, grid: GridConfig) -> Array:
    """Between what the coded temperatures of known curves lie, with room `(S, 4, 2)`.

    That is for each way to lie on the grid the least and the most of starts, of heads, of tails, and of these over the ambient
    temperature, as heads are told. Of starts one in fifty at either end does not tell: a cell brought in from the cold.
    """
    found = np.tile([-np.inf, np.inf], (len(MODES), 4, 1))
    values, mask = known.values[:, TEMPERATURE].astype(np.float64), known.mask[:, TEMPERATURE]
    tail = slice(grid.head, None)
    over = values[:, grid.head - 1 : grid.head] + values[:, tail] * warming(np.nan_to_num(np.exp(known.log_seconds[:, 1:])))
    parts = [
        (values[:, :1], mask[:, :1]),
        *((values[:, part], mask[:, part]) for part in (slice(grid.head), tail)),
        (over, mask[:, tail]),
    ]
    for mode, (place, (part, there)) in product(range(len(MODES)), enumerate(parts)):
        own, room = part[there & (known.queries.mode == mode)[:, None]], BEYOND_SEEN if place else 1.0
        if own.size:
            least, most = (own.min(), own.max()) if place else np.quantile(own, (RARE, 1 - RARE))
            found[mode, place] = least * (room if least < 0 else 1.0), most * (room if most > 0 else 1.0)
    return found


def as_heat_goes(
    residual: Array,
    expected: Array,
    seconds: Array,
    seen: Array,
    begun: NDArray[np.bool_],
    grid: GridConfig,
) -> Array:
    """The nearest ways to stray that heat allows; `(N, L)` like all temperatures here.

    Args:
        residual: how far coded temperatures stray from what is expected of them.
        expected: coded temperatures.
        seconds: of head and tail `(N, 2)`.
        seen: between what known curves that lie on the grid alike lie; see `seen_warmth` `(N, 4, 2)`.
        begun: whether it is known how warm the curve begins `(N,)`.
        grid: the anchored grid.
    """
    head = slice(0, grid.head)
    lost = np.exp(-seconds[:, :1] * head_positions(grid) / THERMAL_SECOND)
    warmed = expected[:, head] - expected[:, :1] * lost
    shape = _driven(warmed, 1 - lost)
    begins, gain = _coefficients(residual[:, head], lost, shape, begun)
    found = np.empty_like(residual)
    found[:, head] = _within(begins[:, None], expected[:, :1], seen[:, 0]) * lost
    found[:, head] += _within(_gain(gain, begun)[:, None] * shape, expected[:, head] + found[:, head], seen[:, 1])
    tail, whole = slice(grid.head, None), np.nan_to_num(seconds[:, 1:])
    reached = warming(whole)
    ramp = -np.expm1(-whole * tail_positions(grid) / THERMAL_SECOND) / reached
    shape = _driven(expected[:, tail], ramp)
    shift, gain = _coefficients(residual[:, tail], ramp, shape, begun)
    moved = shift[:, None] * ramp + _gain(gain, begun)[:, None] * shape
    moved = _within(moved, expected[:, tail], seen[:, 2])
    crossing = expected[:, grid.head - 1 : grid.head] + found[:, grid.head - 1 : grid.head]
    found[:, tail] = _within(moved * reached, crossing + expected[:, tail] * reached, seen[:, 3]) / reached
    return found


def _driven(warmed: Array, steady: Array) -> Array:
    """What grows with the heat of a curve: its own warming, or where that is next to none what a steady heat does `(N, n)`."""
    little = np.sqrt(np.square(warmed).mean(axis=1, keepdims=True)) < LITTLE_HEAT
    return np.where(little, steady, warmed)


def _coefficients(residual: Array, one: Array, other: Array, without: NDArray[np.bool_]) -> tuple[Array, Array]:
    """How much of two shapes `(N, n)`, the first missing in some rows, comes nearest in squares `(N,)` each."""
    one = np.where(without[:, None], 0.0, one)
    aa, ab, bb = (one * one).sum(axis=1) + ROUNDING, (one * other).sum(axis=1), (other * other).sum(axis=1) + ROUNDING
    a, b = (one * residual).sum(axis=1), (other * residual).sum(axis=1)
    determinant = np.maximum(aa * bb - ab * ab, ROUNDING * aa * bb)
    return (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant


def _gain(gain: Array, own: NDArray[np.bool_]) -> Array:
    """Gains `g` of which `1 + g` is never below zero, most as they are; of the cell's own curve not beyond `OWN_GAIN`."""
    found = np.where(gain < -0.5, -0.5 + 0.5 * np.expm1(2 * np.minimum(gain + 0.5, 0.0)), gain)
    return np.where(own, np.clip(found, 1 / OWN_GAIN - 1, OWN_GAIN - 1), found)


def _within(moved: Array, expected: Array, seen: Array) -> Array:
    """What is added to an expected curve `(N, n)`, so much smaller that the sum goes no further than what was seen."""
    least, most = seen[:, :1], seen[:, 1:]
    room = np.where(moved > 0, np.maximum(most - expected, 0.0), np.maximum(expected - least, 0.0))
    share = np.where(np.abs(moved) > room, room / np.maximum(np.abs(moved), ROUNDING), 1.0)
    return np.asarray(moved * share.min(axis=1, keepdims=True))
