"""What is public is exactly what is listed, importing it costs nothing, and each dependency has one door."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import faultcell

SOURCE = Path(faultcell.__file__).parent
HEAVY = ("torch", "polars", "pybamm", "matplotlib", "diffusers", "scipy", "pyarrow", "numpy")
DOORS = {
    "diffusers": {"models/diffusion.py"},
    "huggingface_hub": {"bundle/hub.py"},
    "matplotlib": {"plotting/figures.py"},
    "mlflow": {"training/tracking.py"},
    "onnx": {"export/graph.py"},
    "onnxruntime": {"export/runtime.py"},
    "pybamm": {"simulate/engine.py"},
    "ray": {"runtime/on_ray.py"},
}
# scipy.io is read in a child process with limits of its own (files/bounded/_child.py).
PICKLES = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def modules():
    return {str(path.relative_to(SOURCE).as_posix()): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}


def for_types(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported(tree):
    """Top-level names of all packages a module imports, at any depth, but for type checking alone."""
    skipped = {id(node) for block in ast.walk(tree) if for_types(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            yield from (part.value.partition(".")[0] for part in node.args if isinstance(part, ast.Constant))


def test_what_is_listed_is_there_once_sorted_and_what_dir_shows():
    names = faultcell.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert len(names) == len(set(names))
    assert set(names) == set(faultcell._HOME)
    assert set(dir(faultcell)) == {*names, "__version__"}
    for name in names:
        assert getattr(faultcell, name) is getattr(sys.modules[f"faultcell.{faultcell._HOME[name]}"], name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'faultcell' has no attribute 'Trainer'"):
        _ = faultcell.Trainer


@pytest.mark.parametrize("module", ["faultcell", "faultcell.cli", "faultcell.errors"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_importing_writes_nothing():
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import faultcell"], capture_output=True, text=True, check=True
    )
    assert (found.stdout, found.stderr) == ("", "")


@pytest.mark.parametrize("package", DOORS)
def test_a_dependency_has_one_door(package):
    assert {name for name, tree in modules().items() if package in imported(tree)} == DOORS[package]


def test_no_pickle_anywhere():
    for name, tree in modules().items():
        assert not PICKLES & set(imported(tree)), name
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, name
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), name
                assert node.value.value is False, name


def test_networks_know_nothing_of_batteries_and_metrics_nothing_of_curves():
    for name, tree in modules().items():
        inside = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        if name.startswith("models/"):
            of_batteries = ("faultcell.curves", "faultcell.files", "faultcell.encoding")
            assert not [module for module in inside if module.startswith(of_batteries)], name
            assert "polars" not in set(imported(tree)), name
        if name.startswith("metrics/"):
            own = ("faultcell.metrics", "faultcell.errors", "faultcell.runtime")
            assert not [module for module in inside if module.startswith("faultcell") and not module.startswith(own)], name


# Home-made words that the field has a standard term for; see docs/concepts.md.
GONE = {
    "Questions",
    "Asked",
    "Known",
    "Neighbours",
    "Expected",
    "fit_scales",
    "Slopes",
    "barred",
    "emptied",
    "pose",
    "Posed",
    "posed",
    "forgetting",
    "Widths",
    "strays",
    "Correction",
    "Frame",
    "Vocabulary",
    "look_at",
    "silence",
    "entrances",
    "learn_from",
    "Told",
    "is_known",
    "refusing",
    "Network",
    "Generative",
    "nothing",
    "walk",
    "certain",
    "lasting",
    "entering",
    "stood",
    "FromKnown",
    "Desk",
    "desk",
    "Shelf",
    "shelf",
    "Dial",
    "dial",
    "Wire",
    "Knob",
    "standing",
    "recognise",
    "drive",
}


def test_names_are_the_fields_words():
    for name, tree in modules().items():
        defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        fields = {
            node.target.id for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        assert not GONE & (defined | parameters | fields), name
        assert Path(name).stem not in {
            "told",
            "apart",
            "sentence",
            "clock",
            "sound",
            "desk",
            "shelf",
            "dial",
            "wire",
            "knobs",
        }, name


def test_lists_of_files_name_those_that_are_there():
    for name, tree in modules().items():
        listed = re.findall(r"(?m)^ *([a-z_0-9]+\.py)\b", ast.get_docstring(tree) or "")
        missing = [file for file in listed if not (SOURCE / name).with_name(file).exists()]
        assert not missing, name


def test_no_more_than_a_dozen_modules_lie_at_the_top():
    assert len(list(SOURCE.glob("*.py"))) <= 12
