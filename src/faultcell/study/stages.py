"""A whole study, in stages that can be stopped and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from faultcell import __version__
from faultcell.controls import FROM_NORMAL
from faultcell.curves import Curves
from faultcell.diagnosis import Gain, classify
from faultcell.errors import DataError
from faultcell.files import read
from faultcell.files.atomic import refuse_other, whole_folder, write_text
from faultcell.files.swap import tidy
from faultcell.profile import fingerprint
from faultcell.study import findings, jobs, pearson, tables
from faultcell.study.jobs import Job, Place, Result
from faultcell.study.plan import AUGMENT, DIFFUSION, StudyConfig, bases, variants
from faultcell.study.split import Split, divide

RESULT, PAGE, CONFIG, TABLES = "study.json", "report.html", "config.json", "tables"
CONTENTS = (RESULT, PAGE, CONFIG, TABLES, "data", "models", "drawn", "stages")
LIMITS = (
    "One split by cell: the intervals of the classifiers are over seeds, not over other choices of the cells held out.",
    "Every generator shares the anchored grid, the scaler and the condition vector of the diffusion model: the comparison is "
    "between networks and losses, not between whole published pipelines. The baselines draw durations from a conditional "
    "Gaussian.",
    "All generators get the same number of optimiser steps at their default settings.",
    "The paper's data are not public, and it states neither its bins nor its pairing: its numbers stand beside ours for "
    "orientation, not for ranking.",
    "Augmentation can make a classifier better at faults like those it was adapted to. It cannot invent a kind of fault that "
    "nobody measured.",
)
Tick = Callable[[str, int, int], None]


def run(out: Path, data: Curves, *, config: StudyConfig | None = None, workers: int = 1, tick: Tick | None = None) -> Path:
    """Run a study, or go on with one that was stopped, and write its tables and `study.json`.

    Args:
        out: folder of the study.
        data: a curve set with normal curves and at least one fault in two or more cells.
        config: every knob; the full study where not given.
        workers: processes; the results are the same for any number of them.
        tick: called with what is being done, how much of it is done and how much there is.

    Returns:
        Path of `study.json`.

    Raises:
        DataError: the data do not allow a study, or the folder holds something else, or a study of other data or settings.
    """
    config, tick = config or StudyConfig(), tick or (lambda *_: None)
    place = Place(out, config)
    split = _begin(place, data)
    work = [Job(f"{name} base", jobs.pretrain, (name,)) for name in (*config.generators, *bases(config))]
    base = _stage(place, "pre-training", work=work, workers=workers, tick=tick)
    plan = variants(config)
    work = [Job(name, jobs.adapt, (name,)) for name in config.generators]
    work += [Job(f"cheap {name}", jobs.cheap, (name,)) for name in config.controls]
    work += [Job(f"variant {variant.name}", jobs.vary, (variant,)) for variant in plan]
    results = _stage(place, "adapting and drawing", work=work, workers=workers, tick=tick)
    asking = [Job(f"ask {name}", jobs.ask, (name,)) for name in config.generators]
    asking.append(Job("from normal curves", jobs.gone_wrong, ()))
    _stage(place, "drawing for classifiers", work=asking, workers=workers, tick=tick)
    gain = _gain(place, split, workers=workers, tick=tick)
    tick("writing", 0, 1)
    adapted: dict[str, Result] = {name: results[name] for name in config.generators}
    cheap = {name: results[f"cheap_{name}"] for name in config.controls}
    found = {
        "cost": tables.cost(base, adapted),
        "fidelity": tables.fidelity(adapted, cheap),
        "sets": tables.sets(adapted, cheap),
        "epochs": tables.epochs(adapted[DIFFUSION]),
        "ablations": tables.ablations(config, plan, results=results, few=len(jobs.few_of(place))),
        "pearson": pearson.analyse(Curves.concat([split.faults, split.test])),
        "embedding": tables.embedding(place, split.test, drawn={name: read(place.drawn(name)) for name in config.generators}),
        **tables.classifiers(gain),
    }
    worst = tables.worst(adapted, cheap)
    with whole_folder(out / TABLES, replaces=[f"{name}.parquet" for name in found]) as draft:
        tables.save(found, draft)
    said = findings.findings(found, worst=worst, notes=gain.notes)
    strongest = pearson.strongest(found["pearson"])
    write_text(out / RESULT, _summary(place, split, gain=gain, findings=said, worst=worst, pearson=strongest))
    tick("writing", 1, 1)
    return out / RESULT


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
        knobs = place.config
        split = divide(data, test=knobs.test_share, seed=knobs.seed, chosen_on=knobs.chosen_on)
        split.save(place.split)
        write_text(path, json.dumps(settings, indent=2) + "\n")
    return Split.load(place.split)


def _stage(place: Place, what: str, *, work: list[Job], workers: int, tick: Tick) -> dict[str, Result]:
    """The results of some jobs, by the names of their files."""
    found = jobs.run(place, work, workers=workers, tick=partial(tick, what))
    return {jobs.slug(name): value for name, value in found.items()}


def _gain(place: Place, split: Split, *, workers: int, tick: Tick) -> Gain:
    """What the curves drawn are worth to classifiers; the handful alone is known to all of them."""
    path = place.result("gain")
    if not path.is_file():
        drawn: dict[str, Curves] = {name: read(place.drawn(f"{name} for training")) for name in place.config.generators}
        gain = classify(
            train=Curves.concat([split.normal, jobs.few_of(place)]),
            test=Curves.concat([split.negatives, split.test]),
            synthetic={**drawn, AUGMENT: read(place.drawn(AUGMENT))},
            controls=(*place.config.controls, *FROM_NORMAL),
            seeds=place.config.classifier_seeds,
            steps=place.config.classifier_steps,
            workers=workers,
            on_fit=partial(tick, "fitting classifiers"),
        )
        write_text(path, gain.model_dump_json(indent=1))
    return Gain.model_validate_json(path.read_text(encoding="utf-8"))


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
