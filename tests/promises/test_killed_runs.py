"""A run that is killed at any moment, and gone on with, ends as one that was never stopped, to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import faulty
from faultcell.errors import FaultCellError
from faultcell.runtime.workers import spread

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
LONG = pytest.mark.long


def start(kind, folder, count):
    command = [sys.executable, HERE / "runs.py", kind, folder, str(count)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def whole(kind, folder, count):
    """A run to its end; for how long it worked."""
    running = start(kind, folder, count)
    running.stdout.readline()
    begun = time.monotonic()
    _, err = running.communicate(timeout=900)
    assert running.returncode == 0, err[-2000:]
    return time.monotonic() - begun


def killed(kind, folder, count, *, kills, seconds, rng):
    """The same, killed so often on its way; how often it was."""
    done = 0
    while done < kills:
        running = start(kind, folder, count)
        running.stdout.readline()
        time.sleep(rng.uniform(0, seconds))
        running.send_signal(signal.SIGKILL)
        _, err = running.communicate(timeout=900)
        if running.returncode != -signal.SIGKILL:
            assert running.returncode == 0, err[-2000:]
            break
        done += 1
    whole(kind, folder, count)
    return done


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lay(folder, kind, models):
    if kind == "finetune":
        models[0].save(folder / "base")
    return folder


@pytest.mark.parametrize(
    ("kind", "every", "kills"),
    [
        ("pretrain", 1, 1),  # it writes checkpoints most of the time
        *(pytest.param(kind, every, 10, marks=LONG) for kind in ("pretrain", "finetune") for every in (1, 7)),
    ],
)
def test_a_killed_training_ends_to_the_bit_like_one_that_was_not(models, tmp_path, tally, kind, every, kills):
    folder, rng, done = lay(tmp_path, kind, models), random.Random(every), 0
    seconds = whole(kind, folder / "whole", every)
    expected, lost = contents(folder / "whole"), []
    assert {name.split("/")[0] for name in expected} == {"run", "bundle"}
    for turn in range(2 * kills):  # a run that is killed a few times, and another one
        if done >= kills:
            break
        again = folder / f"killed-{turn}"
        count = killed(kind, again, every, kills=min(3, kills - done), seconds=seconds, rng=rng)
        found = contents(again)
        lost += [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        done += count
    tally(f"kill -9 in {'pre-training' if kind == 'pretrain' else 'fine-tuning'}", done, lost=len(lost))
    assert not lost
    assert done >= kills


def results(folder):
    """All that a study found, but for how long it took."""
    found = {"study.json": json.loads((folder / "study" / "study.json").read_text())}
    for path in sorted((folder / "study" / "tables").iterdir()):
        table = pl.read_parquet(path)
        found[path.name] = table.drop([name for name in table.columns if "seconds" in name]).to_dicts()
    for path in sorted((folder / "study" / "models").rglob("model.safetensors")):
        found[str(path.relative_to(folder))] = path.read_bytes()
    for path in sorted((folder / "study" / "drawn").rglob("*.parquet")):
        found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@LONG  # `test_study` stops one in a gentler way
def test_a_killed_study_ends_like_one_that_was_not(tmp_path, tally):
    rng, kills, done, lost = random.Random(0), 20, 0, []
    seconds = whole("study", tmp_path / "whole", 2)
    expected = repr(results(tmp_path / "whole"))  # where NaN is itself
    for turn in range(2 * kills):
        if done >= kills:
            break
        again = tmp_path / f"killed-{turn}"
        count = killed("study", again, 2, kills=min(5, kills - done), seconds=seconds / 4, rng=rng)
        lost += [again.name] * (repr(results(again)) != expected)
        lost += [str(path) for path in again.rglob(".*")]
        done += count
    tally("kill -9 in a study of two processes", done, lost=len(lost))
    assert not lost
    assert done >= kills


@pytest.mark.parametrize(
    "signals", [(signal.SIGTERM,), pytest.param((signal.SIGINT, signal.SIGTERM, signal.SIGINT), marks=LONG)], ids=len
)
def test_sigterm_and_ctrl_c_leave_a_checkpoint_and_say_how_to_go_on(tmp_path, tally, signals):
    out, words = tmp_path / "bundle", ("demo-data", "train")
    data = tmp_path / words[0]
    script = f"import faultcell as fc; fc.write(fc.demo_data().select(label=['normal']).few(60), {str(data)!r})"
    subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, check=True)
    command = [sys.executable, "-m", "faultcell", "train", data, "--steps", "4000", "--out", out, "--resume"]
    steps = []
    for number in signals:
        running = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        before = steps[-1] if steps else 0
        while running.poll() is None and progress(out) <= before:
            time.sleep(0.1)
        running.send_signal(number)
        _, err = running.communicate(timeout=300)
        assert running.returncode == 128 + number
        assert "Traceback" not in err
        assert f"stopped after step {progress(out)} of 4000, which is kept in {out}: go on with --resume" in err
        steps.append(progress(out))
    tally("SIGTERM and Ctrl-C in a training", len(signals), lost=int(steps != sorted(set(steps))))
    assert steps == sorted(set(steps))


def test_a_helper_that_is_killed_ends_the_work_in_one_sentence():
    with pytest.raises(FaultCellError, match="was ended from outside"):
        list(spread(faulty.end_itself, [signal.SIGKILL] * 3, workers=2))


def progress(out):
    """After which step the checkpoint was written."""
    try:
        return json.loads((out / "checkpoint" / "state.json").read_text())["step"]
    except OSError:
        return 0
