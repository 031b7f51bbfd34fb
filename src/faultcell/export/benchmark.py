"""What is measured of an exported network: how far it is from torch's, its size, and how long one curve takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faultcell.errors import ExportError
from faultcell.export.runtime import Graph
from faultcell.runtime.workers import one_thread

BATCHES = (1, 2, 7, 64)
TOLERANCE = 1e-4
ROUNDS, RUNS, WARM = 15, 20, 5


def kilobytes(path: Path) -> float:
    """Size of a file, kB."""
    return round(path.stat().st_size / 1000, 1)


def difference(module: nn.Module, graph: Graph, inputs: Mapping[str, Tensor], *, name: str) -> float:
    """The largest absolute difference between torch and onnxruntime over batches of `BATCHES` curves and all outputs.

    Args:
        module: what was exported.
        graph: the file.
        inputs: by name `(B, ...)`, B at least the largest batch.
        name: of the file.

    Raises:
        ExportError: it is above `TOLERANCE`.
    """
    worst = 0.0
    for count in BATCHES:
        part = {key: value[:count] for key, value in inputs.items()}
        for ours, theirs in zip(torch_gives(module, part), graph(**_arrays(part)), strict=True):
            worst = max(worst, float(np.abs(ours - theirs).max()))
    if not worst <= TOLERANCE:
        raise ExportError(
            f"{name} gives other numbers than torch (by up to {worst:.2g}, expected at most {TOLERANCE:g}): nothing was "
            "written; report it with the versions that `faultcell doctor` prints"
        )
    return worst


def torch_gives(module: nn.Module, inputs: Mapping[str, Tensor]) -> list[NDArray[np.float32]]:
    """What torch gives for the same inputs."""
    with torch.no_grad():
        found = module(*inputs.values())
    return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]


def latencies(module: nn.Module, graphs: Mapping[str, Graph], inputs: Mapping[str, Tensor]) -> dict[str, float]:
    """Microseconds that one curve takes in one thread, median of some hundred runs, for torch and each graph by its name."""
    single = {key: value[:1] for key, value in inputs.items()}
    arrays = _arrays(single)

    def with_torch() -> None:
        with torch.inference_mode():
            module(*single.values())

    contenders: dict[str, Callable[[], Any]] = {"torch": with_torch}
    contenders |= {name: partial(graph, **arrays) for name, graph in graphs.items()}
    found: dict[str, list[float]] = {name: [] for name in contenders}
    with one_thread():
        for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine meets all
            for name, work in contenders.items():
                found[name] += _seconds(work)
    return {name: round(1e6 * statistics.median(seconds), 1) for name, seconds in found.items()}


def _seconds(work: Callable[[], Any]) -> list[float]:
    """Of some runs, after a few that bring the work into the caches."""
    found = []
    for _ in range(WARM + RUNS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return found[WARM:]


def _arrays(inputs: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {name: value.numpy() for name, value in inputs.items()}
