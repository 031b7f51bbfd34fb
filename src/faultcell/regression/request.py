"""A request to a network: conditions with their prediction, and back from what the network draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf
from torch import Tensor

from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.encoding.grid import CURRENT, MODES, REST, TEMPERATURE, smoothed
from faultcell.regression.fault_effect import OwnNormals
from faultcell.regression.heat import as_heat_goes
from faultcell.regression.kernel import HEAD, LASTS, Queries
from faultcell.regression.prediction import Prediction
from faultcell.regression.reference_shift import ReferenceShift
from faultcell.regression.references import References
from faultcell.regression.scale import (
    LEAST_DISTANCE,
    LEAST_RADIUS,
    MOST_RADIUS,
    OWNERS,
    SECONDS,
    divisors,
    over_grid,
    rms_residuals,
    width_of,
)
from faultcell.regression.support import ERRORS

if TYPE_CHECKING:
    from faultcell.regression.residual import ResidualEncoder

CURVE_KINDS = 6 * len(MODES)
# Which of `support.ERRORS` are told as `condition_vector.RADII`, channel by channel.
TOLD_RADII = [list(ERRORS).index(name) for parts in OWNERS.values() for name in parts]
FEWEST_SHOWN = 8  # curves of a kind with a reference, for the network to be told of one


@dataclass(frozen=True, eq=False)
class NetworkRequest:
    """Conditions with what is expected of them.

    Attributes:
        encoder: that they are asked in.
        conditions: what is asked for.
        queries: the same for the kernels.
        references: earlier curves of cells.
        rows: which of them is each condition's, -1 for none `(N,)`.
        prediction: what is expected.
        width: how far a curve may stray `(N, E)`.
        radius: how far each does, over that `(N, E)`.
    """

    encoder: ResidualEncoder
    conditions: Sequence[Condition]
    queries: Queries
    references: References | None
    rows: NDArray[np.int64]
    prediction: Prediction
    width: Array
    radius: Array

    def with_duration(self, seconds: Array) -> NetworkRequest:
        """The same, now that the durations are known `(N, 2)`, and with them how the curves go on beyond their limits."""
        log_seconds = np.log(np.maximum(seconds, 1e-3))
        queries = self.queries.with_duration(log_seconds[:, 1])
        prediction = self.encoder.regression.predict_tail(queries, self.prediction, log_seconds)
        width = width_of(self.encoder.scale, queries, prediction, self.rows >= 0)
        return replace(self, queries=queries, prediction=prediction, width=width)

    @property
    def kind(self) -> NDArray[np.int64]:
        """Which of the scaler's numbers are theirs `(N,)`."""
        return kind_of_query(self.queries, self.rows >= 0)

    def condition(self) -> Tensor:
        """The condition vector with its flags `(N, F)`."""
        values, flags = ConditionEncoder(self.encoder.faults).encode(self.conditions)
        # A network that was never shown such a curve with a reference is not told of one: it would answer at random.
        shown = self.encoder.scaler.seen.max(axis=(1, 2))[self.kind] >= FEWEST_SHOWN
        support_features = support_features_of(self.queries, self.prediction.distance, (self.rows >= 0) & shown, self.radius)
        parts = [values, support_features, flags, np.ones_like(support_features)]
        return torch.cat([torch.from_numpy(part) for part in parts], dim=1)

    def seconds(self, drawn: Tensor) -> Array:
        """Seconds of head and tail from what a network drew `(N, 2)`."""
        residual = self.encoder.scaler.inverse_durations(drawn.double().numpy(), self.kind)
        share = np.full((len(residual), len(ERRORS)), 0.5)
        share[:, SECONDS] = erf(np.abs(residual) / self.encoder.scaler.duration_std[self.kind] / np.sqrt(2))
        residual = (
            np.sign(residual)
            * self.encoder.radii.at(share, self.rows >= 0, self.queries.inside)[:, SECONDS]
            * self.width[:, SECONDS]
        )
        residual[:, 1] = np.where(np.isfinite(self.queries.known_log_seconds), 0.0, residual[:, 1])
        return np.asarray(np.exp(self.encoder.regression.bounded(self.queries, self.prediction.log_seconds + residual)))

    def coded(self, drawn: Tensor, seconds: Array) -> Array:
        """Coded channels from what a network drew, the direction in which each curve strays `(N, C, L)`.

        Args:
            drawn: of the network `(N, C, L)`.
            seconds: of head and tail `(N, 2)`.
        """
        grid = self.encoder.regression.grid
        residual = smoothed(self.encoder.scaler.inverse(drawn.double().numpy(), self.kind), grid)
        strays = residual / self._lengths(residual) * over_grid(self.radius * self.width, grid)
        if grid.anchored:
            expected, seen = self.prediction.values[:, TEMPERATURE], self.encoder.warmth[self.queries.mode]
            strays[:, TEMPERATURE] = as_heat_goes(strays[:, TEMPERATURE], expected, seconds, seen, self.prediction.own, grid)
        return np.asarray(self.prediction.values + strays)

    def shown_at_rest(self) -> Array:
        """The voltage at rest that is expected where a reference shows it, else NaN `(N, L)`."""
        found = np.full_like(self.prediction.values[:, REST], np.nan)
        if self.references is not None:
            inside = np.s_[:, : self.encoder.regression.grid.head]
            told = self.references.known.mask[np.maximum(self.rows, 0), REST][inside] & (self.rows >= 0)[:, None]
            found[inside] = np.where(told, self.prediction.values[:, REST][inside], np.nan)
        return found

    def loads(self, currents: Array, seconds: Array) -> tuple[Tensor, Tensor]:
        """Known load currents as a network sees them `(N, 1, L)`, and which are known `(N, 1)`.

        Args:
            currents: on the grid, NaN where they are not known `(N, L)`.
            seconds: durations of head and tail `(N, 2)`.
        """
        grid = self.encoder.regression.grid
        known = np.isfinite(currents[:, 0])
        residual = np.zeros_like(self.prediction.values)
        residual[known, CURRENT] = currents[known] - self.prediction.values[known, CURRENT]
        scaled = self.encoder.scaler.forward(residual / self._lengths(residual), self.kind)[:, CURRENT]
        if grid.anchored:
            scaled[np.isnan(seconds[:, 1]), grid.head :] = 0.0  # as in training, where a missing tail is masked
        flags = torch.from_numpy(known[:, None]).float()
        return torch.from_numpy(scaled).float()[:, None] * flags[..., None], flags

    def _lengths(self, residual: Array) -> Array:
        """Root mean squares of the rests of whole curves, laid on the grid `(N, C, L)`."""
        grid = self.encoder.regression.grid
        everywhere, no_seconds = np.ones(residual.shape, dtype=bool), np.zeros((len(residual), 2))
        return over_grid(divisors(rms_residuals(residual, everywhere, no_seconds, grid)), grid)


