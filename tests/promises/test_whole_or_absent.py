"""An output is whole or absent, and the previous good one survives: full, broken and read-only disks, SIGTERM, kill -9."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from faultcell.app.registry import Registry
from faultcell.bundle import store
from faultcell.errors import BundleError, DataError
from faultcell.files import curve_set, read, write
from faultcell.files.durable.swap import put
from strategies import fault_curves

HERE = Path(__file__).parent
SUPPORT = str(HERE.parent / "support")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
TOO_BIG = """
import json, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from faultcell.errors import FaultCellError
from faultcell.curves import Curves
from faultcell.files import read, write
from strategies import fault_curves
import os, subprocess
disk, curves, said = Path({disk!r}), fault_curves(), []
write(curves, disk / "set")
def try_again(made):
    try:
        write(made, disk / "set", config={{"padding": "x" * 3_000_000}})
        said.append("done")
    except FaultCellError as error:
        said.append(str(error))
    said.append([len(read(disk / "set")), sorted(entry.name for entry in disk.iterdir())])
try_again(curves)
subprocess.run(["mount", "-o", "remount,ro", {disk!r}], check=True)
try_again(curves)
print(json.dumps(said))
"""


@pytest.fixture(scope="session")
def broken_disk(tmp_path_factory):
    """The library of `disk.c`."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("a disk is made to fail by a library for Linux, which needs a C compiler")
    made = tmp_path_factory.mktemp("disk") / "disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, HERE / "disk.c", "-ldl"], check=True)
    return made


def with_failing_disk(library, folder, *words):
    environment = {**ENVIRONMENT, "LD_PRELOAD": str(library)}
    command = [sys.executable, HERE / "disk.py", folder, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found, tally):
    assert found
    for row in found:
        tally(f"writes: {row['kind']}, {row['error']}", row["injected"], lost=len(row["wrong"]))
    assert not [(row["kind"], row["error"], row["wrong"][:3]) for row in found if row["wrong"]]
    assert all(row["injected"] for row in found)


def test_every_eleventh_operation_of_a_write_fails_or_is_the_last(broken_disk, tmp_path, tally):
    check(with_failing_disk(broken_disk, tmp_path, 11), tally)


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    [
        *("curve set", "stream of curves", "ingested recording", "Battery Data Format, CSV", "Battery Data Format, Parquet"),
        *("scores", "bundle", "checkpoint"),
    ],
)
def test_every_operation_of_a_write_fails_or_is_the_last(broken_disk, tmp_path, tally, kind):
    check(with_failing_disk(broken_disk, tmp_path, 1, kind), tally)


