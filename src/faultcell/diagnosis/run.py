"""What is augmentation worth? Fault classifiers, fitted with and without added curves, on cells that none has seen.

Every arm, generated or cheap, adds as many curves, for the same conditions, and gets as many optimiser steps, so that
nothing but the origin of the added curves differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from faultcell.baselines.classical import CONTROLS
from faultcell.curves import severity
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import Array
from faultcell.diagnosis.fitting import Data, fit
from faultcell.diagnosis.gain import (
    BEFORE,
    FOREST,
    PROTOCOL_ONLY,
    THRESHOLD,
    WEIGHTED,
    Fit,
    FitTable,
    Gain,
    Sizes,
    harm,
    verdicts,
)
from faultcell.diagnosis.measures import measure
from faultcell.diagnosis.model_based import MODEL_BASED
from faultcell.diagnosis.tasks import Task, remarks, tasks_of
from faultcell.diagnosis.views import IN_LIMITS, LENGTH, MARGIN, VIEWS
from faultcell.errors import DataError, MissingExtraError
from faultcell.models.classifiers import NETS, PATCH, STEPS, TREES, Threshold, forest, has_rocket, protocol_only, rocket
from faultcell.runtime.workers import Workers, one_thread, spread

ROCKET = "minirocket"
CLASSIFIERS = (*NETS, FOREST, ROCKET, PROTOCOL_ONLY, THRESHOLD, *MODEL_BASED)
PROTOCOL = (
    "A task is one fault against normal curves of the same half-cycle; no test cell is in training, nor behind a generated "
    "curve. The view `whole` is the loaded part, `in_limits` what of it lies before the voltage under load first comes within "
    f"{1000 * MARGIN:g} mV of the limit that the half-cycle can break, cut alike for normal and fault curves. Channels, at "
    f"{LENGTH} equal steps of the part's own duration: voltage over the rated window, |current| and charge so far over nominal "
    "capacity, scaled by mean and spread of the real training curves. Arms: `before` is real curves only, `class_weights` the "
    "same with both classes weighted alike; each further arm adds the same number of fault curves, as many as make both "
    "classes equal, or as many as the smallest generated set has. Cheap controls know the real training faults and draw for "
    "what the taken curves of the first generated set were asked for (without one, for conditions of known faults); `splice` "
    "puts the end of the nearest known fault on the normal curve that a generated one was drawn from, or on any. `forest` has "
    f"{TREES} trees on the same points, `protocol` is a logistic regression on C-rate, ambient temperature and duration alone. "
    "The model-based rival learns from the real, whole curves alone (not in the view `in_limits`): one number of a curve each, "
    "or (`features_...`) a logistic regression on all numbers that the curve alone, a normal curve of its cell, or the other "
    "half of its cycle, too, give. "
    "Each fit "
    f"of a net takes {{steps}} optimiser steps on batches drawn with replacement; recurrent nets take {PATCH} points together. "
    "A seed sets initial weights, batches and which generated curves are taken. An alarm is a score above even odds; recall at "
    "1 % false alarms is that of the best threshold on the test curves. Intervals are 95 % t-intervals over {seeds} seeds; "
    "tests are paired t-tests over seeds of the mean of the nets, not corrected for their number. Both speak of these test "
    "cells and say nothing of other ones."
)


@dataclass(frozen=True, eq=False)
class _Job:
    """One arm of a task, with one seed."""

    task: Task
    arm: str
    seed: int


@dataclass(frozen=True)
class _Plan:
    """What is fitted on every arm."""

    classifiers: tuple[str, ...]
    steps: int


def classify(
    *,
    train: Curves,
    test: Curves,
    synthetic: Curves | Mapping[str, Curves] | None = None,
    seeds: int = 5,
    classifiers: Sequence[str] | None = None,
    views: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    steps: int = STEPS,
    workers: Workers = 1,
    on_fit: Callable[[int, int], None] | None = None,
) -> Gain:
    """Measure what curves added to the training set are worth to fault classifiers.

    Args:
        train: real curves, normal ones and faults; what a generator was adapted to, and what cheap controls draw from.
        test: real curves of other cells.
        synthetic: generated sets by name, drawn without any test cell; a set alone is named `synthetic`.
        seeds: repetitions.
        classifiers: names of `CLASSIFIERS`; all that are installed where not given.
        views: names of `views.VIEWS`; those usual for each fault where not given.
        controls: names of `CONTROLS`; all of them where not given.
        steps: optimiser steps of a net.
        workers: processes, or a cluster; the result is the same for any number of them.
        on_fit: called with the number of fits that are done, and of all.

    Raises:
        DataError: an unknown or doubled name, a test cell in training or behind a generated curve, generated curves among
            the real ones, nothing to tell apart, or a single fault to learn from.
    """
    if seeds < 1 or steps < 1:
        raise DataError(f"seeds and steps must be at least 1, found {seeds} and {steps}")
    generated = {"synthetic": synthetic} if isinstance(synthetic, Curves) else dict(synthetic or {})
    cheap = CONTROLS if controls is None else tuple(controls)
    asked = tuple(classifiers or (name for name in CLASSIFIERS if name != ROCKET or has_rocket()))
    _refuse_names(classifiers=asked, views=tuple(VIEWS) if views is None else views, controls=cheap, generated=tuple(generated))
    refuse_leaks(train=train, test=test, generated=generated)
    train, test = severity.complete(train), severity.complete(test)
    sets = {"train": train, "test": test, "generated": generated}
    found = [task for view in views or VIEWS for task in tasks_of(**sets, view=view, usual=views is None)]  # type: ignore[arg-type]
    tasks, notes = [task for task in found if isinstance(task, Task)], [note for note in found if isinstance(note, str)]
    if not tasks:
        raise DataError(_nothing(notes))
    plan = _Plan(asked, steps)
    jobs = [
        _Job(task, arm, seed)
        for task in tasks
        for seed in range(seeds)
        for arm in (BEFORE, WEIGHTED, *((*cheap, *task.generated) if task.added else ()))
    ]
    rows = _run(jobs, plan, workers=workers, on_fit=on_fit)
    notes += [note for task in tasks for note in remarks(task, names=tuple(generated))]
    if classifiers is None and not has_rocket():
        notes.append('minirocket is left out: aeon is not installed (`pip install "faultcell[rocket]"`)')
    sizes, protocol = [task.sizes for task in tasks], PROTOCOL.format(steps=steps, seeds=seeds)
    return _gain(rows, sizes, notes, generated=tuple(generated), protocol=protocol)


def over_splits(gains: Sequence[Gain]) -> Gain:
    """The gains of several splits by cell as one: intervals and tests are over splits, the seeds of each are averaged.

    A single split stays as it is, with intervals over its seeds.
    """
    if len(gains) == 1:
        return gains[0]
    rows = [row.model_copy(update={"seed": split}) for split, gain in enumerate(gains) for row in gain.rows]
    arms = dict.fromkeys(row.arm for row in rows)
    generated = tuple(arm for arm in arms if arm not in (BEFORE, WEIGHTED, *CONTROLS))
    notes = dict.fromkeys(note for gain in gains for note in _remarks(gain, generated))
    said = f" Intervals and tests are over {len(gains)} splits by cell, paired; the seeds of a split are averaged."
    return _gain(rows, gains[0].tasks, [*notes], generated=generated, protocol=gains[0].protocol + said)


def _remarks(gain: Gain, generated: Sequence[str]) -> list[str]:
    """The notes of a gain that its numbers alone do not make."""
    table = FitTable(gain.rows)
    made = {*harm(table, generated=generated), *verdicts(table, gain.tests, generated=generated)}
    return [note for note in gain.notes if note not in made]


def _gain(rows: list[Fit], sizes: Sequence[Sizes], notes: Sequence[str], *, generated: tuple[str, ...], protocol: str) -> Gain:
    """The record of some fits, with what they say."""
    table = FitTable(rows)
    tests = list(table.tests(generated))
    said = [*harm(table, generated=generated), *notes, *verdicts(table, tests, generated=generated)]
    return Gain(protocol=protocol, tasks=list(sizes), rows=rows, summary=list(table.summary()), tests=tests, notes=said)


def _run(jobs: Sequence[_Job], plan: _Plan, *, workers: Workers, on_fit: Callable[[int, int], None] | None) -> list[Fit]:
    """All fits in the order of the jobs."""
    total = sum(len(_fitted(job, plan)) for job in jobs)
    rows: list[Fit] = []
    for found in spread(partial(_arm, plan), jobs, workers=workers):
        rows += found
        if on_fit is not None:
            on_fit(len(rows), total)
    return rows


def _fitted(job: _Job, plan: _Plan) -> tuple[str, ...]:
    """The classifiers fitted on an arm: the threshold and the model-based rival take no drawn curves nor seed.

    The latter reads whole curves, and so has no place in a view that hides a part of them.
    """
    once = job.arm == BEFORE and job.seed == 0
    rival = once and job.task.view != IN_LIMITS
    return tuple(name for name in plan.classifiers if (rival if name in MODEL_BASED else once if name == THRESHOLD else True))


def _arm(plan: _Plan, job: _Job) -> list[Fit]:
    """Every classifier on one arm."""
    task, rows = job.task, []
    data = Data.of(task, task.addition(job.arm, seed=job.seed))
    place = {"task": task.name, "view": task.view, "arm": job.arm, "seed": job.seed, "added": data.added}
    for name in _fitted(job, plan):
        score, alarm = _alarms(name, data, job=job, steps=plan.steps)
        values = {**measure(task.test.truth, score=score, alarm=alarm), **task.graded.measures(score)}
        rows.append(Fit(classifier=name, **place, **values, by_severity=task.graded.by_severity(score)))
    return rows


def _alarms(name: str, data: Data, *, job: _Job, steps: int) -> tuple[Array, NDArray[np.int64]]:
    """Scores and alarms of one classifier on the test curves `(M,)`."""
    weighted = job.arm == WEIGHTED
    if name == THRESHOLD:
        detector = Threshold(severity.NOISE_VOLT)
        return detector.decision_function(data.beyond), detector.predict(data.beyond)
    if name in MODEL_BASED:
        rival = MODEL_BASED[name]().fit(job.task.features[0], job.task.train.truth)
        return rival.decision_function(job.task.features[1]), rival.predict(job.task.features[1])
    if name == ROCKET:
        ridge = rocket(seed=job.seed, class_weight="balanced" if weighted else None).fit(data.train, data.truth)
        return ridge.decision_function(data.test), ridge.predict(data.test)
    if name == PROTOCOL_ONLY:
        odds = protocol_only().fit(data.protocol, data.truth).predict_proba(data.test_protocol)
    elif name == FOREST:
        train, test = (values.reshape(len(values), -1) for values in (data.train, data.test))
        trees = forest(seed=job.seed, class_weight="balanced" if weighted else None)
        odds = trees.fit(train, data.truth).predict_proba(test)
    else:
        with one_thread():
            odds = fit(name, data, seed=job.seed, steps=steps, weighted=weighted).predict_proba(data.test)
    score = odds[:, 1].astype(np.float64)
    return score, (score > 0.5).astype(np.int64)


def _refuse_names(
    *, classifiers: Sequence[str], views: Sequence[str], controls: Sequence[str], generated: Sequence[str]
) -> None:
    known = {"classifier": CLASSIFIERS, "view": tuple(VIEWS), "control": CONTROLS}
    for what, names in (("classifier", classifiers), ("view", views), ("control", controls)):
        for name in names:
            if name not in known[what]:
                raise DataError(f"unknown {what} '{name}': choose from {', '.join(known[what])}")
    for name in generated:
        if name in (BEFORE, WEIGHTED, *CONTROLS):
            raise DataError(f"a generated set is named '{name}', which is the name of another arm: rename it")
    if not classifiers or not views:
        raise DataError("there is nothing to fit: name at least one classifier and one view")
    if ROCKET in classifiers and not has_rocket():
        raise MissingExtraError("aeon", "rocket")


def refuse_leaks(*, train: Curves, test: Curves, generated: Mapping[str, Curves]) -> None:
    """Raise DataError if a test cell has been seen or asked for, or a real set holds generated curves."""
    for name, curves in (("training", train), ("test", test)):
        curves.refuse_generated(name)
    seen = sorted(set(train.cells) & set(test.cells))
    if seen:
        raise DataError(f"cell {seen[0]} is in the training and in the test set: split by cell")
    for name, curves in generated.items():
        # A second curve for the same condition is named after its cell with a number behind.
        origins = {cell: re.sub(r"-\d+$", "", cell) for cell in curves.cells if cell not in train.cells}
        leaked = sorted((set(origins) | set(origins.values())) & set(test.cells))
        if leaked:
            raise DataError(
                f"set '{name}' was drawn for conditions of the test cell {leaked[0]}: draw for conditions of training cells, "
                "or for ranges of severity"
            )


def _nothing(reasons: Sequence[str]) -> str:
    found = "; ".join(reasons) or f"neither set has curves labelled {', '.join(FAULTS)}"
    return f"there is nothing to classify ({found}): give both sets faults of one kind and normal curves of its half-cycle"
