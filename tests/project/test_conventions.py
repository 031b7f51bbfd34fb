"""The code of docs/conventions.md runs as it stands there, in its order, with small models."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import faultcell as fc
from faultcell.files import write
from strategies import CONFIG

TEXT = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text()
NEEDS = {"pandas": "to_pandas", "pybamm": "import pybamm", "datasets": "from datasets", "mlflow": "mlflow_logger"}
ONLINE = re.compile(r".*owner/name.*\n")  # test_hub.py opens one that was downloaded


@pytest.fixture(scope="module")
def known(tiny, tuned):
    """What the reader of that page has by then."""
    return {"fc": fc, "tuned": tuned, "normal": tiny[0], "config": CONFIG}


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL), ids=lambda code: code.split()[-1])
def test_it_runs(code, known, tuned, tmp_path, monkeypatch):
    for package, word in NEEDS.items():
        if word in code and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYBAMM_DISABLE_TELEMETRY", "true")
    write(tuned.draw(fc.grid("overdischarge", peak_deviation_volt=0.3), [1]), "drawn")
    quick = code.replace("FaultAugmenter(", "FaultAugmenter(steps=3, finetune_steps=3, ")
    exec(ONLINE.sub("", quick), known)


def test_what_it_says_of_the_sampler_and_of_pybamm_is_so(known):
    assert len(known["X_more"]) == 400
    assert known["drawn"].shape == (50, 60)
    if find_spec("pybamm") is not None:
        assert known["curves"].labels == ["overdischarge", "normal"]
