"""How long a program waits before anything happens: `import faultcell`, `--help`, and the whole demo, beside bare Python.

python benchmarks/startup.py [--demo 1] [--out JSON]
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import measure

RUNS = 9
COMMANDS = {
    "bare Python": ("-c", "pass"),
    "import faultcell": ("-c", "import faultcell"),
    "faultcell --help": ("-m", "faultcell", "--help"),
    "faultcell sample --help": ("-m", "faultcell", "sample", "--help"),
    "import torch": ("-c", "import torch"),
}


def main() -> None:
    options = measure.arguments(__doc__, demo={"type": int, "default": 0, "help": "1: run the whole demo, too"})
    contenders = {name: run(*words) for name, words in COMMANDS.items()}
    for work in contenders.values():
        work()  # once that does not count
    seconds = measure.in_turn(contenders, runs=RUNS)
    bare = seconds["bare Python"]
    rows: list[measure.Row] = [{"": name, "s": taken, "s beyond bare Python": taken - bare} for name, taken in seconds.items()]
    if options.demo:
        with TemporaryDirectory() as folder:
            taken = run("-m", "faultcell", "demo", "--out", str(Path(folder) / "demo"))()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
        rows.append({"": "faultcell demo", "s": taken, "s beyond bare Python": taken - bare, "GB at most": peak})
    measure.report("Start-up", rows, options)


def run(*words: str) -> Callable[[], float]:
    """A contender: seconds of a whole Python process."""
    command = [sys.executable, *words]
    return lambda: measure.seconds_of(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


if __name__ == "__main__":
    main()
