"""The diffusion model on plain arrays: labelled rows in, new rows of a label out. It knows nothing of cells or volts.

The most frequent label is the source, label 0: the network learns how its rows vary, then adapts to the few rows of the other
labels, layer by layer (`train.py`). What a network sees is what a row has beyond its label's mean, or beyond the line that the
severities of the label's rows let expect, over the label's own width. So a label begins at its own mean and width with the
correlations of the source, and it takes few steps from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultcell.config import Config, TrainConfig, Unfreeze
from faultcell.models.base import DURATIONS, Batch, Sampling, Shape
from faultcell.models.diffusion_model import DiffusionModel
from faultcell.training.loop import State, train

Array = NDArray[np.float64]

SOURCE = 0  # the label that is learnt from first
SUPPORT_FEATURES = 2  # whether it is of another label, whether a reference helped (never)
CHUNK = 256
PROFILE_WEIGHT = 4.0  # rows for which it counts where the source varies
RIDGE = 1.0  # rows for which it counts that a severity changes nothing
LEAST_WIDTH = 1e-3  # of the typical width of a channel: what never varied stays as it is


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled rows.

    Attributes:
        values: `(N, C, T)`.
        label: 0 for the source `(N,)`.
        severity: NaN where unknown `(N, S)`.
    """

    values: Array
    label: NDArray[np.int64]
    severity: Array

    def of(self, label: int) -> Rows:
        """Those of a label."""
        kept = self.label == label
        return Rows(self.values[kept], self.label[kept], self.severity[kept])


