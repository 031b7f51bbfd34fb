"""The arms of the classifiers: which row stands for all nets, and which control needs no generator and is best."""

from __future__ import annotations

from faultcell.diagnosis.gain import ALL_SIX, WEIGHTED, is_mean
from faultcell.plotting.theme import kind
from faultcell.report.folder import Row, Study

MEASURES = {"recall": "recall", "f1": "F1", "pr_auc": "PR-AUC", "recall_at_1_percent": "recall at 1 % false alarms"}
# What decides, in short.
SHOWN = {
    "recall": "recall",
    "pr_auc": "PR-AUC",
    "recall_at_1_percent": "recall at 1 %",
    "false_alarm_rate": "false alarms",
}


def nets(study: Study, label: str, *, view: str) -> str:
    """What the row of means over the nets is called."""
    names = study.names("gain", "classifier", task=label, view=view)
    return next(filter(is_mean, names), ALL_SIX)


def of_nets(study: Study, label: str, *, view: str, measure: str) -> dict[str, Row]:
    """Mean and interval over the nets, by arm."""
    rows = study.rows("gain", task=label, view=view, measure=measure, classifier=nets(study, label, view=view))
    return {str(row["arm"]): row for row in rows if row.get("mean") is not None}


def is_cheap(arm: str) -> bool:
    """Whether an arm needs no generator: a cheap control, or class weights."""
    return kind(arm) == "cheap" or arm == WEIGHTED


def best_cheap(study: Study, label: str, *, view: str, measure: str) -> str | None:
    """The cheap arm with the highest mean over the nets; None if there is none."""
    means = {arm: row["mean"] for arm, row in of_nets(study, label, view=view, measure=measure).items() if is_cheap(arm)}
    return max(means, key=lambda arm: means[arm]) if means else None
