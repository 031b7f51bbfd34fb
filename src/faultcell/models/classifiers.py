"""Fault classifiers, each a scikit-learn estimator: six small nets, MiniRocket, a forest, and two that see next to nothing.

The six nets are those of the paper (Batteries 2025, 11(7), 248, section 4.3): `(N, C, L)` arrays in, two logits out. They
are fitted for a number of optimiser steps, not of epochs: with batches drawn with replacement, a larger training set buys no
more training than a small one. The recurrent nets take `PATCH` neighbouring points together as channels, which makes them
about as many times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

PATCH = 4
HIDDEN = 32
TREES = 200
STEPS = 200
BATCH = 64
LEARNING_RATE = 8e-3  # falls to zero along a cosine
WEIGHT_DECAY = 1e-2


class Mlp(nn.Module):
    """All points at once, through two hidden layers."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * length, 2 * HIDDEN), nn.ReLU(), nn.Linear(2 * HIDDEN, HIDDEN), nn.ReLU()
        )
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, 2)` of curves `(B, C, L)`."""
        return self.head(self.net(x))  # type: ignore[no-any-return]


class Cnn(nn.Module):
    """Three convolutions; where along the curve a feature was found is kept in quarters."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *_convolutions(channels),
            nn.Conv1d(HIDDEN, HIDDEN, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * HIDDEN, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, 2)` of curves `(B, C, L)`."""
        return self.head(self.net(x))  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """A recurrent net over patches of the curve; its last state, or one of each direction, is what it knows.

    Args:
        channels: C.
        length: L, a multiple of `PATCH`.
        cell: `torch.nn.LSTM` or `torch.nn.GRU`.
        both_ways: also read the curve backwards.
    """

    def __init__(self, channels: int, length: int, *, cell: type[nn.LSTM] | type[nn.GRU], both_ways: bool = False) -> None:
        super().__init__()
        self.rnn = cell(channels * PATCH, HIDDEN, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(HIDDEN * (2 if both_ways else 1), 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, 2)` of curves `(B, C, L)`."""
        patches = x.transpose(1, 2).reshape(x.shape[0], -1, PATCH * x.shape[1])
        return self.head(_last_state(self.rnn, patches))  # type: ignore[no-any-return]


class CnnLstm(nn.Module):
    """Two convolutions that shorten the curve by `PATCH`, and an LSTM over what they found."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*_convolutions(channels))
        self.rnn = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, 2)` of curves `(B, C, L)`."""
        return self.head(_last_state(self.rnn, self.convolutions(x).transpose(1, 2)))  # type: ignore[no-any-return]


def _convolutions(channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv1d(channels, HIDDEN // 2, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv1d(HIDDEN // 2, HIDDEN, 5, stride=2, padding=2),
        nn.ReLU(),
    )


def _last_state(rnn: nn.LSTM | nn.GRU, sequence: Tensor) -> Tensor:
    """The state after the last element, of both directions where there are two `(B, D)`."""
    _, state = rnn(sequence)
    hidden: Tensor = state[0] if isinstance(rnn, nn.LSTM) else state
    return hidden.transpose(0, 1).flatten(1)


NETS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "mlp": (Mlp, {}),
    "cnn": (Cnn, {}),
    "lstm": (Recurrent, {"cell": nn.LSTM}),
    "gru": (Recurrent, {"cell": nn.GRU}),
    "bilstm": (Recurrent, {"cell": nn.LSTM, "both_ways": True}),
    "cnn_lstm": (CnnLstm, {}),
}


