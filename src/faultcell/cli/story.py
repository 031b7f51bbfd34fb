"""The whole story on the embedded data: learn from normal curves, adapt to a few faults, draw, score on unseen cells."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import polars as pl

from faultcell import plotting, report
from faultcell.augmentation import adapted
from faultcell.augmenter import Augmenter
from faultcell.config import Config, FinetuneConfig, TrainConfig
from faultcell.curves.condition import Condition, grid
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import NORMAL
from faultcell.files import write
from faultcell.files.curve_set import PICTURE
from faultcell.files.durable.atomic import refuse_other, whole_folder
from faultcell.files.embedded import demo_data
from faultcell.scoring import Scores, evaluate
from faultcell.training.loop import Step

FAULTS_SHOWN = ("overcharge", "overdischarge")
FEW = 24
TEST_SHARE = 0.3
DRAWS = 6  # of each unseen curve
SHOWN = 12  # normal curves, with a fault each
GRID_POINTS = 5
REPEAT = 8
STEPS = (200, 100)
PAGE = "report.html"
NOTE = (
    "The data are simulated, and the damage the faults do follows a declared law: these numbers show that the method works, "
    "not how well it does on your cells. Run it on them. The cells scored here were in neither pre-training nor fine-tuning. "
    "Nearest replay repeats, of the few fault curves the model was adapted to, the one whose condition is nearest; a model "
    "that does not beat it is worth nothing. The peak deviation asked for is met by construction; shapes and durations are not."
)
PICTURES = {name: (f"{name}_single.png", f"{name}.png", f"{name}_asked_and_got.png") for name in FAULTS_SHOWN}
RESULTS = (
    PAGE,
    PICTURE,
    "scores.json",
    "config.json",
    "model",
    "drawn",
    *(name for pair in PICTURES.values() for name in pair),
)
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Story:
    """What the demo made."""

    few: Curves
    test: Curves
    drawn: Curves
    others: list[Curves]
    model: Augmenter
    scores: Scores
    asked: dict[str, tuple[list[float], list[float]]]
    gone_wrong: bytes


def run(out: Path, *, seed: int = 0, steps: tuple[int, int] = STEPS, tick: Tick | None = None) -> Path:
    """Do it all and write a folder with the page, one picture a fault, the scores, the model and the drawn curves.

    Args:
        out: folder to make.
        seed: of the split, the training and the draw.
        steps: of pre-training and of fine-tuning.
        tick: called with what is being done, how much of it is done and how much there is.

    Returns:
        Path of the page.
    """
    refuse_other(out, RESULTS)
    story = tell(demo_data(*FAULTS_SHOWN), seed=seed, steps=steps, tick=tick or (lambda *_: None))
    pictures = _pictures(story)
    with whole_folder(out, replaces=RESULTS) as draft:
        for name, (_, png) in pictures.items():
            (draft / name).write_bytes(png)
        (draft / PAGE).write_text(_page(story, list(pictures.values())), encoding="utf-8")
        (draft / "scores.json").write_text(story.scores.model_dump_json(indent=2))
        (draft / "config.json").write_text(story.model.config.model_dump_json(indent=2))
        story.model.save(draft / "model")
        write(story.drawn, draft / "drawn")
    return out / PAGE


def tell(data: Curves, *, seed: int, steps: tuple[int, int], tick: Tick) -> Story:
    """Split by cell, train, adapt, draw for the conditions of the unseen faults, score."""
    seen, unseen = data.split(by="cell_id", test=TEST_SHARE, seed=seed)
    normal, faults = seen.where(pl.col("label") == NORMAL), seen.where(pl.col("label") != NORMAL)
    test = unseen.where(pl.col("label") != NORMAL)
    kinds = [faults.select(label=[label]) for label in faults.labels]
    few = Curves.concat([kind.few(FEW // len(kinds), seed=seed) for kind in kinds])
    model = adapted(
        normal,
        few,
        config=Config(train=TrainConfig(steps=steps[0], seed=seed)),
        finetune=FinetuneConfig(steps=steps[1], seed=seed),
        on_step=_ticker(tick, "learning normal curves"),
        on_adapt=_ticker(tick, f"adapting to {len(few)} faults"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unseen cells may ask for a little more than was seen: the scores say what it costs
        drawn, *others = [
            model.draw(conditions_of(test), seeds, on_chunk=partial(tick, "drawing for unseen cells"))
            for seeds in (range(turn * len(test), (turn + 1) * len(test)) for turn in range(DRAWS))
        ]
        asked = _adherence(model, few.labels, tick)
        more = model.augment(normal, count=SHOWN, seed=seed)
        scores = evaluate(real=test, synthetic=drawn, train=few, thorough=False, draws=[drawn, *others])
    return Story(few, test, drawn, others, model, scores, asked, plotting.gone_wrong_figure(normal, more))


def _adherence(model: Augmenter, labels: Sequence[str], tick: Tick) -> dict[str, tuple[list[float], list[float]]]:
    """For each fault, peak deviations asked for over the range seen, and those measured back."""
    found = {}
    for label in labels:
        low, high = model.profile.ranges[label]["peak_deviation_volt"]
        values = [low + (high - low) * i / (GRID_POINTS - 1) for i in range(GRID_POINTS)]
        asked: list[Condition] = grid(label, peak_deviation_volt=values, repeat=REPEAT)
        got = model.draw(asked, range(len(asked)), on_chunk=partial(tick, f"asking for {label}"))
        found[label] = ([c.peak_deviation_volt for c in asked], got.known("peak_deviation_volt").tolist())
    return found


def _ticker(tick: Tick, what: str) -> Callable[[Step], None]:
    return lambda step: tick(what, step.step, step.steps)


def _pictures(story: Story) -> dict[str, tuple[str, bytes]]:
    """File name -> caption and PNG."""
    made = {}
    for label in story.scores.sources["synthetic"].by_label:
        made[PICTURES[label][0]] = (
            f"{label}: {DRAWS} single drawn curves each (colour) over the real one of an unseen cell (black)",
            plotting.single_curves(story.test, [story.drawn, *story.others], label=label),
        )
    made[PICTURE] = (
        "faultcell augment: normal curves that were learnt from (black), each with the fault its next cycle would have been",
        story.gone_wrong,
    )
    for label in story.scores.sources["synthetic"].by_label:
        side = "above the upper" if FAULTS[label].side == "high" else "below the lower"
        made[PICTURES[label][1]] = (
            f"{label}: real curves of unseen cells and the curves drawn for their conditions, {side} limit (dotted)",
            plotting.overlay(story.test, story.drawn, label=label),
        )
    for label, (asked, got) in story.asked.items():
        made[PICTURES[label][2]] = (
            f"{label}: peak deviation asked for and measured back",
            plotting.adherence(asked, got, label=label),
        )
    return made


def _adherence_fact(story: Story) -> str:
    """How far the peak deviations measured back are from those asked for, and whether they rise with them."""
    errors, rising = [], True
    for asked, got in story.asked.values():
        errors += [abs(one - other) for one, other in zip(asked, got, strict=True)]
        means = [sum(got[i : i + REPEAT]) / REPEAT for i in range(0, len(got), REPEAT)]
        rising &= all(one < other for one, other in pairwise(means))
    mean = 1000 * sum(errors) / len(errors)
    trend = "rising" if rising else "NOT rising"
    return f"peak deviation {mean:.2f} mV apart on average, {trend} over {GRID_POINTS} values a fault"


def _page(story: Story, figures: list[tuple[str, bytes]]) -> str:
    profile = story.model.profile
    facts = [
        ("verdict", str(story.scores.verdict)),
        ("learnt from", f"{profile.labels[NORMAL]} normal curves"),
        ("adapted to", f"{len(story.few)} fault curves of {len(story.few.cells)} cells"),
        (
            "scored on",
            f"{len(story.test)} fault curves of {len(story.test.cells)} cells in neither: {', '.join(story.test.cells)}",
        ),
        ("asked against got", _adherence_fact(story)),
        ("model", story.model.sha256[:16]),
    ]
    return report.page(title="FaultCell demo", scores=story.scores, facts=facts, figures=figures, note=NOTE)
