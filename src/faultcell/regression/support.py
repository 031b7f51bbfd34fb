"""The support set: known curves on the anchored grid, with their queries and their own standardised residuals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.config import Config, GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves
from faultcell.curves.schema import Array
from faultcell.encoding.dataset import encoded_set
from faultcell.encoding.encode import Encoded
from faultcell.encoding.grid import END, LEVEL_WEIGHT, SHARES, START, VOLTAGE, head_places, shares
from faultcell.regression.kernel import HEAD, LASTS, TAIL, Queries

# In what curves stray from what is expected, and the kernel that tells which curves stray alike.
ERRORS = {
    "head": HEAD,
    "tail": TAIL,
    "head_seconds": HEAD,
    "tail_seconds": LASTS,
    "head_celsius": HEAD,
    "tail_celsius": TAIL,
    "head_current": HEAD,
    "tail_current": TAIL,
    "start": HEAD,
    "end": HEAD,
    "head_recovery": HEAD,
    "tail_recovery": TAIL,
}
CURVES = ("cell", "values", "mask", "log_seconds", "z")  # of `SupportSet`, beside its queries
END_STEPS = 3  # voltage steps of the head, at its end, over which its steepness at the limit is taken


@dataclass(frozen=True, eq=False)
class SupportSet:
    """Known curves on the anchored grid, and their conditions.

    Attributes:
        queries: their conditions, with the seconds beyond the limit.
        cell: a number for the name of the cell of each `(M,)`.
        values: coded channels `(M, C, L)`.
        mask: where they are known `(M, C, L)`.
        log_seconds: logarithms of the seconds of head and tail, NaN where there is no tail `(M, 2)`.
        z: squares of how far each strayed from what others let expect of it, over how far such curves stray on the whole,
            without and with a reference; see `scale`. NaN where unknown `(M, 2, E)`.
    """

    queries: Queries
    cell: NDArray[np.int64]
    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    log_seconds: Array
    z: Array

    def __len__(self) -> int:
        return len(self.cell)

    @classmethod
    def of(cls, encoded: Encoded, conditions: Sequence[Condition], *, faults: Sequence[str], grid: GridConfig) -> SupportSet:
        """The usable curves of a set, for a model with these faults."""
        rows = np.flatnonzero(encoded.usable)
        kept = [conditions[row] for row in rows.tolist()]
        log_seconds = np.log(np.maximum(encoded.seconds[rows], 1e-3))
        return cls(
            Queries.of(kept, faults, encoded.mode[rows])
            .with_duration(log_seconds[:, 1])
            .with_entry_slope(log_steepness(encoded.values[rows], log_seconds, encoded.mode[rows], grid)),
            np.array([_number(c.cell_id) for c in kept], dtype=np.int64),
            encoded.values[rows],
            encoded.mask[rows],
            log_seconds,
            np.full((len(rows), 2, len(ERRORS)), np.nan),
        )

    def take(self, rows: NDArray[np.int64]) -> SupportSet:
        """These rows."""
        parts = {name: getattr(self, name)[rows] for name in CURVES}
        return SupportSet(self.queries.take(rows), **parts)

    def thinned(self, count: int) -> SupportSet:
        """At most `count` curves, the same share of every cell and half-cycle."""
        if len(self) <= count:
            return self
        order = np.lexsort([self.queries.mode, self.cell])
        return self.take(np.sort(order[np.linspace(0, len(self) - 1, count).astype(np.int64)]))

    def joined(self, other: SupportSet) -> SupportSet:
        """These and others."""
        parts = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in CURVES}
        return SupportSet(self.queries.joined(other.queries), **parts)


def to_learn(curves: Curves, config: Config, *, faults: Sequence[str]) -> tuple[Curves, Encoded, SupportSet, list[Condition]]:
    """Curves and the same on the grid; the usable ones among them as known curves, and the conditions of these."""
    curves, conditions, encoded = encoded_set(curves, config)
    usable = [conditions[row] for row in np.flatnonzero(encoded.usable).tolist()]
    return curves, encoded, SupportSet.of(encoded, conditions, faults=faults, grid=config.grid), usable


def log_steepness(values: Array | NDArray[np.float32], log_seconds: Array, mode: NDArray[np.int64], grid: GridConfig) -> Array:
    """How steeply the voltage ends inside the limits, as the logarithm of windows a second `(N,)`.

    Args:
        values: coded channels of the head, at least `(N, C, head)`.
        log_seconds: logarithms of the seconds of head and tail `(N, 2)`.
        mode: how they lie on the grid `(N,)`.
        grid: the anchored grid.
    """
    head = values[:, VOLTAGE, : grid.head].astype(np.float64)
    places = head_places(head, mode, grid.head - SHARES)
    step = np.abs(head[:, END] - head[:, START]) / LEVEL_WEIGHT * (1 - places[:, -1 - END_STEPS])
    share = shares(head[:, SHARES:], places)[:, -END_STEPS:].sum(axis=1)
    return np.asarray(np.log(np.maximum(step, 1e-6)) - np.log(share) - log_seconds[:, 0])


def _number(name: str | None) -> int:
    """A number for the name of a cell that does not change from set to set."""
    return int.from_bytes(hashlib.sha256((name or "").encode()).digest()[:7], "big")
