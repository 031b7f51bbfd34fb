"""The residual encoder: curves to standardised residuals `r = (x - m(c)) / s(c)` and back.

`m` is the mean that kernel regression predicts for a condition `c` (`estimator`), `s` a scale that grows with the distance to
the support (`scale`). `ResidualEncoder.batch` encodes for training, `NetworkRequest` decodes what a network draws. Every model,
the baselines included, works on these residuals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultcell.config import Config, GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.encoding.grid import CURRENT, SURGE, smoothed
from faultcell.encoding.scaler import Scaler
from faultcell.models.base import Batch
from faultcell.regression.episodes import Episodes, fit_persistence, make_episodes
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.fault_effect import FaultEffect
from faultcell.regression.heat import seen_warmth
from faultcell.regression.kernel import Queries
from faultcell.regression.learn_effect import with_effect
from faultcell.regression.local_linear import LocalTrend
from faultcell.regression.references import References
from faultcell.regression.request import CURVE_KINDS, NetworkRequest, kind_of_query, reference_shift, support_features_of
from faultcell.regression.scale import (
    SECONDS,
    Radii,
    ResidualScale,
    divisors,
    over_grid,
    rms_residuals,
    width_of,
)
from faultcell.regression.support import CURVES, ERRORS, SupportSet

STORED = {"z": "strays"}  # names of tensors in a bundle, where they are others


@dataclass(frozen=True, eq=False)
class ResidualEncoder:
    """What stands between curves and a network.

    Attributes:
        faults: names of the one-hot part of the condition vector.
        regression: known curves, to expect others from.
        scale: how far curves stray from that.
        radii: how far single curves stray over that.
        scaler: of the rest, each of its parts divided by its root mean square.
    """

    faults: tuple[str, ...]
    regression: KernelRegression
    scale: ResidualScale
    radii: Radii
    scaler: Scaler

    @classmethod
    def of(cls, known: SupportSet, config: Config, *, faults: Sequence[str]) -> tuple[ResidualEncoder, Episodes]:
        """Learn it from the curves of the source domain; and these curves as a network shall see them."""
        return cls._learnt(known, config, faults=faults, before=None)

    def adapted(self, few: SupportSet, config: Config) -> tuple[ResidualEncoder, Episodes]:
        """The same with a handful of faults among the neighbours; and these faults as a network shall see them."""
        return self._learnt(few, config, faults=self.faults, before=self)

    @classmethod
    def _learnt(
        cls, known: SupportSet, config: Config, *, faults: Sequence[str], before: ResidualEncoder | None
    ) -> tuple[ResidualEncoder, Episodes]:
        def among(curves: SupportSet) -> SupportSet:
            return before.regression.known.joined(curves) if before else curves.thinned(config.neighbours.curves)

        def episodes_among(regression: KernelRegression) -> Episodes:
            return make_episodes(known, regression, ConditionEncoder(faults), config=config.neighbours, seed=config.train.seed)

        regression = KernelRegression.of(among(known), config.grid)
        kept = before.regression.persistence if before else fit_persistence(known, regression, seed=config.train.seed)
        regression = with_effect(replace(regression, persistence=kept))
        episodes = episodes_among(regression)
        residual, mask, log_seconds = _residual(known, episodes, config.grid)
        errors = rms_residuals(residual, mask, log_seconds, config.grid)
        about = (episodes.queries, episodes.prediction.distance, episodes.referenced)
        scale = ResidualScale.fit(*about, errors, before=before.scale if before else ResidualScale.plain())
        # How far each curve strays is known now, and tells of curves like it.
        z = _z(episodes, errors / scale.of(*about), count=len(known))
        regression = replace(regression, known=among(replace(known, z=z)))
        episodes = episodes_among(regression)
        width = width_of(scale, episodes.queries, episodes.prediction, episodes.referenced)
        residual, mask, log_seconds = _residual(known, episodes, config.grid)
        errors = rms_residuals(residual, mask, log_seconds, config.grid)
        radii = Radii.of(
            errors / width,
            episodes.referenced,
            episodes.queries.inside,
            known.cell[episodes.rows],
            before=before.radii if before else None,
        )
        scaled = (residual / over_grid(divisors(errors), config.grid), mask, log_seconds / width[:, SECONDS])
        scaler = Scaler.fit(*scaled, kind_of_query(episodes.queries, episodes.referenced), CURVE_KINDS)
        return cls(tuple(faults), regression, scale, radii, before.scaler.adapted(scaler) if before else scaler), episodes

    @cached_property
    def warmth(self) -> Array:
        """Between what the temperatures of known curves lie, by how they lie on the grid; see `seen_warmth` `(S, 4, 2)`."""
        return seen_warmth(self.regression.known, self.regression.grid)

    def episodes(self, known: SupportSet, config: Config) -> Episodes:
        """Other curves as a network shall see them."""
        return make_episodes(
            known, self.regression, ConditionEncoder(self.faults), config=config.neighbours, seed=config.train.seed
        )

    def batch(self, known: SupportSet, conditions: Sequence[Condition], episodes: Episodes, *, weight: float = 1.0) -> Batch:
        """Episodes as scaled tensors.

        Args:
            known: the curves.
            conditions: of these curves.
            episodes: what is expected of them.
            weight: of each in the loss.
        """
        residual, mask, log_seconds, radius = self._relative(known, episodes)
        kind = kind_of_query(episodes.queries, episodes.referenced)
        curve = np.where(mask, self.scaler.forward(residual, kind), 0.0)
        durations = self.scaler.forward_durations(log_seconds, kind)
        values, flags = ConditionEncoder(self.faults).encode([conditions[row] for row in episodes.rows.tolist()])
        flags = flags * episodes.observed
        support_features = support_features_of(episodes.queries, episodes.prediction.distance, episodes.referenced, radius)
        tensor = torch.from_numpy
        return Batch(
            curve=tensor(curve).float(),
            mask=tensor(mask),
            durations=tensor(np.nan_to_num(durations)).float(),
            durations_mask=tensor(np.isfinite(durations)),
            values=tensor(np.concatenate([values * flags, support_features], axis=1)),
            flags=tensor(np.concatenate([flags, np.ones_like(support_features)], axis=1)),
            known=tensor(curve[:, [CURRENT]]).float(),
            observed=torch.ones(len(episodes), 1),
            weight=torch.full((len(episodes),), weight),
        )

    def _relative(self, known: SupportSet, episodes: Episodes) -> tuple[Array, NDArray[np.bool_], Array, Array]:
        """What curves have beyond what is expected, of unit length; where it is known; seconds over their widths; radii."""
        grid = self.regression.grid
        width = width_of(self.scale, episodes.queries, episodes.prediction, episodes.referenced)
        residual, mask, log_seconds = _residual(known, episodes, grid)
        errors = rms_residuals(residual, mask, log_seconds, grid)
        return residual / over_grid(divisors(errors), grid), mask, log_seconds / width[:, SECONDS], errors / width

    def helped(self, conditions: Sequence[Condition], references: References) -> NDArray[np.int64]:
        """Which earlier curve helps each condition, -1 for none: one that lies otherwise on the grid does not `(N,)`.

        Nor does one a surge: what was charged before it decides its first moments, and that no earlier surge tells.
        """
        rows, mode = references.find(conditions), self.regression.modes(conditions, self.faults)
        alike = (references.known.queries.mode[np.maximum(rows, 0)] == mode) & (mode != SURGE)
        return np.where(alike, rows, -1)

    def ask(
        self,
        conditions: Sequence[Condition],
        references: References | None = None,
        rows: NDArray[np.int64] | None = None,
        uniform: Array | None = None,
    ) -> NetworkRequest:
        """Conditions as a network is asked for them, before their durations are known.

        Args:
            conditions: what is asked for.
            references: earlier curves of cells.
            rows: which of them is each condition's, -1 for none; found by the conditions where not given `(N,)`.
            uniform: random numbers from 0 to 1, which say how far single curves stray; the middle where not given `(N, E)`.
        """
        queries = Queries.of(conditions, self.faults, self.regression.modes(conditions, self.faults))
        if references is None:
            rows = np.full(len(conditions), -1)
        elif rows is None:
            rows = self.helped(conditions, references)
        if references is not None:
            queries = references.relative_to(queries, rows)
        correction = reference_shift(self, queries, references, rows) if references is not None else None
        prediction = self.regression.predict_head(queries, correction=correction)
        width = width_of(self.scale, queries, prediction, rows >= 0)
        radius = self.radii.at(np.full(width.shape, 0.5) if uniform is None else uniform, rows >= 0, queries.inside)
        return NetworkRequest(self, conditions, queries, references, rows, prediction, width, radius)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, as it is stored."""
        known = self.regression.known
        parts = {
            "scaler": vars(self.scaler),
            "widths": vars(self.scale),
            "radii": vars(self.radii),
            "slopes": vars(self.regression.trend),
            "effect": vars(self.regression.effect),
            "neighbours": {
                "scales": self.regression.metric,
                "persistence": self.regression.persistence,
                **vars(known.queries),
                **{STORED.get(name, name): getattr(known, name) for name in CURVES},
            },
        }
        return {
            f"{part}.{name}": torch.from_numpy(np.ascontiguousarray(value))
            for part, values in parts.items()
            for name, value in values.items()
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], config: Config, *, faults: Sequence[str]) -> ResidualEncoder:
        """From what `tensors` gave."""

        def part(name: str, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
            return {key: tensors[f"{name}.{key}"].numpy() for key in names}

        queries = Queries(**part("neighbours", _names(Queries)))  # type: ignore[arg-type]
        curves = {name: tensors[f"neighbours.{STORED.get(name, name)}"].numpy() for name in CURVES}
        trend = LocalTrend(**part("slopes", _names(LocalTrend)))  # type: ignore[arg-type]
        effect = FaultEffect(**part("effect", _names(FaultEffect)))  # type: ignore[arg-type]
        metric, persistence = (tensors[f"neighbours.{name}"].numpy() for name in ("scales", "persistence"))
        return cls(
            tuple(faults),
            KernelRegression(
                SupportSet(queries, **curves),
                metric,
                trend,
                persistence,
                config.grid,
                effect,
                config.neighbours.expect,
            ),
            ResidualScale(**part("widths", _names(ResidualScale))),  # type: ignore[arg-type]
            Radii(**part("radii", _names(Radii))),  # type: ignore[arg-type]
            Scaler(**part("scaler", _names(Scaler))),  # type: ignore[arg-type]
        )


def _residual(known: SupportSet, episodes: Episodes, grid: GridConfig) -> tuple[Array, NDArray[np.bool_], Array]:
    """What curves have beyond what is expected of them: channels, where they are known, logarithms of seconds."""
    mask = known.mask[episodes.rows]
    residual = smoothed(np.where(mask, known.values[episodes.rows] - episodes.prediction.values, 0.0), grid)
    log_seconds = known.log_seconds[episodes.rows] - episodes.prediction.log_seconds
    log_seconds[np.isfinite(episodes.queries.known_log_seconds), 1] = np.nan  # nothing is left to learn, or to draw
    return residual, mask, log_seconds


def _z(episodes: Episodes, ratios: Array, *, count: int) -> Array:
    """Squares of errors over widths by curve, without and with a reference, NaN where there is none `(M, 2, E)`.

    Where a curve was posed with little known, that says nothing of its like: the first time it was posed counts.
    """
    z = np.full((count, 2, len(ERRORS)), np.nan)
    order = np.arange(len(episodes))[::-1]
    z[episodes.rows[order], episodes.referenced[order].astype(np.int64)] = np.square(ratios[order])
    return z


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]
