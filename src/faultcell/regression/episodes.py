"""Training episodes: curves predicted from other cells, some with context dropped, some with a reference of their cell.

A network learns residuals. Had a curve's own cell a part in its prediction, residuals would be too small, and draws for an
unseen cell overconfident.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.config import NeighbourConfig
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import CONTEXT, ConditionEncoder
from faultcell.encoding.grid import VOLTAGE
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.fault_effect import OwnNormals
from faultcell.regression.holdout import own_cell, own_normal
from faultcell.regression.kernel import CYCLE, Queries
from faultcell.regression.prediction import Prediction
from faultcell.regression.reference_shift import persistent
from faultcell.regression.support import SupportSet

PERSISTENCES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 1e6)
LONGEST_LAG = 10  # cycles between a training curve and its reference


@dataclass(frozen=True, eq=False)
class Episodes:
    """Training curves with their predictions.

    Attributes:
        rows: which curve of the known ones each is `(N,)`.
        queries: what is told of it.
        prediction: what others let expect.
        observed: which values of the condition vector may be seen `(N, V)`.
        referenced: whether an earlier curve of the cell helped `(N,)`.
    """

    rows: NDArray[np.int64]
    queries: Queries
    prediction: Prediction
    observed: NDArray[np.bool_]
    referenced: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)


def make_episodes(
    known: SupportSet, regression: KernelRegression, condition_encoder: ConditionEncoder, *, config: NeighbourConfig, seed: int
) -> Episodes:
    """Each curve as it is; some once more with less known and fewer neighbours; and, where its cell has another, a reference.

    Args:
        known: the curves to learn from.
        regression: the curves to expect them from; those of its own cell never serve a curve.
        condition_encoder: of the condition vector.
        config: how much is forgotten.
        seed: of what is.
    """
    rng = np.random.default_rng(seed)
    excluded = own_cell(known, regression.known)
    everything = np.ones((len(known), len(condition_encoder)), dtype=bool)
    plain = regression.predict(known.queries, known.log_seconds, excluded=excluded, cell=known.cell)
    all_rows = np.arange(len(known))
    as_it_is = Episodes(all_rows, known.queries, plain, everything, np.zeros(len(known), dtype=bool))
    if not regression.predicts:
        return as_it_is
    some = np.sort(rng.permutation(len(known))[: round(config.forgetful * len(known))])
    queries, observed = _context_dropped(known.queries.take(some), condition_encoder, config, rng)
    fewer = regression.leave_cells_out(queries, excluded[some], share=config.forget_cells, rng=rng)
    with_less = regression.predict(queries, known.log_seconds[some], excluded=fewer, cell=known.cell[some])
    poorer = Episodes(some, queries, with_less, observed, np.zeros(len(some), dtype=bool))
    rows, partners = references(known, rng)
    earlier, expected = known.take(partners), plain.take(partners)
    if known.queries.inside.any():
        rows, earlier, expected = _with_own_normals(known, regression, rows, earlier, expected)
    queries = known.queries.take(rows).relative_to(earlier.queries)
    apart = regression.apart(queries, earlier.queries)
    moved = regression.shift_by(earlier, expected, apart=apart)
    if queries.inside.any():
        normals = OwnNormals.of(earlier, queries.inside).begun_as(known.take(rows), regression.grid)
        moved = moved.told_from(normals)
    helped = regression.predict(
        queries, known.log_seconds[rows], excluded=excluded[rows], cell=known.cell[rows], correction=moved
    )
    yes = np.ones(len(rows), dtype=bool)
    with_reference = Episodes(rows, queries, helped, everything[rows], yes)
    return _joined([as_it_is, poorer, with_reference])


def _with_own_normals(
    known: SupportSet,
    regression: KernelRegression,
    rows: NDArray[np.int64],
    earlier: SupportSet,
    expected: Prediction,
) -> tuple[NDArray[np.int64], SupportSet, Prediction]:
    """Curves, their references and what is expected of these; of faults inside all limits the reference is a normal curve.

    So they are drawn from. Where the cell has none, such a fault has no reference.
    """
    kept = np.flatnonzero(~known.queries.inside[rows])
    some = np.flatnonzero(known.queries.inside)
    partner = own_normal(known.take(some), regression.known)
    some, partner = some[partner >= 0], partner[partner >= 0]
    normal = regression.known.take(partner)
    barred = own_cell(normal, regression.known)
    plain = regression.predict(normal.queries, normal.log_seconds, excluded=barred, cell=normal.cell)
    return (
        np.concatenate([rows[kept], some]),
        earlier.take(kept).joined(normal),
        Prediction.joined([expected.take(kept), plain]),
    )


def fit_persistence(known: SupportSet, regression: KernelRegression, *, seed: int) -> Array:
    """How long differences between cells persist, by mode: what best tells curves from others of their cells `(S,)`."""
    found, rng = np.full(len(regression.persistence), np.nan), np.random.default_rng(seed)
    rows, partners = references(known, rng)
    if not len(rows):
        return regression.persistence
    excluded = own_cell(known, regression.known)
    prediction = regression.predict(known.queries, known.log_seconds, excluded=excluded, cell=known.cell)
    earlier = known.queries.take(partners)
    apart = regression.apart(known.queries.take(rows), earlier)
    moved = regression.shift_by(known.take(partners), prediction.take(partners), apart=apart).values
    residual = np.where(known.mask[rows], known.values[rows] - prediction.values[rows], 0.0)[..., : regression.grid.head]
    residual, moved = residual[:, VOLTAGE], moved[:, VOLTAGE]
    for mode in np.unique(earlier.mode).tolist():
        some = earlier.mode == mode
        whole = np.maximum(np.square(residual[some]).mean(axis=1), 1e-9)
        errors = []
        for persistence in PERSISTENCES:
            left = residual[some] - persistent(apart[some], persistence)[:, None] * moved[some]
            share = np.log(np.maximum(np.square(left).mean(axis=1) / whole, 1e-3))
            errors.append(np.mean([share[known.cell[rows][some] == cell].mean() for cell in np.unique(known.cell[rows][some])]))
        found[mode] = PERSISTENCES[int(np.argmin(errors))]
    return np.where(np.isfinite(found), found, np.nanmedian(found))  # what none has shown: as the others


def references(known: SupportSet, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Curves that have another of their cell and half-cycle, and an earlier one for each (the next, for a first)."""
    rows, partners = [], []
    order = np.lexsort([known.queries.features[:, CYCLE], known.queries.mode, known.cell])
    cell, mode = known.cell[order], known.queries.mode[order]
    for group in np.split(order, np.flatnonzero((np.diff(cell) != 0) | (np.diff(mode) != 0)) + 1):
        if len(group) < 2:
            continue
        lag = np.where(rng.random(len(group)) < 0.5, 1, rng.integers(1, LONGEST_LAG + 1, len(group)))
        place = np.arange(len(group))
        rows.append(group)
        partners.append(group[np.where(place == 0, 1, np.maximum(place - lag, 0))])
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *partners])


def _context_dropped(
    queries: Queries, condition_encoder: ConditionEncoder, config: NeighbourConfig, rng: np.random.Generator
) -> tuple[Queries, NDArray[np.bool_]]:
    """The same queries with some of their context and past unknown, and what of the condition vector is still seen."""
    count = len(queries)
    context = rng.random((count, len(CONTEXT))) >= config.forget_context
    past = rng.random(count) >= config.forget_past
    observed = np.ones((count, len(condition_encoder)), dtype=bool)
    for i, name in enumerate(CONTEXT):
        observed[:, condition_encoder.names.index(name)] = context[:, i]
    observed[:, condition_encoder.history] = past[:, None]
    return queries.drop_context(context, past), observed


def _joined(parts: Iterable[Episodes]) -> Episodes:
    some = list(parts)
    queries = some[0].queries
    for part in some[1:]:
        queries = queries.joined(part.queries)
    prediction = Prediction.joined([part.prediction for part in some])
    rows, *residual = (np.concatenate([getattr(p, name) for p in some]) for name in ("rows", "observed", "referenced"))
    return Episodes(rows, queries, prediction, *residual)
