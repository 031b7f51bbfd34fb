"""From tables to a training set: learn from normal curves, adapt to a handful of faults, and draw many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl

from faultcell.augmenter import Augmenter
from faultcell.config import Config, FinetuneConfig, TrainConfig
from faultcell.curves.curves import Curves
from faultcell.generation.depths import Depths
from faultcell.generation.rest_shorts import RestShorts, all_at_rest
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
