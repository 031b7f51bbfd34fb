"""What is drawn as a set of many parts: what each part is made from, small enough to be sent to whichever process draws it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves
from faultcell.curves.schema import Array, Key
from faultcell.encoding.assemble import key_of
from faultcell.errors import LeftOutWarning
from faultcell.files.parts import Counts, InParts
from faultcell.generation.counterfactuals import Plan, draw_plan
from faultcell.generation.drawing import NAMED, Drawing, whole_numbers

PART = 8192  # curves of a part: some ten seconds of one core, and a file of some 30 MB
CURVES, DRAWS = "curves", "draws"


class PlanPart(NamedTuple):
    """Some faults of a plan: the first of them, from which curves they are drawn, which they are and how deep."""

    start: int
    row: NDArray[np.int64]
    label: NDArray[np.int64]
    depth: Array


class AskedPart(NamedTuple):
    """Some conditions, their seeds, and how often curves of their names were asked for before."""

    conditions: Sequence[Condition]
    seeds: list[int]
    seen: Counter[Key]


def parts_of_plan(plan: Plan, drawing: Drawing, *, seed: int, size: int = PART) -> InParts[PlanPart]:
    """The faults of a plan, in parts of so many; see `counterfactuals.gone_wrong`."""

    def item(index: int) -> PlanPart:
        own = slice(index * size, (index + 1) * size)
        return PlanPart(own.start, plan.row[own], plan.label[own], plan.depth[own])

    empty = plan.part(slice(0, 0))
    return InParts(partial(_draw_plan, empty, drawing, seed), item, -(-len(plan) // size))


def parts_of_asked(
    conditions: Sequence[Condition], seeds: Sequence[int], drawing: Drawing, *, size: int = PART
) -> InParts[AskedPart]:
    """A curve for each condition and seed, in parts of so many; see `Drawing.blocks`."""
    seen, counted = Counter[Key](), 0

    def item(index: int) -> AskedPart:
        nonlocal counted
        start, stop = index * size, min((index + 1) * size, len(seeds))
        # Names are numbered as they are in one piece: also where parts before this one are there already.
        seen.update(key_of(conditions[i], 0) for i in range(counted, start) if conditions[i].cell_id is not None)
        counted = max(counted, start)
        own = [key_of(conditions[i], 0) for i in range(start, stop) if conditions[i].cell_id is not None]
        return AskedPart(conditions[start:stop], whole_numbers(seeds[start:stop]), Counter({key: seen[key] for key in own}))

    return InParts(partial(_draw_asked, drawing), item, -(-len(seeds) // size))


def _draw_plan(plan: Plan, drawing: Drawing, seed: int, own: PlanPart, told: Counts) -> Iterator[Curves]:
    """The faults of a part of a plan, a block at a time."""
    part = replace(plan, row=own.row, label=own.label, depth=own.depth)
    undrawn, first = dict[int, str](), seed + own.start
    own_drawing = replace(drawing, undrawn=undrawn, seen=Counter())
    yield from _counted(draw_plan(part, own_drawing, seed=first), told)
    named = list(zip(part.named(undrawn, seed=first), undrawn.values(), strict=True))[:NAMED]
    told["left_out"].update(curves=len(undrawn))
    told["left_out_named"].update(f"{name} ({why})" for name, why in named)


def _draw_asked(drawing: Drawing, own: AskedPart, told: Counts) -> Iterator[Curves]:
    """What a part asks for, a block at a time."""
    yield from _counted(replace(drawing, seen=own.seen).blocks(own.conditions, own.seeds), told)


def _counted(blocks: Iterator[Curves], told: Counts) -> Iterator[Curves]:
    """Blocks as they are; their labels, and how many were drawn again or extrapolate, are counted."""
    for curves in blocks:
        again = curves.known("redraw_count")
        told["labels"].update(curves.halfcycles["label"])
        told["redrawn"].update(curves=int((again > 0).sum()), draws=int(again.sum()))
        beyond = [name for name in curves.halfcycles["extrapolated_in"] if name]
        told["extrapolated"].update(curves=len(beyond))
        told["extrapolated_in"].update(one for names in beyond for one in names.split(", "))
        yield curves


def tell_left_out_parts(told: dict[str, Counter[str]], *, of: int) -> None:
    """Say which faults are left out, of so many."""
    left = told.get("left_out", Counter())["curves"]
    if left:
        named = ", ".join(list(told["left_out_named"])[:NAMED])
        warnings.warn(
            f"{left} of {of} faults are left out, as no draw is one that a cell could have made: from {named}",
            LeftOutWarning,
            stacklevel=3,
        )
