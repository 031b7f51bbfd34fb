"""The paper's preset is the paper's way: even times, nothing expected of known curves, white noise; each by one field."""

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from typer.testing import CliRunner

from faultcell import files
from faultcell.augmenter import Augmenter
from faultcell.cli import app
from faultcell.config import Config, DiffusionConfig, FinetuneConfig, GridConfig, NeighbourConfig, TrainConfig
from faultcell.curves import Condition, severity
from faultcell.curves.conditions import conditions_of
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.encoding.decode import rebuild
from faultcell.encoding.encode import encode
from faultcell.encoding.grid import REST, VOLTAGE
from faultcell.errors import ConditionError
from faultcell.models.diffusion import Diffusion
from faultcell.presets import PRESETS, agreed, budget, finetuning, paper, preset_of
from faultcell.regression.plain_residual import PlainEncoder
from faultcell.training.loop import in_steps, thaw
from strategies import NET, fault_curves, normal_curves

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning")
EVENLY = GridConfig(coordinate="time")


def small(**changes):
    """The paper's preset with a small network and few steps."""
    full = paper()
    sizes = ("patch", "widths", "attention", "heads", "bias_rank", "embedding", "duration_hidden", "expectation_hidden")
    net = full.net.model_copy(update={name: getattr(NET, name) for name in sizes})
    train = full.train.model_copy(update={"epochs": None, "steps": 20, "batch_size": 16, "warmup": 5})
    return full.model_copy(update={"net": net, "train": train, "finetune": None, **changes})


@pytest.fixture(scope="module")
def model():
    knobs = paper().finetune.model_copy(update={"epochs": None, "steps": 10, "batch_size": 16, "warmup": 2})
    normal = normal_curves()
    return Augmenter.pretrain(normal, config=small()).finetune(fault_curves(), normal=normal, config=knobs)


# --- what it is


def test_the_preset_is_what_the_paper_says():
    config = paper()
    assert config.grid.coordinate == "time"
    assert not config.neighbours.expect
    assert config.diffusion.prediction_type == "epsilon"
    assert config.diffusion.beta_schedule == "linear"
    assert config.diffusion.noise_scales == ()
    assert config.net.history_in_curve  # its condition vector: all six severities
    assert not config.net.context_in_curve  # and no more
    assert config.net.bias_rank  # attention with B_c
    assert config.finetune.unfreeze == "progressive3"
    assert (config.train.epochs, config.finetune.epochs) == (200, 200)
    assert preset_of(config) == "paper"
    assert preset_of(Config()) == "default"
    assert set(PRESETS) == {"default", "paper"}


def test_severities_of_the_inactive_fault_are_exactly_zero():
    vocabulary = ConditionEncoder(("overcharge", "overdischarge"))
    values, _ = vocabulary.encode([Condition("overdischarge", 0.3, 5, 100.0), Condition("overcharge", 0.2, 3, 50.0)])
    table = dict(zip(vocabulary.names, values.T, strict=True))
    assert [table[f"high_{name}"][0] for name in ("peak", "count", "seconds")] == [0, 0, 0]
    assert [table[f"low_{name}"][1] for name in ("peak", "count", "seconds")] == [0, 0, 0]
    assert (table["low_peak"][0], table["high_peak"][1]) == (pytest.approx(0.6), pytest.approx(0.4))


def test_even_times_without_neighbours_or_neither():
    with pytest.raises(ValidationError, match=r"neighbours\.expect needs grid\.coordinate = voltage"):
        Config(grid=EVENLY)
    assert Config(grid=EVENLY, neighbours=NeighbourConfig(expect=False)).grid.coordinate == "time"


def test_epochs_become_steps_of_the_curves_there_are():
    assert in_steps(TrainConfig(epochs=200, batch_size=64), 1000).steps == 3125
    assert in_steps(TrainConfig(steps=7), 1000).steps == 7
    assert in_steps(FinetuneConfig(epochs=1, batch_size=64), 3).steps == 1
    told = budget(paper().train, steps=9, seed=4)
    assert (told.steps, told.epochs, told.seed, told.condition_noise) == (9, None, 4, 0.0)
    assert budget(paper().train, steps=None, seed=0).epochs == 200


def test_three_layers_thaw_one_after_the_other_and_no_more():
    groups = [[torch.nn.Linear(1, 1)] for _ in range(6)]
    assert [thaw(groups, unfreeze="progressive3", done=done) for done in (0.0, 0.2, 0.4, 0.6, 1.0)] == [1, 2, 3, 3, 3]
    assert [part[0].weight.requires_grad for part in groups] == [True] * 3 + [False] * 3


# --- the grid


def test_a_curve_at_even_times_is_itself_again():
    curves = severity.complete(fault_curves())
    conditions = conditions_of(curves)
    encoded = encode(curves, conditions, EVENLY)
    assert encoded.usable.all()
    assert np.isnan(encoded.seconds[:, 1]).all()
    assert not encoded.mask[:, REST].any()
    made = rebuild(encoded.values, encoded.seconds, conditions, encoded.mode, EVENLY)
    for rows, one in zip(curves.slices(), made, strict=True):
        loaded = np.abs(curves.column("current_ampere")[rows]) > 0
        time, volt = (curves.column(name)[rows][loaded] for name in ("step_time_second", "voltage_volt"))
        np.testing.assert_allclose(np.diff(one.second), one.second[-1] / (EVENLY.length - 1))
        np.testing.assert_allclose(one.volt, np.interp(one.second, time - time[0], volt), atol=2e-3)


