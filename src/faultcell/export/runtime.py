"""ONNX files run and quantised: the one place that imports onnxruntime."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATIC, DYNAMIC = "static", "dynamic"
WAYS = (STATIC, DYNAMIC)
CHUNK = 32  # curves looked at together for the ranges of activations
ERRORS_ONLY = 3
# Not the scaling: eight bits for channels in units as different as theirs are too few.
QUANTISED = ("Conv", "Gemm", "MatMul", "Relu", "AveragePool", "Reshape", "Squeeze", "Unsqueeze", "Transpose")


class Graph:
    """An ONNX file, ready to run in one thread on the CPU.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """All outputs, in order."""
        return list(self._session.run(None, inputs))


def quantise(source: Path, target: Path, *, how: str, curves: NDArray[np.float32]) -> None:
    """Write an int8 version of an fp32 file.

    `static`: weights and activations, with fixed ranges of the latter as these curves have them. `dynamic`: weights; the ranges
    of activations are found anew for each curve. Only static covers convolutions well, only dynamic LSTMs, neither GRUs.

    Args:
        source: the fp32 file; its input is named `curve`.
        target: file to write.
        how: one of `WAYS`.
        curves: `(N, C, L)`.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = target.with_suffix(".ready")
    try:
        with _quiet():
            quant_pre_process(str(source), str(ready))
            if how == DYNAMIC:
                quantize_dynamic(ready, target, weight_type=QuantType.QInt8)
            else:
                kinds = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
                way = {"quant_format": QuantFormat.QDQ, "per_channel": True, "op_types_to_quantize": list(QUANTISED), **kinds}
                quantize_static(ready, target, _chunks(curves), **way)
    finally:
        ready.unlink(missing_ok=True)


def _chunks(curves: NDArray[np.float32]) -> Any:
    """The reader of calibration data that the quantiser asks for."""
    from onnxruntime.quantization import CalibrationDataReader

    class Chunks(CalibrationDataReader):  # type: ignore[misc]
        """Some curves at a time."""

        def __init__(self, parts: Sequence[NDArray[np.float32]]) -> None:
            self._parts = iter(parts)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            part = next(self._parts, None)
            return None if part is None else {"curve": part}

    return Chunks([curves[start : start + CHUNK] for start in range(0, len(curves), CHUNK)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's remarks to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
