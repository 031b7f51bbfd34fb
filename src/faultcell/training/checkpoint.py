"""Checkpoints: what a stopped run needs to go on, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from faultcell.bundle.store import (
    CHECKPOINT,
    FILES,
    MOST_HEADER_BYTE,
    MOST_SUMS_BYTE,
    STATE,
    SUMS,
    bounded_text,
    bundle_errors,
    shapes_in,
    sums,
)
from faultcell.errors import BundleError
from faultcell.files.durable.atomic import refuse_other, tell_replaced, whole_folder
from faultcell.files.durable.swap import tidy
from faultcell.training.loop import State

# Of each weight: itself, its average, and what an optimiser remembers of it.
COPIES = 8


def write_checkpoint(state: State, folder: Path, *, key: str, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Leave in `folder` what a stopped run needs to go on.

    Args:
        state: of the run.
        folder: of the bundle to be.
        key: fingerprint of configuration and data; a run goes on only under the same one.
        metrics: logged so far.
    """
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in state.ema.items()}
    for phase, optimizer in state.optimizers.items():
        moments = optimizer.state_dict()["state"]
        tensors |= {f"optimizer.{phase}.{i}.{name}": value for i, part in moments.items() for name, value in part.items()}
    with whole_folder(folder / CHECKPOINT, replaces=(*STATE, SUMS)) as draft:
        save_file({name: value.cpu().clone() for name, value in tensors.items()}, draft / STATE[0])
        header = {"key": key, "step": state.step, "metrics": list(metrics)}  # not sorted: what is read back is written again
        (draft / STATE[1]).write_text(json.dumps(header, indent=2) + "\n")
        (draft / SUMS).write_text(sums(draft, STATE))


def read_checkpoint(state: State, folder: Path, *, key: str) -> list[dict[str, Any]]:
    """Bring `state` to where the run in `folder` stopped; a folder without one leaves it at its start.

    Returns:
        The metrics logged so far.

    Raises:
        BundleError: the run was started with another configuration or other data, or its files were changed.
    """
    source = folder / CHECKPOINT
    tidy(source)
    if not source.is_dir():
        return []
    whole = all((source / name).is_file() for name in (*STATE, SUMS))
    with bundle_errors(source):
        if not whole or bounded_text(source / SUMS, MOST_SUMS_BYTE) != sums(source, STATE):
            raise BundleError(f"{source} was changed or is incomplete: delete {folder} and start again")
        header = json.loads(bounded_text(source / STATE[1]))
        if header["key"] != key:
            raise BundleError(
                f"{source} is of a run with other settings or other data: delete {folder} or repeat that run's options"
            )
        step, metrics = int(header["step"]), [dict(line) for line in header["metrics"]]
        shapes = shapes_in(source / STATE[0])
        own = state.network.state_dict()
        if (source / STATE[0]).stat().st_size > COPIES * sum(value.nbytes for value in own.values()) + MOST_HEADER_BYTE:
            raise ValueError("its tensors are more than those of the network")
        wanted = {name: tuple(value.shape) for name, value in own.items()}
        for part in ("network.", "ema."):
            if {name.removeprefix(part): shape for name, shape in shapes.items() if name.startswith(part)} != wanted:
                raise ValueError(f"its tensors {part}* are not those of the network")
        _restore(state, load_file(source / STATE[0]))
        if step < 0 or not all(bool(value.isfinite().all()) for value in state.ema.values()):
            raise ValueError("its weights or its step are no numbers to go on with")
    state.step = step
    return metrics


def last_step(folder: Path) -> int | None:
    """After which step the checkpoint in a folder was written; None if there is none."""
    path = folder / CHECKPOINT / STATE[1]
    return int(json.loads(path.read_text())["step"]) if path.is_file() else None


def make_ready(folder: Path) -> None:
    """Look at the folder of a bundle before the work begins, and clear away what a killed run left half written.

    Raises:
        DataError: the folder, or its `checkpoint`, holds something else.
    """
    tidy(folder)
    tidy(folder / CHECKPOINT)
    refuse_other(folder, (*FILES, SUMS, CHECKPOINT))
    refuse_other(folder / CHECKPOINT, (*STATE, SUMS))


def forget(folder: Path) -> None:
    """Delete what a stopped run left, so that another begins anew; an earlier model stays until it is replaced."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    tell_replaced(folder)


def _restore(state: State, tensors: Mapping[str, Tensor]) -> None:
    state.network.load_state_dict(_under(tensors, "network."))
    state.ema = {name: value.to(state.network.device) for name, value in _under(tensors, "ema.").items()}
    for phase, optimizer in state.optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, f"optimizer.{phase}.").items():
            index, part = name.split(".", 1)
            if value.dim() and value.shape != optimizer.param_groups[0]["params"][int(index)].shape:
                raise ValueError(f"{name} is not of the shape of its weights")
            moments.setdefault(int(index), {})[part] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
