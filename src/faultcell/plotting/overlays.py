"""Real curves and what was drawn for their conditions, one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.faults import FAULTS
from faultcell.plotting.figures import LIMIT, Axes, sheet
from faultcell.plotting.theme import DRAWN, INK

CLOSE_UP = 0.15  # share of a curve's duration, before its end, that the right-hand panel shows


def overlay(real: Curves, synthetic: Curves, *, label: str, most: int = 6) -> bytes:
    """A PNG with real curves and the curves drawn for their conditions, one colour each; the end of the curve enlarged.

    Args:
        real: curves of cells the model has not seen.
        synthetic: one for each, in the same order.
        label: the fault to show.
        most: pairs shown, spread over the peak deviation.
    """
    chosen = by_depth(real, label, most=most)
    with sheet(1, 2, size=(10, 3.8), form="png") as page:
        whole, close = page.axes[0]
        for row in chosen:
            for axes in (whole, close):
                line(axes, real, row=row, color=INK, ls="-", lw=1.2)
                line(axes, synthetic, row=row, color=DRAWN, ls="--", lw=1.2)
        finish(whole, real, label=label, title=f"{label}: {len(chosen)} unseen curves and what was drawn for their conditions")
        finish(close, real, label=label, title="the end, where the fault is", aligned=True)
        close_up(close)
        whole.plot([], [], color=INK, label="real")
        whole.plot([], [], color=DRAWN, ls="--", label="drawn")
        whole.legend(loc="best")
    return page.data


def ladder(real: Curves, synthetic: Curves, *, label: str, rungs: int = 3, most: int = 4) -> bytes:
    """An SVG with a panel for each range of severity, shallow to deep: real curves full, drawn ones dashed.

    Args:
        real: curves of cells the model has not seen.
        synthetic: one for each, in the same order.
        label: the fault to show.
        rungs: panels.
        most: pairs in each.
    """
    ordered = by_depth(real, label, most=len(real))
    parts = [part.tolist() for part in np.array_split(np.array(ordered), min(rungs, len(ordered)))]
    depth = real.known("peak_deviation_volt")
    with sheet(1, len(parts), size=(10, 3.4), sharey=True) as page:
        for axes, part in zip(page.axes[0], parts, strict=True):
            for row in part[:: -(-len(part) // most)]:
                line(axes, real, row=row, color=INK, ls="-", lw=1.1)
                line(axes, synthetic, row=row, color=DRAWN, ls="--", lw=1.3)
            finish(axes, real, label=label, title=f"{depth[part[0]]:.2f} to {depth[part[-1]]:.2f} V beyond the limit")
        page.axes[0][0].plot([], [], color=INK, label="real")
        page.axes[0][0].plot([], [], color=DRAWN, ls="--", label="drawn")
        page.axes[0][0].legend(loc="best")
        for axes in page.axes[0][1:]:
            axes.set_ylabel("")
    return page.data


def adherence(requested: Sequence[float], measured: Sequence[float], *, label: str) -> bytes:
    """A PNG of the peak deviation asked for against the one measured back."""
    with sheet(1, 1, size=(3.8, 3.6), form="png") as page:
        axes = page.axes[0][0]
        span = [min(requested), max(requested)]
        axes.plot(span, span, color=LIMIT, lw=1)
        axes.plot(requested, measured, "o", color=DRAWN, ms=4, alpha=0.5)
        axes.set(xlabel="peak deviation asked for / V", ylabel="measured back / V", title=label)
    return page.data


def by_depth(real: Curves, label: str, *, most: int) -> list[int]:
    """Rows of curves of a fault, spread over the peak deviation, shallow first."""
    rows = np.flatnonzero((real.halfcycles["label"] == label).to_numpy())
    ordered = rows[np.argsort(real.known("peak_deviation_volt")[rows])]
    chosen: list[int] = ordered[np.unique(np.linspace(0, len(ordered) - 1, most).round().astype(int))].tolist()
    return chosen


def line(axes: Axes, curves: Curves, *, row: int, **style: Any) -> None:
    """The loaded part of a curve, from its own start, min against V."""
    part = loaded_part(curves, slice(int(curves.offsets[row]), int(curves.offsets[row + 1])))
    time, volt = curves.column("step_time_second")[part], curves.column("voltage_volt")[part]
    axes.plot((time - time[:1]) / 60, volt, **style)


def finish(axes: Axes, real: Curves, *, label: str, title: str, aligned: bool = False) -> None:
    """The rated limit, dotted, and the names of the axes."""
    axes.axhline(limit(real, label), color=LIMIT, lw=0.8, ls=":")
    axes.set(xlabel="time before the end / min" if aligned else "time / min", ylabel="voltage / V", title=title)


def limit(real: Curves, label: str, *, row: int | None = None) -> float:
    """The rated limit that a fault breaks, V: that of a curve, or the typical one."""
    side = FAULTS[label].side if label in FAULTS else "low"
    name = "upper_voltage_limit_volt" if side == "high" else "lower_voltage_limit_volt"
    known = real.known(name)
    return float(np.nanmedian(known) if row is None else known[row])


def close_up(axes: Axes) -> None:
    """Put the ends of all curves at zero and show the last part of the longest."""
    curves = [line for line in axes.lines if np.size(line.get_xdata()) > 2]
    longest = max(float(np.max(line.get_xdata())) for line in curves)
    for line in curves:
        line.set_xdata(np.asarray(line.get_xdata()) - np.max(line.get_xdata()))
    volts = np.concatenate(
        [np.asarray(line.get_ydata())[np.asarray(line.get_xdata()) > -CLOSE_UP * longest] for line in curves]
    )
    room = 0.05 * np.ptp(volts)
    axes.set(xlim=(-CLOSE_UP * longest, 0.01 * longest), ylim=(volts.min() - room, volts.max() + room))
