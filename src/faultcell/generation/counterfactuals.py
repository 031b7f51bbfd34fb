"""Normal curves gone wrong: what the next cycle of a cell would have been, had it been driven beyond its limit.

Someone who has thousands of normal curves and a handful of faults needs a training set. Each of its faults is drawn from a
normal curve, which is its reference: with the context, the load and the cell of that curve, one cycle later, and as deep as
known faults are. So a classifier learns the fault, and not the few cells it was seen in.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.bundle.profile import ROUNDING, Profile
from faultcell.config import GridConfig
from faultcell.curves.condition import Condition, severe
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, fault, stays_inside
from faultcell.curves.plausibility import loaded_curves
from faultcell.curves.schema import KEYS, NORMAL, SEVERITY, SOURCE, Array, Key
from faultcell.curves.severity import SIDES, complete
from faultcell.encoding.dataset import on_grid
from faultcell.errors import ConditionError, DataError, OutOfRangeWarning
from faultcell.generation.depths import Depths, depths_of
from faultcell.generation.drawing import NAMED, Drawing, tell_left_out
from faultcell.regression.references import References
from faultcell.regression.residual import ResidualEncoder
from faultcell.runtime.workers import Workers

FAR_INSIDE = 0.1  # of the rated window


def counterfactual(normal: Sequence[Condition], faults: Sequence[Condition]) -> list[Condition]:
    """Conditions of normal curves, gone wrong: each one's own context and cell, one cycle later, as severe as a fault.

    Args:
        normal: conditions of normal curves, as `conditions_of` tells them.
        faults: one for each, of which label and severity are taken.

    Raises:
        ConditionError: not as many faults as normal curves, or one that does not show in the half-cycle of its curve.
    """
    if len(normal) != len(faults):
        raise ConditionError(f"each normal curve needs one fault: found {len(normal)} curves and {len(faults)} faults")
    return [_gone_wrong(*both) for both in zip(normal, faults, strict=True)]


def _gone_wrong(normal: Condition, wrong: Condition) -> Condition:
    if wrong.step != normal.step:
        raise ConditionError(f"{wrong.fault} shows in a {wrong.step}, found a normal {normal.step} for it")
    # What breaks no limit goes as far as the protocol of the normal curve does.
    severity = {name: getattr(wrong, name) for name in (("severities",) if stays_inside(wrong.fault) else SEVERITY)}
    # A steady load follows from the C-rate; what falls at the end of a charge goes on differently beyond the limit.
    load = normal.load if normal.load is not None and normal.load.is_pulsed else None
    cycle = None if normal.cycle_count is None else normal.cycle_count + 1
    return replace(normal, fault=wrong.fault, **severity, cycle_count=cycle, load=load)


@dataclass(frozen=True)
class Unserved:
    """Normal curves that cannot serve, and why.

    Attributes:
        reason: in words.
        count: how many.
        named: some of them.
    """

    reason: str
    count: int
    named: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.named) else ""
        return f"{self.count} {self.reason} ({', '.join(self.named)}{more})"


@dataclass(frozen=True, eq=False)
class Plan(Sequence[Condition]):
    """Which fault is drawn from which normal curve: conditions that are made as they are asked for.

    Attributes:
        normal: conditions of the normal curves that can serve.
        cycles: their own.
        references: the curves themselves.
        row: which of them each fault is drawn from `(N,)`.
        label: place of each fault in `labels` `(N,)`.
        labels: names of the faults.
        severities: what the columns of `depth` are.
        depth: how severe each is, zero in what is another fault's; what follows from it is left to the model `(N, S)`.
        unserved: normal curves that cannot serve.
    """

    normal: Sequence[Condition]
    cycles: Sequence[tuple[str, int]]
    references: References
    row: NDArray[np.int64]
    label: NDArray[np.int64]
    labels: tuple[str, ...]
    severities: tuple[str, ...]
    depth: Array
    unserved: tuple[Unserved, ...]

    @classmethod
    def of(
        cls,
        normal: Curves,
        encoder: ResidualEncoder,
        profile: Profile,
        *,
        count: int | None,
        faults: Sequence[str] | None,
        severity: Depths,
        seed: int,
    ) -> Plan:
        """Choose them.

        Args:
            normal: normal curves.
            encoder: of the model, with the faults it knows.
            profile: of the model.
            count: how many faults, shared among labels; as many as make each as frequent as normal curves of its half-cycle
                where not given.
            faults: labels; all that the model knows where not given.
            severity: `between` two known faults each, a `grid` over their range, or values of the faults' first severity (peak
                deviation, V) to take in turn, or by the name of a severity.
            seed: of the choice.

        Raises:
            ConditionError: a fault the model has not seen, no normal curve of its half-cycle, or nothing to draw.
            DataError: faults or generated curves are among the normal ones.
        """
        labels = _labels(profile, faults)
        _refuse_faults(normal)
        references = References.of(normal, faults=profile.faults, grid=encoder.regression.grid)
        normal = complete(normal)
        conditions, keys = conditions_of(normal), normal.halfcycles.select(KEYS).rows()
        whole, steps = _whole(normal), {step for name in labels for step in fault(name).step_types}
        serving, unserved = _serving(conditions, keys, usable=set(references.keys), whole=whole, steps=steps)
        served, cycles = [conditions[row] for row in serving], [keys[row][:2] for row in serving]
        own = {name: [i for i, c in enumerate(served) if c.step in fault(name).step_types] for name in labels}
        for name in labels:
            if not own[name]:
                step = " or ".join(fault(name).step_types)
                left = f"; left out are {'; '.join(map(str, unserved))}" if unserved else ""
                raise ConditionError(
                    f"no normal {step} can serve for {name}{left}: give normal {step}s, or choose other faults with --fault"
                )
        counts = _counts(own, profile, count)
        rng = np.random.default_rng(seed)
        rows, depths = list[NDArray[np.int64]](), list[Array]()
        severities = tuple(dict.fromkeys(one.name for name in labels for one in fault(name).asked_by))
        for name in labels:
            rows.append(np.array(own[name])[even([cycles[i][0] for i in own[name]], counts[name], rng)])
            deep = np.zeros((counts[name], len(severities)))
            columns = [severities.index(one.name) for one in fault(name).asked_by]
            deep[:, columns] = depths_of(name, counts[name], encoder, profile, severity=severity, rng=rng)
            depths.append(deep)
        # Labels take turns, so that whatever is looked at first shows all of them.
        turn = np.concatenate([np.arange(counts[name]) / max(counts[name], 1) for name in labels])
        label = np.repeat(np.arange(len(labels)), [counts[name] for name in labels])
        order = np.lexsort([label, turn])
        row, depth = np.concatenate(rows), np.concatenate(depths)
        _warn_beyond(depth, severities, label, labels, profile)
        return cls(served, cycles, references, row[order], label[order], labels, severities, depth[order], unserved)

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, index: int) -> Condition: ...

    @overload
    def __getitem__(self, index: slice) -> list[Condition]: ...

    def __getitem__(self, index: int | slice) -> Condition | list[Condition]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        normal, name = self.normal[self.row[index]], self.labels[self.label[index]]
        deep = {one.name: float(self.depth[index, self.severities.index(one.name)]) for one in fault(name).asked_by}
        return _gone_wrong(normal, severe(name, deep, step_type=normal.step))

    def part(self, own: slice) -> Plan:
        """Some of its faults, which are drawn as they are of the whole, with the seeds that they have there."""
        return replace(self, row=self.row[own], label=self.label[own], depth=self.depth[own])

    @property
    def extremes(self) -> list[Condition]:
        """One condition of each curve that serves, and the deepest: who checks what no cell can have need not look at all."""
        first = np.unique(self.row, return_index=True)[1].tolist()
        return [self[i] for i in (*first, *(np.abs(self.depth).argmax(axis=0).tolist() if len(self) else []))]

    def sources(self, places: NDArray[np.int64]) -> pl.DataFrame:
        """The cells and cycles that the faults at these places are drawn from, by the columns `SOURCE` `(n, 2)`."""
        rows = [self.cycles[row] for row in self.row[places].tolist()]
        return pl.DataFrame(rows, schema=dict(zip(SOURCE, (pl.String, pl.Int64), strict=True)), orient="row")

    def named(self, seeds: Iterable[int], *, seed: int) -> list[str]:
        """The curves that the faults of these seeds are drawn from, for people; `seed` is that of the first fault."""
        return [f"{cell} cycle {cycle}" for cell, cycle in self.sources(np.array([*seeds], dtype=np.int64) - seed).rows()]

    @property
    def often(self) -> tuple[int, int]:
        """How often the normal curves that serve are drawn from, at least and at most."""
        used = np.bincount(self.row)
        return int(used[used > 0].min()), int(used.max())


def gone_wrong(
    plan: Plan, drawing: Drawing, *, seed: int, workers: Workers = 1, on_chunk: Callable[[int, int], None] | None = None
) -> Iterator[Curves]:
    """The faults of a plan, a block at a time, with what they were drawn from in the columns `SOURCE`.

    A curve is named after its cell and its seed.

    Args:
        plan: what is drawn from what.
        drawing: the model, with the references of the plan.
        seed: of the first curve; the next ones count on.
        workers: processes, or a cluster.
        on_chunk: called with curves done and curves in all.

    Raises:
        ImplausibleError: no draw at all is one that a cell could have made.

    Warns:
        LeftOutWarning: once, at the end, of how many faults there is none that a cell could have made.
    """
    undrawn = dict[int, str]()
    yield from draw_plan(plan, replace(drawing, undrawn=undrawn), seed=seed, workers=workers, on_chunk=on_chunk)
    tell_left_out(undrawn, plan.named(undrawn, seed=seed), of=len(plan))


def draw_plan(
    plan: Plan, drawing: Drawing, *, seed: int, workers: Workers = 1, on_chunk: Callable[[int, int], None] | None = None
) -> Iterator[Curves]:
    """The same; what is left out is said to nobody, but kept in `drawing.undrawn`."""
    for made in drawing.blocks(plan, range(seed, seed + len(plan)), workers=workers, on_chunk=on_chunk):
        if len(made):
            yield from_sources(made, plan.sources(made.halfcycles["seed"].to_numpy() - seed))


def from_sources(made: Curves, sources: pl.DataFrame) -> Curves:
    """Drawn curves, each named after its seed and the cell it was drawn from, with the columns `SOURCE` `(N, 2)`."""
    seeds = made.halfcycles["seed"]
    names = pl.Series("cell_id", [f"{cell}-{own:06d}" for cell, own in zip(sources[SOURCE[0]], seeds, strict=True)])
    lengths = np.diff(made.offsets)
    timeseries = made.timeseries.with_columns(names[np.repeat(np.arange(len(made)), lengths)])
    return Curves(timeseries, made.halfcycles.with_columns(names).hstack(sources))


def able(normal: Curves, grid: GridConfig) -> tuple[list[Key], tuple[Unserved, ...]]:
    """The normal charges and discharges that a fault can be drawn from, and those that cannot and why.

    Raises:
        DataError: neither charges nor discharges, or faults or generated curves, are among them.
    """
    _refuse_faults(normal)
    normal, conditions, encoded = on_grid(normal, grid)
    keys = normal.halfcycles.select(KEYS).rows()
    usable = {keys[row] for row in np.flatnonzero(encoded.usable).tolist()}
    serving, unserved = _serving(conditions, keys, usable=usable, whole=_whole(normal), steps=set(SIDES.values()))
    return [keys[row] for row in serving], unserved


def _warn_beyond(
    depth: Array, severities: Sequence[str], label: NDArray[np.int64], labels: Sequence[str], profile: Profile
) -> None:
    """Warn once of each label and severity some of whose values `(N, S)` lie outside of what the model has seen."""
    for i, name in enumerate(labels):
        for one in fault(name).asked_by:
            least, most = profile.ranges[name][one.name]
            own = depth[label == i, severities.index(one.name)]
            share = float(((own < least - ROUNDING) | (own > most + ROUNDING)).mean()) if own.size else 0.0
            if share:
                warnings.warn(
                    f"{round(100 * share)} % of the {name} curves are asked for with a {one.name} outside what the model has "
                    f"seen ({least:g} to {most:g} {one.unit}): they are extrapolations",
                    OutOfRangeWarning,
                    stacklevel=4,
                )


def _labels(profile: Profile, faults: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(name for name in profile.labels if name in FAULTS)
    for name in dict.fromkeys(faults or ()):
        if name not in known:
            raise ConditionError(f"the model has never seen the fault '{name}': it knows {', '.join(known) or 'none'}")
    if not known:
        raise ConditionError("the model has seen no fault: adapt it to a few first, or give them with --faults")
    return tuple(dict.fromkeys(faults)) if faults else known


def _refuse_faults(normal: Curves) -> None:
    """Raise DataError where a curve is labelled a fault, or generated."""
    normal.refuse_generated("normal")
    labels = Counter(name for name in normal.halfcycles["label"] if name not in (None, NORMAL))
    for name, count in labels.items():
        raise DataError(f"{count} curves labelled {name} are among the normal ones: give normal curves alone")


def _whole(curves: Curves) -> list[bool]:
    """Whether each curve comes near its limit or beyond: of one that was broken off nobody knows how it would have gone on."""
    ends = [(one, one.voltage[-1] if one.time.size else np.nan) for one in loaded_curves(curves)]
    return [bool((one.limit - end) * (1 if one.charge_step else -1) <= FAR_INSIDE * one.window) for one, end in ends]


def _serving(
    conditions: Sequence[Condition], keys: Sequence[Key], *, usable: set[Key], whole: Sequence[bool], steps: set[str]
) -> tuple[list[int], tuple[Unserved, ...]]:
    """Which normal curves can serve, and which cannot and why."""
    serving, left = list[int](), dict[str, list[str]]()
    for row, (condition, key) in enumerate(zip(conditions, keys, strict=True)):
        if condition.step not in steps:
            reason = f"{condition.step}s, in which none of the faults shows"
        elif key not in usable:
            reason = "too short, or not within their limits to begin with"
        elif not whole[row]:
            reason = "broken off far inside their limits"
        elif condition.limits is None or condition.nominal_capacity_ah is None or condition.c_rate is None:
            reason = "without rated limits, nominal capacity or load"
        else:
            serving.append(row)
            continue
        left.setdefault(reason, []).append(f"{key[0]} cycle {key[1]}")
    return serving, tuple(Unserved(reason, len(names), tuple(names[:NAMED])) for reason, names in left.items())


def _counts(own: dict[str, list[int]], profile: Profile, count: int | None) -> dict[str, int]:
    """How many faults of each label."""
    if count is not None:
        share, more = divmod(count, len(own))
        return {name: share + (i < more) for i, name in enumerate(own)}
    alike = Counter(step for name in own for step in fault(name).step_types)
    most = {name: max(alike[step] for step in fault(name).step_types) for name in own}
    found = {name: max(len(rows) // most[name] - profile.labels.get(name, 0), 0) for name, rows in own.items()}
    if not any(found.values()):
        raise ConditionError("the faults are as frequent as the normal curves already: say how many more with --count")
    return found


def even(cells: Sequence[str], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of curves `(count,)`: every cell the same share, and within a cell no curve again before each had its turn."""
    if not count:
        return np.zeros(0, dtype=np.int64)
    names, number = np.unique(cells, return_inverse=True)
    turns = []
    for i in rng.permutation(len(names)):
        own, needed = np.flatnonzero(number == i), -(-count // len(names))
        rounds = [rng.permutation(own) for _ in range(-(-needed // len(own)))]
        turns.append(np.concatenate(rounds)[:needed])
    return np.stack(turns, axis=1).ravel()[:count].astype(np.int64)
