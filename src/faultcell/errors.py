"""The exceptions a user can meet, each one sentence: where, what was found, what was expected, what to do next.

FaultCellError
├── DataError            a file or a curve set is not what it should be            exit code 1
├── BundleError          a model bundle is incomplete, changed or of another kind  exit code 1
├── TrainingError        training cannot go on (no curves left, it diverged)       exit code 1
├── StoppedError         a run was asked to stop, and has left a checkpoint        exit code 130, 143
├── ImplausibleError     a model draws only curves that no cell could have made    exit code 1
├── ExportError          a network cannot be written as ONNX, or differs there     exit code 1
├── MissingExtraError    an optional package is not installed                      exit code 1
└── ConditionError       a request that cannot be met (unknown fault, wrong value) exit code 2

OutOfRangeWarning        a severity outside what the model has seen
LeftOutWarning           faults that a model cannot draw from some normal curves
SeenCellsWarning         scores of cells that the model has seen
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import partial


class FaultCellError(Exception):
    """Base of everything FaultCell raises on purpose."""

    exit_code = 1


class DataError(FaultCellError):
    """A file or a curve set is not what it should be."""


class BundleError(FaultCellError):
    """A model bundle is incomplete, was changed after it was written, or is of another kind."""


class TrainingError(FaultCellError):
    """Training cannot start or go on."""


class StoppedError(FaultCellError):
    """A run was asked to stop by a signal, and has left what it needs to go on.

    Args:
        said: the sentence.
        number: of the signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, said: str, *, number: int) -> None:
        super().__init__(said)
        self.exit_code = 128 + number

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), number=self.exit_code - 128), (str(self),)


class ExportError(FaultCellError):
    """A network cannot be written as ONNX, or gives other numbers there."""


class MissingExtraError(FaultCellError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed: run `pip install "faultcell[{extra}]"` and try again')
        self._named = package, extra

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._named


class ConditionError(FaultCellError):
    """A request that cannot be met: an unknown fault, a value out of its domain, options that exclude each other."""

    exit_code = 2


class ImplausibleError(FaultCellError):
    """A model drew nothing that a cell could have made, however often it was asked."""


class OutOfRangeWarning(UserWarning):
    """A requested severity lies outside what the model has seen: the curve is an extrapolation."""


class LeftOutWarning(UserWarning):
    """From some normal curves a model draws no fault that a cell could have made; they are left out."""


class SeenCellsWarning(UserWarning):
    """Curves are scored on cells that the model which drew them has seen."""


def first_line(error: BaseException, most: int = 160) -> str:
    """Of what somebody else's exception says, at most so many characters; its name where it says nothing."""
    return (str(error).splitlines() or [""])[0][:most] or type(error).__name__


def many(count: int, noun: str) -> str:
    """A number of things: `1 curve`, `2 curves`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def meant(name: object, known: Iterable[object]) -> str:
    """A question for a name that there is not but nearly is; nothing where none is near."""
    near = get_close_matches(str(name), [str(other) for other in known], n=1, cutoff=0.8)
    return f" (did you mean '{near[0]}'?)" if near else ""
