"""Queries, and kernels between them: `K = exp(-d^2)` with `d^2 = sum_f (s_f (a_f - b_f))^2`.

The metric `s` is learnt by predicting each known curve from curves of *other* cells, so that a feature counts as much as it
helps on an unseen cell.

References:
    Weinberger and Tesauro, Metric Learning for Kernel Regression, 2007, https://proceedings.mlr.press/v2/weinberger07a.html.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from faultcell.curves.condition import Condition
from faultcell.curves.faults import FAULTS, FirstOrder, Severity, inside, stays_inside
from faultcell.curves.schema import PULSED_REST_SHARE, Array
from faultcell.encoding.condition_vector import CONTEXT, ConditionEncoder, scaled_severity
from faultcell.encoding.grid import STEPS, SURGE

# What conditions are near by, each about one wide: the operating context, and the logarithms of the peak deviation, of the
# mean seconds beyond the limit so far and, once they are known, of those of the curve itself; seconds count over those that the
# charge balance expects of the whole curve. Last, how steeply the curve goes beyond the limit, for no voltage has a kink there:
# how deep it would be at its end on that line, in windows, over how deep it is, in volts, as a logarithm.
FEATURES = (*CONTEXT, "peak", "past", "seconds", "entry")
C_RATE, _, CYCLE, HEALTH, DUTY, PEAK, PAST, SECONDS, ENTRY = range(len(FEATURES))
LEAST_PEAK_VOLT = 0.02
# Which features each kernel looks at, and, last, whether at the fault too. How a curve runs inside its limits owes nothing to
# how it goes on beyond them.
KERNELS = ("head", "lasts", "tail")
HEAD, LASTS, TAIL = range(len(KERNELS))
LOOKS_AT = np.array(
    [
        [*(name in CONTEXT for name in FEATURES), False],
        [*(name not in ("seconds", "entry") for name in FEATURES), True],
        [*(name != "past" for name in FEATURES), True],
    ]
)
FIRST_SCALE, FIT_STEPS, FIT_RATE, FIT_CURVES = 1.0, 120, 0.1, 512
CAUTION = 0.01  # what it costs to move a scale away from the first one: a handful of faults fits any distance
FAR = 10.0  # reach where there is no neighbour at all
LANES = 8  # numbers in a vector register


@dataclass(frozen=True, eq=False)
class Queries:
    """Conditions as the kernels see them.

    Attributes:
        features: see `FEATURES`; NaN where unknown `(N, F)`.
        label: place of the fault among those of the model, -1 for none `(N,)`.
        mode: how the curves lie on the grid, an index into `grid.MODES` `(N,)`.
        past: logarithm of the mean seconds beyond the limit of the faults so far, NaN where unknown `(N,)`.
        count: over how many faults, the one that is asked for included, that is the mean; NaN where unknown `(N,)`.
        severities: the severities that a fault inside all limits grows with, about one each; zero for all others `(N, D)`.
        first_order: what physics says such a fault does: progress in windows, logarithm of the stretch, K `(N, 3)`.
    """

    features: Array
    label: NDArray[np.int64]
    mode: NDArray[np.int64]
    past: Array
    count: Array
    severities: Array
    first_order: Array

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(cls, conditions: Sequence[Condition], faults: Sequence[str], mode: NDArray[np.int64] | None = None) -> Queries:
        """The conditions of a model with these faults; the seconds beyond the limit are not known yet.

        Args:
            conditions: what is asked for.
            faults: names of the one-hot part.
            mode: how the curves lie on the grid; as their half-cycles do where not given `(N,)`.
        """
        condition_encoder = ConditionEncoder(())
        values, known = condition_encoder.encode(conditions)
        columns = [condition_encoder.names.index(name) for name in CONTEXT]
        context = np.where(known[:, columns] > 0, values[:, columns], np.nan)
        peak = np.log([LEAST_PEAK_VOLT + c.peak_deviation_volt for c in conditions])
        unknown = np.full(len(conditions), np.nan)
        queries = cls(
            features=np.column_stack([context, peak, unknown, unknown, unknown]),
            label=np.array([faults.index(c.fault) if c.fault in faults else -1 for c in conditions], dtype=np.int64),
            mode=np.array([STEPS.index(c.step) for c in conditions], dtype=np.int64) if mode is None else mode,
            past=np.array([_past(c) for c in conditions], dtype=np.float64),
            count=np.array([c.repetition_count or np.nan for c in conditions], dtype=np.float64),
            severities=np.column_stack(
                [np.zeros((len(conditions), 0)), *(np.nan_to_num(scaled_severity(one, conditions)) for one in drivers(faults))]
            ),
            first_order=np.array([_first_order(c) for c in conditions], dtype=np.float64).reshape(-1, len(FirstOrder._fields)),
        )
        return queries._with(PAST, queries.past)

    def with_duration(self, log_seconds: Array) -> Queries:
        """The same, with the logarithm of the seconds beyond the limit known; NaN where there are none `(N,)`."""
        return self._with(SECONDS, log_seconds)

    def with_entry_slope(self, log_steepness: Array) -> Queries:
        """The same, with how steeply they go beyond the limit, in the logarithm of windows a second, known `(N,)`."""
        features = self.features.copy()
        features[:, ENTRY] = log_steepness + features[:, SECONDS] - self._balance - features[:, PEAK]
        return replace(self, features=features)

    def _with(self, feature: int, log_seconds: Array) -> Queries:
        """The same, with a feature that is a duration set `(N,)`."""
        features = self.features.copy()
        features[:, feature] = log_seconds + self._balance
        return replace(self, features=features)

    @property
    def _balance(self) -> Array:
        """Minus the logarithm of the seconds that the charge balance expects; what is unknown counts as one `(N,)`."""
        return np.asarray(np.nan_to_num(self.log_rate) - np.nan_to_num(self.log_health) - np.log(3600))

    def drop_context(self, context: NDArray[np.bool_], past: NDArray[np.bool_]) -> Queries:
        """The same, with only this of the context `(N, 5)` and of the past `(N,)` known."""
        seconds = self.features[:, SECONDS] - self._balance
        features = self.features.copy()
        features[:, : len(CONTEXT)] = np.where(context, features[:, : len(CONTEXT)], np.nan)
        # Of a load that is not known one cannot say that it is steady; see `certain`.
        unsteady = ~context[:, DUTY] & ~self._steady
        left = replace(self, features=features, count=np.where(past & ~unsteady, self.count, np.nan))
        return left._since(np.where(past, self.past, np.nan))._with(SECONDS, seconds)

    def relative_to(self, earlier: Queries) -> Queries:
        """The same, with the past counted from these earlier faults of the same cells on, where both sides know theirs.

        What is asked of a cell that stands at some number of faults and seconds beyond the limit says how long those that
        are still to come last; of the very next fault it says so exactly.
        """
        count, in_all = self.count - earlier.count, self.count * np.exp(self.past)
        seconds = in_all - earlier.count * np.exp(earlier.past)
        before = earlier.features[:, CYCLE] < self.features[:, CYCLE]
        known = before & (count >= 1) & (seconds > 1e-6 * in_all)  # logarithms round
        mean = np.log(np.where(known, seconds, 1.0) / np.where(known, count, 1.0))
        return replace(self, count=np.where(known, count, self.count))._since(np.where(known, mean, self.past))

    def _since(self, past: Array) -> Queries:
        return replace(self, past=past)._with(PAST, past)

    @property
    def peak_volt(self) -> Array:
        """Peak deviations, V `(N,)`."""
        return np.asarray(np.exp(self.features[:, PEAK]) - LEAST_PEAK_VOLT)

    @property
    def known_log_seconds(self) -> Array:
        """Logarithms of the seconds beyond the limit where the past is the one fault that is asked for, else NaN `(N,)`.

        A pulsed load crosses the limit many times: there the seconds of the tail are more than those beyond the limit.
        """
        # A surge's tail goes on after it has fallen back: it lasts longer than the voltage is beyond its limit.
        steady = self._steady & (self.mode != SURGE)
        return np.where((self.count == 1) & (self.label >= 0) & steady, self.past, np.nan)

    @property
    def _steady(self) -> NDArray[np.bool_]:
        return np.asarray(np.nan_to_num(self.features[:, DUTY], nan=1.0) >= 1 - PULSED_REST_SHARE)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which are faults inside all limits `(N,)`."""
        return np.asarray((self.severities != 0).any(axis=1))

    @property
    def sound(self) -> Queries:
        """The same with no fault inside their limits: what such a fault changes is told apart from what a cell does."""
        inside = self.inside
        if not inside.any():
            return self
        return replace(
            self,
            label=np.where(inside, -1, self.label),
            severities=np.zeros_like(self.severities),
            first_order=np.zeros_like(self.first_order),
        )

    def take(self, rows: NDArray[np.int64]) -> Queries:
        """These rows."""
        return Queries(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joined(self, other: Queries) -> Queries:
        """These and others."""
        return Queries(*(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self)))

    @property
    def log_rate(self) -> Array:
        """Logarithm of the mean C-rate, rests counted in; NaN where unknown `(N,)`."""
        duty = np.nan_to_num(self.features[:, DUTY], nan=1.0)
        return np.asarray(self.features[:, C_RATE] * np.log(2) + np.log(np.maximum(duty, 0.01)))

    @property
    def full_log_hours(self) -> Array:
        """Logarithm of the hours a full half-cycle takes, zero for a surge, which moves next to no charge `(N,)`."""
        balance = np.nan_to_num(self.log_health) - np.nan_to_num(self.log_rate)
        return np.where(self.mode == SURGE, 0.0, balance)

    @property
    def log_health(self) -> Array:
        """Logarithm of the state of health, NaN where unknown `(N,)`."""
        return np.log(np.maximum(0.8 + 0.2 * self.features[:, HEALTH], 0.02))


