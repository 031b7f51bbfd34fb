"""What a study consists of: its budgets, and the variants of the model that its ablations compare."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from faultcell.baselines.classical import CHEAP
from faultcell.config import Config, FinetuneConfig, Kind
from faultcell.presets import budget, paper, preset_of

MODELS: tuple[Kind, ...] = get_args(Kind)
DIFFUSION: Kind = "diffusion"
PAPER, PAPER_GAN = "paper", "paper_wgan_gp"  # the paper's model, and the GAN on the same grid
GENERATORS: tuple[str, ...] = (*MODELS, PAPER, PAPER_GAN)
AUGMENT = "augment"  # the arm of curves that our model draws from normal ones


def from_normal(name: str) -> str:
    """The arm of curves that a generator draws from normal ones."""
    return AUGMENT if name == DIFFUSION else f"{name}_from_normal"


class StudyConfig(BaseModel):
    """Every knob of a study. `StudyConfig.quick()` is the one that takes minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Config = Field(Config(), description="what every model of the study starts from")
    paper: Config = Field(paper(), description="the paper's model, and the GAN on the same grid")
    paper_steps: int | None = Field(None, ge=1, description="of its pre-training, in place of its epochs")
    generators: tuple[str, ...] = Field(GENERATORS, description="to compare; the diffusion model is always the first")
    controls: tuple[str, ...] = Field(tuple(CHEAP), description="cheap sources to compare with")
    pretrain_steps: int | None = Field(200, ge=1, description="optimiser steps, the same for all; None: as the model says")
    finetune_steps: int | None = Field(100, ge=1)
    few: int = Field(25, ge=2, description="fault curves of each kind to adapt to")
    counts: tuple[int, ...] = Field((5, 10, 50), description="other numbers of fault curves to adapt to")
    lambdas: tuple[float, ...] = Field((0.0, 0.3, 3.0), description="other weights of the source loss")
    guidances: tuple[float, ...] = (1.5, 2.0, 3.0)
    sampling_steps: tuple[int, ...] = (2, 4, 8, 32, 50)
    repeats: int = Field(3, ge=1, description="models that differ in their seed alone: what chance does")
    snapshots: tuple[float, ...] = Field((0.02, 0.1, 0.25, 0.5, 1.0), description="shares of fine-tuning to look at")
    test_share: float = Field(0.3, gt=0, lt=1, description="of the cells with each fault, and of the cells without any")
    chosen_on: tuple[str, ...] = Field((), description="cells on which settings were chosen: never held out")
    splits: int = Field(5, ge=1, description="by cell; classifiers and fidelity on each, ablations on the first")
    views: tuple[str, ...] | None = Field(None, description="of curves, that classifiers get; None: those usual for the faults")
    classifiers: tuple[str, ...] | None = Field(None, description="names of `diagnosis.run.CLASSIFIERS`; None: all")
    classifier_seeds: int = Field(1, ge=1, description="of each split")
    classifier_steps: int = Field(200, ge=1)
    seed: int = 0

    @field_validator("generators")
    @classmethod
    def _diffusion_first(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in GENERATORS:
                raise ValueError(f"there is no generator '{name}': there are {', '.join(GENERATORS)}")
        return (DIFFUSION, *(name for name in names if name != DIFFUSION))

    @property
    def compared(self) -> tuple[str, ...]:
        """The generators; the paper's once, where the study's own model is the paper's."""
        same = (PAPER, PAPER_GAN) if preset_of(self.model) == PAPER else ()
        return tuple(name for name in self.generators if name not in same)

    @classmethod
    def quick(cls, **changes: Any) -> StudyConfig:
        """Every table and figure of the paper, on one split, at budgets that fit into ten minutes on two cores."""
        small = {
            "pretrain_steps": 120,
            "finetune_steps": 60,
            "counts": (5,),
            "lambdas": (0.0,),
            "guidances": (2.0,),
            "sampling_steps": (4, 50),
            "controls": ("replay", "jitter", "time_warp", "smote", "mean_curve"),
            "classifier_steps": 50,
            "paper_steps": 500,
            "splits": 1,
            "views": ("whole",),
        }
        return cls(**{**small, **changes})


class Variant(BaseModel):
    """One row of the ablations: what differs from the study's own diffusion model.

    Attributes:
        name: of the row.
        group: the question it belongs to.
        base: which pre-trained model it starts from; None for none.
        finetune: of the fine-tuning's knobs.
        seed: of the fine-tuning and of the draw, where not the study's own.
        few: fault curves of each kind, where not the study's own number.
        draw: keyword arguments of `Augmenter.draw`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    group: str
    base: str | None = DIFFUSION
    finetune: dict[str, Any] = {}
    seed: int | None = None
    few: int | None = None
    draw: dict[str, Any] = {}

    @property
    def trains(self) -> bool:
        """Whether it is a model of its own, not just another way to draw from the study's."""
        return not self.draw


def bases(config: StudyConfig) -> dict[str, dict[str, dict[str, Any]]]:
    """Pre-trained models beside the study's own: name -> what differs in the configuration, section by section."""
    nowhere = (False,) * len(config.model.net.attention)
    no_attention: dict[str, dict[str, Any]] = {"net": {"attention": nowhere, "bottleneck_attention": False}}
    found = {
        "no attention": no_attention,
        "no condition bias": {"net": {"bias_rank": 0}},
        "epsilon": {"diffusion": {"prediction_type": "epsilon"}},
    }
    if _has_paper(config):
        found[f"{PAPER} no attention"] = no_attention
    heads = ("", f"{PAPER} ") if _has_paper(config) else ("",)
    return found | {f"{head}seed {seed}": {"train": {"seed": seed}} for head in heads for seed in _other_seeds(config)}


def _has_paper(config: StudyConfig) -> bool:
    return PAPER in config.compared


def _other_seeds(config: StudyConfig) -> range:
    return range(config.seed + 1, config.seed + config.repeats)


def variants(config: StudyConfig) -> list[Variant]:
    """The ablations, question by question; the study's own model answers each of them with its default."""
    made = _seeds(config)
    made += [Variant(name="no attention", group="attention", base="no attention")]
    made += [Variant(name="no condition bias", group="condition bias", base="no condition bias")]
    made += [Variant(name="epsilon", group="prediction", base="epsilon")]
    made += [Variant(name="from scratch", group="transfer", base=None)]
    made += [Variant(name=way, group="unfreezing", finetune={"unfreeze": way}) for way in ("last", "last3", "all")]
    made += [Variant(name=f"lambda {x:g}", group="lambda", finetune={"lambda_source": x}) for x in config.lambdas]
    made += [Variant(name=f"{n} curves", group="fault curves", few=n) for n in config.counts if n != config.few]
    if _has_paper(config):
        made += _seeds(config, head=f"{PAPER} ", group=f"{PAPER}: chance")
        made += [Variant(name=f"{PAPER} no attention", group=f"{PAPER}: attention", base=f"{PAPER} no attention")]
        made += [
            Variant(name=f"{PAPER} {way}", group=f"{PAPER}: unfreezing", base=PAPER, finetune={"unfreeze": way})
            for way in ("last", "last3", "progressive", "all")
        ]
    made += [Variant(name=f"{n} steps", group="sampling steps", draw={"steps": n}) for n in config.sampling_steps]
    made += [Variant(name=f"guidance {x:g}", group="guidance", draw={"guidance": x}) for x in config.guidances]
    return made


def _seeds(config: StudyConfig, *, head: str = "", group: str = "chance") -> list[Variant]:
    """Models that differ in their seed alone."""
    names = {seed: f"{head}seed {seed}" for seed in _other_seeds(config)}
    return [Variant(name=name, group=group, base=name, seed=seed, finetune={"seed": seed}) for seed, name in names.items()]


def defaults(config: StudyConfig) -> dict[str, str]:
    """What the study's own model is called in each of the questions."""
    knobs, diffusion = finetuning(config), config.model.diffusion
    found = {
        "chance": f"seed {config.seed}",
        "attention": "attention",
        "condition bias": "condition bias",
        "prediction": diffusion.prediction_type.removesuffix("_prediction"),
        "transfer": "transfer",
        "unfreezing": knobs.unfreeze,
        "lambda": f"lambda {knobs.lambda_source:g}",
        "fault curves": f"{config.few} curves",
    }
    if _has_paper(config):
        own = (f"seed {config.seed}", "attention", finetuning(config, PAPER).unfreeze)
        names = ("chance", "attention", "unfreezing")
        found |= {f"{PAPER}: {name}": f"{PAPER} {words}" for name, words in zip(names, own, strict=True)}
    steps, guidance = diffusion.num_inference_steps, diffusion.guidance_scale
    return found | {"sampling steps": f"{steps} steps", "guidance": f"guidance {guidance:g}"}


def pretraining(config: StudyConfig, base: str) -> Config:
    """The configuration of a pre-trained model of the study, by name."""
    of_paper, bare = base.startswith(PAPER), base.removeprefix(f"{PAPER}_")
    kind = next((name for name in MODELS if name == bare), DIFFUSION)
    first = config.paper if of_paper else config.model
    # The GAN on the paper's grid takes as many steps as the other baselines: the paper's 3000 epochs would take a day.
    steps = config.paper_steps if of_paper and kind == DIFFUSION else config.pretrain_steps
    train = budget(first.train, steps=steps, seed=config.seed)
    made = first.model_copy(update={"model": kind, "train": train, "finetune": None})
    sections = {
        section: getattr(made, section).model_copy(update=changes) for section, changes in bases(config).get(base, {}).items()
    }
    return made.model_copy(update=sections)


def finetuning(config: StudyConfig, base: str = DIFFUSION, **changes: Any) -> FinetuneConfig:
    """The knobs of a fine-tuning of the study, from a pre-trained model by name."""
    of_paper = base.startswith(PAPER)
    knobs = (config.paper if of_paper else config.model).finetune or FinetuneConfig()
    return budget(knobs, steps=None if of_paper else config.finetune_steps, **{"seed": config.seed, **changes})
