"""Frozen is frozen to the bit, a resumed run repeats the bits of an uninterrupted one, and training does train."""

import itertools
import json
import signal
from dataclasses import fields, replace

import polars as pl
import pytest
import torch

from faultcell.augmenter import Augmenter
from faultcell.config import FinetuneConfig, GridConfig, TrainConfig
from faultcell.curves import FAULTS, Curves
from faultcell.curves.fingerprint import fingerprint
from faultcell.encoding.condition_vector import SUPPORT_FEATURES, ConditionEncoder
from faultcell.encoding.network_shape import network_of
from faultcell.errors import BundleError, StoppedError, TrainingError
from faultcell.models.base import Batch
from faultcell.runtime.signals import sigterm_ends
from faultcell.training.loop import State, average, forget, mixed, thaw, train
from strategies import CONFIG, FINETUNE

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
GRID = GridConfig()
VOCABULARY = ConditionEncoder(tuple(FAULTS))
WIDTH = len(VOCABULARY) + len(SUPPORT_FEATURES)
ALWAYS = torch.arange(WIDTH) >= len(VOCABULARY)
NOISY = torch.cat([torch.from_numpy(VOCABULARY.droppable), torch.zeros(len(SUPPORT_FEATURES), dtype=torch.bool)])


def batch(count=32, *, seed=0, length=GRID.length):
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(count, WIDTH, generator=g)
    curve = values[:, :1, None] + torch.linspace(-1, 1, length).expand(count, 4, length)
    return Batch(
        curve=curve,
        mask=torch.ones(count, 4, length, dtype=torch.bool),
        durations=values[:, :2],
        durations_mask=torch.ones(count, 2, dtype=torch.bool),
        values=values,
        flags=torch.ones(count, WIDTH),
        known=curve[:, :1],
        observed=torch.ones(count, 1),
        weight=torch.ones(count),
    )


def state(config, seed=0):
    torch.manual_seed(seed)
    return State.start(network_of(CONFIG, VOCABULARY.faults), config)


def run(begun, data, config, **kwargs):
    kwargs.setdefault("noisy", NOISY)
    return train(begun, data, config=config, **kwargs)


def copied(tensors):
    return {name: value.clone() for name, value in tensors.items()}


def group_of(network):
    """Name of each parameter -> its thaw group."""
    place = {id(value): i for i, group in enumerate(network.groups()) for part in group for value in part.parameters()}
    return {name: place[id(value)] for name, value in network.named_parameters()}


def changed(before, after):
    """What is not the same to the bit; what is unknown, NaN, is the same as itself."""
    return {name for name, value in before.items() if not torch.allclose(value, after[name], rtol=0, atol=0, equal_nan=True)}


# --- thawing


@pytest.mark.parametrize(("unfreeze", "count"), [("last", 1), ("last3", 3), ("all", 7)])
def test_what_is_frozen_stays_the_same_to_the_bit(unfreeze, count):
    config = TrainConfig(steps=4, batch_size=8, warmup=0, weight_decay=0.5)
    begun = state(config)
    weights, averages = copied(begun.network.state_dict()), copied(begun.ema)
    assert [step.thawed for step in run(begun, [batch()], config, unfreeze=unfreeze)] == [count] * 4
    groups = group_of(begun.network)
    thawed = {name for name, group in groups.items() if group < count}
    assert changed(weights, begun.network.state_dict()) == thawed
    assert changed(averages, begun.ema) == thawed


def test_progressive_thaws_from_the_output_inwards():
    config = TrainConfig(steps=14, batch_size=8, warmup=0)
    begun = state(config)
    groups, weights, thawed = group_of(begun.network), copied(begun.network.state_dict()), []
    for step in run(begun, [batch()], config, unfreeze="progressive"):
        thawed.append(step.thawed)
        moved = changed(weights, begun.network.state_dict())
        assert {groups[name] for name in moved} == set(range(step.thawed))
    assert thawed == [min(7, 1 + i) for i in range(14)]  # all learn from the middle of the run on


