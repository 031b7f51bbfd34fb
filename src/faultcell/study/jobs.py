"""The work of a study, cut into jobs: each is a function of what lies in the study's folder, and leaves one result there.

A job whose result is there is not done again, so a study that was stopped goes on where it was. Every job computes in one
thread, so that its result does not depend on how many run at once.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from faultcell.augmenter import Augmenter
from faultcell.baselines.classical import CHEAP
from faultcell.config import TrainConfig
from faultcell.curves.conditions import between, conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import NORMAL
from faultcell.files import write
from faultcell.files.durable.atomic import write_text
from faultcell.presets import budget
from faultcell.runtime.workers import Workers, one_thread, spread
from faultcell.scoring import evaluate
from faultcell.scoring.side_by_side import BESIDE
from faultcell.study.plan import DIFFUSION, StudyConfig, Variant, finetuning, from_normal, pretraining
from faultcell.study.split import Split
from faultcell.training.loop import in_steps

Result = dict[str, Any]
SPLITS = "splits"
ASKED = 10_000  # seeds of curves drawn to train classifiers begin here; those of scored curves at 0


@dataclass(frozen=True)
class Place:
    """Where everything of a study, or of one of its further splits, lies."""

    folder: Path
    config: StudyConfig
    number: int = 0

    def of_split(self, number: int) -> Place:
        """Where everything of one split lies, which has another seed; the first is the study's own."""
        if number == 0:
            return self
        config = self.config.model_copy(update={"seed": self.config.seed + number})
        return Place(self.folder / SPLITS / str(number), config, number)

    @property
    def split(self) -> Path:
        """Folder of the curves, divided."""
        return self.folder / "data"

    def model(self, name: str) -> Path:
        """Bundle of a model."""
        return self.folder / "models" / slug(name)

    def drawn(self, name: str) -> Path:
        """Folder of what a source drew."""
        return self.folder / "drawn" / slug(name)

    def result(self, name: str) -> Path:
        """File of a job's result."""
        return self.folder / "stages" / f"{slug(name)}.json"


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: of its result.
        work: what to do; its result is JSON.
        args: of it, after the place.
    """

    name: str
    work: Callable[..., Result]
    args: tuple[Any, ...] = ()


def run(place: Place, jobs: Sequence[Job], *, workers: Workers, tick: Callable[[int, int], None]) -> dict[str, Result]:
    """Do the jobs that have no result yet, some at once; the results of all, by name."""
    waiting = [job for job in jobs if not place.result(job.name).is_file()]
    done = len(jobs) - len(waiting)
    tick(done, len(jobs))
    for _ in spread(partial(_do, place), waiting, workers=workers):
        done += 1
        tick(done, len(jobs))
    return {job.name: result(place, job.name) for job in jobs}


def result(place: Place, name: str) -> Result:
    """What a job that is done has left."""
    found: Result = json.loads(place.result(name).read_text(encoding="utf-8"))
    return found


def _do(place: Place, job: Job) -> None:
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asking a little beyond what was seen is part of the protocol
        write_text(place.result(job.name), json.dumps(job.work(place, *job.args), indent=1))


def _split(place: Place) -> Split:
    """The curves of the study; read again if the folder was made anew."""
    return _loaded(place.split, (place.split / "test" / "halfcycles.parquet").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _loaded(folder: Path, made: int) -> Split:
    return Split.load(folder)


def few_of(place: Place, count: int | None = None) -> Curves:
    """The handful of faults: the study's own number of each kind, or another."""
    return _split(place).few(count or place.config.few, seed=place.config.seed)


def pretrain(place: Place, name: str) -> Result:
    """Pre-train one model on the source domain."""
    started = time.perf_counter()
    model = Augmenter.pretrain(_split(place).normal, config=pretraining(place.config, name))
    seconds = time.perf_counter() - started
    model.save(place.model(f"{name} base"))
    return {"seconds": seconds, **_cost(model, model.config.train, curves=len(_split(place).normal))}


