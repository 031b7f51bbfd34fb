"""Neighbours, judges, forecasts and physics, against known values, prdc and SDMetrics."""

import numpy as np
import pytest
from prdc import compute_prdc

from faultcell import metrics
from faultcell.errors import DataError


def normal(seed, shape=(200, 4)):
    return np.random.default_rng(seed).normal(size=shape)


def ramps(seed, count, *, noise=0.0, bend=1.0):
    """Falling curves `(count, 128)` of slightly different bends."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, 128)
    return 1 - x ** (bend + rng.uniform(0, 0.5, (count, 1))) + noise * rng.normal(size=(count, 128))


@pytest.mark.parametrize(("shape", "shift"), [((200, 4), 0.0), ((80, 24), 0.3), ((200, 128), 0.0)])
def test_density_and_coverage_are_those_of_prdc(shape, shift):
    real, generated = normal(0, shape), normal(1, shape) + shift
    expected = compute_prdc(real, generated, nearest_k=5)
    found = metrics.density_coverage(real, generated)
    assert found == pytest.approx((expected["density"], expected["coverage"]), abs=1e-12)


def test_density_and_coverage_of_a_copy_a_point_and_something_else():
    real = normal(0)
    assert metrics.density_coverage(real, real) == pytest.approx((1, 1), abs=0.25)
    density, coverage = metrics.density_coverage(real, np.zeros((200, 4)))
    assert density > 1
    assert coverage < 0.3
    assert metrics.density_coverage(real, real + 100) == (0, 0)
    with pytest.raises(DataError, match="need more real curves than that, found 5"):
        metrics.density_coverage(real[:5], real)


def test_authenticity_of_copies_is_nothing_and_of_a_fresh_draw_below_one():
    train = normal(0)
    assert metrics.authenticity(train, train) == 0
    assert metrics.authenticity(train, train[::-1] + 1e-12) == 0
    assert metrics.authenticity(train, train + 0.01 * normal(2) / 4) == 0
    assert metrics.authenticity(train, normal(1)) == pytest.approx(0.46, abs=0.06)
    assert 0.65 < metrics.authenticity(normal(0, (200, 128)), normal(1, (200, 128))) < 0.95


def test_authenticity_measures_from_the_training_point_that_was_found():
    """Two training points close together and one far away; what is drawn beside the far one is a copy of it."""
    train = np.array([[0.0], [0.1], [10.0]])
    assert metrics.authenticity(train, np.array([[9.0]])) == 0  # 1 from its nearest, which is 9.9 from its own
    assert metrics.authenticity(train, np.array([[-1.0]])) == 1  # 1 from its nearest, which is 0.1 from its own
    assert metrics.authenticity(train, np.array([[9.0], [-1.0], [0.02], [5.5]])) == 0.25


def test_closest_record_of_copies_is_nothing_and_of_a_fresh_draw_one():
    train, held_out = normal(0), normal(1)
    assert metrics.closest_record(train, train, held_out=held_out) == 0
    assert metrics.closest_record(train, normal(2), held_out=held_out) == pytest.approx(1, abs=0.15)
    assert metrics.closest_record(train, normal(2) * 20, held_out=held_out) > 10
    assert metrics.closest_record(train, held_out, held_out=train) == float("inf")
    assert np.isnan(metrics.closest_record(train, train, held_out=train))


def test_closest_record_agrees_with_sdmetrics():
    """SDMetrics takes the distance to the nearest training row over columns scaled to their range, and its median."""
    pytest.importorskip("sdmetrics")
    import pandas as pd
    from sdmetrics.single_table.privacy.dcr_utils import calculate_dcr

    train, held_out = (np.random.default_rng(seed).uniform(size=(100, 3)) for seed in (0, 1))
    columns = {"columns": {name: {"sdtype": "numerical"} for name in "abc"}}
    tables = {name: pd.DataFrame(x, columns=list("abc")) for name, x in (("train", train), ("held_out", held_out))}
    for generated, expected in ((train, 0.0), (held_out, 1.0)):
        table = pd.DataFrame(generated, columns=list("abc"))
        ours, theirs = (float(np.median(calculate_dcr(x, tables["train"], columns))) for x in (table, tables["held_out"]))
        assert ours / theirs == pytest.approx(expected)
        assert metrics.closest_record(train, generated, held_out=held_out) == pytest.approx(expected)


def test_spread_ratio_is_one_for_the_same_nothing_for_the_mean_and_two_for_twice():
    real = normal(0)
    pairs = np.stack([np.arange(199), np.arange(1, 200)], axis=1)
    assert metrics.spread_ratio(real, real, neighbours=pairs) == 1
    assert metrics.spread_ratio(real, 2 * real + 5, neighbours=pairs) == pytest.approx(2)
    assert metrics.spread_ratio(real, np.ones_like(real), neighbours=pairs) == 0
    assert np.isnan(metrics.spread_ratio(np.ones_like(real), real, neighbours=pairs))


def test_judges_tell_other_curves_and_cannot_tell_alike_ones():
    cells = [f"cell {i % 10}" for i in range(60)]
    alike = metrics.discriminative(ramps(0, 60), ramps(1, 60), groups=cells * 2, repeats=1)
    other = metrics.discriminative(ramps(0, 60), ramps(1, 60, noise=0.05), groups=cells * 2, repeats=1)
    assert set(alike) == set(other) == {"gru", "linear"}
    for name in alike:
        assert alike[name].score < 0.15
        assert other[name].score > 0.4
        assert other[name].score == pytest.approx(other[name].signed) == pytest.approx(other[name].accuracy - 0.5)
        assert 0 <= alike[name].spread < 0.25


def test_judges_are_reproducible_and_leave_the_random_state_alone():
    import torch

    cells = [f"cell {i % 3}" for i in range(9)]
    before = torch.get_rng_state()
    found = [metrics.discriminative(ramps(0, 9), ramps(1, 9), groups=cells * 2, seed=4, repeats=1) for _ in range(2)]
    assert found[0] == found[1]
    assert torch.equal(before, torch.get_rng_state())


def test_no_cell_is_on_both_sides():
    """Every cell has a mark of its own in each set: a judge that has seen the cell knows all, any other nothing."""
    rng = np.random.default_rng(0)
    marks = np.repeat(rng.normal(size=(2, 12, 128)), 4, axis=1)
    real, generated = marks + 0.01 * rng.normal(size=marks.shape)
    cells = [f"cell {i // 4}" for i in range(48)] * 2
    leaky = [f"curve {i}" for i in range(96)]
    accuracy = [
        metrics.discriminative(real, generated, groups=groups, repeats=1)["linear"].accuracy for groups in (cells, leaky)
    ]
    assert accuracy[0] < 0.7
    assert accuracy[1] > 0.95


@pytest.mark.parametrize(("cells", "count"), [(2, 10), (10, 2)])
def test_too_few_cells_or_curves_for_the_folds_are_refused(cells, count):
    groups = [f"cell {i % cells}" for i in range(count)]
    with pytest.raises(DataError, match=f"3 folds needs .* found {min(cells, count)} groups, {count} real"):
        metrics.discriminative(ramps(0, count), ramps(1, count), groups=groups * 2)


def test_the_forecast_is_exact_on_what_it_can_learn_and_poor_after_noise():
    lines = np.linspace(0, 1, 128) * np.linspace(0.5, 1, 20)[:, None]
    assert metrics.predictive(lines, lines) < 2e-3
    clean = ramps(0, 50)
    errors = [metrics.predictive(train, clean) for train in (ramps(1, 50), ramps(1, 50, noise=0.02), normal(0, (50, 128)))]
    assert errors == sorted(errors)
    assert errors[0] < 0.5 * errors[1]


def test_beyond_limits_is_in_volt_and_by_side():
    volts = [np.array([4.3, 3.0, 2.4]), np.array([4.0, 3.0]), np.array([4.2, 2.7])]
    found = metrics.beyond_limits(volts, lower=np.full(3, 2.7), upper=np.full(3, 4.2))
    np.testing.assert_allclose(found, [[0.3, 0.1], [0, 0], [0, 0]], atol=1e-12)


def test_movement_against_the_trend_counts_at_constant_current_only():
    falling, current = np.array([4.0, 3.8, 3.9, 3.6, 3.5]), np.full(5, -2.0)
    assert metrics.against_trend([falling], amperes=[current]) == pytest.approx([0.1 / 0.7])
    assert metrics.against_trend([-falling], amperes=[current]) == pytest.approx([0.1 / 0.7])
    held = np.concatenate([np.linspace(3.5, 4.2, 8), np.full(8, 4.2) - 0.01 * np.arange(1, 9)])
    fading = np.concatenate([np.full(8, 1.0), np.linspace(0.9, 0.1, 8)])
    assert metrics.against_trend([held], amperes=[fading]) == pytest.approx([0])
    assert metrics.against_trend(normal(0, (1, 5000)), amperes=np.ones((1, 5000)))[0] == pytest.approx(0.5, abs=0.01)
    assert np.isnan(metrics.against_trend([np.full(5, 3.7)], amperes=[current])[0])


def test_charge_balance_is_one_for_a_full_discharge():
    seconds = np.linspace(0, 3600, 50)
    found = metrics.charge_balance([seconds, seconds], amperes=[np.full(50, -1.8), np.full(50, 0.9)], capacity=np.full(2, 1.8))
    np.testing.assert_allclose(found, [1, 0.5])


def test_outside_is_the_central_99_percent_of_the_reference():
    reference = np.append(np.linspace(0, 1, 1001), np.nan)
    values = np.array([-0.01, 0.004, 0.006, 0.994, 0.996, 2.0, np.nan])
    assert metrics.outside(values, reference).tolist() == [True, True, False, False, True, True, False]
    assert metrics.outside(values, reference, below=False).tolist() == [False] * 4 + [True, True, False]
    assert metrics.outside(values, reference, slack=0.1).tolist() == [False] * 5 + [True, False]
    assert not metrics.outside(values, np.array([np.nan])).any()
