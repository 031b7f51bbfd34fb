"""To the grid and back: a measured curve comes back within the error of the grid, and anything on the grid is a curve."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faultcell.config import GridConfig
from faultcell.curves import Condition, Limits, Load, loaded_part
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import complete
from faultcell.encoding.decode import rebuild, with_noise
from faultcell.encoding.encode import encode, known_currents
from faultcell.encoding.grid import (
    CHANNELS,
    CHARGE,
    CURRENT,
    DISCHARGE,
    END,
    LEAST_SHARE,
    LEVEL_WEIGHT,
    MODES,
    REST,
    SAME_FROM,
    SHARES,
    START,
    SURGE,
    TEMPERATURE,
    VOLTAGE,
    grid_times,
    has_tail,
    head_places,
    head_positions,
    hold_positions,
    log_shares,
    prior,
    shares,
    smoothed,
    tail_positions,
    warming,
)
from faultcell.encoding.scaler import Scaler
from strategies import LOWER, NOMINAL, UPPER, charge, curve_sets, curves_of, discharge, surge

pytestmark = pytest.mark.filterwarnings("error")
GRID = GridConfig()
WINDOW = UPPER - LOWER


def encoded(curves):
    curves = complete(curves)
    conditions = conditions_of(curves)
    return curves, conditions, encode(curves, conditions, GRID)


def back(made, conditions, *, load=False):
    """What was encoded, rebuilt; without its load unless asked to keep it."""
    coded = np.where(made.mask, made.values, np.nan).astype(float)
    asked = conditions if load else [replace(condition, load=None) for condition in conditions]
    return rebuild(coded, made.seconds, asked, made.mode, GRID)


def beyond(curve, condition):
    """How far a rebuilt curve goes beyond the limit of its half-cycle, V; negative inside."""
    high = condition.step == "charge"
    return curve.volt.max() - condition.limits.upper if high else condition.limits.lower - curve.volt.min()


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
    assert (np.diff(hold_positions(grid)) > 0).all()
    assert (hold_positions(grid).size, hold_positions(grid)[-1]) == (tail - 1, 1.0)


def test_a_missing_tail_takes_no_time():
    assert (grid_times(GRID, np.array([[1000.0, np.nan]]))[0][GRID.head :] == 1000).all()


@given(steps=st.lists(st.floats(2 * LEAST_SHARE, 1), min_size=2, max_size=40))
def test_log_shares_are_undone_by_shares_and_an_even_share_is_zero(steps):
    times = np.concatenate([[3.0], 3.0 + np.cumsum(steps)])
    np.testing.assert_allclose(shares(log_shares(times)), np.diff(times) / (times[-1] - 3), atol=2e-3)
    np.testing.assert_allclose(log_shares(np.linspace(3.0, times[-1], times.size)), 0, atol=1e-9)


def test_what_a_charge_passes_stands_at_the_same_place_wherever_it_begins():
    """Above some voltage: below, and of discharges, steps are even parts of what a curve passes."""
    count = GRID.head - SHARES
    ends = LEVEL_WEIGHT * np.array([[0.1, 1.0], [0.3, 1.0], [0.5, 1.0], [0.9, 1.0]])
    first, last = (ends / LEVEL_WEIGHT).T
    places = head_places(ends, np.full(4, CHARGE), count)
    assert (np.diff(places) > 0).all()
    np.testing.assert_allclose(places[:, [0, -1]], [[0, 1]] * 4)
    levels = first[:, None] + (last - first)[:, None] * places
    np.testing.assert_allclose(levels[:3][:, levels[0] > SAME_FROM], levels[:1, levels[0] > SAME_FROM].repeat(3, axis=0))
    even = np.linspace(0, 1, count + 1)
    np.testing.assert_allclose(places[3], even)  # it begins above
    np.testing.assert_allclose(head_places(ends, np.full(4, DISCHARGE), count), [even] * 4)


def test_log_shares_tell_how_fast_a_voltage_is_passed_however_wide_the_steps_are():
    places = np.append(0.0, np.cumsum([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_allclose(log_shares(3600 * places, places), 0, atol=1e-9)
    np.testing.assert_allclose(shares(np.zeros(4), places), np.diff(places))


@given(seed=st.integers(0, 10_000), size=st.sampled_from([0.1, 10.0, 1e6, 1e30]))
def test_whatever_is_drawn_shares_are_shares(seed, size):
    found = shares(np.random.default_rng(seed).normal(0, size, (3, 40)))
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_smoothing_takes_noise_away_head_and_tail_apart_and_leaves_ends_rest_and_current():
    rough = np.random.default_rng(0).normal(0, 1, (5, len(CHANNELS), GRID.length))
    rough[:, [VOLTAGE, TEMPERATURE], GRID.head :] += 100
    found, head, tail = smoothed(rough, GRID), slice(SHARES, GRID.head), slice(GRID.head, None)
    for channel, part in ((VOLTAGE, head), (VOLTAGE, tail), (TEMPERATURE, slice(0, GRID.head)), (TEMPERATURE, tail)):
        before, after = (np.diff(some[:, channel, part]).std() for some in (rough, found))
        assert after < 0.3 * before
        assert found[:, channel, part].mean() == pytest.approx(rough[:, channel, part].mean(), abs=0.1)  # nothing leaks over
    np.testing.assert_array_equal(found[:, VOLTAGE, [START, END]], rough[:, VOLTAGE, [START, END]])
    np.testing.assert_array_equal(found[:, [REST, CURRENT]], rough[:, [REST, CURRENT]])
    flat = np.broadcast_to(prior(GRID), (2, *prior(GRID).shape))
    np.testing.assert_array_equal(smoothed(flat, GRID), flat)


# --- there and back


@given(curves=curve_sets())
@settings(max_examples=40)
def test_a_curve_comes_back_from_the_grid(curves):
    curves, conditions, made = encoded(curves)
    assert made.usable.all()
    names = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
    time, *channels = (curves.column(name) for name in names)
    for i, (rows, curve) in enumerate(zip(curves.slices(), back(made, conditions), strict=True)):
        part, condition = loaded_part(curves, rows), conditions[i]
        seconds, peak, high = time[part] - time[part][0], condition.peak_deviation_volt, condition.step == "charge"
        volt, ampere, celsius = (
            np.abs(np.interp(seconds, curve.second, drawn) - measured[part])
            for drawn, measured in zip((curve.volt, curve.ampere, curve.celsius), channels, strict=True)
        )
        # Within a step of the voltages of the tail, in which a charge waits at its peak; a hold lies 10 mV within its limit.
        assert volt.max() < 0.002 + (0.006 if high else 0) + peak / GRID.tail
        assert np.sqrt((volt**2).mean()) < 0.0015 + 0.3 * peak / GRID.tail
        if peak:
            assert beyond(curve, condition) == pytest.approx(peak, abs=1e-6)
        else:
            assert beyond(curve, condition) <= 1e-9
        most = np.abs(channels[1][part]).max()
        if not high:
            assert ampere.max() < 1e-6 * most
        else:  # a peak that is far beyond falls from there on, at one of the voltage steps
            assert ampere.max() < (0.15 if peak > 0 else 0.005) * most
        assert celsius.max() < 1e-5
        assert curve.second[0] == 0
        assert curve.second[-1] == pytest.approx(seconds[-1])
        assert (np.diff(curve.second) > 0).all()


@given(curves=curve_sets())
@settings(max_examples=25)
def test_the_limit_is_crossed_at_the_end_of_the_head(curves):
    curves, conditions, made = encoded(curves)
    time, voltage = (curves.column(name) for name in ("step_time_second", "voltage_volt"))
    for i, (rows, curve) in enumerate(zip(curves.slices(), back(made, conditions), strict=True)):
        condition, head = conditions[i], made.seconds[i, 0]
        sign = 1 if condition.step == "charge" else -1
        limit = condition.limits.upper if sign > 0 else condition.limits.lower
        outside = condition.peak_deviation_volt > 0
        tail = np.s_[i, :, GRID.head :]
        assert made.mode[i] == MODES.index(condition.step)
        assert np.isfinite(made.seconds[i, 1]) == made.mask[tail][CURRENT].all()
        assert made.mask[tail][VOLTAGE].all() == made.mask[tail][VOLTAGE].any() == outside
        assert outside <= made.mask[tail][CURRENT].all() <= has_tail(condition)
        first, end = made.values[i, VOLTAGE, [START, END]] / LEVEL_WEIGHT * WINDOW + LOWER
        assert first == pytest.approx(voltage[rows][0], abs=1e-5)
        if outside:
            assert end == pytest.approx(limit, abs=1e-5)
            assert np.interp(head, time[rows], voltage[rows]) == pytest.approx(limit, abs=1e-6)
            assert np.interp(head, curve.second, curve.volt) == pytest.approx(limit, abs=1e-4)
            assert (sign * (curve.volt - limit)[curve.second > head + 1e-6] > 0).all()


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


def test_how_densely_a_curve_was_sampled_does_not_matter():
    """Only how long it takes from one voltage to the next does."""
    curves = [curves_of([("A", 1, "discharge", "overdischarge", discharge(cutoff=2.2, samples=n), {})]) for n in (200, 900)]
    one, other = (encoded(some)[2].values[0] for some in curves)
    np.testing.assert_allclose(one[VOLTAGE], other[VOLTAGE], atol=0.05)


def test_a_rebound_against_the_direction_is_passed_over():
    """What is left is monotone, and in the step where the voltage turned it waits."""
    samples = discharge(samples=300)
    samples["voltage_volt"] = samples["voltage_volt"] + 0.05 * np.exp(-np.square(np.linspace(-1, 1, 300) * 20))
    _, conditions, made = encoded(curves_of([("A", 1, "discharge", "normal", samples, {})]))
    curve = back(made, conditions)[0]
    assert (np.diff(samples["voltage_volt"]) > 0).any()
    assert (np.diff(curve.volt) <= 1e-12).all()
    envelope = np.minimum.accumulate(samples["voltage_volt"])
    np.testing.assert_allclose(np.interp(samples["step_time_second"], curve.second, curve.volt), envelope, atol=0.02)


# --- charges


@pytest.mark.parametrize("rate", [0.3, 1.0, 2.0])
def test_a_hold_comes_back_with_when_and_how_its_current_falls(rate):
    samples = charge(rate=rate, samples=400)
    _, conditions, made = encoded(curves_of([("A", 1, "charge", "normal", samples, {})]))
    curve = back(made, conditions)[0]
    time, ampere = samples["step_time_second"], samples["current_ampere"]
    drawn = np.interp(time, curve.second, curve.ampere)
    np.testing.assert_allclose(drawn, ampere, atol=0.01 * ampere.max())
    assert (np.diff(curve.ampere[curve.second > made.seconds[0, 0]]) <= 1e-12).all()
    assert curve.volt.max() == UPPER
    np.testing.assert_allclose(curve.volt[curve.second >= made.seconds[0, 0]], UPPER, atol=1e-9)


def test_a_charge_that_never_comes_to_its_limit_has_no_tail():
    samples = {name: values[:30] for name, values in charge().items()}
    _, _, made = encoded(curves_of([("A", 1, "charge", "normal", samples, {})]))
    assert made.usable.all()
    assert np.isnan(made.seconds[0, 1])
    assert not made.mask[0, :, GRID.head :].any()


# --- surges


@given(
    peak=st.floats(0.05, 0.8),
    start=st.floats(-0.3, 0.6),
    at=st.floats(0.003, 0.04),
    hold=st.floats(0, 0.3),
    rate=st.floats(0.3, 2),
    lasts=st.floats(300, 9000),
)
@settings(max_examples=60)
@example(peak=0.3, start=0.9, at=0.001, hold=0.0, rate=1.0, lasts=6000.0)
def test_a_surge_comes_back(peak, start, at, hold, rate, lasts):
    """A charge that begins near its limit or beyond, is at its peak within moments, and then falls back and is held."""
    samples = surge(peak=peak, start=start, at=at, hold=hold, rate=rate, lasts=lasts)
    _, conditions, made = encoded(curves_of([("S", 1, "charge", "overcharge", samples, {})]))
    assert made.usable.tolist() == [True]
    assert made.mode.tolist() == [SURGE]
    curve = back(made, conditions)[0]
    assert beyond(curve, conditions[0]) == pytest.approx(peak, abs=1e-6)
    time, volt, ampere = (samples[name] for name in ("step_time_second", "voltage_volt", "current_ampere"))
    assert curve.second[np.argmax(curve.volt)] == pytest.approx(max(time[np.argmax(volt)], 0.5), abs=1e-6)
    assert curve.second[-1] == pytest.approx(time[-1])
    after = time > time[np.argmax(volt)]
    span = volt.max() - volt.min()
    np.testing.assert_allclose(np.interp(time, curve.second, curve.volt)[after], volt[after], atol=0.002 + span / 20)
    assert np.sqrt(np.square(np.interp(time, curve.second, curve.volt) - volt)[after].mean()) < 0.002 + span / 60
    assert curve.volt[-1] == pytest.approx(volt[-1], abs=0.002)
    np.testing.assert_allclose(np.interp(time, curve.second, curve.ampere), ampere, atol=0.03 * ampere.max())


def test_what_does_not_fall_back_or_peaks_late_is_no_surge():
    late = surge(peak=0.3, at=0.2, start=-0.5)
    stays = surge(peak=0.3, hold=0.8, start=-0.5)
    small = surge(peak=0.02, start=-0.5)
    rows = [("S", i, "charge", "overcharge", samples, {}) for i, samples in enumerate((late, stays, small), 1)]
    _, _, made = encoded(curves_of(rows))
    assert made.usable.all()
    assert (made.mode == MODES.index("charge")).all()


# --- anything at all

LIMITS = Limits(LOWER, UPPER)
asked_st = st.builds(
    lambda kind, peak, ambient: Condition(
        kind[0],
        step_type=kind[1],
        peak_deviation_volt=peak if kind[0] != "normal" else 0.0,
        nominal_capacity_ah=NOMINAL,
        limits=LIMITS,
        ambient_temperature_celsius=ambient,
    ),
    st.sampled_from([("overcharge", "charge"), ("overdischarge", "discharge"), ("normal", "charge"), ("normal", "discharge")]),
    st.floats(0.001, 3),
    st.one_of(st.none(), st.floats(-20, 50)),
)


@given(
    condition=asked_st,
    surging=st.booleans(),
    seed=st.integers(0, 100_000),
    size=st.sampled_from([0.1, 1.0, 10.0, 1e3, 1e6]),
    head=st.floats(0.5, 1e5),
    tail=st.floats(1e-3, 1e5),
)
@settings(max_examples=200)
@example(Condition("overcharge", peak_deviation_volt=0.4, nominal_capacity_ah=2.0, limits=LIMITS), True, 0, 1.0, 0.5, 5000.0)
@example(
    Condition("overcharge", peak_deviation_volt=1.0, nominal_capacity_ah=2.0, limits=LIMITS), True, 66501, 1e3, 11089.0, 1.0
)
def test_any_array_at_all_is_a_curve(condition, surging, seed, size, head, tail):
    """Monotone in the direction of its half-cycle, or, of a surge, up to its peak and then down; and just as far as asked."""
    surging = surging and condition.fault == "overcharge"
    coded = np.random.default_rng(seed).normal(0, size, (len(CHANNELS), GRID.length))
    mode = np.array([SURGE if surging else MODES.index(condition.step)])
    seconds = np.array([[head, tail if has_tail(condition) else np.nan]])
    curve = rebuild(coded[None], seconds, [condition], mode, GRID)[0]
    for name, values in vars(curve).items():
        assert np.isfinite(values).all(), name
        assert values.shape == curve.second.shape
    assert curve.second[0] == 0
    assert (np.diff(curve.second) > 0).all()
    assert curve.second[-1] == pytest.approx(np.nansum(seconds))
    sign = 1 if condition.step == "charge" else -1
    if condition.peak_deviation_volt > 0:
        assert beyond(curve, condition) == pytest.approx(condition.peak_deviation_volt, abs=1e-6)
    else:
        assert beyond(curve, condition) <= 1e-9
    rise, least = sign * np.diff(curve.volt), -1e-9 * (1 + np.ptp(curve.volt))
    top = int(np.argmax(sign * curve.volt)) if surging else len(rise)
    assert (rise[:top] >= least).all()
    assert (rise[top:] <= -least).all()
    if surging:
        assert curve.second[top] == pytest.approx(head)
    assert (sign * curve.ampere > 0).all()
    if has_tail(condition) and sign > 0:
        assert (np.diff(curve.ampere[curve.second >= head]) <= 1e-9 * np.abs(curve.ampere).max()).all()


@given(condition=asked_st, seed=st.integers(0, 10_000), tail=st.floats(0.01, 1e4))
def test_a_temperature_goes_on_where_it_was_at_the_crossing(condition, seed, tail):
    """Heat takes time: what a tail gains stands over what its seconds let it gain, and begins from the head's last."""
    condition = replace(condition, fault="overdischarge", step_type="discharge", peak_deviation_volt=0.4)
    rng = np.random.default_rng(seed)
    coded = np.tile(prior(GRID), (1, 1, 1))
    coded[0, TEMPERATURE, : GRID.head] = np.cumsum(rng.normal(0.05, 0.1, GRID.head))
    coded[0, TEMPERATURE, GRID.head :] = np.append(0.0, np.cumsum(rng.normal(0, 0.3, GRID.tail - 1)))
    seconds = np.array([[2000.0, tail]])
    curve = rebuild(coded, seconds, [condition], np.array([MODES.index("discharge")]), GRID)[0]
    step = np.abs(np.diff(curve.celsius))
    at = 2 * (GRID.head - 1)  # the crossing: between two points of the grid one more sample is taken
    assert curve.second[at] == pytest.approx(2000)
    assert step[at] <= max(step[at - 1], step[at + 1]) + 1e-9
    ambient = condition.ambient_temperature_celsius
    assert curve.celsius[at] == pytest.approx(coded[0, TEMPERATURE, GRID.head - 1] + (25 if ambient is None else ambient))
    gained = coded[0, TEMPERATURE, GRID.head :] * warming(tail)
    np.testing.assert_allclose(curve.celsius[at + 2 :: 2] - curve.celsius[at], gained, atol=1e-9)
    assert np.abs(gained).max() <= np.abs(coded[0, TEMPERATURE, GRID.head :]).max() * min(tail / 600, 1) + 1e-12