def drivers(faults: Sequence[str]) -> list[Severity]:
    """The severities that faults inside all limits grow in proportion to, in the order of `Queries.severities`."""
    return [one for one in inside(faults) if one.drives]


def _first_order(condition: Condition) -> FirstOrder:
    """What physics says of a fault inside all limits, its volts in rated windows."""
    if not stays_inside(condition.fault) or condition.limits is None:
        return FirstOrder()
    found = FAULTS[condition.fault].effect(condition)
    return found._replace(volt=found.volt / (condition.limits.upper - condition.limits.lower))


def _past(condition: Condition) -> float:
    count, seconds = condition.repetition_count, condition.cumulative_duration_second
    return float(np.log(seconds / count)) if count and seconds else np.nan


def squares(queries: Queries, known: Queries) -> Array:
    """Squared differences of each feature and of the label `(N, M, F + 1)`; what one side does not know counts as typical."""
    difference = _squared(queries.features[:, None], known.features[None], _typical(known))
    unlike = (queries.label[:, None] != known.label[None]).astype(np.float64)
    return np.concatenate([difference, unlike[..., None]], axis=2)


def product(one: Array, other: Array | NDArray[np.bool_]) -> Array:
    """Matrix product `(N, M)` by `(M, ...)`, by torch.

    The threads of NumPy's BLAS wait for more work in a loop, where two cores are all there is to the networks, too. What does
    not fill whole vector registers is computed in another order at another row, so columns come in eights: the bits of a row
    shall not depend on its place.
    """
    right = other.reshape(len(other), -1)
    missing = -right.shape[1] % LANES
    right = np.ascontiguousarray(np.pad(right, ((0, 0), (0, missing))) if missing else right, dtype=np.float64)
    found = (torch.from_numpy(np.ascontiguousarray(one)) @ torch.from_numpy(right)).numpy()
    return np.asarray(found[:, : math.prod(other.shape[1:])].reshape(len(one), *other.shape[1:]))


