"""The paper's Figure 5: what is drawn after more and more steps of fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Sequence

from faultcell.curves.curves import Curves
from faultcell.plotting.figures import INK, Axes, legend, sheet
from faultcell.plotting.overlays import by_depth, limit, line
from faultcell.plotting.theme import FAULT_LOOKS, look
from faultcell.report.blocks import Block, Picture, Section, not_measured
from faultcell.report.folder import Row, Study
from faultcell.study.plan import DIFFUSION

MEASURES = (("mae", "MAE"), ("kl", "KL"), ("dpcc", "dPCC"))
SHOWN = 2  # conditions of each fault


def section(study: Study) -> Section:
    """Samples by step, then errors by step."""
    blocks: list[Block] = [picture for label in study.labels if (picture := _samples(study, label)) is not None]
    if not blocks:
        blocks.append(not_measured("the study holds no curves drawn during fine-tuning"))
    rows = [row for row in study.rows("epochs") if row.get("label") in study.labels]
    blocks.append(_errors(rows, study.labels) if rows else not_measured("the study holds no scores by step"))
    return Section("growth", "Samples over fine-tuning (the paper's Figure 5)", blocks)


def steps_of(study: Study) -> list[int]:
    """Steps of fine-tuning after which curves were drawn."""
    names = (re.fullmatch(rf"{DIFFUSION}_step_(\d+)", path.name) for path in (study.folder / "drawn").glob("*"))
    return sorted(int(match[1]) for match in names if match)


def _samples(study: Study, label: str) -> Picture | None:
    real, steps = study.curves("data/test"), steps_of(study)
    if real is None or not steps or label not in real.labels:
        return None
    rows = by_depth(real, label, most=SHOWN + 2)[1:-1][:SHOWN] or by_depth(real, label, most=SHOWN)
    with sheet(len(rows), len(steps), size=(11, 1.1 + 1.9 * len(rows)), sharex="row", sharey="row") as page:
        for line_of, row in zip(page.axes, rows, strict=True):
            _row(line_of, study, real=real, row=row, steps=steps, label=label)
        for axes, step in zip(page.axes[0], steps, strict=True):
            axes.set_title(f"step {step}", fontsize=9)
        for axes in page.axes[-1]:
            axes.set_xlabel("time / min")
        page.axes[0][0].legend(loc="best", fontsize=8)
    caption = (
        f"{label}: {len(rows)} conditions of cells held out (rows), drawn by the diffusion model after more and more steps "
        "of fine-tuning (columns). Solid: the real curve; dashed: drawn; dotted: the rated limit."
    )
    alt = f"Real {label} curves and curves drawn for their conditions after {', '.join(map(str, steps))} steps of fine-tuning."
    return Picture(page.data, alt, caption)


def _row(panels: Sequence[Axes], study: Study, *, real: Curves, row: int, steps: Sequence[int], label: str) -> None:
    for axes, step in zip(panels, steps, strict=True):
        line(axes, real, row=row, color=INK, lw=1.3, label="real")
        name = f"{DIFFUSION}_step_{step}"
        drawn, partner = study.curves(f"drawn/{name}"), study.pairs(name).get(row)
        if drawn is not None and partner is not None:
            line(axes, drawn, row=partner, **look(DIFFUSION).stroke(), label="drawn")
        axes.axhline(limit(real, label, row=row), color=INK, lw=0.8, ls=":")
    depth = real.known("peak_deviation_volt")[row]
    panels[0].set_ylabel(f"{depth:.2f} V beyond\nvoltage / V")


def _errors(rows: Sequence[Row], labels: Sequence[str]) -> Picture:
    steps = sorted({int(row["step"]) for row in rows})
    with sheet(1, len(MEASURES), size=(10, 3.0)) as page:
        for axes, (key, title) in zip(page.axes[0], MEASURES, strict=True):
            for shown, label in zip(FAULT_LOOKS, labels, strict=False):
                points = [(row["step"], row[key]) for row in rows if row["label"] == label and row.get(key) is not None]
                axes.plot(*_columns(points), color=shown.colour, marker=shown.marker, ls=shown.line, ms=5, label=label)
            axes.set(title=title, xlabel="steps of fine-tuning", xscale="log", ylim=(0, None) if key != "dpcc" else (None, 1))
            axes.set_xticks(steps, [str(step) for step in steps])
            axes.set_xticks([], minor=True)
        legend(page, page.axes[0][0].get_legend_handles_labels()[0])
    caption = "Error of all test curves against steps of fine-tuning. Step 1 is close to the pre-trained model."
    return Picture(page.data, "MAE, KL and dPCC against steps of fine-tuning, a line for each fault.", caption)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
