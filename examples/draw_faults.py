"""Learn from normal curves, adapt to a few faults of some cells, and draw for the faults of others.

python examples/draw_faults.py [--steps 300]
"""

from __future__ import annotations

import argparse

import polars as pl

import faultcell as fc
from faultcell.config import TrainConfig


def main(steps: int) -> fc.Scores:
    seen, unseen = fc.demo_data("overdischarge").select(step_type=["discharge"]).split(by="cell_id", test=0.3, seed=0)
    normal = seen.select(label=["normal"])
    few = seen.select(label=["overdischarge"]).few(24)
    test = unseen.where(pl.col("label") == "overdischarge")

    base = fc.Augmenter.pretrain(normal, config=fc.Config(train=TrainConfig(steps=steps)))
    tuned = base.finetune(few, normal=normal, config=fc.FinetuneConfig(steps=max(1, steps // 3)))

    ladder = fc.grid("overdischarge", peak_deviation_volt=(0.4, 0.8, 1.2), state_of_health=0.9, c_rate=1.0)
    for row in tuned.draw(ladder, seeds=[0, 0, 0]).halfcycles.to_dicts():
        print(
            f"asked for {row['requested_peak_deviation_volt']:.2f} V, got {row['peak_deviation_volt']:.2f} V beyond the limit"
        )

    twins = tuned.draw(fc.conditions_of(test), seeds=range(len(test)))
    scores = fc.evaluate(real=test, synthetic=twins, train=few)
    for source, score in scores.sources.items():
        print(f"{source:10s}  MAE {score.all.mae:.4f}  dPCC {score.all.dpcc:.3f}  on {score.all.curves} curves of unseen cells")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
