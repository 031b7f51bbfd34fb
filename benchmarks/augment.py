"""Is a training set from `faultcell augment` worth more than any cheap control, on cells left out?

NASA: several splits by cell. Of each, learn from the normal curves of the training cells, adapt to 24 of their faults, and draw
as many faults as make the classes equal: from the normal curves, each as its own reference (`augment`), and for conditions
between the known faults (`new conditions`). Then fit classifiers on whole curves with these, with cheap controls, splice among
them, and with nothing added, and count alarms on the test cells. Means over splits, and the difference of `augment` from each
other arm with its 95 % interval (Student's t, paired by split). Cells on which settings were chosen are never tested.

    python benchmarks/augment.py [--data FOLDER] [--fault NAME] [--splits N] [--workers N] [--out JSON]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import faultcell as fc
from faultcell.augmentation import adapted
from faultcell.diagnosis.gain import FOREST, SIX, interval
from faultcell.errors import LeftOutWarning, OutOfRangeWarning
from faultcell.runtime.workers import one_thread, spread
from unseen_cells import CHOSEN_ON

Row = dict[str, Any]
FEW, TEST_SHARE, FEWEST = 24, 0.4, 20  # FEWEST: test curves of either kind
OURS, CONDITIONS = "augment", "new conditions"
CONTROLS = ("replay", "time_warp", "smote", "splice")
CLASSIFIERS = (*SIX, FOREST, "protocol")
MEASURES = ("recall", "pr_auc", "recall_at_1_percent", "false_alarm_rate")


@dataclass(frozen=True)
class Job:
    """One split."""

    folder: str
    fault: str
    seed: int


def divided(curves: fc.Curves, fault: str, *, seed: int) -> tuple[fc.Curves, fc.Curves]:
    """Training and test curves, by cell; both have faults and normal curves."""
    rng = np.random.default_rng(seed)
    while True:
        cells = rng.permutation(sorted(set(curves.cells) - set(CHOSEN_ON))).tolist()
        inside = pl.col("cell_id").is_in(cells[: round(TEST_SHARE * len(cells))])
        train, test = curves.where(~inside), curves.where(inside)
        if all((part.halfcycles["label"] == name).sum() >= FEWEST for part in (train, test) for name in (fault, "normal")):
            return train, test


def fitted(job: Job) -> list[Row]:
    """Every classifier on every arm of one split."""
    warnings.simplefilter("ignore", OutOfRangeWarning)
    warnings.simplefilter("always", LeftOutWarning)
    step = fc.FAULTS[job.fault].step_type
    kept = pl.col("label").is_in(["normal", job.fault]) & (pl.col("step_type") == step)
    if step == "discharge":
        kept &= pl.col("quality") == "ok"
    with one_thread():
        train, test = divided(fc.read(job.folder).where(kept), job.fault, seed=job.seed)
        normal, few = (train.select(label=[name]) for name in ("normal", job.fault))
        few = few.few(FEW, seed=job.seed)
        model = adapted(normal, few, seed=job.seed)
        ours = model.augment(normal, seed=job.seed)
        asked = fc.between(fc.conditions_of(few), len(ours), seed=job.seed)
        gain = fc.classify(
            train=fc.Curves.concat([normal, few]),
            test=test,
            synthetic={OURS: ours, CONDITIONS: model.draw(asked, range(len(asked)), leave_out=True)},
            controls=CONTROLS,
            classifiers=CLASSIFIERS,
            views=["whole"],
            seeds=1,
        )
    print(f"split {job.seed}: {len(test)} test curves of {len(test.cells)} cells", file=sys.stderr, flush=True)
    return [{**row.model_dump(), "seed": job.seed} for row in gain.rows]


def table(rows: list[Row], classifier: str) -> list[str]:
    """Means over splits of one classifier, or of the six nets."""

    def by_split(arm: str, measure: str) -> list[float]:
        own = [r for r in rows if r["arm"] == arm and r["classifier"] in (SIX if classifier == "nets" else (classifier,))]
        return [float(np.mean([r[measure] for r in own if r["seed"] == seed])) for seed in sorted({r["seed"] for r in own})]

    arms = list(dict.fromkeys(row["arm"] for row in rows))
    lines = [f"| {classifier} | {' | '.join(MEASURES)} | augment less this, recall | ... PR-AUC |", "|---" * 7 + "|"]
    for arm in arms:
        cells = [f"{np.mean(by_split(arm, measure)):.3f}" for measure in MEASURES]
        for measure in MEASURES[:2]:
            gaps = [one - other for one, other in zip(by_split(OURS, measure), by_split(arm, measure), strict=True)]
            found = interval(gaps)
            told = found.low is not None and arm != OURS
            cells.append(f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})" if told else "")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FAULTCELL_REAL_DATA", "../shared/data")))
    parser.add_argument("--fault", default="overdischarge", choices=["overdischarge", "overvoltage"])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    folder = given.data / "nasa_pcoe"
    if not folder.is_dir():
        print(f"skipped: {folder} is not here; say where with --data or FAULTCELL_REAL_DATA")
        return 0
    started = time.perf_counter()
    jobs = [Job(str(folder), given.fault, seed) for seed in range(given.splits)]
    rows = [row for found in spread(fitted, jobs, workers=given.workers) for row in found]
    for classifier in ("nets", FOREST, "protocol"):
        print("\n".join(table(rows, classifier)))
    print(f"{given.fault}, {given.splits} splits by cell, {FEW} known faults, {(time.perf_counter() - started) / 60:.1f} min")
    if given.out is not None:
        given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
