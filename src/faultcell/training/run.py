"""One training run of a model: from its checkpoint, if it left one, to its averaged weights; what it logs and leaves."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faultcell.bundle import store
from faultcell.bundle.profile import Profile
from faultcell.config import Config, FinetuneConfig
from faultcell.encoding.condition_vector import SUPPORT_FEATURES, ConditionEncoder
from faultcell.encoding.network_shape import network_of
from faultcell.errors import StoppedError, TrainingError
from faultcell.models.base import Batch, GenerativeModel
from faultcell.runtime.signals import postponed
from faultcell.training import checkpoint
from faultcell.training.loop import State, Step, train

LOG_EVERY = 25
Metrics = list[dict[str, Any]]
OnStep = Callable[[Step], None]
LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Run:
    """A run.

    Attributes:
        config: of the model; its last run is this one.
        profile: what the model will have seen.
        phase: what the run is called in logs: pretrain or finetune.
        folder: where checkpoints go.
        on_step: called after each step.
        on_snapshot: after these steps, call this with the step, the network as it then is, and what was logged.
        key: what else must be equal, beside configuration and profile, for a run to go on from a checkpoint.
    """

    config: Config
    profile: Profile
    phase: str
    folder: Path | None = None
    on_step: OnStep | None = None
    on_snapshot: tuple[Sequence[int], Callable[[int, GenerativeModel, Metrics], None]] | None = None
    key: str = ""

    def of(
        self, network: GenerativeModel, data: Sequence[Batch], *, calibrate_on: Batch | None
    ) -> tuple[GenerativeModel, Metrics]:
        """Train a network; gives that of the averaged weights, and what was logged.

        Raises:
            StoppedError: a signal asked to stop; a checkpoint is in the folder.
            TrainingError: training diverged; where there is a checkpoint, it is that of the last good state.
        """
        state = State.start(network, self.config.last_run)
        metrics = checkpoint.read_checkpoint(state, self.folder, key=self._whole_key) if self.folder else []
        at, tell = self.on_snapshot or ((), None)
        with postponed() if self.folder else nullcontext(lambda: None) as asked, self._last_good():
            for step in self._steps(state, data):
                if step.step % LOG_EVERY == 0 or step.step == step.steps:
                    metrics.append(self._line(step))
                    LOGGER.debug("%s: step %d of %d, loss %.4g", self.phase, step.step, step.steps, step.loss)
                self._keep(state, step, metrics=metrics, asked=asked())
                if self.on_step is not None:
                    self.on_step(step)
                if tell is not None and step.step in at:
                    tell(step.step, self._averaged(state, calibrate_on), metrics)
        return self._averaged(state, calibrate_on), metrics

    def _steps(self, state: State, data: Sequence[Batch]) -> Iterator[Step]:
        unfreeze = self.config.last_run.unfreeze if isinstance(self.config.last_run, FinetuneConfig) else "all"
        noisy = torch.from_numpy(
            np.append(ConditionEncoder(self.profile.faults).droppable, np.zeros(len(SUPPORT_FEATURES), dtype=bool))
        )
        return train(state, data, config=self.config.last_run, unfreeze=unfreeze, noisy=noisy)

    def _keep(self, state: State, step: Step, *, metrics: Metrics, asked: int | None) -> None:
        """Leave a checkpoint where one is due, or where a signal asked to stop."""
        # After the last step, too: widths are measured then, and the model is saved.
        due = step.step % self.config.last_run.checkpoint_every == 0 or step.step == step.steps
        if not self.folder or not (due or asked):
            return
        checkpoint.write_checkpoint(state, self.folder, key=self._whole_key, metrics=metrics)
        if asked:
            said = f"stopped after step {step.step} of {step.steps}, which is kept in {self.folder}: go on with --resume"
            raise StoppedError(said, number=asked)

    def _line(self, step: Step) -> dict[str, Any]:
        """What is logged of a step."""
        each = step.losses if len(step.losses) > 1 else {}
        return {"phase": self.phase, "step": step.step, "loss": step.loss, "gradient_norm": step.gradient_norm, **each}

    @contextmanager
    def _last_good(self) -> Iterator[None]:
        """Where training diverges, say what is left of it."""
        try:
            yield
        except TrainingError as error:
            done = checkpoint.last_step(self.folder) if self.folder else None
            if done is None:
                raise
            raise TrainingError(f"{error}; the last good state, after step {done}, is kept in {self.folder}") from error

    def _averaged(self, state: State, calibrate_on: Batch | None) -> GenerativeModel:
        """The network of the averaged weights."""
        network = network_of(self.config, self.profile.faults)
        network.load_state_dict(state.ema)
        network.eval().requires_grad_(False)
        if calibrate_on is not None:
            network.calibrate(calibrate_on)
        return network

    @property
    def _whole_key(self) -> str:
        text = f"{store.FORMAT}{self.config.model_dump_json()}{self.profile.model_dump_json()}{self.key}"
        return hashlib.sha256(text.encode()).hexdigest()
