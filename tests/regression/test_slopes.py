"""Far from every known curve, what is expected moves along slopes; they are learnt without the cells they are tried on."""

from dataclasses import replace

import numpy as np
import pytest

from faultcell.curves import FAULTS, Condition
from faultcell.encoding.condition_vector import CONTEXT
from faultcell.encoding.grid import DISCHARGE, END, LEVEL_WEIGHT, SHARES, START, STEPS, VOLTAGE
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.holdout import nearest_cells, own_cell
from faultcell.regression.kernel import HEAD, Differences, Queries
from faultcell.regression.local_linear import FEWEST_CELLS, FOLDS, LocalTrend, trend_features
from faultcell.regression.support import END_STEPS, SupportSet, log_steepness
from strategies import CONFIG, LOWER, UPPER, curves_of, discharge, known_of

GRID, NAMES = CONFIG.grid, tuple(FAULTS)
LOW = STEPS.index("discharge")
SIZE = len(CONTEXT)


def sample(count=240, cells=12, noise=0.01, seed=0):
    """(ways, what is left, cell, true slopes): left over in proportion to the way, and a little noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1, (SIZE, 7))
    gone = rng.normal(0, 1, (count, SIZE))
    return gone, gone @ truth + noise * rng.normal(0, 1, (count, 7)), np.arange(count) % cells, truth


def low(count):
    return np.full(count, LOW)


# --- the regression


def test_slopes_are_found_and_those_of_the_other_half_cycle_stay_flat():
    gone, left, cell, truth = sample()
    trend = LocalTrend.none(7).learnt(LOW, gone, left, cell=cell)
    np.testing.assert_allclose(trend.coefficients[LOW, 0], truth, atol=0.15)
    np.testing.assert_allclose(trend.along(gone, low(len(gone))), left, atol=0.5)
    assert not trend.along(gone, np.full(len(gone), 1 - LOW)).any()


def test_where_the_way_tells_nothing_nothing_is_moved():
    gone, left, cell, _ = sample()
    trend = LocalTrend.none(7).learnt(LOW, gone, np.random.default_rng(5).normal(0, 1, left.shape), cell=cell)
    assert np.abs(trend.coefficients).max() < 0.2


def test_no_further_is_gone_than_slopes_were_learnt_from():
    gone, left, cell, _ = sample()
    trend = LocalTrend.none(7).learnt(LOW, gone, left, cell=cell)
    furthest = np.abs(gone).max(axis=0)
    for sign in (-1, 1):
        at_the_edge, beyond = (trend.along(sign * factor * furthest[None], low(1)) for factor in (1, 9))
        np.testing.assert_array_equal(at_the_edge, beyond)


@pytest.mark.parametrize("cells", [1, FEWEST_CELLS - 1])
def test_of_too_few_cells_no_slope_is_learnt(cells):
    gone, left, cell, _ = sample(cells=cells)
    assert not LocalTrend.none(7).learnt(LOW, gone, left, cell=cell).coefficients.any()


def test_a_cell_has_no_part_in_the_slopes_it_is_tried_on():
    gone, left, cell, _ = sample(noise=1.0)
    other_way = np.where((cell == 3)[:, None], left + 0.2 * gone[:, :1], left)
    one, other = (LocalTrend.none(7).learnt(LOW, gone, values, cell=cell) for values in (left, other_way))
    own_fold = 1 + 3 % FOLDS
    np.testing.assert_allclose(one.coefficients[LOW, own_fold], other.coefficients[LOW, own_fold])
    residual = np.delete(np.arange(1 + FOLDS), own_fold)
    assert (np.abs(one.coefficients - other.coefficients)[LOW, residual].max(axis=(1, 2)) > 0.01).all()
    tried = one.along(gone[:1], low(1), cell=np.array([3]))
    np.testing.assert_allclose(tried[0], gone[0] @ one.coefficients[LOW, own_fold])


def test_a_channel_that_some_cells_do_not_know_is_learnt_from_the_others():
    gone, left, cell, truth = sample()
    left[cell % 2 == 0, :3] = np.nan
    trend = LocalTrend.none(7).learnt(LOW, gone, left, cell=cell)
    np.testing.assert_allclose(trend.coefficients[LOW, 0], truth, atol=0.15)
    left[cell > 2, :3] = np.nan  # which leaves too few
    assert not LocalTrend.none(7).learnt(LOW, gone, left, cell=cell).coefficients[..., :3].any()


def test_every_cell_counts_the_same_however_many_curves_it_has():
    gone, left, cell, _ = sample(noise=0.5)
    many = np.concatenate([np.arange(len(cell)), np.repeat(np.flatnonzero(cell == 0), 9)])
    one, other = (
        LocalTrend.none(7).learnt(LOW, gone[rows], left[rows], cell=cell[rows]) for rows in (np.arange(len(cell)), many)
    )
    np.testing.assert_allclose(one.coefficients[LOW, 0], other.coefficients[LOW, 0], atol=0.08)


# --- the way


def queries(*rates, health=0.9):
    return Queries.of([Condition("normal", step_type="discharge", c_rate=r, state_of_health=health) for r in rates], NAMES)


def test_the_way_is_in_amperes_and_not_in_their_logarithm():
    gone = Differences(trend_features(queries(1.0, 2.0))).to(trend_features(queries(4.0)), np.array([[0.5, 0.5]]))
    assert gone[0, CONTEXT.index("c_rate")] == pytest.approx(4.0 - 1.5)
    assert gone[0, CONTEXT.index("health")] == pytest.approx(0)


def test_what_a_side_does_not_know_is_no_way():
    for asked, known in ((queries(None), queries(1.0)), (queries(1.0), queries(None))):
        assert Differences(trend_features(known)).to(trend_features(asked), np.ones((1, 1)))[0, CONTEXT.index("c_rate")] == 0


# --- in the expectation


@pytest.fixture(scope="module")
def rated():
    """Cells that sag by 0.1 V for each ampere, at 0.5 to 1.5 A: known curves and their neighbours."""
    rates = np.repeat(np.linspace(0.5, 1.5, 9), 3)
    rows = [
        (f"R{i // 3}", 1 + i % 3, "discharge", "normal", discharge(rate=rate, sag=0.1 * rate), {"state_of_health": 0.9})
        for i, rate in enumerate(rates)
    ]
    known = known_of(curves_of(rows))[0]
    return known, KernelRegression.of(known, GRID)


def test_a_current_nobody_ran_is_expected_further_down(rated):
    """The mean of the nearest would be the curve of 1.5 A."""
    regression = rated[1]
    asked = Queries.of([Condition("normal", step_type="discharge", c_rate=1.7, state_of_health=0.9)], NAMES)
    flat = replace(regression, trend=LocalTrend.none(regression.trend.coefficients.shape[-1]))
    truth = known_of(curves_of([("X", 1, "discharge", "normal", discharge(rate=1.7, sag=0.17), {"state_of_health": 0.9})]))[0]
    steps = np.s_[0, VOLTAGE, SHARES : GRID.head]  # how long each voltage step takes
    moved, stayed = (
        np.sqrt(np.square(n.predict(asked).values[steps] - truth.values[steps]).mean()) for n in (regression, flat)
    )
    assert moved < 0.6 * stayed


def test_beyond_the_limits_nothing_is_moved(rated):
    known, regression = rated
    flat = replace(regression, trend=LocalTrend.none(regression.trend.coefficients.shape[-1]))
    one, other = (n.predict(known.queries, known.log_seconds).log_seconds for n in (regression, flat))
    np.testing.assert_array_equal(one, other)


# --- which cells are closed


def test_the_nearest_cells_are_closed_first_and_no_more_than_the_share():
    rng = np.random.default_rng(0)
    cell = np.repeat(np.arange(10), 4)
    apart = np.tile(np.arange(10.0).repeat(4), (200, 1)) + rng.uniform(0, 0.5, (200, 40))
    closed = nearest_cells(apart, cell, share=0.5, rng=rng)
    by_cell = closed.reshape(200, 10, 4)
    assert (by_cell.all(axis=2) == by_cell.any(axis=2)).all()  # whole cells
    count = by_cell.any(axis=2).sum(axis=1)
    assert set(count) == set(range(6))
    assert all(row.any(axis=1)[:n].all() for row, n in zip(by_cell, count, strict=True))


def test_what_is_closed_already_is_no_cell_to_close():
    apart = np.tile(np.arange(10.0), (50, 1))
    apart[:, 0] = np.inf
    closed = nearest_cells(apart, np.arange(10), share=1.0, rng=np.random.default_rng(0))
    assert not closed[:, 0].any()
    assert closed.sum(axis=1).max() == 9


def test_what_is_left_when_the_nearest_are_closed_is_further(rated):
    known, regression = rated
    near = own_cell(known, known)
    far = regression.leave_cells_out(known.queries, near, share=0.8, rng=np.random.default_rng(0))
    assert (far >= near).all()
    one, other = (regression.predict(known.queries, excluded=excluded).distance[:, HEAD] for excluded in (near, far))
    assert (other >= one - 1e-12).all()
    assert (other > one + 0.1).any()


# --- how a curve enters what is beyond


def test_steepness_is_that_of_the_last_of_the_head():
    """Windows a second: the last voltage steps over the time that they take."""
    values = np.zeros((3, 4, GRID.length))
    values[:, VOLTAGE, START] = LEVEL_WEIGHT * np.array([0.5, 1.0, 1.0])  # down to the limit in even steps
    values[2, VOLTAGE, GRID.head - END_STEPS : GRID.head] = np.log(2)  # but for the last, which take twice as long
    discharges = np.full(3, DISCHARGE)
    found = log_steepness(values, np.log([[1000.0, 9]] * 3), discharges, GRID)
    steps = GRID.head - SHARES
    half = 0.5 * (steps + END_STEPS) / steps
    np.testing.assert_allclose(found, np.log([0.5 / 1000, 1.0 / 1000, half / 1000]), rtol=1e-6)
    upwards = values.copy()
    upwards[:, VOLTAGE, [START, END]] = values[:, VOLTAGE, [END, START]]
    np.testing.assert_array_equal(log_steepness(upwards, np.log([[1000.0, 9]] * 3), discharges, GRID), found)


def test_steepness_of_a_known_curve_is_that_of_its_samples():
    samples = discharge(cutoff=LOWER - 0.4, samples=600)
    known = known_of(curves_of([("X", 1, "discharge", "overdischarge", samples, {})]))[0]
    found = log_steepness(known.values, known.log_seconds, known.queries.mode, GRID)[0]
    volt, time = samples["voltage_volt"], samples["step_time_second"]
    last = (volt > LOWER) & (volt < volt[0] - (volt[0] - LOWER) * (1 - END_STEPS / (GRID.head - SHARES)))
    measured = -np.polyfit(time[last], volt[last], 1)[0] / (UPPER - LOWER)
    assert found == pytest.approx(np.log(measured), abs=0.05)


def test_a_curve_that_goes_on_as_it_came_enters_alike_at_any_depth_and_speed():
    """Twice as deep in twice the time is the same line, and so is the same depth with everything twice as fast."""

    def entry(steepness, seconds, volt):
        asked = Queries.of([Condition("overdischarge", peak_deviation_volt=volt)], NAMES)
        return asked.with_duration(np.log([seconds])).with_entry_slope(np.log([steepness])).features[0, -1]

    first = entry(1e-3, 100.0, 0.38)
    assert entry(1e-3, 200.0, 0.78) == pytest.approx(first)  # the logarithm counts from 20 mV
    assert entry(2e-3, 50.0, 0.38) == pytest.approx(first)
    assert entry(1e-3, 200.0, 0.38) == pytest.approx(first + np.log(2))


def test_a_known_curve_without_a_tail_has_no_entry(tiny):
    known: SupportSet = known_of(tiny[0])[0]
    without = np.isnan(known.log_seconds[:, 1])
    assert np.isnan(known.queries.features[without, -1]).all()
