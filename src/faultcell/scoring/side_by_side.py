"""The sources that are scored, side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from faultcell.baselines.classical import CHEAP, Noise
from faultcell.curves import severity
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves, Source
from faultcell.curves.fingerprint import fingerprint
from faultcell.curves.schema import Array
from faultcell.errors import ConditionError, DataError
from faultcell.scoring.ensemble import ensemble_scores
from faultcell.scoring.pair_scores import Edges, pair_scores, tertiles, worst
from faultcell.scoring.pairing import by_condition, by_key, refuse, successive
from faultcell.scoring.resample import Match
from faultcell.scoring.scores import PROTOCOL, Scores, SourceScores
from faultcell.scoring.set_scores import TrainingPoints, believable, set_scores
from faultcell.scoring.verdict import verdict

Make = Callable[[Curves], Source]
SANITY = ("replay", "jitter", "mean_curve")  # of the cheap sources: a copy, a copy with noise, and no spread at all
BESIDE = ("floor", *SANITY, "noise")


def evaluate(
    *,
    real: Curves,
    synthetic: Curves,
    train: Curves | None = None,
    thorough: bool = True,
    draws: Sequence[Curves] = (),
    beside: Collection[str] = BESIDE,
) -> Scores:
    """Score generated curves.

    Args:
        real: curves that neither training nor fine-tuning has seen.
        synthetic: generated for their conditions. Curves with the keys of real ones are paired by key; others with the real
            curve of the same label whose condition is nearest.
        train: the faults that the model was adapted to; with them, nearest replay, its jittered copy and the mean curve are
            scored too, and how much is copied from them.
        thorough: whether to score the curves as sets too, which takes most of the time; whether single ones are believable
            is always looked at.
        draws: more sets for the keys of the real curves, each drawn with other seeds: with them, the ensemble is scored.
        beside: which of `floor`, `replay`, `jitter`, `mean_curve` and `noise` to score beside the generated set, as far as
            they can be made: the floor needs two curves of a kind of one cell, the three in the middle need `train`.

    Raises:
        ConditionError: another name in `beside`.
        DataError: nothing can be paired; generated curves are given as real ones; a cell is both in `real` and in `train`.
    """
    unknown = sorted(set(beside) - set(BESIDE))
    if unknown:
        raise ConditionError(f"unknown source '{unknown[0]}' in beside: known are {', '.join(BESIDE)}")
    refuse(real, train)
    if not len(real) or not len(synthetic):
        empty = "synthetic" if len(real) else "real"
        raise DataError(f"there is nothing to compare: no curve of the {empty} set has a label and half-cycle the other has")
    real, synthetic = severity.complete(real), severity.complete(synthetic)
    keyed = by_key(real, synthetic)
    found = keyed if keyed is not None else by_condition(real, synthetic)
    match = Match.of(real, synthetic, found=found)
    rows, edges = _rows(match, train, beside=beside), tertiles(match.real)
    known = TrainingPoints.of(train) if thorough and train is not None else None
    sources = {
        name: _scored(row, edges, known=known, thorough=thorough, judged=name == "synthetic") for name, row in rows.items()
    }
    return Scores(
        protocol=PROTOCOL,
        pairing="by key" if keyed is not None else "nearest condition",
        real_sha256=fingerprint(real),
        sources=sources,
        verdict=verdict(sources["synthetic"].sets["all"]),
        ensemble=ensemble_scores(real, draws) if draws else {},
    )


def _rows(match: Match, train: Curves | None, *, beside: Collection[str]) -> dict[str, Match]:
    """The generated set and all it is held against."""
    possible: dict[str, Make] = {**({name: CHEAP[name] for name in SANITY} if train is not None else {}), "noise": Noise}
    known = train if train is not None else match.real
    wanted = {name: make for name, make in possible.items() if name in beside}
    asked = match.partners(conditions_of(match.real)) if wanted else []
    drawn = {name: make(known).draw(asked, range(len(asked))) for name, make in wanted.items()}
    return {
        "synthetic": match,
        **(_floor(match.real, match.reference) if "floor" in beside else {}),
        **{name: Match(match.real, curves, match.partner, match.reference) for name, curves in drawn.items()},
    }


def _floor(real: Curves, reference: Array) -> dict[str, Match]:
    """Real curves against the next ones of the same cells; nothing where no cell has two of a kind."""
    earlier, later = successive(real)
    pairs = range(len(earlier))
    return {"floor": Match.of(real.take(earlier), real.take(later), found=pairs, reference=reference)} if earlier else {}


def _scored(match: Match, edges: Edges, *, known: TrainingPoints | None, thorough: bool, judged: bool) -> SourceScores:
    scores = pair_scores(match, edges)
    return SourceScores(
        all=scores["all"]["all"],
        by_label=scores["label"],
        by_cell=scores["cell_id"],
        by_severity=scores["severity"],
        worst=worst(scores["severity"]),
        sets=set_scores(match, known) if thorough else {"all": believable(match)} if judged else {},
    )
