"""Which int8 version of a classifier is kept, if any: a smaller one with which no class loses more recall than allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faultcell.diagnosis.tasks import Real
from faultcell.export.benchmark import kilobytes
from faultcell.export.folder import CLASSIFIER, INT8
from faultcell.export.runtime import WAYS, Graph, quantise

SMALLER = 0.9  # of the fp32 file; a classifier whose weights could not be quantised is not worth a second file


@dataclass(frozen=True)
class Choice:
    """What became of int8.

    Attributes:
        how: a name of `runtime.WAYS`, None if none is kept.
        sentence: what was kept or dropped, and why.
        tried: one row each.
    """

    how: str | None
    sentence: str
    tried: tuple[dict[str, Any], ...] = ()


def choose(draft: Path, fp32: Graph, curves: NDArray[np.float32], *, cells: Mapping[str, Real], tolerance: float) -> Choice:
    """Try all ways; the one that loses least on the cells chosen on is kept if it holds on those reported too.

    Of equals `static` is taken: it needs no ranges found at run time, which fixed-point targets cannot, and is faster.

    Args:
        draft: folder with the fp32 file, where the int8 file goes.
        fp32: that file.
        curves: for the ranges of activations `(N, C, L)`.
        cells: `chosen on`, where there are such, and `reported`; empty where no cell could be held out.
        tolerance: recall that a class may lose.
    """
    if not cells:
        return Choice(None, "int8 is left out: no cell could be held out to see what it costs; give --test")
    allowed = SMALLER * kilobytes(draft / CLASSIFIER)
    tried: list[dict[str, Any]] = []
    for how in WAYS:
        path = draft / f"{how}.onnx"
        quantise(draft / CLASSIFIER, path, how=how, curves=curves)
        losses = {place: lost(Graph(path), fp32, real) for place, real in cells.items()}
        tried.append({"way": how, "kB": kilobytes(path), **{f"recall lost, {place}": loss for place, loss in losses.items()}})
    on = f"recall lost, {next(iter(cells))}"
    small = [row for row in tried if row["kB"] <= allowed]
    best = min(small, key=lambda row: max(row[on], 0.0), default=None)  # of equals the first: static
    kept = best is not None and _largest(best) <= tolerance
    for row in tried:
        path = draft / f"{row['way']}.onnx"
        path.rename(draft / INT8) if kept and row is best else path.unlink()
    if best is None:
        return Choice(
            None, f"int8 is left out: it is less than {1 - SMALLER:.0%} smaller, most weights stay fp32", tuple(tried)
        )
    where = "on the cells it was chosen on and on those reported" if len(cells) > 1 else "on the cells reported, the only ones"
    said = f"a class loses {max(_largest(best), 0.0):.3f} recall at most {where}; {tolerance:g} is allowed"
    return Choice(
        best["way"] if kept else None, f"int8 ({best['way']}) is {'kept' if kept else 'left out'}: {said}", tuple(tried)
    )


def _largest(row: Mapping[str, Any]) -> float:
    return max(float(value) for name, value in row.items() if name.startswith("recall lost"))


def lost(int8: Graph, fp32: Graph, real: Real) -> float:
    """How much recall the class loses that loses most, below zero where all gain."""
    before, after = (graph(curve=real.seen.values)[1].argmax(axis=1) == real.truth for graph in (fp32, int8))
    return round(max(float(before[real.truth == k].mean() - after[real.truth == k].mean()) for k in (0, 1)), 4)
