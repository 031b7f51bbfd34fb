"""Normal curves that faults can be drawn from, by cell, cycle and half-cycle: of the set served, or of a visitor's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from faultcell.config import GridConfig
from faultcell.curves.curves import Curves
from faultcell.curves.schema import KEYS, NORMAL, Key
from faultcell.curves.severity import SIDES
from faultcell.errors import ConditionError
from faultcell.files.messages import MOST_LETTERS, some
from faultcell.generation.counterfactuals import Unserved, able


def normal_of(curves: Curves) -> Curves:
    """The normal charges and discharges of a set."""
    return curves.where(pl.col("label") == NORMAL, pl.col("step_type").is_in(list(SIDES.values())))


@dataclass(frozen=True, eq=False)
class Normals:
    """Curves by their keys.

    Attributes:
        curves: a set in which they are, with its severities.
        rows: where each that can serve is in it.
        unserved: normal curves that cannot, and why.
    """

    curves: Curves
    rows: dict[Key, int]
    unserved: tuple[Unserved, ...] = ()

    @classmethod
    def of(cls, curves: Curves) -> Normals:
        """Those of a set, which may hold other curves too; none where it has none.

        Raises:
            DataError: generated curves are among them.
        """
        normal = normal_of(curves)
        if not len(normal):
            return cls(curves, {})
        keys, unserved = able(normal, GridConfig())  # whether one can serve is the same on every grid
        place = {key: row for row, key in enumerate(curves.halfcycles.select(KEYS).rows())}
        return cls(curves, {key: place[key] for key in keys}, unserved)

    def cycles(self, steps: Collection[str]) -> dict[str, list[int]]:
        """The cycles of each cell in which one of these half-cycles can serve, in order."""
        found: dict[str, set[int]] = {}
        for cell, cycle, step in self.rows:
            if step in steps:
                found.setdefault(cell, set()).add(cycle)
        return {cell: sorted(found[cell]) for cell in sorted(found)}

    def steps(self, cell: str, cycle: int) -> list[str]:
        """The half-cycles of a cycle that can serve."""
        return [step for step in SIDES.values() if (cell, cycle, step) in self.rows]

    def one(self, cell: str, cycle: int, step: str) -> Curves:
        """A set of that curve alone.

        Raises:
            ConditionError: there is none that can serve; the sentence says which there are.
        """
        row = self.rows.get((cell, cycle, step))
        if row is not None:
            return self.curves.take([row])
        cells = self.cycles([step])
        if not cells:
            raise ConditionError(f"no normal {step} that a fault can be drawn from is served: give some with --real DIR")
        if cell not in cells:
            raise ConditionError(f"cell '{cell[:MOST_LETTERS]}' has no normal {step} to draw from: cells are {some([*cells])}")
        known = some([str(number) for number in cells[cell]])
        raise ConditionError(
            f"cycle {cycle} of cell '{cell[:MOST_LETTERS]}' has no normal {step} to draw from: cycles are {known}"
        )
