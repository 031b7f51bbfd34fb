"""Every example runs, on few steps, and prints what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROMISED = {"balance_curves": "PR-AUC"}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path):
    done = subprocess.run([sys.executable, str(path), "--steps", "3"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert PROMISED.get(path.stem, "MAE") in done.stdout
    assert len(path.read_text().splitlines()) < 60
