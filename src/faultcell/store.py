"""A model on disk: a folder of plain files, each with its SHA-256, written whole or not at all; and checkpoints of a run.

    model.safetensors      weights (moving average) and scaler
    config.json            configuration, profile of what the model has seen
    scheduler_config.json  noise schedule, in the words of diffusers
    README.md              model card
    metrics.jsonl          one line a logged training step
    SHA256SUMS             of all of the above

No pickle anywhere: tensors are safetensors, the rest is JSON and text.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from faultcell.errors import BundleError, first_line
from faultcell.files.atomic import refuse_other, whole_folder
from faultcell.files.swap import read_at_once, tidy
from faultcell.train import State

MODEL, CONFIG, SCHEDULER, CARD, METRICS, SUMS = (
    "model.safetensors",
    "config.json",
    "scheduler_config.json",
    "README.md",
    "metrics.jsonl",
    "SHA256SUMS",
)
FILES = (MODEL, CONFIG, SCHEDULER, CARD, METRICS)
CHECKPOINT = "checkpoint"
FORMAT = 8  # of what `config.json` holds
STATE = ("state.safetensors", "state.json")
# Configurations of ten thousand cells have a megabyte, headers of a hundred tensors ten kilobytes.
MOST_TEXT_BYTE, MOST_SUMS_BYTE, MOST_HEADER_BYTE, MOST_MODEL_BYTE = 8 * 2**20, 2**16, 2**20, 4 * 2**30
# Of each weight: itself, its average, and what an optimiser remembers of it.
COPIES = 8
Fits = Callable[[Path, Mapping[str, Any], Mapping[str, tuple[int, ...]]], None]


@dataclass(frozen=True, eq=False)
class Bundle:
    """What the files of a bundle hold."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    card: str
    metrics: Sequence[Mapping[str, Any]]


def sums(folder: Path, names: Sequence[str]) -> str:
    """The lines of SHA256SUMS for these files of a folder."""
    return "".join(f"{_sha256(folder / name)}  {name}\n" for name in names)


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of `model.safetensors` as it is, or would be, on disk."""
    return hashlib.sha256(save(dict(tensors))).hexdigest()


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write a bundle, whole or not at all; what was in the folder before, if it was a bundle or a run, is replaced.

    Raises:
        DataError: the folder holds something else, or the disk refuses.
    """
    tidy(folder / CHECKPOINT)
    with whole_folder(folder, replaces=(*FILES, SUMS, CHECKPOINT)) as draft:
        (draft / MODEL).write_bytes(save(dict(bundle.tensors)))
        (draft / CONFIG).write_text(_json(bundle.config))
        (draft / SCHEDULER).write_text(_json(bundle.scheduler))
        (draft / CARD).write_text(bundle.card)
        (draft / METRICS).write_text("".join(json.dumps(line) + "\n" for line in bundle.metrics))
        (draft / SUMS).write_text(sums(draft, FILES))


def read_bundle(folder: Path, fits: Fits | None = None) -> Bundle:
    """Read a bundle after checking every file against SHA256SUMS.

    Args:
        folder: of the bundle.
        fits: looks at configuration and shapes before any tensor is read; raises BundleError where they do not belong together.

    Raises:
        BundleError: the folder is no bundle, holds an unfinished run, or a file is missing, was changed or is no such file.
    """
    return read_at_once(folder, lambda: _bundle(folder, fits), error=BundleError)


def _bundle(folder: Path, fits: Fits | None) -> Bundle:
    verify(folder)
    with _bundle_errors(folder):
        config, scheduler = (dict(json.loads(_text(folder / name))) for name in (CONFIG, SCHEDULER))
        metrics = [dict(json.loads(line)) for line in _text(folder / METRICS).splitlines()]
        shapes = _shapes(folder / MODEL)
        if fits is not None:
            fits(folder, config, shapes)
        return Bundle(load((folder / MODEL).read_bytes()), config, scheduler, _text(folder / CARD), metrics)


def verify(folder: Path) -> None:
    """Check every file of a bundle against SHA256SUMS; raises BundleError."""
    if not (folder / SUMS).is_file():
        unfinished = (folder / CHECKPOINT).is_dir()
        hint = "it holds an unfinished run, go on with --resume" if unfinished else "a bundle is what `faultcell train` writes"
        raise BundleError(f"{folder} is not a bundle, it has no {SUMS}: {hint}")
    with _bundle_errors(folder):
        lines = [line.partition("  ") for line in _text(folder / SUMS, MOST_SUMS_BYTE).splitlines()]
    listed = {name: digest for digest, _, name in lines}
    for name in FILES:
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name} is missing: the bundle is incomplete, copy or train it again")
        if (folder / name).stat().st_size > MOST_MODEL_BYTE or _sha256(folder / name) != listed.get(name):
            raise BundleError(
                f"{folder / name} was changed after it was written (SHA-256 differs): copy or train the bundle again"
            )


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
        save_file({name: value.clone() for name, value in tensors.items()}, draft / STATE[0])
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
    with _bundle_errors(source):
        if not whole or _text(source / SUMS, MOST_SUMS_BYTE) != sums(source, STATE):
            raise BundleError(f"{source} was changed or is incomplete: delete {folder} and start again")
        header = json.loads(_text(source / STATE[1]))
        if header["key"] != key:
            raise BundleError(
                f"{source} is of a run with other settings or other data: delete {folder} or repeat that run's options"
            )
        step, metrics = int(header["step"]), [dict(line) for line in header["metrics"]]
        shapes = _shapes(source / STATE[0])
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
    """Delete what a stopped run left, so that another begins anew."""
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)


def _restore(state: State, tensors: Mapping[str, Tensor]) -> None:
    state.network.load_state_dict(_under(tensors, "network."))
    state.ema = _under(tensors, "ema.")
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


@contextmanager
def _bundle_errors(folder: Path) -> Iterator[None]:
    """Whatever cannot be read is said in one sentence."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise BundleError(f"{folder} cannot be read as a bundle ({first_line(error, 120)}): train it again") from error


def _text(path: Path, most: int = MOST_TEXT_BYTE) -> str:
    if path.stat().st_size > most:
        raise ValueError(f"{path.name} has more than {most} bytes")
    return path.read_text(encoding="utf-8")


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a file by name, from its header alone."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MOST_HEADER_BYTE:
        raise ValueError(f"{path.name} says that its header has {length} bytes")
    with safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
