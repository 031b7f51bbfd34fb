"""Which real curve each generated one is held against."""

from __future__ import annotations

import polars as pl

from faultcell.baselines.replay import Replay
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.schema import KEYS
from faultcell.errors import DataError


def refuse(real: Curves, train: Curves | None) -> None:
    """Refuse what would make scores meaningless.

    Raises:
        DataError: generated curves in the place of real ones, or a test cell in the training set.
    """
    for name, curves in (("real", real), ("train", train)):
        if curves is not None:
            curves.refuse_generated(name)
    shared = sorted(set(real.cells) & set(train.cells)) if train is not None else []
    if shared:
        raise DataError(
            f"a test cell in the training set: '{shared[0]}' is both in the real set and in the train set "
            f"({len(shared)} such cells), so split by cell and score on the others"
        )


def by_key(real: Curves, synthetic: Curves) -> list[int] | None:
    """The position of each synthetic curve's namesake among the real ones, or None if one has none."""
    rows = real.halfcycles.select(KEYS).with_row_index("_row")
    found = synthetic.halfcycles.select(KEYS).join(rows, on=KEYS, how="left", maintain_order="left")["_row"]
    return None if found.null_count() else [int(row) for row in found]


def by_condition(real: Curves, synthetic: Curves) -> list[int]:
    """The position of the real curve of the same label whose condition is nearest.

    Raises:
        DataError: a label that the real set has not.
    """
    missing = set(synthetic.labels) - set(real.labels)
    if missing:
        raise DataError(
            f"the synthetic set has curves labelled '{sorted(missing)[0]}' and the real set has none: give real curves of "
            "that label, or select with --label"
        )
    return Replay(real).nearest(conditions_of(synthetic))


def successive(curves: Curves) -> tuple[list[int], list[int]]:
    """Positions of the earlier and the later of disjoint pairs of successive curves: same cell, label and half-cycle."""
    order = curves.halfcycles.with_row_index("_row").sort("cycle_count", maintain_order=True)
    earlier: list[int] = []
    later: list[int] = []
    for _, group in order.group_by("cell_id", "label", "step_type", maintain_order=True):
        rows = group["_row"].to_list()
        later += rows[1::2]
        earlier += rows[: len(rows) // 2 * 2 : 2]
    return earlier, later


def same_part(synthetic: Curves, *, of: Curves, selected: Curves) -> Curves:
    """The part of a generated set that belongs to a selection of the real curves: by key, else by label and half-cycle.

    Args:
        synthetic: the generated set.
        of: all real curves.
        selected: some of them.
    """
    if by_key(of, synthetic) is not None:
        kept = synthetic.halfcycles.select(KEYS).join(
            selected.halfcycles.select(KEYS, _kept=True), on=KEYS, how="left", maintain_order="left"
        )
        return synthetic.take(kept["_kept"].fill_null(False).arg_true().to_list())
    return synthetic.where(
        pl.col("label").is_in(selected.labels), pl.col("step_type").is_in(set(selected.halfcycles["step_type"]))
    )
