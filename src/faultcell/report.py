"""Figures, and one self-contained HTML page that shows them beside the numbers. The one place that imports matplotlib."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from faultcell import __version__
from faultcell.curves import FAULTS, Curves, loaded_part
from faultcell.scoring import Scores

mpl.use("Agg")
REAL, DRAWN, LIMIT = "#1f2937", "#e4572e", "#6b7280"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
}
CLOSE_UP = 0.15  # share of a curve's duration, before its end, that the right-hand panel shows


def overlay(real: Curves, synthetic: Curves, *, label: str, most: int = 6) -> bytes:
    """A PNG with real curves and the curves drawn for their conditions, one colour each; the end of the curve enlarged.

    Args:
        real: curves of cells the model has not seen.
        synthetic: one for each, in the same order.
        label: the fault to show.
        most: pairs shown, spread over the peak deviation.
    """
    rows = np.flatnonzero((real.halfcycles["label"] == label).to_numpy())
    by_depth = rows[np.argsort(real.known("peak_deviation_volt")[rows])]
    chosen = by_depth[np.unique(np.linspace(0, len(by_depth) - 1, most).round().astype(int))].tolist()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.8), layout="constrained", dpi=130)
        whole, close = figure.subplots(1, 2)
        for row in chosen:
            for axes in (whole, close):
                _line(axes, real, row, color=REAL, style="-")
                _line(axes, synthetic, row, color=DRAWN, style="--")
        _finish(whole, real, label, f"{label}: {len(chosen)} unseen curves and what was drawn for their conditions")
        _finish(close, real, label, "the end, where the fault is", aligned=True)
        _close_up(close)
        whole.plot([], [], color=REAL, label="real")
        whole.plot([], [], color=DRAWN, ls="--", label="drawn")
        whole.legend(loc="best")
        return _png(figure)


def adherence(requested: Sequence[float], measured: Sequence[float], *, label: str) -> bytes:
    """A PNG of the peak deviation asked for against the one measured back."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.8, 3.6), layout="constrained", dpi=130)
        axes = figure.subplots()
        span = [min(requested), max(requested)]
        axes.plot(span, span, color=LIMIT, lw=1)
        axes.plot(requested, measured, "o", color=DRAWN, ms=4, alpha=0.5)
        axes.set(xlabel="peak deviation asked for / V", ylabel="measured back / V", title=label)
        return _png(figure)


def page(
    *, title: str, scores: Scores, facts: Sequence[tuple[str, str]], figures: Sequence[tuple[str, bytes]], note: str
) -> str:
    """One HTML page with everything in it: no file beside it, no host asked.

    Args:
        title: of the page.
        scores: of the generated set and the cheap sources beside it.
        facts: name and value of what a reader wants to know first.
        figures: caption and PNG.
        note: what the numbers do and do not say.
    """
    environment = Environment(loader=PackageLoader("faultcell"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html.j2").render(
        title=title,
        version=__version__,
        scores=scores,
        labels=sorted(scores.sources["synthetic"].by_label),
        columns=COLUMNS,
        facts=facts,
        figures=[(caption, base64.b64encode(png).decode()) for caption, png in figures],
        note=note,
    )


# Attribute of a score, heading, format, and whether more is better.
COLUMNS: tuple[tuple[str, str, str, bool], ...] = (
    ("mae", "MAE", "{:.4f}", False),
    ("mse", "MSE", "{:.5f}", False),
    ("kl", "KL", "{:.4f}", False),
    ("pcc", "PCC", "{:.3f}", True),
    ("dpcc", "dPCC", "{:.3f}", True),
    ("lowest_voltage_error_volt", "lowest V error / V", "{:.3f}", False),
    ("highest_voltage_error_volt", "highest V error / V", "{:.3f}", False),
    ("duration_error", "duration error", "{:.1%}", False),
    ("peak_deviation_error_volt", "asked vs got / V", "{:.4f}", False),
)


def _line(axes: Axes, curves: Curves, row: int, *, color: str, style: str) -> None:
    part = loaded_part(curves, slice(int(curves.offsets[row]), int(curves.offsets[row + 1])))
    time, volt = curves.column("step_time_second")[part], curves.column("voltage_volt")[part]
    axes.plot((time - time[0]) / 60, volt, color=color, ls=style, lw=1.2)


def _finish(axes: Axes, real: Curves, label: str, title: str, *, aligned: bool = False) -> None:
    side = FAULTS[label].side if label in FAULTS else "low"
    name = "upper_voltage_limit_volt" if side == "high" else "lower_voltage_limit_volt"
    axes.axhline(float(np.nanmedian(real.known(name))), color=LIMIT, lw=0.8, ls=":")
    axes.set(xlabel="time before the end / min" if aligned else "time / min", ylabel="voltage / V", title=title)


def _close_up(axes: Axes) -> None:
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


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
