"""Over-discharge curves of cells the model has never seen, on the NASA set: the model against nearest replay.

Pre-trains on the normal discharges, adapts to 24 over-discharge curves, and draws one curve for each over-discharge curve
of the cells left out of both, three times over with other cells left out. The settings were chosen on the cells in `CHOSEN_ON`,
which are never among those left out here.

    python benchmarks/unseen_cells.py [--data FOLDER] [--threads N] [--seed S]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import polars as pl
import torch

import faultcell as fc
from faultcell.scoring import Score

CHOSEN_ON = ("B0029", "B0038", "B0046", "B0054")
LEFT_OUT = (("B0007", "B0042", "B0045"), ("B0033", "B0041", "B0049"), ("B0025", "B0050"))
FEW = 24
COLUMNS = ("mae", "dpcc", "pcc", "kl", "lowest_voltage_error_volt", "duration_error")
# Where there is no `cell_regime` column, discharges of cells without any over-discharge are the source domain.
FAULT = "overdischarge"


def main() -> None:
    options = arguments()
    folder = options.data / "nasa_pcoe"
    if not folder.is_dir():
        sys.exit(f"skipped: {folder} is not there; set FAULTCELL_REAL_DATA or --data")
    torch.set_num_threads(options.threads)
    curves = fc.read(folder).where(pl.col("quality") == "ok", pl.col("step_type") == "discharge")
    faults = curves.select(label=[FAULT])
    normal = curves.where(pl.col("label") == "normal", ~pl.col("cell_id").is_in(faults.cells))
    print(f"{len(normal)} normal discharges of {len(normal.cells)} cells, {len(faults)} over-discharges of {len(faults.cells)}")
    started = time.perf_counter()
    base = fc.Augmenter.pretrain(normal)
    shared = time.perf_counter() - started
    rows = [choice(base, normal, faults, left_out, seed=options.seed) for left_out in LEFT_OUT]
    print(f"pre-training {shared:.0f} s, fine-tuning {', '.join(f'{seconds:.0f} s' for seconds, _ in rows)}")
    print("\nmean of the three choices")
    for source in rows[0][1]:
        means = {name: sum(getattr(scores[source], name) for _, scores in rows) / len(rows) for name in COLUMNS}
        print(line(source, means))


def choice(
    base: fc.Augmenter, normal: fc.Curves, faults: fc.Curves, left_out: tuple[str, ...], *, seed: int
) -> tuple[float, dict[str, Score]]:
    """Seconds of fine-tuning, and the scores of each source on the cells left out."""
    few = faults.where(~pl.col("cell_id").is_in(left_out)).few(FEW, seed=seed)
    test = faults.select(cells=left_out)
    started = time.perf_counter()
    tuned = base.finetune(few, normal=normal, config=fc.FinetuneConfig(seed=seed))
    seconds = time.perf_counter() - started
    drawn = tuned.draw(fc.conditions_of(test), range(len(test)))
    scores = fc.evaluate(real=test, synthetic=drawn, train=few, thorough=False).sources
    print(f"\nleft out {', '.join(left_out)}: {len(test)} curves, adapted to {len(few)} of {len(few.cells)} other cells")
    print("  ".join([f"{'':10s}", *(f"{name.removesuffix('_volt').removesuffix('_error'):>14s}" for name in COLUMNS)]))
    for source, score in scores.items():
        print(line(source, {name: getattr(score.all, name) for name in COLUMNS}))
        for cell, part in score.by_cell.items():
            print(line(f"  {cell}", {name: getattr(part, name) for name in COLUMNS}))
    return seconds, {source: score.all for source, score in scores.items()}


def line(name: str, values: dict[str, float]) -> str:
    return "  ".join([f"{name:10s}", *(f"{value:14.4f}" for value in values.values())])


def arguments() -> argparse.Namespace:
    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FAULTCELL_REAL_DATA", here.parent / "shared" / "data"))
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
