"""Whether a forest of trees tells generated from real curves, on cells it has not seen: the strictest reader of artefacts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score

from faultcell.metrics.paired import Array

TREES, LEAST_LEAF = 200, 2
FEWEST = 5  # real curves of other cells
# First and second differences are small beside the values: a forest splits on each alone, so scale does not matter to it.
Set = tuple[Array, Array, NDArray[np.str_]]


def forest_auc(real: Set, generated: Set) -> dict[str, float]:
    """Area under the receiver's curve by cell: 0.5 cannot tell, 1 always can; empty with fewer than two cells.

    Args:
        real: voltages `(N, P)`, durations, s `(N,)`, and cells `(N,)`.
        generated: the same `(M, P)`, `(M,)`, and the cells whose conditions they were given `(M,)`.
    """
    found = {}
    for cell in sorted(set(real[2].tolist()) & set(generated[2].tolist())):
        (real_known, real_asked), (made_known, made_asked) = (
            (features[cells != cell], features[cells == cell])
            for features, cells in ((_features(*part[:2]), part[2]) for part in (real, generated))
        )
        if min(len(real_known), len(made_known)) < FEWEST:
            continue
        forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAST_LEAF, random_state=0)
        forest.fit(np.vstack([real_known, made_known]), np.repeat([0, 1], [len(real_known), len(made_known)]))
        asked_of = np.vstack([real_asked, made_asked])
        answers = np.repeat([0, 1], [len(real_asked), len(made_asked)])
        found[cell] = float(roc_auc_score(answers, forest.predict_proba(asked_of)[:, 1]))
    return found


def _features(volts: Array, seconds: Array) -> Array:
    return np.hstack([volts, np.diff(volts), np.diff(volts, 2), np.log(np.maximum(seconds, 1e-9))[:, None]])
