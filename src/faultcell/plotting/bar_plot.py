"""Before and after, as bars with intervals: what added curves are worth to classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faultcell.baselines.classical import CONTROLS
from faultcell.diagnosis.gain import BEFORE, WEIGHTED, Interval
from faultcell.plotting.figures import INK, LIMIT, Axes, rows_named, sheet
from faultcell.plotting.theme import DRAWN, look

BEFORE_FACE, CHEAP_FACE = "#ffffff", "#d1d5db"


def bars(arms: Mapping[str, Mapping[str, Interval]], measures: Mapping[str, str]) -> bytes:
    """An SVG: a row an arm, a panel a measure; a bar to the mean, a whisker over its interval.

    Without added curves a bar is empty, with those of a cheap control it is hatched, with drawn ones full, so that a print in
    black and white can be read. The dashed line is the best arm that needs no generator.

    Args:
        arms: measures of each arm, by its name.
        measures: names of the measures, and what they are called.
    """
    with sheet(1, len(measures), size=(10, 0.34 * len(arms) + 0.9), sharey=True) as page:
        for axes, (measure, title) in zip(page.axes[0], measures.items(), strict=True):
            shown = {arm: found[measure] for arm, found in arms.items() if measure in found}
            bars_on(axes, shown, rows=list(arms))
            axes.set(title=title)
            rivals = [shown[arm].mean for arm in shown if not is_drawn(arm)]
            if rivals:
                axes.axvline(max(rivals), color=LIMIT, lw=0.9, ls="--")
    return page.data


def bars_on(axes: Axes, shown: Mapping[str, Interval], *, rows: Sequence[str]) -> None:
    """A bar to the mean of each arm, with a whisker over its interval.

    Args:
        axes: where.
        shown: a share of each arm.
        rows: all arms, the first on top.
    """
    for arm, value in shown.items():
        place = rows.index(arm)
        axes.barh(place, value.mean, height=0.62, edgecolor=INK, lw=0.8, **_face(arm))
        if value.low is not None and value.high is not None:
            reach = [[value.mean - value.low], [value.high - value.mean]]
            axes.errorbar(value.mean, place, xerr=reach, color=INK, capsize=2.5, lw=1)
    rows_named(axes, [look(arm).name for arm in rows])
    axes.set(xlim=(0, 1.02))


def ordered(arms: Sequence[str]) -> list[str]:
    """Without added curves first, then cheap controls, then what was drawn."""
    rank = {BEFORE: 0, WEIGHTED: 1}
    return sorted(arms, key=lambda arm: (rank.get(arm, 2 if arm in CONTROLS else 3), arm))


def is_drawn(arm: str) -> bool:
    """Whether an arm adds curves that a generator drew."""
    return arm not in CONTROLS and arm not in (BEFORE, WEIGHTED)


def _face(arm: str) -> dict[str, Any]:
    if is_drawn(arm):
        return {"facecolor": DRAWN}
    return {"facecolor": CHEAP_FACE, "hatch": "///"} if arm in CONTROLS else {"facecolor": BEFORE_FACE}
