"""The tasks of fault classifiers: one fault against normal curves of the same half-cycle, and what an arm adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.baselines.classical import CHEAP, FROM_NORMAL
from faultcell.curves import severity
from faultcell.curves.against_normal import first_normals
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, half_cycles, inside, resting, resting_name
from faultcell.curves.schema import NORMAL, REST, SEVERITY, SOURCE, Array
from faultcell.diagnosis.detection import Graded
from faultcell.diagnosis.gain import BEFORE, WEIGHTED, Sizes, percent
from faultcell.diagnosis.model_based import features
from faultcell.diagnosis.views import BESIDE, MARGIN, PLAIN, WARM, Seen, see
from faultcell.encoding.assemble import REQUESTED

FEWEST_FAULTS = 2
NO_SPREAD = 1e-6


@dataclass(frozen=True, eq=False)
class Real:
    """Real curves of a task, normal ones first.

    Attributes:
        truth: one for a fault `(N,)`.
        seen: the same curves in the view.
        faults: the faults among them.
        normal: the others.
        unusable: curves left out, since the view shows nothing of them.
    """

    truth: NDArray[np.int64]
    seen: Seen
    faults: Curves
    normal: Curves
    unusable: int

    def count(self, fault: int) -> int:
        """Faults (1) or normal curves (0)."""
        return int((self.truth == fault).sum())


@dataclass(frozen=True, eq=False)
class Task:
    """One fault against normal curves of the same half-cycle, in one view.

    Attributes:
        name: of the fault in its half-cycle.
        label: the fault.
        step: the half-cycle.
        view: a name of `views.VIEWS`.
        train: what classifiers learn from.
        test: of other cells.
        generated: curves of that fault by name of their set, in order.
        added: curves that an arm adds.
        known: all real training curves, of any half-cycle.
        unseen: all test curves, of any half-cycle.
    """

    name: str
    label: str
    step: str
    view: str
    train: Real
    test: Real
    generated: dict[str, Curves]
    added: int
    known: Curves
    unseen: Curves

    @cached_property
    def graded(self) -> Graded:
        """The test curves with how severe they are."""
        real = self.test
        return Graded.of(self.label, self.step, normal=real.normal, faults=real.faults, truth=real.truth)

    @cached_property
    def features(self) -> tuple[Array, Array]:
        """What the model-based rival knows of training and of test curves `(N, F)` and `(M, F)`."""
        pairs = ((self.train, self.known), (self.test, self.unseen))
        return tuple(features(Curves.concat([real.normal, real.faults]), among) for real, among in pairs)  # type: ignore[return-value]

    @property
    def sizes(self) -> Sizes:
        """Its numbers of curves."""
        return Sizes(
            task=self.name,
            view=self.view,
            train_normal=self.train.count(0),
            train_fault=self.train.count(1),
            test_normal=self.test.count(0),
            test_fault=self.test.count(1),
            added=self.added,
        )

    @property
    def scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and spread of each channel of the real training curves `(1, C, 1)`."""
        real = self.train.seen.values
        spread = np.maximum(real.std(axis=(0, 2), keepdims=True), NO_SPREAD)
        return np.asarray(real.mean(axis=(0, 2), keepdims=True)), np.asarray(spread, dtype=np.float32)

    def scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Channels `(N, C, L)` by mean and spread of the real training curves, whatever an arm adds to them."""
        mean, spread = self.scale
        return np.asarray((values - mean) / spread, dtype=np.float32)

    def addition(self, arm: str, *, seed: int) -> Curves | None:
        """The curves that an arm adds, None if it adds none.

        Args:
            arm: `before`, `class_weights`, a generated set of this task, or a cheap control.
            seed: which of the generated curves are taken, or with which seeds a control draws.
        """
        if arm in (BEFORE, WEIGHTED) or not self.added:
            return None
        if arm in self.generated:
            return _some(self.generated[arm], self.added, seed=seed)
        real = self.train
        source = FROM_NORMAL[arm](real.faults, real.normal) if arm in FROM_NORMAL else CHEAP[arm](real.faults)
        return source.draw(self._asked(seed), range(seed * self.added, (seed + 1) * self.added))

    def _asked(self, seed: int) -> list[Condition]:
        """What the curves taken of the first generated set were asked for; without one, conditions of known faults."""
        for curves in self.generated.values():
            return requested(_some(curves, self.added, seed=seed))
        known = conditions_of(self.train.faults)
        return [known[i] for i in np.random.default_rng(seed).integers(len(known), size=self.added)]


def _some(curves: Curves, count: int, *, seed: int) -> Curves:
    return curves.take(np.random.default_rng(seed).permutation(len(curves))[:count].tolist())


def requested(curves: Curves) -> list[Condition]:
    """The conditions that faults were drawn for; as measured, where their tables do not tell.

    A curve that came out inside its limits, and of which nothing is told, counts as beyond them by the noise of a reading.
    """
    known = [name for name in REQUESTED if f"requested_{name}" in curves.halfcycles.columns]
    told = curves.halfcycles.select(pl.col(f"requested_{name}").fill_nan(None).alias(name) for name in known)
    deep, whole = SEVERITY[0], severity.complete(curves)
    peaks = [pl.Series(told[deep])] if deep in known else []
    hidden = [
        pl.coalesce(pl.col(f"requested_{one.name}").cast(pl.Float64).fill_nan(None), one.name).alias(one.name)
        for one in (*inside(FAULTS), *resting(FAULTS))
        if {one.name, f"requested_{one.name}"} <= set(whole.halfcycles.columns)
    ]
    peak = pl.max_horizontal(pl.coalesce(*peaks, deep), pl.lit(severity.NOISE_VOLT)).alias(deep)
    conditions = conditions_of(Curves(whole.timeseries, whole.halfcycles.with_columns(peak, *hidden)))
    others = told.drop(deep, strict=False).with_columns(pl.col("^cycle_count$").cast(pl.Int64)).to_dicts()
    found = [replace(c, **row) for c, row in zip(conditions, others, strict=True)] if others else conditions
    if "source_cell_id" in curves.halfcycles.columns:
        sources = curves.halfcycles["source_cell_id"].to_list()
        found = [replace(c, cell_id=cell or c.cell_id) for c, cell in zip(found, sources, strict=True)]
    return found


def tasks_of(
    *, train: Curves, test: Curves, generated: Mapping[str, Curves], view: str, usual: bool = False
) -> Iterator[Task | str]:
    """A task for each fault of which the view shows enough in both sets; of a fault for which there is none, why.

    Args:
        train: real curves, their severities filled in.
        test: real curves of other cells.
        generated: sets of generated curves by name.
        view: a name of `views.VIEWS`.
        usual: only of faults for which the view is usual.
    """
    for label in FAULTS:
        places = _records(label, view, usual=usual, train=train, test=test)
        if not places:
            continue
        if view in WARM and not (has_temperature(train) and has_temperature(test)):
            yield f"{view} view: {label} is left out, since a set has no surface_temperature_celsius"
            continue
        for name, step in places.items():
            yield _task(name, label, step, view=view, train=train, test=test, generated=generated)


def _task(
    name: str, label: str, step: str, *, view: str, train: Curves, test: Curves, generated: Mapping[str, Curves]
) -> Task | str:
    """A fault in a kind of record; what a set lacks of it, in words, where there is no task."""
    learnt, unseen = _real(train, label, step, view=view), _real(test, label, step, view=view)
    lacking = _lacking(label, step, train=learnt, test=unseen)
    if lacking:
        return f"{view} view: {name} is left out, since {lacking}"
    sets = {other: _faults(curves, label, step, view=view, train=train) for other, curves in generated.items()}
    sets = {other: curves for other, curves in sets.items() if len(curves)}
    missing = max(learnt.count(0) - learnt.count(1), 0)
    added = min([missing, *map(len, sets.values())])
    return Task(name, label, step, view, learnt, unseen, sets, added, train, test)


def _records(label: str, view: str, *, usual: bool, train: Curves, test: Curves) -> dict[str, str]:
    """The kinds of record in which a fault is looked for, by a name for it there: rests only where both sets have any."""
    steps = [set(curves.halfcycles.filter(label=label)["step_type"]) for curves in (train, test)]
    found = dict[str, str]()
    if (steps[0] | steps[1]) - {REST} and (not usual or view in usual_views(label)):
        found |= half_cycles(label)
    if REST in steps[0] & steps[1] and view not in BESIDE and (not usual or view == PLAIN[0]):
        found[resting_name(label)] = REST
    return found


def _real(curves: Curves, label: str, step: str, *, view: str) -> Real:
    """Usable curves of a task."""
    own = pl.col("step_type") == step
    both = Curves.concat([curves.where(pl.col("label") == name, own) for name in (NORMAL, label)])
    seen = see(both, view, normal=curves, references=first_normals(both, curves))
    rows = np.flatnonzero(seen.usable)
    kept = both.take(rows.tolist())
    truth = (kept.halfcycles["label"] == label).to_numpy().astype(np.int64)
    faults, normal = (kept.where(pl.col("label") == name) for name in (label, NORMAL))
    return Real(truth, seen.take(rows), faults, normal, int((~seen.usable).sum()))


def _faults(curves: Curves, label: str, step: str, *, view: str, train: Curves) -> Curves:
    """Usable generated curves of a fault."""
    faults = curves.where(pl.col("label") == label, pl.col("step_type") == step)
    return faults.take(np.flatnonzero(seen_beside(faults, view, train).usable).tolist())


def seen_beside(drawn: Curves, view: str, train: Curves) -> Seen:
    """Drawn curves in a view, each beside a normal curve of the cell that it was drawn from.

    Args:
        drawn: generated curves.
        view: a name of `views.VIEWS`.
        train: the real curves they were drawn from.
    """
    if view not in BESIDE:
        return see(drawn, view)
    cells = drawn.halfcycles[SOURCE[0]].to_list() if SOURCE[0] in drawn.halfcycles.columns else None
    return see(drawn, view, normal=train, references=first_normals(drawn, train, cells=cells))


def usual_views(label: str) -> tuple[str, ...]:
    """The views in which a fault is told from normal curves, where none is named."""
    return PLAIN if FAULTS[label].side is not None else WARM


def has_temperature(curves: Curves) -> bool:
    """Whether any sample of a set has a surface temperature."""
    return bool(np.isfinite(curves.column("surface_temperature_celsius")).any())


def _lacking(label: str, step: str, *, train: Real, test: Real) -> str:
    """What a set lacks, empty if nothing."""
    for place, real in (("training", train), ("test", test)):
        for fault, what in ((1, label), (0, f"normal {step}")):
            if not real.count(fault):
                return f"the {place} set has no usable {what} curve"
    if train.count(1) < FEWEST_FAULTS:
        return f"the training set has {train.count(1)} usable {label} curve and at least {FEWEST_FAULTS} are needed"
    return ""


def remarks(task: Task, *, names: Sequence[str]) -> Iterator[str]:
    """What has to be known of a task to read its numbers.

    Args:
        task: the task.
        names: of all generated sets.
    """
    place = f"{task.view} view, {task.name}"
    if task.train.unusable + task.test.unusable:
        left_out = f"{task.train.unusable} training and {task.test.unusable} test curves"
        yield f"{place}: {left_out} show too little and are left out"
    for name in names:
        if name not in task.generated:
            yield f"{place}: {name} has no usable curve of that label and is left out"
    missing = task.train.count(0) - task.train.count(1)
    if 0 < task.added < missing and task.generated:
        least = min(task.generated, key=lambda name: len(task.generated[name]))
        yield f"{place}: every arm adds {task.added} curves where {missing} would balance the classes, for {least} has no more"
    if not task.added:
        yield f"{place}: there are as many faults as normal curves, so that nothing is added"
    short = ~task.test.seen.at_limit & (task.test.truth == 0)
    if task.view == "in_limits" and short.any():
        share = percent(short.sum() / task.test.count(0))
        yield (
            f"{place}: {share} of the normal test curves end more than {1000 * MARGIN:g} mV inside their limit, which tells "
            "them apart"
        )
