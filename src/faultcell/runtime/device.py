"""Where a network computes: the processor, or a GPU if there is one and it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.errors import ConditionError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def device_of(name: str) -> torch.device:
    """The device of a name: `cpu`, `cuda`, or `auto`, a GPU where torch finds one.

    Raises:
        ConditionError: another name, or no GPU that torch can use.
    """
    import torch

    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and not (kind == "cuda" and number.isdecimal())):
        raise ConditionError(f"--device takes {', '.join(DEVICES)}, found '{name}'")
    there = torch.cuda.is_available()
    if kind == "auto":
        return torch.device("cuda" if there else "cpu")
    if kind == "cuda" and not there:
        raise ConditionError(f"there is no GPU that torch {torch.__version__} can use: leave --device out, or give cpu")
    return torch.device(name)