def test_voltages_within_the_limits_are_scaled_to_the_unit_range(model):
    encoded = encode(normal_curves(), conditions_of(normal_curves()), EVENLY)
    scaled = model.encoder.scaler.forward(encoded.values.astype(np.float64), encoded.mode)[:, VOLTAGE]
    assert scaled.min() == pytest.approx(0, abs=1e-6)
    assert scaled.max() == pytest.approx(1, abs=1e-6)
    assert len(np.unique(model.encoder.scaler.mean[0, VOLTAGE])) == 1  # the same at every point


# --- the model


def test_nothing_is_expected_of_neighbours_nor_by_regression(model):
    assert isinstance(model.encoder, PlainEncoder)
    asked = model.encoder.ask([Condition("overdischarge", 0.3), Condition("overdischarge", 0.9)])
    assert not asked.prediction.values.any()
    assert (asked.width == 1).all()
    assert not any(name.startswith("expectation.") for name in model.network.state_dict())


def test_curves_are_drawn_saved_and_drawn_again_the_same(model, tmp_path):
    asked = conditions_of(fault_curves())[:6]
    drawn = model.draw(asked, range(6))
    assert set(np.diff(drawn.offsets)) == {EVENLY.length}
    again = Augmenter.load(model.save(tmp_path / "bundle"))
    assert again.draw(asked, range(6)).timeseries.equals(drawn.timeseries)
    one = again.draw(asked[3:4], [3])
    np.testing.assert_array_equal(one.column("voltage_volt"), drawn.column("voltage_volt")[drawn.offsets[3] : drawn.offsets[4]])
    assert preset_of(again.config.model_copy(update={"net": paper().net})) == "paper"


def test_it_takes_no_reference_and_still_makes_faults_of_normal_curves(model):
    with pytest.raises(ConditionError, match="it takes no reference"):
        model.draw(conditions_of(fault_curves())[:1], [0], reference=normal_curves())
    made = model.augment(normal_curves(), count=8)
    assert len(made) == 8
    assert set(made.halfcycles["source_cell_id"]) <= set(normal_curves().cells)
    assert made.halfcycles["reference_cycle_count"].null_count() == 8


def test_without_the_gate_what_was_drawn_leaves_as_it_is(model):
    """A barely trained network draws what no cell could have made; the paper has nothing against that."""
    assert not model.config.gate
    drawn = model.draw([Condition("overdischarge", 0.4)] * 4, range(4))
    assert (drawn.halfcycles["redraw_count"] == 0).all()


@pytest.mark.parametrize("kind", ["wgan_gp", "timevae"])
def test_baselines_stand_on_the_same_grid(kind):
    base = Augmenter.pretrain(normal_curves(), config=small(model=kind))
    made = base.draw([Condition("normal", step_type="discharge")] * 2, [0, 1])
    assert set(np.diff(made.offsets)) == {EVENLY.length}


# --- the sampler


def test_ddim_comes_to_the_mean_of_a_single_point():
    target = torch.linspace(0, 1, 16)

    def exact(x, t):
        signal, noise = diffusion.signal_and_noise(t)
        return (x - signal[:, None] * target) / noise[:, None]

    diffusion = Diffusion(DiffusionConfig(prediction_type="epsilon", sampler="ddim", num_inference_steps=50))
    noise = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    found = diffusion.sample(exact, noise)
    assert torch.allclose(found, target.expand(3, -1), atol=1e-3)


def test_a_clean_curve_is_never_taken_to_be_beyond_its_bound():
    config = DiffusionConfig(prediction_type="epsilon", sampler="ddim", clip_sample_range=0.5, num_inference_steps=10)
    found = Diffusion(config).sample(lambda x, t: torch.zeros_like(x), torch.full((1, 4), 3.0))
    assert found.abs().max() <= 0.5 + 1e-6


# --- names


def test_a_preset_that_is_not_the_model_s_is_refused():
    assert agreed(Config(), None) == "default"
    assert agreed(Config(gate=False), None) is None
    with pytest.raises(ConditionError, match="was made with the preset 'default', not with 'paper'"):
        agreed(Config(), "paper")
    with pytest.raises(ConditionError, match="there is no preset 'papers': there are default, paper"):
        agreed(Config(), "papers")
    assert finetuning(paper()).unfreeze == "progressive3"
    assert finetuning(Config()) == FinetuneConfig() == finetuning(Config(gate=False))


def test_the_command_line_knows_it(tmp_path):
    runner = CliRunner()
    files.write(normal_curves(), tmp_path / "normal")
    files.write(fault_curves(), tmp_path / "few")

    def call(*words):
        return runner.invoke(app, [str(word) for word in words])

    made = call("train", tmp_path / "normal", "--out", tmp_path / "base", "--preset", "paper", "--steps", 3)
    assert made.exit_code == 0, made.output
    made = call("finetune", tmp_path / "base", tmp_path / "few", "--out", tmp_path / "own", "--preset", "paper", "--steps", 2)
    assert made.exit_code == 0, made.output
    kept = json.loads((tmp_path / "own" / "config.json").read_text())["config"]
    assert (kept["finetune"]["unfreeze"], kept["finetune"]["condition_noise"]) == ("progressive3", 0.0)
    ask = ("--fault", "overdischarge", "--peak-deviation-volt", 0.3, "--count", 3)
    made = call("sample", tmp_path / "own", *ask, "--out", tmp_path / "drawn", "--preset", "paper", "--steps", 4)
    assert made.exit_code == 0, made.output
    said = json.loads((tmp_path / "drawn" / "config.json").read_text())
    assert (said["preset"], said["gate"]) == ("paper", False)
    refused = call("sample", tmp_path / "own", *ask, "--out", tmp_path / "other", "--preset", "default")
    assert refused.exit_code != 0
    assert not (tmp_path / "other").exists()
    refused = call("train", tmp_path / "normal", "--out", tmp_path / "no", "--preset", "papers")
    assert refused.exit_code != 0
