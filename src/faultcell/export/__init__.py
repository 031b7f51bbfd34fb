"""Trained networks as ONNX files that run without torch: a fault classifier for a battery management system, or a generator.

request.py          which classifier is asked for
split.py            which cells a classifier learns from, which its int8 version is chosen on, and on which recall is told
classifier.py       a classifier with its scaling inside the graph, in fp32 and, where recall holds, in int8
int8.py             which int8 version of it is kept, if any
generator.py        the three networks of a diffusion model, one file each; the loop over them stays with who draws
graph.py            torch to ONNX: the door to onnx
runtime.py          ONNX run and quantised: the door to onnxruntime
benchmark.py        what is measured of both: differences, sizes, latencies
folder.py           the folder they are written in
classifier_card.py  the README.md of a classifier; generator_card.py that of a generator
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

if TYPE_CHECKING:
    from faultcell.export.classifier import export_classifier
    from faultcell.export.generator import export_generator
    from faultcell.export.request import Order

__all__ = ["Order", "export_classifier", "export_generator"]


__getattr__ = lazy(__name__, {"Order": "request", "export_classifier": "classifier", "export_generator": "generator"})
