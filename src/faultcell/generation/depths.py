"""How severe the faults of a plan are: between two known ones each, over their range, or as it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from faultcell.bundle.profile import Profile
from faultcell.curves.faults import FAULTS, Severity, fault, severity_named
from faultcell.curves.schema import Array
from faultcell.errors import ConditionError
from faultcell.regression.kernel import drivers
from faultcell.regression.residual import ResidualEncoder

SEVERITIES = ("between", "grid")
Depths = str | Sequence[float] | Mapping[str, float | Sequence[float]]  # how severe faults shall be, see `Plan.of`


def depths_of(
    name: str,
    count: int,
    encoder: ResidualEncoder,
    profile: Profile,
    *,
    severity: Depths,
    rng: np.random.Generator,
) -> Array:
    """How severe the faults of one label are, by the severities they are asked for by `(count, S)`."""
    asked = fault(name).asked_by
    if isinstance(severity, Mapping):
        for given in severity:
            severity_named(given, name)
        return np.column_stack([_in_turn(severity.get(one.name), one, count) for one in asked])
    if not isinstance(severity, str):
        return np.column_stack([_in_turn(severity if one == asked[0] else None, one, count) for one in asked])
    if severity not in SEVERITIES:
        raise ConditionError(f"severity takes {', '.join(SEVERITIES)} or values of {asked[0].name}, found '{severity}'")
    known = _known_depths(name, asked, encoder)
    if severity == "grid":
        return _over_ranges(known, count)
    first = rng.integers(len(known), size=count)
    unlike = np.sign(known)[:, None] != np.sign(known)[None]
    second = np.array([rng.choice(np.flatnonzero(~unlike[i].any(axis=1))) for i in first], dtype=np.int64)
    return np.asarray(known[first] + rng.uniform(size=(count, 1)) * (known[second] - known[first]))


def _known_depths(name: str, asked: Sequence[Severity], encoder: ResidualEncoder) -> Array:
    """How severe the known faults of a label are `(K, S)`."""
    queries = encoder.regression.known.queries
    own = queries.label == encoder.faults.index(name)
    if FAULTS[name].side is not None:
        return queries.peak_volt[own, None]
    names = [one.name for one in drivers(encoder.faults)]
    typical = np.array([one.typical for one in asked])
    return np.asarray(queries.severities[own][:, [names.index(one.name) for one in asked]] * typical)


def _over_ranges(known: Array, count: int) -> Array:
    """Evenly over the range of each severity that is known `(K, S)`, which take turns: one fault, one severity `(count, S)`."""
    found, some = np.zeros((count, known.shape[1])), np.flatnonzero((known != 0).any(axis=0))
    for turn, column in enumerate(some.tolist()):
        rows, values = np.arange(turn, count, len(some)), known[known[:, column] != 0, column]
        found[rows, column] = values.min() + np.ptp(values) * (np.arange(len(rows)) + 0.5) / max(len(rows), 1)
    return found


def _in_turn(values: float | Sequence[float] | None, one: Severity, count: int) -> Array:
    """Values of a severity, in turn, zero where none is named `(count,)`."""
    if values is None:
        return np.zeros(count)
    given = np.atleast_1d(np.asarray(values, dtype=np.float64))
    wrong = ~np.isfinite(given) | (given == 0) | ((given < 0) & (not one.signed))
    if not given.size or wrong.any():
        sort = "other than 0" if one.signed else "above 0"
        raise ConditionError(f"the severity {one.name} must be {sort}, in {one.unit}, found {given[:5].tolist()}")
    return np.resize(given, count)
