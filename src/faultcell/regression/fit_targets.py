"""What the scales of the kernels are learnt from: which known curves, and what of them is to be expected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.schema import Array
from faultcell.encoding.grid import SHARES, VOLTAGE, head_places, shares
from faultcell.regression.kernel import FIT_CURVES, HEAD, TAIL
from faultcell.regression.support import SupportSet

COMPONENTS = 8  # of the voltages, in which distances are learnt


def fit_targets(known: SupportSet, grid: GridConfig) -> list[tuple[NDArray[np.int64], Array]]:
    """For each kernel: which curves it is learnt from, and what of them is to be expected `(n, D)`."""
    voltage, mask = known.values[:, VOLTAGE].astype(np.float64), known.mask[:, VOLTAGE]
    sections = {HEAD: slice(0, grid.head), TAIL: slice(grid.head, grid.length)}
    whole = {kernel: thinned(np.asarray(mask[:, part].all(axis=1))) for kernel, part in sections.items()}
    with_duration = thinned(np.isfinite(known.log_seconds[:, 1]))
    return [
        (whole[HEAD], _components(_by_time(voltage[whole[HEAD], sections[HEAD]], known.queries.mode[whole[HEAD]]))),
        (with_duration, known.log_seconds[with_duration, 1:]),
        (whole[TAIL], _components(np.cumsum(shares(voltage[whole[TAIL], sections[TAIL]]), axis=1))),
    ]


def _by_time(heads: Array, mode: NDArray[np.int64]) -> Array:
    """Heads as the share of their time that has gone by at each voltage, after where they start `(n, head)`."""
    places = head_places(heads, mode, heads.shape[1] - SHARES)
    return np.column_stack([heads[:, :SHARES], np.cumsum(shares(heads[:, SHARES:], places), axis=1)])


def thinned(usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows that are usable, thinned evenly to what a fit needs."""
    rows = np.flatnonzero(usable)
    return rows[np.linspace(0, len(rows) - 1, FIT_CURVES).astype(np.int64)] if len(rows) > FIT_CURVES else rows


def _components(curves: Array) -> Array:
    """The leading principal components of curves `(n, L)`, `(n, D)`."""
    if not len(curves):
        return curves
    centred = curves - curves.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray((u * s)[:, :COMPONENTS])
