"""To the grid and back: what is encoded comes back within the error of the grid, and every scaling has its inverse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.conditions import conditions_of
from faultcell.config import GridConfig
from faultcell.curves import Condition, Limits, Load, loaded_part
from faultcell.prepare import (
    CHANNELS,
    CURRENT,
    REST,
    TEMPERATURE,
    VOLTAGE,
    Scaler,
    code,
    decode,
    encode,
    grid_times,
    has_tail,
    head_positions,
    known_currents,
    tail_positions,
)
from faultcell.severity import complete
from strategies import LOWER, NOMINAL, UPPER, charge, curve_sets, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("error")
GRID = GridConfig()


def encoded(curves):
    curves = complete(curves)
    conditions = conditions_of(curves)
    return curves, conditions, encode(curves, conditions, GRID)


def pulsed(*, share=0.6, samples=400, cutoff=LOWER, label="normal"):
    """A square-wave discharge: voltage 0.2 V higher at rest; `share` of the time under load, first and last sample too."""
    wave = discharge(cutoff=cutoff, samples=samples)
    phase = (np.arange(samples) % 20) / 20
    resting = (phase >= share) & (np.arange(samples) < samples - 1)
    wave["voltage_volt"] = wave["voltage_volt"] + 0.2 * resting
    wave["current_ampere"] = np.where(resting, -0.002, wave["current_ampere"])  # a sensor is never at 0 A
    return curves_of([("P", 1, "discharge", label, wave, {})]), resting


# --- the grid


@given(head=st.integers(8, 200), tail=st.integers(4, 60), warp=st.floats(0, 1))
def test_the_grid_rises_from_the_start_to_the_end_with_the_crossing_at_the_end_of_the_head(head, tail, warp):
    grid = GridConfig(head=head, tail=tail, warp=warp)
    assert (head_positions(grid)[0], tail_positions(grid)[-1]) == (0.0, 1.0)
    times = grid_times(grid, np.array([[1000.0, 50.0]]))[0]
    assert times.size == grid.length
    assert (np.diff(times) > 0).all()
    assert times[head - 1] == pytest.approx(1000)
    assert times[-1] == pytest.approx(1050)


def test_a_missing_tail_takes_no_time():
    assert (grid_times(GRID, np.array([[1000.0, np.nan]]))[0][GRID.head :] == 1000).all()


@given(curves=curve_sets())
@settings(max_examples=40)
def test_a_curve_comes_back_from_the_grid(curves):
    curves, conditions, made = encoded(curves)
    assert made.usable.all()
    time, volt, ampere = (curves.column(name) for name in ("step_time_second", "voltage_volt", "current_ampere"))
    for i, rows in enumerate(curves.slices()):
        part = loaded_part(curves, rows)
        back = decode(np.where(made.mask[[i]], made.values[[i]], np.nan).astype(float), [conditions[i]], GRID)[0]
        kept = made.mask[i, CURRENT]
        assert made.mask[i, VOLTAGE, : GRID.head].all()
        held = kept & ~made.mask[i, VOLTAGE]
        assert not held.any() or (conditions[i].step == "charge" and conditions[i].peak_deviation_volt == 0)
        back[VOLTAGE][held] = conditions[i].limits.upper
        times = grid_times(GRID, made.seconds[[i]])[0][kept]
        seconds = time[part] - time[part][0]
        error = np.abs(np.interp(seconds, times, back[VOLTAGE][kept]) - volt[part])
        assert error.max() < 0.03
        assert np.sqrt((error**2).mean()) < 0.006
        assert np.abs(np.interp(seconds, times, back[CURRENT][kept]) - ampere[part]).max() < 0.06 * np.abs(ampere[part]).max()
        assert times[-1] == pytest.approx(seconds[-1])


@given(curves=curve_sets())
@settings(max_examples=25)
def test_the_limit_is_crossed_exactly_at_the_end_of_the_head(curves):
    _, conditions, made = encoded(curves)
    for i, condition in enumerate(conditions):
        beyond = condition.peak_deviation_volt > 0
        assert np.isfinite(made.seconds[i, 1]) == made.mask[i, CURRENT, GRID.head :].all()
        assert made.mask[i, VOLTAGE, GRID.head :].all() == made.mask[i, VOLTAGE, GRID.head :].any() == beyond
        assert beyond <= made.mask[i, CURRENT, GRID.head :].all() <= has_tail(condition)
        if beyond:
            at_crossing = made.values[i, VOLTAGE, GRID.head - 1]
            assert at_crossing == pytest.approx(1.0 if condition.side == "high" else 0.0, abs=1e-6)
            tail = made.values[i, VOLTAGE, GRID.head :]
            assert tail.max() == pytest.approx(1, abs=0.05)
            assert tail.min() > 0


def test_masked_values_are_zero_and_no_rest_channel_without_rest(tiny):
    _, _, made = encoded(tiny[1])
    assert (made.values[~made.mask] == 0).all()
    assert not made.mask[:, REST].any()
    assert made.mask[:, [VOLTAGE, TEMPERATURE, CURRENT], : GRID.head].all()


def test_curves_without_a_head_are_unusable():
    outside = charge(cutoff=4.4)
    outside["voltage_volt"] = outside["voltage_volt"] + 1.0
    short = {name: values[:3] for name, values in discharge().items()}
    idle = discharge()
    idle["current_ampere"] = np.zeros(60)
    rows = [
        ("A", 1, "charge", "overcharge", outside, {}),
        ("A", 2, "discharge", "normal", short, {}),
        ("A", 3, "discharge", "normal", idle, {}),
        ("A", 4, "discharge", "normal", discharge(), {}),
    ]
    _, _, made = encoded(curves_of(rows))
    assert made.usable.tolist() == [False, False, False, True]
    assert not made.mask[:3].any()


# --- pulsed loads


def test_pulsed_loads_are_told_apart_and_rest_voltage_is_its_own_channel():
    curves, resting = pulsed()
    curves, conditions, made = encoded(curves)
    load = conditions[0].load
    assert load.is_pulsed
    assert load.duty == pytest.approx(1 - resting.mean())
    back = decode(np.where(made.mask[:1], made.values[:1], np.nan).astype(float), conditions[:1], GRID)[0]
    head = slice(0, GRID.head)
    assert made.mask[0, REST, head].all()
    np.testing.assert_allclose(back[REST, 8:80] - back[VOLTAGE, 8:80], 0.2, atol=0.01)
    np.testing.assert_allclose(back[CURRENT, head], -NOMINAL, atol=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_a_known_load_is_laid_on_the_grid_as_training_saw_it(share):
    curves, _ = pulsed(share=share)
    _, conditions, made = encoded(curves)
    known = known_currents(conditions[:1], made.seconds[:1], GRID)[0]
    np.testing.assert_allclose(known[: GRID.head], made.values[0, CURRENT, : GRID.head], atol=1e-5)


@given(curves=curve_sets())
@settings(max_examples=20)
def test_a_steady_known_load_is_laid_on_the_grid_as_training_saw_it(curves):
    _, conditions, made = encoded(curves)
    mask = made.mask[:, CURRENT]
    known = known_currents(conditions, made.seconds, GRID)
    np.testing.assert_allclose(known[mask], made.values[:, CURRENT][mask], atol=1e-4)


def test_an_unknown_load_is_no_load():
    steady = Load(np.array([0.0, 1.0]), np.array([-2.0, -2.0]))
    some = [Condition(), Condition(load=steady, nominal_capacity_ah=2.0)]
    known = known_currents(some, np.array([[1000.0, 10.0], [1000.0, np.nan]]), GRID)
    assert np.isnan(known[0]).all()
    np.testing.assert_allclose(known[1], -1.0)
    assert not steady.is_pulsed


# --- inverses

finite = st.floats(-1e3, 1e3)
conditions_st = st.builds(
    Condition,
    fault=st.sampled_from(["overcharge", "overdischarge"]),
    peak_deviation_volt=st.floats(0.01, 3),
    c_rate=st.one_of(st.none(), st.floats(0.06, 10)),
    state_of_health=st.one_of(st.none(), st.floats(0.02, 1.2)),
    nominal_capacity_ah=st.floats(0.1, 300),
    limits=st.builds(Limits, st.floats(0, 3), st.floats(3.1, 5)),
)


@given(condition=conditions_st, seed=st.integers(0, 10_000), normal=st.booleans())
def test_decode_is_the_inverse_of_code(condition, seed, normal):
    if normal:
        condition = replace(condition, fault="normal", peak_deviation_volt=0.0, step_type=condition.step)
    physical = np.random.default_rng(seed).normal(3, 2, (len(CHANNELS), GRID.length))
    np.testing.assert_allclose(
        decode(code(physical, condition, GRID)[None], [condition], GRID)[0], physical, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        code(decode(physical[None], [condition], GRID)[0], condition, GRID), physical, rtol=1e-9, atol=1e-9
    )


def test_codes_mean_what_they_say():
    condition = Condition("overdischarge", peak_deviation_volt=0.4, nominal_capacity_ah=2, limits=Limits(LOWER, UPPER))
    physical = np.zeros((len(CHANNELS), GRID.length))
    physical[VOLTAGE, : GRID.head], physical[VOLTAGE, GRID.head :] = UPPER, LOWER - 0.2
    physical[CURRENT], physical[TEMPERATURE] = -3.0, 31.0
    coded = code(physical, condition, GRID)
    np.testing.assert_allclose(coded[VOLTAGE], np.repeat([1.0, 0.5], [GRID.head, GRID.tail]))
    np.testing.assert_allclose(coded[CURRENT], -1.5)
    np.testing.assert_allclose(coded[TEMPERATURE], 31.0)


def rests(count=400, *, seed=0, mean=0.5, std=3.0):
    """(values, mask, durations) of a kind: no channel at rest, and every other curve without a tail."""
    rng = np.random.default_rng(seed)
    values = rng.normal(mean, std, (count, len(CHANNELS), GRID.length))
    mask, durations = np.ones(values.shape, dtype=bool), rng.normal(mean, std, (count, 2))
    mask[:, REST], mask[::2, :, GRID.head :], durations[::2, 1] = False, False, np.nan
    return np.where(mask, values, 0.0), mask, durations


def fitted(*parts):
    """A scaler of as many kinds as parts; of none where it is None."""
    there = [(index, part) for index, part in enumerate(parts) if part is not None]
    kind = np.concatenate([np.full(len(part[0]), index) for index, part in there])
    return Scaler.fit(*(np.concatenate(of) for of in zip(*(part for _, part in there), strict=True)), kind, len(parts))


@pytest.fixture(scope="module")
def scaler():
    return fitted(rests(), rests(seed=1, mean=-2, std=0.5), None)


@given(seed=st.integers(0, 10_000), kind=st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_the_scaler_has_an_inverse(scaler, seed, kind):
    kind = np.array(kind)
    rng = np.random.default_rng(seed)
    x, two = rng.normal(0, 10, (kind.size, len(CHANNELS), GRID.length)), rng.normal(0, 10, (kind.size, 2))
    np.testing.assert_allclose(scaler.inverse(scaler.forward(x, kind), kind), x, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(scaler.inverse_durations(scaler.forward_durations(two, kind), kind), two, rtol=1e-10, atol=1e-10)


def test_scaled_source_data_has_mean_zero_and_unit_spread(scaler):
    for index, part in enumerate((rests(), rests(seed=1, mean=-2, std=0.5))):
        values, mask, durations = part
        kind = np.full(len(values), index)
        scaled = np.where(mask, scaler.forward(values, kind), np.nan)[:, [VOLTAGE, TEMPERATURE, CURRENT]]
        lengths = scaler.forward_durations(durations, kind)
        for found in (scaled, lengths):
            np.testing.assert_allclose(np.nanmean(found, axis=0), 0, atol=0.06)
            np.testing.assert_allclose(np.nanstd(found, axis=0), 1, atol=0.05)
        assert np.array_equal(np.isnan(lengths), np.isnan(durations))
    assert (scaler.std > 0).all()


def test_the_fewer_curves_the_nearer_to_zero_and_one(scaler):
    """What nothing is known of, a point, a duration or a kind, is left as it is."""
    values, mask, durations = rests()
    few, many = (fitted(tuple(part[:count] for part in (values, mask, durations))) for count in (4, 400))
    for mean, std in (("mean", "std"), ("duration_mean", "duration_std")):
        plain = getattr(few, mean)[0].shape
        own = slice(0, 1) if mean == "mean" else slice(None)
        first, second = (np.abs(np.log(getattr(made, std)[0][own])).mean() for made in (few, many))
        assert 0 < first < second
        assert plain == getattr(many, mean)[0].shape
    for never in ((slice(None), REST), (2,)):
        assert (scaler.mean[never] == 0).all()
        assert (scaler.std[never] == 1).all()
        assert (scaler.seen[never] == 0).all()
    assert (scaler.duration_mean[2] == 0).all()
    assert (scaler.duration_std[2] == 1).all()
    assert scaler.seen[0, VOLTAGE, 0] == 2 * scaler.seen[0, VOLTAGE, -1] == 400


def test_what_does_not_stray_at_all_is_not_blown_up():
    still = rests(std=0.0, mean=0.0)
    made = fitted(still)
    assert made.std.min() > 0
    assert np.abs(made.forward(still[0] + 1e-9, np.zeros(len(still[0]), dtype=int))).max() < 1e-6


def test_adapted_to_a_few_faults_normal_curves_are_scaled_as_before_and_faults_between_theirs_and_those():
    normal, fault = rests(std=1.0, mean=0.0), rests(count=12, seed=1, std=4.0, mean=6.0)
    no_tail = (normal[0], normal[1] & (np.arange(GRID.length) < GRID.head), normal[2] * [1, np.nan])
    before, few = fitted(no_tail, None), fitted(None, fault)
    after, head, tail = before.adapted(few), slice(0, GRID.head), slice(GRID.head, None)
    for name in ("mean", "std"):
        one, other = getattr(before, name)[0, VOLTAGE], getattr(few, name)[1, VOLTAGE]
        found = getattr(after, name)[:, VOLTAGE]
        assert np.array_equal(found[0, head], one[head])
        assert ((one < found[1]) & (found[1] < other))[head].all()
        assert np.array_equal(found[0, tail], other[tail])  # where no normal curve has been, the faults are all there is
        np.testing.assert_allclose(found[1, tail], other[tail])
        lengths = getattr(after, f"duration_{name}")
        assert lengths[0, 0] == getattr(before, f"duration_{name}")[0, 0] < lengths[1, 0]
        assert lengths[0, 1] == getattr(few, f"duration_{name}")[1, 1]


def test_the_more_faults_the_nearer_to_them():
    before = fitted(rests(std=1.0, mean=0.0), None)
    found = [
        before.adapted(fitted(None, rests(count=n, seed=1, std=4.0, mean=6.0))).mean[1, VOLTAGE].mean() for n in (4, 20, 400)
    ]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(6, abs=0.5)
