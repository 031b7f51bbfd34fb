"""What the study was run on, what it found, and what that shows and does not."""

from __future__ import annotations

from faultcell.plotting.theme import spoken
from faultcell.report.blocks import Block, Bullets, Cell, Fold, Section, Table
from faultcell.report.folder import Study
from faultcell.report.sections import summary

GROUPS = ("fidelity", "ablations", "classifiers")


def data(study: Study) -> Section:
    """Curves and cells on each side."""
    rows = [[Cell(name), Cell(value)] for name, value in study.summary.data.items()]
    return Section("data", "What it was run on", [Table(["", ""], rows, styles=["text"] * len(rows))])


def findings(study: Study) -> Section:
    """Answers at a glance, then the sentences that the study made from its own numbers, in groups."""
    groups = {name: [spoken(sentence) for sentence in study.summary.findings.get(name, [])] for name in GROUPS}
    moved = [sentence for sentence in groups["ablations"] if _moved(sentence)]
    still = [sentence for sentence in groups["ablations"] if not _moved(sentence)]
    said: list[Block] = [
        Fold(f"Fidelity, in words ({len(groups['fidelity'])})", [Bullets(groups["fidelity"])]),
        Bullets(moved, "Ablations: what moves the error by more than other seeds do"),
        Fold(f"Ablations without a difference beyond chance ({len(still)})", [Bullets(still)]),
        Fold(f"Classifiers, in words ({len(groups['classifiers'])})", [Bullets(groups["classifiers"])]),
    ]
    filled = [block for block in said if not isinstance(block, Bullets) or block.items]
    return Section("findings", "Findings", [*summary.blocks(study), *filled])


def limits(study: Study) -> Section:
    """What nobody should conclude."""
    seeds = study.summary.config.get("repeats")
    narrow = f"The chance band of the ablations comes from {seeds} seeds only: it may well be too narrow."
    last = "Differences inside a 95 % interval or a chance band are no findings."
    items = [_cells(study), *study.summary.limits, *_chosen(study), *([narrow] if seeds else []), last]
    return Section("limits", "What this shows and what it does not", [Bullets(items)])


def _cells(study: Study) -> str:
    """How many cells everything rests on, and what the files don't say about them."""
    held_out = [cell.strip() for cell in study.summary.data.get("cells held out", "").split(",") if cell.strip()]
    number = f"{len(held_out)} cells held out ({held_out[0]} and others)" if held_out else "an unknown number of cells held out"
    return (
        "The files do not tell whether the cells are simulated or real: look at where the curves came from before you believe "
        f"that any of this holds for yours. Figures and ablations were scored on {number}, in the first split."
    )


def _chosen(study: Study) -> list[str]:
    """On which cells settings were chosen, as far as the study was told."""
    cells = study.summary.config.get("chosen_on")
    if cells is None:
        return []
    if not cells:
        return ["The study was not told of any cells on which settings had been chosen before: it could hold out any."]
    return [f"Settings had been chosen on {', '.join(map(str, cells))}: these cells were never held out."]


def _moved(sentence: str) -> bool:
    """Whether a variant in it is better or worse."""
    return "(better)" in sentence or "(worse)" in sentence
