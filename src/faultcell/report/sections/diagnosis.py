"""The paper's Figure 9: classifiers before and after, and what the differences are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faultcell.diagnosis.gain import BEFORE, SIX, THRESHOLD, WEIGHTED
from faultcell.diagnosis.model_based import MODEL_BASED
from faultcell.diagnosis.tasks import usual_views
from faultcell.plotting.figures import GRID, LIMIT, Axes, few_ticks, legend, rows_named, sheet
from faultcell.plotting.theme import CLASSIFIERS, VIEWS, kind, look
from faultcell.report.arms import MEASURES, best_cheap, of_nets
from faultcell.report.blocks import MISSING, Block, Cell, Fold, Picture, Section, Table, Text, count, not_measured, percent
from faultcell.report.folder import Row, Study
from faultcell.report.sections import comparisons
from faultcell.study.paper import CITATION, DIAGNOSIS, LETTER
from faultcell.study.plan import DIFFUSION, GENERATORS

QUOTED = {"recall": "recall", "f1": "F1"}  # the measures that the paper gives
SIZES = {
    "task": "fault",
    "view": "view",
    "train_normal": "normal, training",
    "train_fault": "real faults, training",
    "added": "faults added by each arm",
    "test_normal": "normal, test",
    "test_fault": "faults, test",
}
NAMES = "recall, F1, PR-AUC and recall at 1 % false alarms"
READING = (
    "Two views of every curve: the whole loaded part, in which crossing the limit gives the fault away, and what lies within "
    "the limits, where a classifier would be of use before anything is broken. Bars are 95 % intervals over splits by cell. "
    "The best cheap control, class weights among them, is the one with the highest mean over the nets on these very test "
    "curves, which flatters it a little; dashed in the figures."
)
APART = (
    f"The paper ({CITATION}, Figure 9) does not say which view its curves give nor how its test curves were chosen: its "
    "numbers can't be ranked against ours."
)


def section(study: Study) -> Section:
    """Each fault in both views, then the tests."""
    blocks: list[Block] = [Text(READING), _sizes(study)]
    for label in study.labels:
        for task in [name for name in study.names("gain", "task") if name.split()[0] == label] or [label]:
            for view in VIEWS:
                found = study.rows("gain", task=task, view=view)
                if not found and view not in usual_views(label):
                    continue
                blocks += _place(study, task, view=view) if found else [not_measured(f"{task}, {VIEWS[view]}")]
    blocks += [*comparisons.blocks(study), Text(APART, note=True)]
    return Section("diagnosis", "Fault classifiers, before and after (the paper's Figure 9)", blocks)


def _place(study: Study, label: str, *, view: str) -> list[Block]:
    where = f"{label}, {VIEWS[view]}"
    alt = f"{where}: {NAMES}"
    caption = f"{where}: mean over the nets for every arm. {_threshold(study, label, view=view)}"
    every = [_table(study, label, view=view, measure=measure) for measure in MEASURES]
    return [
        Picture(_arms(study, label, view=view), f"{alt} of every arm with 95 % intervals, mean over the nets.", caption),
        Picture(_classifiers(study, label, view=view), f"{alt} of six classifiers by arm.", f"{where}: each classifier."),
        _beside_paper(study, label, view=view),
        Fold(f"{where}: all arms and classifiers", every),
    ]


def _threshold(study: Study, label: str, *, view: str) -> str:
    """What a detector that only compares the voltage with the limit finds."""
    rows = {row["measure"]: row for row in study.rows("gain", task=label, view=view, classifier=THRESHOLD, arm=BEFORE)}
    if "recall" not in rows:
        return "The voltage threshold was not measured."
    found, false = (rows.get(name, {}).get("mean") for name in ("recall", "false_alarm_rate"))
    return f"The voltage threshold alone, without any training, finds {percent(found)} at {percent(false)} false alarms."


def _arms(study: Study, label: str, *, view: str) -> bytes:
    """A row an arm, a panel a measure: the mean over the nets."""
    arms = study.names("gain", "arm", task=label, view=view)
    with sheet(1, len(MEASURES), size=(11, 0.24 * len(arms) + 0.9), sharey=True) as page:
        for axes, measure in zip(page.axes[0], MEASURES, strict=True):
            rows = of_nets(study, label, view=view, measure=measure)
            for arm, row in rows.items():
                _interval(axes, row, place=arms.index(arm), upright=False)
            rows_named(axes, [look(arm).name for arm in arms])
            axes.set(title=MEASURES[measure], xlim=(-0.03, 1.03))
            few_ticks(axes)
            best = best_cheap(study, label, view=view, measure=measure)
            if best is not None:
                axes.axvline(rows[best]["mean"], color=LIMIT, lw=0.9, ls="--", zorder=0.5)
    return page.data


def _classifiers(study: Study, label: str, *, view: str) -> bytes:
    """A column a classifier, a panel a measure: before, class weights, the best cheap control, the generators."""
    with sheet(len(MEASURES), 1, size=(11, 7.6), sharex=True) as page:
        shown: dict[str, None] = {}
        present = study.names("gain", "arm", task=label, view=view)
        for line, measure in zip(page.axes, MEASURES, strict=True):
            best = best_cheap(study, label, view=view, measure=measure)
            arms = list(dict.fromkeys(arm for arm in (BEFORE, WEIGHTED, best, *GENERATORS) if arm in present))
            shown |= dict.fromkeys(arms)
            _grouped(line[0], study.rows("gain", task=label, view=view, measure=measure), arms=arms)
            line[0].set(ylabel=MEASURES[measure].replace(" at", "\nat"), ylim=(-0.04, 1.04))
        page.axes[-1][0].set_xticks(range(len(SIX)), [CLASSIFIERS[name] for name in SIX])
        handles = [page.axes[0][0].plot([], [], **look(arm).dot(), label=look(arm).name)[0] for arm in shown]
        legend(page, handles, columns=5)
    return page.data


def _grouped(axes: Axes, rows: Sequence[Row], *, arms: Sequence[str]) -> None:
    for row in rows:
        if row["classifier"] in SIX and row["arm"] in arms:
            shift = 0.8 * ((arms.index(row["arm"]) + 0.5) / len(arms) - 0.5)
            _interval(axes, row, place=SIX.index(row["classifier"]) + shift, upright=True)
    for place in range(1, len(SIX)):
        axes.axvline(place - 0.5, color=GRID, lw=0.8)
    axes.set_xlim(-0.5, len(SIX) - 0.5)


def _interval(axes: Axes, row: Row, *, place: float, upright: bool) -> None:
    """A mean with its interval, as far as a share can reach."""
    mean, low, high = row.get("mean"), row.get("low"), row.get("high")
    if mean is None:
        return
    shown = look(str(row["arm"]))
    if low is not None and high is not None:
        ends = [max(0.0, low), min(1.0, high)]
        axes.plot(*([place, place], ends) if upright else (ends, [place, place]), color=shown.colour, lw=1.2, zorder=1)
    axes.plot(*([place], [mean]) if upright else ([mean], [place]), **shown.dot(5.5), zorder=2)


def _beside_paper(study: Study, label: str, *, view: str) -> Table:
    """Recall and F1 of each classifier before, after, with the best cheap control, and in the paper."""
    head, lines = ["classifier"], [[Cell(CLASSIFIERS[name])] for name in SIX]
    for measure, title in QUOTED.items():
        best = best_cheap(study, label, view=view, measure=measure)
        arms = {BEFORE: "before", DIFFUSION: "with diffusion", **({best: f"with {look(best).name}"} if best else {})}
        head += [*(f"{title} {words}" for words in arms.values()), f"paper: {title} before", f"paper: {title} after"]
        found = {(row["classifier"], row["arm"]): row for row in study.rows("gain", task=label, view=view, measure=measure)}
        for line, name in zip(lines, SIX, strict=True):
            paper = DIAGNOSIS.get((CLASSIFIERS[name], LETTER.get(label, "")), {})
            line += [_cell(found.get((name, arm), {})) for arm in arms]
            line += [Cell(paper.get(f"{title} {when}", ""), "quoted") for when in ("before", "after")]
    return Table(head, lines, f"{label}, {VIEWS[view]}: each classifier before and after (95 % interval), beside the paper")


def _table(study: Study, label: str, *, view: str, measure: str) -> Table:
    """Arms against classifiers; the best arm of each classifier marked."""
    rows = study.rows("gain", task=label, view=view, measure=measure)
    arms = list(dict.fromkeys(str(row["arm"]) for row in rows))
    names = list(dict.fromkeys(str(row["classifier"]) for row in rows if row["classifier"] not in (THRESHOLD, *MODEL_BASED)))
    found = {(row["arm"], row["classifier"]): row for row in rows}
    means = {
        name: [row["mean"] for (_, other), row in found.items() if other == name and row["mean"] is not None] for name in names
    }
    best = {name: max(values, default=None) for name, values in means.items()}
    lines = [[Cell(look(arm).name), *(_cell(found.get((arm, name), {}), best[name]) for name in names)] for arm in arms]
    head = ["arm", *(CLASSIFIERS.get(name, name) for name in names)]
    return Table(head, lines, f"{MEASURES[measure]}: mean over seeds (95 % interval)", [kind(arm) for arm in arms])


def _cell(row: Row, best: float | None = None) -> Cell:
    mean, low, high = row.get("mean"), row.get("low"), row.get("high")
    if mean is None:
        return Cell(MISSING)
    ends = f" ({max(low, 0):.2f}–{min(high, 1):.2f})" if low is not None and high is not None and low < high else ""
    return Cell(f"{mean:.2f}{ends}", "best" if mean == best else "")


def _sizes(study: Study) -> Block:
    titles = {key: title for key, title in SIZES.items() if any(key in task for task in study.summary.tasks)}
    lines = [[Cell(_size(task.get(key))) for key in titles] for task in study.summary.tasks]
    found = Table(list(titles.values()), lines, "curves of each task")
    return found if lines else not_measured("how many curves the classifiers were trained and tested on")


def _size(value: Any) -> str:
    return VIEWS.get(value, value) if isinstance(value, str) else count(value)
