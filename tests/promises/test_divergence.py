"""Training that diverges stops, with the last good checkpoint and a sentence why."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from faultcell.augmenter import Augmenter
from faultcell.config import Config, TrainConfig
from faultcell.curves import Curves
from faultcell.errors import TrainingError
from faultcell.training import run
from faultcell.training.loop import train
from strategies import CONFIG

KINDS = ("diffusion", "wgan_gp", "timevae", "timegan")


def sound(folder):
    """Whether the checkpoint in a folder holds finite numbers alone."""
    from safetensors.torch import load_file

    return all(torch.isfinite(value).all() for value in load_file(folder / "checkpoint" / "state.safetensors").values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_learning_rate_that_is_far_too_large_is_named(tiny, kind, tally):
    config = CONFIG.model_copy(
        update={"model": kind, "train": TrainConfig(steps=80, learning_rate=1e3, warmup=1, batch_size=16)}
    )
    with pytest.raises(TrainingError, match=r"training diverged at step \d+, .* is .*: lower the learning rate, 1000 now"):
        Augmenter.pretrain(tiny[0], config=config)
    tally("divergence: a learning rate of 1e3", 1)


def poisoned(monkeypatch, at, spoil):
    """Training that goes wrong at some step."""

    def train_until(state, data, **how):
        for step in train(state, data, **how):
            yield step
            if step.step == at:
                spoil(state)

    monkeypatch.setattr(run, "train", train_until)


def to_infinity(state):
    with torch.no_grad():
        next(state.network.parameters()).fill_(float("inf"))


def to_huge(state):
    with torch.no_grad():
        for value in state.network.parameters():
            value.mul_(1e4)


@pytest.mark.parametrize("spoil", [to_infinity, to_huge])
def test_the_last_good_checkpoint_is_kept_and_named_and_goes_on(tiny, models, tmp_path, monkeypatch, spoil, tally):
    with monkeypatch.context() as patched:
        poisoned(patched, 47, spoil)
        with pytest.raises(
            TrainingError, match=rf"diverged at step 48, .*the last good state, after step 40, is kept in {tmp_path}"
        ):
            Augmenter.pretrain(tiny[0], config=CONFIG, folder=tmp_path)
    assert json.loads((tmp_path / "checkpoint" / "state.json").read_text())["step"] == 40
    tally("divergence: weights spoilt between two steps", 1, lost=int(not sound(tmp_path)))
    assert sound(tmp_path)
    assert Augmenter.pretrain(tiny[0], config=CONFIG, folder=tmp_path).sha256 == models[0].sha256


def test_a_gradient_that_overflows_never_reaches_the_weights(tiny, monkeypatch, tally):
    """A finite loss whose gradient is not: the optimiser would have spoilt the weights before any loss could tell."""
    from faultcell.models.diffusion_model import DiffusionModel

    def overflowing(value):
        return float("inf") * value

    loss = DiffusionModel.loss

    def spoilt(self, batch, generator):
        found = loss(self, batch, generator)
        found.register_hook(overflowing)
        return found

    monkeypatch.setattr(DiffusionModel, "loss", spoilt)
    with pytest.raises(TrainingError, match=r"diverged at step 1, the gradient's norm is (nan|inf)"):
        Augmenter.pretrain(tiny[0], config=CONFIG)
    tally("divergence: a gradient that overflows", 1)


def test_an_overflow_in_half_precision_is_found(tiny, tmp_path, tally):
    """Nothing here trains in bfloat16; who does it with `torch.autocast` gets the same sentence, and no spoilt model."""
    config = Config(net=CONFIG.net, train=TrainConfig(steps=40, batch_size=16, warmup=1, checkpoint_every=1, learning_rate=5.0))
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TrainingError, match="training diverged at step"):
        Augmenter.pretrain(tiny[0], config=config, folder=tmp_path)
    tally("divergence: bfloat16", 1, lost=int((tmp_path / "checkpoint").exists() and not sound(tmp_path)))
    assert not (tmp_path / "checkpoint").exists() or sound(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("voltage_volt", np.nan), ("current_ampere", np.inf), ("step_time_second", np.nan)]
)
def test_a_reading_that_is_not_finite_is_named_before_training(tiny, models, name, value, tally):
    place = pl.int_range(pl.len()) == 100
    series = tiny[0].timeseries.with_columns(pl.when(place).then(value).otherwise(pl.col(name)).alias(name))
    broken = Curves(series, tiny[0].halfcycles)
    key = series.row(100, named=True)
    said = rf"cell {key['cell_id']}, cycle {key['cycle_count']}, {key['step_type']}: found {name} that is not finite"
    for learn in (
        lambda: Augmenter.pretrain(broken, config=CONFIG),
        lambda: models[0].finetune(tiny[1], normal=broken),
    ):
        with pytest.raises(TrainingError, match=said):
            learn()
        tally("divergence: readings that are not finite", 1)
