"""The wheel that is built from the tree works where nothing of the tree is at hand; `make wheel` installs all it needs, too."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRY = """
import faultcell as fc
from pathlib import Path
assert "site-packages" in fc.__file__, fc.__file__
data = fc.demo_data()
print(len(data), len(data.cells), fc.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("wheel")
    words = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(ROOT))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300)
    (built,) = out.glob("faultcell-*.whl")
    return built


def test_it_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"faultcell"}
    assert "faultcell/py.typed" in names
    assert any(name.endswith("page.css") for name in names)
    assert wheel.stat().st_size < 8e6


def test_it_works_in_an_environment_of_its_own(wheel, tmp_path):
    place = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    install = ("--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=300)
    # What it needs comes from here; the package itself does not: its own folder is looked into first.
    (within,) = place.glob("lib/python*/site-packages")
    (within / "beside.pth").write_text(str(Path(pytest.__file__).parents[1]))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = [
        subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300, check=False)
        for words in ([python, "-c", TRY], [place / "bin" / "faultcell", "--version"])
    ]
    assert [one.returncode for one in said] == [0, 0], said
    assert said[0].stdout.split()[-1] == said[1].stdout.split()[-1]
