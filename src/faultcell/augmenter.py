"""The Augmenter: learns from normal curves, adapts to a handful of faults, and draws new ones as asked. It is a source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faultcell.bundle import card, store
from faultcell.bundle.hub import Pretrained
from faultcell.bundle.profile import Profile
from faultcell.bundle.validate import check_sizes, check_values, settings_of, unfit_refused
from faultcell.config import Config, FinetuneConfig
from faultcell.curves.against_normal import refuse_untold
from faultcell.curves.condition import Condition
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.fingerprint import fingerprint
from faultcell.curves.schema import NORMAL
from faultcell.encoding.condition_vector import SUPPORT_FEATURES, ConditionEncoder
from faultcell.encoding.network_shape import network_of
from faultcell.errors import ConditionError
from faultcell.generation.counterfactuals import Plan, gone_wrong
from faultcell.generation.depths import Depths
from faultcell.generation.drawing import Drawing, tell_left_out, whole_numbers
from faultcell.models.base import GenerativeModel, Sampling
from faultcell.models.diffusion import Diffusion
from faultcell.regression.plain_residual import encoder_kind
from faultcell.regression.references import References
from faultcell.regression.residual import ResidualEncoder
from faultcell.regression.support import to_learn
from faultcell.runtime.device import device_of
from faultcell.runtime.shown import Plotted
from faultcell.runtime.workers import Workers, one_thread
from faultcell.training.loop import in_steps
from faultcell.training.run import Metrics, OnStep, Run

OnSnapshot = Callable[[int, "Augmenter"], None]


@dataclass(frozen=True, eq=False)
class Augmenter(Pretrained, Plotted):
    """A trained model: the diffusion, or a baseline (`Config.model`).

    Make one with `pretrain`, adapt it with `finetune`, which leaves it as it is.

    Attributes:
        config: all it was made with.
        network: the averaged weights.
        encoder: what stands between curves and the network.
        profile: what it has seen.
        metrics: logged steps.
        base: SHA-256 of the model it was adapted from.
    """

    config: Config
    network: GenerativeModel
    encoder: ResidualEncoder
    profile: Profile
    metrics: tuple[dict[str, Any], ...] = ()
    base: str | None = None

    picture = "plot_augmented"

    def __repr__(self) -> str:
        seen = ", ".join(f"{count} {label}" for label, count in self.profile.labels.items())
        return f"Augmenter({self.config.model}, trained on {seen} curves of {len(self.profile.cells)} cells; {self.sha256[:8]})"

    @classmethod
    @one_thread()
    def pretrain(
        cls,
        normal: Curves,
        *,
        config: Config | None = None,
        device: str = "cpu",
        folder: Path | None = None,
        on_step: OnStep | None = None,
    ) -> Augmenter:
        """Learn the shapes of normal curves.

        In one thread: two are an eighth faster on a quiet machine, half as fast beside other work, and give other bits.

        Args:
            normal: the source domain, at best thousands of curves.
            config: every knob; the defaults where not given.
            device: where the network learns, `cpu`, `cuda` or `auto`; see `to`.
            folder: where checkpoints go; a run that left one there goes on from it.
            on_step: called after each step.

        Raises:
            ConditionError: there is no such device.
            TrainingError: no curve can be used, or training diverged.
        """
        place, config = device_of(device), config or Config()
        normal, encoded, known, conditions = to_learn(normal, config, faults=tuple(FAULTS))
        config = config.model_copy(update={"train": in_steps(config.train, len(known))})
        profile = Profile.of(normal, encoded, faults=tuple(FAULTS))
        encoder, episodes = encoder_kind(config).of(known, config, faults=profile.faults)
        torch.manual_seed(config.train.seed)
        network = network_of(config, profile.faults)
        faulty = len(ConditionEncoder(profile.faults)) + SUPPORT_FEATURES.index("faulty")
        network.zero_inputs(torch.tensor([*range(len(profile.faults)), faulty]))
        data = [encoder.batch(known, conditions, episodes)]
        network.fit_noise(data[0])
        run = Run(config, profile, "pretrain", folder=folder, on_step=on_step)
        network, metrics = run.of(network.to(place), data, calibrate_on=data[0])
        return cls(config, network, encoder, profile, tuple(metrics))

    @one_thread()
    def finetune(
        self,
        few: Curves,
        *,
        normal: Curves | None = None,
        config: FinetuneConfig | None = None,
        device: str = "cpu",
        folder: Path | None = None,
        on_step: OnStep | None = None,
        on_snapshot: tuple[Sequence[int], OnSnapshot] | None = None,
    ) -> Augmenter:
        """Adapt to a handful of faults; gives a new model and leaves this one untouched.

        Args:
            few: fault curves.
            normal: curves of the source domain, for `L_T + lambda L_S`; without them the loss is `L_T`.
            config: every knob; the defaults where not given.
            device: where the network learns, `cpu`, `cuda` or `auto`; see `to`.
            folder: where checkpoints go; a run that left one there goes on from it.
            on_step: called after each step.
            on_snapshot: after these steps, call this with the step and the model as it then is.

        Raises:
            ConditionError: a fault that the model has no place for, or that cannot be told without a column that is not there.
            TrainingError: no curve can be used, or training diverged.
        """
        place = device_of(device)
        refuse_untold(few)
        few, encoded, known, conditions = to_learn(few, self.config, faults=self.profile.faults)
        config = in_steps(config or FinetuneConfig(), len(known))
        whole = self.config.model_copy(update={"finetune": config})
        for name in set(few.labels) - {NORMAL, *self.profile.faults}:
            raise ConditionError(f"the model has no place for the fault '{name}': it has {', '.join(self.profile.faults)}")
        encoder, episodes = self.encoder.adapted(known, whole)
        data = [encoder.batch(known, conditions, episodes)]
        profile = self.profile.joined(Profile.of(few, encoded, faults=self.profile.faults))
        if normal is not None and config.lambda_source > 0:
            normal, placed, others, source = to_learn(normal, whole, faults=self.profile.faults)
            data.append(encoder.batch(others, source, encoder.episodes(others, whole), weight=config.lambda_source))
            profile = profile.joined(Profile.of(normal, placed, faults=self.profile.faults))
        network = network_of(whole, profile.faults)
        network.load_state_dict(self.network.state_dict())
        network.fit_noise(data[0])

        def made(network: GenerativeModel, metrics: Metrics) -> Augmenter:
            return Augmenter(whole, network, encoder, profile, (*self.metrics, *metrics), self.sha256)

        at, tell = on_snapshot or ((), lambda _step, _model: None)
        run = Run(
            whole,
            profile,
            "finetune",
            folder=folder,
            on_step=on_step,
            on_snapshot=(at, lambda step, network, metrics: tell(step, made(network, metrics))),
            key=self.sha256 + "".join(fingerprint(curves) for curves in (few, normal) if curves is not None),
        )
        # A handful is no measure of width: only the source curves can tell.
        return made(*run.of(network.to(place), data, calibrate_on=data[1] if len(data) > 1 else None))

    def draw(
        self,
        conditions: Sequence[Condition],
        seeds: Iterable[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        reference: Curves | References | None = None,
        leave_out: bool = False,
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
            leave_out: go on without the conditions of which no draw is one that a cell could have made.
            on_chunk: called with curves done and curves in all.

        Raises:
            ConditionError: a fault the model has not seen, not as many seeds as conditions, or no reference that fits.
            ImplausibleError: no draw for a condition, or with `leave_out` for any, is one that a cell could have made.

        Warns:
            LeftOutWarning: how many conditions are left out.
            OutOfRangeWarning: a severity outside what the model has seen.
        """
        seeds, undrawn = whole_numbers(seeds), dict[int, str]()
        drawing = self.drawing(conditions, seeds, reference, Sampling(steps, guidance))
        made = replace(drawing, undrawn=undrawn if leave_out else None).of(conditions, seeds, on_chunk=on_chunk)
        tell_left_out(undrawn, [f"seed {seed}" for seed in undrawn], of=len(seeds))
        return made

    def stream(
        self,
        conditions: Sequence[Condition],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        reference: Curves | References | None = None,
        workers: Workers = 1,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> Iterator[Curves]:
        """The same curves as `draw`, a block of them at a time, by any number of workers: for more than memory holds.

        Names of cells are made as `draw` makes them, but where no cell is asked for they are from the seed alone: give each
        curve a seed of its own.
        """
        drawing = self.drawing(conditions, seeds, reference, Sampling(steps, guidance))
        yield from drawing.blocks(conditions, seeds, workers=workers, on_chunk=on_chunk)

    def plan(
        self,
        normal: Curves,
        *,
        count: int | None = None,
        faults: Sequence[str] | None = None,
        severity: Depths = "between",
        seed: int = 0,
    ) -> Plan:
        """Which fault is drawn from which normal curve, for `gone_wrong`; see `augment`."""
        return Plan.of(normal, self.encoder, self.profile, count=count, faults=faults, severity=severity, seed=seed)

    def gone_wrong(
        self,
        plan: Plan,
        *,
        seed: int = 0,
        steps: int | None = None,
        workers: Workers = 1,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> Iterator[Curves]:
        """The faults of a plan, a block at a time, by any number of workers: for more than memory holds."""
        return gone_wrong(plan, self.drawing_of(plan, steps=steps), seed=seed, workers=workers, on_chunk=on_chunk)

    def augment(
        self,
        normal: Curves,
        *,
        count: int | None = None,
        faults: Sequence[str] | None = None,
        severity: Depths = "between",
        seed: int = 0,
        steps: int | None = None,
        workers: Workers = 1,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> Curves:
        """Your own normal curves, gone wrong: for each fault the next cycle of a cell, as deep as known faults are.

        Every cell serves the same share, and within a cell no curve again before each has had its turn. What a curve was
        drawn from is in the columns `source_cell_id` and `source_cycle_count`.

        Args:
            normal: normal curves, of the half-cycles in which the faults show.
            count: how many faults in all; as many as bring each label to as many as there are normal curves of its half-cycle
                where not given.
            faults: which; all that the model was adapted to where not given.
            severity: `between` those of two known faults each, a `grid` over their range, or values of the faults' first
                severity (peak deviation, V) to take in turn, or by the name of a severity.
            seed: of the choice and of the first curve; the next ones count on.
            steps: network evaluations a curve; the configured number where not given.
            workers: processes, or a cluster (`runtime.on_ray.RayCluster`); the curves are the same to the bit.
            on_chunk: called with curves done and curves in all.

        Raises:
            ConditionError: a fault the model has not seen, no normal curve of its half-cycle, or nothing to draw.
            DataError: faults or generated curves are among the normal ones.
            ImplausibleError: no draw at all is one that a cell could have made.

        Warns:
            LeftOutWarning: how many faults are left out, for no draw of them is one that a cell could have made.
            OutOfRangeWarning: a severity outside what the model has seen, with the share of such curves.
        """
        plan = self.plan(normal, count=count, faults=faults, severity=severity, seed=seed)
        return Curves.concat(self.gone_wrong(plan, seed=seed, steps=steps, workers=workers, on_chunk=on_chunk))

    def drawing_of(self, plan: Plan, *, steps: int | None = None) -> Drawing:
        """A draw of a plan, checked, before a curve is drawn."""
        self.profile.refuse(plan.extremes)
        how = Sampling(steps)
        return Drawing(self.network, self.encoder, self.profile, self.sha256, how, plan.references, self.config.gate)

    def drawing(
        self, conditions: Sequence[Condition], seeds: Sequence[int], reference: Curves | References | None, how: Sampling
    ) -> Drawing:
        """A draw of what is asked for, checked, before a curve is drawn."""
        if len(seeds) != len(conditions):
            raise ConditionError(
                f"draw needs a seed for each condition: found {len(seeds)} seeds for {len(conditions)} conditions"
            )
        given = self.references(reference, conditions) if isinstance(reference, Curves) else reference
        self.profile.check(conditions)
        return Drawing(self.network, self.encoder, self.profile, self.sha256, how, given, self.config.gate)

    def references(self, reference: Curves, conditions: Sequence[Condition]) -> References:
        """Reference curves, ready to draw from.

        Args:
            reference: earlier curves of the cells asked for.
            conditions: what will be asked for.

        Raises:
            ConditionError: none of them can be used, or none is of a cell that is asked for.
            DataError: generated curves are among them.
        """
        if not self.takes_reference:
            raise ConditionError("the model expects nothing of known curves (neighbours.expect): it takes no reference")
        given = References.of(reference, faults=self.profile.faults, grid=self.config.grid)
        given.refuse_unfit(conditions)
        return given

    def to(self, device: str) -> Augmenter:
        """The same model, whose network computes there: `cpu`, `cuda` or `auto`, a GPU where torch finds one.

        Random numbers are drawn by the processor, so that a seed means the same curve; its bits are those of the device. What
        known curves let expect is computed by the processor.

        Raises:
            ConditionError: there is no such device.
        """
        place = device_of(device)
        return self if place == self.network.device else replace(self, network=deepcopy(self.network).to(place))

    @property
    def takes_reference(self) -> bool:
        """Whether earlier curves of a cell help it: the paper's model expects nothing of any curve."""
        return self.config.neighbours.expect

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Weights and encoder, as they are stored."""
        weights = {f"network.{name}": value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        return weights | self.encoder.tensors()

    @cached_property
    def sha256(self) -> str:
        """Identity of the model: SHA-256 of its weights and encoder as stored."""
        return store.fingerprint(self.tensors)

    def save(self, folder: str | Path) -> Path:
        """Write the bundle, whole or not at all."""
        config = {
            "format": store.FORMAT,
            "kind": self.config.model,
            "base_sha256": self.base,
            "config": self.config.model_dump(mode="json"),
            "profile": self.profile.model_dump(mode="json"),
        }
        scheduler = Diffusion(self.config.diffusion).scheduler_config() if self.config.model == "diffusion" else {}
        about: dict[str, Any] = {"sha256": self.sha256, "base": self.base, "metrics": self.metrics}
        about["trial"] = card.trial(self.draw, self.profile)
        text = card.bundle_card(self.config, self.profile, **about)
        store.write_bundle(store.Bundle(self.tensors, config, scheduler, text, self.metrics), Path(folder))
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Augmenter:
        """Read a bundle; raises BundleError if it is incomplete, was changed or is of another kind."""
        return cls.restored(store.read_bundle(Path(folder), check_sizes), folder=folder)

    @classmethod
    def restored(cls, bundle: store.Bundle, *, folder: str | Path) -> Augmenter:
        """The model of a bundle that was read from a folder; raises BundleError where it makes none."""
        with unfit_refused(folder):
            config, profile = settings_of(bundle.config)
            check_values(bundle.tensors, profile)
            encoder = encoder_kind(config).restored(bundle.tensors, config, faults=profile.faults)
            network = network_of(config, profile.faults)
            weights = {k.removeprefix("network."): v for k, v in bundle.tensors.items() if k.startswith("network.")}
            network.load_state_dict(weights)
            network.eval().requires_grad_(False)
            metrics = tuple(dict(line) for line in bundle.metrics)
            return cls(config, network, encoder, profile, metrics, bundle.config["base_sha256"])
