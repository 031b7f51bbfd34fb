"""What a fault inside all limits does to a normal curve: what physics says, and what known faults show beyond that.

An internal short, a bad contact, failing cooling or a sensor that is off change a curve everywhere, a little. So such a curve
is expected as the cell's normal one, moved along its voltage, stretched and warmed by what its severity says (`Fault.effect`),
plus a remainder that grows in proportion to the severity:

    m(c, s) = T_s(m(c, 0)) + sum_d s_d b_d(c)

where `b` is a ridge regression on the known faults of that kind, the nearer ones counting more. How far `b` is drawn to zero,
which says that physics is right, is chosen for each part of a curve by what best expects the faults of cells left out. With a
severity of zero it is the normal curve.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from faultcell.config import GridConfig
from faultcell.curves.faults import FirstOrder
from faultcell.curves.schema import Array
from faultcell.encoding.grid import (
    CHANNELS,
    CHARGE,
    CURRENT,
    DISCHARGE,
    END,
    LEVEL_WEIGHT,
    SHARES,
    START,
    TEMPERATURE,
    THERMAL_SECOND,
    VOLTAGE,
    head_places,
    head_positions,
    hold_positions,
    log_shares,
    shares,
)
from faultcell.regression.kernel import CYCLE, Queries
from faultcell.regression.scale import owners
from faultcell.regression.support import ERRORS, SupportSet

# How a remainder may be told from the severities: not at all, for physics is right; or with what heat does to the cell or
# without, and as if so many faults of typical severity had shown none.
FORMS = ((False, 0.0), *((heat, ridge) for heat in (False, True) for ridge in (0.1, 0.3, 1.0, 3.0, 10.0)))
NOTHING = 0
WORTH = 0.97  # of the error without a remainder: above, it is none
EVERYWHERE = 0.1  # of the weight of the nearest known fault, what each has at least
TYPICAL_FIRST_ORDER = np.array([0.05, 0.05, 5.0])  # windows, logarithm, K
TYPICAL_RISE = 10.0  # K
SECTIONS = 8  # of the voltages of a head
PARTS = len(ERRORS) + SECTIONS  # of a curve, each with its own ridge; the last is how warm it begins
KELVIN = FirstOrder._fields.index("kelvin")
LEAST_HEAD = 0.02  # of the rated window, that a moved curve still has


@dataclass(frozen=True, eq=False)
class FaultEffect:
    """What known faults inside all limits have beyond their first-order effect.

    Attributes:
        rows: which of the known curves they are `(K,)`.
        values: of the coded channels, zero where unknown `(K, C, L)`.
        log_seconds: of the logarithms of the seconds of head and tail, zero where there is no tail `(K, 2)`.
        kelvin: how much warmer they begin than the normal curve `(K,)`.
        rise: how warm the normal curve ends inside its limits, about one: what heat does to this cell `(K,)`.
        form: how each part of a curve is told from the severities, for the half-cycle and fault of each; see `FORMS` `(K, P)`.
    """

    rows: NDArray[np.int64]
    values: Array
    log_seconds: Array
    kelvin: Array
    rise: Array
    form: NDArray[np.int64]

    @classmethod
    def none(cls, grid: GridConfig) -> FaultEffect:
        """Before any such fault is known."""
        rows = np.zeros(0, dtype=np.int64)
        values, form = np.zeros((0, len(CHANNELS), grid.length)), np.zeros((0, PARTS), dtype=np.int64)
        return cls(rows, values, np.zeros((0, 2)), np.zeros(0), np.zeros(0), form)

    @classmethod
    def of(
        cls,
        rows: NDArray[np.int64],
        values: Array,
        log_seconds: Array,
        kelvin: Array,
        rise: Array,
        known: SupportSet,
        grid: GridConfig,
    ) -> FaultEffect:
        """From what known faults have beyond their first order.

        Args:
            rows: which of the known curves they are `(K,)`.
            values: of the coded channels `(K, C, L)`.
            log_seconds: of the logarithms of seconds `(K, 2)`.
            kelvin: how much warmer they begin `(K,)`.
            rise: see `rise_of` `(K,)`.
            known: the curves.
            grid: the anchored grid.
        """
        found = cls(rows, values, log_seconds, kelvin, rise, np.zeros((len(rows), PARTS), dtype=np.int64))
        own, targets, owner = known.take(rows), found._targets, _owners(grid)
        form, shown = found.form.copy(), _regressors(own.queries, rise)
        kinds = np.column_stack([own.queries.label, own.queries.mode])
        for kind in np.unique(kinds, axis=0):
            some = np.flatnonzero((kinds == kind).all(axis=1))
            errors = _left_out(shown[some], targets[some], own.cell[some])
            if errors is not None:
                # The sums of squares of each part of the curve, by form; what helps by next to nothing does not count.
                parts = np.stack([np.bincount(owner, weights=row, minlength=PARTS) for row in errors])
                form[some] = np.where(parts.min(axis=0) < WORTH * parts[NOTHING], parts.argmin(axis=0), NOTHING)
        return replace(found, form=form)

    @property
    def _targets(self) -> Array:
        """All of a curve in a row `(K, C L + 3)`."""
        return np.concatenate([self.values.reshape(len(self.rows), -1), self.log_seconds, self.kelvin[:, None]], axis=1)

    def expected(
        self, queries: Queries, known: Queries, squared: Array, closed: NDArray[np.bool_], rise: Array, grid: GridConfig
    ) -> tuple[Array, Array, Array]:
        """The remainder: of coded channels `(N, C, L)`, logarithms of seconds `(N, 2)`, and how much warmer it begins `(N,)`.

        Args:
            queries: what is asked for.
            known: all known curves.
            squared: distances of the queries from these, in their context `(N, M)`.
            closed: known curves that must not be used `(N, M)`.
            rise: of the normal curves they are told from, see `rise_of` `(N,)`.
            grid: the anchored grid.
        """
        values = np.zeros((len(queries), *self.values.shape[1:]))
        log_seconds, kelvin = np.zeros((len(queries), 2)), np.zeros(len(queries))
        if not self.rows.size:
            return values, log_seconds, kelvin
        own, targets, owner = known.take(self.rows), self._targets, _owners(grid)
        asked, shown = _regressors(queries, rise), _regressors(own, self.rise)
        for i in np.flatnonzero(queries.inside).tolist():
            alike = (own.label == queries.label[i]) & (own.mode == queries.mode[i])
            other = alike & ~closed[i, self.rows]
            if not other.any():  # no other cell has shown it: all but the curve itself
                other = alike & (own.features[:, CYCLE] != queries.features[i, CYCLE])
            some = np.flatnonzero(other)
            if not some.size:
                continue
            near = squared[i, self.rows[some]]
            weight = np.maximum(np.exp(near.min() - near), EVERYWHERE)[:, None]
            found, form = np.zeros(targets.shape[1]), self.form[some[0]][owner]
            for one in np.unique(form[form != NOTHING]).tolist():
                part, (heat, ridge) = form == one, FORMS[one]
                slopes = _slopes(shown[some], targets[np.ix_(some, part)], weight, ridge, heat=heat)
                found[part] = asked[i] @ slopes
            values[i], log_seconds[i], kelvin[i] = found[:-3].reshape(values.shape[1:]), found[-3:-1], found[-1]
        return values, log_seconds, kelvin


def rise_of(values: Array, mask: NDArray[np.bool_] | None, grid: GridConfig) -> Array:
    """How warm curves `(N, C, L)` end inside their limits, over the surroundings, about one; zero where unknown `(N,)`."""
    late = np.s_[:, TEMPERATURE, 3 * grid.head // 4 : grid.head]
    warm = values[late] if mask is None else np.where(mask[late], values[late], 0.0)
    return np.asarray(warm.mean(axis=1) / TYPICAL_RISE)


def _regressors(queries: Queries, rise: Array) -> Array:
    """What a remainder grows in proportion to, about one each `(N, 2 D + 3)`.

    Severities, alone and with what heat does to the cell, and what physics says of them.
    """
    own = queries.severities
    return np.concatenate([own, own * rise[:, None], queries.first_order / TYPICAL_FIRST_ORDER], axis=1)


def _slopes(shown: Array, targets: Array, weight: Array, ridge: float, *, heat: bool) -> Array:
    """Ridge regression through the origin, with what heat does to the cell or without `(2 D + 3, T)`."""
    used = shown.copy()
    if not heat:
        drives = (shown.shape[1] - len(TYPICAL_FIRST_ORDER)) // 2
        used[:, drives : 2 * drives] = 0.0
    gram = (weight * used).T @ used + ridge * np.eye(used.shape[1])
    return np.asarray(np.linalg.solve(gram, (weight * used).T @ targets))


def _left_out(shown: Array, targets: Array, cell: NDArray[np.int64]) -> Array | None:
    """Squared errors of curves of cells left out, by form `(R, T)`; None where there is one cell only."""
    cells = np.unique(cell)
    if len(cells) < 2:
        return None
    found = np.zeros((len(FORMS), targets.shape[1]))
    found[NOTHING] = np.square(targets).sum(axis=0)
    for one in cells.tolist():
        out = cell == one
        weight = np.ones((int((~out).sum()), 1))
        for i, (heat, ridge) in enumerate(FORMS[1:], 1):
            slopes = _slopes(shown[~out], targets[~out], weight, ridge, heat=heat)
            found[i] += np.square(targets[out] - shown[out] @ slopes).sum(axis=0)
    return found


def _owners(grid: GridConfig) -> NDArray[np.int64]:
    """Which part of a curve each of `FaultEffect._targets` is of `(C L + 3,)`: those of `support.ERRORS`, heads in sections."""
    names, own = list(ERRORS), owners(grid)
    section = np.arange(grid.head - SHARES) * SECTIONS // (grid.head - SHARES)
    own[VOLTAGE, SHARES : grid.head] = np.where(section == 0, own[VOLTAGE, SHARES], len(ERRORS) - 1 + section)
    return np.concatenate([own.ravel(), [names.index("head_seconds"), names.index("tail_seconds"), PARTS - 1]])


@dataclass(frozen=True, eq=False)
class OwnNormals:
    """The cells' own normal curves, which faults inside all limits are told from.

    A charge begins where the one before ended, and a hold ends at some current: what a cycler did, and no fault. Where it is
    known how a curve begins and ends (in training), the normal one is cut to begin and end so. What is drawn begins and ends as
    the normal curve that it is drawn from.

    Attributes:
        there: whether there is one `(N,)`.
        values: coded channels `(N, C, L)`.
        mask: where they are known `(N, C, L)`.
        log_seconds: of head and tail, NaN where there is no tail `(N, 2)`.
        start: where the head shall begin, coded; NaN where it may stay `(N,)`.
        end: logarithm of the current, over the one at the limit, at which a hold shall end; NaN where it may stay `(N,)`.
        celsius: how warm the head shall begin, coded; NaN where it may stay `(N,)`.
    """

    there: NDArray[np.bool_]
    values: Array
    mask: NDArray[np.bool_]
    log_seconds: Array
    start: Array
    end: Array
    celsius: Array

    @classmethod
    def of(cls, normal: SupportSet, there: NDArray[np.bool_]) -> OwnNormals:
        """As they are."""
        open_ends = np.full(len(there), np.nan)
        return cls(there, normal.values.astype(np.float64), normal.mask, normal.log_seconds, open_ends, open_ends, open_ends)

    def begun_as(self, curves: SupportSet, grid: GridConfig) -> OwnNormals:
        """To begin and end as these curves do."""
        holds = (curves.queries.mode == CHARGE) & curves.mask[:, CURRENT, -1] & (curves.queries.peak_volt <= 0.01)
        end = np.where(holds, curves.values[:, CURRENT, -1], np.nan)
        celsius = np.where(curves.mask[:, TEMPERATURE, 0], curves.values[:, TEMPERATURE, 0], np.nan)
        return replace(self, start=curves.values[:, VOLTAGE, START].astype(np.float64), end=end, celsius=celsius)

    def warmer(self, values: Array, rows: NDArray[np.bool_]) -> Array:
        """How much warmer these rows shall begin than their coded channels `(N, C, L)` do, K; NaN where that is open `(N,)`."""
        return np.where(rows, self.celsius - values[:, TEMPERATURE, 0], np.nan)

    def take(self, rows: NDArray[np.int64]) -> OwnNormals:
        """These rows."""
        return OwnNormals(*(getattr(self, field.name)[rows] for field in fields(self)))

    def instead_of(self, values: Array, log_seconds: Array, rows: NDArray[np.bool_]) -> tuple[Array, Array]:
        """These normal curves where they are known, in place of what is expected of others, at these rows `(N,)`."""
        known = rows[:, None, None] & self.mask
        seconds = rows[:, None] & np.isfinite(self.log_seconds)
        return np.where(known, self.values, values), np.where(seconds, self.log_seconds, log_seconds)

    def begun(self, values: Array, log_seconds: Array, rows: NDArray[np.bool_], grid: GridConfig) -> tuple[Array, Array]:
        """Curves that begin and end where they shall: what lies before and after is cut off, or added as it goes on there."""
        values, log_seconds = values.copy(), log_seconds.copy()
        for i in np.flatnonzero(rows & np.isfinite(self.start)).tolist():
            head, rising = slice(0, grid.head), bool(values[i, VOLTAGE, END] > values[i, VOLTAGE, START])
            sign = 1.0 if rising else -1.0
            begins = sign * self.start[i] / LEVEL_WEIGHT
            values[i, VOLTAGE, head], longer = _moved(values[i, VOLTAGE, head], 0.0, rising=rising, begins=begins)
            log_seconds[i, 0] += longer
            if np.isfinite(self.end[i]):
                longer = _ended(values[i, CURRENT, grid.head :], self.end[i], grid)
                log_seconds[i, 1] += longer
        return values, log_seconds


def begun_warmer(values: Array, log_seconds: Array, kelvin: Array, grid: GridConfig) -> Array:
    """Coded channels `(N, C, L)` of curves that begin so much warmer `(N,)`, which they lose as heat goes."""
    values, seconds = values.copy(), np.exp(log_seconds[:, :1]) * head_positions(grid)
    values[:, TEMPERATURE, : grid.head] += kelvin[:, None] * np.exp(-seconds / THERMAL_SECOND)
    return values


def _ended(falling: Array, end: float, grid: GridConfig) -> float:
    """Logarithm of how a hold is stretched that ends at another current; its channel `(tail,)` is changed in place."""
    start, at = float(np.clip(falling[0], 0.0, 0.99)), hold_positions(grid)
    level = np.minimum.accumulate(np.minimum(falling[1:], 0.0))
    slope = (level[-1] - level[-6]) / max(at[-1] - at[-6], 1e-9)
    if end < level[-1] and slope > -1e-3:
        return 0.0  # it does not fall any more: nothing says when it would come there
    reach = 1.0 + (end - level[-1]) / slope if end < level[-1] else float(np.interp(-end, -level, at))
    reach = float(np.clip(reach, 0.05, 5.0))
    own = np.interp(at * reach, np.append(at, 5.0), np.append(level, level[-1] + slope * 4.0))
    whole = start + (1 - start) * reach
    falling[0], falling[1:] = start / whole, own
    return float(np.log(whole))


def at_first_order(values: Array, log_seconds: Array, queries: Queries, grid: GridConfig) -> tuple[Array, Array]:
    """Normal curves as physics says a fault changes them: coded channels `(N, C, L)`, logarithms of seconds of the head `(N,)`.

    A voltage that is moved comes to its limit sooner, or later; what it then passes through lasts as long as it did.
    """
    values, log_seconds = values.copy(), log_seconds.copy()
    for i in np.flatnonzero((queries.first_order != 0).any(axis=1)).tolist():
        moved, log_stretch, kelvin = queries.first_order[i]
        if moved:
            values[i, VOLTAGE, : grid.head], shorter = _moved(
                values[i, VOLTAGE, : grid.head], moved, rising=queries.mode[i] == CHARGE
            )
            log_seconds[i] += shorter
        log_seconds[i] += log_stretch
        values[i, TEMPERATURE, : grid.head] += kelvin
    return values, log_seconds


def _moved(head: Array, moved: float, *, rising: bool, begins: float | None = None) -> tuple[Array, float]:
    """The voltage channel of a head `(head,)` moved by so many windows of progress, and the logarithm of how it is stretched.

    Where it shall begin elsewhere, what lies before is cut off, or goes on as steeply as the curve begins.
    """
    sign = 1.0 if rising else -1.0
    first, last = (sign * head[place] / LEVEL_WEIGHT for place in (START, END))
    begins = min(first + moved if begins is None else begins, last - LEAST_HEAD)
    mode, count = CHARGE if rising else DISCHARGE, head.size - SHARES
    places = head_places(head, mode, count)
    levels, steps = first + (last - first) * places, shares(head[SHARES:], places)
    times = np.append(0.0, np.cumsum(steps))
    # Beyond where the normal curve ends, it goes on as steeply as it did there.
    levels = np.append(levels, levels[-1] + (levels[-1] - levels[-4]) * 100)
    times = np.append(times, times[-1] + steps[-3:].sum() * 100)
    levels = np.append(levels[0] - (levels[3] - levels[0]) * 100, levels)
    times = np.append(-steps[:3].sum() * 100, times)
    found = head.copy()
    found[START] = sign * LEVEL_WEIGHT * begins
    places = head_places(found, mode, count)
    at = np.interp(begins + (last - begins) * places - moved, levels, times)
    found[SHARES:] = log_shares(np.maximum.accumulate(at), places)
    return found, float(np.log(max(at[-1] - at[0], 1e-3)))
