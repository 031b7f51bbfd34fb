"""No code runs from a file: nothing is unpickled, compiled or started while files are read, however hostile they are."""

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from faultcell.app.registry import _id
from faultcell.augmenter import Augmenter
from faultcell.bundle import store
from faultcell.curves import Curves
from faultcell.errors import BundleError, DataError
from faultcell.files import ingest, read, write
from faultcell.files.exchange import to_bdf
from strategies import fault_curves

SOURCE = Path(__file__).resolve().parents[2] / "src" / "faultcell"
HERE = Path(__file__).parent
# Modules that make objects, or code, of bytes; and calls that do.
MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "yaml", "cloudpickle", "h5py", "runpy", "code"}
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "execv", "execvp", "literal_eval"}
UNSAFE_LOADS = {"torch.load", "numpy.load", "np.load", "pl.read_database", "pd.read_pickle", "joblib.load"}
WATCHED = ("pickle.find_class", "exec", "compile", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn")


def parsed():
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_the_source_has_no_way_from_bytes_to_code(tally):
    found = []
    files = 0
    for path, tree in parsed():
        files += 1
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: import {name}" for name in names if name.split(".")[0] in MODULES]
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if (isinstance(node.func, ast.Name) and called in CALLS) or (called.startswith("os.") and called[3:] in CALLS):
                    found.append(f"{path.name}: {called}")
                if called in UNSAFE_LOADS and "allow_pickle=False" not in ast.unparse(node):
                    found.append(f"{path.name}: {called}")
                if called.startswith("subprocess.") and "shell=True" in ast.unparse(node):
                    found.append(f"{path.name}: a shell")
    tally("no code: modules searched", files, lost=len(found))
    assert not found


class Gadget:
    """What an unpickler would run."""

    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return os.mkdir, (self.witness,)


def hostile(folder, witness, bundle):
    """Files that would run something if any reader gave them the chance, by name."""
    gadget, made = pickle.dumps(Gadget(witness)), {}
    made["pickle.csv"] = gadget
    made["pickle.parquet"] = b"PAR1" + gadget + b"PAR1"
    made["pickle.mat"] = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + gadget
    made["formula.csv"] = f'Test Time / s,Voltage / V,Current / A\n0,=cmd|"/c mkdir {witness}"!A1,1\n1,3.7,1\n'.encode()
    made["python.toml"] = f"[columns]\nvoltage_volt = \"__import__('os').mkdir('{witness}')\"\n".encode()
    made["yaml.json"] = f'!!python/object/apply:os.mkdir ["{witness}"]'.encode()
    for name, content in made.items():
        (folder / name).write_bytes(content)
    objects = folder / "objects.npz"
    np.savez(objects, allow_pickle=True, voltage=np.array([Gadget(witness)], dtype=object))
    torch.save({"network": Gadget(witness)}, folder / "weights.pt")
    broken = folder / "bundle"
    bundle(broken)
    (broken / store.MODEL).write_bytes((folder / "weights.pt").read_bytes())
    (broken / store.SUMS).write_text(store.sums(broken, store.FILES))
    card = folder / "card"
    bundle(card)
    (card / store.CARD).write_text(
        f'---\nlicense: !!python/object/apply:os.mkdir ["{witness}"]\n---\n<script>alert(1)</script>\n'
    )
    (card / store.SUMS).write_text(store.sums(card, store.FILES))
    return sorted(folder.iterdir())


READ_ALL = """
import sys, json, warnings
sys.path.insert(0, {tests!r})
warnings.simplefilter("ignore")
import faultcell.augmenter, faultcell.files, faultcell.report.describe, faultcell.report
import faultcell.files.cyclers.mapping, faultcell.app.registry
from faultcell.errors import FaultCellError
from faultcell.files import ingest, read
from pathlib import Path
import fastexcel, pyarrow.parquet
events, on = [], False
def watch(event, args):
    if on and event in {watched!r}:
        events.append([event, str(args)[:200]])
sys.addaudithook(watch)
readers = [
    lambda path: ingest([path], lower=2.7, upper=4.2, nominal_capacity_ah=2.0),
    lambda path: read(path),
    lambda path: faultcell.augmenter.Augmenter.load(path),
    lambda path: faultcell.report.describe.facts(path),
    lambda path: faultcell.files.cyclers.mapping.read_mapping(path),
    lambda path: faultcell.files.cyclers.mapping.read_rated(path),
    lambda path: faultcell.report.write_results(path, path.with_suffix(".html")),
    lambda path: faultcell.app.registry.Registry.of([path]),
]
outcomes = []
for path in map(Path, sys.argv[1:]):
    for number, reader in enumerate(readers):
        on = True
        try:
            reader(path)
            said = "read"
        except FaultCellError as error:
            said = "refused"
        except Exception as error:
            said = type(error).__name__ + ": " + str(error)[:200]
        finally:
            on = False
        outcomes.append([path.name, number, said])
print(json.dumps([outcomes, events]))
"""


def test_hostile_files_run_nothing(tuned, tmp_path, tally):
    (tmp_path / "files").mkdir()
    witness = tmp_path / "witness"
    paths = hostile(tmp_path / "files", witness, tuned.save)
    script = READ_ALL.format(tests=str(HERE.parent / "support"), watched=WATCHED)
    command = [sys.executable, "-c", script, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes, events = json.loads(done.stdout.splitlines()[-1])
    # MATLAB files and workbooks are read by a child; libraries compile regular expressions, not files.
    started = [
        event for event in events if not ("_child.py" in event[1] and event[0] in ("subprocess.Popen", "os.posix_spawn"))
    ]
    ran = [event for event in started if event[0] not in ("exec", "compile") or str(tmp_path) in event[1]]
    wrong = [outcome for outcome in outcomes if outcome[2] not in ("read", "refused")]
    tally("no code: hostile files, each to every reader", len(outcomes), lost=len(ran) + len(wrong) + witness.exists())
    assert not witness.exists()
    assert not ran
    assert not wrong


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "__import__('os').system('true')"},
        {"config": {"model": "os.system"}},
        {"config": {"net": {"widths": "range(10)"}}},
        {"config": {"diffusion": {"beta_schedule": "lambda: 0"}}},
        {"profile": {"faults": ["../../etc/passwd"]}},
        {"base_sha256": {"$ref": "file:///etc/passwd"}},
        {"format": "6; import os"},
    ],
)
def test_values_of_a_configuration_are_values(tuned, tmp_path, change):
    tuned.save(tmp_path / "bundle")
    path = tmp_path / "bundle" / store.CONFIG
    config = json.loads(path.read_text())
    for name, value in change.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) and isinstance(config[name], dict) else value
    path.write_text(json.dumps(config))
    (tmp_path / "bundle" / store.SUMS).write_text(store.sums(tmp_path / "bundle", store.FILES))
    with pytest.raises(BundleError):
        Augmenter.load(tmp_path / "bundle")


