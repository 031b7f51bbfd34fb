"""The paper's Figure 6: how close each source comes to the real curves, pair by pair and as a set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faultcell.diagnosis.gain import interval
from faultcell.plotting.theme import kind, look
from faultcell.report.blocks import Block, Cell, Column, Picture, Section, Table, Text, not_measured, number
from faultcell.report.dot_plot import Panel, compared, dots
from faultcell.report.folder import Row, Study
from faultcell.study.paper import CITATION, FIDELITY, LETTER
from faultcell.study.plan import DIFFUSION

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
    return Section("fidelity", "Fidelity (the paper's Figure 6)", [*blocks, *_over_splits(study), Text(APART, note=True)])


def _over_splits(study: Study) -> Iterator[Block]:
    """Means over splits by cell, with their intervals."""
    number_of = len(study.names("splits", "split"))
    for label in study.labels if number_of > 1 else ():
        lines = []
        for source in study.names("splits", "source", name=label):
            rows = study.rows("splits", source=source, name=label)
            lines.append([Cell(look(source).name), *(_mean(rows, panel.key) for panel in PAIRED)])
        head = ["source", *(panel.title for panel in PAIRED)]
        caption = f"{label}: mean over {number_of} splits by cell (95 % interval)"
        yield Table(head, lines, caption, [kind(source) for source in study.names("splits", "source", name=label)])


def _mean(rows: Sequence[Row], key: str) -> Cell:
    values = [row[key] for row in rows if row.get(key) is not None]
    if not values:
        return Cell(number(None))
    found = interval(values)
    told = found.low is not None and found.high is not None
    return Cell(f"{number(found.mean)} ({number(found.low)} to {number(found.high)})" if told else number(found.mean))


def _of_fault(rows: dict[str, Row], label: str) -> list[Block]:
    table = compared(rows, COLUMNS, caption=f"{label}: means over pairs", further=list(_paper(label)))
    return [_picture(rows, label), table]


def _picture(rows: dict[str, Row], label: str) -> Picture:
    alt = f"KL, MSE, MAE, PCC and dPCC of {len(rows)} sources of {label} curves; the table below has the numbers."
    return Picture(dots(rows, PAIRED), alt, f"{label}: distance to the real curves of cells held out, pair by pair.")


def _paper(label: str) -> Iterator[Row]:
    """What the paper reports for the generators of a fault."""
    for name in (DIFFUSION, "wgan_gp"):
        found = FIDELITY.get((name, LETTER.get(label, "")))
        if found:
            yield {"name": f"paper: {look(name).name if name != 'wgan_gp' else 'GAN'} ({LETTER[label]})", **found}
