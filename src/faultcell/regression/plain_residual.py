"""The encoder of a model without kernel regression: a curve is drawn whole, each channel scaled to its range.

That is the paper's model (`NeighbourConfig.expect = False`). What kernel regression adds to it is measured in `docs/study.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from faultcell.config import Config
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.encoding.grid import MODES
from faultcell.encoding.scaler import Scaler
from faultcell.regression.episodes import Episodes, make_episodes
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.kernel import Queries
from faultcell.regression.references import References
from faultcell.regression.request import CURVE_KINDS, NetworkRequest
from faultcell.regression.residual import ResidualEncoder
from faultcell.regression.scale import Radii, ResidualScale
from faultcell.regression.support import ERRORS, SupportSet


def encoder_kind(config: Config) -> type[ResidualEncoder]:
    """What stands between curves and the network of a model with this configuration."""
    return ResidualEncoder if config.neighbours.expect else PlainEncoder


@dataclass(frozen=True, eq=False)
class PlainEncoder(ResidualEncoder):
    """Known curves serve protocols and bounds alone; curves have no reference."""

    @classmethod
    def _learnt(
        cls, known: SupportSet, config: Config, *, faults: Sequence[str], before: ResidualEncoder | None
    ) -> tuple[ResidualEncoder, Episodes]:
        kept = before.regression.known.joined(known) if before else known.thinned(config.neighbours.curves)
        regression = KernelRegression.silent(kept, config.grid)
        episodes = make_episodes(known, regression, ConditionEncoder(faults), config=config.neighbours, seed=config.train.seed)
        values, mask, log_seconds = _beyond_prior(known, episodes)
        scaler = Scaler.to_range(values, mask, log_seconds, mode=episodes.queries.mode, modes=len(MODES), kinds=CURVE_KINDS)
        # Values that pre-training has seen keep their scale, or its weights would mean something else.
        scaler = before.scaler.completed(scaler) if before else scaler
        return cls(tuple(faults), regression, ResidualScale.plain(), Radii.plain(), scaler), episodes

    def _relative(self, known: SupportSet, episodes: Episodes) -> tuple[Array, NDArray[np.bool_], Array, Array]:
        return *_beyond_prior(known, episodes), np.ones((len(episodes), len(ERRORS)))

    def helped(self, conditions: Sequence[Condition], references: References) -> NDArray[np.int64]:
        """No earlier curve helps `(N,)`."""
        return np.full(len(conditions), -1)

    def ask(
        self,
        conditions: Sequence[Condition],
        references: References | None = None,
        rows: NDArray[np.int64] | None = None,
        uniform: Array | None = None,
    ) -> NetworkRequest:
        """Conditions as a network is asked for them; of earlier curves and random numbers no notice is taken."""
        queries = Queries.of(conditions, self.faults, self.regression.modes(conditions, self.faults))
        prediction, one = self.regression.predict_head(queries), np.ones((len(conditions), len(ERRORS)))
        return _PlainRequest(self, conditions, queries, None, np.full(len(conditions), -1), prediction, one, one)


@dataclass(frozen=True, eq=False)
class _PlainRequest(NetworkRequest):
    """Conditions of which nothing is expected."""

    def with_duration(self, seconds: Array) -> NetworkRequest:
        return replace(self, queries=self.queries.with_duration(np.log(np.maximum(seconds[:, 1], 1e-3))))

    def seconds(self, drawn: Tensor) -> Array:
        residual = self.encoder.scaler.inverse_durations(drawn.double().numpy(), self.kind)
        return np.asarray(np.exp(self.encoder.regression.bounded(self.queries, self.prediction.log_seconds + residual)))

    def coded(self, drawn: Tensor, seconds: Array) -> Array:
        return np.asarray(self.prediction.values + self.encoder.scaler.inverse(drawn.double().numpy(), self.kind))

    def _lengths(self, residual: Array) -> Array:
        return np.ones_like(residual)


def _beyond_prior(known: SupportSet, episodes: Episodes) -> tuple[Array, NDArray[np.bool_], Array]:
    """Curves as they are, over what is expected where nothing is known: channels, where they are known, log seconds."""
    mask = known.mask[episodes.rows]
    values = np.where(mask, known.values[episodes.rows] - episodes.prediction.values, 0.0)
    return values, mask, known.log_seconds[episodes.rows] - episodes.prediction.log_seconds
