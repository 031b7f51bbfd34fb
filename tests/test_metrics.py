"""Metrics against formulas written out by hand and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from faultcell import metrics

pytestmark = pytest.mark.filterwarnings("error")


def curves(seed, shape=(6, 40)):
    return np.random.default_rng(seed).uniform(0, 1, shape)


def test_identical_curves_have_no_error_full_correlation_and_no_divergence():
    x = curves(0)
    assert metrics.mae(x, x).tolist() == metrics.mse(x, x).tolist() == [0.0] * 6
    np.testing.assert_allclose(metrics.pcc(x, x), 1)
    np.testing.assert_allclose(metrics.dpcc(x, x), 1)
    assert metrics.kl(x, x) == 0


def test_known_values():
    a, b = np.array([[0.0, 0.5, 1.0]]), np.array([[0.5, 0.5, 0.0]])
    assert metrics.mae(a, b) == pytest.approx([0.5])
    assert metrics.mse(a, b) == pytest.approx([1.25 / 3])
    assert metrics.pcc(a, -a) == pytest.approx([-1])
    assert metrics.pcc(a, 3 + 2 * a) == pytest.approx([1])
    # Two bins, add-one counts: real (2, 1) + 1 of 5, generated (0, 3) + 1 of 5.
    p, q = (3 / 5, 2 / 5), (1 / 5, 4 / 5)
    expected = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    assert metrics.kl(np.array([[0.1, 0.2, 0.9]]), np.array([[0.6, 0.7, 0.9]]), bins=2) == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), other=st.integers(0, 10_000))
@settings(max_examples=50)
def test_metrics_are_those_of_numpy_and_scipy(seed, other):
    a, b = curves(seed), curves(other)
    np.testing.assert_allclose(metrics.mae(a, b), [np.mean(np.abs(x - y)) for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(metrics.mse(a, b), [np.mean((x - y) ** 2) for x, y in zip(a, b, strict=True)])
    expected = [stats.pearsonr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.pcc(a, b), expected, atol=1e-12)
    expected = [stats.pearsonr(np.diff(x), np.diff(y)).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.dpcc(a, b), expected, atol=1e-12)
    counts = [np.histogram(x, np.linspace(0, 1, 51))[0] + 1 for x in (a, b)]
    assert metrics.kl(a, b) == pytest.approx(stats.entropy(*counts))
    assert metrics.kl(a, b) >= 0


def test_a_constant_curve_has_no_correlation():
    found = metrics.pcc(np.vstack([np.ones(5), np.arange(5.0)]), np.vstack([np.arange(5.0), np.arange(5.0)]))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1)


def test_values_beyond_the_real_range_count_in_the_outermost_bins():
    real = np.array([[0.01, 0.99]])
    assert metrics.kl(real, np.array([[-5.0, 7.0]])) == 0
    assert metrics.kl(real, np.array([[7.0, 7.0]])) > 0


def test_scaled_puts_the_reference_on_zero_to_one():
    reference = np.array([[2.5, 4.5], [3.0, 4.0]])
    np.testing.assert_allclose(metrics.scaled(reference, reference), [[0, 1], [0.25, 0.75]])
    np.testing.assert_allclose(metrics.scaled(np.array([[6.5]]), reference), [[2.0]])


def test_paired_errors_reward_collapse():
    """A perfect sampler has twice the paired error of the mean: never rank on paired errors alone."""
    rng = np.random.default_rng(0)
    real, perfect = rng.normal(size=(2, 400, 200))
    assert metrics.mse(real, perfect).mean() == pytest.approx(2, rel=0.02)
    assert metrics.mse(real, np.zeros_like(real)).mean() == pytest.approx(1, rel=0.02)
