"""Cells a classifier learns from, cells on which its int8 version is chosen, and cells on which recall is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.curves.faults import in_half_cycle
from faultcell.curves.schema import NORMAL

SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Parts:
    """Curves of one fault and normal ones of its half-cycle; no cell that is fitted is in another part.

    Attributes:
        fit: what the classifier learns from.
        choose: cells on which the int8 version is chosen, None where there are none.
        report: cells on which recall is told, None where there are none; may be those of `choose`.
    """

    fit: Curves
    choose: Curves | None
    report: Curves | None

    @classmethod
    def of(cls, train: Curves, test: Curves | None, *, fault: str, seed: int) -> Parts:
        """Recall is told on the test cells, or on some of the training cells; others are chosen on, where enough are left."""
        train = of_task(train, fault)
        if test is None:
            fit, report = hold_out(train, fault, seed=seed)
        else:
            fit, report = train, of_task(test, fault)
        if report is None:
            return cls(train, None, None)
        fewer, choose = hold_out(fit, fault, seed=seed + 1)
        return cls(fewer, choose or report, report)

    @property
    def apart(self) -> bool:
        """Whether int8 is chosen on other cells than recall is told on."""
        return self.choose is not self.report


def of_task(curves: Curves, fault: str) -> Curves:
    """The curves of a fault, by its name in a half-cycle, and normal ones of that half-cycle."""
    label, step = in_half_cycle(fault)
    return curves.where(pl.col("label").is_in([NORMAL, label]), pl.col("step_type") == step)


def hold_out(curves: Curves, fault: str, *, seed: int) -> tuple[Curves, Curves | None]:
    """Set a quarter of the cells with the fault aside, and a quarter of those without, at least one of each.

    Returns:
        The rest and what was set aside, both with faults of at least one cell and normal curves; all and None where the cells
        are too few for that.
    """
    label, _ = in_half_cycle(fault)
    faulty = set(curves.where(pl.col("label") == label).cells)
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for group in (sorted(faulty), sorted(set(curves.cells) - faulty)):
        count = min(max(1, round(SHARE * len(group))), len(group) - 1)
        chosen += rng.permutation(group)[: max(count, 0)].tolist()
    aside = pl.col("cell_id").is_in(chosen)
    rest, out = curves.where(~aside), curves.where(aside)
    both = {NORMAL, label}
    return (rest, out) if both <= set(rest.labels) and both <= set(out.labels) else (curves, None)
