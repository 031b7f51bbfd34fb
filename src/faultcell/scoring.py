"""Scores of a generated set against real curves of the same conditions, beside the cheap sources it must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from faultcell import metrics, severity
from faultcell.conditions import conditions_of
from faultcell.curves import KEYS, SEVERITY, Array, Curves, loaded_part
from faultcell.errors import DataError
from faultcell.files.samples import name_curve
from faultcell.profile import fingerprint
from faultcell.replay import MeanCurve, Replay

POINTS = 128
PROTOCOL = (
    "Each generated curve is paired with the real one whose condition it was given; the loaded part of both is resampled to "
    f"{POINTS} points over its own duration; voltages are scaled to [0, 1] by the range of the real set; KL(real || generated) "
    f"over {metrics.BINS} bins of that range with add-one counts. dpcc is the correlation of first differences. Voltage errors "
    "are absolute, in V under load; the duration error is relative."
)
COLUMNS = ("mae", "mse", "pcc", "dpcc", "lowest_voltage_error_volt", "highest_voltage_error_volt", "duration_error")


class Score(BaseModel):
    """Means over a group of curves; see `PROTOCOL`. What cannot be computed is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    curves: int
    kl: float
    mae: float
    mse: float
    pcc: float | None
    dpcc: float | None
    lowest_voltage_error_volt: float
    highest_voltage_error_volt: float
    duration_error: float
    peak_deviation_error_volt: float | None
    repetition_error: float | None
    cumulative_duration_error_second: float | None


class SourceScores(BaseModel):
    """Scores of one source: over all curves, by fault and by cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: Score
    by_label: dict[str, Score]
    by_cell: dict[str, Score]


class Scores(BaseModel):
    """Scores of a generated set and of the cheap sources beside it, by name of the source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    pairing: str
    real_sha256: str
    sources: dict[str, SourceScores]


def evaluate(*, real: Curves, synthetic: Curves, train: Curves | None = None) -> Scores:
    """Score generated curves.

    Args:
        real: curves that neither training nor fine-tuning has seen.
        synthetic: generated for their conditions. Curves with the keys of real ones are paired by key; others with the real
            curve of the same label whose condition is nearest.
        train: the faults that the model was adapted to; with them, nearest replay and the mean curve are scored too.

    Raises:
        DataError: nothing can be paired.
    """
    real, synthetic = severity.complete(real), severity.complete(synthetic)
    by_key = _by_key(real, synthetic)
    pairs = by_key if by_key is not None else _by_condition(real, synthetic)
    target = real.take(pairs)
    sources = {"synthetic": _score(target, synthetic)}
    if train is not None:
        asked = conditions_of(target)
        seeds = range(len(asked))
        for name, source in (("replay", Replay(train)), ("mean_curve", MeanCurve(train))):
            sources[name] = _score(target, source.draw(asked, seeds))
    return Scores(
        protocol=PROTOCOL,
        pairing="by key" if by_key is not None else "nearest condition",
        real_sha256=fingerprint(real),
        sources=sources,
    )


def _by_key(real: Curves, synthetic: Curves) -> list[int] | None:
    """The position of each synthetic curve's namesake among the real ones, or None if one has none."""
    rows = real.halfcycles.select(KEYS).with_row_index("_row")
    found = synthetic.halfcycles.select(KEYS).join(rows, on=KEYS, how="left", maintain_order="left")["_row"]
    return None if found.null_count() else [int(row) for row in found]


def _by_condition(real: Curves, synthetic: Curves) -> list[int]:
    missing = set(synthetic.labels) - set(real.labels)
    if missing:
        raise DataError(
            f"the synthetic set has curves labelled '{sorted(missing)[0]}' and the real set has none: give real curves of "
            "that label, or select with --label"
        )
    return Replay(real).nearest(conditions_of(synthetic))


def same_part(synthetic: Curves, *, of: Curves, selected: Curves) -> Curves:
    """The part of a generated set that belongs to a selection of the real curves: by key, else by label and half-cycle.

    Args:
        synthetic: the generated set.
        of: all real curves.
        selected: some of them.
    """
    if _by_key(of, synthetic) is not None:
        kept = synthetic.halfcycles.select(KEYS).join(
            selected.halfcycles.select(KEYS, _kept=True), on=KEYS, how="left", maintain_order="left"
        )
        return synthetic.take(kept["_kept"].fill_null(False).arg_true().to_list())
    return synthetic.where(
        pl.col("label").is_in(selected.labels), pl.col("step_type").is_in(set(selected.halfcycles["step_type"]))
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """Curves as the protocol compares them: volts on a common grid `(N, L)`, and durations in s `(N,)`."""

    volts: Array
    seconds: Array

    @classmethod
    def of(cls, curves: Curves) -> _Measured:
        time, volt = curves.column("step_time_second"), curves.column("voltage_volt")
        parts = [loaded_part(curves, rows) for rows in curves.slices()]
        for row, part in enumerate(parts):
            if part.stop - part.start < 2:
                raise DataError(f"{name_curve(curves.halfcycles, row)} has no load to be scored: leave it out")
        volts = [np.interp(np.linspace(time[p][0], time[p][-1], POINTS), time[p], volt[p]) for p in parts]
        return cls(np.stack(volts), np.array([time[p][-1] - time[p][0] for p in parts]))


def _score(real: Curves, generated: Curves) -> SourceScores:
    """Scores of pairs: curve *i* of the one with curve *i* of the other."""
    a, b = _Measured.of(real), _Measured.of(generated)
    scaled = metrics.scaled(a.volts, a.volts), metrics.scaled(b.volts, a.volts)
    pairs = {
        "mae": metrics.mae(*scaled),
        "mse": metrics.mse(*scaled),
        "pcc": metrics.pcc(*scaled),
        "dpcc": metrics.dpcc(*scaled),
        "lowest_voltage_error_volt": np.abs(a.volts.min(axis=1) - b.volts.min(axis=1)),
        "highest_voltage_error_volt": np.abs(a.volts.max(axis=1) - b.volts.max(axis=1)),
        "duration_error": np.abs(b.seconds / np.maximum(a.seconds, 1e-9) - 1),
        **_adherence(generated),
    }
    groups = {name: _groups(real.halfcycles[name]) for name in ("label", "cell_id")}
    return SourceScores(
        all=_summary(pairs, scaled, slice(None)),
        by_label={name: _summary(pairs, scaled, rows) for name, rows in groups["label"].items()},
        by_cell={name: _summary(pairs, scaled, rows) for name, rows in groups["cell_id"].items()},
    )


def _adherence(generated: Curves) -> dict[str, Array]:
    """Absolute difference between what was asked for and what was measured back, NaN where nothing was asked."""
    names = ("peak_deviation_error_volt", "repetition_error", "cumulative_duration_error_second")
    return {
        name: np.abs(generated.known(f"requested_{column}") - generated.known(column))
        for name, column in zip(names, SEVERITY, strict=True)
    }


def _groups(names: pl.Series) -> Mapping[str, Sequence[int]]:
    return {str(name): [i for i, other in enumerate(names) if other == name] for name in sorted(names.unique())}


def _summary(pairs: Mapping[str, Array], scaled: tuple[Array, Array], rows: Any) -> Score:
    means: dict[str, float | None] = {
        name: float(np.mean(values[rows][np.isfinite(values[rows])])) if np.isfinite(values[rows]).any() else None
        for name, values in pairs.items()
    }
    return Score(curves=len(scaled[0][rows]), kl=metrics.kl(scaled[0][rows], scaled[1][rows]), **means)