def known_sums(weight: Array, values: Array) -> tuple[Array, Array]:
    """Of values that are known, not NaN, `(M, ...)`: their weights, and the values by their weights, summed `(N, ...)`."""
    there, value = _known(values)
    return product(weight, there), product(weight, value)


class Points:
    """Known curves as points, for the distances of many queries at once: a matrix product, not a table `(N, M, F + 1)`.

    Args:
        known: the curves.
    """

    def __init__(self, known: Queries) -> None:
        self._typical = _typical(known)
        self._centre = np.nan_to_num(_known_mean(known.features))
        there, value = _known(known.features - self._centre)
        self._labels = np.unique(known.label)
        self._columns = np.concatenate([there, value, value * value, known.label[:, None] == self._labels], axis=1).T

    def distances(self, queries: Queries, metric: Array) -> Array:
        """Squared distances by a kernel with these scales, for each query `(N, F + 1)`: `(N, M)`.

        `s (a - b)^2`, or `s` times what is typical where a side does not know, multiplied out.
        """
        there, value = _known(queries.features - self._centre)
        square = np.square(metric)
        of_features, of_label = square[:, :-1], square[:, -1:]
        rows = [
            of_features * there * (value * value - self._typical),
            -2 * of_features * value,
            of_features * there,
            -of_label * (queries.label[:, None] == self._labels),
        ]
        always = product(of_features, self._typical)[:, None] + of_label
        return np.asarray(np.maximum(product(np.concatenate(rows, axis=1), self._columns) + always, 0.0))


