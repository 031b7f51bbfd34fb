"""What a curve set, a bundle, a study, a scores or a gain file is: facts first, then the same as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faultcell.curves.curves import Curves
from faultcell.curves.faults import severities_of
from faultcell.curves.schema import SEVERITY
from faultcell.diagnosis.gain import Gain, Interval, is_mean
from faultcell.errors import DataError
from faultcell.files.bounded.json_file import read_json
from faultcell.files.cyclers.ingest import FileReport
from faultcell.scoring import COLUMNS, SET_COLUMNS, Score, Scores, SetScore

if TYPE_CHECKING:
    from faultcell.bundle.store import Bundle

PAIR_COLUMNS = (*COLUMNS, "kl", "js", "wasserstein", "peak_deviation_error_volt")
GAIN_COLUMNS = ("recall", "f1", "pr_auc", "recall_at_1_percent")
MOST_LISTED = 40  # cells and the like, in text
STUDY = "study.json"
EXPORTED = ("metrics.json", "config.json")
SENTENCES = ("findings", "notes", "suspicions")
GROUP_FIELDS = {"label": "by_label", "cell": "by_cell"}
WORDS = {"rises": "against direction", "flat_at_limit": "flat at limit", "hot": "hot or jumping", "surges": "surging"}
SET_SHOWN = tuple(name for name in SET_COLUMNS if name.removesuffix("_real") not in WORDS and not name.startswith("forest"))
# Seventeen columns fit one line only under short names; JSON results have the full ones.
HEADINGS = {
    "discriminative_gru": "gru",
    "discriminative_linear": "linear",
    "predictive_real": "pred_real",
    "authenticity": "authentic",
    "authenticity_real": "auth_real",
    "closest_record": "closest",
    "spread_ratio": "spread",
    "limit_violations": "limits",
    "monotone_violations": "monotone",
    "charge_violations": "charge",
    "lowest_voltage_error_volt": "lowest_v",
    "highest_voltage_error_volt": "highest_v",
    "duration_error": "duration",
    "peak_deviation_error_volt": "peak_v",
}


def facts(path: Path) -> dict[str, Any]:
    """What is at `path`, as plain values.

    Raises:
        DataError: nothing is there, or nothing FaultCell knows.
        BundleError: a bundle is incomplete or was changed.
    """
    return facts_of(at(path))


def facts_of(found: Scores | Gain | dict[str, Any]) -> dict[str, Any]:
    """Results as plain values; facts as they are."""
    if isinstance(found, Scores):
        return _scores(found)
    return _gain(found) if isinstance(found, Gain) else found


def at(path: Path) -> Scores | Gain | dict[str, Any]:
    """What is at `path`: results as they are, all else as facts."""
    from faultcell.bundle import store

    if not path.exists():
        raise DataError(f"{path} does not exist: give a curve-set folder, a bundle folder or a scores file")
    if path.is_file():
        return _results(path)
    if (path / "timeseries.parquet").exists():
        return _curve_set(path)
    if (path / store.MODEL).exists() or (path / store.CHECKPOINT).exists():
        from faultcell.bundle.validate import check_sizes

        return bundle_facts(store.read_bundle(path, check_sizes))
    if (path / STUDY).exists():
        return _results(path / STUDY)
    if (path / EXPORTED[0]).exists():
        return _export(path)
    raise DataError(
        f"{path} is neither a curve set (timeseries.parquet), a bundle (model.safetensors), an export ({EXPORTED[0]}) nor a "
        f"finished study ({STUDY}): check the path"
    )


def text(found: dict[str, Any]) -> str:
    """Facts as lines; tables as rows of aligned columns."""
    lines = []
    for name, value in found.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            lines += [f"{name}:", *rows_of(value)]
        elif name in SENTENCES and isinstance(value, list):
            lines += [f"{name}:", *(f"  {sentence}" for sentence in value)]
        else:
            lines.append(f"{name}: {_listed(value) if isinstance(value, list) else value}")
    return "\n".join(lines)


def _listed(values: Sequence[object]) -> str:
    """Values by commas; of very many the first ones."""
    more = f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else ""
    return ", ".join(map(str, values[:MOST_LISTED])) + more


def files_found(files: Sequence[FileReport]) -> list[dict[str, Any]]:
    """A row a file that was ingested."""
    return [
        {
            "file": Path(file.path).name,
            "read as": file.format,
            "rows": file.rows,
            "curves": file.curves,
            "cells": len(file.cells),
            "cycles": f"{file.cycles[0]} to {file.cycles[1]}",
            "V": "{:.4g} to {:.4g}".format(*file.volts),
            "A (+ = charge)": "{:.4g} to {:.4g}".format(*file.amperes),
        }
        for file in files
    ]


def _curve_set(path: Path) -> dict[str, Any]:
    from faultcell.files import read

    curves = read(path)
    rows = [_label_row(curves.select(label=[label]), label) for label in curves.labels]
    return {
        "kind": "curve set",
        "curves": len(curves),
        "cells": curves.cells,
        "samples": curves.timeseries.height,
        "synthetic": curves.has_generated,
        "labels": evened(rows),
    }


def _label_row(curves: Curves, label: str) -> dict[str, Any]:
    spans, steps = {}, sorted(set(curves.halfcycles["step_type"]))
    for name in dict.fromkeys((*SEVERITY, *(one.name for one in severities_of(label, steps)))):
        values = curves.known(name)[np.isfinite(curves.known(name))]
        spans[name] = f"{values.min():.3g} to {values.max():.3g}" if values.size else "unknown"
    return {"label": label, "curves": len(curves), "cells": len(curves.cells), "half-cycle": "+".join(steps), **spans}


def bundle_facts(bundle: Bundle) -> dict[str, Any]:
    """The same of a bundle that was read."""
    from faultcell.bundle import store

    profile = bundle.config["profile"]
    spans = [
        {"label": name, "curves": profile["labels"][name], **_spans(profile["ranges"][name])} for name in profile["labels"]
    ]
    return {
        "kind": "bundle",
        "model": bundle.config["kind"],
        "model_sha256": store.fingerprint(bundle.tensors),
        "adapted from": bundle.config["base_sha256"] or "nothing: pre-trained",
        "parameters": sum(t.numel() for name, t in bundle.tensors.items() if _is_weight(name)),
        "half-cycles": profile["step_types"],
        "channels": profile["channels"],
        "cells": profile["cells"],
        "left out": profile["unusable"],
        "has seen": evened(spans),
        "in contexts": [{"half-cycle": step, **_spans(profile["contexts"][step])} for step in profile["step_types"]],
    }


def _export(path: Path) -> dict[str, Any]:
    whole = "a whole folder of `faultcell export`: export it again"
    measured, config = (read_json(path / name, expected=whole) for name in EXPORTED)
    try:
        told = {
            name: config[name] for name in ("classifier", "labels", "model_sha256") if name in config and name not in measured
        }
        return {"kind": f"exported {config['kind']}", **told, **measured}
    except (TypeError, KeyError) as error:
        raise DataError(f"{path} is not {whole}") from error


def _is_weight(name: str) -> bool:
    return name.startswith("network.") and name not in ("network.noise_factor", "network.temperature")


def _spans(ranges: dict[str, list[float]]) -> dict[str, str]:
    return {name: f"{low:.3g} to {high:.3g}" for name, (low, high) in ranges.items()}


def _results(path: Path) -> Scores | Gain | dict[str, Any]:
    """What a file of results is; told by what it holds, not by its name."""
    written = "a file that `faultcell evaluate`, `classify` or `study` writes: give a folder or such a file"
    found = read_json(path, expected=written)
    try:
        if "findings" in found:
            return _study(found)
        return Gain(**found) if "summary" in found else Scores(**found)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DataError(f"{path} is not {written}") from error


def _study(found: dict[str, Any]) -> dict[str, Any]:
    sentences = [sentence for group in found["findings"].values() for sentence in group]
    if not all(isinstance(value, str) for value in (*sentences, *found["data"].values())):
        raise TypeError("no sentences")
    return {"kind": "study", **found["data"], "findings": sentences}


def _gain(gain: Gain) -> dict[str, Any]:
    nets = [row for row in gain.summary if is_mean(row.classifier)]
    rows = [
        {"task": row.task, "view": row.view, "arm": row.arm, "seeds": row.seeds}
        | {name: _with_interval(row.measures[name]) for name in GAIN_COLUMNS}
        for row in nets
    ]
    sizes = [size.model_dump() for size in gain.tasks]
    return {"kind": "gain", "tasks": sizes, "mean of the nets": rows, "notes": gain.notes}


def _with_interval(found: Interval) -> str:
    return f"{found.mean:.3f}" + ("" if found.low is None else f" ({found.low:.3f} to {found.high:.3f})")


def _scores(scores: Scores) -> dict[str, Any]:
    tables = {
        "believable": _believable_rows(scores),
        "ensemble": _ensemble_rows(scores),
        "scores": _pair_rows(scores),
        "sets": _set_rows(scores),
        "worst strata": _worst_rows(scores),
    }
    said = {"verdict": scores.verdict} if scores.verdict else {}
    return {"kind": "scores", **said, "paired": scores.pairing, **{name: rows for name, rows in tables.items() if rows}}


def _believable_rows(scores: Scores) -> list[dict[str, Any]]:
    """Of the generated set, in words, what share of curves does what no cell does."""
    return [
        {"set": name, "curves": found.curves}
        | {WORDS[key]: _of_real(found, key) for key in WORDS}
        | {"forest AUC": _short(found.forest_auc), "worst cell": _short(found.forest_auc_worst)}
        for name, found in scores.sources["synthetic"].sets.items()
        if found.rises is not None
    ]


def _of_real(found: SetScore, name: str) -> str:
    ours, real = getattr(found, name), getattr(found, f"{name}_real")
    return "-" if ours is None else f"{100 * ours:.3g} % (real {100 * (real or 0.0):.3g} %)"


def _ensemble_rows(scores: Scores) -> list[dict[str, Any]]:
    return [
        {"group": kind, "name": name} | {key: _short(value) for key, value in found.model_dump().items()}
        for kind, groups in scores.ensemble.items()
        for name, found in groups.items()
    ]


def _pair_rows(scores: Scores) -> list[dict[str, Any]]:
    """Every source over all pairs and by label; cells of the generated set alone, to keep the table short."""
    found = [("all", "", source, scores.sources[source].all) for source in scores.sources]
    for kind, sources in (("label", list(scores.sources)), ("cell", ["synthetic"])):
        groups = {source: getattr(scores.sources[source], GROUP_FIELDS[kind]) for source in sources}
        names = sorted({name for group in groups.values() for name in group})
        found += [(kind, name, source, groups[source][name]) for name in names for source in sources if name in groups[source]]
    return [
        {"group": kind, "name": name, "source": source, "curves": score.curves} | _numbers(score, PAIR_COLUMNS)
        for kind, name, source, score in found
    ]


def _set_rows(scores: Scores) -> list[dict[str, Any]]:
    groups = list(dict.fromkeys(name for source in scores.sources.values() for name in source.sets))
    return [
        {"set": name, "source": source, "curves": score.sets[name].curves} | _numbers(score.sets[name], SET_SHOWN)
        for name in groups
        for source, score in scores.sources.items()
        if name in score.sets
    ]


def _worst_rows(scores: Scores) -> list[dict[str, Any]]:
    found = [(source, score.worst, score.by_severity[score.worst]) for source, score in scores.sources.items() if score.worst]
    return [
        {"source": source, "stratum": name, "curves": score.curves} | _numbers(score, PAIR_COLUMNS)
        for source, name, score in found
    ]


def _numbers(score: Score | SetScore, columns: Sequence[str]) -> dict[str, str]:
    """Numbers by the short names that fit a table."""
    return {HEADINGS.get(name, name): _short(getattr(score, name)) for name in columns}


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def evened(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of which each has every column; what a row does not have is a dash."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, "-") for name in columns} for row in rows]


def rows_of(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table, by the columns of its first row."""
    table = [list(rows[0]), *[[str(row.get(name, "-")) for name in rows[0]] for row in rows]]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
