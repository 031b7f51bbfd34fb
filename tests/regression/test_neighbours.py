"""What known curves let expect: nearer ones count more, learnt scales say what is near, the charge balances."""

from dataclasses import replace

import numpy as np
import pytest

from faultcell.curves import FAULTS, Condition
from faultcell.encoding.condition_vector import CONTEXT
from faultcell.encoding.grid import MODES, SURGE, TEMPERATURE, VOLTAGE, prior
from faultcell.regression.estimator import DURATION_MARGIN, KernelRegression
from faultcell.regression.kernel import (
    C_RATE,
    FEATURES,
    HEAD,
    HEALTH,
    KERNELS,
    LASTS,
    LOOKS_AT,
    PAST,
    TAIL,
    Points,
    Queries,
    fit_metric,
    product,
    squares,
    weights,
)
from faultcell.regression.local_linear import LocalTrend
from faultcell.regression.reference_shift import persistent
from faultcell.regression.residual import ResidualEncoder
from strategies import CONFIG, UPPER, charge, curves_of, discharge, fault_curves, known_of, normal_rows, surge

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
GRID, NAMES = CONFIG.grid, tuple(FAULTS)


@pytest.fixture(scope="module")
def normal(tiny):
    """(neighbours, conditions): the normal curves, half of them charges."""
    known, conditions = known_of(tiny[0])
    return KernelRegression.of(known, GRID), conditions


@pytest.fixture(scope="module")
def faulty(tiny):
    known, conditions = known_of(tiny[1])
    return KernelRegression.of(known, GRID), conditions


def asked(*conditions):
    return Queries.of(conditions, NAMES)


def kept(regression, rows):
    """The same kernels among these known curves alone."""
    return replace(regression, known=regression.known.take(np.asarray(rows)))


def same(one, other):
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


# --- scales