@pytest.mark.parametrize("fault", ["overcharge", "overdischarge"])
def test_a_voltage_has_no_kink_at_its_limit(fault):
    """Whatever is drawn of a tail, it begins about as steeply as the head ends."""
    condition = Condition(fault, peak_deviation_volt=0.5, nominal_capacity_ah=NOMINAL, limits=LIMITS)
    coded, sign = prior(GRID).copy(), 1 if fault == "overcharge" else -1
    ends = [LOWER + 0.6, UPPER] if sign > 0 else [UPPER - 0.6, LOWER]
    coded[VOLTAGE, [START, END]] = LEVEL_WEIGHT * (np.array(ends) - LOWER) / WINDOW
    for first in (-0.7, 0.0, 0.7):
        coded[VOLTAGE, GRID.head :] = np.linspace(first, -first, GRID.tail)
        entering = (WINDOW - 0.6) / 2000  # V a second
        curve = rebuild(coded[None], np.array([[2000.0, 1000.0]]), [condition], np.array([MODES.index(condition.step)]), GRID)[
            0
        ]
        limit = UPPER if sign > 0 else LOWER
        going_on = sign * (np.interp(2010, curve.second, curve.volt) - limit) / 10
        assert going_on == pytest.approx(entering, rel=0.35)


@given(seed=st.integers(0, 1000), volt=st.floats(1e-4, 0.02), fault=st.sampled_from(["overcharge", "overdischarge"]))
@settings(max_examples=30)
def test_sensors_add_noise_but_never_pass_the_peak(seed, volt, fault):
    condition = Condition(fault, peak_deviation_volt=0.3, nominal_capacity_ah=NOMINAL, limits=LIMITS)
    mode = np.array([MODES.index(condition.step)])
    curve = rebuild(prior(GRID)[None], np.array([[2000.0, 500.0]]), [condition], mode, GRID)[0]
    noisy, again = (with_noise(curve, condition, [seed], volt=volt, celsius=0.1) for _ in range(2))
    np.testing.assert_array_equal(noisy.volt, again.volt)
    assert beyond(noisy, condition) == pytest.approx(0.3, abs=1e-9)
    inside = np.abs(curve.volt - curve.volt[-1]) > 5 * volt
    assert (noisy.volt - curve.volt)[inside].std() == pytest.approx(volt, rel=0.35)
    assert (noisy.celsius - curve.celsius).std() == pytest.approx(0.1, rel=0.35)
    np.testing.assert_array_equal(noisy.second, curve.second)
    np.testing.assert_array_equal(noisy.ampere, curve.ampere)


