"""The folder of an export: ONNX files, `config.json`, `metrics.json`, `README.md` and SHA256SUMS, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faultcell import __version__
from faultcell.bundle.store import SUMS, sums
from faultcell.files.durable.atomic import whole_folder

CONFIG, METRICS, CARD = "config.json", "metrics.json", "README.md"
CLASSIFIER, INT8 = "classifier.onnx", "classifier.int8.onnx"
NETWORKS = ("durations.onnx", "expectation.onnx", "denoiser.onnx")
FORMAT = 1


@contextmanager
def export_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `out` in the end; an earlier export is replaced, nothing else."""
    with whole_folder(out, replaces=(CLASSIFIER, INT8, *NETWORKS, CONFIG, METRICS, CARD, SUMS)) as draft:
        yield draft


def finish(draft: Path, *, config: Mapping[str, Any], metrics: Mapping[str, Any], card: Sequence[str]) -> None:
    """Write what lies beside the ONNX files.

    Args:
        draft: the folder.
        config: all that a program needs to feed them.
        metrics: what was measured of them.
        card: lines of the README.
    """
    whole = {"format": FORMAT, "faultcell": __version__, **config}
    (draft / CONFIG).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (draft / METRICS).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (draft / CARD).write_text("\n".join(card) + "\n", encoding="utf-8")
    (draft / SUMS).write_text(sums(draft, sorted(entry.name for entry in draft.iterdir())))