class Differences:
    """Of queries from known curves, in some figures.

    Args:
        known: the figures of the curves, NaN where unknown `(M, F)`.
    """

    def __init__(self, known: Array) -> None:
        self._columns = np.concatenate(_known(known), axis=1)

    def to(self, queries: Array, weight: Array) -> Array:
        """Mean difference of queries `(N, F)` by the weights of the curves `(N, M)`; none where a side does not know."""
        there, value = _known(queries)
        share, mean = np.split(product(weight, self._columns), 2, axis=1)
        return np.asarray(there * (value * share - mean))


def _known(features: Array) -> tuple[Array, Array]:
    """Which are known, as ones and zeros, and their values, zero where unknown."""
    there = np.isfinite(features)
    return there.astype(np.float64), np.where(there, features, 0.0)


def pairs_apart(one: Queries, other: Queries, known: Queries, metric: Array) -> Array:
    """Distance of pairs of queries `(N,)` by a kernel with scales `(S, F + 1)`, among known curves."""
    unlike = (one.label != other.label).astype(np.float64)
    table = np.column_stack([_squared(one.features, other.features, _typical(known)), unlike])
    return np.asarray(np.sqrt((table * np.square(metric[one.mode])).sum(axis=1)))


def _squared(one: Array, other: Array, typical: Array) -> Array:
    """Squared difference of features, the typical one where a side does not know."""
    difference = np.square(one - other)
    return np.where(np.isfinite(difference), difference, typical)


def _typical(known: Queries) -> Array:
    """Mean squared difference of two known curves in each feature `(F,)`, zero where fewer than two know it."""
    count = np.isfinite(known.features).sum(axis=0)
    return np.asarray(2 * np.nansum(np.square(known.features - _known_mean(known.features)), axis=0) / np.maximum(count, 1))


def _known_mean(features: Array) -> Array:
    """Mean of each feature over what is known `(F,)`."""
    return np.asarray(np.nansum(features, axis=0) / np.maximum(np.isfinite(features).sum(axis=0), 1))


def weights(squared: Array, closed: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Weights of known curves by one kernel, and how far they reach.

    Args:
        squared: distances `(N, M)`.
        closed: known curves that must not be used `(N, M)`.

    Returns:
        Weights `(N, M)`, which sum to 1 or, where none may be used, to 0; and the root mean squared distance, at most `FAR`.
    """
    nearest = np.where(closed, np.inf, squared).min(axis=1, initial=np.inf, keepdims=True)
    none = ~np.isfinite(nearest)
    weight = np.exp(np.minimum(np.where(none, 0.0, nearest) - squared, 0.0))
    weight[closed] = 0.0
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    mean = np.sqrt(np.einsum("nm,nm->n", weight, squared))
    return weight, np.where(none[:, 0], FAR, np.minimum(mean, FAR))


def fit_metric(known: Queries, targets: Array, *, cell: NDArray[np.int64], looks_at: NDArray[np.bool_]) -> Array:
    """Scales `(F + 1,)` that best expect targets from curves of other cells; fault curves count as much as all others do.

    Args:
        known: curves of one half-cycle.
        targets: `(M, D)`.
        cell: number of the cell of each `(M,)`.
        looks_at: features this kernel looks at `(F + 1,)`.
    """
    first = np.where(looks_at, FIRST_SCALE, 0.0)
    if len(np.unique(cell)) < 3:
        return first
    square = torch.from_numpy(squares(known, known)).float()
    same = torch.from_numpy(cell[:, None] == cell[None])
    wanted = torch.from_numpy(targets / max(float(targets.std()), 1e-9)).float()
    is_fault = known.label >= 0
    share = np.where(is_fault, 1 / max(is_fault.sum(), 1), 1 / max((~is_fault).sum(), 1))
    weight = torch.from_numpy(share / share.sum()).float()
    chosen = torch.from_numpy(looks_at).float()
    start = float(np.log(FIRST_SCALE))
    logarithm = torch.full((len(looks_at),), start, requires_grad=True)
    optimizer = torch.optim.Adam([logarithm], lr=FIT_RATE)
    for _ in range(FIT_STEPS):
        distance = square @ (chosen * (2 * logarithm).exp())
        prediction = torch.softmax((-distance).masked_fill(same, -1e9), dim=1) @ wanted
        loss = ((prediction - wanted).square().mean(dim=1) * weight).sum() + CAUTION * (logarithm - start).square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return np.asarray(first / FIRST_SCALE * logarithm.detach().exp().double().numpy())