def test_thaw_freezes_again_what_is_not_due():
    network = state(TrainConfig()).network
    assert thaw(network.groups(), unfreeze="all", done=0) == 7
    assert thaw(network.groups(), unfreeze="progressive", done=0.99) == 7
    assert thaw(network.groups(), unfreeze="last", done=0.99) == 1
    assert {value.requires_grad for value in network.groups()[1][0].parameters()} == {False}


# --- the loop


def test_the_loss_decreases():
    config = TrainConfig(steps=150, batch_size=16, learning_rate=3e-3, warmup=10)
    losses = [step.loss for step in run(state(config), [batch(16)], config)]
    assert sum(losses[-30:]) < 0.7 * sum(losses[:30])


def test_a_run_is_a_function_of_its_seed():
    def weights(seed):
        config = TrainConfig(steps=3, batch_size=8, seed=seed)
        begun = state(config)
        list(run(begun, [batch()], config))
        return begun.ema

    assert not changed(weights(1), weights(1))
    assert changed(weights(1), weights(2))


def test_a_step_that_was_stopped_and_gone_on_from_changes_nothing():
    config = TrainConfig(steps=6, batch_size=8)
    whole, halves = state(config), state(config)
    list(run(whole, [batch()], config))
    list(itertools.islice(run(halves, [batch()], config), 2))
    assert halves.step == 2
    list(run(halves, [batch()], config))
    assert not changed(whole.ema, halves.ema)


@pytest.mark.parametrize("name", ["curve", "durations", "values"])
def test_data_that_are_not_finite_stop_the_run_before_the_weights_are_spoilt(name):
    config = TrainConfig(steps=3, batch_size=8)
    broken = batch()
    broken = replace(broken, **{name: torch.full_like(getattr(broken, name), float("nan"))})
    begun = state(config)
    with pytest.raises(TrainingError, match="diverged at step 1, the loss is nan"):
        list(run(begun, [broken], config))
    assert all(torch.isfinite(value).all() for value in begun.network.state_dict().values())


def test_masked_values_do_not_count():
    config = TrainConfig(steps=2, batch_size=8)
    data = batch()
    half = torch.zeros_like(data.mask)
    half[..., :50] = True
    a, b = state(config), state(config)
    losses = [step.loss for step in run(a, [replace(data, mask=half)], config)]
    assert losses == [step.loss for step in run(b, [replace(data, mask=half)], config)]
    nothing = replace(data, mask=torch.zeros_like(data.mask), durations_mask=torch.zeros_like(data.durations_mask))
    assert [step.loss for step in run(state(config), [nothing], config)] == [0.0, 0.0]


def test_an_empty_set_is_refused():
    config = TrainConfig(steps=3)
    with pytest.raises(TrainingError, match="no curve is left to train on"):
        list(run(state(config), [batch(), batch(0)], config))


def test_the_average_follows_the_weights():
    network = torch.nn.Linear(1, 1, bias=False)
    ema = {"weight": torch.tensor([[1.0]])}
    with torch.no_grad():
        network.weight.fill_(2.0)
    average(ema, network, 0.9)
    assert ema["weight"].item() == pytest.approx(1.1)


def test_a_mixture_takes_an_equal_share_of_each_set():
    a, b = batch(5), batch(500, seed=1)
    both = mixed([replace(a, weight=a.weight * 7), b], 64, torch.Generator().manual_seed(0))
    assert (both.weight == 7).sum() == (both.weight == 1).sum() == 32


# --- forgetting


def forgotten(before, seed=0, **config):
    return forget(before, TrainConfig(**config), NOISY, ALWAYS, torch.Generator().manual_seed(seed))


