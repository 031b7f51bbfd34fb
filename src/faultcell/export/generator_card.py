"""What an exported generator says of itself: its inputs, and the loop that draws with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from faultcell.augmenter import Augmenter
from faultcell.encoding.condition_vector import SUPPORT_FEATURES, ConditionEncoder
from faultcell.encoding.grid import CHANNELS
from faultcell.export.folder import NETWORKS
from faultcell.models.base import DURATIONS
from faultcell.models.diffusion_model import DiffusionModel

LOOP = (
    "draw z ~ N(0, 1) of `noise_size` numbers a curve; the first two are the noise of the durations, the others, "
    "as (C, L), that of the curve",
    "walk(predict, x): v = 0; for each row (start, end, t) of `walk`: h = x - (start - end) / 2 * v; p = predict(h, t); v = p "
    "where `prediction` is v_prediction, else (p - sin(angles[t]) h) / cos(angles[t]); x = x - (start - end) * v; "
    "the result is x",
    "durations = walk(durations.onnx given `condition`, noise of the durations), then clipped to -5 ... 5",
    "told = [condition * shown, durations * known, known], known being 1 where a duration exists and was drawn, else 0",
    "expected, noise = expectation.onnx(told, noise of the curve)",
    "drawn = walk(denoiser.onnx given `told`, `expected`, `load`, `load_known`, noise)",
    "curve = expected + temperature * (drawn - expected)",
    "with `guidance_scale` g other than 1, predict(h, t) is free + g * (p - free), where free comes from the same networks "
    "with condition * `kept_without_conditions`, load_known = 0, and the expectation of that",
    "another number of steps n: the walk goes through angles[-1] * linspace(1, 0, n + 1) ** d, d = 1 + max(0, log10(n / 4)); "
    "t of a step is the place in `angles` nearest to the mean of its start and end",
)


def generator_config(model: Augmenter, network: DiffusionModel) -> dict[str, Any]:
    """All that a program needs to draw scaled durations and curves."""
    shape, diffusion = network.shape, network.diffusion
    names = [*ConditionEncoder(model.profile.faults).names, *SUPPORT_FEATURES]
    curve = ["batch", shape.channels, shape.length]
    condition, told = ["batch", shape.features], ["batch", shape.features + 2 * DURATIONS]
    return {
        "kind": "generator",
        "model_sha256": model.sha256,
        "files": list(NETWORKS),
        "condition": [*names, *(f"{name} is known" for name in names)],
        "channels": list(CHANNELS),
        "networks": {
            NETWORKS[0]: {
                "inputs": {"x": ["batch", DURATIONS], "t": ["batch"], "condition": condition},
                "outputs": {"prediction": ["batch", DURATIONS]},
            },
            NETWORKS[1]: {"inputs": {"told": told, "white": curve}, "outputs": {"expected": curve, "noise": curve}},
            NETWORKS[2]: {
                "inputs": {
                    **{"x": curve, "t": ["batch"], "told": told, "expected": curve},
                    **{"load": ["batch", shape.known, shape.length], "load_known": ["batch", shape.known]},
                },
                "outputs": {"prediction": curve},
            },
        },
        "dtypes": "t is int64, a place in `angles`; all else is float32",
        "noise_size": network.noise_size,
        "prediction": diffusion.config.prediction_type,
        "steps": diffusion.config.num_inference_steps,
        "walk": [list(row) for row in diffusion.step_schedule()],
        "angles": diffusion.angles.tolist(),
        "temperature": float(network.temperature),
        "guidance_scale": diffusion.config.guidance_scale,
        "shown": network.shown.int().tolist(),
        "kept_without_conditions": network.unconditional(torch.ones(shape.features)).int().tolist(),
        "loop": list(LOOP),
    }


def generator_card(model: Augmenter, metrics: Mapping[str, Any]) -> list[str]:
    """The README of a generator."""
    profile, rows = model.profile, metrics["networks"]
    names = list(rows[0])
    return [
        "# FaultCell generator as ONNX",
        "",
        f"The three networks of the diffusion model `{model.sha256[:16]}`. `config.json` names their inputs and, under `loop`, "
        "spells out how a curve is drawn with them: that loop is not in the files.",
        "",
        "## What it was trained on",
        "",
        *(f"- {count} curves labelled {label}" for label, count in profile.labels.items()),
        f"- cells: {', '.join(profile.cells)}",
        "",
        "## What was measured",
        "",
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *(
            "| " + " | ".join(f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in names) + " |"
            for row in rows
        ),
        "",
        "One evaluation of one curve, one thread, median.",
        "",
        "## What it cannot do",
        "",
        "- What comes out is scaled: what a curve, and its durations, have beyond what its neighbours let expect. Seconds,",
        "  volts and amperes need the bundle's neighbours, widths and scaler, which are not in here: draw with FaultCell what",
        "  is to be used.",
        "- Conditions go in as `faultcell.encoding.condition_vector` encodes them; whether the model has seen such is not",
        "  checked.",
        "- It holds what was learnt of the training curves, but none of the curves themselves.",
    ]
