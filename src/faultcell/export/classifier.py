"""A fault classifier as an ONNX file: trained as `classify` does, its scaling inside, int8 where recall holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faultcell.curves import severity
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, half_cycles
from faultcell.curves.schema import NORMAL
from faultcell.diagnosis.fitting import Data, fit
from faultcell.diagnosis.gain import BEFORE
from faultcell.diagnosis.run import refuse_leaks
from faultcell.diagnosis.tasks import Real, Task, tasks_of
from faultcell.errors import ConditionError, DataError, ExportError
from faultcell.export.benchmark import BATCHES, difference, kilobytes, latencies
from faultcell.export.classifier_card import classifier_card, classifier_config
from faultcell.export.folder import CLASSIFIER, INT8, export_folder, finish
from faultcell.export.graph import EXAMPLE, require, write_graph
from faultcell.export.int8 import Choice, choose
from faultcell.export.request import Order
from faultcell.export.runtime import Graph
from faultcell.export.split import Parts
from faultcell.models.classifiers import Net, Threshold

SYNTHETIC = "synthetic"
OUTPUTS = ("logits", "probability")


class Deployed(nn.Module):
    """A net with its scaling before and the softmax behind it.

    Args:
        net: takes scaled channels `(B, C, L)`.
        mean: of each channel `(1, C, 1)`.
        spread: of each channel `(1, C, 1)`.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, net: nn.Module, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("spread", torch.from_numpy(spread))

    def forward(self, curve: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities of the two labels `(B, 2)` each, of curves in units `(B, C, L)`."""
        logits = self.net((curve - self.mean) / self.spread)
        return logits, logits.softmax(dim=1)


def export_classifier(
    out: Path,
    *,
    train: Curves,
    test: Curves | None = None,
    synthetic: Curves | None = None,
    order: Order | None = None,
) -> dict[str, Any]:
    """Train one of the six nets and write it as ONNX, with all that is needed to feed it.

    Args:
        out: folder to write, whole or not at all.
        train: real curves, normal ones and faults.
        test: real curves of other cells, on which recall is told; some training cells are held out where not given.
        synthetic: generated faults to add to the training.
        order: which net, of which fault, in which view.

    Returns:
        What was measured, as in `metrics.json`.

    Raises:
        ConditionError: an unknown name, more than one fault to choose from, or generated curves without a test set.
        DataError: a leak, or nothing to tell apart.
        ExportError: the network cannot be written, or gives other numbers there.
        MissingExtraError: the extra `onnx` is not installed.
    """
    require()
    order = order or Order()
    generated = {} if synthetic is None else {SYNTHETIC: synthetic}
    if generated and test is None:
        raise ConditionError("--synthetic needs --test: the generator may have seen any cell of --train, so tell others")
    refuse_leaks(train=train, test=train.take([]) if test is None else test, generated=generated)
    fault = _fault(train, order.fault)
    with export_folder(out) as draft:
        parts = Parts.of(severity.complete(train), test, fault=fault, seed=order.seed)
        task = _task(parts.fit, parts.report or parts.fit, view=order.view, generated=generated)
        data = Data.of(task, task.addition(SYNTHETIC if task.generated else BEFORE, seed=order.seed))
        net = fit(order.classifier, data, seed=order.seed, steps=order.steps)
        module = Deployed(net.module_.eval(), *task.scale).eval()
        fp32 = _written(module, net, task, draft / CLASSIFIER)
        held = _held_out(parts, task, order)
        int8 = choose(draft, fp32, _calibration(task, order.seed), cells=held, tolerance=order.tolerance)
        metrics = _measured(draft, module, task, held=held, int8=int8)
        config = classifier_config(task, order, parts, added=data.added, how=int8.how)
        finish(draft, config=config, metrics=metrics, card=classifier_card(config, metrics))
    return metrics


def _fault(train: Curves, asked: str | None) -> str:
    """The fault that is told from normal curves."""
    known = [name for label in FAULTS if label in train.labels for name in half_cycles(label)]
    if asked is not None and asked not in known:
        raise ConditionError(f"--fault takes one that --train has ({', '.join(known) or 'it has none'}), found '{asked}'")
    if asked is None and len(known) != 1:
        found = f"has {', '.join(known)}: choose one with --fault" if known else f"has no {' or '.join(FAULTS)}: add some"
        raise (ConditionError if known else DataError)(f"a classifier tells one fault from normal curves, and --train {found}")
    return asked or known[0]


def _task(train: Curves, test: Curves, *, view: str, generated: Mapping[str, Curves]) -> Task:
    """The one task of these sets."""
    found = next(tasks_of(train=train, test=test, generated=generated, view=view), "it has no such fault")
    if isinstance(found, str):
        raise DataError(f"there is nothing to train ({found}): give faults of one kind and normal curves of its half-cycle")
    return found


def _written(module: Deployed, net: Net, task: Task, path: Path) -> Graph:
    """The fp32 file, after a look whether it says what the classifier says."""
    values = _examples(task)
    write_graph(module, {"curve": torch.from_numpy(values[:EXAMPLE])}, OUTPUTS, path)
    graph = Graph(path)
    labels = net.predict_proba(task.scaled(values)).argmax(axis=1)
    if (labels != graph(curve=values)[1].argmax(axis=1)).any():
        raise ExportError(f"{path.name} gives other labels than the classifier it was made from: nothing was written")
    return graph


def _examples(task: Task) -> NDArray[np.float32]:
    """Real curves in units, at least as many as the largest batch `(N, C, L)`."""
    values = np.concatenate([task.test.seen.values, task.train.seen.values])
    return np.ascontiguousarray(np.resize(values, (max(len(values), max(BATCHES)), *values.shape[1:])))


def _calibration(task: Task, seed: int) -> NDArray[np.float32]:
    """Training curves, as many of each class, for the ranges of activations `(N, C, L)`."""
    rng, most = np.random.default_rng(seed), 128
    rows = [rng.permutation(np.flatnonzero(task.train.truth == label))[:most] for label in (0, 1)]
    return np.asarray(task.train.seen.values[rng.permutation(np.concatenate(rows))])


def _held_out(parts: Parts, task: Task, order: Order) -> dict[str, Real]:
    """Cells that are chosen on and cells that are reported, as the view shows them; empty where none could be held out."""
    if parts.report is None or parts.choose is None:
        return {}
    if not parts.apart:
        return {"reported": task.test}
    found = next(tasks_of(train=parts.fit, test=parts.choose, generated={}, view=order.view))
    return {"reported": task.test} if isinstance(found, str) else {"chosen on": found.test, "reported": task.test}


def _measured(draft: Path, module: Deployed, task: Task, *, held: Mapping[str, Real], int8: Choice) -> dict[str, Any]:
    """Differences, sizes, latencies and recall."""
    inputs = {"curve": torch.from_numpy(_examples(task))}
    graphs = {name: Graph(draft / name) for name in (CLASSIFIER, INT8) if (draft / name).exists()}
    apart = difference(module, graphs[CLASSIFIER], inputs, name=CLASSIFIER)
    lasts = latencies(module, graphs, inputs)
    parameters = sum(part.numel() for part in module.net.parameters())
    rows = [{"network": "torch", "kB": round(4 * parameters / 1000, 1), "us a curve": lasts["torch"]}]
    rows += [{"network": name, "kB": kilobytes(draft / name), "us a curve": lasts[name]} for name in graphs]
    recall = [
        {"cells": place, "network": name, "curves": len(real.truth), **recalls(graph, real, task.label)}
        for place, real in held.items()
        for name, graph in graphs.items()
    ]
    if "reported" in held:
        alarm = Threshold(severity.NOISE_VOLT).predict(task.test.seen.beyond[:, None])
        recall.append(
            {
                "cells": "reported",
                "network": "voltage threshold",
                "curves": len(alarm),
                **by_class(alarm, task.test.truth, task.label),
            }
        )
    found = {"parameters": parameters, "networks": rows, "largest difference from torch": apart}
    return {**found, "recall": recall, "verdict": verdict(recall), "int8": int8.sentence, "int8 tried": list(int8.tried)}


def verdict(recall: Sequence[Mapping[str, Any]]) -> str:
    """Whether a classifier is worth shipping, from its recall on the cells reported and that of the voltage threshold."""
    rows = {row["network"]: row for row in recall if row["cells"] == "reported"}
    if CLASSIFIER not in rows:
        return "whether it finds anything was not measured: no cell could be held out"
    fault = list(rows[CLASSIFIER])[-1]
    least = {name: min(row[NORMAL], row[fault]) for name, row in rows.items()}
    worse = next((name for name in (NORMAL, fault) if rows[CLASSIFIER][name] == 0), None)
    if worse is not None:
        return f"it knows none of the curves of {worse} on the cells reported: do not ship it"
    if least.get("voltage threshold", 0.0) > least[CLASSIFIER]:
        return "by the lesser of its two recalls a voltage threshold does better on the cells reported: ship that instead"
    return "by the lesser of its two recalls it does no worse than a voltage threshold on the cells reported"


def recalls(graph: Graph, real: Real, fault: str) -> dict[str, float]:
    """Recall of both labels on real curves at even odds."""
    return by_class(graph(curve=real.seen.values)[1].argmax(axis=1), real.truth, fault)


def by_class(alarm: NDArray[np.int64], truth: NDArray[np.int64], fault: str) -> dict[str, float]:
    """Recall of normal curves and of faults.

    Args:
        alarm: one where a fault is seen `(N,)`.
        truth: one for a fault `(N,)`.
        fault: its name.
    """
    return {name: round(float(np.mean(alarm[truth == label] == label)), 4) for label, name in enumerate((NORMAL, fault))}
