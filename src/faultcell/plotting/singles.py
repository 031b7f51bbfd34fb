"""Single drawn curves, large, each over the real curve whose conditions it was given: what a user gets, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.schema import Array
from faultcell.plotting.figures import LIMIT, sheet
from faultcell.plotting.overlays import limit
from faultcell.plotting.theme import INK

MOST_PANELS = 4
COLORS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2")
CHANNELS = (("voltage_volt", "voltage / V"), ("surface_temperature_celsius", "surface temperature / degC"))


def single_curves(real: Curves, draws: Sequence[Curves], *, label: str) -> bytes:
    """A PNG with a panel a cell: one real curve, black, and the curve each draw has for it; temperatures below.

    Args:
        real: curves of cells the model has not seen.
        draws: sets with one curve for each of these, in the same order.
        label: the fault to show.
    """
    rows = _one_a_cell(real, label)
    channels = [(name, title) for name, title in CHANNELS if np.isfinite(real.column(name)).any()]
    with sheet(len(channels), len(rows), size=(2.9 * len(rows) + 0.6, 2.6 * len(channels)), form="png") as page:
        for column, row in enumerate(rows):
            for line, (name, title) in enumerate(channels):
                axes = page.axes[line][column]
                for color, draw in zip(COLORS, draws, strict=False):
                    axes.plot(*_samples(draw, row, name), color=color, lw=0.9, alpha=0.9)
                axes.plot(*_samples(real, row, name), color=INK, lw=1.5)
                axes.set(xlabel="time / min" if line == len(channels) - 1 else "", ylabel=title if column == 0 else "")
            page.axes[0][column].axhline(limit(real, label, row=row), color=LIMIT, lw=0.8, ls=":")
            cell, cycle = real.halfcycles.select("cell_id", "cycle_count").row(row)
            page.axes[0][column].set_title(f"{cell}, cycle {cycle}")
    return page.data


def _one_a_cell(real: Curves, label: str) -> list[int]:
    """The curve of middle depth of each cell with that fault; with fewer cells than panels, further ones of them."""
    rows = np.flatnonzero((real.halfcycles["label"] == label).to_numpy())
    depth, cells = real.known("peak_deviation_volt"), real.halfcycles["cell_id"].to_numpy()
    found: list[int] = []
    names = list(dict.fromkeys(cells[rows].tolist()))
    for share in (0.5, 0.0, 1.0, 0.25):
        for name in names:
            own = rows[cells[rows] == name]
            found.append(int(own[np.argsort(depth[own])][round(share * (len(own) - 1))]))
    return list(dict.fromkeys(found))[:MOST_PANELS]


def _samples(curves: Curves, row: int, column: str) -> tuple[Array, Array]:
    """Minutes from its own start and values of the loaded part of a curve `(n,)`."""
    part = loaded_part(curves, slice(int(curves.offsets[row]), int(curves.offsets[row + 1])))
    time = curves.column("step_time_second")[part]
    return (time - time[:1]) / 60, curves.column(column)[part]
