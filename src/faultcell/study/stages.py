"""A whole study, in stages that can be stopped and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from faultcell import __version__
from faultcell.baselines.classical import FROM_NORMAL
from faultcell.curves.curves import Curves
from faultcell.curves.faults import stays_inside
from faultcell.curves.fingerprint import fingerprint
from faultcell.curves.schema import NORMAL
from faultcell.diagnosis import Gain, classify
from faultcell.diagnosis.run import over_splits
from faultcell.diagnosis.tasks import has_temperature
from faultcell.diagnosis.views import PLAIN, WARM
from faultcell.errors import DataError
from faultcell.files import read
from faultcell.files.durable.atomic import refuse_other, whole_folder, write_text
from faultcell.files.durable.swap import tidy
from faultcell.runtime.workers import Processes, Workers
from faultcell.study import claims, findings, jobs, pearson, tables
from faultcell.study.jobs import Job, Place, Result
from faultcell.study.plan import DIFFUSION, StudyConfig, Variant, bases, from_normal, variants
from faultcell.study.split import Split, divide

RESULT, PAGE, CONFIG, TABLES = "study.json", "report.html", "config.json", "tables"
CONTENTS = (RESULT, PAGE, CONFIG, TABLES, "data", "models", "drawn", "stages", jobs.SPLITS)
LIMITS = (
    "Ablations, figures and severity are of the first split; classifiers and the fidelity over splits are of all.",
    "Every generator but those of the paper shares the anchored grid, the expectation from neighbours and the condition vector "
    "of the diffusion model: the comparison is between networks and losses, not between whole published pipelines. Baselines "
    "draw durations from a conditional Gaussian.",
    "All generators but the paper's diffusion model, which takes its own epochs, get the same number of optimiser steps.",
    "The paper's model is ours as far as its text goes (`faultcell.presets.paper`): its data, its network's size, its noise "
    "schedule and its sampler are not told. Nothing holds its draws against what a cell can do.",
    "The paper's data are not public, and it states neither its bins nor its pairing: its numbers stand beside ours for "
    "orientation, not for ranking.",
    "Augmentation can make a classifier better at faults like those it was adapted to. It cannot invent a kind of fault that "
    "nobody measured.",
)
Tick = Callable[[str, int, int], None]


def run(out: Path, data: Curves, *, config: StudyConfig | None = None, workers: Workers = 1, tick: Tick | None = None) -> Path:
    """Run a study, or go on with one that was stopped, and write its tables and `study.json`.

    Args:
        out: folder of the study.
        data: a curve set with normal curves and at least one fault in two or more cells.
        config: every knob; the full study where not given.
        workers: processes, or a cluster that sees the folder by the same name; the results are the same whatever they are.
        tick: called with what is being done, how much of it is done and how much there is.

    Returns:
        Path of `study.json`.

    Raises:
        DataError: the data do not allow a study, or the folder holds something else, or a study of other data or settings.
    """
    out = Path(out).absolute()  # who works elsewhere has another working directory
    if isinstance(workers, int) and workers > 1:
        with Processes(workers) as processes:  # for all stages
            return run(out, data, config=config, workers=processes, tick=tick)
    config, tick = config or StudyConfig(), tick or (lambda *_: None)
    place = Place(out, config)
    split = _begin(place, data)
    plan = variants(config)
    first = _of_split(place, plan, workers=workers, tick=tick)
    others = []
    for number in range(1, config.splits):
        own = place.of_split(number)
        _divided(own, data)
        told = partial(_numbered, tick, number)
        others.append(_of_split(own, [], workers=workers, tick=told))
    gain = over_splits([done.gain for done in (first, *others)])
    tick("writing", 0, 1)
    found = {
        "cost": tables.cost(first.base, first.adapted),
        "fidelity": tables.fidelity(first.adapted, first.cheap),
        "splits": tables.splits([(done.adapted, done.cheap) for done in (first, *others)]),
        "sets": tables.sets(first.adapted, first.cheap),
        "epochs": tables.epochs(first.adapted[DIFFUSION]),
        "ablations": tables.ablations(config, plan, results=first.results, few=len(jobs.few_of(place))),
        "pearson": pearson.analyse(Curves.concat([split.faults, split.test])),
        "embedding": tables.embedding(place, split.test, drawn={name: read(place.drawn(name)) for name in config.compared}),
        **tables.classifiers(gain),
    }
    found["claims"] = claims.judged(found)
    worst = tables.worst(first.adapted, first.cheap)
    with whole_folder(out / TABLES, replaces=[f"{name}.parquet" for name in found]) as draft:
        tables.save(found, draft)
    said = findings.findings(found, worst=worst, notes=gain.notes)
    strongest = pearson.strongest(found["pearson"])
    write_text(out / RESULT, _summary(place, split, gain=gain, findings=said, worst=worst, pearson=strongest))
    tick("writing", 1, 1)
    return out / RESULT


@dataclass(frozen=True)
class Done:
    """What the jobs of one split have left.

    Attributes:
        base: of the pre-trainings, by file name.
        results: of all further jobs, by file name.
        adapted: of the generators, by name.
        cheap: of the cheap controls, by name.
        gain: what the curves drawn are worth to classifiers.
    """

    base: dict[str, Result]
    results: dict[str, Result]
    adapted: dict[str, Result]
    cheap: dict[str, Result]
    gain: Gain


def _of_split(place: Place, plan: Sequence[Variant], *, workers: Workers, tick: Tick) -> Done:
    """All the work of one split; the ablations, where there is a plan."""
    config, stage = place.config, partial(_stage, place, workers=workers, tick=tick)
    work = [Job(f"{name} base", jobs.pretrain, (name,)) for name in (*config.compared, *(bases(config) if plan else ()))]
    base = stage("pre-training", work=work)
    work = [Job(name, jobs.adapt, (name,)) for name in config.compared]
    work += [Job(f"cheap {name}", jobs.cheap, (name,)) for name in config.controls]
    work += [Job(f"variant {variant.name}", jobs.vary, (variant,)) for variant in plan]
    results = stage("adapting and drawing", work=work)
    ways = (("ask", jobs.ask), ("from normal curves", jobs.gone_wrong))
    work = [Job(f"{way} {name}", draw, (name,)) for name in config.compared for way, draw in ways]
    stage("drawing for classifiers", work=work)
    adapted = {name: results[jobs.slug(name)] for name in config.compared}
    cheap = {name: results[jobs.slug(f"cheap {name}")] for name in config.controls}
    return Done(base, results, adapted, cheap, _gain(place, Split.load(place.split), workers=workers, tick=tick))


def _numbered(tick: Tick, number: int, what: str, done: int, total: int) -> None:
    tick(f"split {number + 1}: {what}", done, total)


def _begin(place: Place, data: Curves) -> Split:
    """The split, made or found; a folder with another study, or with anything else, is refused."""
    for name in CONTENTS:
        tidy(place.folder / name)
    refuse_other(place.folder, CONTENTS)
    data.refuse_generated("study's")
    settings = {"version": __version__, "data_sha256": fingerprint(data), "config": place.config.model_dump(mode="json")}
    path = place.folder / CONFIG
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise DataError(
            f"{place.folder} holds a study of other data or settings ({CONFIG} differs): choose another folder or delete it"
        )
    if not path.exists():
        _divided(place, data)
        write_text(path, json.dumps(settings, indent=2) + "\n")
    return Split.load(place.split)


def _divided(place: Place, data: Curves) -> None:
    """Divide the curves of a split, if that is not done."""
    if not (place.split / "negatives").is_dir():  # the last to be written
        knobs = place.config
        divide(data, test=knobs.test_share, seed=knobs.seed, chosen_on=knobs.chosen_on).save(place.split)


def _stage(place: Place, what: str, *, work: list[Job], workers: Workers, tick: Tick) -> dict[str, Result]:
    """The results of some jobs, by the names of their files."""
    found = jobs.run(place, work, workers=workers, tick=partial(tick, what))
    return {jobs.slug(name): value for name, value in found.items()}


def _gain(place: Place, split: Split, *, workers: Workers, tick: Tick) -> Gain:
    """What the curves drawn are worth to classifiers; the handful alone is known to all of them."""
    path = place.result("gain")
    if not path.is_file():
        drawn = {name: read(place.drawn(f"{name} for training")) for name in place.config.compared}
        drawn |= {from_normal(name): read(place.drawn(from_normal(name))) for name in place.config.compared}
        gain = classify(
            train=Curves.concat([split.normal, jobs.few_of(place)]),
            test=Curves.concat([split.negatives, split.test]),
            synthetic=drawn,
            views=place.config.views or _usual(split.test),
            classifiers=place.config.classifiers,
            controls=(*place.config.controls, *FROM_NORMAL),
            seeds=place.config.classifier_seeds,
            steps=place.config.classifier_steps,
            workers=workers,
            on_fit=partial(tick, "fitting classifiers"),
        )
        write_text(path, gain.model_dump_json(indent=1))
    return Gain.model_validate_json(path.read_text(encoding="utf-8"))


def _usual(test: Curves) -> tuple[str, ...]:
    """The views usual for faults inside all limits where there are no others and their temperature is known; else the plain."""
    hidden = all(stays_inside(label) for label in test.labels if label != NORMAL)
    return WARM if hidden and has_temperature(test) else PLAIN


def _summary(place: Place, split: Split, *, gain: Gain, **results: Any) -> str:
    """`study.json`: what was done with what, and the results that are no tables."""
    adapted = jobs.result(place, DIFFUSION)
    few = jobs.few_of(place)
    found = {
        "version": __version__,
        "config": place.config.model_dump(mode="json"),
        "data": {
            "learnt from": f"{len(split.normal)} normal curves of {len(split.normal.cells)} cells",
            "adapted to": f"{len(few)} fault curves of {len(few.cells)} cells: {_counted(few)}",
            "splits by cell": str(place.config.splits),
            "scored on": f"{len(split.test)} fault curves of {len(split.test.cells)} other cells: {_counted(split.test)}",
            "told apart from": f"{len(split.negatives)} normal curves of {len(split.negatives.cells)} cells held out",
            "cells held out": ", ".join(sorted({*split.test.cells, *split.negatives.cells})),
        },
        "labels": sorted(split.test.labels),
        "protocols": {"fidelity": adapted["scores"]["protocol"], "classifiers": gain.protocol},
        "tasks": [sizes.model_dump() for sizes in gain.tasks],
        "limits": list(LIMITS),
        **results,
    }
    return json.dumps(found, indent=2) + "\n"


def _counted(curves: Curves) -> str:
    return ", ".join(f"{len(curves.select(label=[label]))} {label}" for label in sorted(curves.labels))