@pytest.mark.parametrize(("matters", "noise"), [("c_rate", "ambient_temperature_celsius"), ("state_of_health", "c_rate")])
def test_what_matters_gets_a_larger_scale_than_what_is_noise(matters, noise):
    rng, spans = (
        np.random.default_rng(0),
        {"c_rate": (0.3, 3), "ambient_temperature_celsius": (5, 45), "state_of_health": (0.6, 1)},
    )
    conditions = [
        Condition("normal", step_type="discharge", **{name: float(rng.uniform(*span)) for name, span in spans.items()})
        for _ in range(90)
    ]
    place = {"c_rate": C_RATE, "ambient_temperature_celsius": FEATURES.index("ambient"), "state_of_health": HEALTH}
    queries = asked(*conditions)
    target = np.sin(2 * queries.features[:, [place[matters]]])
    metric = fit_metric(queries, target, cell=np.arange(90) // 3, looks_at=LOOKS_AT[HEAD])
    assert metric[place[matters]] > 2 * metric[place[noise]] > 0
    assert (metric[~LOOKS_AT[HEAD]] == 0).all()


def test_each_kernel_looks_at_what_it_may_alone(normal, faulty):
    for regression, _ in (normal, faulty):
        assert regression.metric.shape == (len(KERNELS), len(MODES), len(FEATURES) + 1)
        for kernel in (HEAD, LASTS, TAIL):
            assert ((regression.metric[kernel] > 0) == LOOKS_AT[kernel]).all()
    outside = [FEATURES.index(name) for name in FEATURES if name not in CONTEXT]
    assert (regression.metric[HEAD][:, [*outside, -1]] == 0).all()  # inside its limits a curve owes nothing to its fault


# --- weights


@pytest.mark.parametrize("columns", [1, 3, 7, 391, 1037, 1047])
@pytest.mark.parametrize("inner", [5, 31, 391])
def test_the_bits_of_a_row_do_not_depend_on_its_place_in_a_product(inner, columns):
    rng = np.random.default_rng(0)
    one, other, order = rng.random((64, inner)), rng.random((inner, columns)), rng.permutation(64)
    np.testing.assert_array_equal(product(one, other)[order], product(one[order], other))
    np.testing.assert_allclose(product(one, other), one @ other, rtol=1e-12)


def test_weights_are_of_the_nearest_and_sum_to_one_or_to_zero_where_all_is_barred(normal):
    regression, known = normal[0], normal[0].known
    square, metric = squares(known.queries, known.queries), regression.metric[HEAD, known.queries.mode]
    distance = Points(known.queries).distances(known.queries, metric)
    np.testing.assert_allclose(distance, np.einsum("nmf,nf->nm", square, np.square(metric)), rtol=1e-9, atol=1e-9)
    closed = np.random.default_rng(0).random((len(known), len(known))) < 0.7
    closed[3], closed[5] = True, True
    closed[5, 7] = False
    weight, spread = weights(distance, closed)
    np.testing.assert_allclose(weight.sum(axis=1), np.where(np.arange(len(known)) == 3, 0, 1))
    assert (weight[closed] == 0).all()
    only = known.queries.take(np.array([5, 7]))
    assert weight[5, 7] == 1
    assert spread[5] == pytest.approx(regression.apart(only.take(np.array([0])), only.take(np.array([1])))[0])
    assert spread[3] == spread.max()
    free, _ = weights(distance, np.zeros_like(closed))
    assert (free.argmax(axis=1) == np.arange(len(known))).all()  # nothing is nearer to a curve than itself


def test_where_nothing_may_be_used_the_prior_is_expected(normal):
    regression, known = normal[0], normal[0].known
    nothing = regression.predict(known.queries, known.log_seconds, excluded=np.ones((len(known), len(known)), dtype=bool))
    np.testing.assert_array_equal(nothing.values, np.broadcast_to(prior(GRID), nothing.values.shape))
    assert len(np.unique(nothing.log_seconds, axis=0)) == 1
    assert np.isfinite(nothing.log_seconds).all()
    assert (nothing.distance > regression.predict(known.queries, known.log_seconds).distance).all()


def test_a_barred_cell_and_the_other_half_cycle_never_contribute(normal):
    regression, known = normal[0], normal[0].known
    excluded = known.cell[:, None] == known.cell[None]
    before = regression.predict(known.queries, known.log_seconds, excluded=excluded)
    wild = known.cell == known.cell[0]
    spoilt = replace(known, values=np.where(wild[:, None, None], 1e6, known.values).astype(np.float32))
    spoilt = replace(spoilt, log_seconds=np.where(wild[:, None], 50.0, known.log_seconds))
    after = replace(regression, known=spoilt).predict(known.queries, known.log_seconds, excluded=excluded)
    assert np.array_equal(before.values[wild], after.values[wild])
    assert np.array_equal(before.log_seconds[wild], after.log_seconds[wild])
    assert (before.values[~wild] != after.values[~wild]).any(axis=(1, 2)).all()
    charges = known.queries.mode == 0
    alone = kept(regression, np.flatnonzero(charges)).predict(known.queries.take(np.flatnonzero(charges)))
    np.testing.assert_allclose(alone.values, regression.predict(known.queries).values[charges], rtol=1e-9)


def test_what_one_side_does_not_know_counts_as_typical_and_what_nobody_knows_as_nothing():
    rates = np.random.default_rng(0).uniform(0.5, 2, 12)
    known = asked(*(Condition("normal", step_type="charge", c_rate=float(rate)) for rate in rates))
    found = squares(asked(Condition("normal", step_type="charge")), known)[0]
    typical = np.square(np.log2(rates)[:, None] - np.log2(rates)).mean()  # of two known curves, drawn at random
    np.testing.assert_allclose(found[:, C_RATE], typical)
    assert (found[:, HEALTH] == 0).all()
    forgetful = known.drop_context(np.arange(60).reshape(12, 5) >= 5, np.ones(12, dtype=bool))  # the first knows nothing
    found = squares(asked(Condition("normal", step_type="charge", c_rate=1.0)), forgetful)[0, :, C_RATE]
    residual = np.log2(rates[1:])
    np.testing.assert_allclose(found, [np.square(residual[:, None] - residual).mean(), *np.square(residual)])


def test_the_fault_counts_for_how_a_curve_goes_on_and_not_for_how_it_came_there(faulty):
    regression, known = faulty[0], faulty[0].known
    one = known.queries.take(np.flatnonzero(known.queries.mode == 0)[:1])
    two = one.joined(replace(one, label=one.label + 1))  # alike in all but the fault
    points, closed = Points(two), np.zeros((1, 2), dtype=bool)
    weight = {
        kernel: weights(points.distances(one, regression.metric[kernel, one.mode]), closed)[0][0]
        for kernel in (HEAD, LASTS, TAIL)
    }
    np.testing.assert_array_equal(weight[HEAD], [0.5, 0.5])
    for kernel in (LASTS, TAIL):
        assert weight[kernel][0] > weight[kernel][1]


# --- seconds


@pytest.fixture(scope="module")
def balanced():
    """Discharges that last just as the charge balance says."""
    rng = np.random.default_rng(0)
    rows = [
        (f"B{i}", 1, "discharge", "normal", discharge(rate=rate, health=health), {"state_of_health": health})
        for i, (rate, health) in enumerate(zip(rng.uniform(0.3, 2, 12), rng.uniform(0.7, 1, 12), strict=True))
    ]
    return KernelRegression.of(known_of(curves_of(rows))[0], GRID)


def head_seconds(regression, **context):
    return np.exp(regression.predict(asked(Condition("normal", step_type="discharge", **context))).log_seconds[0, 0])


def test_the_head_lasts_by_the_charge_balance(balanced):
    once = head_seconds(balanced, c_rate=0.7, state_of_health=0.9)
    assert once == pytest.approx(3600 * 0.9 / 0.7, rel=1e-3)
    assert head_seconds(balanced, c_rate=1.4, state_of_health=0.9) == pytest.approx(once / 2, rel=1e-3)
    assert head_seconds(balanced, c_rate=0.7, state_of_health=0.45) == pytest.approx(once / 2, rel=1e-3)


def test_without_a_rate_the_head_lasts_as_the_known_ones_do(balanced):
    known = np.exp(balanced.known.log_seconds[:, 0])
    assert known.min() < head_seconds(balanced) < known.max()


@pytest.fixture(scope="module")
def firsts():
    """Overdischarges, the first of their cells: their past is their own time beyond the limit."""
    return KernelRegression.of(known_of(fault_curves(cells=8, cycles=1).select(label=["overdischarge"]))[0], GRID)


def tail_seconds(regression, **past):
    condition = Condition("overdischarge", peak_deviation_volt=0.4, **past)
    return np.exp(regression.predict(asked(condition)).log_seconds[0, 1])


def test_the_tail_lasts_as_it_has_done_so_far_in_its_cell(firsts):
    known = np.exp(firsts.known.log_seconds[:, 1])
    assert known.min() < tail_seconds(firsts) < known.max()
    for seconds in (10.0, 5000.0):  # far from all that is known
        assert tail_seconds(firsts, repetition_count=1, cumulative_duration_second=seconds) == pytest.approx(seconds, rel=0.05)
        third = tail_seconds(firsts, repetition_count=3, cumulative_duration_second=3 * seconds)
        assert third == pytest.approx(seconds, rel=0.05)


def test_how_the_tail_goes_on_follows_its_seconds(faulty):
    """Curves as long as the one that is asked for count more."""
    regression, known = faulty[0], faulty[0].known
    low = np.flatnonzero(known.queries.mode == 1)
    queries = known.queries.take(low)
    shorter = regression.predict(queries, known.log_seconds[low] - 2)
    longer = regression.predict(queries, known.log_seconds[low] + 2)
    tail = slice(GRID.head, None)
    assert (shorter.values[:, TEMPERATURE, tail] != longer.values[:, TEMPERATURE, tail]).any()
    np.testing.assert_array_equal(shorter.values[..., : GRID.head], longer.values[..., : GRID.head])
    np.testing.assert_array_equal(shorter.log_seconds, longer.log_seconds)


# --- curves


def test_what_is_expected_is_a_mean_of_known_curves_of_the_half_cycle_moved_along_slopes(normal):
    regression, known = normal[0], normal[0].known
    flat = replace(regression, trend=LocalTrend.none(regression.trend.coefficients.shape[-1]))
    found, moved = (some.predict(known.queries, known.log_seconds) for some in (flat, regression))
    along = regression.trend.along(moved.displacement, known.queries.mode).reshape(len(known), -1, GRID.head)
    np.testing.assert_allclose(moved.values[..., : GRID.head], found.values[..., : GRID.head] + along, atol=1e-9)
    assert np.abs(along[:, VOLTAGE]).max() > 0.01
    for step in (0, 1):
        of_step = known.queries.mode == step
        head = known.values[of_step][:, VOLTAGE, : GRID.head]
        prediction = found.values[of_step][:, VOLTAGE, : GRID.head]
        assert (prediction >= head.min(axis=0) - 1e-6).all()
        assert (prediction <= head.max(axis=0) + 1e-6).all()
    discharges = found.values[known.queries.mode == 1]  # they have no tail: what is masked everywhere is the prior
    plain = np.broadcast_to(prior(GRID), discharges.shape)
    np.testing.assert_array_equal(discharges[..., GRID.head :], plain[..., GRID.head :])


def test_many_questions_are_answered_as_each_alone(faulty):
    regression, known = faulty[0], faulty[0].known
    rows = np.arange(600) % len(known)
    excluded = np.random.default_rng(0).random((600, len(known))) < 0.5
    together = regression.predict(known.queries.take(rows), known.log_seconds[rows], excluded=excluded)
    for i in (0, 255, 256, 599):
        alone = regression.predict(known.queries.take(rows[[i]]), known.log_seconds[rows[[i]]], excluded=excluded[[i]])
        for name in vars(alone):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[i], rtol=1e-9, atol=1e-12)