# --- names are not paths

NAMES = (
    "../../escape",
    "/etc/passwd",
    "a/b",
    "..",
    "C:\\windows\\x",
    "a\0b",
    "=1+1",
    "x" * 300,
    "con",
    ".hidden",
    "$(touch x)",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_cell_never_leaves_the_folder(tmp_path, tally, name):
    curves = fault_curves().take([0])
    named = [table.with_columns(cell_id=pl.lit(name)) for table in (curves.timeseries, curves.halfcycles)]
    out = tmp_path / "in" / "out"
    try:
        left = [path for path in to_bdf(Curves(*named), out) if path.resolve().parent != out.resolve()]
    except DataError:
        left = []
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and out not in path.parents]
    tally("no code: names that look like paths", 1, lost=len(left) + len(outside))
    assert not left
    assert not outside


@pytest.mark.parametrize("name", NAMES)
def test_the_ids_of_bundles_have_no_path_in_them(name):
    assert re.fullmatch(r"[a-z0-9-]{1,48}", _id(Path(name.replace("\0", "")), []))


def test_names_in_sums_are_not_followed(tuned, tmp_path):
    tuned.save(tmp_path / "bundle")
    (tmp_path / "secret").write_text("mine")
    with (tmp_path / "bundle" / store.SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  ../secret\n")
    Augmenter.load(tmp_path / "bundle")  # what is not a file of the bundle is not looked at
    assert (tmp_path / "secret").read_text() == "mine"


def test_a_zip_with_paths_in_it_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        archive.writestr("../../escape.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match="zip archive"):
        ingest([tmp_path / "cells.zip"])
    assert [path.name for path in tmp_path.rglob("*")] == ["cells.zip"]


def test_a_set_with_a_link_in_it_reads_only_tables(tmp_path):
    write(fault_curves(), tmp_path / "set")
    (tmp_path / "set" / "halfcycles.parquet").unlink()
    (tmp_path / "set" / "halfcycles.parquet").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="damaged table"):
        read(tmp_path / "set")
