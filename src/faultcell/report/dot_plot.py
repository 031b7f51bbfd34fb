"""Sources side by side: one row a source, one panel a measure; where a cheap control wins, the panel says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faultcell.plotting.figures import INK, LIMIT, Axes, few_ticks, logarithmic, rows_named, sheet
from faultcell.plotting.theme import kind, look
from faultcell.report.blocks import Cell, Column, Goal, Table, cost

Row = Mapping[str, Any]
BETTER = "#e8f1ea"  # behind the values that beat every cheap control
LEAST = 1e-6  # the smallest value on a logarithmic axis


@dataclass(frozen=True)
class Panel:
    """One measure on a figure.

    Attributes:
        key: its name in a row.
        title: for readers.
        goal: what is best.
        log: whether the axis is logarithmic.
        short: for measures near 1: what is shown is how much they lack.
        mark: name in a row of the value that real curves reach, shown as a line.
    """

    key: str
    title: str
    goal: Goal = "low"
    log: bool = False
    short: bool = False
    mark: str = ""

    def shown(self, row: Row) -> float | None:
        """The value on the axis."""
        value = row.get(self.key)
        if value is None:
            return None
        value = 1 - value if self.short else value
        return max(float(value), LEAST) if self.log else float(value)

    @property
    def aim(self) -> Goal:
        """What is best on the axis."""
        return "low" if self.short else self.goal


def dots(rows: Mapping[str, Row], panels: Sequence[Panel], *, columns: int = 5) -> bytes:
    """An SVG: a row for each source, a panel for each measure.

    Args:
        rows: measures of each source, by its name.
        panels: what to show.
        columns: panels in a row.
    """
    lines = -(-len(panels) // columns)
    height = (0.24 * len(rows) + 1.0) * lines
    with sheet(lines, columns, size=(11, height), sharey=True) as page:
        every = [axes for line in page.axes for axes in line]
        for axes, panel in zip(every, panels, strict=False):
            _panel(axes, panel, rows=rows)
        for axes in every[len(panels) :]:
            axes.set_axis_off()
    return page.data


def _panel(axes: Axes, panel: Panel, *, rows: Mapping[str, Row]) -> None:
    values = {source: value for source, row in rows.items() if (value := panel.shown(row)) is not None}
    for place, source in enumerate(rows):
        if source in values:
            axes.plot(values[source], place, **look(source).dot(9 if source == "floor" else 6))
    rows_named(axes, [look(source).name for source in rows])
    axes.set_title(f"{'1 − ' if panel.short else ''}{panel.title}\n{verdict(values, panel)}", fontsize=9)
    if not values:
        return
    (logarithmic if panel.log else few_ticks)(axes)
    _rivals(axes, panel, values=values)
    real = [row[panel.mark] for row in rows.values() if row.get(panel.mark) is not None]
    if real:
        axes.axvline(max(set(real), key=real.count), color=INK, lw=0.9, ls=":", zorder=0.5)


def _rivals(axes: Axes, panel: Panel, *, values: Mapping[str, float]) -> None:
    """The best cheap control as a line, and all that beats it shaded."""
    cheap = [value for source, value in values.items() if kind(source) == "cheap"]
    if isinstance(panel.aim, float):
        axes.axvline(panel.aim, color=LIMIT, lw=0.9, ls="--", zorder=0.5)
    elif cheap and panel.aim is not None:
        best, limits = min(cheap, key=lambda value: cost(value, panel.aim)), axes.get_xlim()
        axes.axvspan(limits[0] if panel.aim == "low" else best, best if panel.aim == "low" else limits[1], color=BETTER, lw=0)
        axes.axvline(best, color=LIMIT, lw=0.9, ls="--", zorder=0.5)
        axes.set_xlim(limits)


def verdict(values: Mapping[str, float], panel: Panel) -> str:
    """Who is best among generators and cheap controls."""
    able = {source: value for source, value in values.items() if kind(source) != "reference"}
    if not able:
        return "not measured\n"
    if panel.aim is None:
        return "\n"
    best = min(able, key=lambda source: cost(able[source], panel.aim))
    where = f"nearest to {panel.aim:g}" if isinstance(panel.aim, float) else "best"
    return f"{where}: {look(best).name}\n{'CHEAP CONTROL' if kind(best) == 'cheap' else 'generator'} first"


def compared(rows: Mapping[str, Row], columns: Sequence[Column], *, caption: str = "", further: Sequence[Row] = ()) -> Table:
    """A table of sources; the best of generators and cheap controls marked in each column.

    Args:
        rows: measures of each source, by its name.
        columns: what to show.
        caption: of the table.
        further: rows below, with their `name`, that are not ranked.
    """
    ranked = [row for source, row in rows.items() if kind(source) != "reference"]
    best = {column.key: column.best(ranked) for column in columns}
    lines = [
        _line(source, row, columns=columns, best=best if kind(source) != "reference" else {}) for source, row in rows.items()
    ]
    lines += [_quoted(row, columns) for row in further]
    styles = [*(kind(source) for source in rows), *("paper" for _ in further)]
    return Table(["source", *(column.titled for column in columns)], lines, caption, styles)


def _line(source: str, row: Row, *, columns: Sequence[Column], best: Mapping[str, str | None]) -> list[Cell]:
    spelt = [(column.key, column.spell(row)) for column in columns]
    return [Cell(look(source).name), *(Cell(text, "best" if text == best.get(key) else "") for key, text in spelt)]


def _quoted(row: Row, columns: Sequence[Column]) -> list[Cell]:
    """A row of the paper: blank where it says nothing."""
    return [Cell(str(row["name"])), *(Cell(column.spell(row) if column.key in row else "") for column in columns)]
