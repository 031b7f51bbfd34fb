"""Pictures of the public objects on matplotlib axes: what their `plot` shows, and small ones for notebooks."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from io import BytesIO

import numpy as np

from faultcell.augmenter import Augmenter
from faultcell.bands import Band
from faultcell.curves.curves import Curves
from faultcell.curves.plausibility import LoadedCurve, loaded_curves
from faultcell.curves.schema import KEYS, NORMAL, SOURCE
from faultcell.diagnosis.gain import Gain, is_mean
from faultcell.errors import ConditionError
from faultcell.plotting.bar_plot import bars_on, ordered
from faultcell.plotting.figures import INK, LIMIT, Axes, new_axes
from faultcell.plotting.theme import DRAWN, FAULT_LOOKS, VIEWS, look
from faultcell.scoring import Scores

MOST = 100  # curves in one picture
PAIRS = 6  # normal curves and their faults


def plot_curves(curves: Curves, ax: Axes | None = None, *, most: int = MOST) -> Axes:
    """Voltage under load over time, a colour a label, and the rated limits, dotted.

    Args:
        curves: what to show.
        ax: axes to draw on; new ones where not given.
        most: curves shown, spread evenly over the set.

    Raises:
        ConditionError: there is no curve.
    """
    if not len(curves):
        raise ConditionError("there is no curve to plot")
    ax = ax or new_axes()
    shown = curves.take(np.unique(np.linspace(0, len(curves) - 1, most).round().astype(int)).tolist())
    faults = [name for name in shown.labels if name != NORMAL]
    colours = {NORMAL: INK} | {name: FAULT_LOOKS[i % len(FAULT_LOOKS)].colour for i, name in enumerate(faults)}
    for label in sorted(shown.labels, key=lambda name: name != NORMAL):  # faults over normal curves
        of_label = list(loaded_curves(shown.select(label=[label])))
        _lines(ax, of_label, colour=colours[label], name=label, alpha=0.6)
        for limit in {one.limit for one in of_label if np.isfinite(one.limit)}:
            ax.axhline(limit, color=LIMIT, lw=0.8, ls=":", zorder=0)
    return _finished(ax)


def plot_band(band: Band, ax: Axes | None = None, *, row: int = 0) -> Axes:
    """The band of one condition over the time of its median duration, with the median.

    Args:
        band: bands.
        ax: axes to draw on; new ones where not given.
        row: which of the conditions.
    """
    ax = ax or new_axes()
    minutes = np.linspace(0, band.seconds[row, 1], band.lower.shape[1]) / 60
    name = f"{100 * band.level:g} % of {band.draws} draws"
    ax.fill_between(minutes, band.lower[row], band.upper[row], color=DRAWN, alpha=0.25, lw=0, label=name)
    ax.plot(minutes, band.median[row], color=DRAWN, lw=1, ls="--", label="median")
    ax.set_title("{}, cycle {}, {}".format(*band.keys.row(row)))
    return _finished(ax)


def plot_scores(scores: Scores, ax: Axes | None = None) -> Axes:
    """Mean absolute error of every source, the nearest to the real curves on top.

    Args:
        scores: what `evaluate` found.
        ax: axes to draw on; new ones where not given.

    Raises:
        ConditionError: no source was paired with real curves.
    """
    found = {name: source.all.mae for name, source in scores.sources.items() if source.all.mae is not None}
    if not found:
        raise ConditionError("no source has a mean absolute error to plot: none was paired with real curves")
    ax, names = ax or new_axes(), sorted(found, key=lambda name: found[name])
    colours = [DRAWN if name == "synthetic" else LIMIT for name in names]
    ax.barh(range(len(names)), [found[name] for name in names], height=0.62, color=colours)
    ax.set_yticks(range(len(names)), [look(name).name for name in names])
    ax.invert_yaxis()
    ax.set(xlabel="mean absolute error of voltages scaled to 0 ... 1")
    return ax


def plot_gain(gain: Gain, ax: Axes | None = None, *, task: int = 0, measure: str = "recall") -> Axes:
    """A measure of the nets' mean in every arm of one task, with its interval.

    Args:
        gain: what `classify` found.
        ax: axes to draw on; new ones where not given.
        task: which of `gain.tasks`.
        measure: of a fit, such as `recall` or `pr_auc`.
    """
    ax, chosen = ax or new_axes(), gain.tasks[task]
    rows = [row for row in gain.summary if (row.task, row.view) == (chosen.task, chosen.view)]
    shown = [row for row in rows if is_mean(row.classifier)] or [row for row in rows if row.classifier == rows[0].classifier]
    if measure not in shown[0].measures:
        raise ConditionError(f"measure '{measure}' is none of {', '.join(shown[0].measures)}")
    found = {row.arm: row.measures[measure] for row in shown}
    bars_on(ax, found, rows=ordered(list(found)))
    ax.set(
        title=f"{chosen.task}, {VIEWS[chosen.view]}: {shown[0].classifier.replace('mean of 1 nets', 'one net')}",
        xlabel=measure.replace("_", " "),
    )
    return ax


def plot_augmented(model: Augmenter, ax: Axes | None = None, *, normal: Curves, seed: int = 0) -> Axes:
    """Some normal curves and the faults drawn from them.

    Args:
        model: an adapted model.
        ax: axes to draw on; new ones where not given.
        normal: normal curves.
        seed: of the draws.
    """
    drawn, ax = model.augment(normal, count=PAIRS, seed=seed), ax or new_axes()
    place = {key: row for row, key in enumerate(normal.halfcycles.select(KEYS).rows())}
    used = {place[key] for key in drawn.halfcycles.select(*SOURCE, "step_type").rows()}
    _lines(ax, loaded_curves(normal.take(sorted(used))), colour=INK, name="normal curve")
    _lines(ax, loaded_curves(drawn), colour=DRAWN, name="drawn from it")
    return _finished(ax)


def as_html(shown: Curves | Band | Scores | Gain | Augmenter) -> str:
    """What a notebook shows of an object: its line, and a small picture where it has one of its own."""
    line = f"<code>{escape(repr(shown))}</code>"
    if isinstance(shown, Augmenter):
        return line
    try:
        ax = shown.plot(new_axes((4.6, 2.6)))
    except ConditionError:  # there is nothing to show
        return line
    buffer = BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None  # `new_axes` made it
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return f'{line}<br><img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _lines(ax: Axes, curves: Iterable[LoadedCurve], *, colour: str, name: str, alpha: float = 1.0) -> None:
    """Voltages of curves from their own start, the first of them named."""
    for i, one in enumerate(curves):
        minutes = (one.time - one.time[:1]) / 60
        ax.plot(minutes, one.voltage, color=colour, lw=0.9, alpha=alpha, label=None if i else name)


def _finished(ax: Axes) -> Axes:
    ax.set(xlabel="time under load / min", ylabel="voltage / V")
    ax.legend(fontsize=8)
    return ax
