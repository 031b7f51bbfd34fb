"""What a scores file holds."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from faultcell.metrics import BINS
from faultcell.runtime.shown import Plotted, Tabular
from faultcell.scoring.resample import POINTS

LEAST_STRATUM = 5
PROTOCOL = (
    "Each generated curve is paired with the real one whose condition it was given; the loaded part of both is resampled to "
    f"{POINTS} points over its own duration; voltages are scaled to [0, 1] by the range of the real set; KL(real || generated) "
    f"and Jensen-Shannon over {BINS} bins of that range with add-one counts, Wasserstein-1 of the scaled values. dpcc is the "
    "correlation of first differences. Voltage errors are absolute, in V under load; the duration error is relative. "
    "Pairs reward averaging: a mean curve may have a better dpcc than the next real curve of the same cell. "
    "Strata: each fault in three equal parts by the peak deviation of the real curves; the worst is the one of at least "
    f"{LEAST_STRATUM} curves with the largest mae. "
    "Sets: each real curve counts once. Frechet distance, MMD, density, coverage, authenticity and closest record are taken "
    "between fixed features of the scaled curves. A discriminative score is |balanced accuracy - 0.5| of a judge asked about "
    "cells it has not seen. predictive is the error on real curves of a forecast learnt on generated ones, predictive_real of "
    "one learnt on real curves of other cells. authenticity_real is what held-out real curves reach. The spread ratio compares "
    "curves with the nearest condition of another cell, generated over real. A violation lies outside the central 99 % of the "
    "real curves of the same label. "
    "rises: share of curves that go more than 20 mV against their direction under a constant load, after the first tenth of "
    "their time; flat_at_limit: within 3 mV of the limit for more than 2 % of it; hot: a surface outside -40 to 80 degC, or a "
    "jump of more than 8 K; surges: a discharge current of more than twice its median; *_real is the same of the real curves. "
    "forest_auc is that of a forest that tells generated from real curves (voltages, their first and second differences, "
    "duration) on cells it has not seen, mean over cells; 0.5 is chance. "
    "Ensemble: fair CRPS, energy score and variogram score (p = 0.5) of several draws, lower is better; covered is the share "
    "of real points between the 5 and 95 % quantiles (Weibull's), covered_if_perfect what a perfect one reaches with as many. "
    "Sources: floor pairs successive real curves of one cell, the earlier as real, the later as generated; it shows what can "
    "be reached at best, over half as many curves. replay repeats the nearest known curve, jitter adds noise to it, mean_curve "
    "repeats the mean of the known curves; noise is white and shows the worst. Compare a number with these, not with zero."
)
COLUMNS = ("mae", "mse", "pcc", "dpcc", "lowest_voltage_error_volt", "highest_voltage_error_volt", "duration_error")


class Score(BaseModel):
    """Means over a group of pairs; see `PROTOCOL`. What cannot be computed is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    curves: int
    kl: float
    js: float
    wasserstein: float
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


class SetScore(BaseModel):
    """What a group of generated curves is like as a set; see `PROTOCOL`. What cannot be computed is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    curves: int
    frechet: float | None = None
    mmd: float | None = None
    mmd_p: float | None = None
    discriminative_gru: float | None = None
    discriminative_linear: float | None = None
    predictive: float | None = None
    predictive_real: float | None = None
    density: float | None = None
    coverage: float | None = None
    authenticity: float | None = None
    authenticity_real: float | None = None
    closest_record: float | None = None
    spread_ratio: float | None = None
    limit_violations: float | None = None
    monotone_violations: float | None = None
    charge_violations: float | None = None
    rises: float | None = None
    rises_real: float | None = None
    flat_at_limit: float | None = None
    flat_at_limit_real: float | None = None
    hot: float | None = None
    hot_real: float | None = None
    surges: float | None = None
    surges_real: float | None = None
    forest_auc: float | None = None
    forest_auc_worst: float | None = None


class EnsembleScore(BaseModel):
    """Means over a group of real curves of what several draws of each score; see `PROTOCOL`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    curves: int
    draws: int
    crps: float
    energy: float
    variogram: float
    mae_of_median: float
    covered: float
    covered_if_perfect: float
    width: float
    crps_of_log_duration: float


SET_COLUMNS = tuple(name for name in SetScore.model_fields if name != "curves")


class SourceScores(BaseModel):
    """Scores of one source.

    Attributes:
        all: over all pairs.
        by_label: by fault.
        by_cell: by cell of the real curve.
        by_severity: by fault and peak deviation of the real curve.
        worst: name of the severity stratum of at least 5 curves with the largest `mae`.
        sets: of the curves as sets, `all` and by fault; empty where they were not asked for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: Score
    by_label: dict[str, Score]
    by_cell: dict[str, Score]
    by_severity: dict[str, Score] = Field(default_factory=dict)
    worst: str | None = None
    sets: dict[str, SetScore] = Field(default_factory=dict)


class Scores(Plotted, Tabular, BaseModel):
    """Scores of a generated set and of the cheap sources beside it, by name of the source.

    Attributes:
        protocol: how all of it was computed.
        pairing: whether curves were paired by key or by the nearest condition.
        real_sha256: fingerprint of the real curves.
        sources: scores by source.
        verdict: of the generated set, in words; None where it was not scored as a set.
        ensemble: scores of several draws, by kind of group and name; empty where there was one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    picture: ClassVar[str] = "plot_scores"

    protocol: str
    pairing: str
    real_sha256: str
    sources: dict[str, SourceScores]
    verdict: str | None = None
    ensemble: dict[str, dict[str, EnsembleScore]] = Field(default_factory=dict)

    def __repr__(self) -> str:
        own = self.sources["synthetic"].all if "synthetic" in self.sources else None
        said = f"MAE {own.mae:.3g}, dPCC {own.dpcc:.3g}, " if own and own.mae is not None and own.dpcc is not None else ""
        return f"Scores({said}{(self.verdict or 'no verdict')[:120]}; sources {len(self.sources)})"

    def to_polars(self) -> pl.DataFrame:
        """A row for each source and group of pairs: `group` (all, label, cell, severity), its `name`, and the scores."""
        groups = {"label": "by_label", "cell": "by_cell", "severity": "by_severity"}
        rows = [{"source": name, "group": "all", "name": "", **found.all.model_dump()} for name, found in self.sources.items()]
        for name, found in self.sources.items():
            for group, field in groups.items():
                scored: dict[str, Score] = getattr(found, field)
                rows += [{"source": name, "group": group, "name": one, **s.model_dump()} for one, s in scored.items()]
        return pl.DataFrame(rows, infer_schema_length=None)