# --- an earlier curve of the cell


def test_of_how_a_curve_differed_the_less_is_left_the_further_its_condition(normal):
    regression = replace(normal[0], persistence=np.array([0.5, 2.0, 1.0]))
    known = regression.known
    prediction = regression.predict(known.queries, known.log_seconds)
    wild = replace(prediction, values=known.values - 3.0, log_seconds=known.log_seconds - 0.2)
    for apart in (0.0, 0.5, 2.0):
        found = regression.shift_by(known, wild, apart=np.full(len(known), apart))
        kept = 1 / (1 + (apart / regression.persistence[known.queries.mode]) ** 2)
        np.testing.assert_allclose(persistent(np.full(len(known), apart), regression.persistence[known.queries.mode]), kept)
        np.testing.assert_allclose(found.values[:, VOLTAGE], np.tile(3 * kept[:, None], GRID.head), atol=1e-5)
        np.testing.assert_allclose(found.log_seconds, 0.2 * kept)
    none = regression.shift_by(known, wild, apart=np.full(len(known), np.nan))
    assert not none.values.any()
    assert not none.log_seconds.any()
    assert np.isnan(none.apart).all()


def test_at_the_persistence_half_of_a_difference_is_left_and_at_a_huge_one_all():
    assert persistent(np.array([0.7]), 0.7)[0] == 0.5
    np.testing.assert_allclose(persistent(np.array([0.0, 3.0]), 1e6), 1)
    assert (np.diff(persistent(np.linspace(0, 9, 50), 1.0)) < 0).all()


