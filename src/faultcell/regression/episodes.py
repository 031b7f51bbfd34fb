"""Training curves as they will be asked for: expected from other cells, at times with little known, at times with a reference.

What a model learns is what is left of a curve when all that other cells let expect of it is taken away. Had the curve's own
cell a part in that expectation, too little would be left, and what is drawn for a new cell would be too sure of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.config import NeighbourConfig
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import CONTEXT, Vocabulary
from faultcell.encoding.grid import VOLTAGE
from faultcell.regression.estimator import Correction, Neighbours, persistent
from faultcell.regression.holdout import own
from faultcell.regression.kernel import CYCLE, Questions
from faultcell.regression.prediction import Expected
from faultcell.regression.support import Known

PERSISTENCES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 1e6)
LONGEST_LAG = 10  # cycles between a training curve and its reference


@dataclass(frozen=True, eq=False)
class Posed:
    """Training curves with what is expected of them.

    Attributes:
        rows: which curve of the known ones each is `(N,)`.
        questions: what is told of it.
        expected: what others let expect.
        told: which values of the condition vector may be told `(N, V)`.
        referenced: whether an earlier curve of the cell helped `(N,)`.
    """

    rows: NDArray[np.int64]
    questions: Questions
    expected: Expected
    told: NDArray[np.bool_]
    referenced: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)


def pose(known: Known, neighbours: Neighbours, vocabulary: Vocabulary, *, config: NeighbourConfig, seed: int) -> Posed:
    """Each curve as it is; some once more with less known and fewer neighbours; and, where its cell has another, a reference.

    Args:
        known: the curves to learn from.
        neighbours: the curves to expect them from; those of its own cell never serve a curve.
        vocabulary: of the condition vector.
        config: how much is forgotten.
        seed: of what is.
    """
    rng = np.random.default_rng(seed)
    barred = own(known, neighbours.known)
    everything = np.ones((len(known), len(vocabulary)), dtype=bool)
    plain = neighbours.expect(known.questions, known.log_seconds, barred=barred, cell=known.cell)
    all_rows = np.arange(len(known))
    as_it_is = Posed(all_rows, known.questions, plain, everything, np.zeros(len(known), dtype=bool))
    if not neighbours.expects:
        return as_it_is
    some = np.sort(rng.permutation(len(known))[: round(config.forgetful * len(known))])
    questions, told = _forgotten(known.questions.take(some), vocabulary, config, rng)
    fewer = neighbours.emptied(questions, barred[some], share=config.forget_cells, rng=rng)
    with_less = neighbours.expect(questions, known.log_seconds[some], barred=fewer, cell=known.cell[some])
    poorer = Posed(some, questions, with_less, told, np.zeros(len(some), dtype=bool))
    rows, partners = references(known, rng)
    asked = known.questions.take(rows).since(known.questions.take(partners))
    apart = neighbours.apart(asked, known.questions.take(partners))
    moved = Correction.of(known.take(partners), plain.take(partners), apart=apart, neighbours=neighbours)
    helped = neighbours.expect(asked, known.log_seconds[rows], barred=barred[rows], cell=known.cell[rows], correction=moved)
    yes = np.ones(len(rows), dtype=bool)
    with_reference = Posed(rows, asked, helped, everything[rows], yes)
    return _joined([as_it_is, poorer, with_reference])


def fit_persistence(known: Known, neighbours: Neighbours, *, seed: int) -> Array:
    """How long differences between cells persist, by mode: what best tells curves from others of their cells `(S,)`."""
    found, rng = np.full(len(neighbours.persistence), np.nan), np.random.default_rng(seed)
    rows, partners = references(known, rng)
    if not len(rows):
        return neighbours.persistence
    barred = own(known, neighbours.known)
    expected = neighbours.expect(known.questions, known.log_seconds, barred=barred, cell=known.cell)
    earlier = known.questions.take(partners)
    apart = neighbours.apart(known.questions.take(rows), earlier)
    moved = Correction.of(known.take(partners), expected.take(partners), apart=apart, neighbours=neighbours).values
    rest = np.where(known.mask[rows], known.values[rows] - expected.values[rows], 0.0)[..., : neighbours.grid.head]
    rest, moved = rest[:, VOLTAGE], moved[:, VOLTAGE]
    for mode in np.unique(earlier.mode).tolist():
        some = earlier.mode == mode
        whole = np.maximum(np.square(rest[some]).mean(axis=1), 1e-9)
        errors = []
        for persistence in PERSISTENCES:
            left = rest[some] - persistent(apart[some], persistence)[:, None] * moved[some]
            share = np.log(np.maximum(np.square(left).mean(axis=1) / whole, 1e-3))
            errors.append(np.mean([share[known.cell[rows][some] == cell].mean() for cell in np.unique(known.cell[rows][some])]))
        found[mode] = PERSISTENCES[int(np.argmin(errors))]
    return np.where(np.isfinite(found), found, np.nanmedian(found))  # what none has shown: as the others


def references(known: Known, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Curves that have another of their cell and half-cycle, and an earlier one for each (the next, for a first)."""
    rows, partners = [], []
    order = np.lexsort([known.questions.features[:, CYCLE], known.questions.mode, known.cell])
    cell, mode = known.cell[order], known.questions.mode[order]
    for group in np.split(order, np.flatnonzero((np.diff(cell) != 0) | (np.diff(mode) != 0)) + 1):
        if len(group) < 2:
            continue
        lag = np.where(rng.random(len(group)) < 0.5, 1, rng.integers(1, LONGEST_LAG + 1, len(group)))
        place = np.arange(len(group))
        rows.append(group)
        partners.append(group[np.where(place == 0, 1, np.maximum(place - lag, 0))])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *partners])


def _forgotten(
    questions: Questions, vocabulary: Vocabulary, config: NeighbourConfig, rng: np.random.Generator
) -> tuple[Questions, NDArray[np.bool_]]:
    """The same questions with some of their context and past unknown, and what of the condition vector is still told."""
    count = len(questions)
    context = rng.random((count, len(CONTEXT))) >= config.forget_context
    past = rng.random(count) >= config.forget_past
    told = np.ones((count, len(vocabulary)), dtype=bool)
    for i, name in enumerate(CONTEXT):
        told[:, vocabulary.names.index(name)] = context[:, i]
    told[:, vocabulary.history] = past[:, None]
    return questions.forgetting(context, past), told


def _joined(parts: Iterable[Posed]) -> Posed:
    some = list(parts)
    questions = some[0].questions
    for part in some[1:]:
        questions = questions.joined(part.questions)
    expected = Expected.joined([part.expected for part in some])
    rows, *rest = (np.concatenate([getattr(p, name) for p in some]) for name in ("rows", "told", "referenced"))
    return Posed(rows, questions, expected, *rest)
