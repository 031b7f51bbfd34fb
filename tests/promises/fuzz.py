"""Damaged input, read in a process of its own that can be watched and ended: what came of it, in what time and memory.

A `Case` is a file (or folder) and the loader that reads it. `Worker.run` hands it to a child, which answers with one line; a
child that does not answer in time is killed, and the next case gets a new one. Run as a program, this file is that child.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MOST_SECOND = 10.0  # of the processor, in all threads and children: other work on the machine shall not fail a test
KILL_SECOND = 60.0  # on the clock
MOST_BYTE = 10**9
# A child is also ended by the system where it asks for this much address space: the machine shall survive what is tried.
SPACE_BYTE = 12 * 2**30
FRESH_BYTE = 700 * 10**6
TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Case:
    """An input and who reads it.

    Attributes:
        name: enough to make it again: sample, mutation, seed.
        kind: of damage, for the count.
        loader: name of a function of `loaders.LOADERS`.
        path: what is read.
        options: for the loader.
        expect: `any` sound data or a refusal; `refused`; `told`, a refusal or a sentence that the sound file does not get; or
            `same`, the curves of the sound file.
        sound: digest and notes of the sound file, for the last two.
        names: what a refusal must name; the file where empty.
    """

    name: str
    kind: str
    loader: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)
    expect: str = "any"
    sound: tuple[str, tuple[str, ...]] = ("", ())
    names: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a case: `data`, `refused`, `raised`, `hung` or `died`; its words; seconds; peak resident memory in bytes."""

    what: str
    words: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    second: float = 0.0
    byte: int = 0

    def fault(self, case: Case) -> str:
        """What is wrong with it, empty if nothing."""
        if self.what in ("raised", "hung", "died"):
            return f"{self.what}: {self.words}"
        if self.second > MOST_SECOND or self.byte > MOST_BYTE:
            return f"{self.second:.1f} s, {self.byte / 1e6:.0f} MB"
        if self.what == "refused":
            named = (case.names or Path(case.path).name) in self.words
            said = "" if named and "\n" not in self.words else f"a sentence that names no file: {self.words}"
            return f"refused: {self.words}" if case.expect == "same" else said
        return self._silent(case)

    def _silent(self, case: Case) -> str:
        """What is wrong with data that came of it."""
        told = {_without_numbers(note) for note in self.notes} - {_without_numbers(note) for note in case.sound[1]}
        if case.expect == "same" and self.digest != case.sound[0]:
            return "other curves than of the sound file"
        if case.expect == "refused" or (case.expect == "told" and not told and self.digest != case.sound[0]):
            return "taken without a word"
        return ""


def _without_numbers(note: str) -> str:
    return "".join(char for char in note.split(": ", 1)[-1] if not char.isdigit())


class Worker:
    """A child that reads what it is given, and is replaced when it does not end."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self.worst_second = self.worst_byte = 0.0

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, case: Case, second: float = KILL_SECOND) -> Outcome:
        """What comes of a case; the child is killed after so many seconds."""
        child = self._started()
        began = time.monotonic()
        child.stdin.write(json.dumps(asdict(case)) + "\n")
        child.stdin.flush()
        line = _line(child, second)
        if line:
            found = json.loads(line)
            found["notes"] = tuple(found["notes"])
            outcome = Outcome(**found)
        else:
            hung = child.poll() is None
            self._end()
            outcome = Outcome("hung" if hung else "died", f"code {child.returncode}", second=time.monotonic() - began)
        if outcome.byte > FRESH_BYTE:
            self._end()  # what it holds on to would be charged to the next case
        self.worst_second = max(self.worst_second, outcome.second)
        self.worst_byte = max(self.worst_byte, outcome.byte)
        return outcome

    def faults(self, cases: Iterable[Case]) -> tuple[dict[str, int], dict[str, list[str]]]:
        """How many cases of each kind there were, and what was wrong, by kind."""
        count, wrong = dict[str, int](), dict[str, list[str]]()
        for case in cases:
            count[case.kind] = count.get(case.kind, 0) + 1
            fault = self.run(case).fault(case)
            if fault:
                print(f"{case.name} [{case.loader}]: {fault[:300]}", file=sys.stderr, flush=True)
                wrong.setdefault(case.kind, []).append(f"{case.name} [{case.loader}]: {fault}")
        return count, wrong

    def _started(self) -> subprocess.Popen[str]:
        if self._child is None or self._child.poll() is not None:
            paths = [
                str(TESTS / "promises"),
                str(TESTS / "support"),
                str(TESTS.parent / "src"),
                os.environ.get("PYTHONPATH", ""),
            ]
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                "OMP_NUM_THREADS": "1",
                "POLARS_MAX_THREADS": "2",
            }
            self._child = subprocess.Popen(
                [sys.executable, "-W", "ignore", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if os.environ.get("FUZZ_STDERR") else subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            _line(self._child, 60)  # it is ready
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _line(child: subprocess.Popen[str], second: float) -> str:
    """The next line of a child, empty if none comes in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        return child.stdout.readline() if selector.select(second) else ""


# --- the child


def _peak_byte() -> int:
    """Peak resident memory since the last reset, of this process or of a child it waited for."""
    lines = Path("/proc/self/status").read_text().splitlines() if sys.platform == "linux" else []
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), default=0)


def _reset_peak() -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _children_byte() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1024 if sys.platform == "linux" else 1)


def _answer(case: Case) -> Outcome:
    from loaders import LOADERS

    from faultcell.errors import FaultCellError

    before = _children_byte()
    _reset_peak()
    began = _worked_second()
    try:
        digest, notes = LOADERS[case.loader](Path(case.path), **case.options)
        found = Outcome("data", digest=digest, notes=tuple(notes))
    except FaultCellError as error:
        found = Outcome("refused", str(error))
    except BaseException as error:
        import traceback

        place = " < ".join(
            f"{Path(f.filename).name}:{f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__)[-5:])
        )
        found = Outcome("raised", f"{type(error).__name__}: {str(error)[:200]} ({place})")
    after = _children_byte()  # the largest child so far: of this case only where it is larger than those before
    byte = max(_peak_byte(), after if after > before else 0)
    return Outcome(found.what, found.words, found.digest, found.notes, _worked_second() - began, byte)


def _worked_second() -> float:
    """Seconds of the processor so far, with those of children that ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main() -> None:
    """Answer cases, one line each, until there are none."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may write there
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (SPACE_BYTE, SPACE_BYTE))
    except ImportError:
        pass
    import loaders

    loaders.warm()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        found = json.loads(line)
        found["sound"] = (found["sound"][0], tuple(found["sound"][1]))
        print(json.dumps(asdict(_answer(Case(**found)))), file=answers, flush=True)


if __name__ == "__main__":
    main()
