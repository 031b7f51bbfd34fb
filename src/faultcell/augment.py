"""The Augmenter: learns from normal curves, adapts to a handful of faults, and draws new ones as asked. It is a source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faultcell import card, store
from faultcell.conditioning import STANDING, Vocabulary
from faultcell.config import Config, DistilConfig, FinetuneConfig
from faultcell.curves import FAULTS, NORMAL, Condition, Curves
from faultcell.drawing import Drawing
from faultcell.errors import ConditionError, TrainingError
from faultcell.frame import Frame
from faultcell.hub import Pretrained
from faultcell.known import to_learn
from faultcell.models.diffusion import Diffusion
from faultcell.models.generative import Batch, Generative, Sampling
from faultcell.models.network import Network
from faultcell.profile import Profile, fingerprint
from faultcell.references import References
from faultcell.sound import FORMAT, check_sizes, check_values, refusing, told
from faultcell.sound import network_of as _network
from faultcell.train import State, Step, train

BLOCK = 1024  # curves of a stream that are put together at once
LOG_EVERY = 25
OnStep = Callable[[Step], None]
OnSnapshot = Callable[[int, "Augmenter"], None]


@dataclass(frozen=True, eq=False)
class Augmenter(Pretrained):
    """A trained model: the diffusion, or a baseline (`Config.model`).

    Make one with `pretrain`, adapt it with `finetune`, which leaves it as it is.

    Attributes:
        config: all it was made with.
        network: the averaged weights.
        frame: what stands between curves and the network.
        profile: what it has seen.
        metrics: logged steps.
        base: SHA-256 of the model it was adapted from.
    """

    config: Config
    network: Generative
    frame: Frame
    profile: Profile
    metrics: tuple[dict[str, Any], ...] = ()
    base: str | None = None

    @classmethod
    def pretrain(
        cls,
        normal: Curves,
        *,
        config: Config | None = None,
        folder: Path | None = None,
        on_step: OnStep | None = None,
    ) -> Augmenter:
        """Learn the shapes of normal curves.

        Args:
            normal: the source domain, at best thousands of curves.
            config: every knob; the defaults where not given.
            folder: where checkpoints go; a run that left one there goes on from it.
            on_step: called after each step.

        Raises:
            TrainingError: no curve can be used, or training diverged.
        """
        config = config or Config()
        normal, encoded, known, conditions = to_learn(normal, config, faults=tuple(FAULTS))
        profile = Profile.of(normal, encoded, faults=tuple(FAULTS))
        frame, posed = Frame.of(known, config, faults=profile.faults)
        torch.manual_seed(config.train.seed)
        network = _network(config, profile)
        faulty = len(Vocabulary(profile.faults)) + STANDING.index("faulty")
        network.silence(torch.tensor([*range(len(profile.faults)), faulty]))
        data = [frame.batch(known, conditions, posed)]
        network.look_at(data[0])
        run = _Run(config, frame, profile, folder=folder, on_step=on_step)
        return run.of(network, data, calibrate_on=data[0])

    def finetune(
        self,
        few: Curves,
        *,
        normal: Curves | None = None,
        config: FinetuneConfig | None = None,
        folder: Path | None = None,
        on_step: OnStep | None = None,
        on_snapshot: tuple[Sequence[int], OnSnapshot] | None = None,
    ) -> Augmenter:
        """Adapt to a handful of faults; gives a new model and leaves this one untouched.

        Args:
            few: fault curves.
            normal: curves of the source domain, for `L_T + lambda L_S`; without them the loss is `L_T`.
            config: every knob; the defaults where not given.
            folder: where checkpoints go; a run that left one there goes on from it.
            on_step: called after each step.
            on_snapshot: after these steps, call this with the step and the model as it then is.

        Raises:
            ConditionError: a fault that the model has no place for.
            TrainingError: the model is distilled, no curve can be used, or training diverged.
        """
        self._refuse_distilled()
        config = config or FinetuneConfig()
        whole = self.config.model_copy(update={"finetune": config})
        few, encoded, known, conditions = to_learn(few, whole, faults=self.profile.faults)
        for name in set(few.labels) - {NORMAL, *self.profile.faults}:
            raise ConditionError(f"the model has no place for the fault '{name}': it has {', '.join(self.profile.faults)}")
        frame, posed = self.frame.adapted(known, whole)
        data = [frame.batch(known, conditions, posed)]
        profile = self.profile.joined(Profile.of(few, encoded, faults=self.profile.faults))
        if normal is not None and config.lambda_source > 0:
            normal, placed, others, source = to_learn(normal, whole, faults=self.profile.faults)
            data.append(frame.batch(others, source, frame.posed(others, whole), weight=config.lambda_source))
            profile = profile.joined(Profile.of(normal, placed, faults=self.profile.faults))
        network = _network(whole, profile)
        network.load_state_dict(self.network.state_dict())
        network.look_at(data[0])
        run = _Run(
            whole,
            frame,
            profile,
            folder=folder,
            on_step=on_step,
            on_snapshot=on_snapshot,
            before=self,
            key=self.sha256 + (fingerprint(normal) if normal is not None else ""),
        )
        # A handful is no measure of width: only the source curves can tell.
        return run.of(network, data, calibrate_on=data[1] if len(data) > 1 else None)

    def distil(
        self,
        few: Curves,
        *,
        normal: Curves | None = None,
        config: DistilConfig | None = None,
        folder: Path | None = None,
        on_step: OnStep | None = None,
    ) -> Augmenter:
        """Teach a copy to draw in one step what this model draws in several; leaves this one untouched.

        Args:
            few: curves the model was adapted to, or trained on.
            normal: curves of the source domain, which take the other half of each batch.
            config: every knob; the defaults where not given.
            folder: where checkpoints go; a run that left one there goes on from it.
            on_step: called after each step.

        Raises:
            TrainingError: the model is distilled or draws in one go already, or no curve can be used.
        """
        self._refuse_distilled()
        config = config or DistilConfig()
        if not isinstance(self.network, Network):
            raise TrainingError(f"a {self.config.model} draws in one go already: only the diffusion model can be distilled")
        fewer = self.config.diffusion.model_copy(update={"num_inference_steps": config.student_steps})
        whole = self.config.model_copy(update={"diffusion": fewer, "distil": config})
        data, kept = [], [curves for curves in (few, normal) if curves is not None]
        for curves in kept:
            _, _, known, conditions = to_learn(curves, whole, faults=self.profile.faults)
            data.append(self.frame.batch(known, conditions, self.frame.posed(known, whole)))
        student = _network(whole, self.profile)
        assert isinstance(student, Network)
        student.load_state_dict(self.network.state_dict())
        student.learn_from(self.network, taught=config.teacher_steps, learnt=config.student_steps)
        key = self.sha256 + "".join(fingerprint(curves) for curves in kept)
        run = _Run(whole, self.frame, self.profile, folder=folder, on_step=on_step, before=self, key=key)
        return run.of(student, data, calibrate_on=None)  # as wide as the teacher

    def draw(
        self,
        conditions: Sequence[Condition],
        seeds: Iterable[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        reference: Curves | References | None = None,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> Curves:
        """Draw one curve for each condition and seed. Curve *i* depends on its condition, seed and reference alone.

        Args:
            conditions: what is asked for.
            seeds: one for each condition.
            steps: network evaluations a curve; the configured number where not given.
            guidance: scale of classifier-free guidance; the configured one where not given, 1 for none.
            reference: earlier curves of the cells asked for (`Condition.cell_id`, `cycle_count`). Of each curve drawn the
                nearest strictly earlier one of its cell and half-cycle helps, or the next where there is none; only its part
                inside the limits is used, and at how many faults and seconds beyond the limit its row says the cell stood.
                Its cycle is in the column `reference_cycle_count`. Who draws often from the same ones prepares them once,
                with `references`.
            on_chunk: called with curves done and curves in all.

        Raises:
            ConditionError: a fault the model has not seen, not as many seeds as conditions, or no reference that fits.

        Warns:
            OutOfRangeWarning: a severity outside what the model has seen.
        """
        seeds = list(seeds)
        drawing = self._drawing(conditions, seeds, reference, Sampling(steps, guidance))
        return drawing.of(conditions, seeds, on_chunk=on_chunk)

    def stream(
        self,
        conditions: Sequence[Condition],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        reference: Curves | References | None = None,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> Iterator[Curves]:
        """The same curves as `draw`, a block of them at a time: for more than memory holds.

        Names of cells are made as `draw` makes them, but where no cell is asked for they are from the seed alone: give each
        curve a seed of its own.
        """
        drawing = self._drawing(conditions, seeds, reference, Sampling(steps, guidance))
        for start in range(0, len(seeds), BLOCK):
            part = slice(start, start + BLOCK)
            tell = (lambda n, _, start=start: on_chunk(start + n, len(seeds))) if on_chunk else None
            yield drawing.of(conditions[part], seeds[part], on_chunk=tell)

    def _drawing(
        self, conditions: Sequence[Condition], seeds: Sequence[int], reference: Curves | References | None, how: Sampling
    ) -> Drawing:
        """What is asked for, checked, before a curve is drawn."""
        if len(seeds) != len(conditions):
            raise ConditionError(
                f"draw needs a seed for each condition: found {len(seeds)} seeds for {len(conditions)} conditions"
            )
        given = self.references(reference, conditions) if isinstance(reference, Curves) else reference
        self.profile.check(conditions)
        return Drawing(self.network, self.frame, self.profile, self.sha256, how, given)

    def references(self, reference: Curves, conditions: Sequence[Condition]) -> References:
        """Reference curves, ready to draw from.

        Args:
            reference: earlier curves of the cells asked for.
            conditions: what will be asked for.

        Raises:
            ConditionError: none of them can be used, or none is of a cell that is asked for.
            DataError: generated curves are among them.
        """
        given = References.of(reference, faults=self.profile.faults, grid=self.config.grid)
        if conditions and not (given.find(conditions) >= 0).any():
            asked = ", ".join(sorted({str(condition.cell_id) for condition in conditions})[:5])
            raise ConditionError(
                f"no reference curve fits: asked are cells {asked}, and the reference set has no other half-cycle of the same "
                "kind of them; give curves of the same cells, or leave the reference out"
            )
        return given

    def _refuse_distilled(self) -> None:
        """Raise TrainingError for a model that was taught a few steps alone: it knows of no others to go on from."""
        if self.config.distil is not None:
            raise TrainingError("a distilled model is the last of its line: go on from the model it was distilled from")

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Weights and frame, as they are stored."""
        weights = {f"network.{name}": value.contiguous() for name, value in self.network.state_dict().items()}
        return weights | self.frame.tensors()

    @cached_property
    def sha256(self) -> str:
        """Identity of the model: SHA-256 of its weights and frame as stored."""
        return store.fingerprint(self.tensors)

    def save(self, folder: str | Path) -> Path:
        """Write the bundle, whole or not at all."""
        config = {
            "format": FORMAT,
            "kind": self.config.model,
            "base_sha256": self.base,
            "config": self.config.model_dump(mode="json"),
            "profile": self.profile.model_dump(mode="json"),
        }
        scheduler = Diffusion(self.config.diffusion).scheduler_config() if self.config.model == "diffusion" else {}
        text = card.bundle_card(self.config, self.profile, sha256=self.sha256, base=self.base, metrics=self.metrics)
        store.write_bundle(store.Bundle(self.tensors, config, scheduler, text, self.metrics), Path(folder))
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Augmenter:
        """Read a bundle; raises BundleError if it is incomplete, was changed or is of another kind."""
        bundle = store.read_bundle(Path(folder), check_sizes)
        with refusing(folder):
            return cls._restored(bundle)

    @classmethod
    def _restored(cls, bundle: store.Bundle) -> Augmenter:
        config, profile = told(bundle.config)
        check_values(bundle.tensors, profile)
        frame = Frame.restored(bundle.tensors, faults=profile.faults, grid=config.grid)
        network = _network(config, profile)
        network.load_state_dict({k.removeprefix("network."): v for k, v in bundle.tensors.items() if k.startswith("network.")})
        network.eval().requires_grad_(False)
        metrics = tuple(dict(line) for line in bundle.metrics)
        return cls(config, network, frame, profile, metrics, bundle.config["base_sha256"])


