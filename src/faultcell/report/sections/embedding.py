"""Real and drawn curves as points in the plane, by PCA and by t-SNE."""

from __future__ import annotations

from collections.abc import Sequence

from faultcell.plotting.figures import Axes, legend, sheet
from faultcell.plotting.theme import look
from faultcell.report.blocks import Block, Picture, Section, Text, not_measured
from faultcell.report.folder import Row, Study

READING = (
    "Points near each other are curves alike; the axes have no unit. Drawn curves should lie among the real ones: beside them "
    "they are wrong, on a few spots they lack diversity, only around the handful they repeat it. t-SNE keeps neighbours and "
    "distorts distances: trust it for neither gaps nor sizes."
)


def section(study: Study) -> Section:
    """A figure a fault."""
    blocks: list[Block] = [Text(READING)]
    for label in study.labels:
        rows = [row for row in study.rows("embedding", label=label) if row.get("x") is not None and row.get("y") is not None]
        blocks.append(_picture(rows, label) if rows else not_measured(f"the study holds no embedding of {label} curves"))
    return Section("embedding", "Real and drawn curves in the plane", blocks)


def _picture(rows: Sequence[Row], label: str) -> Picture:
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    with sheet(1, len(methods), size=(10, 4.4)) as page:
        for axes, method in zip(page.axes[0], methods, strict=True):
            _panel(axes, [row for row in rows if row["method"] == method])
            axes.set(title=method, xticks=[], yticks=[])
        legend(page, page.axes[0][0].get_legend_handles_labels()[0])
    caption = f"{label}: real curves of cells held out, the handful that the generators were adapted to, and what they drew."
    return Picture(page.data, f"{' and '.join(methods)} of real and drawn {label} curves.", caption)


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    for source in dict.fromkeys(str(row["source"]) for row in rows):
        shown = look(source)
        x, y = ([row[key] for row in rows if row["source"] == source] for key in ("x", "y"))
        style = shown.dot({"few": 10, "real": 6}.get(source, 4.5))
        axes.plot(
            x,
            y,
            **{**style, "mfc": "none" if shown.hollow else shown.colour},
            alpha=0.75,
            zorder=3 if source in {"real", "few"} else 2,
            label=shown.name,
        )
