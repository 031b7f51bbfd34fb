"""Every example runs, on few steps, and prints what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# Each with few steps, and a word of what it prints.
RUNS = {
    "balance_curves": (["--steps", "3"], "PR-AUC"),
    "cycler_exports": (["--out", "exports", "--cells", "2"], "SIM-0002.csv"),
    "draw_faults": (["--steps", "3"], "MAE"),
    "train_a_classifier": (["--steps", "3"], "PR-AUC"),
}


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_example_runs(name, tmp_path):
    path, (options, word) = EXAMPLES / f"{name}.py", RUNS[name]
    command = [sys.executable, str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert word in done.stdout
    assert len(path.read_text().splitlines()) < 60