class Net(NeuralNetClassifier):  # type: ignore[misc]
    """A skorch classifier that makes `steps` steps whatever the size of its training set, and the same ones for a seed.

    Args:
        module: the net.
        steps: optimiser steps; batches are drawn with replacement.
        seed: of initial weights and of batches.
        **further: of skorch.
    """

    def __init__(self, module: Callable[..., nn.Module], *, steps: int = STEPS, seed: int = 0, **further: Any) -> None:
        self.steps = steps
        self.seed = seed
        super().__init__(module, **further)

    def initialize_module(self) -> Net:
        """Make the net with weights of its own seed; the random state of the caller is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            super().initialize_module()
        return self

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches: all `steps` of them in one epoch while training."""
        if not training:
            return super().get_iterator(dataset, training=False)
        drawn = RandomSampler(
            dataset,
            replacement=True,
            num_samples=self.steps * self.batch_size,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return DataLoader(dataset, sampler=BatchSampler(drawn, self.batch_size, drop_last=False), batch_size=None)


def net(
    name: str,
    *,
    shape: tuple[int, int],
    seed: int = 0,
    steps: int = STEPS,
    class_weights: NDArray[np.float64] | None = None,
) -> Net:
    """One of the six, not yet fitted.

    Args:
        name: of `NETS`.
        shape: channels and length of the curves, (C, L).
        seed: of initial weights and of batches.
        steps: optimiser steps.
        class_weights: weights of the two classes in the loss `(2,)`; both count alike where not given.
    """
    module, options = NETS[name]
    given = {**options, "channels": shape[0], "length": shape[1]}
    return Net(
        module,
        steps=steps,
        seed=seed,
        **{f"module__{key}": value for key, value in given.items()},
        criterion=nn.CrossEntropyLoss,
        criterion__weight=None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=LEARNING_RATE,
        batch_size=BATCH,
        iterator_valid__batch_size=1024,
        max_epochs=1,
        train_split=None,
        classes=[0, 1],
        callbacks=[LRScheduler("CosineAnnealingLR", T_max=steps, step_every="batch")],
        callbacks__print_log=None,
        verbose=0,
    )


def has_rocket() -> bool:
    """Whether aeon, which has MiniRocket, is installed."""
    return find_spec("aeon") is not None


def rocket(*, seed: int = 0, class_weight: Literal["balanced"] | None = None) -> Pipeline:
    """MiniRocket features and a ridge classifier, not yet fitted; needs aeon.

    Dempster et al., "MiniRocket: A Very Fast (Almost) Deterministic Transform for Time Series Classification", 2021,
    https://arxiv.org/abs/2012.08791.

    Args:
        seed: of the biases.
        class_weight: `balanced` for classes that count alike.
    """
    from aeon.transformations.collection.convolution_based import MiniRocket

    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10), class_weight=class_weight)
    return make_pipeline(MiniRocket(random_state=seed), StandardScaler(with_mean=False), ridge)


def forest(*, seed: int = 0, class_weight: Literal["balanced"] | None = None) -> RandomForestClassifier:
    """A forest on the points of curves, not yet fitted: the strictest reader of what gives drawn curves away.

    Breiman, "Random Forests", 2001, https://doi.org/10.1023/A:1010933404324.

    Args:
        seed: of the trees.
        class_weight: `balanced` for classes that count alike.
    """
    return RandomForestClassifier(TREES, random_state=seed, class_weight=class_weight, n_jobs=1)


def protocol_only() -> Pipeline:
    """A logistic regression on how curves were run alone, not yet fitted: what it finds is the protocol, not the fault."""
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))


class Threshold(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The detector that every battery management system has: an alarm once the voltage is beyond its limit.

    Args:
        volt: deviations up to this raise no alarm, V.
    """

    def __init__(self, volt: float = 0.0) -> None:
        self.volt = volt

    def fit(self, X: NDArray[np.float64], y: NDArray[np.int64]) -> Threshold:
        """There is nothing to learn."""
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much farther than `volt` curves go beyond the limit, V `(N,)`, of their deviations, V `(N, 1)`."""
        return np.asarray(X[:, 0] - self.volt)

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        """One for an alarm `(N,)`, of deviations, V `(N, 1)`."""
        return (self.decision_function(X) > 0).astype(np.int64)
