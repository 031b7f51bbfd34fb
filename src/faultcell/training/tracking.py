"""Training runs in MLflow (extra `track`): losses in batches, every knob, the bundle as an artefact. Telemetry is off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from faultcell.errors import MissingExtraError, TrainingError, first_line
from faultcell.training.loop import Step

EXPERIMENT = "faultcell"
EVERY = 25  # steps that are sent together: one by one they take longer than training
SQLITE = "sqlite:///"
Result = TypeVar("Result")


class MlflowLog:
    """One run: call it after each step (`on_step`), and with the bundle when it is saved. `mlflow_logger` makes it.

    Args:
        client: MLflow's.
        run_id: of the run.
        uri: of the store, for messages.
    """

    def __init__(self, client: Any, run_id: str, uri: str) -> None:
        self.run_id = run_id
        self._client, self._uri = client, uri
        self._kept: list[Any] = []

    def __call__(self, step: Step) -> None:
        """Keep the losses of a step, and send what is kept every so often."""
        from mlflow.entities import Metric

        values = {"loss": step.loss, "gradient_norm": step.gradient_norm, "thawed_groups": float(step.thawed)}
        values |= {f"loss_{name}": value for name, value in step.losses.items() if len(step.losses) > 1}
        now = int(1000 * time.time())
        self._kept += [Metric(name, value, now, step.step) for name, value in values.items()]
        if step.step % EVERY == 0 or step.step == step.steps:
            self.send()

    def send(self) -> None:
        """Send what is kept."""
        kept, self._kept = self._kept, []
        if kept:
            _done(self._uri, lambda: self._client.log_batch(self.run_id, metrics=kept))

    def params(self, config: BaseModel) -> None:
        """Send every knob, under its path: `net.widths`."""
        from mlflow.entities import Param

        sent = [Param(name, value) for name, value in flat(config.model_dump(mode="json")).items()]
        _done(self._uri, lambda: self._client.log_batch(self.run_id, params=sent))

    def bundle(self, folder: Path) -> None:
        """Send the files of a saved bundle, as the artefact `bundle`."""
        _done(self._uri, lambda: self._client.log_artifacts(self.run_id, str(folder), "bundle"))


@contextmanager
def mlflow_logger(
    uri: str, *, config: BaseModel | None = None, experiment: str = EXPERIMENT, run_name: str | None = None
) -> Iterator[MlflowLog]:
    """An MLflow run that lasts as long as the block, and is marked failed where the block fails.

    Args:
        uri: address of a server (`http://...`), or a database file (`sqlite:///runs.db`), which is made where there is none;
            artefacts are then kept beside it, in `mlartifacts`.
        config: knobs to log.
        experiment: its name; made where there is none.
        run_name: of the run; MLflow thinks of one where not given.

    Yields:
        What takes steps and the bundle.

    Raises:
        MissingExtraError: MLflow is not installed.
        TrainingError: it cannot be reached, or refuses.
    """
    needed = ("mlflow", "sqlalchemy", "alembic") if uri.startswith(SQLITE) else ("mlflow",)
    for package in needed:
        if find_spec(package) is None:
            raise MissingExtraError(package, "track")
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when it is loaded
    from mlflow import MlflowClient

    client = _done(uri, lambda: MlflowClient(tracking_uri=uri))
    run = _done(uri, lambda: client.create_run(_experiment(client, experiment, uri), run_name=run_name))
    log = MlflowLog(client, run.info.run_id, uri)
    status = "FAILED"
    try:
        if config is not None:
            log.params(config)
        yield log
        log.send()
        status = "FINISHED"
    finally:
        _done(uri, lambda: client.set_terminated(log.run_id, status))


def flat(values: dict[str, Any], *, under: str = "") -> dict[str, str]:
    """Nested settings as one level of text, each under its path; what is not set is left out."""
    found = dict[str, str]()
    for name, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, under=f"{under}{name}.")
        elif value is not None:
            found[under + name] = str(value)
    return found


def _experiment(client: Any, name: str, uri: str) -> str:
    """Its id."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    beside = Path(uri.removeprefix(SQLITE)).resolve().parent / "mlartifacts"
    return str(client.create_experiment(name, artifact_location=beside.as_uri() if uri.startswith(SQLITE) else None))


def _done(uri: str, call: Callable[[], Result]) -> Result:
    """What a call of MLflow gives; its errors as one sentence."""
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException as error:
        raise TrainingError(
            f"{uri}: MLflow cannot log there ({first_line(error)}): "
            "give the address of a server, or sqlite:///runs.db; --resume goes on"
        ) from error
