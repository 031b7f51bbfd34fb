"""What a curve set, a bundle or a scores file is: facts first, then the same as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from faultcell.curves import SEVERITY, Curves
from faultcell.errors import DataError
from faultcell.scoring import COLUMNS, Scores


def facts(path: Path) -> dict[str, Any]:
    """What is at `path`, as plain values.

    Raises:
        DataError: nothing is there, or nothing FaultCell knows.
        BundleError: a bundle is incomplete or was changed.
    """
    from faultcell import store

    if not path.exists():
        raise DataError(f"{path} does not exist: give a curve-set folder, a bundle folder or a scores file")
    if path.is_file():
        return _scores(path)
    if (path / "timeseries.parquet").exists():
        return _curve_set(path)
    if (path / store.MODEL).exists() or (path / store.CHECKPOINT).exists():
        return _bundle(path)
    raise DataError(f"{path} is neither a curve set (timeseries.parquet) nor a bundle (model.safetensors): check the path")


def text(found: dict[str, Any]) -> str:
    """Facts as lines; tables as rows of aligned columns."""
    lines = []
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{name}:", *_aligned(value)]
        else:
            lines.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return "\n".join(lines)


def _curve_set(path: Path) -> dict[str, Any]:
    from faultcell.files import read

    curves = read(path)
    rows = [_label_row(curves.select(label=[label]), label) for label in curves.labels]
    return {
        "kind": "curve set",
        "curves": len(curves),
        "cells": curves.cells,
        "samples": curves.timeseries.height,
        "synthetic": bool("synthetic" in curves.halfcycles.columns and curves.halfcycles["synthetic"].any()),
        "labels": rows,
    }


def _label_row(curves: Curves, label: str) -> dict[str, Any]:
    spans = {}
    for name in SEVERITY:
        values = curves.known(name)[np.isfinite(curves.known(name))]
        spans[name] = f"{values.min():.3g} to {values.max():.3g}" if values.size else "unknown"
    kinds = "+".join(sorted(set(curves.halfcycles["step_type"])))
    return {"label": label, "curves": len(curves), "cells": len(curves.cells), "half-cycle": kinds, **spans}


def _bundle(path: Path) -> dict[str, Any]:
    from faultcell import store

    bundle = store.read_bundle(path)
    profile = bundle.config["profile"]
    spans = [
        {"label": name, "curves": profile["labels"][name], **_spans(profile["ranges"][name])} for name in profile["labels"]
    ]
    return {
        "kind": "bundle",
        "model_sha256": store.fingerprint(bundle.tensors),
        "adapted from": bundle.config["base_sha256"] or "nothing: pre-trained",
        "parameters": sum(t.numel() for name, t in bundle.tensors.items() if _is_weight(name)),
        "half-cycles": profile["step_types"],
        "channels": profile["channels"],
        "cells": profile["cells"],
        "left out": profile["unusable"],
        "has seen": spans,
    }


def _is_weight(name: str) -> bool:
    return name.startswith("network.") and name != "network.noise_factor"


def _spans(ranges: dict[str, list[float]]) -> dict[str, str]:
    return {name: f"{low:.3g} to {high:.3g}" for name, (low, high) in ranges.items()}


def _scores(path: Path) -> dict[str, Any]:
    try:
        scores = Scores(**json.loads(path.read_text()))
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a scores file that `faultcell evaluate` writes: give a folder or such a file"
        ) from error
    groups = [("all", "", source, scores.sources[source].all) for source in scores.sources]
    for kind in ("by_label", "by_cell"):
        groups += [
            (kind[3:].removesuffix("_id"), name, source, score)
            for source in scores.sources
            for name, score in getattr(scores.sources[source], kind).items()
        ]
    shown = (*COLUMNS, "kl", "peak_deviation_error_volt")
    rows = [
        {"group": kind, "name": name, "source": source, "curves": score.curves}
        | {column: _short(getattr(score, column)) for column in shown}
        for kind, name, source, score in groups
    ]
    return {"kind": "scores", "paired": scores.pairing, "scores": rows}


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _aligned(rows: list[dict[str, Any]]) -> list[str]:
    table = [list(rows[0]), *[[str(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
