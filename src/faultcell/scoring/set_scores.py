"""Scores of generated curves as a set: how they are spread, what gives them away, what they copy, what no cell does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from faultcell import metrics
from faultcell.baselines.replay import LEAST_SPREAD
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import Array
from faultcell.curves.severity import NOISE_VOLT
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.scoring.believability import broken, share
from faultcell.scoring.pair_scores import groups
from faultcell.scoring.resample import Index, Match, Measured
from faultcell.scoring.scores import SetScore

LEAST = 8  # fewer curves say nothing of a distribution
FOLDS = 3
FIFTHS = 5

Found = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class TrainingPoints:
    """The curves a source was made from: voltages, V `(K, POINTS)`, and labels `(K,)`."""

    volts: Array
    labels: list[str]

    @classmethod
    def of(cls, train: Curves) -> TrainingPoints:
        """Measure them."""
        return cls(Measured.of(train).volts, train.halfcycles["label"].to_list())


@dataclass(frozen=True, eq=False)
class _Part:
    """One group of a match: scaled curves, their features and cells, and the known curves of the same group."""

    real: Array
    generated: Array
    cells: list[str]
    real_cells: list[str]
    known: Array | None

    @property
    def features(self) -> tuple[Array, Array]:
        return metrics.encode(self.real), metrics.encode(self.generated)


def set_scores(match: Match, known: TrainingPoints | None) -> dict[str, SetScore]:
    """Scores of the whole set, and of each label.

    Args:
        match: generated curves and the real ones they belong to.
        known: what the source was made from, if it was made from anything.
    """
    violations, near = _violations(match), _neighbours(match.real)
    labels = groups(match.partners(match.real.halfcycles["label"].to_list()))

    def scored(rows: Index, label: str | None) -> SetScore:
        part = _part(match, rows, known=known, label=label)
        shares = {kind: share(values[rows]) for kind, values in violations.items()}
        found = {**_as_sets(part), "spread_ratio": _spread(match, rows, near=near), **shares, **_believable(match, rows)}
        return SetScore(curves=len(rows), **{name: _finite(value) for name, value in found.items()})

    everything = np.arange(len(match.partner))
    if [len(rows) for rows in labels.values()] == [len(everything)]:
        return dict.fromkeys(("all", *labels), scored(everything, *labels))
    return {"all": scored(everything, None), **{name: scored(rows, name) for name, rows in labels.items()}}


def believable(match: Match) -> SetScore:
    """Whether single generated curves are such as a cell could have made, and nothing else of the set."""
    rows = np.arange(len(match.partner))
    return SetScore(curves=len(rows), **{name: _finite(value) for name, value in _believable(match, rows).items()})


def _believable(match: Match, rows: Index) -> Found:
    """Shares of curves that do what no cell does, real ones too, and whether a forest tells the two apart."""
    partners = np.unique(match.partner[rows])
    ours, theirs = broken(match.generated.take(rows.tolist())), broken(match.real.take(partners.tolist()))
    cells = match.real.halfcycles["cell_id"].to_numpy()
    told = metrics.forest_auc(
        (match.scaled(match.theirs.volts)[partners], match.theirs.seconds[partners], cells[partners]),
        (match.scaled(match.ours.volts)[rows], match.ours.seconds[rows], cells[match.partner[rows]]),
    )
    areas = [area for area in told.values() if np.isfinite(area)]
    return {
        **{name: share(values) for name, values in ours.items()},
        **{f"{name}_real": share(values) for name, values in theirs.items()},
        **({"forest_auc": float(np.mean(areas)), "forest_auc_worst": max(areas)} if areas else {}),
    }


def diversity(match: Match, known: TrainingPoints) -> tuple[float | None, float | None]:
    """Spread ratio and closest record of a whole match alone, without the judges that take most of the time."""
    everything = np.arange(len(match.partner))
    part = _part(match, everything, known=known, label=None)
    closest = None
    if part.known is not None:
        real, generated = part.features
        closest = _finite(metrics.closest_record(metrics.encode(part.known), generated, held_out=real))
    return _finite(_spread(match, everything, near=_neighbours(match.real))), closest


def _part(match: Match, rows: Index, *, known: TrainingPoints | None, label: str | None) -> _Part:
    real = np.unique(match.partner[rows])
    cells = match.real.halfcycles["cell_id"].to_numpy()
    kept = [] if known is None else [i for i, other in enumerate(known.labels) if label in (None, other)]
    return _Part(
        match.scaled(match.theirs.volts[real]),
        match.scaled(match.ours.volts[rows]),
        cells[match.partner[rows]].tolist(),
        cells[real].tolist(),
        match.scaled(known.volts[kept]) if known is not None and len(kept) > 1 else None,
    )


def _as_sets(part: _Part) -> Found:
    """What needs a few curves on both sides."""
    if min(len(part.real), len(part.generated)) < LEAST:
        return {}
    real, generated = part.features
    density, coverage = metrics.density_coverage(real, generated)
    discrepancy, p = metrics.mmd(real, generated)
    return {
        "frechet": metrics.frechet(real, generated),
        "mmd": discrepancy,
        "mmd_p": p,
        "density": density,
        "coverage": coverage,
        "predictive": metrics.predictive(part.generated, part.real),
        "predictive_real": _trained_on_real(part),
        **_judged(part),
        **(_memory(metrics.encode(part.known), real=real, generated=generated) if part.known is not None else {}),
    }


def _judged(part: _Part) -> Found:
    if len(set(part.real_cells)) < FOLDS:
        return {}
    verdicts = metrics.discriminative(part.real, part.generated, groups=[*part.real_cells, *part.cells], folds=FOLDS)
    return {f"discriminative_{judge}": verdict.score for judge, verdict in verdicts.items()}


def _memory(known: Array, *, real: Array, generated: Array) -> Found:
    return {
        "authenticity": metrics.authenticity(known, generated),
        "authenticity_real": metrics.authenticity(known, real),
        "closest_record": metrics.closest_record(known, generated, held_out=real),
    }


def _trained_on_real(part: _Part) -> float | None:
    """The forecast error on the real curves of each fifth of the cells, learnt on those of the others."""
    # Names of cells may follow a pattern, such as a fault on every second one, so the fifths are drawn.
    cells = np.random.default_rng(0).permutation(sorted(set(part.real_cells)))
    if len(cells) < 2:
        return None
    fifths = [np.isin(part.real_cells, cells[i::FIFTHS]) for i in range(min(FIFTHS, len(cells)))]
    errors = [metrics.predictive(part.real[~held], part.real[held]) * held.sum() for held in fifths]
    return float(sum(errors) / len(part.real))


def _spread(match: Match, rows: Index, *, near: Index) -> float | None:
    """Spread ratio over the real curves of these rows and the nearest condition of each, one generated curve a real one."""
    real, drawn = np.unique(match.partner, return_index=True)
    kept = np.intersect1d(np.unique(match.partner[rows]), np.flatnonzero(near >= 0))
    if not kept.size:
        return None
    theirs, ours = match.scaled(match.theirs.volts), match.scaled(match.ours.volts[drawn[real]])
    return metrics.spread_ratio(theirs, ours, neighbours=np.stack([kept, near[kept]], axis=1))


def _neighbours(real: Curves) -> Index:
    """For each curve the one of another cell, same label and half-cycle, with the nearest condition; -1 if none `(N,)`."""
    values, known = ConditionEncoder(tuple(FAULTS)).encode(conditions_of(real, load=False))
    values = values / np.maximum(values.std(axis=0), LEAST_SPREAD)
    kind = real.halfcycles.select("label", "step_type", "cell_id").to_numpy()
    found = np.full(len(real), -1)
    for i in range(len(real)):
        others = np.flatnonzero((kind[:, :2] == kind[i, :2]).all(axis=1) & (kind[:, 2] != kind[i, 2]))
        both = known[others] * known[i]
        distance = (((values[others] - values[i]) ** 2) * both).sum(axis=1) / both.sum(axis=1)
        found[i] = others[distance.argmin()] if others.size else -1
    return found


def _violations(match: Match) -> Mapping[str, Array]:
    """For each generated curve 1.0 where it does what no real curve of its kind does, NaN where that is unknown `(M,)`."""
    capacity = _capacity(match.real)
    lower, upper = match.real.known("lower_voltage_limit_volt"), match.real.known("upper_voltage_limit_volt")
    theirs, ours = match.theirs, match.ours
    limits = (
        metrics.beyond_limits(theirs.volts, lower=lower, upper=upper),
        metrics.beyond_limits(ours.volts, lower=lower[match.partner], upper=upper[match.partner]),
    )
    trend = (
        metrics.against_trend(theirs.volts, amperes=theirs.amperes)[:, None],
        metrics.against_trend(ours.volts, amperes=ours.amperes)[:, None],
    )
    charge = (theirs.charge / capacity)[:, None], (ours.charge / capacity[match.partner])[:, None]
    return {
        # A depth that no real curve has is a matter of adherence; going further than any of them is one of physics.
        "limit_violations": _outside(match, limits, slack=NOISE_VOLT, below=False),
        # A drawn curve without sensor noise is smoother than any real one, which is no violation.
        "monotone_violations": _outside(match, trend, slack=0.0, below=False),
        "charge_violations": _outside(match, charge, slack=0.0, below=True),
    }


def _outside(match: Match, found: tuple[Array, Array], *, slack: float, below: bool) -> Array:
    """Which generated curves lie outside what real ones of the same label and half-cycle show, in any column `(M,)`.

    Args:
        match: whose curves they are.
        found: what was measured of the real curves `(N, K)` and of the generated ones `(M, K)`.
        slack: see `metrics.outside`.
        below: see `metrics.outside`.
    """
    real, generated = found
    kinds = match.real.halfcycles.select("label", "step_type").to_numpy()
    flags = np.full(len(generated), np.nan)
    for kind in {tuple(row) for row in kinds.tolist()}:
        same = (kinds == kind).all(axis=1)
        rows = np.flatnonzero(same[match.partner])
        if np.isfinite(real[same]).any():
            columns = zip(generated[rows].T, real[same].T, strict=True)
            flags[rows] = np.any([metrics.outside(a, b, slack=slack, below=below) for a, b in columns], axis=0)
    return flags


def _capacity(real: Curves) -> Array:
    """Charge each cell holds, Ah, NaN where unknown `(N,)`."""
    conditions = conditions_of(real, load=False)
    return np.array([(c.nominal_capacity_ah or np.nan) * (c.state_of_health or np.nan) for c in conditions])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
