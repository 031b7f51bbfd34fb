"""FaultCell's own side of the benchmarks: a training run to take steps of, and a model to draw from, on the embedded data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import faultcell as fc
from faultcell.bundle.profile import Profile
from faultcell.config import Config
from faultcell.curves import FAULTS
from faultcell.encoding.condition_vector import SUPPORT_FEATURES, ConditionEncoder
from faultcell.encoding.network_shape import network_of
from faultcell.files.embedded import demo_data
from faultcell.models.base import GenerativeModel
from faultcell.regression.residual import ResidualEncoder
from faultcell.regression.support import to_learn
from faultcell.training.loop import State, Step, train

FEW = 24


def run(config: Config) -> tuple[GenerativeModel, Iterator[Step]]:
    """A network and its training on normal curves, just as `pretrain` does it, a step at a time."""
    curves = demo_data("overcharge", "overdischarge").select(label=["normal"])
    normal, encoded, known, conditions = to_learn(curves, config, faults=tuple(FAULTS))
    profile = Profile.of(normal, encoded, faults=tuple(FAULTS))
    encoder, episodes = ResidualEncoder.of(known, config, faults=profile.faults)
    network = network_of(config, profile.faults)
    batch = encoder.batch(known, conditions, episodes)
    network.fit_noise(batch)
    noisy = torch.from_numpy(np.append(ConditionEncoder(profile.faults).droppable, np.zeros(len(SUPPORT_FEATURES), dtype=bool)))
    long = config.model_copy(update={"train": config.train.model_copy(update={"steps": 1_000_000})}).train
    return network, train(State.start(network, long), [batch], config=long, noisy=noisy)


def steps_of(run: Iterator[Step], count: int) -> Callable[[], float]:
    """A contender: seconds of so many steps."""

    def work() -> float:
        started = time.perf_counter()
        for _ in range(count):
            next(run)
        return time.perf_counter() - started

    return work


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions in some work."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def split() -> tuple[fc.Curves, fc.Curves]:
    """The embedded data: curves of cells to learn from, and of cells left out."""
    return demo_data("overcharge", "overdischarge").split(by="cell_id", test=0.3, seed=0)


def tuned() -> tuple[fc.Augmenter, fc.Curves, fc.Curves]:
    """A model adapted to a handful of over-discharges, the handful, and over-discharges of cells it has not seen."""
    seen, unseen = split()
    few, normal = seen.select(label=["overdischarge"]).few(FEW), seen.select(label=["normal"])
    model = fc.Augmenter.pretrain(normal).finetune(few, normal=normal)
    return model, few, unseen.select(label=["overdischarge"])
