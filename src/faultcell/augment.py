"""The Augmenter: learns from normal curves, adapts to a handful of faults, and draws new ones as asked. It is a source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faultcell import card, store
from faultcell.assemble import assemble, rebuild
from faultcell.batches import encoded_set
from faultcell.conditioning import STANDING, Vocabulary
from faultcell.config import Config, FinetuneConfig, TrainConfig
from faultcell.curves import FAULTS, NORMAL, REST_C_RATE, Array, Condition, Curves, Load
from faultcell.errors import BundleError, ConditionError
from faultcell.frame import Asked, Frame
from faultcell.known import Known
from faultcell.models.diffusion import Diffusion
from faultcell.models.generative import Batch, Generative, Sampling, Shape
from faultcell.models.kinds import KINDS, make
from faultcell.prepare import CHANNELS, CURRENT, REST, Encoded, has_tail, known_current
from faultcell.profile import Profile, fingerprint
from faultcell.references import References
from faultcell.train import State, Step, train

CHUNK = 64  # curves drawn at once; always padded to this, so that a curve's bits do not depend on its neighbours
FORMAT = 4
LOG_EVERY = 25
OnStep = Callable[[Step], None]
OnSnapshot = Callable[[int, "Augmenter"], None]


@dataclass(frozen=True, eq=False)
class Augmenter:
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
        normal, encoded, known, conditions = _to_learn(normal, config, faults=tuple(FAULTS))
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
            TrainingError: no curve can be used, or training diverged.
        """
        config = config or FinetuneConfig()
        whole = self.config.model_copy(update={"finetune": config})
        few, encoded, known, conditions = _to_learn(few, whole, faults=self.profile.faults)
        for name in set(few.labels) - {NORMAL, *self.profile.faults}:
            raise ConditionError(f"the model has no place for the fault '{name}': it has {', '.join(self.profile.faults)}")
        frame, posed = self.frame.adapted(known, whole)
        data = [frame.batch(known, conditions, posed)]
        profile = self.profile.joined(Profile.of(few, encoded, faults=self.profile.faults))
        if normal is not None and config.lambda_source > 0:
            normal, placed, others, source = _to_learn(normal, whole, faults=self.profile.faults)
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
        if len(seeds) != len(conditions):
            raise ConditionError(
                f"draw needs a seed for each condition: found {len(seeds)} seeds for {len(conditions)} conditions"
            )
        given = self.references(reference, conditions) if isinstance(reference, Curves) else reference
        complete = [_with_load(condition) for condition in self.profile.complete(conditions)]
        how, drawn = Sampling(steps, guidance), []
        for start in range(0, len(seeds), CHUNK):
            asked = complete[start : start + CHUNK]
            coded, seconds = self._draw_chunk(asked, seeds[start : start + CHUNK], how, given)
            drawn += [rebuild(coded[i], seconds[i], condition, self.config.grid) for i, condition in enumerate(asked)]
            if on_chunk is not None:
                on_chunk(len(drawn), len(seeds))
        if given is None:
            return assemble(drawn, complete, seeds, origin=self.sha256)
        rows = given.find(complete)
        return given.named_in(assemble(drawn, complete, seeds, origin=self.sha256, stood=given.stood(complete, rows)), rows)

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

    @torch.no_grad()
    def _draw_chunk(
        self, conditions: Sequence[Condition], seeds: Sequence[int], how: Sampling, references: References | None
    ) -> tuple[Array, Array]:
        """Coded channels `(B, C, L)` and seconds of head and tail `(B, 2)` for at most `CHUNK` conditions."""
        count = len(conditions)
        padded = [*conditions, *[conditions[-1]] * (CHUNK - count)]
        noise = torch.stack([_noise(seed, self.network.noise_size) for seed in [*seeds, *[0] * (CHUNK - count)]])
        asked = self.frame.ask(padded, references)
        drawn = self.network.draw_durations(asked.condition(), noise, how).clamp(-5, 5)
        seconds = asked.seconds(drawn)
        seconds[[not has_tail(condition) for condition in padded], 1] = np.nan
        mask = torch.tensor(np.isfinite(seconds))
        mask[:, 1] &= torch.tensor(np.isnan(asked.questions.certain))  # as in training: what is certain was not drawn
        asked = asked.lasting(seconds)
        told = self.network.tell(asked.condition(), torch.where(mask, drawn, 0.0), mask)
        sampled = self.network.draw_curve(told, asked.loads(seconds), noise, how)
        coded = self._blanked(asked.coded(sampled)[:count], conditions, seconds[:count], asked.shown_at_rest()[:count])
        return coded, _balanced(asked, coded, seconds[:count], self.config.grid.head)

    def _blanked(self, coded: Array, conditions: Sequence[Condition], seconds: Array, shown: Array) -> Array:
        """Known currents as they are; no values for channels that no training curve had, but at rest what a reference shows."""
        for i, condition in enumerate(conditions):
            current = known_current(condition.load, seconds[i], condition.nominal_capacity_ah or 1.0, self.config.grid)
            if current is not None:
                coded[i, CURRENT] = current
        for index, name in enumerate(CHANNELS):
            if name not in self.profile.channels:
                coded[:, index] = shown if index == REST else np.nan
        return coded

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
        bundle = store.read_bundle(Path(folder))
        if bundle.config.get("format") != FORMAT or bundle.config.get("kind") not in KINDS:
            raise BundleError(
                f"{folder} is no bundle of format {FORMAT} of a kind among {', '.join(KINDS)}: train it with this version of "
                "FaultCell"
            )
        try:
            return cls._restored(bundle)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BundleError(
                f"{folder} does not fit this version of FaultCell ({str(error)[:120]}): train it again"
            ) from error

    @classmethod
    def _restored(cls, bundle: store.Bundle) -> Augmenter:
        config, profile = Config(**bundle.config["config"]), Profile(**bundle.config["profile"])
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

    @property
    def knobs(self) -> TrainConfig:
        return self.config.finetune or self.config.train

    def of(self, network: Generative, data: Sequence[Batch], *, calibrate_on: Batch | None) -> Augmenter:
        """Train a network, from its checkpoint if it left one, and give what has become of it."""
        state = State.start(network, self.knobs)
        key = _key(self.config, self.profile, self.key)
        metrics = store.read_checkpoint(state, self.folder, key=key) if self.folder else []
        at, tell = self.on_snapshot or ((), None)
        for step in self._steps(state, data):
            if step.step % LOG_EVERY == 0 or step.step == step.steps:
                phase = "pretrain" if self.before is None else "finetune"
                each = step.losses if len(step.losses) > 1 else {}
                metrics.append(
                    {"phase": phase, "step": step.step, "loss": step.loss, "gradient_norm": step.gradient_norm, **each}
                )
            if self.folder and step.step % self.knobs.checkpoint_every == 0 and step.step < step.steps:
                store.write_checkpoint(state, self.folder, key=key, metrics=metrics)
            if self.on_step is not None:
                self.on_step(step)
            if tell is not None and step.step in at:
                tell(step.step, self._made(state, metrics, calibrate_on))
        return self._made(state, metrics, calibrate_on)

    def _steps(self, state: State, data: Sequence[Batch]) -> Iterator[Step]:
        unfreeze = self.config.finetune.unfreeze if self.config.finetune else "all"
        noisy = torch.from_numpy(np.append(Vocabulary(self.profile.faults).droppable, np.zeros(len(STANDING), dtype=bool)))
        return train(state, data, config=self.knobs, unfreeze=unfreeze, noisy=noisy)

    def _made(self, state: State, metrics: Sequence[dict[str, Any]], calibrate_on: Batch | None) -> Augmenter:
        """The model of the averaged weights."""
        network = _network(self.config, self.profile)
        network.load_state_dict(state.ema)
        network.eval().requires_grad_(False)
        if calibrate_on is not None:
            network.calibrate(calibrate_on)
        earlier, base = (self.before.metrics, self.before.sha256) if self.before else ((), None)
        return Augmenter(self.config, network, self.frame, self.profile, (*earlier, *metrics), base)


