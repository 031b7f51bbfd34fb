"""How close generated curves are to real ones, and how honestly so: pure functions of arrays.

Pairs: the paper's four errors and what they hide. Sets: distances between distributions, a judge that tries to tell them
apart, a forecaster trained on one and tested on the other. Memory: how much of a set is a copy of what it was made from.
Physics: what no cell does. No number stands alone: read each beside its value for real against real curves.

Paired errors reward collapse, and a correlation near one is normal for any two discharges: never rank on them alone.
Names are loaded when first used, since some need torch or scikit-learn. No module here has the name of a function: importing it
would hide the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

if TYPE_CHECKING:
    from faultcell.metrics.distances import frechet, mmd
    from faultcell.metrics.encoder import encode
    from faultcell.metrics.forecast import predictive
    from faultcell.metrics.forest import forest_auc
    from faultcell.metrics.histograms import BINS, js, kl, wasserstein
    from faultcell.metrics.judges import Verdict, discriminative
    from faultcell.metrics.neighbours import authenticity, closest_record, density_coverage, spread_ratio
    from faultcell.metrics.paired import dpcc, mae, mse, pcc, scaled
    from faultcell.metrics.physics import against_trend, beyond_limits, charge_balance, outside

_HOME = {
    "BINS": "histograms",
    "Verdict": "judges",
    "against_trend": "physics",
    "authenticity": "neighbours",
    "beyond_limits": "physics",
    "charge_balance": "physics",
    "closest_record": "neighbours",
    "density_coverage": "neighbours",
    "discriminative": "judges",
    "dpcc": "paired",
    "encode": "encoder",
    "forest_auc": "forest",
    "frechet": "distances",
    "js": "histograms",
    "kl": "histograms",
    "mae": "paired",
    "mmd": "distances",
    "mse": "paired",
    "outside": "physics",
    "pcc": "paired",
    "predictive": "forecast",
    "scaled": "paired",
    "spread_ratio": "neighbours",
    "wasserstein": "histograms",
}

__all__ = [
    "BINS",
    "Verdict",
    "against_trend",
    "authenticity",
    "beyond_limits",
    "charge_balance",
    "closest_record",
    "density_coverage",
    "discriminative",
    "dpcc",
    "encode",
    "forest_auc",
    "frechet",
    "js",
    "kl",
    "mae",
    "mmd",
    "mse",
    "outside",
    "pcc",
    "predictive",
    "scaled",
    "spread_ratio",
    "wasserstein",
]


__getattr__ = lazy(__name__, _HOME)
