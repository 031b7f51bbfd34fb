"""A model on disk: a folder of plain files, each with its SHA-256, written whole or not at all.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from faultcell.errors import BundleError, first_line
from faultcell.files.durable.atomic import whole_folder
from faultcell.files.durable.swap import read_at_once, tidy

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
FORMAT = 11  # of what `config.json` holds
STATE = ("state.safetensors", "state.json")
# Configurations of ten thousand cells have a megabyte, headers of a hundred tensors ten kilobytes.
MOST_TEXT_BYTE, MOST_SUMS_BYTE, MOST_HEADER_BYTE, MOST_MODEL_BYTE = 8 * 2**20, 2**16, 2**20, 4 * 2**30
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
    with bundle_errors(folder):
        config, scheduler = (dict(json.loads(bounded_text(folder / name))) for name in (CONFIG, SCHEDULER))
        metrics = [dict(json.loads(line)) for line in bounded_text(folder / METRICS).splitlines()]
        shapes = shapes_in(folder / MODEL)
        if fits is not None:
            fits(folder, config, shapes)
        return Bundle(load((folder / MODEL).read_bytes()), config, scheduler, bounded_text(folder / CARD), metrics)


def verify(folder: Path) -> None:
    """Check every file of a bundle against SHA256SUMS; raises BundleError."""
    if not (folder / SUMS).is_file():
        unfinished = (folder / CHECKPOINT).is_dir()
        hint = "it holds an unfinished run, go on with --resume" if unfinished else "a bundle is what `faultcell train` writes"
        raise BundleError(f"{folder} is not a bundle, it has no {SUMS}: {hint}")
    with bundle_errors(folder):
        lines = [line.partition("  ") for line in bounded_text(folder / SUMS, MOST_SUMS_BYTE).splitlines()]
    listed = {name: digest for digest, _, name in lines}
    for name in FILES:
        if not (folder / name).is_file():
            raise BundleError(f"{folder / name} is missing: the bundle is incomplete, copy or train it again")
        if (folder / name).stat().st_size > MOST_MODEL_BYTE or _sha256(folder / name) != listed.get(name):
            raise BundleError(
                f"{folder / name} was changed after it was written (SHA-256 differs): copy or train the bundle again"
            )


@contextmanager
def bundle_errors(folder: Path) -> Iterator[None]:
    """Whatever cannot be read is said in one sentence."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        raise BundleError(f"{folder} cannot be read as a bundle ({first_line(error, 120)}): train it again") from error


def bounded_text(path: Path, most: int = MOST_TEXT_BYTE) -> str:
    """The text of a file; raises ValueError where it has more bytes than any of its kind needs."""
    if path.stat().st_size > most:
        raise ValueError(f"{path.name} has more than {most} bytes")
    return path.read_text(encoding="utf-8")


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
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
