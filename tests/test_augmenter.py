"""Drawn curves depend on their condition and seed alone, meet the peak asked for, and carry real units."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from faultcell.augmenter import Augmenter
from faultcell.bundle.profile import Profile
from faultcell.curves import FAULTS, KEYS, SEVERITY, Condition, Curves, Limits, Load, grid
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import complete
from faultcell.encoding.decode import rebuild
from faultcell.encoding.encode import encode, known_currents
from faultcell.encoding.grid import CURRENT
from faultcell.encoding.grid import STEPS as HALF_CYCLES
from faultcell.errors import ConditionError, OutOfRangeWarning, TrainingError
from faultcell.generation.drawing import CHUNK
from faultcell.regression.local_linear import FOLDS
from faultcell.regression.support import SupportSet
from strategies import CONFIG, FINETUNE, curves_of, discharge, surge

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
STEPS = 4


def mixed():
    """Conditions of every kind the model knows, each under a name of its own."""
    asked = [
        *grid("overdischarge", peak_deviation_volt=(0.2, 0.5, 0.8), c_rate=0.8, repetition_count=2.0),
        *grid("overcharge", peak_deviation_volt=(0.05, 0.15), ambient_temperature_celsius=25.0),
        *grid("normal", step_type=("charge", "discharge"), state_of_health=0.9),
        *grid("overdischarge", peak_deviation_volt=0.4),
    ]
    return [replace(condition, cell_id=f"S{i}") for i, condition in enumerate(asked)]


def draw(model, conditions, seeds, **kwargs):
    return model.draw(conditions, seeds, steps=STEPS, **kwargs)


def joined(parts):
    parts = list(parts)
    return Curves(pl.concat([part.timeseries for part in parts]), pl.concat([part.halfcycles for part in parts]))


def same(one, other):
    assert_frame_equal(one.timeseries, other.timeseries, check_exact=True)
    assert_frame_equal(one.halfcycles, other.halfcycles, check_exact=True)


# --- one curve, one condition, one seed


@pytest.mark.parametrize("size", [1, 3, 5])
def test_all_at_once_or_in_parts_to_the_bit(tuned, size):
    asked, seeds = mixed(), list(range(40, 48))
    parts = (draw(tuned, asked[i : i + size], seeds[i : i + size]) for i in range(0, len(asked), size))
    same(draw(tuned, asked, seeds), joined(parts))


def test_another_order_gives_the_same_curves_to_the_bit(tuned):
    asked, seeds, order = mixed(), list(range(8)), [5, 2, 7, 0, 1, 6, 3, 4]
    permuted = draw(tuned, [asked[i] for i in order], [seeds[i] for i in order])
    same(draw(tuned, asked, seeds).take(order), permuted)


def test_a_chunk_border_changes_nothing(tuned):
    asked = [
        replace(c, cell_id=f"B{i}") for i, c in enumerate(grid("overdischarge", peak_deviation_volt=0.4, repeat=CHUNK + 5))
    ]
    seeds = list(range(len(asked)))
    whole = draw(tuned, asked, seeds)
    same(whole.take(range(CHUNK - 2, CHUNK + 3)), draw(tuned, asked[CHUNK - 2 : CHUNK + 3], seeds[CHUNK - 2 : CHUNK + 3]))


def test_a_stream_gives_the_curves_of_a_draw_block_by_block(tuned, monkeypatch):
    monkeypatch.setattr("faultcell.generation.drawing.BLOCK", 3)
    asked = [*mixed(), mixed()[0], *grid("overdischarge", peak_deviation_volt=0.4)]  # one cell's name twice, one without
    told = []
    parts = list(tuned.stream(asked, range(10), steps=STEPS, on_chunk=lambda n, m: told.append((n, m))))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]
    same(draw(tuned, asked, range(10)), joined(parts))


def test_a_stream_refuses_before_it_draws(tuned):
    with pytest.raises(ConditionError, match="a seed for each condition"):
        next(tuned.stream(mixed(), range(3)))


def test_seed_and_condition_both_count(tuned):
    one = grid("overdischarge", peak_deviation_volt=0.4, c_rate=0.8)
    volts = [draw(tuned, one, [seed]).column("voltage_volt") for seed in (1, 1, 2)]
    assert np.array_equal(volts[0], volts[1])
    assert not np.array_equal(volts[0], volts[2])
    other = draw(tuned, grid("overdischarge", peak_deviation_volt=0.5, c_rate=0.8), [1]).column("voltage_volt")
    assert not np.array_equal(volts[0], other)


def test_equal_keys_are_told_apart(tuned):
    drawn = draw(tuned, grid("overdischarge", peak_deviation_volt=0.4, repeat=3), [7, 7, 8])
    assert drawn.halfcycles["cell_id"].to_list() == ["synthetic-000007", "synthetic-000007-2", "synthetic-000008"]


def test_drawing_leaves_the_random_state_of_torch_alone(tuned):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    draw(tuned, mixed()[:1], [1])
    assert torch.equal(torch.rand(1), expected)


def test_seeds_must_match_conditions_and_progress_is_told(tuned):
    with pytest.raises(ConditionError, match="found 2 seeds for 1 conditions"):
        draw(tuned, mixed()[:1], [1, 2])
    told = []
    draw(tuned, mixed(), range(8), on_chunk=lambda n, m: told.append((n, m)))
    assert told == [(8, 8)]


def test_guidance_of_one_is_none_and_more_changes_the_curve(tuned):
    one = mixed()[:1]
    same(draw(tuned, one, [1]), draw(tuned, one, [1], guidance=1.0))
    assert not np.array_equal(
        draw(tuned, one, [1]).column("voltage_volt"), draw(tuned, one, [1], guidance=3.0).column("voltage_volt")
    )


# --- what was asked for


@pytest.mark.parametrize(
    ("fault", "peaks", "rate"),
    [("overdischarge", (0.15, 0.3, 0.45, 0.6, 0.75), 0.8), ("overcharge", (0.03, 0.07, 0.11, 0.15, 0.19), None)],
)
def test_the_peak_asked_for_is_measured_back_and_rises(tuned, fault, peaks, rate):
    asked = grid(fault, peak_deviation_volt=peaks, repetition_count=1, c_rate=rate, repeat=3)
    drawn = draw(tuned, asked, range(15))
    back = drawn.known("peak_deviation_volt")
    np.testing.assert_allclose(back, drawn.known("requested_peak_deviation_volt"), atol=1e-3)
    assert (np.diff(back.reshape(5, 3).mean(axis=1)) > 0).all()
    assert (drawn.known("cumulative_duration_second") > 0).all()
    assert set(drawn.known("repetition_count")) == {1.0}


def test_curves_are_in_real_units(tuned):
    drawn = draw(tuned, mixed(), range(8))
    time, volt, ampere = (drawn.column(name) for name in ("step_time_second", "voltage_volt", "current_ampere"))
    assert np.isfinite(np.stack([time, volt, ampere])).all()
    for rows, condition in zip(drawn.slices(), mixed(), strict=True):
        assert time[rows][0] == 0
        assert (np.diff(time[rows]) > 0).all()
        if condition.c_rate is not None:
            assert (ampere[rows] < 0).all()
    table = drawn.halfcycles
    assert table["synthetic"].all()
    assert table["seed"].to_list() == list(range(8))
    assert table["label"].to_list() == table["requested_label"].to_list() == [c.fault for c in mixed()]
    assert set(table["model_sha256"]) == {tuned.sha256}


@pytest.mark.parametrize("fault", ["overcharge", "overdischarge"])
def test_a_drawn_current_never_turns_its_sign(fault):
    condition = Condition(fault, peak_deviation_volt=0.1, nominal_capacity_ah=2.0, limits=Limits(2.7, 4.2))
    coded = np.full((4, CONFIG.grid.length), 0.5)
    coded[CURRENT] = np.linspace(-0.05, 0.05, CONFIG.grid.length)  # what is left of noise near the end of a charge
    mode = np.array([HALF_CYCLES.index(condition.step)])
    ampere = rebuild(coded[None], np.array([[1000.0, 100.0]]), [condition], mode, CONFIG.grid)[0].ampere
    assert (ampere > 0).all() if condition.step == "charge" else (ampere < 0).all()


def test_column_types_do_not_depend_on_the_conditions(tuned):
    one = draw(tuned, grid("overdischarge", peak_deviation_volt=0.4, repetition_count=1), [1])
    other = draw(tuned, grid("overdischarge", peak_deviation_volt=0.4), [1])
    assert one.halfcycles.schema == other.halfcycles.schema


def test_a_known_discharge_rate_is_the_current_drawn(tuned):
    drawn = draw(tuned, grid("overdischarge", peak_deviation_volt=0.4, c_rate=0.7, nominal_capacity_ah=3.0), [1])
    np.testing.assert_allclose(drawn.column("current_ampere"), -2.1, rtol=1e-6)
    assert drawn.known("c_rate") == pytest.approx([0.7])


def test_the_history_asked_for_is_the_one_measured_on(tuned):
    kind = {"peak_deviation_volt": 0.4, "c_rate": 0.8}
    first = draw(tuned, grid("overdischarge", **kind, repetition_count=1), [3])
    # The third of three equal shares of 600 s: two of them, 400 s, are past.
    asked = Condition("overdischarge", **kind, repetition_count=3, cumulative_duration_second=600.0)
    third = draw(tuned, [asked], [3])
    assert third.known("repetition_count") == 3
    own = third.known("cumulative_duration_second") - 400
    assert 0 < own[0] == pytest.approx(own_seconds(third), rel=1e-9)
    assert first.known("cumulative_duration_second")[0] == pytest.approx(own_seconds(first), rel=1e-9)


def own_seconds(curves):
    bare = Curves(curves.timeseries, curves.halfcycles.drop(SEVERITY))
    return complete(bare).known("cumulative_duration_second")[0]


def test_normal_curves_stay_inside_the_limits(tuned):
    drawn = draw(tuned, grid("normal", step_type=("charge", "discharge"), repeat=4), range(8))
    assert set(drawn.known("peak_deviation_volt")) == {0.0}
    assert set(drawn.known("repetition_count")) == {0.0}


def test_unknown_context_is_allowed(tuned, tiny):
    drawn = draw(tuned, [Condition("overdischarge", peak_deviation_volt=0.4)], [1])
    for name in ("ambient_temperature_celsius", "state_of_health", "c_rate", "cycle_count"):
        assert drawn.halfcycles[f"requested_{name}"].to_list() == [None]
    # What is left open is that of a curve of the fault, drawn with the curve.
    kind = tiny[1].select(label=["overdischarge"])
    assert drawn.halfcycles["ambient_temperature_celsius"].to_list() == [25.0]
    assert np.abs(kind.known("state_of_health") - drawn.known("state_of_health")[0]).min() < 1e-6
    rates = [condition.c_rate for condition in conditions_of(kind)]
    assert np.abs(np.array(rates) - drawn.known("c_rate")[0]).min() < 1e-6
    assert drawn.known("peak_deviation_volt") == pytest.approx([0.4], abs=1e-3)


def test_a_model_that_has_seen_surges_draws_surges(models):
    """Up to the peak asked for within moments, then back; the charges of its normal curves stay as they are."""
    rows = [
        (f"S{cell}", cycle, "charge", "overcharge", surge(peak=0.1 * cycle, start=-0.5, at=0.01, lasts=4000.0 + 300 * cell), {})
        for cell in range(4)
        for cycle in (1, 2, 3)
    ]
    model = models[0].finetune(complete(curves_of(rows)), config=FINETUNE)
    asked = grid("overcharge", peak_deviation_volt=(0.12, 0.28), repeat=2) + grid("normal", step_type="charge", repeat=2)
    drawn = draw(model, asked, range(6))
    np.testing.assert_allclose(drawn.known("peak_deviation_volt"), [0.12, 0.12, 0.28, 0.28, 0, 0], atol=1e-6)
    time, volt = (drawn.column(name) for name in ("step_time_second", "voltage_volt"))
    for i, curve in enumerate(drawn.slices()):
        at = time[curve][np.argmax(volt[curve])] / time[curve][-1]
        assert at < 0.05 if i < 4 else at > 0.3
        if i < 4:
            assert volt[curve][-1] < volt[curve].max() - 0.4 * drawn.known("peak_deviation_volt")[i]


def test_limits_and_capacity_asked_for_are_used(tuned):
    asked = Condition("overdischarge", peak_deviation_volt=0.4, c_rate=0.5, limits=Limits(2.0, 3.65), nominal_capacity_ah=10.0)
    drawn = draw(tuned, [asked], [1])
    assert drawn.column("voltage_volt").min() == pytest.approx(1.6, abs=1e-6)
    np.testing.assert_allclose(drawn.column("current_ampere"), -5.0)


# --- what the model knows


@pytest.mark.parametrize("fault", ["overvoltage"])
def test_an_unseen_fault_is_refused_and_the_known_ones_listed(tuned, models, fault):
    with pytest.raises(ConditionError, match=rf"never seen the fault '{fault}': it knows .*overcharge .*overdischarge"):
        draw(tuned, [Condition(fault, peak_deviation_volt=0.1)], [1])
    with pytest.raises(ConditionError, match=r"never seen the fault 'overdischarge': it knows normal \(48 curves\)"):
        draw(models[0], [Condition("overdischarge", peak_deviation_volt=0.1)], [1])


@pytest.mark.parametrize(
    "changed", [{"peak_deviation_volt": 2.0}, {"repetition_count": 50.0}, {"cumulative_duration_second": 9e5}]
)
def test_a_severity_outside_the_range_seen_warns_and_names_it(tuned, changed):
    inside = {"peak_deviation_volt": 0.4, "repetition_count": 2.0, "cumulative_duration_second": 400.0}
    name = next(iter(changed))
    low, high = tuned.profile.ranges["overdischarge"][name]
    words = (
        rf"{name} {changed[name]:g} for overdischarge is outside what the model has seen \({low:g} to {high:g}\): 1 of 2 curves"
    )
    with pytest.warns(OutOfRangeWarning, match=words.replace("+", r"\+")) as caught:
        tuned.draw([Condition("overdischarge", **inside), Condition("overdischarge", **{**inside, **changed})], [1, 2], steps=2)
    assert len([warning for warning in caught if warning.category is OutOfRangeWarning]) == 1


def test_both_ends_of_the_range_are_inside(tuned):
    for label in ("overdischarge", "overcharge"):
        tuned.draw(grid(label, peak_deviation_volt=tuned.profile.ranges[label]["peak_deviation_volt"]), [1, 2], steps=2)


# --- like a curve set


@pytest.fixture(scope="module")
def pair(tuned, tiny):
    """(curves to be like, the curves drawn for them)."""
    like = complete(tiny[1])
    return like, draw(tuned, conditions_of(like), range(len(like)))


def test_like_has_the_same_keys_in_the_same_order(pair):
    like, drawn = pair
    assert drawn.halfcycles.select(KEYS, "label").equals(like.halfcycles.select(KEYS, "label"))
    np.testing.assert_allclose(drawn.known("peak_deviation_volt"), like.known("peak_deviation_volt"), atol=1e-3)


def test_like_does_not_look_at_the_voltage(tuned, pair):
    like, drawn = pair
    rng = np.random.default_rng(0)
    scrambled = like.timeseries.with_columns(voltage_volt=pl.Series(rng.uniform(0, 6, like.timeseries.height)))
    temperature = scrambled.with_columns(surface_temperature_celsius=pl.lit(-40.0))
    same(drawn, draw(tuned, conditions_of(Curves(temperature, like.halfcycles)), range(len(like))))


def test_like_does_not_look_at_the_duration(tuned, pair):
    like, drawn = pair
    stretched = like.timeseries.with_columns(pl.col("step_time_second") * 3.7)
    again = draw(tuned, conditions_of(Curves(stretched, like.halfcycles)), range(len(like)))
    np.testing.assert_allclose(again.column("step_time_second"), drawn.column("step_time_second"), rtol=1e-6)
    np.testing.assert_allclose(again.column("voltage_volt"), drawn.column("voltage_volt"), atol=1e-5)


def test_like_follows_the_severity_of_the_tables(tuned, pair):
    like = pair[0]
    deeper = like.halfcycles.with_columns(pl.col("peak_deviation_volt") * 0.9)
    with pytest.warns(OutOfRangeWarning):
        drawn = draw(tuned, conditions_of(Curves(like.timeseries, deeper)), range(len(like)))
    np.testing.assert_allclose(drawn.known("peak_deviation_volt"), 0.9 * like.known("peak_deviation_volt"), atol=1e-3)


# --- training and drawing agree


def test_a_known_load_is_told_as_in_training(tuned, tiny):
    """What the network is told of a known load when it draws is what it was told of that curve in training."""
    for curves in tiny:
        told, taught = told_and_taught(tuned, curves)
        torch.testing.assert_close(told[..., : CONFIG.grid.head], taught[..., : CONFIG.grid.head], atol=2e-3, rtol=0)
    torch.testing.assert_close(told, taught, atol=2e-3, rtol=0)  # the faults have a tail


def test_the_missing_tail_of_a_known_load_is_told_as_in_training(tuned, tiny):
    told, taught = told_and_taught(tuned, tiny[0])
    torch.testing.assert_close(told, taught, atol=2e-3, rtol=0)


def told_and_taught(model, curves):
    from faultcell.encoding.dataset import encoded_set

    _, conditions, encoded = encoded_set(of_other_cells(curves), CONFIG)  # which none of the known curves is barred from
    known = SupportSet.of(encoded, conditions, faults=model.profile.faults, grid=model.config.grid)
    # In training a cell is moved along trends that it had no part in; here those of new cells serve all.
    trend = model.encoder.regression.trend
    of_new_cells = replace(trend, coefficients=trend.coefficients[:, :1].repeat(1 + FOLDS, axis=1))
    encoder = replace(model.encoder, regression=replace(model.encoder.regression, trend=of_new_cells))
    currents = known_currents(conditions, encoded.seconds, model.config.grid)
    told, flags = encoder.ask(conditions).with_duration(encoded.seconds).loads(currents, encoded.seconds)
    assert flags.all()
    return told, encoder.batch(known, conditions, encoder.episodes(known, CONFIG)).known[: len(known)]


def of_other_cells(curves):
    name = pl.lit("other-") + pl.col("cell_id")
    return Curves(curves.timeseries.with_columns(cell_id=name), curves.halfcycles.with_columns(cell_id=name))


def test_fine_tuning_gives_a_new_model_and_leaves_its_base_as_it_is(tiny, models):
    base = models[0]
    before = {name: value.clone() for name, value in base.tensors.items()}
    child = base.finetune(tiny[1], config=FINETUNE.model_copy(update={"steps": 3}))
    assert child is not base
    assert child.base == base.sha256 != child.sha256
    live = {f"network.{name}": value for name, value in base.network.state_dict().items()} | base.encoder.tensors()
    for name, value in (*base.tensors.items(), *live.items()):
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)
    assert base.config.finetune is None
    assert set(base.profile.labels) == {"normal"}
    # Where the source domain has spoken, the scaler stays; where it has not, the faults may.
    seen = before["scaler.seen"] > 0
    assert 0 < seen.float().mean() < 1
    for name in ("scaler.mean", "scaler.std"):
        assert torch.equal(child.tensors[name][seen], before[name][seen])


def test_the_profile_says_what_was_seen(tuned, tiny):
    normal, faults = tiny
    assert tuned.profile.labels == {"normal": len(normal), "overcharge": 12, "overdischarge": 12}
    assert set(tuned.profile.cells) == {*normal.cells, *faults.cells}
    low = faults.select(label=["overdischarge"]).known("peak_deviation_volt")
    assert tuned.profile.ranges["overdischarge"]["peak_deviation_volt"] == pytest.approx((low.min(), low.max()))
    assert tuned.profile.channels == ("voltage", "temperature", "current")
    assert len(tuned.profile.data_sha256) == 2


def test_what_was_seen_twice_is_not_forgotten(tiny, models):
    """Adapting to a second set of the same fault widens what was seen; it does not replace it."""
    faults = tiny[1].select(label=["overdischarge"])
    peaks = faults.known("peak_deviation_volt")
    order = np.argsort(peaks).tolist()
    config = FINETUNE.model_copy(update={"steps": 1})
    twice = models[0].finetune(faults.take(order[:6]), config=config).finetune(faults.take(order[6:]), config=config)
    assert twice.profile.ranges["overdischarge"]["peak_deviation_volt"] == pytest.approx((peaks.min(), peaks.max()))
    assert twice.profile.labels["overdischarge"] == 12


def test_cells_of_the_source_curves_given_to_finetune_count_as_seen(tiny, models):
    """The card says `score it on others only`: cells trained on through L_S belong to that list."""
    normal, faults = tiny
    other = of_other_cells(normal)
    child = models[0].finetune(faults, normal=other, config=FINETUNE.model_copy(update={"steps": 1}))
    assert set(other.cells) <= set(child.profile.cells)


def test_the_order_of_the_faults_in_the_profile_is_that_of_the_table(tiny):
    normal = tiny[0]
    made = Profile.of(normal, encode(normal, conditions_of(normal), CONFIG.grid), faults=tuple(FAULTS))
    assert made.faults == tuple(FAULTS)
    assert made.joined(made).faults == tuple(FAULTS)


def test_curves_that_cannot_be_used_are_counted_and_refused_if_all(tiny):
    short = {name: values[:3] for name, values in discharge().items()}
    useless = curves_of([("U", 1, "discharge", "normal", short, {})])
    with pytest.raises(TrainingError, match="none of the curves can be used"):
        Augmenter.pretrain(useless, config=CONFIG)
    some = Curves.concat([tiny[0].few(4), useless])
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"steps": 1})})
    profile = Augmenter.pretrain(some, config=config).profile
    assert profile.unusable == 1
    assert "U" not in profile.cells


def test_an_unknown_rate_does_not_break_the_charge_balance(tuned):
    """A cell of 90 % health moves about 90 % of its capacity, whether its rate is given or left to the model."""
    kind = {"peak_deviation_volt": 0.4, "state_of_health": 0.9, "repeat": 24}
    moved = tuned.draw(grid("overdischarge", **kind), range(24)).known("capacity_ah") / 2.0
    assert 0.75 < np.percentile(moved, 10) < np.percentile(moved, 90) < 1.25


def test_a_known_rate_keeps_the_charge_balance(tuned):
    kind = {"peak_deviation_volt": 0.4, "state_of_health": 0.9, "c_rate": 0.6, "repeat": 24}
    moved = tuned.draw(grid("overdischarge", **kind), range(24)).known("capacity_ah") / 2.0
    assert 0.75 < np.percentile(moved, 10) < np.percentile(moved, 90) < 1.25


def test_nothing_asked_is_nothing_drawn(tuned):
    drawn = draw(tuned, [], [])
    assert len(drawn) == drawn.timeseries.height == 0
    assert drawn.halfcycles.columns == draw(tuned, mixed()[:1], [1]).halfcycles.columns


def test_a_fault_shows_in_its_own_half_cycle_only():
    with pytest.raises(ConditionError, match="charge"):
        Condition("overcharge", peak_deviation_volt=0.1, step_type="discharge")


@pytest.mark.parametrize("rate", [0.0, 0.03])
def test_a_rate_that_counts_as_rest_is_refused(tuned, rate):
    with pytest.raises(ConditionError, match="c_rate"):
        draw(tuned, [Condition("overdischarge", peak_deviation_volt=0.4, c_rate=rate)], [1])


def test_a_model_that_has_seen_no_rest_draws_a_pulsed_load_without_recovery(tuned):
    fraction, on = np.linspace(0, 1, 40), np.arange(40) % 2 == 0
    pulsed = Load(fraction, np.where(on, -2.0, 0.0))
    drawn = tuned.draw([Condition("overdischarge", peak_deviation_volt=0.3, c_rate=1.0, load=pulsed)], [0])
    volt = drawn.column("voltage_volt")
    assert "rest_voltage" not in tuned.profile.channels
    assert volt.shape == (40,)
    assert np.isfinite(volt).all()


def test_a_model_is_told_in_one_line(tuned):
    assert repr(tuned).startswith("Augmenter(diffusion, trained on ")
    assert tuned.sha256[:8] in repr(tuned)
    assert len(repr(tuned)) < 200
