"""The verbs that judge: evaluate, classify, study."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faultcell.cli.common import (
    Cells,
    Cluster,
    Everything,
    Json,
    Labels,
    Rename,
    Seed,
    StepTypes,
    Workers,
    carrier,
    check,
    given,
    progress,
    read,
    read_as_told,
    say,
    say_result,
    select,
    separated,
)
from faultcell.cli.run_config import ConfigFile, config_of
from faultcell.errors import ConditionError, DataError, OutOfRangeWarning

if TYPE_CHECKING:
    from faultcell.curves.curves import Curves


def evaluate(
    real: Annotated[Path, typer.Option(metavar="DIR", help="Real curves the model has not seen.")],
    out: Annotated[Path, typer.Option("--out", help="Scores file to write.")],
    synthetic: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Generated curves; the first draw of BUNDLE if not given.")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The faults the model was adapted to: scores replay and mean curve too. Of shorts at rest, draws from them.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Draw from this model for the real curves' conditions: with --draws.")
    ] = None,
    draws: Annotated[int, typer.Option(min=2, help="Curves for each real one, to judge spread and sharpness by.")] = 20,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --bundle: earlier curves of the same cells."),
    ] = None,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Can single generated curves be told from real ones, and how near are they? Begins with a verdict in words."""
    from faultcell.files.durable.atomic import write_text
    from faultcell.generation.rest_shorts import all_at_rest
    from faultcell.scoring import evaluate as score
    from faultcell.scoring import same_part

    known = read(train) if train else None
    whole = read(real)
    chosen = select(whole, label=label, cells=cells, step_type=step_type)
    rests = known is not None and bundle is None and synthetic is None and all_at_rest(known)
    if bundle is None and not rests and (synthetic is None or reference is not None):
        raise ConditionError("evaluate needs --synthetic DIR, --bundle BUNDLE or both; --reference goes with --bundle")
    drawn = _ensemble(bundle, chosen, draws, reference, seed) if bundle else []
    if rests and known is not None:
        drawn = _rests(known, chosen, draws, reference, seed)
    if synthetic is not None:
        made = read(synthetic)
        warn_of_measured(made, synthetic)
        part = same_part(made, of=whole, selected=chosen)
        warn_of_seen(chosen, synthetic)
    else:
        part = drawn[0]
    scores = score(real=chosen, synthetic=part, train=known, draws=drawn)
    write_text(out, scores.model_dump_json(indent=2) + "\n")
    say_result(scores, as_json, everything)


def _ensemble(bundle: Path, real: Curves, draws: int, reference: Path | None, seed: int) -> list[Curves]:
    """So many sets drawn for the conditions of real curves; warns where the model has seen their cells."""
    from faultcell.augmenter import Augmenter
    from faultcell.curves.conditions import conditions_of
    from faultcell.curves.severity import complete

    model = Augmenter.load(bundle)
    _warn_of_shared(set(model.profile.cells), real, bundle)
    asked = conditions_of(complete(real))
    earlier = model.references(read_as_told(reference), asked) if reference else None
    with progress() as tick:
        return [
            model.draw(
                asked,
                range(seed + turn * len(asked), seed + (turn + 1) * len(asked)),
                reference=earlier,
                on_chunk=partial(_further, tick, turn * len(asked), draws * len(asked)),
            )
            for turn in range(draws)
        ]


def _rests(known: Curves, real: Curves, draws: int, reference: Path | None, seed: int) -> list[Curves]:
    """So many sets of shorts at rest, for the conditions of real ones; no network is asked."""
    from faultcell.curves.conditions import conditions_of
    from faultcell.curves.severity import complete
    from faultcell.generation.rest_shorts import RestShorts

    source, asked = RestShorts(known), conditions_of(complete(real))
    earlier = read(reference) if reference else None
    seeds = range(seed, seed + draws * len(asked))
    return [source.draw(asked, seeds[turn * len(asked) :][: len(asked)], reference=earlier) for turn in range(draws)]


def _further(tick: Callable[[str, int, int], None], before: int, total: int, done: int, _: int) -> None:
    tick("drawing", before + done, total)


def warn_of_measured(curves: Curves, folder: Path) -> None:
    """Warn where no curve of a set is marked as generated: scored against themselves, real curves are perfect."""
    import warnings

    if not curves.has_generated:
        said = f"{folder}: no curve is marked as generated (synthetic = true): are these measured ones?"
        warnings.warn(said, OutOfRangeWarning, stacklevel=3)


def warn_of_seen(real: Curves, synthetic: Path) -> None:
    """Warn where the model that drew a set has seen cells that it is scored on; `sample` leaves their names beside it."""
    from faultcell.files.bounded.json_file import read_json
    from faultcell.files.curve_set import CONFIG

    try:
        seen = set(read_json(synthetic / CONFIG, expected="settings")["cells_seen"])
    except (DataError, TypeError, KeyError):
        return  # drawn otherwise
    _warn_of_shared(seen, real, synthetic)


