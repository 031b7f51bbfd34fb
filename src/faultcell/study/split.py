"""The curves of a study, divided by cell before anything else is done with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import polars as pl

from faultcell.curves import severity
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import NORMAL
from faultcell.errors import DataError
from faultcell.files import read, write

# Recordings that broke off, and readings no cell gives. A low capacity is no reason: over-voltage charges are short.
UNUSABLE = ("too_short", "suspect_voltage")
NEARLY_ALL = 0.9
CHOICES = 16


@dataclass(frozen=True, eq=False)
class Split:
    """No cell is on both sides.

    Attributes:
        normal: normal curves of cells that are not tested: the source domain, and what classifiers are trained on.
        faults: fault curves of these cells; a study takes a handful of them.
        test: fault curves of the cells held out.
        negatives: normal curves of the cells held out.
    """

    normal: Curves
    faults: Curves
    test: Curves
    negatives: Curves

    def save(self, folder: Path) -> None:
        """Write the four sets, each a folder."""
        for field in fields(self):
            write(getattr(self, field.name), folder / field.name)

    @classmethod
    def load(cls, folder: Path) -> Split:
        """Read the four sets."""
        return cls(**{field.name: read(folder / field.name) for field in fields(cls)})

    def few(self, count: int, *, seed: int) -> Curves:
        """At most `count` fault curves of each kind."""
        kinds = [self.faults.select(label=[label]) for label in sorted(self.faults.labels)]
        return Curves.concat([kind.few(count, seed=seed) for kind in kinds])


def divide(curves: Curves, *, test: float, seed: int, chosen_on: Sequence[str] = ()) -> Split:
    """Hold out a share of the cells of each fault, and of the cells without any.

    Left out altogether: curves whose `quality`, where the set says so, is one of `UNUSABLE`; labels that break no voltage
    limit; and normal half-cycles of cells nearly all of whose half-cycles of that kind are faults, such as the few discharges
    of an over-discharge protocol that ended early: they are neither.

    Args:
        curves: a curve set with normal and fault curves.
        test: share of the cells to hold out.
        seed: of the choice.
        chosen_on: cells on which settings were chosen: they are never held out.

    Raises:
        DataError: an unknown cell, no fault, no normal curve of the half-cycle a fault shows in, or a fault in one cell only.
    """
    curves = severity.complete(_usable(curves))
    labels = [label for label in FAULTS if label in curves.labels]
    _check(curves, labels)
    for name in set(chosen_on) - set(curves.cells):
        raise DataError(f"cell '{name}' is not in the curve set: it has {', '.join(sorted(curves.cells))}")
    kept = held_out(curves, labels, test=test, seed=seed, chosen_on=chosen_on)
    is_test, is_normal = pl.col("cell_id").is_in(kept), pl.col("label") == NORMAL
    split = Split(
        normal=curves.where(~is_test, is_normal),
        faults=curves.where(~is_test, ~is_normal),
        test=curves.where(is_test, ~is_normal),
        negatives=curves.where(is_test, is_normal),
    )
    for name, part in (("normal", split.normal), ("negatives", split.negatives)):
        if not len(part):
            raise DataError(f"no normal curve is left for the part '{name}': give normal curves of more cells")
    return split


def _usable(curves: Curves) -> Curves:
    known = pl.col("label").is_in([NORMAL, *FAULTS])
    if "quality" in curves.halfcycles.columns:
        known &= ~pl.col("quality").is_in(UNUSABLE).fill_null(False)
    curves = curves.where(known)
    is_fault = (pl.col("label") != NORMAL).cast(pl.Float64)
    mostly = curves.halfcycles.select(is_fault.mean().over("cell_id", "step_type") > NEARLY_ALL).to_series()
    steps = {step for label in curves.labels if label != NORMAL for step in FAULTS[label].step_types}
    keep = ~(mostly & (curves.halfcycles["label"] == NORMAL)) & curves.halfcycles["step_type"].is_in(steps)
    return curves.take(keep.arg_true().to_list())


def _check(curves: Curves, labels: list[str]) -> None:
    if not labels:
        raise DataError(f"the curve set has no fault a study could be about: it needs curves labelled {', '.join(FAULTS)}")
    for label in labels:
        cells = curves.select(label=[label]).cells
        if len(cells) < 2:
            raise DataError(
                f"'{label}' was seen in one cell only ({cells[0]}): a study needs it in two or more, to hold one out"
            )
        for step in FAULTS[label].step_types:
            if not len(curves.where(pl.col("label") == NORMAL, pl.col("step_type") == step)):
                raise DataError(f"the curve set has no normal {step} to tell '{label}' from: add some")


def held_out(curves: Curves, labels: Sequence[str], *, test: float, seed: int, chosen_on: Sequence[str] = ()) -> list[str]:
    """Cells to hold out: of each fault, that of the fewest cells first, and of the cells without any."""
    rng = np.random.default_rng(seed)
    side = dict.fromkeys(chosen_on, False)
    counts = [Counter(curves.select(label=[label]).halfcycles["cell_id"].to_list()) for label in labels]
    for count in (*sorted(counts, key=len), Counter(curves.halfcycles["cell_id"].to_list())):
        _assign(count, side, test=test, rng=rng)
    return sorted(cell for cell, is_test in side.items() if is_test)


def _assign(count: Counter[str], side: dict[str, bool], *, test: float, rng: np.random.Generator) -> None:
    """Give a side to the cells that have none: `test` of the cells, at least one, never all, with `test` of the curves.

    Of several random choices of so many cells the one is taken whose share of the curves is closest to that: where a few
    cells have nearly all curves of a fault, as in the NASA set, chance alone would leave one side without.
    """
    free = sorted(cell for cell in count if cell not in side)
    taken = [cell for cell in count if side.get(cell, False)]
    wanted = min(max(1, round(test * len(count))), max(1, len(count) - 1)) - len(taken)
    choices = [rng.permutation(free)[: max(wanted, 0)].tolist() for _ in range(CHOICES)]
    already = sum(count[cell] for cell in taken)
    best = min(choices, key=lambda chosen: abs(already + sum(count[cell] for cell in chosen) - test * count.total()))
    side.update({cell: cell in best for cell in free})
