"""Severity is measured as defined: exact on triangles, blind to rest and noise, counted over a cell's life."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.curves import SEVERITY, Curves, Limits
from faultcell.curves.per_curve import seconds_above
from faultcell.curves.severity import NOISE_VOLT, complete, excursion, measure, own_side
from strategies import LOWER, UPPER, charge, curve_sets, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("error")


def line(time, volt, current=-2.0):
    time = np.asarray(time, dtype=float)
    return {
        "step_time_second": time,
        "voltage_volt": np.asarray(volt, dtype=float),
        "current_ampere": np.broadcast_to(np.asarray(current, dtype=float), time.shape).copy(),
        "surface_temperature_celsius": np.full(time.shape, 25.0),
    }


def one(samples, *, step="discharge", label="overdischarge", **further):
    return curves_of([("A", 1, step, label, samples, further)])


def test_a_triangle_below_the_limit_is_measured_exactly():
    # From 0.5 V above the limit at 0 s to 0.3 V below at 80 s and back to 0.1 V above at 120 s: below from 50 s to 110 s.
    curves = one(line([0, 80, 120], [LOWER + 0.5, LOWER - 0.3, LOWER + 0.1]))
    row = measure(curves).row(0, named=True)
    assert row["low_peak_deviation_volt"] == pytest.approx(0.3, abs=1e-12)
    assert row["low_cumulative_duration_second"] == pytest.approx(60, abs=1e-9)
    assert row["low_repetition_count"] == 1
    assert {row[f"high_{name}"] for name in SEVERITY} == {0.0}


def test_a_triangle_above_the_limit_is_measured_exactly():
    curves = one(line([0, 40, 60], [UPPER - 0.1, UPPER + 0.3, UPPER - 0.1], 1.0), step="charge", label="overcharge")
    row = measure(curves).row(0, named=True)
    assert row["high_peak_deviation_volt"] == pytest.approx(0.3, abs=1e-12)
    assert row["high_cumulative_duration_second"] == pytest.approx(30 + 15, abs=1e-9)
    assert {row[f"low_{name}"] for name in SEVERITY} == {0.0}


def test_limits_given_for_all_go_before_those_of_the_curve():
    curves = one(line([0, 80, 120], [LOWER + 0.5, LOWER - 0.3, LOWER + 0.1]))
    peak, _ = excursion(curves, side="low", limits=Limits(LOWER - 0.1, UPPER))
    assert peak == pytest.approx([0.2])


@pytest.mark.parametrize("tail", [1, 5, 50])
def test_recovery_at_rest_never_counts(tail):
    ends, with_rest = discharge(cutoff=2.4), discharge(cutoff=2.4)
    for name, value in (("step_time_second", 10.0), ("voltage_volt", 0.0), ("current_ampere", 0.0)):
        last = with_rest[name][-1] + value * np.arange(1, tail + 1) if name == "step_time_second" else np.full(tail, value)
        with_rest[name] = np.concatenate([with_rest[name], last])
    with_rest["surface_temperature_celsius"] = np.full(60 + tail, 25.0)
    assert measure(one(ends)).equals(measure(one(with_rest)))  # not even at 0 V


def test_the_side_a_half_cycle_cannot_break_is_exactly_zero():
    sunk = one(line([0, 10, 20], [1.0, 1.0, 1.0], 1.0), step="charge", label="overcharge")
    risen = one(line([0, 10, 20], [5.0, 5.0, 5.0]), label="overdischarge")
    for curves in (sunk, risen):
        assert set(measure(curves).drop("cell_id", "cycle_count", "step_type").row(0)) == {0.0}


@pytest.mark.parametrize(("depth", "beyond"), [(NOISE_VOLT * 0.99, False), (NOISE_VOLT * 1.01, True), (0.0, False)])
def test_what_noise_can_do_is_exactly_zero(depth, beyond):
    row = measure(one(line([0, 10, 20], [LOWER + 0.1, LOWER - depth, LOWER + 0.1]))).row(0, named=True)
    assert (row["low_peak_deviation_volt"] > 0) == beyond
    assert (row["low_cumulative_duration_second"] > 0) == beyond
    assert (row["low_repetition_count"] > 0) == beyond


def test_counts_and_times_run_over_the_life_of_a_cell_and_normal_curves_add_nothing():
    deep, shallow = discharge(cutoff=2.4), discharge(cutoff=2.75)
    life = [("overdischarge", deep), ("normal", deep), ("normal", shallow), ("overdischarge", deep), ("overdischarge", deep)]
    rows = [("A", cycle, "discharge", label, samples, {}) for cycle, (label, samples) in enumerate(life, start=1)]
    rows += [("B", 1, "discharge", "overdischarge", deep, {}), ("A", 9, "charge", "overcharge", charge(cutoff=4.4), {})]
    curves = curves_of(reversed(rows))  # the history goes by cycle, not by row
    table = measure(curves).reverse()
    _, seconds = excursion(curves_of([rows[0]]), side="low")
    assert table["low_repetition_count"][:6].to_list() == [1, 1, 1, 2, 3, 1]
    times = table["low_cumulative_duration_second"].to_numpy()[:6]
    np.testing.assert_allclose(times, seconds[0] * np.array([1, 1, 1, 2, 3, 1]))
    assert table["high_repetition_count"].to_list() == [0, 0, 0, 0, 0, 0, 1]
    assert table["low_peak_deviation_volt"][1] == pytest.approx(0.3)  # a normal curve's own depth is told all the same


def test_a_charge_does_not_count_for_the_faults_below():
    rows = [("A", 1, "charge", "overcharge", charge(cutoff=4.4), {})]
    rows += [("A", 1, "discharge", "overdischarge", discharge(cutoff=2.4), {})]
    row = measure(curves_of(rows))[1].row(0, named=True)
    assert (row["low_repetition_count"], row["high_repetition_count"]) == (1, 1)
    own = own_side(curves_of(rows).halfcycles, measure(curves_of(rows)))
    assert own["repetition_count"].tolist() == [1, 1]
    assert own["peak_deviation_volt"] == pytest.approx([0.2, 0.3])


def test_complete_takes_what_is_given_and_fills_what_is_missing():
    rows = [("A", cycle, "discharge", "overdischarge", discharge(cutoff=2.4), {}) for cycle in (1, 2, 3)]
    curves = curves_of(rows)
    given = curves.halfcycles.with_columns(
        repetition_count=pl.Series([11, None, 13], dtype=pl.Int64),
        cumulative_duration_second=pl.Series([500.0, float("nan"), 700.0]),
    )
    whole = complete(Curves(curves.timeseries, given)).halfcycles
    measured = measure(curves)
    assert whole["repetition_count"].to_list() == [11, 2, 13]
    assert whole["cumulative_duration_second"].to_list() == [500.0, measured["low_cumulative_duration_second"][1], 700.0]
    assert whole["peak_deviation_volt"].to_list() == measured["low_peak_deviation_volt"].to_list()
    assert complete(Curves(curves.timeseries, whole)).halfcycles.equals(whole)


@given(shallow=st.floats(0.02, 1.0), more=st.floats(0.01, 0.5), rate=st.floats(0.3, 2))
@settings(max_examples=40)
def test_a_deeper_curve_has_a_larger_peak_and_stays_beyond_for_longer(shallow, more, rate):
    def severity(depth):
        return [float(value[0]) for value in excursion(one(discharge(cutoff=LOWER - depth, rate=rate)), side="low")]

    (peak, seconds), (deeper, longer) = severity(shallow), severity(shallow + more)
    assert peak == pytest.approx(shallow)
    assert deeper > peak
    assert longer > seconds > 0


@given(curves=curve_sets(), seed=st.integers(0, 100))
@settings(max_examples=25)
def test_the_order_of_the_curves_changes_nothing(curves, seed):
    order = np.random.default_rng(seed).permutation(len(curves)).tolist()
    assert measure(curves.take(order)).equals(measure(curves)[order])


@given(
    volts=st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=2, max_size=12),
    steps=st.lists(st.floats(0.1, 50), min_size=11, max_size=11),
)
def test_time_above_is_that_of_the_line_between_the_samples(volts, steps):
    time = np.concatenate([[0.0], np.cumsum(steps)])[: len(volts)]
    fine = np.unique(np.concatenate([time, np.linspace(0, time[-1], 20_001)]))
    above = (np.interp(fine[:-1] + np.diff(fine) / 2, time, volts) > 0) * np.diff(fine)
    found = seconds_above(time, np.array(volts), np.ones(len(volts), dtype=bool))
    assert found == pytest.approx(above.sum(), abs=time[-1] * 13 / 20_000)
