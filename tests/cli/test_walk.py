"""The walk of the guide, from one file of a cycler to the page, line by line as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from recipes import environment_of, run
from recorded import real

GUIDE = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
SECTION = GUIDE[GUIDE.index("## From a cycler's export to the page") :]
LINES = re.findall(r"^(?:\.venv/bin/faultcell|make) .*?(?=\s+#|$)", SECTION[: SECTION.index("\n```\n")], re.MULTILINE)


def walked(folder, lines, *, steps=("--steps", "5")):
    """Each line as it is typed, with few steps; what the last one, which serves, says."""
    for line in lines[:-1]:
        words = shlex.split(line)
        more = steps if words[1] in ("train", "finetune") else ()
        run(folder, [sys.executable, "-m", "faultcell", *words[1:], *more])
    command = [sys.executable, "-m", "faultcell", *shlex.split(lines[-1])[1:], "--port", "0", "--json", "--no-open"]
    served = subprocess.Popen(command, cwd=folder, env=environment_of(), stdout=subprocess.PIPE, text=True)
    try:
        said = json.loads("".join(served.stdout.readline() for _ in range(4)))
        with urllib.request.urlopen(said["page"], timeout=300) as answer:
            page = answer.read().decode()
        with urllib.request.urlopen(said["api"] + "/bundles", timeout=300) as answer:
            bundles = json.loads(answer.read())
        served.send_signal(signal.SIGINT)
        assert served.wait(timeout=300) == 0
    finally:
        served.kill()
        served.communicate()
    return page, bundles


def test_the_walk_is_that_of_a_new_machine():
    assert [shlex.split(line)[:2][-1] for line in LINES] == ["install", "ingest", "train", "finetune", "serve"]


def test_from_an_export_to_the_page(tmp_path):
    """An export in the layout of a Neware cycler, of one cell that was over-discharged now and then."""
    pytest.importorskip("nicegui", reason='the page needs pip install "faultcell[app]"')
    example = Path(__file__).parents[2] / "examples" / "cycler_exports.py"
    run(tmp_path, [sys.executable, str(example), "--out", "exports", "--cells", "1"])
    next((tmp_path / "exports").iterdir()).rename(tmp_path / "export.csv")
    page, bundles = walked(tmp_path, LINES[1:])
    assert "FaultCell" in page
    assert "overdischarge" in bundles[0]["has_seen"]


def test_real_export_without_a_fault_comes_to_the_page_too(tmp_path):
    pytest.importorskip("nicegui", reason='the page needs pip install "faultcell[app]"')
    (tmp_path / "export.csv").write_bytes(real("raw/neware_export.csv").read_bytes())
    ingest, train, serve = (next(line for line in LINES if f" {verb} " in line) for verb in ("ingest", "train", "serve"))
    rated = ingest.replace("2.5", "3.9").replace("4.2", "4.7")
    _, bundles = walked(tmp_path, [rated, train, serve.replace("tuned/", "base/")])
    assert list(bundles[0]["has_seen"]) == ["normal charge", "normal discharge"]