def reference_shift(
    encoder: ResidualEncoder, queries: Queries, references: References, rows: NDArray[np.int64]
) -> ReferenceShift:
    """What earlier curves tell of these queries; nothing where there is none."""
    earlier = references.known.take(np.maximum(rows, 0))
    prediction = encoder.regression.predict_head(earlier.queries)
    apart = np.where(rows >= 0, encoder.regression.apart(queries, earlier.queries), np.nan)
    found = encoder.regression.shift_by(earlier, prediction, apart=apart)
    normal = (rows >= 0) & (earlier.queries.label < 0)
    return found.told_from(OwnNormals.of(earlier, normal)) if queries.inside.any() else found


def support_features_of(queries: Queries, distance: Array, referenced: NDArray[np.bool_], radius: Array) -> NDArray[np.float32]:
    """How near the neighbours are, and how far curves stray; see `condition_vector.SUPPORT_FEATURES` `(N, S)`."""
    logarithms = np.log(np.maximum(distance[:, [HEAD, LASTS]], LEAST_DISTANCE))
    z = np.log(np.clip(np.nan_to_num(radius[:, TOLD_RADII], nan=1.0), LEAST_RADIUS, MOST_RADIUS))
    return np.column_stack([logarithms / 2, z, queries.label >= 0, referenced]).astype(np.float32)


def kind_of_query(queries: Queries, referenced: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Charge or discharge, without or with a reference, normal, a fault beyond a limit or one inside all limits `(N,)`."""
    fault = (queries.label >= 0).astype(np.int64) + queries.inside
    return np.asarray(queries.mode + len(MODES) * (referenced + 2 * fault), dtype=np.int64)
