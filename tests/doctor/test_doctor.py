"""The doctor finds a sound machine sound, and tells what is broken, in the way, or merely absent; and the shell completes."""

import json
import os
import re
import subprocess
import sys

import pytest

from faultcell import doctor
from faultcell.doctor.installed import by_extra

ALONE = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "TMPDIR")}


def command(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "faultcell", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**ALONE, "OMP_NUM_THREADS": "1", **environment},
    )


def shadowed(folder, **modules):
    """An environment in which these modules are found first."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture(scope="module")
def sound():
    return command("doctor", "--json")


def test_a_sound_machine_is_sound(sound):
    assert sound.returncode == 0, sound.stderr
    found = json.loads(sound.stdout)
    assert found["sound"]
    assert found["problems"] == []
    assert found["trial"]["trained and drew"]
    assert found["packages"]["torch"].startswith(f"{__import__('torch').__version__}".partition("+")[0])
    assert found["processor"]["torch threads"] == 1
    assert found["processor"]["device"].startswith("CPU")
    assert re.search(r": writable, \d", found["space"]["temporary folder"])


def test_its_words_say_the_same(sound):
    found = json.loads(sound.stdout)
    said = doctor.text(found).splitlines()
    assert said[-1] == "all that is needed is sound"
    assert f"  torch: {found['packages']['torch']}" in said
    assert doctor.text(found | {"sound": False, "problems": ["it is broken"]}).splitlines()[-2:] == [
        "problem: it is broken",
        "not sound: see the problems above",
    ]


def test_a_broken_package_is_a_problem_and_ends_with_one(tmp_path):
    found = command("doctor", **shadowed(tmp_path, skorch="raise ImportError('its library is missing')"))
    assert found.returncode == 1
    remedy = 'problem: skorch cannot be imported (its library is missing): run `pip install "faultcell"` again'
    assert remedy in found.stdout.splitlines()
    assert "Traceback" not in found.stdout + found.stderr


def test_what_is_in_the_way_is_a_warning_with_its_remedy(tmp_path):
    broken = shadowed(tmp_path, torchvision="raise RuntimeError('operator torchvision::nms does not exist')")
    found = command("doctor", **broken, POLARS_MAX_THREADS="333")
    assert found.returncode == 0
    warnings = [line for line in found.stdout.splitlines() if line.startswith("warning: ")]
    assert any("polars uses 333 threads on" in line and "set POLARS_MAX_THREADS=" in line for line in warnings)
    assert any("torchvision::nms does not exist" in line and "pip uninstall torchvision" in line for line in warnings)


def test_extras_are_read_from_what_the_distribution_says():
    required = ["torch>=2.6", "pybamm>=26.10; extra == 'sim'", 'onnx>=1.18 ; extra == "onnx"', 'onnxscript; extra == "onnx"']
    assert by_extra(required) == {"sim": ["pybamm"], "onnx": ["onnx", "onnxscript"]}


def test_an_extra_that_is_not_installed_has_its_remedy():
    from faultcell.doctor.installed import state

    assert state("web", ["numpy", "no-such-package"]) == 'missing no-such-package: `pip install "faultcell[web]"`'
    assert state("web", ["numpy"]) == "installed"


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(monkeypatch):
    def fails():
        raise OSError("the disk is gone")

    monkeypatch.setattr(doctor, "CHECKS", {"space": fails, "traps": doctor.CHECKS["traps"]})
    found = doctor.examine()
    assert found["problems"] == ["space: the disk is gone"]
    assert not found["sound"]
    assert "torch build" in found["traps"]


# --- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell):
    found = command("--help", _FAULTCELL_COMPLETE=f"source_{shell}")
    assert found.returncode == 0
    assert "_FAULTCELL_COMPLETE=complete_" in found.stdout
    assert "faultcell" in found.stdout


def test_a_verb_is_completed():
    found = command(_FAULTCELL_COMPLETE="complete_bash", COMP_WORDS="faultcell tr", COMP_CWORD="1")
    assert found.stdout.split() == ["train"]
    option = command(_FAULTCELL_COMPLETE="complete_bash", COMP_WORDS="faultcell export --cl", COMP_CWORD="2")
    assert option.stdout.split() == ["--classifier"]


def test_the_help_says_how_completion_is_installed():
    found = command("--help").stdout
    assert "--install-completion" in found
    assert "--show-completion" in found
