"""Reference curves: what a cell did before, from which its next fault can be told better than from other cells alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves import against_normal
from faultcell.curves.condition import Condition, Load
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, inside, stays_inside
from faultcell.curves.schema import KEYS, REST_C_RATE, Array, Key
from faultcell.encoding.condition_vector import CONTEXT, unscaled_context
from faultcell.encoding.dataset import on_grid
from faultcell.encoding.encode import Encoded
from faultcell.encoding.grid import CURRENT
from faultcell.errors import ConditionError
from faultcell.regression.kernel import Queries
from faultcell.regression.protocol import filled
from faultcell.regression.support import SupportSet


@dataclass(frozen=True, eq=False)
class References:
    """Curves of which only the part inside the limits is used, and what their table tells of the cell's past.

    Attributes:
        known: the curves on the grid.
        keys: cell, cycle and half-cycle of each.
        curves: the curves themselves, of which faults inside all limits are measured.
    """

    known: SupportSet
    keys: Sequence[Key]
    curves: Curves

    @classmethod
    def of(cls, curves: Curves, *, faults: Sequence[str], grid: GridConfig) -> References:
        """Put reference curves on the grid.

        Raises:
            ConditionError: none of them can be put there.
            DataError: generated curves are among them.
        """
        curves.refuse_generated("reference")
        told = _histories(curves)
        curves, conditions, encoded = on_grid(curves, grid)
        if not encoded.usable.any():
            raise ConditionError(
                "none of the reference curves can be used: each needs at least four samples under load that begin inside the "
                "limits"
            )
        keys = curves.halfcycles.select(KEYS).rows()
        inside = [_inside(condition, told[keys[row]], encoded, row, grid) for row, condition in enumerate(conditions)]
        usable = np.flatnonzero(encoded.usable).tolist()
        return cls(SupportSet.of(encoded, inside, faults=faults, grid=grid), [keys[row] for row in usable], curves)

    def find(self, conditions: Sequence[Condition]) -> NDArray[np.int64]:
        """For each condition the nearest strictly earlier curve of its cell and half-cycle, else the next later one.

        Returns:
            Positions `(N,)`, -1 where there is neither.
        """
        of = self._by_cell
        return np.array([_nearest(of.get((c.cell_id, c.step), []), c.cycle_count) for c in conditions], dtype=np.int64)

    def refuse_unfit(self, conditions: Sequence[Condition]) -> None:
        """Raise ConditionError where none of these curves helps any of the conditions."""
        if conditions and not (self.find(conditions) >= 0).any():
            asked = ", ".join(sorted({str(condition.cell_id) for condition in conditions})[:5])
            raise ConditionError(
                f"no reference curve fits: asked are cells {asked}, and the reference set has no other half-cycle of the same "
                "kind of them; give curves of the same cells, or leave the reference out"
            )

    def completing(self, conditions: Sequence[Condition]) -> list[Condition]:
        """Conditions that take what they leave open of the operating context from the curves that help them."""
        rows = self.find(conditions)
        context = unscaled_context(self.known.queries.features[:, : len(CONTEXT)])
        told = {name: values for name, values in context.items() if name != "cycle_count"}
        return [
            filled(condition, {name: values[row] for name, values in told.items()}) if row >= 0 else condition
            for condition, row in zip(conditions, rows.tolist(), strict=True)
        ]

    def relative_to(self, queries: Queries, rows: NDArray[np.int64]) -> Queries:
        """Queries with the past counted from where the cell stands at these curves, -1 for none."""
        earlier = self.known.queries.take(np.maximum(rows, 0))
        return queries.relative_to(replace(earlier, count=np.where(rows >= 0, earlier.count, np.nan)))

    def history_before(self, conditions: Sequence[Condition], rows: NDArray[np.int64]) -> Array:
        """At how many faults, and seconds beyond the limit, each cell stood before; zero where that does not count `(N, 2)`."""
        queries, earlier = Queries.of(conditions, ()), self.known.queries.take(np.maximum(rows, 0))
        counts = self.relative_to(queries, rows).count < queries.count
        return np.where(counts[:, None], np.column_stack([earlier.count, earlier.count * np.exp(earlier.past)]), 0.0)

    @cached_property
    def _by_cell(self) -> dict[tuple[str | None, str], list[tuple[int, int]]]:
        """Cycles and positions of the curves of each cell and half-cycle."""
        found: dict[tuple[str | None, str], list[tuple[int, int]]] = {}
        for i, (cell, cycle, step) in enumerate(self.keys):
            found.setdefault((cell, step), []).append((cycle, i))
        return found

    def named_in(self, curves: Curves, rows: NDArray[np.int64]) -> Curves:
        """Drawn curves with the cycle of the one that helped each, in `reference_cycle_count`."""
        column = pl.Series("reference_cycle_count", self.cycles(rows), dtype=pl.Int64)
        return Curves(curves.timeseries, curves.halfcycles.with_columns(column))

    def measured_against(self, curves: Curves, rows: NDArray[np.int64]) -> Curves:
        """Drawn curves with how severe their faults inside all limits came out, beside the normal curve that helped each."""
        if not any(map(stays_inside, curves.labels)):
            return curves
        references = [self.keys[row] if row >= 0 else None for row in rows.tolist()]
        found = against_normal.measured(curves, self.curves, references)
        names = [one.name for one in inside(FAULTS) if one.name in curves.halfcycles.columns]
        return Curves(curves.timeseries, curves.halfcycles.with_columns(found.select(pl.col(names).fill_nan(None))))

    def cycles(self, rows: NDArray[np.int64]) -> list[int | None]:
        """Cycles of the curves at these positions, None for -1."""
        return [self.keys[row][1] if row >= 0 else None for row in rows.tolist()]


def _histories(curves: Curves) -> dict[Key, tuple[float | None, float | None]]:
    """How many faults, and how many seconds beyond the limit, each cell stood at, as far as the table of the set tells.

    What it does not tell is not measured: that would need the samples beyond the limits, and all curves of the cell so far.
    """
    counts, seconds = curves.known("repetition_count"), curves.known("cumulative_duration_second")
    told = np.isfinite(counts + seconds)
    return {
        key: (float(counts[row]), float(seconds[row])) if told[row] else (None, None)
        for row, key in enumerate(curves.halfcycles.select(KEYS).rows())
    }


def _inside(
    condition: Condition, history: tuple[float | None, float | None], encoded: Encoded, row: int, grid: GridConfig
) -> Condition:
    """The condition of a curve as its part inside the limits and its table tell it: rate and load are of that part alone."""
    condition = replace(condition, repetition_count=history[0], cumulative_duration_second=history[1])
    if not encoded.usable[row]:
        return condition
    head, tail = np.nan_to_num(encoded.seconds[row])
    rate = float(np.median(np.abs(encoded.values[row, CURRENT, : grid.head])))
    load = condition.load
    if load is not None:
        kept = load.fraction <= head / (head + tail)
        load = Load(load.fraction[kept], load.current_ampere[kept])
    return replace(condition, c_rate=max(rate, 1.01 * REST_C_RATE[condition.step]), load=load)


def _nearest(cycles: Sequence[tuple[int, int]], cycle: int | None) -> int:
    """The position of the last cycle before a given one, else of the first after it, else -1."""
    if cycle is None:
        return -1
    earlier = [(other, i) for other, i in cycles if other < cycle]
    later = [(other, i) for other, i in cycles if other > cycle]
    return max(earlier)[1] if earlier else min(later)[1] if later else -1
