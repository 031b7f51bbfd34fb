"""From torch to ONNX: the one place that imports onnx."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faultcell.errors import ExportError, MissingExtraError, first_line

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OPSET = 20
EXAMPLE = 3  # curves to trace with; two might be taken for the size of something else


def require() -> None:
    """Raise MissingExtraError unless all that writes and runs ONNX files is installed."""
    for package in NEEDED:
        if find_spec(package) is None:
            raise MissingExtraError(package, "onnx")


def write_graph(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path) -> None:
    """Write a module as an ONNX file that takes any number of curves at once.

    Args:
        module: its `forward` takes the inputs in their order.
        inputs: an example of each, by the name of that argument `(B, ...)`; B at least 2.
        outputs: names of what it gives.
        path: file to write.

    Raises:
        ExportError: torch's exporter cannot write it.
    """
    import onnx

    batch = torch.export.Dim("batch")
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = first_line(error.__cause__ or error, 200)
        raise ExportError(f"{path.name}: torch's ONNX exporter cannot write this network ({reason}): choose another") from error
    assert program is not None
    model = program.model_proto
    _strip(model.graph)
    fixed = [put.name for put in model.graph.input if not put.type.tensor_type.shape.dim[0].dim_param]
    if fixed:
        raise ExportError(
            f"{path.name}: torch's ONNX exporter fixes the number of curves of {fixed[0]}: choose another network"
        )
    model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(graph: Any) -> None:
    """Remove what the exporter notes on each node: where on this machine its source lies. It is a third of a small file."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages it would know and on its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