def _warn_of_shared(seen: set[str], real: Curves, model: Path) -> None:
    import warnings

    from faultcell.errors import SeenCellsWarning

    shared = sorted(seen & set(real.cells))
    if shared:
        warnings.warn(
            f"the model behind {model} has seen cell {shared[0]} of the real set ({len(shared)} such cells): what it "
            "scores there says nothing of new cells",
            SeenCellsWarning,
            stacklevel=3,
        )


def classify(
    train: Annotated[Path, typer.Option(metavar="DIR", help="Real curves to learn from: normal ones and faults.")],
    test: Annotated[Path, typer.Option(metavar="DIR", help="Real curves of other cells.")],
    out: Annotated[Path, typer.Option("--out", help="Gain file to write.")],
    synthetic: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Generated faults to add to the training; repeat to compare several sets."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps of each classifier.")] = None,
    workers: Workers = None,
    cluster: Cluster = None,
    label: Labels = None,
    rename: Rename = None,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Fit the six classifiers with and without generated curves: what are those worth on cells none has seen?

    --rename is of the test set: whoever learns from a set has named it.
    """
    from faultcell.curves.schema import NORMAL
    from faultcell.diagnosis import classify as measure
    from faultcell.files.durable.atomic import write_text

    names = [*label, NORMAL] if label else None
    sets = {folder.name if len(synthetic or ()) > 1 else "synthetic": read(folder, label=label) for folder in synthetic or ()}
    if len(sets) < len(synthetic or ()):
        raise ConditionError("--synthetic takes folders of different names: they name the sets")
    with carrier(workers, cluster) as carried, progress() as tick:
        gain = measure(
            train=read(train, label=names),
            test=read(test, label=names, rename=rename),
            synthetic=sets,
            seeds=seeds,
            workers=carried,
            on_fit=lambda n, m: tick("fitting classifiers", n, m),
            **given(steps=steps),
        )
    write_text(out, gain.model_dump_json(indent=2) + "\n")
    say_result(gain, as_json, everything)


def study(
    out: Annotated[Path, typer.Option("--out", help="Folder of the study; one that was stopped there is gone on with.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Curve set with normal curves and faults; the embedded one if not given.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Every table and figure on one split, in ten minutes on two cores.")
    ] = False,
    preset: Annotated[
        str, typer.Option(help="default, with the paper's model beside it; or paper: everything on the paper's grid.")
    ] = "default",
    config_file: ConfigFile = None,
    generators: Annotated[
        list[str] | None,
        typer.Option("--generators", help="diffusion, wgan_gp, timevae, timegan, paper, paper_wgan_gp; all if not given."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option("--view", help="What classifiers get of a curve; whole and in_limits, or thermal, relative, residual."),
    ] = None,
    splits: Annotated[int | None, typer.Option(min=1, help="Splits by cell, over which intervals are taken.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=3, help="Steps of every pre-training; fine-tuning takes 35 % as many.")
    ] = None,
    chosen_on: Annotated[
        list[str] | None, typer.Option("--chosen-on", help="Cells on which you chose settings: never held out.")
    ] = None,
    workers: Workers = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The paper's study on cells held out: baselines, cheap controls, ablations, classifiers; ends with an HTML page."""
    from faultcell import study as studies
    from faultcell.diagnosis.views import VIEWS
    from faultcell.files.embedded import demo_data
    from faultcell.presets import PRESETS
    from faultcell.report import write_study
    from faultcell.study.plan import GENERATORS

    check("--preset", preset, tuple(PRESETS))
    for option, names, known in (("--generators", generators, GENERATORS), ("--view", view, tuple(VIEWS))):
        for name in separated(names):
            check(option, name, known)
    make = studies.StudyConfig.quick if quick else studies.StudyConfig
    own = (preset != "default" or config_file is not None) and not quick
    budget: dict[str, int | None] = {"pretrain_steps": None, "finetune_steps": None} if own else {}
    if steps:
        budget = {"pretrain_steps": steps, "finetune_steps": round(0.35 * steps), "paper_steps": steps}
    model, chosen = config_of(config_file, preset=preset), separated(chosen_on)
    kept = given(splits=splits, generators=separated(generators) or None, views=separated(view) or None)
    config = make(model=model, seed=seed, chosen_on=chosen, **budget, **kept)
    with carrier(workers, cluster) as carried, progress() as tick:
        curves = read(data) if data else demo_data("overcharge", "overdischarge")
        result = studies.run(out, curves, config=config, workers=carried, tick=tick)
    page = write_study(out)
    say({"study": str(result), "page": str(page)}, as_json, f"{page}")
