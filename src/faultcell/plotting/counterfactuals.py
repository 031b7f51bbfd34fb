"""Normal curves and the faults that were drawn from them."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from faultcell.curves.curves import Curves
from faultcell.curves.faults import severities_of, stays_inside
from faultcell.curves.plausibility import loaded_curves
from faultcell.curves.schema import KEYS, SOURCE
from faultcell.plotting.figures import INK, LIMIT, legend, sheet

COLUMNS, LINES = 4, 3
COLOR = "#dc2626"


def gone_wrong_figure(normal: Curves, drawn: Curves) -> bytes:
    """A PNG with twelve panels: a normal curve, black, and the fault drawn from it; dashed the temperature where it matters.

    Args:
        normal: the normal curves.
        drawn: faults, with `source_cell_id` and `source_cycle_count`; the first twelve are shown.
    """
    place = {key: i for i, key in enumerate(normal.halfcycles.select(KEYS).rows())}
    drawn = drawn.take(range(min(len(drawn), COLUMNS * LINES)))
    rows = drawn.halfcycles.select(*SOURCE, "step_type", "label").rows()
    asked = [_asked(row) for row in drawn.halfcycles.to_dicts()]
    used = sorted({place[row[:3]] for row in rows})  # a curve may have served twice
    known = dict(zip(used, loaded_curves(normal.take(used)), strict=True))
    sources = [known[place[row[:3]]] for row in rows]
    with sheet(LINES, COLUMNS, size=(3.0 * COLUMNS, 2.4 * LINES), form="png") as page:
        panels = [axes for line in page.axes for axes in line]
        for axes, row, severity, one, other in zip_longest(panels, rows, asked, sources, loaded_curves(drawn)):
            if row is None:
                axes.set_axis_off()
                continue
            axes.plot((one.time - one.time[:1]) / 60, one.voltage, color=INK, lw=1.3, label="normal curve")
            axes.plot((other.time - other.time[:1]) / 60, other.voltage, color=COLOR, lw=1.0, label="drawn from it")
            axes.axhline(other.limit, color=LIMIT, lw=0.8, ls=":", label="rated limit")
            axes.set_title(f"{row[0]}, cycle {row[1]}: {row[3]}, {severity}", fontsize=8)
            if stays_inside(row[3]):
                warm = axes.twinx()  # what breaks no limit shows in the temperature as well
                for curve, color in ((one, INK), (other, COLOR)):
                    warm.plot((curve.time - curve.time[:1]) / 60, curve.celsius, color=color, lw=0.8, ls="--", alpha=0.7)
                warm.tick_params(labelsize=6)
        for axes in page.axes[-1]:
            axes.set_xlabel("time / min")
        for line in page.axes:
            line[0].set_ylabel("voltage / V")
        legend(page, panels[0].get_lines())
    return page.data


def _asked(row: dict[str, Any]) -> str:
    """How severe the fault of a row was asked to be, in words."""
    values = [(row.get(f"requested_{one.name}"), one.unit) for one in severities_of(row["label"], (row["step_type"],))]
    return next((f"{value:.3g} {unit}" for value, unit in values if value), "")
