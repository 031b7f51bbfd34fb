"""Run under `disk.c`: writes each kind of output while an operation on the disk fails, one after the other; tells what is left.

    LD_PRELOAD=disk.so python disk.py FOLDER STRIDE KIND... -> lines of JSON

With a stride above 1 it fails at every so many operations only, and in fewer ways.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["POLARS_MAX_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import polars as pl

from faultcell.curves import Curves
from faultcell.errors import FaultCellError
from faultcell.files import ingest_into, write, write_blocks
from faultcell.files.durable.atomic import write_text
from faultcell.files.exchange import to_bdf
from strategies import charge, curves_of, discharge

DISK = ctypes.CDLL(None)
FAILURES = [(errno.ENOSPC, True), (errno.EIO, False), (errno.ENOSPC, False)]  # and whether it stays so from then on
ENDLESS = 3000


def curve_set(cells: int) -> Curves:
    rows = [
        (f"cell-{n}", 1, *kind)
        for n in range(cells)
        for kind in (("charge", "normal", charge()), ("discharge", "normal", discharge()))
    ]
    return curves_of([(cell, cycle, step, label, samples, {}) for cell, cycle, step, label, samples in rows])


@cache
def state_of(steps: int):
    """What a training run needs to go on, after so many steps."""
    import torch

    from faultcell.config import TrainConfig
    from faultcell.encoding.network_shape import network_of
    from faultcell.training.loop import State
    from strategies import CONFIG

    torch.manual_seed(steps)
    state = State.start(network_of(CONFIG, ("overcharge",)), TrainConfig())
    state.step = steps
    return state


def checkpoint(place: Path, new: bool) -> None:
    from faultcell.training import checkpoint

    steps = 20 if new else 10
    checkpoint.write_checkpoint(state_of(steps), place.parent, key="k", metrics=[{"step": steps}])


def bundle(place: Path, new: bool) -> None:
    import torch

    from faultcell.bundle import store

    tensors = {"network.a": torch.full((2000,), float(new)), "b": torch.ones(3)}
    store.write_bundle(store.Bundle(tensors, {"format": 5, "new": new}, {}, f"# card {new}\n", [{"step": 1}]), place)


def recording(place: Path, new: bool) -> None:
    source = place.parent.parent / f"recording-{new}"
    if not source.exists():
        to_bdf(curve_set(3 if new else 2), source)
    ingest_into(sorted(source.iterdir()), place, config={"verb": "ingest"})


@dataclass(frozen=True)
class Output:
    """A kind of output: what writes an old or a new one, and where."""

    make: object
    name: str = "out"


OUTPUTS = {
    "curve set": Output(lambda place, new: write(curve_set(3 if new else 2), place, config={"new": new})),
    "stream of curves": Output(
        lambda place, new: write_blocks((curve_set(3).take([i]) for i in range(6 if new else 4)), place)
    ),
    "ingested recording": Output(recording),
    "Battery Data Format, CSV": Output(lambda place, new: to_bdf(scaled(new), place)),
    "Battery Data Format, Parquet": Output(lambda place, new: to_bdf(scaled(new), place, suffix=".bdf.parquet")),
    "scores": Output(lambda place, new: write_text(place, f"{new}\n" * 5000), "scores.json"),
    "bundle": Output(bundle),
    "checkpoint": Output(checkpoint, "checkpoint"),
}


def scaled(new: bool) -> Curves:
    """The same cells, so that the files have the same names, with another current."""
    curves = curve_set(2)
    return Curves(curves.timeseries.with_columns(pl.col("current_ampere") * (1.5 if new else 1.0)), curves.halfcycles)


def contents(place: Path) -> dict[str, bytes] | bytes | None:
    if place.is_dir():
        return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
    return place.read_bytes() if place.exists() else None


def try_all(output: Output, work: Path, *, stride: int, number: int, sticky: bool, earlier: bool) -> dict[str, object]:
    """Fail at every so many operations in turn; how often that was, and what is wrong afterwards."""
    folder = work / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = folder / output.name
    attempt(output, place, new=True, number=number)
    new = contents(place)
    again(output, place, earlier=earlier, number=number)
    old = contents(place)
    wrong: list[str] = []
    for tried, n in enumerate(range(1, ENDLESS, stride)):
        said, hit = attempt(output, place, n, new=True, number=number, sticky=sticky)
        if not hit:
            return {"injected": tried, "wrong": wrong}
        found, beside = contents(place), sorted(entry.name for entry in folder.iterdir() if entry != place)
        wrong += [f"{n}: {problem}" for problem in problems(said, found, old=old, new=new, beside=beside)]
        if found != old:
            again(output, place, earlier=earlier, number=number)
    raise AssertionError("it never ended")


def again(output: Output, place: Path, *, earlier: bool, number: int) -> None:
    """As it was before."""
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    if earlier:
        attempt(output, place, new=False, number=number)


def attempt(output: Output, place: Path, n: int = 0, *, new: bool, number: int, sticky: bool = False) -> tuple[str, bool]:
    """Write an output while the n-th operation fails; what was said, and whether it came to that operation.

    What shall be killed is done in a child. This process does none of it itself: libraries would start threads, which a
    child does not have.
    """
    if not number:
        child = os.fork()
        if not child:
            DISK.disk_arm(os.fsencode(place.parent), n, 0, 0)
            output.make(place, new)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        return (
            ("killed", True) if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else (f"ended {status}", False)
        )
    said = "done"
    DISK.disk_arm(os.fsencode(place.parent), n, number, int(sticky))
    try:
        output.make(place, new)
    except FaultCellError as error:
        said = str(error)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    hit = bool(n) and DISK.disk_seen() >= n
    DISK.disk_arm(b"", 0, 0, 0)
    return said, hit


def problems(said: str, found: object, *, old: object, new: object, beside: list[str]) -> list[str]:
    """What is wrong about how an attempt ended."""
    if said == "killed":  # what it left beside is cleared away by the next one
        return [] if found in (old, new) else ["killed, and neither the old nor the new is there"]
    wrong = []
    if "did not confirm it" in said:
        return [] if found == new and not beside else [f"not the new one is there ({said})"]
    if said != "done" and "could not be written" not in said:
        wrong.append(f"said {said[:120]}")
    if found != (new if said == "done" else old):
        wrong.append(f"not the {'new' if said == 'done' else 'old'} one is there ({said[:80]})")
    if beside:
        wrong.append(f"left {beside}")
    return wrong


def main(work: Path, stride: int, kinds: list[str]) -> None:
    if "checkpoint" in kinds:
        state_of(10), state_of(20)
    for number, sticky in ((0, False), *FAILURES[: None if stride == 1 else 1]):
        for kind in kinds:
            for earlier in (True, False) if stride == 1 else (True,):
                tried = try_all(OUTPUTS[kind], work, stride=stride, number=number, sticky=sticky, earlier=earlier)
                how = {"error": errno.errorcode.get(number, "killed"), "sticky": sticky, "earlier": earlier}
                print(json.dumps({"kind": kind, **how, **tried}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or list(OUTPUTS))
