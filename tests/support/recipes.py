"""What pages tell a reader to type, run as they would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment_of():
    """`faultcell` and `python` as a reader types them are those of this environment."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": source}


def run(folder, command):
    done = subprocess.run(command, cwd=folder, env=environment_of(), capture_output=True, text=True, check=False, timeout=880)
    assert done.returncode == 0, done.stderr[-2000:]
