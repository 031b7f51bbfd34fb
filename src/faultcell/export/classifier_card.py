"""What an export says of itself: `config.json` for programs and README.md for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faultcell.curves.fingerprint import fingerprint
from faultcell.curves.schema import NORMAL, REST_C_RATE
from faultcell.diagnosis.tasks import Task
from faultcell.diagnosis.views import FEWEST, LENGTH, MARGIN
from faultcell.export.folder import CLASSIFIER, INT8
from faultcell.export.request import Order
from faultcell.export.split import Parts

CHANNELS = (
    ("voltage", "1", "(voltage under load - lower limit) / (upper limit - lower limit), rated limits in V"),
    ("current", "1/h", "|current under load| / nominal capacity"),
    ("charge", "1", "integral of |current| from the part's first sample on, in Ah, / nominal capacity"),
)
VIEW = {
    "whole": "all of the loaded part",
    "in_limits": (
        f"the loaded part up to the time at which the line through the voltage under load first comes within {MARGIN:g} V "
        "of the limit that the half-cycle can break, with a sample interpolated there; all of it if it never does"
    ),
}


def classifier_config(task: Task, order: Order, parts: Parts, *, added: int, how: str | None) -> dict[str, Any]:
    """All that a program needs to feed a classifier, and where it comes from."""
    mean, spread = task.scale
    step = task.step
    known = parts.report
    return {
        "kind": "classifier",
        "classifier": order.classifier,
        "files": {"fp32": CLASSIFIER, "int8": INT8 if how else None, "int8_way": how},
        "labels": [NORMAL, task.label],
        "step_type": step,
        "input": {
            "name": "curve",
            "dtype": "float32",
            "shape": ["batch", len(CHANNELS), LENGTH],
            "channels": [{"name": name, "unit": unit, "is": what} for name, unit, what in CHANNELS],
        },
        "window": {
            "view": order.view,
            "loaded_part": (
                f"from the first to the last sample of the {step} with |current| > {REST_C_RATE[step]:g} nominal capacity / h"
            ),
            "part": VIEW[order.view],
            "margin_volt": MARGIN,
            "resampled": (
                f"linear interpolation at {LENGTH} equal steps from the part's first to its last second, both included; "
                "voltage and current from samples under load alone, charge (trapezoids) from all"
            ),
            "fewest_samples": FEWEST,
        },
        "scaling": {"inside_the_graph": True, "mean": mean.ravel().tolist(), "spread": spread.ravel().tolist()},
        "outputs": [
            {"name": "logits", "shape": ["batch", 2]},
            {"name": "probability", "shape": ["batch", 2], "is": "softmax of the logits, in the order of `labels`"},
        ],
        "alarm": f"probability of {task.label} above 0.5",
        "trained": {
            "steps": order.steps,
            "seed": order.seed,
            "cells": parts.fit.cells,
            "normal": task.train.count(0),
            "fault": task.train.count(1),
            "generated_faults_added": added,
            "curves_sha256": fingerprint(parts.fit),
        },
        "held_out": {
            "chosen_on": parts.choose.cells if parts.choose is not None else [],
            "reported": known.cells if known is not None else [],
            "int8_chosen_on_other_cells_than_reported": parts.apart,
        },
        "int8_may_lose_recall": order.tolerance,
    }


def classifier_card(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """The README of a classifier."""
    fault, step = config["labels"][1], config["step_type"]
    trained, held = config["trained"], config["held_out"]
    added = trained["generated_faults_added"]
    return [
        f"# FaultCell classifier: {fault} or a normal {step}",
        "",
        f"A `{config['classifier']}` of {metrics['parameters']} parameters as ONNX, {metrics['networks'][1]['kB']:g} kB. It "
        f"takes curves `(B, {len(CHANNELS)}, {LENGTH})` in the units that `config.json` names; the scaling is inside.",
        "",
        "## What it was trained on",
        "",
        f"{trained['normal']} normal curves and {trained['fault']} of {fault}, of {len(trained['cells'])} cells "
        f"({', '.join(trained['cells'])})"
        + (f", and {added} generated faults." if added else ".")
        + f" {trained['steps']} steps.",
        "",
        "## What was measured",
        "",
        *_table(metrics["networks"]),
        "",
        f"One curve, one thread, median. Largest difference from torch: {metrics['largest difference from torch']:.1g}.",
        "",
        *(
            ["Recall at even odds:", "", *_table(metrics["recall"]), ""]
            if metrics["recall"]
            else ["Recall was not measured.", ""]
        ),
        f"**{metrics['verdict'][0].upper()}{metrics['verdict'][1:]}.**",
        "",
        f"{metrics['int8'][0].upper()}{metrics['int8'][1:]}.",
        "",
        f"Cells reported: {', '.join(held['reported']) or 'none could be held out'}. "
        + ("The int8 version was chosen on others." if held["int8_chosen_on_other_cells_than_reported"] else ""),
        "",
        "## What it cannot do",
        "",
        f"- It tells {fault} from a normal {step} and nothing else; any other curve gets one of these two labels all the same.",
        f"- It wants a whole part of a curve ({config['window']['view']}): it speaks when that part has ended, not before.",
        "- A voltage threshold, which needs no classifier, is what it has to beat.",
        "- Its probabilities are not calibrated, and cells of other kinds or loads than those named were not tried.",
        "- A recall of few curves of few cells is a rough number. It is no safety function.",
    ]


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows as Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *[[str(row.get(name, "")) for name in names] for row in rows]]
    return ["| " + " | ".join(line) + " |" for line in lines]
