"""Every notebook runs on few steps and shows pictures; it is kept without outputs, and the site leads to it."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
# What is put in place of the values of the cell tagged `parameters`.
SMALL = {
    "first_faults": {"STEPS": 2, "FINETUNE_STEPS": 2, "CELLS": 12, "FEW": 4, "COUNT": 8},
    "is_it_any_good": {
        **{"STEPS": 2, "FINETUNE_STEPS": 2, "CELLS": 12, "FEW": 4, "SEEDS": 1, "DRAWS": 10},
        "THOROUGH": False,
    },
    "own_cycler_files": {"STEPS": 2, "FINETUNE_STEPS": 2, "CELLS": 3},
}

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def opened(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook):
    """Places of the cells with the parameters."""
    return [place for place, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A folder to run in; nothing is left in the home of who runs the tests."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # that of notebooks
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@each
def test_a_notebook_runs_and_shows_pictures(apart, path):
    notebook = opened(path)
    (place,) = tagged(notebook)
    names = notebook.cells[place].source
    small = "\n".join(f"{name} = {value!r}" for name, value in SMALL[path.stem].items())
    assert all(f"{name} = " in names for name in SMALL[path.stem])
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(small))
    NotebookClient(
        notebook, timeout=600, startup_timeout=300, kernel_name="python3", resources={"metadata": {"path": str(apart)}}
    ).execute()
    shown = [{kind for output in cell.outputs for kind in output.get("data", ())} for cell in code_of(notebook)]
    assert [output for cell in code_of(notebook) for output in cell.outputs if output.output_type == "error"] == []
    assert sum("image/png" in kinds for kinds in shown) >= 2
    silent = [cell.source for cell in code_of(notebook) if not cell.outputs]
    assert silent == [small]


@each
def test_a_notebook_is_kept_without_outputs_and_as_the_others_are(path):
    notebook = opened(path)
    nbformat.validate(notebook)
    assert [cell.source for cell in code_of(notebook) if cell.outputs or cell.execution_count is not None] == []
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook.metadata == {"kernelspec": kernel, "language_info": {"name": "python"}}
    assert len(tagged(notebook)) == 1
    assert f"notebooks/{path.stem}\n" in (ROOT / "docs" / "index.md").read_text()


def test_every_notebook_has_small_parameters():
    assert {path.stem for path in NOTEBOOKS} == set(SMALL)
