"""The paper's Pearson analysis: severity attributes against the waveform, place by place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from faultcell.plotting.figures import LIMIT, Axes, legend, sheet
from faultcell.plotting.theme import FAULT_LOOKS
from faultcell.report.blocks import Block, Cell, Picture, Section, Table, Text, chance, count, not_measured, number, percent
from faultcell.report.folder import Row, Study

ATTRIBUTES = {
    "peak_deviation_volt": "peak deviation",
    "repetition_count": "repetitions",
    "cumulative_duration_second": "cumulative duration",
}
CAVEAT = (
    "A correlation here is no cause. Repetitions and cumulative duration rise together with the age of a cell, and curves of "
    "one cell are near copies of each other, so fewer curves than counted are independent and every p is too small. At its "
    "own end a faulty curve reaches the peak deviation by definition: r near 1 or −1 there says nothing."
)


def section(study: Study) -> Section:
    """One figure, then the strongest values."""
    rows = [row for row in study.rows("pearson") if row.get("r") is not None and row.get("label") in study.labels]
    blocks: list[Block] = [_picture(rows, study.labels) if rows else not_measured("the study holds no table of correlations")]
    if study.summary.pearson:
        blocks.append(_strongest(study.summary.pearson))
    return Section("pearson", "Severity attributes against the waveform", [*blocks, Text(CAVEAT, note=True)])


def _picture(rows: Sequence[Row], labels: Sequence[str]) -> Picture:
    with sheet(1, len(labels), size=(10, 3.2), sharey=True) as page:
        for axes, label in zip(page.axes[0], labels, strict=True):
            _panel(axes, [row for row in rows if row["label"] == label])
            axes.set(title=label, xlabel="place in the loaded part, 0 start to 1 end", ylim=(-1.05, 1.05))
        page.axes[0][0].set_ylabel("Pearson r")
        legend(page, page.axes[0][0].get_legend_handles_labels()[0])
    caption = (
        "Correlation of each attribute with the voltage at each place, over real fault curves. Shaded: p > 0.05 for one place."
    )
    return Picture(
        page.data, "Pearson correlation of three severity attributes with the voltage over the curve, by fault.", caption
    )


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    for shown, (key, name) in zip(FAULT_LOOKS, ATTRIBUTES.items(), strict=True):
        found = [row for row in rows if row["attribute"] == key]
        axes.plot([row["place"] for row in found], [row["r"] for row in found], color=shown.colour, ls=shown.line, label=name)
    axes.axhline(0, color=LIMIT, lw=0.7)
    curves = max((row["curves"] for row in rows), default=0)
    if curves > 2:
        axes.axhspan(-threshold(curves), threshold(curves), color=LIMIT, alpha=0.12, lw=0)


def threshold(curves: int) -> float:
    """The correlation that as many unrelated pairs exceed once in twenty times."""
    reached = float(t.ppf(0.975, curves - 2))
    return reached / float(np.sqrt(curves - 2 + reached**2))


def _strongest(rows: Sequence[Row]) -> Table:
    lines = [
        [
            Cell(str(row.get("label"))),
            Cell(ATTRIBUTES.get(str(row.get("attribute")), str(row.get("attribute")))),
            Cell(percent(row.get("place"))),
            Cell(number(row.get("r"))),
            Cell(chance(row.get("p"))),
            Cell(count(row.get("curves"))),
        ]
        for row in rows
    ]
    return Table(("fault", "attribute", "place", "r", "p", "curves"), lines, "where each correlation is strongest")
