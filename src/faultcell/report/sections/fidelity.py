"""The paper's Figure 6: how close each source comes to the real curves, pair by pair and as a set."""

from __future__ import annotations

from collections.abc import Iterator

from faultcell.report.blocks import Block, Column, Picture, Section, Text, not_measured
from faultcell.report.dots import Panel, compared, dots
from faultcell.report.folder import Row, Study
from faultcell.report.looks import look
from faultcell.study.paper import CITATION, FIDELITY, LETTER
from faultcell.study.plan import GENERATORS

PAIRED = (
    Panel("kl", "KL", log=True),
    Panel("mse", "MSE", log=True),
    Panel("mae", "MAE", log=True),
    Panel("pcc", "PCC", "high", log=True, short=True),
    Panel("dpcc", "dPCC", "high", log=True, short=True),
)
COLUMNS = (
    Column("curves", "curves", None, "count"),
    Column("kl", "KL"),
    Column("mse", "MSE"),
    Column("mae", "MAE"),
    Column("pcc", "PCC", "high"),
    Column("dpcc", "dPCC", "high"),
    Column("wasserstein", "Wasserstein-1"),
    Column("lowest_voltage_error_volt", "lowest V error / V", None),
    Column("highest_voltage_error_volt", "highest V error / V", None),
    Column("duration_error", "duration error", "low", "percent"),
)
READING = (
    "How to read the figures: each dot is a source, further left is better. The dashed line is the best cheap control, the "
    "shaded side is what beats every one of them: a generator outside it is not worth its training. The floor compares a real "
    "cycle with the next one of the same cell, over about half as many curves, which raises its KL; white noise shows the "
    "worst. PCC and dPCC are shown as what they lack to 1. The error of the voltage that a fault is asked by (the highest of "
    "an overcharge, the lowest of an overdischarge) is near zero for generators by construction and ranks nobody."
)
APART = (
    f"The rows of the paper ({CITATION}, mild overcharge C and mild overdischarge D) stand here for orientation only. Its "
    "data are not public, and it states neither the bins of its KL nor which real curve a generated one is compared with: "
    "its numbers can't be ranked against ours."
)


def section(study: Study) -> Section:
    """A figure and a table a fault."""
    blocks: list[Block] = [Text(READING)]
    for label in study.labels:
        rows = {str(row["source"]): row for row in study.rows("fidelity", group="label", name=label)}
        blocks += _of_fault(rows, label) if rows else [not_measured(f"the study holds no paired scores of {label}")]
    return Section("fidelity", "Fidelity (the paper's Figure 6)", [*blocks, Text(APART, note=True)])


def _of_fault(rows: dict[str, Row], label: str) -> list[Block]:
    table = compared(rows, COLUMNS, caption=f"{label}: means over pairs", further=list(_paper(label)))
    return [_picture(rows, label), table]


def _picture(rows: dict[str, Row], label: str) -> Picture:
    alt = f"KL, MSE, MAE, PCC and dPCC of {len(rows)} sources of {label} curves; the table below has the numbers."
    return Picture(dots(rows, PAIRED), alt, f"{label}: distance to the real curves of cells held out, pair by pair.")


def _paper(label: str) -> Iterator[Row]:
    """What the paper reports for the generators of a fault."""
    for name in GENERATORS:
        found = FIDELITY.get((name, LETTER.get(label, "")))
        if found:
            yield {"name": f"paper: {look(name).name if name != 'wgan_gp' else 'GAN'} ({LETTER[label]})", **found}