def _network(config: Config, profile: Profile) -> Generative:
    vocabulary = Vocabulary(profile.faults)
    hidden = vocabulary.history & (not config.net.history_in_curve) | vocabulary.context & (not config.net.context_in_curve)
    hidden = np.append(hidden, np.zeros(len(STANDING), dtype=bool))
    sections = (config.grid.head, config.grid.tail)
    shape = Shape(
        len(CHANNELS), sections=sections, known=1, hidden=torch.from_numpy(np.tile(hidden, 2)), standing=len(STANDING)
    )
    return make(shape, config)


def _to_learn(curves: Curves, config: Config, *, faults: Sequence[str]) -> tuple[Curves, Encoded, Known, list[Condition]]:
    """Curves and the same on the grid; the usable ones among them as known curves, and the conditions of these."""
    curves, conditions, encoded = encoded_set(curves, config)
    usable = [conditions[row] for row in np.flatnonzero(encoded.usable).tolist()]
    return curves, encoded, Known.of(encoded, conditions, faults=faults, grid=config.grid), usable


def _balanced(asked: Asked, coded: Array, seconds: Array, head: int) -> Array:
    """Seconds by which the charge balances where the C-rate was drawn: a larger current than was expected empties sooner."""
    balanced = seconds.copy()
    for i, condition in enumerate(asked.conditions[: len(coded)]):
        if condition.c_rate is None:
            sign = 1.0 if condition.step == "charge" else -1.0
            expected, drawn = (np.nanmedian(sign * x[i, CURRENT, :head]) for x in (asked.expected.values, coded))
            least = 2 * REST_C_RATE[condition.step]
            balanced[i, 0] *= max(expected, least) / max(drawn, least)
    return balanced


def _key(config: Config, profile: Profile, base: str = "") -> str:
    """What must be equal for a run to go on from a checkpoint."""
    return hashlib.sha256(f"{FORMAT}{config.model_dump_json()}{profile.model_dump_json()}{base}".encode()).hexdigest()


def _with_load(condition: Condition) -> Condition:
    """A discharge at a known C-rate has a constant load; the falling current at the end of a charge is left to the model."""
    if condition.load is not None or condition.c_rate is None or condition.step != "discharge":
        return condition
    current = -condition.c_rate * (condition.nominal_capacity_ah or 1.0)
    return replace(condition, load=Load(np.array([0.0, 1.0]), np.array([current, current])))


def _noise(seed: int, size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))
