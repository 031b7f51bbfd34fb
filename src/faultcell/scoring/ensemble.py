"""Scores of an ensemble: several sets drawn for the same real curves, each with other seeds.

CRPS and energy score reward being near and being as sure as is right; they do not see jitter, which the variogram score does.
Bands say whether the spread is right: what share of the points lies within, and how wide they are.

References:
    Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007,
    https://doi.org/10.1198/016214506000001437.
    Scheuerer and Hamill, Variogram-Based Proper Scoring Rules, 2015, https://doi.org/10.1175/MWR-D-14-00269.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faultcell.curves.curves import Curves
from faultcell.curves.schema import Array
from faultcell.errors import DataError
from faultcell.metrics import scaled
from faultcell.scoring.pair_scores import groups
from faultcell.scoring.pairing import by_key
from faultcell.scoring.resample import Measured
from faultcell.scoring.scores import EnsembleScore

LEVEL = 0.9
FEWEST = 2
EVERY = 4  # points between those of the energy and variogram scores


def ensemble_scores(real: Curves, draws: Sequence[Curves]) -> dict[str, dict[str, EnsembleScore]]:
    """Scores by kind of group (`all`, `label`, `cell_id`), then by name of the group.

    Args:
        real: measured curves.
        draws: sets with the keys of the real curves, two or more.

    Raises:
        DataError: fewer than two draws, or one that lacks a real curve.
    """
    if len(draws) < FEWEST:
        raise DataError(f"an ensemble needs {FEWEST} draws or more, found {len(draws)}")
    theirs = Measured.of(real)
    volts, seconds = [], []
    for draw in draws:
        places = by_key(draw, real)
        if places is None:
            raise DataError("a draw of the ensemble lacks a real curve: draw each set for the conditions of all of them")
        ours = Measured.of(draw.take(places))
        volts.append(scaled(ours.volts, theirs.volts))
        seconds.append(ours.seconds)
    values = _values(scaled(theirs.volts, theirs.volts), np.stack(volts, axis=1), theirs.seconds, np.stack(seconds, axis=1))
    names = {
        "all": ["all"] * len(real),
        "label": real.halfcycles["label"].to_list(),
        "cell_id": real.halfcycles["cell_id"].to_list(),
    }
    return {
        kind: {
            name: EnsembleScore(
                curves=len(rows), draws=len(draws), **{key: float(value[rows].mean()) for key, value in values.items()}
            )
            for name, rows in groups(of).items()
        }
        for kind, of in names.items()
    }


def _values(real: Array, drawn: Array, seconds: Array, drawn_seconds: Array) -> dict[str, Array]:
    """Every score of every curve `(N,)`, from real `(N, P)` and drawn voltages `(N, M, P)` and their durations."""
    import scoringrules

    members = drawn.shape[1]
    lower, upper = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1, method="weibull")
    some = slice(None, None, EVERY)
    crps = scoringrules.crps_ensemble(real, drawn, m_axis=1, estimator="fair")
    return {
        "crps": np.asarray(crps).mean(axis=1),
        "energy": np.asarray(scoringrules.es_ensemble(real[:, some], drawn[..., some], m_axis=1, v_axis=2)),
        "variogram": np.asarray(scoringrules.vs_ensemble(real[:, some], drawn[..., some], m_axis=1, v_axis=2, p=0.5)),
        "mae_of_median": np.abs(np.median(drawn, axis=1) - real).mean(axis=1),
        "covered": ((real >= lower) & (real <= upper)).mean(axis=1),
        "covered_if_perfect": np.full(len(real), min(LEVEL, (members - 1) / (members + 1))),
        "width": (upper - lower).mean(axis=1),
        "crps_of_log_duration": np.asarray(
            scoringrules.crps_ensemble(np.log(seconds), np.log(drawn_seconds), m_axis=1, estimator="fair")
        ),
    }
