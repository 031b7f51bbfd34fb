"""Files read in a process of their own, with limits on time and memory.

Some libraries hang on a damaged file, or take all memory; a process of its own can be ended. See `_child.py`.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faultcell.files.bounded import _child

MEBIBYTE = 1024**2
# Seconds on the clock for one of the processor: other work may have the rest.
PATIENCE = 4.0


class ApartError(Exception):
    """A file could not be read: why, in some words."""


@dataclass(frozen=True)
class Allowance:
    """What reading a file may take: memory in bytes and seconds of the processor, at least and for each byte."""

    byte: int
    byte_each: float
    second: float
    second_each: float

    def of(self, size: int) -> tuple[int, float]:
        """Bytes and seconds for a file of so many bytes."""
        return int(self.byte + self.byte_each * size), self.second + self.second_each * size


@contextmanager
def read_apart(path: Path, kind: str, *, size: int, allowance: Allowance) -> Iterator[Path]:
    """The folder in which a child of that kind has left what is in a file.

    Args:
        path: the file.
        kind: one of `_child.LOADERS`.
        size: bytes of it, unpacked.
        allowance: what reading may take.

    Raises:
        ApartError: it cannot be read, or not within these limits.
    """
    with tempfile.TemporaryDirectory(prefix="faultcell-") as folder:
        byte, second = allowance.of(size)
        _run([kind, os.path.abspath(path), folder, str(byte), str(max(1, math.ceil(second)))], PATIENCE * second)
        yield Path(folder)


def _run(arguments: list[str], second: float) -> None:
    # -P: the folder of the script is not searched for modules, so nothing in it can shadow a library.
    command = [sys.executable, "-P", _child.__file__, *arguments]
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    try:
        done = subprocess.run(
            command,
            timeout=second,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **one},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ApartError(f"reading it did not end in {second:g} s") from error
    if done.returncode == 1 and (said := done.stderr.strip().splitlines()):
        raise ApartError(said[-1][:200])
    if done.returncode:
        raise ApartError(f"reading it takes more time or memory than such a file may, or broke off with code {done.returncode}")
