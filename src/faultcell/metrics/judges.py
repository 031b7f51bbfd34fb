"""A judge that tries to tell generated curves from real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from faultcell.errors import DataError
from faultcell.metrics.encoder import encode
from faultcell.metrics.paired import Array

FOLDS, REPEATS = 3, 2
# A short sequence leaves time for more steps of training, which sharpen the judge more than points do.
STRETCHES = 16
HIDDEN = 12
STEPS, BATCH = 40, 128
LEARNING_RATE = 0.05

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Exam:
    """What a judge learns from, and what it is asked: inputs, answers (1 for generated), inputs, and a seed."""

    known: Array
    answers: Index
    asked: Array
    seed: int


Judge = Callable[[_Exam], Index]


@dataclass(frozen=True)
class Verdict:
    """How well a judge told the sets apart on groups it had not seen.

    Attributes:
        accuracy: balanced accuracy, mean over the folds; 0.5 is guessing.
        spread: its standard deviation over the folds.
        signed: accuracy - 0.5; far below zero the judge learnt something that is the other way round in other groups.
        score: |signed|, 0 to 0.5, lower is better.
    """

    accuracy: float
    spread: float

    @property
    def signed(self) -> float:
        """Accuracy minus 0.5."""
        return self.accuracy - 0.5

    @property
    def score(self) -> float:
        """The distance of the accuracy from guessing."""
        return abs(self.signed)


def discriminative(
    real: Array, generated: Array, *, groups: Sequence[str], seed: int = 0, folds: int = FOLDS, repeats: int = REPEATS
) -> dict[str, Verdict]:
    """Post-hoc judges trained to tell two sets of curves apart, and tested on other groups.

    `gru`: a small recurrent network on value and roughness over 16 stretches; `linear`: a logistic regression on `encode`. The
    score, |accuracy - 0.5|, is that of TimeGAN (J. Yoon et al., "Time-series Generative Adversarial Networks", 2019,
    https://papers.nips.cc/paper/8789-time-series-generative-adversarial-networks), whose network has no unit at all with one
    channel. Here folds are repeated, balanced, and never split a group.

    Traps: a weak judge flatters every generator, hence two; few groups make a wide spread.

    Args:
        real: scaled curves `(N, L)`.
        generated: scaled curves `(M, L)`.
        groups: cell of each curve, the real ones first `(N + M,)`.
        seed: of the folds and of the network.
        folds: parts the groups are divided into.
        repeats: divisions.

    Raises:
        DataError: fewer groups, or curves of a set, than folds; or real and generated curves always lie in different folds.
    """
    fewest = min(len(real), len(generated), len(set(groups)))
    if fewest < folds:
        raise DataError(
            f"telling curves apart in {folds} folds needs as many groups and curves of each set, found {len(set(groups))} "
            f"groups, {len(real)} real and {len(generated)} generated curves: give more, or fewer folds"
        )
    curves = np.vstack([real, generated])
    is_generated = np.repeat([0, 1], [len(real), len(generated)])
    parts = [part for i in range(repeats) for part in _folds(is_generated, groups, folds=folds, seed=seed + i)]
    if not parts:
        raise DataError("no group has both real and generated curves: name the cell that each generated curve belongs to")
    judges: dict[str, tuple[Judge, Array]] = {"gru": (_gru, _sequences(curves)), "linear": (_linear, encode(curves))}
    found = {}
    for name, (judge, inputs) in judges.items():
        answers = [
            judge(_Exam(inputs[fit], is_generated[fit], inputs[rest], seed + number))
            for number, (fit, rest) in enumerate(parts)
        ]
        accuracies = [
            balanced_accuracy_score(is_generated[rest], answer) for (_, rest), answer in zip(parts, answers, strict=True)
        ]
        found[name] = Verdict(float(np.mean(accuracies)), float(np.std(accuracies)))
    return found


def _folds(is_generated: Index, groups: Sequence[str], *, folds: int, seed: int) -> list[tuple[Index, Index]]:
    """Parts to learn from and to be asked; a division that leaves one side without one of the sets is left out."""
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = splitter.split(is_generated, is_generated, np.asarray(groups))
    return [part for part in parts if all(len(set(is_generated[side])) == 2 for side in part)]


def _linear(exam: _Exam) -> Index:
    """The answers of a logistic regression; the seed changes nothing."""
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=500))
    return np.asarray(model.fit(exam.known, exam.answers).predict(exam.asked))


def _sequences(curves: Array) -> Array:
    """Mean value and log(1 + root mean square slope) over equal stretches of each curve `(N, STRETCHES, 2)`."""
    slopes = np.diff(curves, axis=1) * (curves.shape[1] - 1)
    values = np.stack([part.mean(axis=1) for part in np.array_split(curves, STRETCHES, axis=1)], axis=1)
    squares = np.stack([(part**2).mean(axis=1) for part in np.array_split(slopes, STRETCHES, axis=1)], axis=1)
    return np.stack([values, np.log1p(np.sqrt(squares))], axis=2)


class _Reader(nn.Module):
    """A recurrent network that reads a sequence and gives one number."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.GRU(2, HIDDEN, batch_first=True)
        self.say = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logit of being generated `(B,)` for sequences `(B, T, 2)`."""
        logit: Tensor = self.say(self.read(x)[0].mean(dim=1))[:, 0]
        return logit


def _gru(exam: _Exam) -> Index:
    """The answers of a recurrent network trained on the known sequences."""
    mean, std = exam.known.mean(axis=(0, 1)), exam.known.std(axis=(0, 1)) + 1e-9
    known, asked = (torch.as_tensor((part - mean) / std, dtype=torch.float32) for part in (exam.known, exam.asked))
    with torch.random.fork_rng(devices=()), torch.enable_grad():
        torch.manual_seed(exam.seed)
        reader = _Reader()
        _train(reader, x=known, y=torch.as_tensor(exam.answers, dtype=torch.float32))
    with torch.no_grad():
        return np.asarray((reader(asked) > 0).numpy().astype(np.int64))


def _train(reader: _Reader, *, x: Tensor, y: Tensor) -> None:
    """`STEPS` batches of sequences `(B, T, 2)` and answers `(B,)`, both classes of equal weight."""
    balance = (1 - y).sum() / y.sum()
    optimizer = torch.optim.Adam(reader.parameters(), lr=LEARNING_RATE)
    for _ in range(STEPS):
        batch = torch.randperm(len(x))[:BATCH]
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(reader(x[batch]), y[batch], pos_weight=balance)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
