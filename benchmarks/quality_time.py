"""How good a model is after how much training: seconds against error on cells it has not seen, and the time to adapt.

Pre-trained for more and more steps on the embedded data, each time adapted to 24 over-discharges in half as many, and scored on
the over-discharges of cells left out. A step more that does not help is time lost.

    python benchmarks/quality_time.py [--threads N] [--out JSON]
"""

from __future__ import annotations

import warnings

import numpy as np

import faultcell as fc
import measure
import ours
from faultcell.config import Config, FinetuneConfig, TrainConfig
from faultcell.errors import OutOfRangeWarning
from faultcell.scoring.pair_scores import pair_scores
from faultcell.scoring.resample import Match

STEPS = (25, 100, 200, 400, 800)
REPEATS = 4


def main() -> None:
    options = measure.arguments(__doc__)
    warnings.simplefilter("ignore", OutOfRangeWarning)
    seen, unseen = ours.split()
    normal, few = seen.select(label=["normal"]), seen.select(label=["overdischarge"]).few(ours.FEW)
    test = unseen.select(label=["overdischarge"])
    rows: list[measure.Row] = []
    for steps in STEPS:
        made: dict[str, fc.Augmenter] = {}

        def pretrain(steps: int = steps, made: dict[str, fc.Augmenter] = made) -> None:
            made["base"] = fc.Augmenter.pretrain(normal, config=Config(train=TrainConfig(steps=steps)))

        def adapt(steps: int = steps, made: dict[str, fc.Augmenter] = made) -> None:
            made["tuned"] = made["base"].finetune(few, normal=normal, config=FinetuneConfig(steps=max(steps // 2, 1)))

        taken = [measure.seconds_of(work) for work in (pretrain, adapt)]
        row: measure.Row = {"steps": f"{steps} + {max(steps // 2, 1)}", "s to pre-train": taken[0], "s to adapt": taken[1]}
        rows.append(row | errors(made["tuned"], test))
    replay = {"steps": "replay of the nearest known fault"} | errors(fc.CHEAP["replay"](few), test)
    measure.report("Time to quality, embedded over-discharges", [*rows, replay], options)


def errors(source: fc.Source, test: fc.Curves) -> measure.Row:
    """Means over cells and repeats of one curve drawn for each real one."""
    found = []
    for repeat in range(REPEATS):
        seeds = range(repeat * len(test), (repeat + 1) * len(test))
        match = Match.of(test, source.draw(fc.conditions_of(test), seeds), found=range(len(test)))
        found += list(pair_scores(match, {})["cell_id"].values())
    return {"MAE": float(np.mean([score.mae for score in found])), "dPCC": float(np.mean([score.dpcc for score in found]))}


if __name__ == "__main__":
    main()
