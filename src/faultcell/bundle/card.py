"""The model card of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from faultcell.bundle.profile import Profile
from faultcell.config import Config
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import CONTEXT
from faultcell.curves.curves import Curves
from faultcell.curves.faults import severities_of
from faultcell.curves.schema import NORMAL
from faultcell.errors import ImplausibleError

TRIAL_CURVES = 64
# What the hub reads: it must stand first. A bundle holds curves of its owner, so that its licence is theirs to give.
FRONT = """\
---
library_name: faultcell
license: other
license_name: as-the-training-data
license_link: README.md#licence
tags:
- battery
- lithium-ion
- fault-diagnosis
- time-series
- data-augmentation
- {kind}
metrics:
- mae
- pearsonr
---
"""


def bundle_card(
    config: Config, profile: Profile, *, sha256: str, base: str | None, metrics: Sequence[Mapping[str, Any]], trial: str
) -> str:
    """Markdown that says what a model is, what it has seen, how it was made, and what it cannot do.

    Args:
        config: what it was made with.
        profile: what it has seen.
        sha256: of the model.
        base: SHA-256 of the model it was adapted from.
        metrics: what was logged.
        trial: how often what it draws must be drawn again, in words.
    """
    return "\n".join(
        [
            FRONT.format(kind=config.model),
            "# FaultCell model",
            "",
            "A conditional diffusion model that draws charge and discharge curves of lithium-ion cells for a requested fault",
            "type and severity. Curves it draws are marked `synthetic` and carry this model's fingerprint.",
            "",
            f"- model SHA-256: `{sha256}`",
            f"- adapted from: {f'`{base}`' if base else 'nothing, this is a pre-trained model'}",
            *[f"- data SHA-256: `{digest}`" for digest in profile.data_sha256],
            "",
            "## What it has seen",
            "",
            "| label | curves | severities |",
            "|---|---|---|",
            *_rows(profile),
            "",
            "| half-cycle | " + " | ".join(CONTEXT) + " |",
            "|---|" + "---|" * len(CONTEXT),
            *_contexts(profile),
            "",
            f"Channels: {', '.join(profile.channels)}. "
            f"Curves that could not be put on the grid and were left out: {profile.unusable}.",
            "",
            f"Cells ({len(profile.cells)}; score it on others only): {', '.join(profile.cells)}.",
            "",
            "## How it was made",
            "",
            *_recipe(config, metrics),
            "",
            "## Limits",
            "",
            "- What is asked for outside the ranges above is an extrapolation: drawing it warns, and each such curve says so",
            "  in the columns `extrapolated` and `extrapolated_in`.",
            "- The requested peak deviation is met by construction; durations and shapes are drawn and can be wrong.",
            "- Every curve is held against what training curves did, and drawn again where no cell could have made it:",
            f"  {trial}.",
            f"- It keeps up to {config.neighbours.curves} of its training curves, and the faults: they travel with it.",
            "- Scores are not part of a model: run `faultcell evaluate` on cells that are not in the list above. The metrics",
            "  named at the top are two that it gives.",
            "",
            "## Licence",
            "",
            "It keeps some of its training curves: share it only as you may share them.",
            "",
            "## Use",
            "",
            "```python",
            "import faultcell as fc",
            "",
            'model = fc.Augmenter.from_pretrained(".")  # this folder, or the owner/name of its repository',
            "```",
            "",
        ]
    )


def _rows(profile: Profile) -> list[str]:
    return [f"| {label} | {count} | {_ranges(profile, label)} |" for label, count in profile.labels.items()]


def _ranges(profile: Profile, label: str) -> str:
    names = [one.name for one in severities_of(label)]
    return ", ".join("{} {:g} to {:g}".format(name, *profile.ranges[label][name]) for name in names)


def _contexts(profile: Profile) -> list[str]:
    seen = {step: profile.contexts[step] for step in profile.step_types}
    told = {
        step: ["{:g} to {:g}".format(*ranges[name]) if name in ranges else "never known" for name in CONTEXT]
        for step, ranges in seen.items()
    }
    return [f"| {step} | {' | '.join(cells)} |" for step, cells in told.items()]


def _recipe(config: Config, metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"- pre-training: {config.train.steps} steps of {config.train.batch_size} curves, seed {config.train.seed}"]
    if config.finetune is not None:
        knobs = config.finetune
        lines.append(
            f"- fine-tuning: {knobs.steps} steps of {knobs.batch_size} curves, seed {knobs.seed}, unfreeze {knobs.unfreeze}, "
            f"lambda {knobs.lambda_source:g}"
        )
    lines.append(
        f"- {config.diffusion.prediction_type}, {config.diffusion.num_train_timesteps} time steps, "
        f"{config.diffusion.beta_schedule} betas"
    )
    lines += [f"- last {phase} loss: {loss:.4f}" for phase, loss in {m["phase"]: m["loss"] for m in metrics}.items()]
    return lines


def trial(draw: Callable[[Sequence[Condition], Sequence[int]], Curves], profile: Profile) -> str:
    """How many of some curves, of every label with nothing but a depth asked for, must be drawn again."""
    kinds = [profile.middling(label) for label in profile.labels if label != NORMAL]
    kinds = kinds or [Condition(NORMAL, step_type=step) for step in profile.step_types]
    asked = [kind for kind in kinds for _ in range(TRIAL_CURVES // len(kinds))]
    try:
        again = draw(asked, range(len(asked))).known("redraw_count") > 0
    except ImplausibleError:
        return f"of {len(asked)}, in a trial, at least one never passed"
    return f"{int(again.sum())} of {len(asked)} in a trial, with nothing but a depth asked for"
