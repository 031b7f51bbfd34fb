"""What the drawn curves are like as sets: are they real, wide enough, copied, physical?"""

from __future__ import annotations

from faultcell.report.blocks import Block, Column, Picture, Section, Text, not_measured
from faultcell.report.dot_plot import Panel, compared, dots
from faultcell.report.folder import Row, Study
from faultcell.study.tables import NOISE

VIOLATIONS = ("limit_violations", "monotone_violations", "charge_violations")
PANELS = (
    Panel("frechet", "Fréchet distance", log=True),
    Panel("discriminative_gru", "discriminative score"),
    Panel("predictive", "predictive error", log=True, mark="predictive_real"),
    Panel("coverage", "coverage", "high"),
    Panel("closest_record", "closest record", None, mark="one"),
    Panel("authenticity", "authenticity", None, mark="authenticity_real"),
    Panel("spread_ratio", "spread ratio", 1.0),
    Panel("worst_violation", "worst violation"),
)
COLUMNS = (
    Column("curves", "curves", None, "count"),
    Column("frechet", "Fréchet"),
    Column("mmd", "MMD", 0.0),
    Column("mmd_p", "MMD p", None, "chance"),
    Column("discriminative_gru", "discriminative, GRU"),
    Column("discriminative_linear", "discriminative, linear"),
    Column("predictive", "predictive"),
    Column("predictive_real", "predictive, real", None),
    Column("density", "density", None),
    Column("coverage", "coverage", "high"),
    Column("authenticity", "authenticity", None),
    Column("authenticity_real", "authenticity, real", None),
    Column("closest_record", "closest record", None),
    Column("spread_ratio", "spread ratio", 1.0),
    Column("limit_violations", "limit violations", "low", "percent"),
    Column("monotone_violations", "monotone violations", "low", "percent"),
    Column("charge_violations", "charge violations", "low", "percent"),
)
READING = (
    "Closest record: how far a drawn curve is from the nearest of the handful it was adapted to, over how far real curves "
    "are: well below 1 it is a copy. Spread ratio: below 1 the source is too narrow, above 1 too wide. A discriminative score "
    "of 0 means that a judge cannot tell drawn from real. Violations lie outside the central 99 % of real curves, so about 1 "
    "% is expected. Cheap controls that repeat known curves look real and are copies: read memory and realism together."
)


def section(study: Study) -> Section:
    """A figure and a table a fault."""
    blocks: list[Block] = [Text(READING)]
    for label in study.labels:
        rows = {str(row["source"]): row for row in study.rows("sets", name=label)}
        if not rows:
            blocks.append(not_measured(f"the study holds no scores of {label} curves as sets"))
            continue
        alt = (
            f"Realism, diversity, memory and physics of {len(rows)} sources of {label} curves; the table below has the numbers."
        )
        caption = (
            f"{label}: the same curves as sets. Dashed: the best cheap control, or the value to aim at. Dotted: real curves."
        )
        shown = {name: {**row, "worst_violation": _worst(row), "one": 1.0} for name, row in rows.items() if name != NOISE}
        blocks += [Picture(dots(shown, PANELS, columns=4), alt, caption), compared(rows, COLUMNS, caption=f"{label}: as sets")]
    return Section("sets", "Diversity, memory and physics", blocks)


def _worst(row: Row) -> float | None:
    """The most frequent of the three kinds of violations."""
    return max((row[name] for name in VIOLATIONS if row.get(name) is not None), default=None)
