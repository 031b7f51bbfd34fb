"""The real curves nearest to what was asked for, of those alone whose cells are of the kind that is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from faultcell.app.controls import Kind
from faultcell.baselines.replay import CurveLibrary
from faultcell.curves.condition import Condition, Limits
from faultcell.errors import ConditionError

CAPACITY_SHARE = 0.05  # of the nominal capacity: data sheets of one kind of cell state it to about that
LIMIT_VOLT = 0.02  # of each rated limit: cyclers are set to round numbers, a kind of cell to others


@dataclass(frozen=True)
class CellKind:
    """What says of two cells whether their curves can be compared.

    Attributes:
        capacity_ah: nominal capacity, Ah; None where it is unknown.
        limits: rated voltage limits; None where they are unknown.
    """

    capacity_ah: float | None
    limits: Limits | None

    def is_like(self, other: CellKind) -> bool:
        """Whether two cells are of one kind, as far as both are known."""
        capacities = [one.capacity_ah for one in (self, other) if one.capacity_ah is not None]
        limits = [one.limits for one in (self, other) if one.limits is not None]
        apart = [max(ends) - min(ends) for ends in ([one.lower for one in limits], [one.upper for one in limits]) if ends]
        as_large = not capacities or max(capacities) - min(capacities) <= CAPACITY_SHARE * max(capacities)
        return as_large and all(volt <= LIMIT_VOLT for volt in apart)

    def __str__(self) -> str:
        """Capacity and limits in words."""
        capacity = "" if self.capacity_ah is None else f"{self.capacity_ah:.3g} Ah"
        limits = "" if self.limits is None else f"{self.limits.lower:g} to {self.limits.upper:g} V"
        return ", ".join(part for part in (capacity, limits) if part) or "unknown"


def nearest_alike(known: CurveLibrary | None, asked: Condition, *, kind: CellKind, count: int) -> tuple[list[int], str]:
    """The nearest known curves of cells of a kind.

    Args:
        known: real curves; None where none are served.
        asked: the condition to be near to.
        kind: the kind of cell that is drawn.
        count: how many at most.

    Returns:
        Their positions, nearest first, and a sentence where there is none: which kind of cell is missing.
    """
    if known is None:
        return [], ""
    name = Kind(asked.fault, asked.step).id
    try:
        rows = known.nearest(asked, len(known.conditions))
    except ConditionError:
        return [], f"The real curves given have no {name}."
    kinds = {row: CellKind(known.conditions[row].nominal_capacity_ah, known.conditions[row].limits) for row in rows}
    alike = [row for row in rows if kinds[row].is_like(kind)]
    if alike:
        return alike[:count], ""
    return (
        [],
        f"The real curves given have no {name} of a cell of this kind ({kind}): the nearest is of one of {kinds[rows[0]]}.",
    )
