"""The networks of a diffusion model as ONNX files. The loop over them is a few lines, and stays with who draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faultcell.augmenter import Augmenter
from faultcell.errors import ExportError
from faultcell.export.benchmark import BATCHES, difference, kilobytes, latencies
from faultcell.export.folder import NETWORKS, export_folder, finish
from faultcell.export.generator_card import generator_card, generator_config
from faultcell.export.graph import EXAMPLE, require, write_graph
from faultcell.export.runtime import Graph
from faultcell.models.base import DURATIONS
from faultcell.models.diffusion_model import Conditioning, DiffusionModel


class Durations(nn.Module):
    """What is predicted for noisy durations."""

    def __init__(self, network: DiffusionModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Noise or velocity `(B, 2)` in durations `(B, 2)` at time steps `(B,)`, for conditions `(B, F)`."""
        return self.network.denoise_durations(x, t, condition)


class Start(nn.Module):
    """From where the walk of a curve begins."""

    def __init__(self, network: DiffusionModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, told: Tensor, white: Tensor) -> tuple[Tensor, Tensor]:
        """The expected curve and smooth noise `(B, C, L)` each, of what is told `(B, F + 4)` and white noise `(B, C, L)`."""
        return self.network.expect(told), self.network.smooth(white, told)


class Denoiser(nn.Module):
    """What is predicted for a noisy curve."""

    def __init__(self, network: DiffusionModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, told: Tensor, expected: Tensor, load: Tensor, load_known: Tensor) -> Tensor:
        """Noise or velocity `(B, C, L)`; see `DiffusionModel.denoise`."""
        return self.network.denoise(x, t, Conditioning(told, expected, load, load_known))


OUTPUTS = (("prediction",), ("expected", "noise"), ("prediction",))


def export_generator(model: Augmenter, out: Path) -> dict[str, Any]:
    """Write the networks of a model as ONNX, with what is needed to draw scaled durations and curves with them.

    Args:
        model: a diffusion model.
        out: folder to write, whole or not at all.

    Returns:
        What was measured, as in `metrics.json`.

    Raises:
        ExportError: the model is a baseline or the paper's, cannot be written, or gives other numbers there.
        MissingExtraError: the extra `onnx` is not installed.
    """
    require()
    network = model.network
    if not isinstance(network, DiffusionModel):
        raise ExportError(
            f"the model is a {model.config.model}, which has no denoiser to walk with: export a bundle of the diffusion model"
        )
    if network.diffusion.config.sampler != "angle" or not model.config.neighbours.expect:
        raise ExportError(
            "what goes with the networks tells how to walk by the angle around what neighbours let expect (diffusion.sampler, "
            "neighbours.expect): export a model of the default preset"
        )
    modules = (Durations(network).eval(), Start(network).eval(), Denoiser(network).eval())
    with export_folder(out) as draft:
        rows = [
            _written(module, inputs, outputs, draft / name)
            for module, inputs, outputs, name in zip(modules, examples(network), OUTPUTS, NETWORKS, strict=True)
        ]
        metrics = {"model_sha256": model.sha256, "networks": rows}
        config = generator_config(model, network)
        finish(draft, config=config, metrics=metrics, card=generator_card(model, metrics))
    return metrics


def _written(module: nn.Module, inputs: Mapping[str, Tensor], outputs: tuple[str, ...], path: Path) -> dict[str, Any]:
    """Write one network; what was measured of it."""
    write_graph(module, {name: value[:EXAMPLE] for name, value in inputs.items()}, outputs, path)
    graph = Graph(path)
    apart = difference(module, graph, inputs, name=path.name)
    lasts = latencies(module, {path.name: graph}, inputs)
    return {
        "network": path.name,
        "kB": kilobytes(path),
        "largest difference from torch": apart,
        "us a curve": lasts[path.name],
        "us a curve, torch": lasts["torch"],
    }


def examples(network: DiffusionModel) -> tuple[dict[str, Tensor], ...]:
    """Random inputs of the three networks by name, among them conditions of all kinds `(B, ...)`."""
    shape, count = network.shape, max(BATCHES)
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(count, *size, generator=generator)

    t = torch.randint(network.diffusion.config.num_train_timesteps, (count,), generator=generator)
    condition = normal(shape.features)
    condition[:, shape.features // 2 - 2 : shape.features // 2] = (normal(2) > 0).float()
    told = torch.cat([condition, normal(2 * DURATIONS)], dim=1)
    curve, load_known = (shape.channels, shape.length), (normal(shape.known) > 0).float()
    return (
        {"x": normal(DURATIONS), "t": t, "condition": condition},
        {"told": told, "white": normal(*curve)},
        {
            **{"x": normal(*curve), "t": t, "told": told, "expected": normal(*curve)},
            **{"load": normal(shape.known, shape.length), "load_known": load_known},
        },
    )
