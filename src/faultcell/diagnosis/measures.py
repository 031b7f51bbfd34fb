"""How good the alarms of a classifier are: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from faultcell.diagnosis.gain import FALSE_ALARMS, FEW_FALSE_ALARMS


def measure(truth: NDArray[np.int64], *, score: NDArray[np.float64], alarm: NDArray[np.int64]) -> dict[str, float]:
    """The measures of one classifier; ratios without a denominator are zero.

    Args:
        truth: one for a fault `(N,)`, of both classes.
        score: higher for a fault `(N,)`.
        alarm: one where the classifier says fault `(N,)`.
    """
    values = {
        "accuracy": metrics.accuracy_score(truth, alarm),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, alarm),
        "precision": metrics.precision_score(truth, alarm, zero_division=0),
        "recall": metrics.recall_score(truth, alarm),
        "f1": metrics.f1_score(truth, alarm, zero_division=0),
        "roc_auc": metrics.roc_auc_score(truth, score),
        "pr_auc": metrics.average_precision_score(truth, score),
        **{name: recall_at(truth, score, false_alarms=share) for name, share in FALSE_ALARMS.items()},
        "false_alarm_rate": np.mean(alarm[truth == 0]),
    }
    return {name: float(value) for name, value in values.items()}


def recall_at(truth: NDArray[np.int64], score: NDArray[np.float64], *, false_alarms: float = FEW_FALSE_ALARMS) -> float:
    """The largest recall of any threshold on `score` `(N,)` that raises an alarm on at most this share of normal curves.

    Args:
        truth: one for a fault `(N,)`.
        score: higher for a fault `(N,)`.
        false_alarms: share of the normal curves.
    """
    return float(alarms_at(truth, score, false_alarms=false_alarms)[truth == 1].mean())


def alarms_at(truth: NDArray[np.int64], score: NDArray[np.float64], *, false_alarms: float) -> NDArray[np.bool_]:
    """What the lowest such threshold raises an alarm on `(N,)`.

    Args:
        truth: one for a fault `(N,)`.
        score: higher for a fault `(N,)`.
        false_alarms: share of the normal curves.
    """
    normal = np.sort(score[truth == 0])[::-1]
    allowed = int(false_alarms * len(normal) + 1e-9)
    return np.asarray(score > (normal[allowed] if allowed < len(normal) else -np.inf))
