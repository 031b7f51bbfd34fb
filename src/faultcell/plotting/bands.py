"""Bands of drawn curves, and the real curves that should lie within."""

from __future__ import annotations

import numpy as np

from faultcell.bands import Band
from faultcell.curves.curves import Curves
from faultcell.plotting.figures import LIMIT, sheet
from faultcell.plotting.overlays import limit
from faultcell.plotting.theme import DRAWN, INK
from faultcell.scoring.resample import POINTS, Measured

ROWS, COLUMNS = 2, 3


def band_figure(found: Band, real: Curves | None) -> bytes:
    """A PNG of at most six bands, spread over all of them, with the real curve of the same conditions in each.

    Args:
        found: the bands.
        real: the real curves in the same order; None where there are none.
    """
    chosen = np.unique(np.linspace(0, len(found) - 1, ROWS * COLUMNS).round().astype(int)).tolist()
    fraction = 100 * np.linspace(0, 1, POINTS)
    rows = -(-len(chosen) // COLUMNS)
    with sheet(rows, min(len(chosen), COLUMNS), size=(10, 3.2 * rows), form="png", sharey=True) as page:
        panels = [axes for line in page.axes for axes in line]
        for axes in panels[len(chosen) :]:
            axes.set_axis_off()
        for axes, row in zip(panels, chosen, strict=False):
            axes.fill_between(fraction, found.lower[row], found.upper[row], color=DRAWN, alpha=0.25, lw=0)
            axes.plot(fraction, found.median[row], color=DRAWN, lw=1, ls="--", label=f"drawn, {100 * found.level:g} % band")
            if real is not None:
                axes.plot(fraction, Measured.of(real.take([row])).volts[0], color=INK, lw=1.2, label="real")
                axes.axhline(limit(real, real.halfcycles["label"][row], row=row), color=LIMIT, lw=0.8, ls=":")
            cell, cycle, step = found.keys.row(row)
            axes.set_title(f"{cell}, cycle {cycle}, {step}")
            axes.set_xlabel("share of the duration / %")
        panels[0].set_ylabel("voltage / V")
        panels[0].legend(loc="lower left")
    return page.data
