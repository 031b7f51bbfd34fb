"""Faults of cells the model has never seen: fidelity, spread and bands, beside every cheap source and the floor.

NASA: pre-train on normal discharges, adapt to 24 over-discharge curves of the fault cells that are not left out, and draw one
curve for each over-discharge of the cells that are; without, and with a reference: the cell's own earlier cycles, of which only
the part inside the limits is used, and their rows of `halfcycles.parquet`, which tell at how many faults and seconds beyond the
limit the cell stands; once more without these, from the curve alone. Every cell is left out once, in groups, but those settings
were chosen on (`CHOSEN_ON`), which are adapted to and never scored. Then the same with 10 and 5 fault curves in all, and the
embedded data, both faults.
Means and 95 % intervals (Student's t) over the seeds, which set the choice of curves, the training and the draw.

    python benchmarks/unseen_cells.py [--data FOLDER] [--seeds N] [--workers N] [--out JSON]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import t as student

import faultcell as fc
from faultcell.config import TrainConfig
from faultcell.errors import OutOfRangeWarning
from faultcell.files.embedded import demo_data
from faultcell.runtime.workers import one_thread, spread
from faultcell.scoring.pair_scores import pair_scores
from faultcell.scoring.pairing import successive
from faultcell.scoring.resample import Match, Measured
from faultcell.scoring.scores import Score
from faultcell.scoring.set_scores import TrainingPoints, diversity

Row = dict[str, Any]
CHOSEN_ON = ("B0029", "B0038", "B0046", "B0054")
LEFT_OUT = (("B0007", "B0042", "B0045"), ("B0033", "B0041", "B0049"), ("B0025", "B0050"))
FEW = (24, 10, 5)
BAND_CURVES, BAND_DRAWS = 4, 100  # curves of each cell, spread over its life, for which a band is drawn
PAIRED = {
    "mae": "mae",
    "pcc": "pcc",
    "dpcc": "dpcc",
    "kl": "kl",
    "lowest": "lowest_voltage_error_volt",
    "highest": "highest_voltage_error_volt",
    "duration": "duration_error",
}
BY_CELL = ("model", "model, reference", "model, reference's curve alone", "replay", "floor")
COLUMNS = (*PAIRED, "spread", "closest", "band")


@dataclass(frozen=True)
class Job:
    """A seed on a data set: a base, and the models adapted from it."""

    data: str
    seed: int
    folder: str


@dataclass(frozen=True)
class Trial:
    """A handful of faults and the unseen curves that a model adapted to it is scored on.

    Attributes:
        data: what the table calls it.
        few: the handful.
        test: real curves of unseen cells.
        reference: curves of the same cells.
    """

    data: str
    few: fc.Curves
    test: fc.Curves
    reference: fc.Curves


def main() -> None:
    options = arguments()
    folder, started = options.data / "nasa_pcoe", time.perf_counter()
    sets = ["nasa", "embedded"] if folder.is_dir() else ["embedded"]
    if "nasa" not in sets:
        print(f"NASA skipped: {folder} is not there; set FAULTCELL_REAL_DATA or --data", file=sys.stderr)
    jobs = [Job(data, seed, str(folder)) for data in sets for seed in range(options.seeds)]
    rows = [row for found in spread(run, jobs, workers=options.workers) for row in found]
    print(report(rows))
    print(f"\n{options.seeds} seeds, {options.workers} processes of one thread, {(time.perf_counter() - started) / 60:.1f} min")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def run(job: Job) -> list[Row]:
    """Pre-train, then adapt, draw and score for each choice of cells left out and each number of faults."""
    warnings.simplefilter("ignore", OutOfRangeWarning)
    with one_thread():
        normal, trials = nasa(job) if job.data == "nasa" else simulated(job)
        started = time.perf_counter()
        base = fc.Augmenter.pretrain(normal, config=fc.Config(train=TrainConfig(seed=job.seed)))
        print(f"{job.data}, seed {job.seed}: pre-training {time.perf_counter() - started:.0f} s", file=sys.stderr)
        rows = []
        for number, trial in enumerate(trials, start=1):
            rows += tried(trial, base, normal, seed=job.seed)
            print(f"{job.data}, seed {job.seed}: {number} of {len(trials)} models", file=sys.stderr, flush=True)
        return rows


def nasa(job: Job) -> tuple[fc.Curves, list[Trial]]:
    """Normal discharges of cells without faults, and a trial for each group left out and each number of faults."""
    curves = fc.read(job.folder).where(pl.col("quality") == "ok", pl.col("step_type") == "discharge")
    faults = curves.select(label=["overdischarge"])
    trials = []
    for left_out in LEFT_OUT:
        others, test = faults.where(~pl.col("cell_id").is_in(left_out)), faults.select(cells=left_out)
        trials += [Trial("NASA overdischarge", others.few(count, seed=job.seed), test, test) for count in FEW]
    return curves.where(pl.col("label") == "normal", ~pl.col("cell_id").is_in(faults.cells)), trials


def simulated(job: Job) -> tuple[fc.Curves, list[Trial]]:
    """The embedded curves, split by cell; both faults, each adapted to and scored apart."""
    seen, unseen = demo_data("overcharge", "overdischarge").split(by="cell_id", test=0.3, seed=job.seed)
    labels = [label for label in seen.labels if label != "normal"]
    trials = [
        Trial(f"embedded {name}", seen.select(label=[name]).few(count, seed=job.seed), unseen.select(label=[name]), unseen)
        for name in labels
        for count in FEW
    ]
    return seen.where(pl.col("label") == "normal"), trials


def tried(trial: Trial, base: fc.Augmenter, normal: fc.Curves, *, seed: int) -> list[Row]:
    """One row for each source: the model without and with a reference, the cheap sources, and the floor."""
    started = time.perf_counter()
    tuned = base.finetune(trial.few, normal=normal, config=fc.FinetuneConfig(seed=seed))
    seconds = time.perf_counter() - started
    asked = fc.conditions_of(trial.test)
    seeds = range(1000 * seed, 1000 * seed + len(asked))
    some = trial.test.take(evenly(trial.test))
    known = TrainingPoints.of(trial.few)
    rows: list[Row] = []

    def add(name: str, source: fc.Source, **reference: fc.Curves) -> None:
        match = Match.of(trial.test, source.draw(asked, seeds, **reference), found=range(len(asked)))
        band = fc.draw_band(source, fc.conditions_of(some), draws=BAND_DRAWS, seed=seed, **reference).coverage(some)
        rows.append(row(name, pair_scores(match, {})["cell_id"], band.by_cell, match, known))

    add("model", tuned)
    add("model, reference", tuned, reference=trial.reference)
    if len(trial.few) > FEW[1]:
        add("model, reference's curve alone", tuned, reference=without_history(trial.reference))
    for name, make in fc.CHEAP.items():
        add(name, make(trial.few))
    rows.append(floor(trial))
    about: Row = {"data": trial.data, "few": len(trial.few), "seed": seed, "seconds": seconds}
    return [about | found for found in rows]


def without_history(curves: fc.Curves) -> fc.Curves:
    """The same curves with nothing told of the past of their cells."""
    return fc.Curves(curves.timeseries, curves.halfcycles.drop("repetition_count", "cumulative_duration_second", strict=False))


def row(name: str, scores: dict[str, Score], band: dict[str, float], match: Match, known: TrainingPoints) -> Row:
    """The measures of one source: means in which each cell counts the same, spread and closest record over all."""
    means = {column: float(np.mean([getattr(score, field) for score in scores.values()])) for column, field in PAIRED.items()}
    spread_ratio, closest = diversity(match, known)
    covered = float(np.mean(list(band.values()))) if band else None
    cells = {cell: {"mae": score.mae, "dpcc": score.dpcc, "band": band.get(cell)} for cell, score in scores.items()}
    return {"source": name, **means, "spread": spread_ratio, "closest": closest, "band": covered, "cells": cells}


def floor(trial: Trial) -> Row:
    """A real cycle against the next one of its cell."""
    earlier, later = successive(trial.test)
    real, drawn = trial.test.take(earlier), trial.test.take(later)
    match = Match.of(real, drawn, found=range(len(real)), reference=Measured.of(trial.test).volts)
    return row("floor", pair_scores(match, {})["cell_id"], {}, match, TrainingPoints.of(trial.few))


def evenly(curves: fc.Curves) -> list[int]:
    """Rows of at most `BAND_CURVES` curves of each cell, evenly over its life."""
    cells = curves.halfcycles["cell_id"].to_numpy()
    rows = [np.flatnonzero(cells == cell) for cell in curves.cells]
    picked = [part[np.unique(np.linspace(0, len(part) - 1, BAND_CURVES).astype(int))] for part in rows]
    return sorted(int(i) for part in picked for i in part)


def report(rows: Sequence[Row]) -> str:
    """A table for each data set and number of faults: mean over seeds, and the 95 % interval where there are several."""
    lines = []
    for data, few in dict.fromkeys((row["data"], row["few"]) for row in rows):
        part = [row for row in rows if (row["data"], row["few"]) == (data, few)]
        seconds = np.mean([row["seconds"] for row in part])
        lines += ["", f"## {data}, adapted to {few} curves in all ({seconds:.0f} s)", "", "| | " + " | ".join(COLUMNS) + " |"]
        lines.append("|---" * (len(COLUMNS) + 1) + "|")
        for source in dict.fromkeys(row["source"] for row in part):
            some = [row for row in part if row["source"] == source]
            lines.append(f"| {source} | " + " | ".join(cell(some, column) for column in COLUMNS) + " |")
        lines += by_cell(part)
    return "\n".join(lines)


def by_cell(rows: Sequence[Row]) -> list[str]:
    """MAE of each cell, mean over seeds; for the models also the share of points their bands cover."""
    sources = [source for source in dict.fromkeys(row["source"] for row in rows) if source in BY_CELL]
    lines = ["", "| MAE (share within the band) | " + " | ".join(sources) + " |", "|---" * (len(sources) + 1) + "|"]
    for name in sorted({name for row in rows for name in row["cells"]}):
        entries = []
        for source in sources:
            found = [row["cells"][name] for row in rows if row["source"] == source and name in row["cells"]]
            bands = [one["band"] for one in found if one["band"] is not None]
            share = f" ({np.mean(bands):.2f})" if bands and source.startswith("model") else ""
            entries.append(f"{np.mean([one['mae'] for one in found]):.3f}{share}" if found else "")
        lines.append(f"| {name} | " + " | ".join(entries) + " |")
    return lines


def cell(rows: Sequence[Row], column: str) -> str:
    """Mean over seeds of the mean over the groups left out, and half the width of its 95 % interval."""
    seeds = sorted({row["seed"] for row in rows})
    means = [
        float(np.mean([row[column] for row in rows if row["seed"] == seed]))
        for seed in seeds
        if all(row[column] is not None for row in rows)
    ]
    if not means:
        return ""
    digits = 3 if column in ("mae", "kl", "lowest", "duration", "pcc", "dpcc") else 2
    digits += column in ("mae", "kl", "pcc")
    text = f"{np.mean(means):.{digits}f}"
    if len(means) > 1:
        text += f" ± {student.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / np.sqrt(len(means)):.{digits}f}"
    return text


def arguments() -> argparse.Namespace:
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("FAULTCELL_REAL_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write every row as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
