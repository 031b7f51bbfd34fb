"""The six classifiers as they would run in a battery management system: size, time of a single curve in one thread, and recall.

torch against onnxruntime in fp32 and int8. Each is trained on one half of the cells, and recall is of the other half: of the
real NASA discharges where they are (FAULTCELL_REAL_DATA or --data), else of the embedded ones. The int8 version is the one
`faultcell export` would choose, whether its recall lets it be kept or not.

    python benchmarks/edge.py [--data DIR] [--splits N] [--out JSON]
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

import faultcell as fc
import measure
from faultcell.export import Order, export_classifier
from faultcell.export.request import LOSS
from faultcell.files.embedded import demo_data
from faultcell.models.classifiers import NETS

FAULT, HALF = "overdischarge", 0.5
FP32, INT8 = "classifier.onnx", "classifier.int8.onnx"
WHERE = Path(os.environ.get("FAULTCELL_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")) / "nasa_pcoe"


def main() -> None:
    options = measure.arguments(__doc__, data={"type": Path, "default": WHERE}, splits={"type": int, "default": 3})
    options.threads = 1
    real = options.data.is_dir()
    curves = (fc.read(options.data) if real else demo_data()).select(step_type=["discharge"])
    rows = [row(name, [exported(name, curves, seed=seed) for seed in range(options.splits)]) for name in NETS]
    notes = [
        f"{'NASA' if real else 'Embedded'} discharges, {options.splits} divisions of the cells; sizes, times and "
        "recalls are medians over them, recall lost is the most of any class and division, on the cells reported.",
        f"Kept: in how many divisions `faultcell export` keeps int8 at its tolerance of {LOSS:g}.",
    ]
    measure.report("Classifiers on the edge, one curve, one thread", rows, options, notes=notes)


def exported(name: str, curves: fc.Curves, *, seed: int) -> dict[str, Any]:
    """What is measured of one classifier on one division of the cells."""
    train, test = divided(curves, seed=seed)
    order = Order(fault=FAULT, classifier=name, seed=seed, tolerance=1.0)  # whatever int8 costs, to have its figures
    with TemporaryDirectory() as folder:
        found = export_classifier(Path(folder) / "out", train=train, test=test, order=order)
        config = json.loads((Path(folder) / "out" / "config.json").read_text())
    way = config["files"]["int8_way"]
    losses = [value for tried in found["int8 tried"] if tried["way"] == way for name, value in tried.items() if "lost" in name]
    return {**found, "way": way, "kept": way is not None and max(losses) <= LOSS}


def divided(curves: fc.Curves, *, seed: int) -> tuple[fc.Curves, fc.Curves]:
    """Half of the cells with the fault and half of those without on each side."""
    faulty = curves.where(pl.col("label") == FAULT)
    others = curves.where(~pl.col("cell_id").is_in(faulty.cells), pl.col("label") == "normal")
    known, unseen = faulty.split(test=HALF, seed=seed)
    normal, negatives = others.split(test=HALF, seed=seed)
    return fc.Curves.concat([known, normal]), fc.Curves.concat([unseen, negatives])


def row(name: str, found: Sequence[dict[str, Any]]) -> measure.Row:
    """One classifier over all divisions."""

    def of(network: str, column: str) -> float | None:
        values = [line[column] for part in found for line in part["networks"] if line["network"] == network]
        return statistics.median(values) if values else None

    def recall(label: str) -> float:
        rows = [line for part in found for line in part["recall"] if (line["cells"], line["network"]) == ("reported", FP32)]
        return statistics.median(line[label] for line in rows)

    lost = [line["recall lost, reported"] for part in found for line in part["int8 tried"] if line["way"] == part["way"]]
    return {
        "": name,
        "parameters": found[0]["parameters"],
        "fp32 kB": of(FP32, "kB"),
        "int8 kB": of(INT8, "kB"),
        "torch us": of("torch", "us a curve"),
        "onnxruntime us": of(FP32, "us a curve"),
        "int8 us": of(INT8, "us a curve"),
        "recall": recall(FAULT),
        "of normal": recall("normal"),
        "int8": "/".join(sorted({str(part["way"]) for part in found if part["way"]})) or "none",
        "recall lost": max(lost) if lost else None,
        "kept": f"{sum(part['kept'] for part in found)} of {len(found)}",
    }


if __name__ == "__main__":
    main()
