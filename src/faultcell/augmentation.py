"""From tables to a training set: learn from normal curves, adapt to a handful of faults, and draw many, or very many."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from faultcell.augmenter import Augmenter
from faultcell.config import Config, FinetuneConfig, TrainConfig
from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves
from faultcell.curves.fingerprint import fingerprint
from faultcell.files.durable.part_list import PartList
from faultcell.files.parts import write_parts
from faultcell.generation.counterfactuals import Plan
from faultcell.generation.depths import Depths
from faultcell.generation.in_parts import PART, parts_of_asked, parts_of_plan, tell_left_out_parts
from faultcell.generation.rest_shorts import RestShorts, all_at_rest
from faultcell.models.base import Sampling
from faultcell.runtime.workers import Workers
from faultcell.training.run import OnStep


def augment(
    normal: Curves,
    few: Curves,
    *,
    count: int | None = None,
    faults: Sequence[str] | None = None,
    severity: Depths = "between",
    config: Config | None = None,
    finetune: FinetuneConfig | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    on_chunk: Callable[[int, int], None] | None = None,
) -> Curves:
    """From normal curves and a handful of faults to many faults: learn, adapt, and draw, see `Augmenter.augment`.

    Known faults that are all shorts of cells at rest need no training, see `RestShorts`: `count` and `seed` alone tell there.

    Args:
        normal: normal curves, to learn from and to draw from.
        few: known faults.
        count: how many faults to draw, as in `Augmenter.augment`.
        faults: which; all that are known where not given.
        severity: as in `Augmenter.augment`.
        config: of the model; the defaults with this seed where not given.
        finetune: of the adaptation; the same.
        seed: of all that is random.
        on_step: called after each training step.
        on_chunk: called with curves done and curves in all.
    """
    if all_at_rest(few):
        return RestShorts(few).augment(normal, count=count, seed=seed)
    model = adapted(normal, few, config=config, finetune=finetune, seed=seed, on_step=on_step)
    return model.augment(normal, count=count, faults=faults, severity=severity, seed=seed, on_chunk=on_chunk)


def adapted(
    normal: Curves,
    few: Curves,
    *,
    config: Config | None = None,
    finetune: FinetuneConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_step: OnStep | None = None,
    on_adapt: OnStep | None = None,
) -> Augmenter:
    """A model that has learnt from normal curves and was adapted to a few faults, with one seed for both.

    Args:
        normal: normal curves.
        few: known faults.
        config: of the model; the defaults with this seed where not given.
        finetune: of the adaptation; the same.
        seed: of both.
        device: where the networks learn.
        on_step: called after each step of training.
        on_adapt: called after each of the adaptation; as `on_step` where not given.
    """
    config, finetune = config or Config(train=TrainConfig(seed=seed)), finetune or FinetuneConfig(seed=seed)
    base = Augmenter.pretrain(normal, config=config, device=device, on_step=on_step)
    return base.finetune(few, normal=normal, config=finetune, device=device, on_step=on_adapt or on_step)


def augment_into(
    model: Augmenter,
    plan: Plan,
    out: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
    steps: int | None = None,
    curves_in_part: int = PART,
    share: slice = slice(None),
    workers: Workers = 1,
    picture: Callable[[Curves], bytes] | None = None,
    on_part: Callable[[int, int], None] | None = None,
) -> PartList | None:
    """The faults of a plan as a set of parts, each written by whoever draws it: for more than memory holds, on many machines.

    What was stopped goes on where it was; see `files.parts.write_parts`.

    Args:
        model: an adapted model.
        plan: what is drawn from what, see `Augmenter.plan`.
        out: a folder that all workers see, or a URL that they reach.
        config: to keep beside it, with what the curves depend on, which is added.
        seed: of the first curve.
        steps: network evaluations a curve; the configured number where not given.
        curves_in_part: at most.
        share: of the parts, which are made here; all where not given.
        workers: processes, or a cluster.
        picture: makes a PNG of the first curves.
        on_part: called with parts done and parts in all.

    Returns:
        The list of all parts; None where some are another's to make.

    Raises:
        DataError: as `write_parts` does; or no draw is one that a cell could have made.

    Warns:
        LeftOutWarning: how many faults are left out.
    """
    of = hashlib.sha256(repr((plan.labels, plan.severities, plan.cycles)).encode())
    for array in (plan.row, plan.label, plan.depth):
        of.update(np.ascontiguousarray(array).tobytes())
    source = fingerprint(plan.references.curves)
    made = {"curves": len(plan), "plan_sha256": of.hexdigest(), "source_sha256": source, "steps": steps}
    told = {**(config or {}), **_made_with(model, seed, curves_in_part), **made}
    parts = parts_of_plan(plan, model.drawing_of(plan, steps=steps), seed=seed, size=curves_in_part)
    listed = write_parts(parts, out, config=told, share=share, workers=workers, picture=picture, on_part=on_part)
    if listed is not None:
        tell_left_out_parts(listed.told, of=len(plan))
    return listed


def draw_into(
    model: Augmenter,
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    out: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    steps: int | None = None,
    reference: Curves | None = None,
    curves_in_part: int = PART,
    share: slice = slice(None),
    workers: Workers = 1,
    on_part: Callable[[int, int], None] | None = None,
) -> PartList | None:
    """What `Augmenter.stream` draws, as a set of parts; see `augment_into`.

    Args:
        model: any.
        conditions: what is asked for.
        seeds: one for each.
        out: as there, as are the others.
        config: as there.
        steps: as there.
        reference: earlier curves of the cells, as in `Augmenter.draw`.
        curves_in_part: as there.
        share: as there.
        workers: as there.
        on_part: as there.
    """
    made = {"curves": len(seeds), "asked_sha256": _digest(conditions, seeds), "steps": steps}
    made |= {"reference_sha256": fingerprint(reference) if reference is not None else None}
    told = {**(config or {}), **_made_with(model, seeds[0], curves_in_part), **made}
    parts = parts_of_asked(conditions, seeds, model.drawing(conditions, seeds, reference, Sampling(steps)), size=curves_in_part)
    return write_parts(parts, out, config=told, share=share, workers=workers, on_part=on_part)


def _digest(conditions: Sequence[Condition], seeds: Sequence[int]) -> str:
    """SHA-256 of what is asked for."""
    digest = hashlib.sha256(np.array(seeds, dtype=np.int64).tobytes())
    texts = dict[int, bytes]()  # millions of them are often the same one
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # loads in full
        for condition in conditions:
            if id(condition) not in texts:
                texts[id(condition)] = hashlib.sha256(repr(condition).encode()).digest()
            digest.update(texts[id(condition)])
    return digest.hexdigest()


def _made_with(model: Augmenter, seed: int, curves_in_part: int) -> dict[str, Any]:
    own = {"faultcell": version("faultcell"), "model_sha256": model.sha256, "gate": model.config.gate}
    return {**own, "seed": seed, "curves_in_part": curves_in_part}


def beside_real(blocks: Iterable[Curves], real: Curves) -> Iterator[Curves]:
    """Real curves, then blocks of drawn ones, all with the same columns: `synthetic` tells them apart."""
    coming = iter(blocks)
    first = next(coming)
    marked = Curves(*(table.with_columns(synthetic=pl.lit(value=False)) for table in (real.timeseries, real.halfcycles)))
    like = Curves.concat([Curves(part.timeseries[:0], part.halfcycles[:0]) for part in (marked, first)])
    for part in itertools.chain([marked, first], coming):
        yield Curves(_conformed(part.timeseries, like.timeseries), _conformed(part.halfcycles, like.halfcycles))


def _conformed(table: pl.DataFrame, like: pl.DataFrame) -> pl.DataFrame:
    """With the columns of another, in its order; what is missing is unknown."""
    known = set(table.columns)
    return table.select(
        (pl.col(name) if name in known else pl.lit(None)).cast(dtype).alias(name) for name, dtype in like.schema.items()
    )