def test_forget_drops_all_conditions_at_the_configured_rate_but_what_is_always_known():
    before = batch(40_000, length=1)
    after = forgotten(before, drop_condition=0.1, drop_known=0.5, condition_noise=0.05)
    kept = after.flags.bool()
    nothing = ~kept[:, ~ALWAYS].any(dim=1)
    assert nothing.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert kept[~nothing].all()  # never one condition alone
    assert kept[:, ALWAYS].all()
    assert after.observed[~nothing].mean().item() == pytest.approx(0.5, abs=0.01)
    assert (after.observed[nothing] == 0).all()
    assert (after.values[~kept] == 0).all()
    assert torch.equal(after.values[~nothing][:, ~NOISY], before.values[~nothing][:, ~NOISY])
    assert torch.equal(after.values[:, ALWAYS], before.values[:, ALWAYS])
    difference = (after.values - before.values)[:, NOISY][kept[:, NOISY]]
    assert difference.std().item() == pytest.approx(0.05, rel=0.02)
    untouched = {field.name for field in fields(Batch)} - {"values", "flags", "observed"}
    assert all(getattr(after, name) is getattr(before, name) for name in untouched)


def test_what_is_zero_or_unknown_gets_no_noise():
    before = batch(50, length=1)
    before.values[:, 1::2] = 0.0
    before.flags[:20] = 0.0
    after = forgotten(before, drop_condition=0, condition_noise=0.5)
    assert (after.values[:, 1::2] == 0).all()
    assert (after.values[:20] == 0).all()
    assert (after.flags[:20] == 0).all()  # and nothing unknown is made known again
    assert (after.values[20:, ::2] != before.values[20:, ::2]).any()


def test_forgetting_nothing_changes_nothing():
    before = batch(50, length=1)
    after = forgotten(before, drop_condition=0, drop_known=0, condition_noise=0)
    assert all(torch.equal(getattr(after, field.name), getattr(before, field.name)) for field in fields(Batch))


def test_what_gets_noise_is_the_past_and_the_context():
    names = {name for name, may in zip(VOCABULARY.names, VOCABULARY.droppable, strict=True) if may}
    assert names.isdisjoint({*FAULTS, "charge", "discharge", "high_peak", "low_peak"})
    assert {"c_rate", "health", "high_count", "low_seconds"} <= names


# --- resuming


def stop_at(step):
    def on_step(done):
        if done.step == step:
            raise KeyboardInterrupt

    return on_step


