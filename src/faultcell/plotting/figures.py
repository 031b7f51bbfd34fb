"""Where figures are made: one style for all, and the one place that imports matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

__all__ = ["GRID", "INK", "LIMIT", "Axes", "Sheet", "few_ticks", "legend", "logarithmic", "new_axes", "rows_named", "sheet"]

INK, LIMIT, GRID = "#1f2937", "#6b7280", "#e5e7eb"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.edgecolor": LIMIT,
    "legend.frameon": False,
    "svg.hashsalt": "faultcell",  # the same figure gives the same bytes
}


@dataclass
class Sheet:
    """A figure in the making; its bytes are there once the `with` block has ended.

    Attributes:
        figure: the whole.
        axes: its panels, row by row.
        data: the finished picture.
    """

    figure: Figure
    axes: list[list[Axes]]
    data: bytes = b""


@contextmanager
def sheet(rows: int, columns: int, *, size: tuple[float, float], form: str = "svg", **subplots: Any) -> Iterator[Sheet]:
    """Panels to draw on.

    Args:
        rows: of panels.
        columns: of panels.
        size: width and height, inch.
        form: `svg` or `png`.
        **subplots: further arguments of matplotlib's `Figure.subplots`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", dpi=130)
        made = Sheet(figure, figure.subplots(rows, columns, squeeze=False, **subplots).tolist())
        yield made
        buffer = BytesIO()
        figure.savefig(buffer, format=form, metadata={"Software": None} if form == "png" else {"Date": None, "Creator": None})
        made.data = buffer.getvalue()


def new_axes(size: tuple[float, float] | None = None) -> Axes:
    """Axes to draw on: of pyplot, so that notebooks show them; or, of a given size in inch, of a figure of their own."""
    if size is not None:
        figure = Figure(figsize=size, layout="constrained", dpi=90)
    else:
        from matplotlib import pyplot as plt

        figure = plt.figure(figsize=(6.4, 3.8), layout="constrained")  # not in the context: it would end what a notebook set
    with mpl.rc_context(STYLE):
        axes: Axes = figure.subplots()
        return axes


def logarithmic(axes: Axes) -> None:
    """A logarithmic axis of values with a few plain numbers."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    subs = (1, 2, 5) if high / low < 12 else (1, 3) if high / low < 60 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=7) if high / low > 4 else MaxNLocator(3))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)) if high / low > 4 else NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)


def few_ticks(axes: Axes, most: int = 4) -> None:
    """At most so many numbers on the axis of values."""
    axes.xaxis.set_major_locator(MaxNLocator(most))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="x", labelsize=8)


def rows_named(axes: Axes, names: list[str]) -> None:
    """One row a name, the first on top, with a faint line to follow."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.hlines(range(len(names)), 0, 1, transform=axes.get_yaxis_transform(), color=GRID, lw=0.6, zorder=0)
    axes.tick_params(axis="y", length=0)


def legend(page: Sheet, handles: list[Any], *, columns: int = 6) -> None:
    """One legend above all panels."""
    page.figure.legend(handles=handles, loc="outside upper center", ncols=columns, fontsize=8.5)
