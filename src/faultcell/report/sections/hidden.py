"""Faults that a threshold cannot see: what finds them, from how severe on, how late, and at how many false alarms."""

from __future__ import annotations

from collections.abc import Sequence

from faultcell.curves.faults import FAULTS, Severity, in_record, ohm_of_leak, stays_inside
from faultcell.diagnosis.gain import BEFORE, FALSE_ALARMS, SIX, THRESHOLD
from faultcell.diagnosis.model_based import MODEL_BASED
from faultcell.diagnosis.views import WARM
from faultcell.plotting.figures import Axes, legend, logarithmic, sheet
from faultcell.plotting.theme import CLASSIFIERS, VIEWS, look
from faultcell.report import arms
from faultcell.report.blocks import MISSING, Block, Cell, Picture, Section, Table, Text, number
from faultcell.report.folder import Row, Study
from faultcell.study.plan import DIFFUSION, from_normal

DAYS = 365
READING = (
    "No voltage limit is broken here, so every battery management system is blind to these faults. Beside the nets stands what "
    "diagnosis did before: limits, one number of a curve beside a normal one of its cell, a Kalman filter, a thermal model, a "
    "logistic regression on all such numbers, each with what it has to know. The view with what models of the cell do not "
    "foresee is the hybrid: nets on the residuals of those models. Thresholds leave 1 % (or .1 %) of the normal test curves "
    "above them; false alarms are at each classifier's own threshold, for a cell that is charged once a day. The delay counts "
    "the faulty cycles of a cell that pass before one is found. A severity is given where every net and split comes to it."
)
DRAWN = (from_normal(DIFFUSION), DIFFUSION, "augment", "synthetic")  # of the drawn arms, the first there is
COLUMNS = {
    "recall_at_1_percent": "recall at 1 %",
    "recall_at_0_1_percent": "at .1 %",
    "severity_at_50_percent_recall": "half found from",
    "severity_at_90_percent_recall": "nine tenths from",
    "false_alarm_rate": "false alarms a year",
    "delay_cycle": "delay, cycles",
}


def section(study: Study) -> Section | None:
    """A figure and a table for each such fault; nothing where the study has none."""
    tasks = [task for task in study.names("gain", "task") if stays_inside(in_record(task)[0])]
    blocks: list[Block] = [Text(READING)] if tasks else []
    for task in tasks:
        blocks += [_picture(study, task), _table(study, task)]
    return Section("hidden", "Faults a threshold cannot see", blocks) if tasks else None


def _severity(task: str) -> Severity:
    label, step = in_record(task)
    return FAULTS[label].severities_in(step)[0]


def _lines(study: Study, task: str) -> list[tuple[str, str, str, Sequence[str]]]:
    """What is shown of a task: name, view, arm and classifiers of each line."""
    views = [view for view in WARM if study.rows("gain", task=task, view=view)] or study.names("gain", "view", task=task)
    present = study.names("gain", "arm", task=task)
    drawn = next((arm for arm in DRAWN if arm in present), None)
    found: list[tuple[str, str, str, Sequence[str]]] = [
        (CLASSIFIERS[name], views[0], BEFORE, (name,)) for name in (THRESHOLD, *MODEL_BASED)
    ]
    for view in views:
        for arm in (BEFORE, arms.best_cheap(study, task, view=view, measure="recall_at_1_percent"), drawn):
            if arm is not None:
                found.append((f"nets, {VIEWS[view]}: {look(arm).name}", view, arm, SIX))
    return found


def _picture(study: Study, task: str) -> Picture:
    """Recall against severity at both shares of false alarms."""
    severity, chosen = _severity(task), _lines(study, task)
    best = _best(study, task, view=chosen[0][1])
    shown = [line for line in chosen if line[3] == SIX or line[3][0] in (THRESHOLD, "filter", *best)]
    with sheet(1, len(FALSE_ALARMS), size=(11, 3.6), sharey=True) as page:
        for axes, (measure, share) in zip(page.axes[0], FALSE_ALARMS.items(), strict=True):
            for i, (name, view, arm, classifiers) in enumerate(shown):
                rows = [row for row in study.rows("found", task=task, view=view, arm=arm) if row["classifier"] in classifiers]
                _recall(axes, rows, count=measure.replace("recall", "found"), name=name, turn=i, nets=classifiers == SIX)
            logarithmic(axes)
            axes.set(title=f"{100 * share:g} % false alarms", xlabel=f"{severity.name} / {severity.unit}", ylim=(-0.03, 1.03))
        page.axes[0][0].set_ylabel("recall")
        legend(page, page.axes[0][0].get_legend_handles_labels()[0], columns=3)
    caption = f"{task}: recall by severity, faults of all splits together. Dotted: without nets."
    return Picture(page.data, f"{task}: recall against {severity.meaning}, for thresholds, models and nets.", caption)


def _best(study: Study, task: str, *, view: str) -> list[str]:
    """The model-based detector, and the regression on several, with the highest recall."""
    rows = study.rows("gain", task=task, view=view, measure="recall_at_1_percent", arm=BEFORE)
    mean = {str(row["classifier"]): row["mean"] or 0.0 for row in rows if row["classifier"] in MODEL_BASED}
    kinds = ([name for name in mean if name.startswith("features_") is together] for together in (False, True))
    return [max(names, key=lambda name: mean[name]) for names in kinds if names]


def _recall(axes: Axes, rows: Sequence[Row], *, count: str, name: str, turn: int, nets: bool) -> None:
    bins = sorted({(row["low"], row["high"]) for row in rows})
    places, values = [], []
    for low, high in bins:
        own = [row for row in rows if row["low"] == low]
        faults = sum(row["faults"] for row in own)
        if faults:
            places.append((low * high) ** 0.5)
            values.append(sum(row[count] for row in own) / faults)
    axes.plot(places, values, marker="o", ms=3.5, lw=1.3, ls="-" if nets else ":", color=f"C{turn % 10}", label=name)


def _table(study: Study, task: str) -> Table:
    severity, nominal = _severity(task), _nominal(study)
    unit = f" / {severity.unit}" if severity.unit else ""
    titles = [title + (unit if name.startswith("severity") else "") for name, title in COLUMNS.items()]
    lines = []
    for name, view, arm, classifiers in _lines(study, task):
        who = classifiers[0] if len(classifiers) == 1 else arms.nets(study, task, view=view)
        rows = {row["measure"]: row for row in study.rows("gain", task=task, view=view, arm=arm, classifier=who)}
        if rows:
            lines.append([Cell(name), *(_cell(rows.get(measure), measure, severity, nominal) for measure in COLUMNS)])
    what = "; in brackets the leak's resistance, Ohm" if severity.name == "leakage_c_rate" else ""
    return Table(["found by", *titles], lines, f"{task}: means over splits (95 % interval){what}")


def _cell(row: Row | None, measure: str, severity: Severity, nominal: float | None) -> Cell:
    if row is None or row.get("mean") is None:
        return Cell(MISSING)
    per = DAYS if measure == "false_alarm_rate" else 1
    mean, low, high = (None if row.get(name) is None else per * row[name] for name in ("mean", "low", "high"))
    assert mean is not None
    text = number(mean)
    if measure.startswith("severity"):
        if severity.name == "leakage_c_rate" and nominal:
            text += f" ({ohm_of_leak(mean, nominal):.0f})"
    elif low is not None and high is not None and low < high:
        text += f" ({number(max(low, 0.0))}–{number(high)})"
    return Cell(text)


def _nominal(study: Study) -> float | None:
    curves = study.curves("data/test")
    return None if curves is None or not len(curves) else float(curves.known("nominal_capacity_ah")[0])