# --- how far durations may go


def test_no_curve_lasts_longer_than_known_ones_of_its_kind_with_the_charge_they_moved(faulty):
    regression, known = faulty[0], faulty[0].known
    untold = replace(known.queries, count=np.full(len(known), np.nan))
    for sign, side in ((1, "max"), (-1, "min")):
        found = regression.bounded(untold, known.log_seconds + sign * np.array([3.0, 5.0]))
        assert (np.sign(found - known.log_seconds) == sign).all()
        for mode in (0, 1):
            rows = known.queries.mode == mode
            edge = getattr(known.log_seconds[rows, 1], side)() + sign * DURATION_MARGIN
            np.testing.assert_allclose(found[rows, 1], edge)
            moved = (found[:, 0] - known.queries.log_health + known.queries.log_rate)[rows]
            assert np.ptp(moved) < 1e-9  # as much charge as the one that moved most, or least
    np.testing.assert_array_equal(regression.bounded(known.queries, known.log_seconds), known.log_seconds)


def test_seconds_that_were_asked_for_are_kept_whatever_known_ones_took(firsts):
    kind = {"peak_deviation_volt": 0.4, "c_rate": 0.8, "state_of_health": 0.9}
    told = Condition("overdischarge", **kind, repetition_count=1, cumulative_duration_second=90000.0)
    plain = Condition("overdischarge", **kind)
    seconds = np.log([[3000.0, 90000.0]])
    assert firsts.bounded(asked(told), seconds)[0, 1] == np.log(90000.0)
    assert firsts.bounded(asked(plain), seconds)[0, 1] < np.log(9000.0)


# --- surges


