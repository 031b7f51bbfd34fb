"""The residual encoder: curves to standardised residuals `r = (x - m(c)) / s(c)` and back.

`m` is the mean that kernel regression predicts for a condition `c` (`estimator`), `s` a scale that grows with the distance to
the support (`scale`). `ResidualEncoder.batch` encodes for training, `NetworkRequest` decodes what a network draws. Every model,
the baselines included, works on these residuals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf
from torch import Tensor

from faultcell.config import Config, GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.encoding.grid import CHANNELS, CURRENT, END, MODES, REST, START, SURGE, TEMPERATURE, VOLTAGE, smoothed
from faultcell.encoding.scaler import Scaler
from faultcell.models.base import Batch
from faultcell.regression.episodes import Episodes, fit_persistence, make_episodes
from faultcell.regression.estimator import KernelRegression, ReferenceShift
from faultcell.regression.kernel import HEAD, LASTS, Queries
from faultcell.regression.local_linear import LocalTrend
from faultcell.regression.prediction import Prediction
from faultcell.regression.references import References
from faultcell.regression.scale import LEAST, LEAST_DISTANCE, LEAST_RADIUS, MOST_RADIUS, Radii, ResidualScale
from faultcell.regression.support import CURVES, ERRORS, SupportSet

KINDS = 4 * len(MODES)
OWNERS = {
    VOLTAGE: ("head", "tail"),
    REST: ("head_recovery", "tail_recovery"),
    TEMPERATURE: ("head_celsius", "tail_celsius"),
    CURRENT: ("head_current", "tail_current"),
}
# Which of `known.ERRORS` are told as `condition_vector.RADII`, channel by channel.
TOLD_RADII = [list(ERRORS).index(name) for parts in OWNERS.values() for name in parts]
SECONDS = slice(2, 4)  # of `known.ERRORS`
STORED = {"z": "strays"}  # names of tensors in a bundle, where they are others
FEWEST_SHOWN = 8  # curves of a kind with a reference, for the network to be told of one


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
        regression = replace(regression, persistence=kept)
        episodes = episodes_among(regression)
        residual, mask, log_seconds = _residual(known, episodes, config.grid)
        errors = _errors(residual, mask, log_seconds, config.grid)
        about = (episodes.queries, episodes.prediction.distance, episodes.referenced)
        scale = ResidualScale.fit(*about, errors, before=before.scale if before else ResidualScale.plain())
        # How far each curve strays is known now, and tells of curves like it.
        z = _z(episodes, errors / scale.of(*about), count=len(known))
        regression = replace(regression, known=among(replace(known, z=z)))
        episodes = episodes_among(regression)
        width = _width(scale, episodes.queries, episodes.prediction, episodes.referenced)
        residual, mask, log_seconds = _residual(known, episodes, config.grid)
        errors = _errors(residual, mask, log_seconds, config.grid)
        radii = Radii.of(
            errors / width, episodes.referenced, known.cell[episodes.rows], before=before.radii if before else None
        )
        scaled = (residual / _over_grid(_or_one(errors), config.grid), mask, log_seconds / width[:, SECONDS])
        scaler = Scaler.fit(*scaled, _kind(episodes.queries, episodes.referenced), KINDS)
        return cls(tuple(faults), regression, scale, radii, before.scaler.adapted(scaler) if before else scaler), episodes

    def episodes(self, known: SupportSet, config: Config) -> Episodes:
        """Other curves as a network shall see them."""
        return make_episodes(
            known, self.regression, ConditionEncoder(self.faults), config=config.neighbours, seed=config.train.seed
        )

    def batch(self, known: SupportSet, conditions: Sequence[Condition], episodes: Episodes, *, weight: float = 1.0) -> Batch:
        """Posed curves as scaled tensors.

        Args:
            known: the curves.
            conditions: of these curves.
            episodes: what is expected of them.
            weight: of each in the loss.
        """
        residual, mask, log_seconds, radius = self._relative(known, episodes)
        kind = _kind(episodes.queries, episodes.referenced)
        curve = np.where(mask, self.scaler.forward(residual, kind), 0.0)
        durations = self.scaler.forward_durations(log_seconds, kind)
        values, flags = ConditionEncoder(self.faults).encode([conditions[row] for row in episodes.rows.tolist()])
        flags = flags * episodes.told
        support_features = _standing(episodes.queries, episodes.prediction.distance, episodes.referenced, radius)
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
        width = _width(self.scale, episodes.queries, episodes.prediction, episodes.referenced)
        residual, mask, log_seconds = _residual(known, episodes, grid)
        errors = _errors(residual, mask, log_seconds, grid)
        return residual / _over_grid(_or_one(errors), grid), mask, log_seconds / width[:, SECONDS], errors / width

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
        correction = _correction(self, queries, references, rows) if references is not None else None
        prediction = self.regression.predict_head(queries, correction=correction)
        width = _width(self.scale, queries, prediction, rows >= 0)
        radius = self.radii.at(np.full(width.shape, 0.5) if uniform is None else uniform, rows >= 0)
        return NetworkRequest(self, conditions, queries, references, rows, prediction, width, radius)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, as it is stored."""
        known = self.regression.known
        parts = {
            "scaler": vars(self.scaler),
            "widths": vars(self.scale),
            "radii": vars(self.radii),
            "slopes": vars(self.regression.trend),
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
        metric, persistence = (tensors[f"neighbours.{name}"].numpy() for name in ("scales", "persistence"))
        return cls(
            tuple(faults),
            KernelRegression(
                SupportSet(queries, **curves),
                metric,
                trend,
                persistence,
                config.grid,
                config.neighbours.expect,
            ),
            ResidualScale(**part("widths", _names(ResidualScale))),  # type: ignore[arg-type]
            Radii(**part("radii", _names(Radii))),  # type: ignore[arg-type]
            Scaler(**part("scaler", _names(Scaler))),  # type: ignore[arg-type]
        )


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
        width = _width(self.encoder.scale, queries, prediction, self.rows >= 0)
        return replace(self, queries=queries, prediction=prediction, width=width)

    @property
    def kind(self) -> NDArray[np.int64]:
        """Which of the scaler's numbers are theirs `(N,)`."""
        return _kind(self.queries, self.rows >= 0)

    def condition(self) -> Tensor:
        """The condition vector with its flags `(N, F)`."""
        values, flags = ConditionEncoder(self.encoder.faults).encode(self.conditions)
        # A network that was never shown such a curve with a reference is not told of one: it would answer at random.
        shown = self.encoder.scaler.seen.max(axis=(1, 2))[self.kind] >= FEWEST_SHOWN
        support_features = _standing(self.queries, self.prediction.distance, (self.rows >= 0) & shown, self.radius)
        parts = [values, support_features, flags, np.ones_like(support_features)]
        return torch.cat([torch.from_numpy(part) for part in parts], dim=1)

    def seconds(self, drawn: Tensor) -> Array:
        """Seconds of head and tail from what a network drew `(N, 2)`."""
        residual = self.encoder.scaler.inverse_durations(drawn.double().numpy(), self.kind)
        share = np.full((len(residual), len(ERRORS)), 0.5)
        share[:, SECONDS] = erf(np.abs(residual) / self.encoder.scaler.duration_std[self.kind] / np.sqrt(2))
        residual = np.sign(residual) * self.encoder.radii.at(share, self.rows >= 0)[:, SECONDS] * self.width[:, SECONDS]
        residual[:, 1] = np.where(np.isfinite(self.queries.known_log_seconds), 0.0, residual[:, 1])
        return np.asarray(np.exp(self.encoder.regression.bounded(self.queries, self.prediction.log_seconds + residual)))

    def coded(self, drawn: Tensor) -> Array:
        """Coded channels from what a network drew, the direction in which each curve strays `(N, C, L)`."""
        grid = self.encoder.regression.grid
        residual = smoothed(self.encoder.scaler.inverse(drawn.double().numpy(), self.kind), grid)
        residual /= self._lengths(residual)
        return np.asarray(self.prediction.values + residual * _over_grid(self.radius * self.width, grid))

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
        return _over_grid(_or_one(_errors(residual, everywhere, no_seconds, grid)), grid)


def _correction(encoder: ResidualEncoder, queries: Queries, references: References, rows: NDArray[np.int64]) -> ReferenceShift:
    """What earlier curves tell of these queries; nothing where there is none."""
    earlier = references.known.take(np.maximum(rows, 0))
    prediction = encoder.regression.predict_head(earlier.queries)
    apart = np.where(rows >= 0, encoder.regression.apart(queries, earlier.queries), np.nan)
    return ReferenceShift.of(earlier, prediction, apart=apart, regression=encoder.regression)


def _residual(known: SupportSet, episodes: Episodes, grid: GridConfig) -> tuple[Array, NDArray[np.bool_], Array]:
    """What curves have beyond what is expected of them: channels, where they are known, logarithms of seconds."""
    mask = known.mask[episodes.rows]
    residual = smoothed(np.where(mask, known.values[episodes.rows] - episodes.prediction.values, 0.0), grid)
    log_seconds = known.log_seconds[episodes.rows] - episodes.prediction.log_seconds
    log_seconds[np.isfinite(episodes.queries.known_log_seconds), 1] = np.nan  # nothing is left to learn, or to draw
    return residual, mask, log_seconds


def _errors(residual: Array, mask: NDArray[np.bool_], log_seconds: Array, grid: GridConfig) -> Array:
    """Root mean squares of the rest, NaN where there is none `(N, E)`; see `known.ERRORS`."""
    owner = _owners(grid)
    found = np.full((len(residual), len(ERRORS)), np.nan)
    for error in sorted(set(owner.ravel().tolist())):
        kept = mask & (owner == error)
        count = kept.sum(axis=(1, 2))
        square = (np.square(residual) * kept).sum(axis=(1, 2))
        found[:, error] = np.where(count > 0, np.sqrt(square / np.maximum(count, 1)), np.nan)
    found[:, SECONDS] = np.abs(log_seconds)
    return found


def _or_one(errors: Array) -> Array:
    """Root mean squares to divide by `(N, E)`."""
    return np.where(np.isfinite(errors), np.maximum(errors, LEAST), 1.0)


def _z(episodes: Episodes, ratios: Array, *, count: int) -> Array:
    """Squares of errors over widths by curve, without and with a reference, NaN where there is none `(M, 2, E)`.

    Where a curve was posed with little known, that says nothing of its like: the first time it was posed counts.
    """
    z = np.full((count, 2, len(ERRORS)), np.nan)
    order = np.arange(len(episodes))[::-1]
    z[episodes.rows[order], episodes.referenced[order].astype(np.int64)] = np.square(ratios[order])
    return z


def _width(scale: ResidualScale, queries: Queries, prediction: Prediction, referenced: NDArray[np.bool_]) -> Array:
    """How far curves may stray `(N, E)`: as such curves do on the whole, and as their neighbours did."""
    z = np.where(referenced[:, None], prediction.z[:, 1], prediction.z[:, 0])
    return scale.of(queries, prediction.distance, referenced) * z


def _owners(grid: GridConfig) -> NDArray[np.int64]:
    """Which of `known.ERRORS` each point of the grid strays by `(C, L)`."""
    names, found = list(ERRORS), np.zeros((len(CHANNELS), grid.length), dtype=np.int64)
    for channel, (head, tail) in OWNERS.items():
        found[channel] = np.repeat([names.index(head), names.index(tail)], [grid.head, grid.tail])
    found[VOLTAGE, START], found[VOLTAGE, END] = names.index("start"), names.index("end")
    return found


def _over_grid(width: Array, grid: GridConfig) -> Array:
    """Widths laid on the grid `(N, C, L)`."""
    return np.asarray(width[:, _owners(grid)])


def _standing(queries: Queries, distance: Array, referenced: NDArray[np.bool_], radius: Array) -> NDArray[np.float32]:
    """How near the neighbours are, and how far curves stray; see `condition_vector.SUPPORT_FEATURES` `(N, S)`."""
    logarithms = np.log(np.maximum(distance[:, [HEAD, LASTS]], LEAST_DISTANCE))
    z = np.log(np.clip(np.nan_to_num(radius[:, TOLD_RADII], nan=1.0), LEAST_RADIUS, MOST_RADIUS))
    return np.column_stack([logarithms / 2, z, queries.label >= 0, referenced]).astype(np.float32)


def _kind(queries: Queries, referenced: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Charge or discharge, without or with a reference, normal or a fault `(N,)`."""
    return np.asarray(queries.mode + len(MODES) * (referenced + 2 * (queries.label >= 0)), dtype=np.int64)


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]
