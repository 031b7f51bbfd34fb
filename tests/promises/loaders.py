"""Every way in for files, by name, as the child of `fuzz` calls it: path -> digest of what was read, sentences about it.

What comes out must be sound: it passes the checks once more, and there is something in it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

Read = tuple[str, list[str]]


def warm():
    """Load what every case needs, so that none is charged for it."""


def digest_of(curves):
    """What curves say, to a thousandth, whatever their cell is called; raises where they are not sound."""
    from faultcell.files.validate import check, conform

    assert len(curves)
    check(conform(curves.timeseries, curves.halfcycles, where="again"), where="again")
    digest = hashlib.sha256(str(curves.halfcycles.select("cycle_count", "step_type", "label").rows()).encode())
    for name in ("step_time_second", "voltage_volt", "current_ampere"):
        digest.update(np.round(curves.column(name), 3).tobytes())
    return digest.hexdigest()


def ingest(path, **told) -> Read:
    from faultcell import files

    curves, notes = files.ingest([path], **told)
    return digest_of(curves), notes


def ingest_into(path, **told) -> Read:
    """Piece by piece, and read back."""
    from faultcell import files

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        try:
            intake = files.ingest_into([path], out, config={}, **told)
        finally:
            assert {entry.name for entry in Path(folder).iterdir()} <= {"set"}, "something was left behind"
        return digest_of(files.read(out)), intake.notes


def ingest_large(path, **told) -> Read:
    """The same, not read back: a curve set is held whole."""
    from faultcell import files

    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        intake = files.ingest_into([path], Path(folder) / "set", config={}, **told)
        return str(sum(file.rows for file in intake.files)), intake.notes


def curve_set(path) -> Read:
    from faultcell.curves.severity import complete
    from faultcell.files.curve_set import read_checked

    curves, notes = read_checked(path)
    return digest_of(complete(curves)), notes


def show(path) -> Read:
    from faultcell.report import describe

    found = describe.facts(path)
    json.dumps(found)
    return hashlib.sha256(describe.text(found).encode()).hexdigest(), []


def report(path) -> Read:
    from faultcell.report import write_results

    with tempfile.TemporaryDirectory() as folder:
        page = write_results(path, Path(folder) / "page.html")
        return hashlib.sha256(page.read_bytes()).hexdigest(), []


def study_page(path) -> Read:
    from faultcell.report.study import study_page

    return hashlib.sha256(study_page(path).encode()).hexdigest(), []


def bundle(path) -> Read:
    """Load a model and draw with it: what cannot draw is no model."""
    from faultcell import Augmenter
    from faultcell.curves import grid

    model = Augmenter.load(path)
    curves = model.draw(grid("overdischarge", peak_deviation_volt=(0.3, 0.6), c_rate=0.8, repetition_count=1), [1, 2])
    for name in ("step_time_second", "voltage_volt", "current_ampere"):
        assert np.isfinite(curves.column(name)).all(), "drew what is no number"
    return model.sha256, []


def checkpoint(path) -> Read:
    """Go on from a checkpoint, as `train --resume` does; beside it lies what the run was started with."""
    import torch

    from faultcell import Augmenter
    from faultcell.training import checkpoint
    from faultcell.training.loop import State

    model = Augmenter.load(Path(path).parent / "base")
    state = State.start(model.network.requires_grad_(True), model.config.train)
    checkpoint.read_checkpoint(state, path, key="key")
    assert all(bool(torch.isfinite(value).all()) for value in state.ema.values())
    return str(state.step), []


def raises(path) -> Read:
    """For the test of the net itself."""
    return str(1 / 0), [str(path)]


def eats(path) -> Read:
    """The same: a gigabyte and more."""
    return str(np.ones(140 * 10**6).sum()), [str(path)]


LOADERS = {
    "raises": raises,
    "eats": eats,
    "ingest": ingest,
    "ingest_into": ingest_into,
    "ingest_large": ingest_large,
    "curve_set": curve_set,
    "show": show,
    "report": report,
    "study_page": study_page,
    "bundle": bundle,
    "checkpoint": checkpoint,
}