@dataclass(frozen=True, eq=False)
class _Run:
    """One training run: what it makes, where it leaves its checkpoints, whom it tells.

    Attributes:
        before: the model that is adapted.
        key: what else must be equal, beside configuration and profile, for a run to go on from a checkpoint.
    """

    config: Config
    frame: Frame
    profile: Profile
    folder: Path | None = None
    on_step: OnStep | None = None
    on_snapshot: tuple[Sequence[int], OnSnapshot] | None = None
    before: Augmenter | None = None
    key: str = ""

    def of(self, network: Generative, data: Sequence[Batch], *, calibrate_on: Batch | None) -> Augmenter:
        """Train a network, from its checkpoint if it left one, and give what has become of it."""
        state = State.start(network, self.config.last_run)
        key = _key(self.config, self.profile, self.key)
        metrics = store.read_checkpoint(state, self.folder, key=key) if self.folder else []
        at, tell = self.on_snapshot or ((), None)
        for step in self._steps(state, data):
            if step.step % LOG_EVERY == 0 or step.step == step.steps:
                phase = "pretrain" if self.before is None else "distil" if self.config.distil else "finetune"
                each = step.losses if len(step.losses) > 1 else {}
                metrics.append(
                    {"phase": phase, "step": step.step, "loss": step.loss, "gradient_norm": step.gradient_norm, **each}
                )
            if self.folder and step.step % self.config.last_run.checkpoint_every == 0 and step.step < step.steps:
                store.write_checkpoint(state, self.folder, key=key, metrics=metrics)
            if self.on_step is not None:
                self.on_step(step)
            if tell is not None and step.step in at:
                tell(step.step, self._made(state, metrics, calibrate_on))
        return self._made(state, metrics, calibrate_on)

    def _steps(self, state: State, data: Sequence[Batch]) -> Iterator[Step]:
        unfreeze = self.config.last_run.unfreeze if isinstance(self.config.last_run, FinetuneConfig) else "all"
        noisy = torch.from_numpy(np.append(Vocabulary(self.profile.faults).droppable, np.zeros(len(STANDING), dtype=bool)))
        return train(state, data, config=self.config.last_run, unfreeze=unfreeze, noisy=noisy)

    def _made(self, state: State, metrics: Sequence[dict[str, Any]], calibrate_on: Batch | None) -> Augmenter:
        """The model of the averaged weights."""
        network = _network(self.config, self.profile)
        network.load_state_dict(state.ema)
        network.eval().requires_grad_(False)
        if calibrate_on is not None:
            network.calibrate(calibrate_on)
        earlier, base = (self.before.metrics, self.before.sha256) if self.before else ((), None)
        return Augmenter(self.config, network, self.frame, self.profile, (*earlier, *metrics), base)


def _key(config: Config, profile: Profile, base: str = "") -> str:
    """What must be equal for a run to go on from a checkpoint."""
    return hashlib.sha256(f"{FORMAT}{config.model_dump_json()}{profile.model_dump_json()}{base}".encode()).hexdigest()
