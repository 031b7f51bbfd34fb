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

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

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
from faultcell.diagnosis.cell_model import LENGTH, CellModel, ThermalModel, cusum, innovations

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
        other: the other half of its cycle.
        other_normal: the other half of the normal curve's.
        filtered: CUSUM of a filter on the cell's own circuit, less that on the normal curve; NaN where there is no circuit.
        warmer: how much warmer it is at last than its circuit and its surroundings make it, less that of the normal curve, K.
    """

    curve: Loaded
    normal: Loaded | None
    other: Loaded | None
    other_normal: Loaded | None
    filtered: float
    warmer: float


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


def _rested(given: Evidence) -> float:
    """How far the voltage falls in the rest behind a charge (rises behind a discharge), beyond what the normal one does, V."""
    return float("nan") if given.normal is None else given.normal.rest_volt - given.curve.rest_volt


# Each detector: what it has to know, and its feature.
DETECTORS: dict[str, tuple[str, Callable[[Evidence], float]]] = {
    "temperature_limit": ("curve", _too_warm),
    "fastest_rise": ("curve", lambda given: fastest_rise(given.curve.second, given.curve.celsius)),
    "time_to_limit": ("reference", _longer),
    "charge_between_voltages": ("reference", lambda given: leakage_c_rate(given.curve, given.normal)),
    "mean_temperature": ("reference", lambda given: warmer(given.curve, given.normal, np.mean)),
    "peak_temperature": ("reference", lambda given: warmer(given.curve, given.normal, np.max)),
    "voltage_at_charge": ("reference", lambda given: added_resistance_milliohm(given.curve, given.normal)),
    "rest_drop": ("reference", _rested),
    "filter": ("reference", lambda given: given.filtered),
    "thermal_residual": ("reference", lambda given: given.warmer),
    "charge_balance": ("cycle", _imbalance),
}


def features(curves: Curves, among: Curves) -> Array:
    """The features of `DETECTORS` of each curve; NaN where what they need is not known `(N, F)`.

    Args:
        curves: charges or discharges.
        among: all curves of their cells, normal ones among them.
    """
    table, keys = np.full((len(curves), len(DETECTORS)), np.nan), curves.halfcycles.select(KEYS).rows()
    ones = list(loaded(curves, range(len(curves))))
    for row, given in enumerate(cycles_of(among).evidence(ones, keys, first_normals(curves, among))):
        if given.curve.second.size >= 2:
            table[row] = [feature(given) for _, feature in DETECTORS.values()]
    return table


@dataclass(frozen=True, eq=False)
class Residuals:
    """What models of a cell, from its normal curves, do not foresee of a curve; NaN where there is none `(N, LENGTH)`.

    Attributes:
        volt: innovations of the filter on its circuit, over what it expected of itself.
        kelvin: temperature beyond that of its thermal model.
    """

    volt: Array
    kelvin: Array


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

    @cached_property
    def _models(self) -> dict[Key, tuple[CellModel | None, ThermalModel | None]]:
        return {}

    def evidence(self, curves: Sequence[Loaded], keys: Sequence[Key], own: Sequence[Key | None]) -> list[Evidence]:
        """What is known of curves of these keys, whose own normal curves are named."""
        normals = sorted({key for key in own if key is not None})
        all_own: list[Key | None] = [*own, *normals]
        left = self.residuals([*curves, *(self._by_key[key] for key in normals)], all_own)
        sums, late = cusum(left.volt), left.kelvin[:, LENGTH // 2 :].mean(axis=1)
        usual = {key: row for row, key in enumerate(normals, len(curves))}
        found = []
        for row, (curve, key, reference) in enumerate(zip(curves, keys, own, strict=True)):
            other, known = self._by_key.get(_other(key)), [] if reference is None else [reference, _other(reference)]
            normal, other_normal = (self._by_key.get(one) for one in known) if known else (None, None)
            apart = [float(one[row] - one[usual[reference]]) if reference else float("nan") for one in (sums, late)]
            found.append(Evidence(curve, normal, other, other_normal, *apart))
        return found

    def residuals(self, curves: Sequence[Loaded], own: Sequence[Key | None]) -> Residuals:
        """What the models of the cells do not foresee of curves, whose own normal curves are named."""
        models = [self._model(key) if one.second.size >= 8 else (None, None) for one, key in zip(curves, own, strict=True)]
        volt, kelvin = np.full((2, len(curves), LENGTH), np.nan)
        some = [row for row, (circuit, _) in enumerate(models) if circuit is not None]
        if some:
            volt[some] = innovations([circuit for circuit, _ in models if circuit is not None], [curves[row] for row in some])
        for row, (_, thermal) in enumerate(models):
            if thermal is not None:
                kelvin[row] = thermal.residual(curves[row])
        return Residuals(volt, kelvin)

    def _model(self, own: Key | None) -> tuple[CellModel | None, ThermalModel | None]:
        """The models of a cell from a normal curve and the other half of its cycle; None where that is missing."""
        if own is None:
            return None, None
        if own not in self._models:
            normal, partner = self._by_key[own], self._by_key[_other(own)] if _other(own) in self._normal else None
            halves = None if partner is None else ((normal, partner) if normal.rising else (partner, normal))
            circuit = CellModel.of(*halves) if halves else None
            self._models[own] = circuit, ThermalModel.of(circuit, halves) if circuit and halves else None
        return self._models[own]


@lru_cache(maxsize=2)  # each arm of a task asks for the same
def cycles_of(curves: Curves) -> Cycles:
    """The curves of a set by key."""
    return Cycles(curves)


def _other(key: Key) -> Key:
    """The other half of a cycle; a rest has none."""
    cell, cycle, step = key
    return cell, cycle, {"charge": "discharge", "discharge": "charge"}.get(step, "")


class _Rival(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """An estimator on features `(N, F)` that raises an alarm where its score is above zero."""

    @abstractmethod
    def decision_function(self, X: Array) -> Array:
        """The score `(N,)`."""

    def predict(self, X: Array) -> NDArray[np.int64]:
        """One for an alarm `(N,)`."""
        return (self.decision_function(X) > 0).astype(np.int64)


def _columns(X: Array, names: Sequence[str]) -> Array:
    """The features of these names `(N, n)`."""
    return np.asarray(X[:, [list(DETECTORS).index(name) for name in names]], dtype=np.float64)


class Detector(_Rival):
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

    def _values(self, X: Array) -> Array:
        return _columns(X, [self.feature])[:, 0]


class FeatureModel(_Rival):
    """A logistic regression on all features that a level of knowledge gives, gaps filled, both classes alike.

    Args:
        level: of `LEVELS`.
    """

    def __init__(self, level: str = LEVELS[0]) -> None:
        self.level = level

    def fit(self, X: Array, y: NDArray[np.int64]) -> FeatureModel:
        """Learn from features `(N, F)` and truth `(N,)`."""
        self.like_ = self._some(X)
        self.model_ = LogisticRegression(class_weight="balanced", max_iter=2000).fit(filled(self.like_, self.like_), y)
        self.classes_ = self.model_.classes_
        return self

    def decision_function(self, X: Array) -> Array:
        """Above zero for a fault `(N,)`."""
        return np.asarray(self.model_.decision_function(filled(self._some(X), self.like_)))

    def _some(self, X: Array) -> Array:
        return _columns(X, of_level(self.level))


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


# All of them by name, as `classify` knows them: one feature each, and all features of a level.
MODEL_BASED: dict[str, Callable[[], Detector | FeatureModel]] = {
    **{name: partial(Detector, name) for name in DETECTORS},
    **{f"features_{level}": partial(FeatureModel, level) for level in LEVELS},
}