def test_a_disk_that_fills_up_and_one_that_cannot_be_written(tmp_path, tally):
    """A real one: 2 MB of memory, mounted where no other process sees it; then the same, read-only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = TOO_BIG.format(tests=SUPPORT, disk=str(disk))
    mounted = f'mount -t tmpfs -o size=2m none "{disk}" && exec "$0" "$@"'
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("a small disk is mounted in a namespace of its own, which this system does not allow")
    command = ["unshare", "-rm", "sh", "-c", mounted, sys.executable, "-c", script]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    full, after, refused, still = json.loads(done.stdout)
    whole = [len(fault_curves()), ["set"]]
    tally("writes: a disk that fills up, a read-only disk", 2, lost=(after != whole) + (still != whole))
    assert "could not be written (No space left on device)" in full
    assert "could not be written (Read-only file system)" in refused
    assert after == still == whole


def test_a_folder_without_permission_is_one_sentence(tally):
    with tempfile.TemporaryDirectory() as folder:  # the way to that of pytest is closed to others
        os.chmod(folder, 0o755)
        locked = Path(folder) / "locked"
        locked.mkdir(mode=0o555)
        done = locked_out(locked)
        tally("writes: a folder without permission", 1, lost="Permission denied" not in done.stdout)
        assert "scores.json: could not be written (Permission denied)" in done.stdout, done.stderr
        assert list(locked.iterdir()) == []


def locked_out(folder):
    """What one who may not write there is told."""
    script = (
        f"import os, sys; sys.path.insert(0, {str(HERE.parent / 'support')!r})\n"
        "import faultcell.files, strategies\n"
        "from faultcell.errors import DataError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # to root no folder is locked
        f"try: faultcell.files.durable.atomic.write_text({str(folder / 'scores.json')!r}, '1')\n"
        "except DataError as error: print(error)\n"
    )
    return subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=False)


# --- a reader beside a writer


@pytest.fixture
def replaced(tmp_path, monkeypatch):
    """A function that has a folder replaced by another whenever a function of a module has been called, the first times."""

    def call(module, name, *, of, by, times):
        original, left = getattr(module, name), [times]

        def between(*words, **more):
            found = original(*words, **more)
            if left[0]:
                left[0] -= 1
                shutil.copytree(by, tmp_path / "new")
                put(tmp_path / "new", of)
                shutil.rmtree(tmp_path / "new")
            return found

        monkeypatch.setattr(module, name, between)

    return call


def test_what_is_read_of_a_set_that_is_replaced_is_one_or_the_other(tiny, tmp_path, replaced):
    one, other = tiny[1].select(label=["overcharge"]), tiny[1].select(label=["overdischarge"])
    write(one, tmp_path / "set")
    write(other, tmp_path / "other")
    replaced(curve_set, "read_table", of=tmp_path / "set", by=tmp_path / "other", times=1)
    found = read(tmp_path / "set")
    assert (found.labels, len(found.timeseries)) == (other.labels, len(other.timeseries))
    replaced(curve_set, "read_table", of=tmp_path / "set", by=tmp_path / "other", times=99)
    with pytest.raises(DataError, match="was replaced each time it was read"):
        read(tmp_path / "set")


@pytest.mark.parametrize(("name", "which"), [("verify", 1), ("shapes_in", 1), ("read_bundle", 0)])
def test_what_is_read_of_a_bundle_that_is_replaced_is_one_or_the_other(models, tmp_path, replaced, name, which):
    """The other where that happens while it is read, the one where it has been read."""
    for model, folder in zip(models, ("bundle", "other"), strict=True):
        model.save(tmp_path / folder)
    replaced(store, name, of=tmp_path / "bundle", by=tmp_path / "other", times=1)
    entry = Registry.of([tmp_path / "bundle"]).entry("bundle")
    assert entry.facts["model_sha256"] == entry.model.sha256 == models[which].sha256
    assert models[which].sha256 in entry.card
    assert entry.model.profile == models[which].profile
    replaced(store, "verify", of=tmp_path / "bundle", by=tmp_path / "other", times=99)
    with pytest.raises(BundleError, match="was replaced each time it was read"):
        Registry.of([tmp_path / "bundle"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_folder_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="found no such file"):
        read(tmp_path / "pipe")
    with pytest.raises(BundleError, match="is not a bundle"):
        Registry.of([tmp_path / "pipe"])


# --- SIGTERM, at any moment of a command


@pytest.fixture(scope="module")
def place(models, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sigterm")
    models[1].save(folder / "bundle")
    write(tiny[1], folder / "faults")
    write(tiny[0], folder / "normal")
    write(tiny[1].take([0]), folder / "out")
    return folder


def commands(place):
    return {
        "sample": ("sample", place / "bundle", "--like", place / "faults", "--steps", 40, "--out", place / "out"),
        "evaluate": ("evaluate", "--real", place / "faults", "--synthetic", place / "faults", "--out", place / "out.json"),
        "ingest": ("ingest", place / "normal", "--out", place / "out"),
    }


def terminated(words, after=None):
    """A command that gets SIGTERM after so many seconds, or is left to itself; how it ended, and when."""
    command, begun = [sys.executable, "-m", "faultcell", *map(str, words)], time.monotonic()
    running = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if after is not None:
        time.sleep(after)
        running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=120)
    return running.returncode, err, time.monotonic() - begun


@pytest.mark.parametrize(
    ("names", "count"), [(("sample",), 1), pytest.param(("sample", "evaluate", "ingest"), 42, marks=pytest.mark.long)]
)
def test_sigterm_leaves_the_whole_result_or_the_one_before(place, tally, names, count):
    rng, lost, ended = random.Random(count), [], 0
    undisturbed = {name: terminated(commands(place)[name]) for name in names}
    assert {code for code, _, _ in undisturbed.values()} == {0}, undisturbed
    seconds = {name: took for name, (_, _, took) in undisturbed.items()}
    for n in range(3 * count):
        if ended == count:
            break
        name = names[n % len(names)]
        # Every other one in the last part, where the result is written.
        code, err, took = terminated(commands(place)[name], seconds[name] * rng.uniform(0.7 * (n % 2), 1))
        beside = sorted(entry.name for entry in place.iterdir())
        # A library that is being loaded may call Python from C++, which cannot pass the end on and aborts: nothing is lost.
        ends = (0, 143, -signal.SIGTERM, -signal.SIGABRT)
        sound = code in ends and "Traceback" not in err and len(read(place / "out"))
        if "evaluate" in names:
            sound = sound and "synthetic" in json.loads((place / "out.json").read_text())["sources"]
        if not sound or [entry for entry in beside if entry.startswith(".")]:
            lost.append((name, code, err[-300:], beside))
        if code == 0:
            seconds[name] = min(seconds[name], took)
        ended += code != 0
    tally("SIGTERM at a random moment of a command", ended, lost=len(lost))
    assert not lost
    assert ended == count
