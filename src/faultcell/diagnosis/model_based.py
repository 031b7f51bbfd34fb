"""The rival: what diagnosis did before there were nets. Limits, one-line features beside the cell's own curve, and a filter.

Each feature is one number of a curve, at one of three levels of knowledge: the curve alone, a normal curve of the same cell
beside it, and the other half of its cycle, too. An alarm is a feature beyond what normal training curves have. The textbook
filter is not the strongest of them: a line of arithmetic (time to the limit against the cell's own) finds leaks that it takes
for charge.

References:
    Hu et al., An Online Adaptive Internal Short Circuit Detection Method, 2020, https://doi.org/10.1007/s42154-020-00127-9.
    Naha et al., Internal short circuit detection in Li-ion batteries, 2020, https://doi.org/10.1038/s41598-020-58021-7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from faultcell.curves.against_normal import (
    NEAR_LIMIT_VOLT,
    Loaded,
    added_resistance_milliohm,
    fastest_rise,
    first_normals,
    leakage_c_rate,
    loaded,
    warmer,
)
from faultcell.curves.curves import Curves
from faultcell.curves.schema import KEYS, NORMAL, Array, Key
from faultcell.diagnosis.cell_model import CellModel, cusum

# What is known: the curve alone, a normal one of its cell, the other half of its cycle, each with what came before.
LEVELS = ("curve", "reference", "cycle")
CALM = 0.99  # of the normal training curves raise no alarm
FEW = 1e-9


@dataclass(frozen=True, eq=False)
class Evidence:
    """What can be known of a curve.

    Attributes:
        curve: itself.
        normal: a normal curve of its cell and half-cycle, None where there is none.
        model: the cell's circuit, from that curve and the other half of its cycle.
        usual: CUSUM of the filter on that curve.
        other: the other half of its cycle.
        other_normal: the other half of the normal curve's.
    """

    curve: Loaded
    normal: Loaded | None
    model: CellModel | None
    usual: float
    other: Loaded | None
    other_normal: Loaded | None


def _ends(curve: Loaded) -> float:
    """When a curve comes to its limit, as a logarithm of seconds."""
    sign = 1.0 if curve.rising else -1.0
    near = np.flatnonzero(curve.progress >= sign * curve.limit - NEAR_LIMIT_VOLT)
    last = curve.second[near[0]] if near.size else curve.second[-1]
    return float(np.log(max(last - curve.second[0], 1.0)))


def _longer(given: Evidence) -> float:
    """That logarithm less the one of the normal curve."""
    return float("nan") if given.normal is None else _ends(given.curve) - _ends(given.normal)


def _too_warm(given: Evidence) -> float:
    """How far the peak temperature lies beyond its rated limit, K."""
    warm = given.curve.warm
    return float(warm.max()) - given.curve.most_celsius if warm.size else float("nan")


def _balance(curve: Loaded, other: Loaded | None) -> float:
    """What the charge of a cycle has more than its discharge, as C-rate over the time of both."""
    if other is None:
        return float("nan")
    up, down = (curve, other) if curve.rising else (other, curve)
    hours = (up.second[-1] - up.second[0] + down.second[-1] - down.second[0]) / 3600
    return float((up.moved[-1] - down.moved[-1]) / max(hours, FEW) / curve.nominal_ah)


def _imbalance(given: Evidence) -> float:
    """That balance less the one of the normal cycle."""
    if given.normal is None:
        return float("nan")
    return _balance(given.curve, given.other) - _balance(given.normal, given.other_normal)


def _filtered(given: Evidence) -> float:
    """CUSUM of a filter on the cell's own circuit, less that on the normal curve."""
    if given.model is None or given.curve.second.size < 8:
        return float("nan")
    return cusum(given.model.innovations(given.curve)) - given.usual


# Each detector: what it has to know, and its feature.
DETECTORS: dict[str, tuple[str, Callable[[Evidence], float]]] = {
    "temperature_limit": ("curve", _too_warm),
    "fastest_rise": ("curve", lambda given: fastest_rise(given.curve.second, given.curve.celsius)),
    "time_to_limit": ("reference", _longer),
    "charge_between_voltages": ("reference", lambda given: leakage_c_rate(given.curve, given.normal)),
    "mean_temperature": ("reference", lambda given: warmer(given.curve, given.normal, np.mean)),
    "peak_temperature": ("reference", lambda given: warmer(given.curve, given.normal, np.max)),
    "voltage_at_charge": ("reference", lambda given: added_resistance_milliohm(given.curve, given.normal)),
    "filter": ("reference", _filtered),
    "charge_balance": ("cycle", _imbalance),
}


