"""Training runs in MLflow: every loss, every knob, the bundle; a run that fails is marked so."""

import json
import subprocess
import sys

import pytest

from faultcell.augmenter import Augmenter
from faultcell.errors import MissingExtraError, TrainingError
from faultcell.training.tracking import flat, mlflow_logger
from strategies import CONFIG

PACKAGES = ("mlflow", "sqlalchemy", "alembic")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """URI of a database file."""
    for name in PACKAGES:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'faultcell[track]'")
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path / 'runs.db'}"


def runs(uri):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("faultcell").experiment_id])
    return client, sorted(found, key=lambda run: run.info.start_time)


def test_settings_become_one_level():
    assert flat({"a": 1, "net": {"widths": (2, 3), "none": None, "deep": {"x": True}}}) == {
        "a": "1",
        "net.widths": "(2, 3)",
        "net.deep.x": "True",
    }


def test_without_mlflow_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("faultcell.training.tracking.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "faultcell\[track\]"'), mlflow_logger("sqlite:///runs.db"):
        pass


def test_a_run_has_every_loss_every_knob_and_the_bundle(tiny, tmp_path, store):
    with mlflow_logger(store, config=CONFIG, run_name="base") as log:
        model = Augmenter.pretrain(tiny[0], config=CONFIG, on_step=log)
        log.bundle(model.save(tmp_path / "bundle"))
    client, (run,) = runs(store)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "base")
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted(entry.step for entry in history) == list(range(1, CONFIG.train.steps + 1))
    last = next(entry.value for entry in history if entry.step == CONFIG.train.steps)
    assert last == pytest.approx(model.metrics[-1]["loss"])
    assert run.data.params["train.steps"] == str(CONFIG.train.steps)
    assert run.data.params["net.widths"] == str(list(CONFIG.net.widths))
    kept = tmp_path / "mlartifacts" / run.info.run_id / "artifacts" / "bundle"
    assert Augmenter.load(kept).sha256 == model.sha256
    assert not (tmp_path / "mlruns").exists()


def test_a_run_that_fails_is_marked_failed_and_keeps_what_it_logged(tiny, store):
    def stop(step):
        log(step)
        if step.step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), mlflow_logger(store, config=CONFIG) as log:
        Augmenter.pretrain(tiny[0], config=CONFIG, on_step=stop)
    client, (run,) = runs(store)
    assert run.info.status == "FAILED"
    assert len(client.get_metric_history(run.info.run_id, "loss")) >= 25


def test_a_store_that_refuses_is_told_so(tmp_path, store):
    with pytest.raises(TrainingError, match="MLflow cannot log there"), mlflow_logger(f"file://{tmp_path}/mlruns"):
        pass


def test_the_command_line_logs(tiny, tmp_path, store):
    from faultcell.files import write

    write(tiny[0], tmp_path / "normal")
    command = [sys.executable, "-m", "faultcell", "train", "normal", "--out", "base", "--steps", "3", "--json"]
    done = subprocess.run([*command, "--mlflow", store], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    _, (run,) = runs(store)
    assert run.data.params["train.steps"] == "3"
    assert (tmp_path / "mlartifacts" / run.info.run_id / "artifacts" / "bundle" / "config.json").is_file()
    assert json.loads(done.stdout)
