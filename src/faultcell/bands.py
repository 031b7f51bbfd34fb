"""A band of drawn curves: between which voltages a curve of given conditions lies, and whether real ones do lie there."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from faultcell.augmenter import Augmenter
from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves, Source
from faultcell.curves.schema import KEYS, Array
from faultcell.errors import ConditionError, DataError, OutOfRangeWarning
from faultcell.files.durable.atomic import whole_folder
from faultcell.runtime.shown import Plotted
from faultcell.scoring.pairing import by_key
from faultcell.scoring.resample import POINTS, Measured

TABLE, FIGURE, CONFIG = "band.parquet", "band.png", "config.json"
FEWEST_DRAWS = 10
AT_ONCE = 16  # conditions whose draws are held in memory together


@dataclass(frozen=True, eq=False)
class Coverage:
    """How much of real curves lies within a band.

    Attributes:
        all: share of points, each curve counting the same, 0 to 1.
        by_cell: the same of each cell.
        curves: how many were looked at.
    """

    all: float
    by_cell: dict[str, float]
    curves: int


@dataclass(frozen=True, eq=False)
class Band(Plotted):
    """Quantiles of curves drawn for the same conditions, at equal fractions of the duration of each.

    Attributes:
        keys: cell, cycle and half-cycle of each condition.
        lower: V `(N, POINTS)`.
        median: V `(N, POINTS)`.
        upper: V `(N, POINTS)`.
        seconds: lower, median and upper duration, s `(N, 3)`.
        level: share of draws within the band at each point.
        draws: how many a condition.
        seeds: of the first draw of each `(N,)`.
        model_sha256: of the model, or the name of the source.
    """

    keys: pl.DataFrame
    lower: Array
    median: Array
    upper: Array
    seconds: Array
    level: float
    draws: int
    seeds: tuple[int, ...]
    model_sha256: str

    picture = "plot_band"

    def __repr__(self) -> str:
        return f"Band({len(self.keys)} conditions, {100 * self.level:g} % of {self.draws} draws each; {self.model_sha256[:8]})"

    def __len__(self) -> int:
        return len(self.lower)

    def table(self) -> pl.DataFrame:
        """One row a point: keys, `fraction` of the duration, seconds of the median duration, the three voltages."""
        fraction = np.linspace(0, 1, POINTS)
        return self.keys[np.repeat(np.arange(len(self)), POINTS)].with_columns(
            fraction=pl.Series(np.tile(fraction, len(self))),
            step_time_second=pl.Series((self.seconds[:, 1:2] * fraction).ravel()),
            lower_volt=pl.Series(self.lower.ravel()),
            median_volt=pl.Series(self.median.ravel()),
            upper_volt=pl.Series(self.upper.ravel()),
            synthetic=pl.lit(True),
            seed=pl.Series(np.repeat(self.seeds, POINTS)),
            model_sha256=pl.lit(self.model_sha256),
        )

    def coverage(self, real: Curves) -> Coverage:
        """How much of real curves of the same keys lies within.

        Raises:
            DataError: generated curves, or a real curve without a band.
        """
        real.refuse_generated("real")
        places = by_key(Curves(real.timeseries[:0], self.keys), real)
        if places is None:
            raise DataError("a real curve has no band: give the curves whose conditions the band was drawn for")
        volts = Measured.of(real).volts
        inside = ((volts >= self.lower[places]) & (volts <= self.upper[places])).mean(axis=1)
        cells = real.halfcycles["cell_id"].to_numpy()
        return Coverage(float(inside.mean()), {name: float(inside[cells == name].mean()) for name in real.cells}, len(real))


def draw_band(
    source: Source,
    conditions: Sequence[Condition],
    *,
    draws: int = 100,
    level: float = 0.9,
    seed: int = 0,
    steps: int | None = None,
    reference: Curves | None = None,
    on_chunk: Callable[[int, int], None] | None = None,
) -> Band:
    """Draw many curves for each condition and give the voltages between which a share of them lies.

    The band is one of points, not of whole curves: a curve may leave it somewhere and still be a likely one.

    Args:
        source: to draw from; only an `Augmenter` takes steps and references.
        conditions: what is asked for.
        draws: curves a condition.
        level: share of them within the band at each point.
        seed: of the first draw of the first condition.
        steps: network evaluations a curve; the configured number where not given.
        reference: as in `Augmenter.draw`.
        on_chunk: called with curves done and curves in all.

    Raises:
        ConditionError: nothing is asked for, fewer than ten draws, a level out of (0, 1), or what the source refuses.
    """
    if not conditions or draws < FEWEST_DRAWS or not 0 < level < 1:
        raise ConditionError(
            f"a band needs at least one condition, at least {FEWEST_DRAWS} draws and a level between 0 and 1, found "
            f"{len(conditions)}, {draws} and {level:g}"
        )
    options: dict[str, Any] = {"steps": steps, "reference": reference}
    if reference is not None and isinstance(source, Augmenter):
        options["reference"] = source.references(reference, conditions)  # once, not for each part
    total, parts, keys = len(conditions) * draws, [], []
    for start in range(0, len(conditions), AT_ONCE):
        some = conditions[start : start + AT_ONCE]
        first = seed + start * draws
        options["on_chunk"] = None if on_chunk is None else partial(_further, on_chunk, start * draws, total)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutOfRangeWarning)
            drawn = source.draw(
                [condition for condition in some for _ in range(draws)],
                range(first, first + len(some) * draws),
                **{name: value for name, value in options.items() if value is not None},
            )
        parts.append(_quantiles(Measured.of(drawn), draws=draws, level=level))
        keys.append(drawn.halfcycles.select(KEYS)[::draws])
    if isinstance(source, Augmenter):
        source.profile.check(conditions)  # warns of extrapolations: once, not for each part
    lower, median, upper, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
    seeds = tuple(range(seed, seed + total, draws))
    return Band(pl.concat(keys), lower, median, upper, seconds, level, draws, seeds, drawn.halfcycles["model_sha256"][0])


def write(found: Band, folder: str | Path, *, config: Mapping[str, Any], figure: bytes) -> Path:
    """Write a band whole or not at all: its table, its figure and the configuration; an earlier band there is replaced.

    Args:
        found: the band.
        folder: where to.
        config: the resolved configuration.
        figure: a PNG.

    Raises:
        DataError: the folder holds something else, or the disk refuses.
    """
    with whole_folder(folder, replaces=(TABLE, FIGURE, CONFIG)) as draft:
        found.table().write_parquet(draft / TABLE)
        (draft / FIGURE).write_bytes(figure)
        (draft / CONFIG).write_text(json.dumps(dict(config), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return Path(folder)


def _further(on_chunk: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    on_chunk(before + done, total)


def _quantiles(drawn: Measured, *, draws: int, level: float) -> tuple[Array, Array, Array, Array]:
    """Lower, median and upper voltages `(n, POINTS)`, and the same of the durations `(n, 3)`.

    Weibull's quantiles: NumPy's default would make the band of a perfect model cover too little, 88 % of 90 with 100 draws.
    """
    shares = [(1 - level) / 2, 0.5, (1 + level) / 2]
    lower, median, upper = np.quantile(drawn.volts.reshape(-1, draws, POINTS), shares, axis=1, method="weibull")
    return lower, median, upper, np.quantile(drawn.seconds.reshape(-1, draws), shares, axis=1, method="weibull").T
