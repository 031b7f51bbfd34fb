"""What is said on standard error: by level, by any program's own handlers, and now and then where nobody sees a bar."""

import logging
import subprocess
import sys
import warnings

import pytest

import faultcell as fc
from faultcell.cli import messages
from faultcell.cli.messages import Lines
from faultcell.config import Config, TrainConfig
from faultcell.files import write
from strategies import normal_curves


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("messages") / "normal"
    write(normal_curves(cells=3, cycles=2), folder)
    return folder


@pytest.fixture(autouse=True)
def as_imported(monkeypatch):
    """As in a program that has not run the command line."""
    monkeypatch.setattr(messages.LOGGER, "propagate", True)
    monkeypatch.setattr(messages.LOGGER, "level", logging.NOTSET)
    monkeypatch.setattr(messages.LOGGER, "handlers", [])


def test_the_level_decides_what_is_said(normal, run, tmp_path):
    quiet = run("--log-level", "warning", "train", normal, "--out", tmp_path / "a", "--steps", 2)
    assert (quiet.code, quiet.err) == (0, "")
    told = run("--log-level", "debug", "train", normal, "--out", tmp_path / "b", "--steps", 2)
    assert told.code == 0
    assert "faultcell: debug: training.run: pretrain: step 2 of 2, loss " in told.err
    wrong = run("--log-level", "chatty", "doctor")
    assert wrong.code == 2
    assert "--log-level takes debug, info, warning, error, found 'chatty'" in wrong.err


@pytest.mark.parametrize(("level", "said"), [("WARNING", "faultcell: warning: odd\n"), ("ERROR", "")])
def test_warnings_go_the_same_way(capsys, monkeypatch, level, said):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    messages.begin()
    messages.LOGGER.setLevel(level)
    warnings.showwarning(UserWarning("odd"), UserWarning, "file.py", 1)
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("begun", "total", "said"),
    [
        (0, 80, [f"training: {n} of 80, {80 - n} s left" for n in (10, 20, 30, 40)]),
        (1000, 2000, [f"training: {n} of 2000, {2000 - n} s left" for n in (1010, 1020, 1030, 1040)]),  # resumed
    ],
)
def test_a_line_now_and_then_with_the_time_left(monkeypatch, caplog, begun, total, said):
    clock = [0.0]
    monkeypatch.setattr(messages.time, "monotonic", lambda: clock[0])
    lines = Lines()
    with caplog.at_level(logging.INFO, logger="faultcell"):
        for second in range(41):
            clock[0] = float(second)
            lines("training", begun + second, total)
    assert [record.getMessage() for record in caplog.records] == said


def test_what_is_short_is_silent(caplog):
    with caplog.at_level(logging.INFO, logger="faultcell"):
        Lines()("training", 80, 80)
    assert not caplog.records


def test_a_library_is_silent_until_asked(caplog):
    config = Config(train=TrainConfig(steps=2))
    with caplog.at_level(logging.DEBUG, logger="faultcell"):
        fc.Augmenter.pretrain(normal_curves(cells=3, cycles=2), config=config)
    assert any("pretrain: step 2 of 2" in record.getMessage() for record in caplog.records)
    code = "import logging, faultcell; logging.getLogger('faultcell.x').warning('heard?')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stderr == ""


def test_it_is_said_that_an_earlier_result_is_replaced(normal, run, tmp_path):
    words = ("--log-level", "info", "train", normal, "--out", tmp_path / "base", "--steps", 2)
    said = "the earlier result there will be replaced"
    assert said not in run(*words).err
    assert said in run(*words).err
    again = ("--log-level", "info", "sample", tmp_path / "base", "--fault", "normal", "--c-rate", 1, "--out", tmp_path / "set")
    assert said not in run(*again).err
    found = run(*again)
    assert said in found.err
    assert found.out.startswith(f"1 curve in {tmp_path / 'set'}")
