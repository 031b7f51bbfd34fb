"""The paper's Figures 7 and 8, and the other ablations, each against what chance alone does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from faultcell.plotting.figures import LIMIT, Axes, few_ticks, logarithmic, rows_named, sheet
from faultcell.plotting.theme import look
from faultcell.report.blocks import MISSING, Block, Cell, Column, Picture, Section, Table, Text, count, not_measured, number
from faultcell.report.dot_plot import LEAST, Panel
from faultcell.report.folder import Row, Study
from faultcell.report.sections.fidelity import PAIRED
from faultcell.study.findings import chance
from faultcell.study.paper import CITATION, FIDELITY, LETTER
from faultcell.study.plan import DIFFUSION, PAPER

CHANCE = "chance"
FIGURES = (
    ("Attention and its bias by the condition (the paper's Figure 7)", ("attention", "condition bias")),
    ("Unfreezing and transfer (the paper's Figure 8)", ("unfreezing", "transfer")),
    ("Loss and number of fault curves", ("prediction", "lambda", "fault curves")),
    ("Drawing", ("sampling steps", "guidance")),
    ("The paper's model: attention and unfreezing", (f"{PAPER}: attention", f"{PAPER}: unfreezing")),
)
COLUMNS = (
    Column("kl", "KL"),
    Column("mse", "MSE"),
    Column("mae", "MAE"),
    Column("pcc", "PCC", "high"),
    Column("dpcc", "dPCC", "high"),
    Column("duration_error", "duration error", "low", "percent"),
)
BAND = "#dbe4ee"


def section(study: Study) -> Section:
    """A figure a group of questions, then all numbers."""
    blocks: list[Block] = [Text(_reading(study))]
    for title, questions in FIGURES:
        asked = [name for name in questions if study.rows("ablations", question=name)]
        blocks.append(_picture(study, title, questions=asked) if asked and study.labels else not_measured(title))
    blocks += [table for label in study.labels if (table := _table(study, label)).rows]
    note = (
        f"The paper ({CITATION}) gives MAE and PCC of some variants for mild overcharge (C); they can't be ranked against ours."
    )
    return Section("ablations", "Ablations (the paper's Figures 7 and 8, and more)", [*blocks, Text(note, note=True)])


def band(study: Study, label: str, *, key: str, question: str = CHANCE) -> tuple[float, float] | None:
    """Where other seeds alone would put the own model, of the study or of the paper; None with a single seed."""
    of_paper = question.startswith(PAPER)
    rows = study.rows("ablations", question=f"{PAPER}: {CHANCE}" if of_paper else CHANCE, label=label)
    return chance([row[key] for row in rows if row.get(key) is not None])


def _reading(study: Study) -> str:
    seeds = len({row["variant"] for row in study.rows("ablations", question=CHANCE)})
    band = (
        f"The band is where one more model that differs in its seed alone would lie, with 95 % probability, as {seeds} such "
        "models tell: a variant within it is no different."
        if seeds > 1
        else "What chance alone does was not measured: no difference here means anything."
    )
    return (
        "Hollow diamonds are the study's own model, filled circles what differs from it in one thing. "
        f"{band} All are scored on the same test curves; further left is better."
    )


def _picture(study: Study, title: str, *, questions: Sequence[str]) -> Picture:
    rows = {label: _ordered(study, label, questions=questions) for label in study.labels}
    height = sum(0.5 + 0.22 * len(found) for found in rows.values()) + 0.7
    with sheet(len(rows), len(PAIRED), size=(11, height), sharey="row", sharex="col") as page:
        for line, (label, found) in zip(page.axes, rows.items(), strict=True):
            for axes, panel in zip(line, PAIRED, strict=True):
                _panel(axes, panel, rows=found, chance=band(study, label, key=panel.key, question=questions[0]))
                rows_named(axes, [f"{row['variant']}{' (ours)' if row['own'] else ''}" for row in found])
            line[0].set_ylabel(label)
        for axes, panel in zip(page.axes[0], PAIRED, strict=True):
            axes.set_title(f"{'1 − ' if panel.short else ''}{panel.title}", fontsize=9)
        for axes, panel in zip(page.axes[-1], PAIRED, strict=True):
            values = [value for found in rows.values() for row in found if (value := panel.shown(row)) is not None]
            if values and max(values) > 5 * min(values):
                logarithmic(axes)
            else:
                few_ticks(axes, 3)
    names = ", ".join(str(row["variant"]) for row in next(iter(rows.values())))
    caption = f"{title}: {', '.join(questions)}. Shaded: the same model with other seeds."
    return Picture(page.data, f"Errors of the variants {names}, each fault apart, against a band of chance.", caption)


def _ordered(study: Study, label: str, *, questions: Sequence[str]) -> list[Row]:
    """Variants question by question; those with numbers in their order."""
    found = []
    for question in questions:
        rows = study.rows("ablations", question=question, label=label)
        numbers = [_value(str(row["variant"])) for row in rows]
        found += sorted(rows, key=lambda row: _value(str(row["variant"])) or 0.0) if None not in numbers else rows
    return found


def _value(variant: str) -> float | None:
    match = re.search(r"\d+(\.\d+)?", variant) if variant[:4] != "last" else None
    return float(match[0]) if match else None


def _panel(axes: Axes, panel: Panel, *, rows: Sequence[Row], chance: tuple[float, float] | None) -> None:
    if chance is not None:
        ends = sorted(max(1 - value if panel.short else value, LEAST) for value in chance)
        axes.axvspan(*ends, color=BAND, lw=0, zorder=0)
    for place, row in enumerate(rows):
        value = panel.shown(row)
        if value is not None:
            axes.plot(value, place, **_dot(own=bool(row["own"])))
    changes = [i for i in range(1, len(rows)) if rows[i]["question"] != rows[i - 1]["question"]]
    axes.hlines([i - 0.5 for i in changes], 0, 1, transform=axes.get_yaxis_transform(), color=LIMIT, lw=0.7)


def _dot(*, own: bool) -> dict[str, Any]:
    colour = look(DIFFUSION).colour
    return {"marker": "D" if own else "o", "color": colour, "mfc": "white" if own else colour, "ms": 6, "ls": "none"}


def _table(study: Study, label: str) -> Table:
    lines, rows = [], []
    for name in study.names("ablations", "question"):
        chance, own = band(study, label, key="mae", question=name), _ordered(study, label, questions=[name])
        spelled = [[Cell(column.spell(row)) for column in COLUMNS] for row in own]
        lines += [[*_head(row), *cells, *_tail(row, label, chance=chance)] for row, cells in zip(own, spelled, strict=True)]
        rows += own
    head = [
        "variant",
        "question",
        "fault curves",
        *(c.titled for c in COLUMNS),
        "MAE against ours",
        "seconds",
        "paper MAE / PCC",
    ]
    return Table(head, lines, f"{label}: all ablations", ["generator" if row["own"] else "" for row in rows])


def _head(row: Row) -> list[Cell]:
    return [Cell(str(row["variant"])), Cell(str(row["question"])), Cell(count(row.get("few")))]


def _tail(row: Row, label: str, *, chance: tuple[float, float] | None) -> list[Cell]:
    found = FIDELITY.get((str(row["variant"]).removeprefix(f"{PAPER} "), LETTER.get(label, "")), {})
    paper = f"{number(found.get('mae'))} / {number(found.get('pcc'))}" if found else ""
    return [Cell(_against(row, chance)), Cell("" if row["own"] else number(row.get("seconds"))), Cell(paper)]


def _against(row: Row, chance: tuple[float, float] | None) -> str:
    """In words, whether a variant's error is beyond chance."""
    value = row.get("mae")
    if row["own"] or row["question"].endswith(CHANCE):
        return "ours" if row["own"] else "other seed"
    if value is None or chance is None:
        return MISSING
    return "within chance" if chance[0] <= value <= chance[1] else "worse" if value > chance[1] else "better"