@pytest.fixture(scope="module")
def surges():
    """Overcharges, most of which surge, with normal charges and discharges."""
    peaks = np.linspace(0.1, 0.5, 8)
    rows = [(f"S{i}", 1, "charge", "overcharge", surge(peak=p, at=0.01, lasts=3000 + 400 * i), {}) for i, p in enumerate(peaks)]
    rows.append(("C0", 1, "charge", "overcharge", charge(cutoff=UPPER + 0.1), {}))
    return KernelRegression.of(known_of(curves_of([*rows, *normal_rows(cells=4, cycles=2)]))[0], GRID)


def test_a_fault_lies_on_the_grid_as_most_known_ones_of_it_do(surges, faulty):
    conditions = [
        Condition("overcharge", peak_deviation_volt=0.3),
        Condition("overdischarge", peak_deviation_volt=0.3),
        Condition("normal", step_type="charge"),
        Condition("normal", step_type="discharge"),
    ]
    assert surges.modes(conditions, NAMES).tolist() == [SURGE, 1, 0, 1]
    assert faulty[0].modes(conditions, NAMES).tolist() == [0, 1, 0, 1]


def test_a_surge_is_expected_from_surges_alone_and_its_time_owes_nothing_to_the_charge_balance(surges):
    conditions = [Condition("overcharge", peak_deviation_volt=0.3, c_rate=rate) for rate in (0.5, 2.0)]
    queries = Queries.of(conditions, NAMES, surges.modes(conditions, NAMES))
    known = surges.known
    before = surges.predict(queries)
    wild = known.queries.mode != SURGE
    spoilt = replace(known, values=np.where(wild[:, None, None], 1e6, known.values).astype(np.float32))
    after = replace(surges, known=spoilt).predict(queries)
    same(before, after)
    seconds = known.log_seconds[~wild]
    assert (before.log_seconds > seconds.min(axis=0) - 1e-9).all()
    assert (before.log_seconds < seconds.max(axis=0) + 1e-9).all()
    known_log_seconds = replace(queries, count=np.ones(2), past=np.full(2, np.log(50.0)))
    assert np.isnan(known_log_seconds.known_log_seconds).all()  # its tail goes on after the voltage has fallen back


# --- known curves


def test_thinning_keeps_the_share_of_every_cell_and_half_cycle():
    rows = [(f"T{i}", *row[1:]) for i, cycles in enumerate((24, 12, 6, 2)) for row in normal_rows(cells=1, cycles=cycles)]
    known = known_of(curves_of(rows))[0]
    thin = known.thinned(len(known) // 2)
    assert len(thin) == len(known) // 2
    for cell in np.unique(known.cell):
        for step in (0, 1):
            before, after = (int(((k.cell == cell) & (k.queries.mode == step)).sum()) for k in (known, thin))
            assert after == pytest.approx(before / 2, abs=1)
    assert known.thinned(len(known)) is known


def test_what_is_stored_comes_back_and_expects_the_same(tuned):
    encoder = tuned.encoder
    again = ResidualEncoder.restored(encoder.tensors(), tuned.config, faults=encoder.faults)
    conditions = [
        Condition("overdischarge", peak_deviation_volt=0.4, c_rate=0.8, repetition_count=2, cumulative_duration_second=500.0),
        Condition("overcharge", peak_deviation_volt=0.1, state_of_health=0.9),
        Condition("normal", step_type="discharge", ambient_temperature_celsius=10.0),
    ]
    one, other = encoder.ask(conditions), again.ask(conditions)
    same(one.prediction, other.prediction)
    np.testing.assert_array_equal(one.width, other.width)
    deeper = replace(conditions[0], peak_deviation_volt=0.8)
    assert not np.array_equal(one.prediction.log_seconds[0], encoder.ask([deeper]).prediction.log_seconds[0])


def test_the_past_is_seen_over_what_the_charge_balance_expects():
    """A fault of 100 s is a long one where the whole curve takes little time."""
    kind = {"peak_deviation_volt": 0.4, "repetition_count": 1, "cumulative_duration_second": 100.0}
    slow, fast = asked(Condition("overdischarge", c_rate=0.5, **kind), Condition("overdischarge", c_rate=2.0, **kind)).features
    assert fast[PAST] - slow[PAST] == pytest.approx(np.log(4))