@dataclass(frozen=True, eq=False)
class LabelRegression:
    """What is expected of a label's rows, and how far they stray from that.

    Attributes:
        mean: `(K, C, T)`.
        slope: by how much a unit of each severity moves it `(K, S, C, T)`.
        middle: typical severity of a label `(K, S)`.
        width: `(K, C, T)`.
    """

    mean: Array
    slope: Array
    middle: Array
    width: Array

    @classmethod
    def fit(cls, rows: Rows, labels: int) -> LabelRegression:
        """Learn them for labels 0 to `labels - 1`, each of which has a row at least."""
        fitted = [_line(rows.of(label)) for label in range(labels)]
        mean, slope, middle = (np.stack(part) for part in zip(*fitted, strict=True))
        plain = cls(mean, slope, middle, np.ones_like(mean))
        rests = [(part := rows.of(label)).values - plain.expect(part) for label in range(labels)]
        source = (rests[SOURCE] ** 2).mean(axis=0)
        floor = LEAST_WIDTH**2 * np.maximum(source.mean(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        width = np.sqrt(np.stack([np.maximum(_variance(rest, source), floor) for rest in rests]))
        return replace(plain, width=width)

    def expect(self, rows: Rows) -> Array:
        """What is expected of rows of these labels and severities `(N, C, T)`; their values are not looked at."""
        away = np.nan_to_num(rows.severity - self.middle[rows.label])
        return np.asarray(self.mean[rows.label] + np.einsum("ns,nsct->nct", away, self.slope[rows.label]))


def _typical(severity: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of what is known of severities `(N, S)`, one where they do not vary; `(S,)` each."""
    known = np.isfinite(severity)
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, severity, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (severity - middle) ** 2, 0.0).sum(axis=0) / count)
    return middle, np.where(spread > 0, spread, 1.0)


def _line(rows: Rows) -> tuple[Array, Array, Array]:
    """Mean, slopes by ridge regression, and typical severity of the rows of one label."""
    mean, (middle, _) = rows.values.mean(axis=0), _typical(rows.severity)
    away, count = np.nan_to_num(rows.severity - middle), rows.severity.shape[1]
    rest = (rows.values - mean).reshape(len(away), -1)
    slope = np.linalg.solve(away.T @ away + RIDGE * np.eye(count), away.T @ rest)
    return mean, slope.reshape(count, *mean.shape), middle


def _variance(rest: Array, source: Array) -> Array:
    """Variance of a label's rests at each point `(C, T)`: as large as theirs, and where they are few, spread as the source's.

    Args:
        rest: `(n, C, T)`.
        source: variance of the source `(C, T)`.
    """
    if len(rest) < 2:
        return source
    own = (rest**2).sum(axis=0) / (len(rest) - 1)
    typical = np.maximum(source.mean(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    alike = source / typical * own.mean(axis=1, keepdims=True)
    share = len(rest) / (len(rest) + PROFILE_WEIGHT)
    return np.asarray(share * own + (1 - share) * alike)


@dataclass(frozen=True, eq=False)
class ArrayModel:
    """A trained model of labelled rows.

    Make one with `learn`.

    Attributes:
        config: all it was made with.
        lines: what is expected of the rows of each label.
        network: the averaged weights.
        middle: typical severities `(S,)`.
        spread: of the severities `(S,)`.
    """

    config: Config
    lines: LabelRegression
    network: DiffusionModel
    middle: Array
    spread: Array

    @classmethod
    def learn(cls, rows: Rows, labels: int, config: Config) -> ArrayModel:
        """Pre-train on the source, then adapt to the rows of the other labels with `L_T + lambda L_S`.

        Args:
            rows: of labels 0 to `labels - 1`, one of each at least.
            labels: how many labels there are.
            config: sizes of the network, both runs, sampler; `finetune` is needed where there are labels beside the source.
        """
        middle, spread = _typical(rows.severity)
        rows = replace(rows, severity=(rows.severity - middle) / spread)
        lines, is_source = LabelRegression.fit(rows, labels), rows.label == SOURCE
        shape = _shape(rows, labels, config)
        source, few = (_batch(rows, lines, shape, kept) for kept in (is_source, ~is_source))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.train.seed)
            network = DiffusionModel(shape, config=config.net, diffusion=config.diffusion, blur=0.0)
        network.zero_inputs(torch.tensor([*range(labels - 1), shape.features // 2 - SUPPORT_FEATURES]))
        network.fit_noise(source)
        # A network that is told the severities of a few rows exactly takes them for the names of these rows.
        noisy = torch.zeros(shape.features // 2)
        noisy[labels - 1 : -SUPPORT_FEATURES] = 1.0
        _train(network, [source], config.train, unfreeze="all", noisy=noisy)
        if config.finetune is not None and len(few):
            network.fit_noise(few)
            kept = replace(source, weight=torch.full((len(source),), config.finetune.lambda_source))
            _train(network, [few, kept], config.finetune, unfreeze=config.finetune.unfreeze, noisy=noisy)
        network.eval().requires_grad_(False)
        network.calibrate(source)
        return cls(config, lines, network, middle, spread)

    def draw(self, label: NDArray[np.int64], severity: Array, *, seed: int) -> Array:
        """New rows `(n, C, T)` of labels `(n,)` and severities `(n, S)`."""
        generator = torch.Generator().manual_seed(seed)
        asked = Rows(np.zeros((len(label), *self.lines.mean.shape[1:])), label, (severity - self.middle) / self.spread)
        conditions = torch.cat([torch.from_numpy(part) for part in _condition(asked, self.lines)], dim=1)
        parts = [
            self._rest(condition, torch.randn(len(condition), self.network.noise_size, generator=generator))
            for condition in torch.split(conditions, CHUNK)
        ]
        rest = _apart(torch.cat(parts).double().numpy()[:, 0], asked.values.shape[1:])
        return np.asarray(self.lines.expect(asked) + rest * self.lines.width[label])

    @torch.no_grad()
    def _rest(self, condition: Tensor, noise: Tensor) -> Tensor:
        """What the network draws for conditions `(n, F)`: `(n, 1, L)`."""
        nothing = torch.zeros(len(condition), DURATIONS)
        told = self.network.condition_input(condition, nothing, nothing)
        load = torch.zeros(len(condition), 0, self.network.shape.length), torch.zeros(len(condition), 0)
        return self.network.draw_curve(told, load, noise, Sampling())


def _shape(rows: Rows, labels: int, config: Config) -> Shape:
    """Sizes: rows are made as long as the network needs, and conditions are labels, severities and what is standing."""
    points = math.prod(rows.values.shape[1:])
    step = config.net.patch * 2 ** (len(config.net.widths) - 1)
    features = labels - 1 + rows.severity.shape[1] + SUPPORT_FEATURES
    hidden = torch.zeros(2 * features, dtype=torch.bool)
    return Shape(1, sections=(-(-points // step) * step,), known=0, hidden=hidden, support_features=SUPPORT_FEATURES)


def _woven(values: Array) -> Array:
    """Channels `(N, C, T)` as one `(N, T C)`: what was at one time lies together, so that noise correlates channels, too."""
    return values.transpose(0, 2, 1).reshape(len(values), -1)


def _apart(woven: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `_woven`, of rows that may have been made longer: `(N, C, T)`, of `shape` `(C, T)`."""
    channels, points = shape
    return woven[:, : channels * points].reshape(len(woven), points, channels).transpose(0, 2, 1)


def _condition(rows: Rows, lines: LabelRegression) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values and flags of the condition of each row `(N, F / 2)`: which label, which severities, and what is standing."""
    label = np.eye(len(lines.mean))[rows.label]
    told = np.isfinite(rows.severity)
    support_features = np.stack([rows.label != SOURCE, np.zeros(len(rows.label))], axis=1)
    values = np.concatenate([label[:, 1:], np.nan_to_num(rows.severity), support_features], axis=1)
    flags = np.concatenate([np.ones_like(label[:, 1:]), told, np.ones_like(support_features)], axis=1)
    return values.astype(np.float32), flags.astype(np.float32)


def _batch(rows: Rows, lines: LabelRegression, shape: Shape, kept: NDArray[np.bool_]) -> Batch:
    """The rows to keep as a network sees them; what they are too short by repeats their last point."""
    rows = Rows(rows.values[kept], rows.label[kept], rows.severity[kept])
    rest = _woven((rows.values - lines.expect(rows)) / lines.width[rows.label])
    longer = np.minimum(np.arange(shape.length), rest.shape[1] - 1)
    values, flags = (torch.from_numpy(part) for part in _condition(rows, lines))
    count = len(values)
    return Batch(
        curve=torch.from_numpy(rest[:, None, longer]).float(),
        mask=torch.ones(count, 1, shape.length, dtype=torch.bool),
        durations=torch.zeros(count, DURATIONS),
        durations_mask=torch.zeros(count, DURATIONS, dtype=torch.bool),
        values=values,
        flags=flags,
        known=torch.zeros(count, 0, shape.length),
        observed=torch.zeros(count, 0),
        weight=torch.ones(count),
    )


def _train(
    network: DiffusionModel, data: Sequence[Batch], config: TrainConfig, *, unfreeze: Unfreeze, noisy: torch.Tensor
) -> None:
    """Train a network in place; it ends with the averaged weights."""
    state = State.start(network, config)
    for _ in train(state, data, config=config, unfreeze=unfreeze, noisy=noisy):
        pass
    network.load_state_dict(state.ema)