def test_a_charge_held_at_its_limit_is_read_about_it():
    condition = Condition("normal", step_type="charge", nominal_capacity_ah=NOMINAL, limits=LIMITS)
    curve = rebuild(prior(GRID)[None], np.array([[2000.0, 1500.0]]), [condition], np.array([MODES.index("charge")]), GRID)[0]
    noisy = with_noise(curve, condition, [3], volt=0.002, celsius=0.1)
    held = curve.volt > UPPER - 1e-4
    assert 0.3 < (noisy.volt[held] > UPPER).mean() < 0.7


# --- pulsed loads


@pytest.mark.parametrize("cutoff", [LOWER, LOWER - 0.4])
def test_pulsed_loads_are_told_apart_and_rest_voltage_is_its_own_channel(cutoff):
    curves, resting = pulsed(cutoff=cutoff, label="normal" if cutoff == LOWER else "overdischarge")
    curves, conditions, made = encoded(curves)
    load = conditions[0].load
    assert load.is_pulsed
    assert load.duty == pytest.approx(1 - resting.mean())
    head = slice(0, GRID.head)
    assert made.mask[0, REST, head].all()
    np.testing.assert_allclose(made.values[0, REST, 8:80] * WINDOW, 0.2, atol=0.01)
    np.testing.assert_allclose(made.values[0, CURRENT, head], -1.0, atol=1e-6)
    curve = back(made, conditions, load=True)[0]
    np.testing.assert_allclose(curve.second, curves.column("step_time_second"), atol=1e-6)
    np.testing.assert_allclose(curve.ampere, curves.column("current_ampere"), atol=1e-9)
    np.testing.assert_allclose(curve.volt, curves.column("voltage_volt"), atol=0.03)
    assert np.sqrt(np.square(curve.volt - curves.column("voltage_volt")).mean()) < 0.006
    assert beyond(curve, conditions[0]) == pytest.approx(LOWER - cutoff, abs=1e-6)


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


# --- scaling


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
    before, few = fitted(no_tail, None, None), fitted(None, fault, None)
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
    before = fitted(rests(std=1.0, mean=0.0), None, None)
    found = [
        before.adapted(fitted(None, rests(count=n, seed=1, std=4.0, mean=6.0), None)).mean[1, VOLTAGE].mean()
        for n in (4, 20, 400)
    ]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(6, abs=0.5)