def adapt(place: Place, name: str) -> Result:
    """Adapt a generator to the handful of faults, draw for the conditions held out, and score."""
    split, few, snapshots = _split(place), few_of(place), []
    base, knobs = Augmenter.load(place.model(f"{name} base")), in_steps(finetuning(place.config, name), len(few))
    looked_at = name == DIFFUSION and place.number == 0
    at = sorted({max(1, round(share * knobs.steps)) for share in place.config.snapshots}) if looked_at else []
    spent = [0.0]

    def look(step: int, model: Augmenter) -> None:
        started = time.perf_counter()
        snapshots.append({"step": step, **_score(place, model, few=few, save=f"{name} step {step}")})
        spent[0] += time.perf_counter() - started

    started = time.perf_counter()
    model = base.finetune(few, normal=split.normal, config=knobs, on_snapshot=(at, look))
    seconds = time.perf_counter() - started - spent[0]
    model.save(place.model(name))
    started = time.perf_counter()
    drawn = model.draw(conditions_of(split.test), range(len(split.test)))
    per_curve = (time.perf_counter() - started) / len(drawn)
    write(drawn, place.drawn(name))
    how: dict[str, Any] = {"beside": BESIDE if name == DIFFUSION else (), "thorough": place.number == 0}
    scores = evaluate(real=split.test, synthetic=drawn, train=few, **how)
    cost = {"seconds": seconds, "seconds_per_curve": per_curve, **_cost(model, knobs, curves=len(few))}
    return {"cost": cost, "scores": scores.model_dump(mode="json"), "snapshots": snapshots}


def cheap(place: Place, name: str) -> Result:
    """Draw from a cheap source for the conditions held out, and score."""
    split, few = _split(place), few_of(place)
    drawn = CHEAP[name](few).draw(conditions_of(split.test), range(len(split.test)))
    write(drawn, place.drawn(name))
    scores = evaluate(real=split.test, synthetic=drawn, train=few, beside=(), thorough=place.number == 0)
    return {"scores": scores.model_dump(mode="json")}


def vary(place: Place, variant: Variant) -> Result:
    """One row of the ablations: train what differs, draw for the conditions held out, and score."""
    split, few, started = _split(place), few_of(place, variant.few), time.perf_counter()
    if variant.base is None:
        scratch = pretraining(place.config, DIFFUSION)
        steps = scratch.train.steps + finetuning(place.config).steps
        alone = scratch.model_copy(update={"train": budget(scratch.train, steps=steps)})
        model = Augmenter.pretrain(few, config=alone)
    elif variant.trains:
        base = Augmenter.load(place.model(f"{variant.base} base"))
        model = base.finetune(few, normal=split.normal, config=finetuning(place.config, variant.base, **variant.finetune))
    else:
        model = Augmenter.load(place.model(DIFFUSION))
    seconds = time.perf_counter() - started
    first = 0 if variant.seed is None else ASKED * (1 + variant.seed)
    return {"few": len(few), "seconds": seconds, **_score(place, model, few=few, first=first, **variant.draw)}


def ask(place: Place, name: str) -> Result:
    """Draw from a generator what classifiers are to be trained with: for conditions between those of the handful."""
    split, few = _split(place), few_of(place)
    model = Augmenter.load(place.model(name))
    parts, first = list[Curves](), ASKED
    for label in sorted(few.labels):
        normal = split.normal.halfcycles.filter(label=NORMAL)["step_type"].is_in(FAULTS[label].step_types).sum()
        known = conditions_of(few.select(label=[label]))
        asked = between(known, max(int(normal) - len(known), 1), seed=place.config.seed)
        parts.append(model.draw(asked, range(first, first + len(asked)), leave_out=True))
        first += len(asked)
    made = Curves.concat(parts)
    write(made, place.drawn(f"{name} for training"))
    return {"curves": len(made)}


def gone_wrong(place: Place, name: str) -> Result:
    """Draw the same from the normal curves that are known, each as its own reference where a generator takes one."""
    made = Augmenter.load(place.model(name)).augment(_split(place).normal, seed=place.config.seed)
    write(made, place.drawn(from_normal(name)))
    return {"curves": len(made)}


def _score(place: Place, model: Augmenter, *, few: Curves, save: str | None = None, first: int = 0, **how: Any) -> Result:
    test = _split(place).test
    started = time.perf_counter()
    drawn = model.draw(conditions_of(test), range(first, first + len(test)), **how)
    seconds = (time.perf_counter() - started) / len(drawn)
    if save is not None:
        write(drawn, place.drawn(save))
    scores = evaluate(real=test, synthetic=drawn, train=few, thorough=False, beside=())
    return {"seconds_per_curve": seconds, "scores": scores.model_dump(mode="json")}


def _cost(model: Augmenter, knobs: TrainConfig, *, curves: int) -> Result:
    return {
        "parameters": sum(value.numel() for value in model.network.parameters()),
        "steps": knobs.steps,
        "curves": curves,
        "epochs": knobs.steps * knobs.batch_size / curves,
    }


def slug(name: str) -> str:
    """A name fit for a file."""
    return name.replace(" ", "_")
