"""What several test files share: one thread, a tiny curve set, a tiny pre-trained model and its fine-tuned child."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded
os.environ["FAULTCELL_LOG_LEVEL"] = "warning"  # a slow machine would see lines of progress
os.environ["HF_HUB_OFFLINE"] = "1"  # `datasets` counts what it opens
# Offline, with every process that tests start; see there.
OFFLINE = str(Path(__file__).with_name("offline"))
if OFFLINE not in os.environ.get("PYTHONPATH", ""):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [OFFLINE, os.environ.get("PYTHONPATH")]))
    os.environ["FAULTCELL_OFFLINE_NOTES"] = tempfile.mkstemp(prefix="faultcell-offline-")[1]
if "sitecustomize" not in sys.modules or not hasattr(sys.modules["sitecustomize"], "NOTES"):
    sys.path.insert(0, OFFLINE)
    sys.modules.pop("sitecustomize", None)
    import sitecustomize  # noqa: F401
settings.register_profile("faultcell", deadline=None)
settings.load_profile("faultcell")


_sockets = Counter()  # made so far


def _count_sockets(event, _):
    if event == "socket.__new__":
        _sockets["made"] += 1


sys.addaudithook(_count_sockets)


def _no_socket_is_left_open():
    """What a test leaves open is collected while it still runs, so that the ResourceWarning, an error, is its own."""
    before = _sockets["made"]
    yield
    if _sockets["made"] > before:
        gc.collect()


no_socket_is_left_open = pytest.fixture(autouse=True)(_no_socket_is_left_open)
no_socket_is_left_open_by_a_module = pytest.fixture(scope="module", autouse=True)(_no_socket_is_left_open)


@pytest.fixture(scope="session")
def tiny():
    """(normal curves, fault curves)."""
    from strategies import fault_curves, normal_curves

    return normal_curves(), fault_curves()


@pytest.fixture(scope="session")
def models(tiny):
    """(pre-trained, fine-tuned): a handful of steps, enough to draw from."""
    from faultcell.augmenter import Augmenter
    from strategies import CONFIG, FINETUNE

    normal, faults = tiny
    base = Augmenter.pretrain(normal, config=CONFIG)
    return base, base.finetune(faults, normal=normal, config=FINETUNE)


@pytest.fixture(scope="session")
def tuned(models):
    return models[1]


class Done(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process."""
    from faultcell import cli

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["faultcell", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Done(end.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def tally(record_property):
    """Say how many faults a test injected, and after how many of them something was lost or wrong: `tally(what, n, lost=0)`.

    Call it before the assertion that there is none. The figures of a run are printed at its end.
    """

    def count(what, injected, *, lost=0):
        record_property("faults", [what, int(injected), int(lost)])  # what xdist can send

    return count


def pytest_sessionfinish(session):
    notes = Path(os.environ["FAULTCELL_OFFLINE_NOTES"])
    if hasattr(session.config, "workerinput") or not notes.exists():
        return
    attempts = notes.read_text(encoding="utf-8")
    notes.unlink()
    if attempts:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\ntried to leave this machine:\n{attempts}")


def pytest_terminal_summary(terminalreporter):
    injected, lost = Counter(), Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == "faults":
                    injected[value[0]] += value[1]
                    lost[value[0]] += value[2]
    if injected:
        terminalreporter.section("faults injected")
        for what in sorted(injected):
            terminalreporter.write_line(f"{what:<72} {injected[what]:>7}  lost {lost[what]}")
