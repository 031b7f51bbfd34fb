"""The paper's Table 1: what training and drawing cost."""

from __future__ import annotations

from faultcell.plotting.theme import look
from faultcell.report.blocks import Block, Cell, Section, Table, Text, count, not_measured, number
from faultcell.report.folder import Row, Study
from faultcell.study.paper import CITATION, COST

HEAD = (
    "generator",
    "parameters",
    "pre-training steps",
    "epochs",
    "seconds",
    "fine-tuning steps",
    "epochs",
    "seconds",
    "ms a curve",
    "paper: pre-training epochs",
    "paper: fine-tuning epochs",
)
PROTOCOL = (
    "Generators take the same number of optimiser steps on batches of the same size, but for the paper's model; an epoch is "
    "as many steps as it takes to see as many curves as there are. Seconds are wall-clock time of one process on one "
    "thread, while other processes may have shared the machine. Milliseconds a curve are those of drawing all test curves "
    f"together, divided by their number. Epochs of the paper ({CITATION}, Table 1) are of its own data, networks and batch "
    "sizes, which it does not publish: fewer epochs there and here are not the same work."
)


def section(study: Study) -> Section:
    """Steps, epochs, seconds and parameters of all generators."""
    rows = study.rows("cost")
    blocks: list[Block] = [not_measured("the study holds no table of costs")]
    if rows:
        blocks = [Table(HEAD, [_line(row) for row in rows]), Text(PROTOCOL, note=True)]
    return Section("cost", "What it costs (the paper's Table 1)", blocks)


def _line(row: Row) -> list[Cell]:
    name = str(row["generator"])
    ours = [count(row.get("parameters"))]
    for training in ("pretrain", "finetune"):
        steps, epochs, seconds = (row.get(f"{training}_{part}") for part in ("steps", "epochs", "seconds"))
        ours += [count(steps), number(epochs), number(seconds)]
    ours.append(number(row.get("milliseconds_per_curve")))
    paper = [str(epochs) for epochs in COST.get(name, ("not in the paper", "not in the paper"))]
    return [Cell(look(name).name), *map(Cell, ours), *map(Cell, paper)]