def features(curves: Curves, among: Curves) -> Array:
    """The features of `DETECTORS` of each curve; NaN where what they need is not known `(N, F)`.

    Args:
        curves: charges or discharges.
        among: all curves of their cells, normal ones among them.
    """
    found = Cycles(among)
    table = np.full((len(curves), len(DETECTORS)), np.nan)
    keys, own = curves.halfcycles.select(KEYS).rows(), first_normals(curves, among)
    for row, one in enumerate(loaded(curves, range(len(curves)))):
        if one.second.size >= 2:
            given = found.evidence(one, keys[row], own[row])
            table[row] = [feature(given) for _, feature in DETECTORS.values()]
    return table


@dataclass(frozen=True, eq=False)
class Cycles:
    """The curves of a set by key, loaded once."""

    curves: Curves

    @cached_property
    def _by_key(self) -> dict[Key, Loaded]:
        keys = self.curves.halfcycles.select(KEYS).rows()
        return dict(zip(keys, loaded(self.curves, range(len(self.curves))), strict=True))

    @cached_property
    def _normal(self) -> set[Key]:
        return set(self.curves.halfcycles.filter(label=NORMAL).select(KEYS).rows())

    def evidence(self, curve: Loaded, key: Key, own: Key | None) -> Evidence:
        """What is known of a curve of that key, whose own normal curve is named."""
        other = self._by_key.get(_other(key))
        if own is None:
            return Evidence(curve, None, None, np.nan, other, None)
        model, usual = self._circuit(own)
        return Evidence(curve, self._by_key[own], model, usual, other, self._by_key.get(_other(own)))

    def _circuit(self, own: Key) -> tuple[CellModel | None, float]:
        """The circuit of a cell from a normal curve and the other half of its cycle, and what its filter says of that curve."""
        if own not in self._circuits:
            normal, partner = self._by_key[own], self._by_key.get(_other(own)) if _other(own) in self._normal else None
            halves = None if partner is None else ((normal, partner) if normal.rising else (partner, normal))
            model = CellModel.of(*halves) if halves else None
            self._circuits[own] = model, cusum(model.innovations(normal)) if model else np.nan
        return self._circuits[own]

    @cached_property
    def _circuits(self) -> dict[Key, tuple[CellModel | None, float]]:
        return {}


def _other(key: Key) -> Key:
    cell, cycle, step = key
    return cell, cycle, "discharge" if step == "charge" else "charge"


class Detector(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An alarm where one feature lies beyond what normal training curves have, on the side on which known faults lie.

    Args:
        feature: a name of `DETECTORS`.
    """

    def __init__(self, feature: str = "time_to_limit") -> None:
        self.feature = feature

    def fit(self, X: Array, y: NDArray[np.int64]) -> Detector:
        """Learn the side from known faults, and the threshold from normal curves, of features `(N, F)`."""
        self.classes_ = np.unique(y)
        value = self._values(X)
        normal, faults = value[(y == 0) & np.isfinite(value)], value[(y == 1) & np.isfinite(value)]
        self.side_ = -1.0 if faults.size and normal.size and np.median(faults) < np.median(normal) else 1.0
        self.least_ = float(np.quantile(self.side_ * normal, CALM)) if normal.size else 0.0
        return self

    def decision_function(self, X: Array) -> Array:
        """How far beyond the threshold; far below it where the feature is not known `(N,)`."""
        value = self.side_ * self._values(X) - self.least_
        return np.where(np.isfinite(value), value, -1e9)

    def predict(self, X: Array) -> NDArray[np.int64]:
        """One for an alarm `(N,)`."""
        return (self.decision_function(X) > 0).astype(np.int64)

    def _values(self, X: Array) -> Array:
        return np.asarray(X[:, list(DETECTORS).index(self.feature)], dtype=np.float64)


def filled(table: Array, like: Array) -> Array:
    """Features with what is not known put to the middle of training curves, and scaled by these `(N, F)`."""
    some = np.isfinite(like).any(axis=0)
    low, middle, high = (np.where(some, np.nanquantile(np.where(some, like, 0.0), q, axis=0), 0.0) for q in (0.1, 0.5, 0.9))
    spread = high - low
    return np.asarray(np.clip((np.where(np.isfinite(table), table, middle) - middle) / np.maximum(spread, FEW), -20, 20))


def of_level(level: str) -> Sequence[str]:
    """The detectors that need no more than that."""
    most = LEVELS.index(level)
    return [name for name, (needs, _) in DETECTORS.items() if LEVELS.index(needs) <= most]
