"""Scores of pairs: each generated curve with the real one whose condition it was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from faultcell import metrics
from faultcell.curves.curves import Curves
from faultcell.curves.faults import breaks_limit, resting_name, severities_of
from faultcell.curves.schema import REST, SEVERITY, Array
from faultcell.curves.severity import main_severity
from faultcell.scoring.resample import Index, Match
from faultcell.scoring.scores import LEAST_STRATUM, Score

BINS = 3
Edges = Mapping[str, Array]
Values = Mapping[str, Array]


def tertiles(real: Curves) -> Edges:
    """Where the strata of each fault end: quantiles of the known main severities of its real curves `(4,)` each."""
    severe, kinds = main_severity(real), np.array(_kinds(real))
    found = {kind: severe[(kinds == kind) & np.isfinite(severe)] for kind in dict.fromkeys(kinds.tolist())}
    return {label: np.quantile(values, np.linspace(0, 1, BINS + 1)) for label, values in found.items() if values.size}


def pair_scores(match: Match, edges: Edges) -> dict[str, dict[str, Score]]:
    """Scores by kind of group, then by name of the group: `all`, `label`, `cell_id`, `severity`."""
    values, scaled = _values(match), _scaled(match)
    names: dict[str, list[str | None]] = {
        "all": ["all"] * len(match.partner),
        "label": match.partners(match.real.halfcycles["label"].to_list()),
        "cell_id": match.partners(match.real.halfcycles["cell_id"].to_list()),
        "severity": match.partners(_strata(match.real, edges)),
    }
    return {
        kind: {name: _summary(values, scaled, rows=rows) for name, rows in groups(found).items()}
        for kind, found in names.items()
    }


def worst(strata: Mapping[str, Score]) -> str | None:
    """The name of the stratum with the largest mean absolute error, among those with curves enough to tell."""
    known = {name: score.mae for name, score in strata.items() if score.curves >= LEAST_STRATUM}
    return max(known, key=known.__getitem__) if known else None


def groups(names: Sequence[str | None]) -> dict[str, Index]:
    """The positions of each name, in the order of the alphabet; None belongs to no group."""
    series = pl.Series(names, dtype=pl.String)
    return {name: (series == name).arg_true().cast(pl.Int64).to_numpy() for name in series.drop_nulls().unique().sort()}


def _scaled(match: Match) -> tuple[Array, Array]:
    return match.scaled(match.theirs.volts)[match.partner], match.scaled(match.ours.volts)


def _values(match: Match) -> Values:
    """Every paired measure of every pair `(M,)`."""
    scaled = _scaled(match)
    theirs, ours = match.theirs.volts[match.partner], match.ours.volts
    seconds = np.maximum(match.theirs.seconds[match.partner], 1e-9)
    return {
        "mae": metrics.mae(*scaled),
        "mse": metrics.mse(*scaled),
        "pcc": metrics.pcc(*scaled),
        "dpcc": metrics.dpcc(*scaled),
        "lowest_voltage_error_volt": np.abs(theirs.min(axis=1) - ours.min(axis=1)),
        "highest_voltage_error_volt": np.abs(theirs.max(axis=1) - ours.max(axis=1)),
        "duration_error": np.abs(match.ours.seconds / seconds - 1),
        **_adherence(match.generated),
    }


def _adherence(generated: Curves) -> dict[str, Array]:
    """Absolute difference between what was asked for and what was measured back, NaN where nothing was asked."""
    names = ("peak_deviation_error_volt", "repetition_error", "cumulative_duration_error_second")
    return {
        name: np.abs(generated.known(f"requested_{column}") - generated.known(column))
        for name, column in zip(names, SEVERITY, strict=True)
    }


def _strata(real: Curves, edges: Edges) -> list[str | None]:
    """The severity stratum of each curve, like `overdischarge 0.35 to 0.52 V`; None where it is in none."""
    rows = zip(_kinds(real), real.halfcycles.select("label", "step_type").rows(), main_severity(real).tolist(), strict=True)
    return [
        _stratum(kind, label, step, severe, edges=edges[kind]) if kind in edges and np.isfinite(severe) else None
        for kind, (label, step), severe in rows
    ]


def _kinds(real: Curves) -> list[str]:
    """What each curve is graded with: its label, and apart from it what is at rest, whose severities are others."""
    rows = real.halfcycles.select("label", "step_type").rows()
    return [resting_name(label) if step == REST else str(label) for label, step in rows]


def _stratum(kind: str, label: str, step: str, severe: float, *, edges: Array) -> str:
    # Equal edges, as of equal severities, leave strata empty: the last one that begins at or below it is taken.
    place = max(min(int(np.searchsorted(edges[:-1], severe, side="right")) - 1, BINS - 1), 0)
    digits = ".2f" if breaks_limit(label) else ".3g"
    unit = severities_of(label, (step,))[0].unit
    return f"{kind} {edges[place]:{digits}} to {edges[place + 1]:{digits}} {unit}"


def _summary(values: Values, scaled: tuple[Array, Array], *, rows: Index) -> Score:
    real, generated = (part[rows] for part in scaled)
    return Score(
        curves=len(rows),
        kl=metrics.kl(real, generated),
        js=metrics.js(real, generated),
        wasserstein=metrics.wasserstein(real, generated),
        **{name: _mean(found[rows]) for name, found in values.items()},
    )


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None