@pytest.mark.parametrize("stop", [3, 20, 45])
def test_a_resumed_pre_training_repeats_the_bits_of_an_uninterrupted_one(tiny, models, tmp_path, stop):
    with pytest.raises(KeyboardInterrupt):
        Augmenter.pretrain(tiny[0], config=CONFIG, folder=tmp_path, on_step=stop_at(stop))
    assert (tmp_path / "checkpoint").exists() == (stop >= 20)
    seen = []
    again = Augmenter.pretrain(tiny[0], config=CONFIG, folder=tmp_path, on_step=lambda s: seen.append(s.step))
    assert seen[0] == 20 * (stop // 20) + 1
    assert not changed(models[0].tensors, again.tensors)
    assert again.sha256 == models[0].sha256
    assert again.metrics == models[0].metrics


def test_a_resumed_fine_tuning_repeats_the_bits_of_an_uninterrupted_one(tiny, models, tmp_path):
    normal, faults = tiny
    base, whole = models
    with pytest.raises(KeyboardInterrupt):
        base.finetune(faults, normal=normal, config=FINETUNE, folder=tmp_path, on_step=stop_at(17))
    again = base.finetune(faults, normal=normal, config=FINETUNE, folder=tmp_path)
    assert not changed(whole.tensors, again.tensors)
    assert again.metrics == whole.metrics


@pytest.fixture
def stopped(tiny, models, tmp_path):
    """A folder with a stopped fine-tuning."""
    with pytest.raises(KeyboardInterrupt):
        models[0].finetune(tiny[1], normal=tiny[0], config=FINETUNE, folder=tmp_path, on_step=stop_at(12))
    return tmp_path


@pytest.mark.parametrize("other", [{"steps": 31}, {"seed": 1}, {"unfreeze": "last"}, {"lambda_source": 0.5}])
def test_a_run_goes_on_only_with_its_own_settings(tiny, models, stopped, other):
    config = FinetuneConfig(**{**FINETUNE.model_dump(), **other})
    with pytest.raises(BundleError, match="other settings or other data"):
        models[0].finetune(tiny[1], normal=tiny[0], config=config, folder=stopped)


def test_a_run_goes_on_only_with_its_own_faults_and_its_own_base(tiny, models, stopped):
    with pytest.raises(BundleError, match="other settings or other data"):
        models[0].finetune(tiny[1].few(5), normal=tiny[0], config=FINETUNE, folder=stopped)
    with pytest.raises(BundleError, match="other settings or other data"):
        models[1].finetune(tiny[1], normal=tiny[0], config=FINETUNE, folder=stopped)


@pytest.mark.parametrize("normal", ["none", "fewer"])
def test_a_run_goes_on_only_with_its_own_source_curves(tiny, models, stopped, normal):
    other = None if normal == "none" else tiny[0].few(5)
    with pytest.raises(BundleError, match="other settings or other data"):
        models[0].finetune(tiny[1], normal=other, config=FINETUNE, folder=stopped)


@pytest.mark.parametrize("part", [0, 1])
def test_a_run_goes_on_only_with_its_own_readings_in_every_channel(tiny, models, stopped, part):
    warmer = pl.col("surface_temperature_celsius") + 5
    other = list(tiny)
    other[part] = Curves(tiny[part].timeseries.with_columns(warmer), tiny[part].halfcycles)
    with pytest.raises(BundleError, match="other settings or other data"):
        models[0].finetune(other[1], normal=other[0], config=FINETUNE, folder=stopped)


def test_what_a_set_says_is_known_by_every_column_of_it(tiny):
    """And not by how its texts are numbered, nor by the order of its columns."""
    faults, seen = tiny[1], []
    for n, table in enumerate((faults.timeseries, faults.halfcycles)):
        for name, kind in table.schema.items():
            column = pl.col(name).cast(pl.String) if kind in (pl.Categorical, pl.Enum) else pl.col(name)
            other = {pl.Boolean: column.not_(), pl.String: column.str.reverse() + "x"}.get(kind, column)
            changed = table.with_columns(other + 1 if kind.is_numeric() else other)
            tables = (changed, faults.halfcycles) if n == 0 else (faults.timeseries, changed)
            if not changed[name].equals(table[name]):
                seen.append(fingerprint(Curves(*tables)))
    assert len({fingerprint(faults), *seen}) == 1 + len(seen) > 15
    series = faults.timeseries.select(sorted(faults.timeseries.columns)).with_columns(pl.col("cell_id").cast(pl.Categorical))
    assert fingerprint(Curves(series, faults.halfcycles)) == fingerprint(faults)


@pytest.mark.parametrize("at", [9, 10])
def test_a_signal_in_the_last_step_or_after_it_loses_nothing(tiny, models, tmp_path, at):
    """Ten steps, a checkpoint each 250: what the signal finds is kept at the last one."""
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"steps": 10, "checkpoint_every": 250})})
    with pytest.raises((StoppedError, SystemExit)), sigterm_ends():
        Augmenter.pretrain(
            tiny[0],
            config=config,
            folder=tmp_path,
            on_step=lambda step: signal.raise_signal(signal.SIGTERM) if step.step == at else None,
        )
    assert json.loads((tmp_path / "checkpoint" / "state.json").read_text())["step"] == 10
    seen = []
    again = Augmenter.pretrain(tiny[0], config=config, folder=tmp_path, on_step=seen.append)
    assert seen == []
    assert again.sha256 == Augmenter.pretrain(tiny[0], config=config).sha256


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "SHA256SUMS"])
def test_a_changed_checkpoint_is_refused(tiny, models, stopped, name):
    path = stopped / "checkpoint" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="was changed or is incomplete"):
        models[0].finetune(tiny[1], normal=tiny[0], config=FINETUNE, folder=stopped)
