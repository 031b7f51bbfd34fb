"""Runs that are killed: `python runs.py pretrain|finetune|study FOLDER CHECKPOINT_EVERY`; says when its work begins.

What is left in FOLDER at the end is all that a run knows: the bundle, and the checkpoint after the step before the last, which
holds weights, moving average, optimiser, step and metrics (every random number of a step comes from the seed and its number).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import torch

from faultcell.augmenter import Augmenter
from faultcell.curves import Curves
from strategies import CONFIG, FINETUNE, fault_curves, normal_curves

STEPS = 61


def every(config, count: int):
    return config.model_copy(update={"steps": STEPS, "checkpoint_every": count})


def begin() -> None:
    print("begun", flush=True)


def pretrain(folder: Path, count: int) -> None:
    config = CONFIG.model_copy(update={"train": every(CONFIG.train, count)})
    Augmenter.pretrain(normal_curves(), config=config, folder=folder / "run", on_step=told()).save(folder / "bundle")


def finetune(folder: Path, count: int) -> None:
    base = Augmenter.load(folder.parent / "base")
    model = base.finetune(
        fault_curves(), normal=normal_curves(), config=every(FINETUNE, count), folder=folder / "run", on_step=told()
    )
    model.save(folder / "bundle")


def study(folder: Path, count: int) -> None:
    import warnings

    from test_study import TINY

    from faultcell import study as studies

    warnings.simplefilter("ignore")
    begin()
    studies.run(folder / "study", Curves.concat([normal_curves(), fault_curves()]), config=TINY, workers=count)


def told():
    """Says that it has begun, at the first step."""
    steps: list[int] = []

    def on_step(step) -> None:
        if not steps:
            begin()
        steps.append(step.step)

    return on_step


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"pretrain": pretrain, "finetune": finetune, "study": study}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
