"""Metrics of pairs, of pooled values and of distributions, against formulas written out by hand, scipy and POT."""

import math

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial.distance import jensenshannon
from sklearn.covariance import LedoitWolf

from faultcell import metrics

pytestmark = pytest.mark.filterwarnings("error")


def curves(seed, shape=(6, 40)):
    return np.random.default_rng(seed).uniform(0, 1, shape)


def normal(seed, shape=(200, 6)):
    return np.random.default_rng(seed).normal(size=shape)


def test_every_public_name_is_there():
    assert sorted(metrics.__all__) == metrics.__all__
    assert all(getattr(metrics, name) is not None for name in metrics.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'fid'"):
        metrics.fid  # noqa: B018


def test_identical_curves_have_no_error_full_correlation_and_no_divergence():
    x = curves(0)
    assert metrics.mae(x, x).tolist() == metrics.mse(x, x).tolist() == [0.0] * 6
    np.testing.assert_allclose(metrics.pcc(x, x), 1)
    np.testing.assert_allclose(metrics.dpcc(x, x), 1)
    assert metrics.kl(x, x) == metrics.js(x, x) == metrics.wasserstein(x, x) == 0


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
    assert metrics.js(a, b) == pytest.approx(jensenshannon(*counts) ** 2, abs=1e-12)
    assert metrics.wasserstein(a, b) == pytest.approx(ot.wasserstein_1d(a.ravel(), b.ravel(), p=1), abs=1e-12)


def test_a_constant_curve_has_no_correlation():
    found = metrics.pcc(np.vstack([np.ones(5), np.arange(5.0)]), np.vstack([np.arange(5.0), np.arange(5.0)]))
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1)


def test_values_beyond_the_real_range_count_in_the_outermost_bins():
    real = np.array([[0.01, 0.99]])
    assert metrics.kl(real, np.array([[-5.0, 7.0]])) == metrics.js(real, np.array([[-5.0, 7.0]])) == 0
    assert metrics.kl(real, np.array([[7.0, 7.0]])) > 0
    assert metrics.wasserstein(real, np.array([[-5.0, 7.0]])) == pytest.approx((5.01 + 6.01) / 2)


def test_jensen_shannon_is_symmetric_and_at_most_ln_2():
    low, high = curves(0, (50, 100)) * 0.4, 0.6 + curves(1, (50, 100)) * 0.4
    assert metrics.js(low, high) == pytest.approx(metrics.js(high, low))
    assert 0.95 * math.log(2) < metrics.js(low, high) < math.log(2)


def test_wasserstein_is_the_shift_of_a_shifted_set():
    x = curves(0)
    assert metrics.wasserstein(x, x + 0.25) == pytest.approx(0.25)


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


def test_the_encoder_is_fixed_small_and_blind_to_company():
    x = curves(0, (10, 128))
    found = metrics.encode(x)
    assert found.shape == (10, 24)
    np.testing.assert_array_equal(found[3:4], metrics.encode(x[3:4]))
    # A constant has its value as first coefficient and nothing else, a straight line one steepness throughout.
    np.testing.assert_allclose(metrics.encode(np.full((1, 128), 0.7)), [[0.7, *[0] * 23]], atol=1e-12)
    line = metrics.encode(np.linspace(0, 1, 128)[None])
    np.testing.assert_allclose(line[0, 16:], 0.1 * math.log(2))


def test_the_encoder_sees_noise_and_shape():
    smooth = np.linspace(0, 1, 128)[None]
    jittered = smooth + 0.01 * normal(0, (1, 128))
    bent = smooth**1.5
    apart = [np.linalg.norm(metrics.encode(x) - metrics.encode(smooth)) for x in (jittered, bent)]
    assert min(apart) > 0.05


def test_frechet_is_that_of_the_textbook_formula():
    a, b = normal(0), normal(1) * [1, 2, 0.5, 1, 1, 3] + 0.3
    first, second = (LedoitWolf().fit(x).covariance_ for x in (a, b))
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    expected = apart + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet(a, b) == pytest.approx(metrics.frechet(b, a))


def test_frechet_of_a_set_with_itself_is_nothing_and_of_a_shifted_one_the_square_of_the_shift():
    a = normal(0)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet(a, a + 0.5) == pytest.approx(6 * 0.25)


def test_frechet_stands_fewer_points_than_features_and_a_collapsed_set():
    few, collapsed = normal(0, (8, 24)), np.ones((8, 24))
    assert 0 < metrics.frechet(few, normal(1, (8, 24))) < metrics.frechet(few, collapsed) < 100


def test_mmd_is_that_of_the_double_sum():
    a, b = normal(0, (20, 3)), normal(1, (30, 3)) + 0.4
    pooled = np.vstack([a, b])
    distance = np.linalg.norm(pooled[:, None] - pooled[None], axis=2)
    kernel = np.exp(-((distance / np.median(distance[np.triu_indices(50, 1)])) ** 2) / 2)
    within = [(part.sum() - len(part)) / (len(part) * (len(part) - 1)) for part in (kernel[:20, :20], kernel[20:, 20:])]
    assert metrics.mmd(a, b)[0] == pytest.approx(sum(within) - 2 * kernel[:20, 20:].mean())


def test_mmd_rejects_another_distribution_and_only_that():
    a = normal(0, (60, 4))
    alike, p_alike = metrics.mmd(a, normal(1, (60, 4)))
    apart, p_apart = metrics.mmd(a, normal(1, (60, 4)) + 1)
    assert abs(alike) < 0.02 < 0.1 < apart
    assert p_apart == pytest.approx(1 / 201)
    assert p_alike > 0.05
    assert metrics.mmd(a, a + 1, permutations=99, seed=3) == metrics.mmd(a, a + 1, permutations=99, seed=3)


def test_p_values_of_alike_sets_are_spread_evenly():
    found = [metrics.mmd(normal(i, (20, 2)), normal(1000 + i, (20, 2)), permutations=99)[1] for i in range(100)]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_distances_grow_with_the_shift_as_those_of_optimal_transport_do():
    a = normal(0, (100, 6))
    shifts = (0.0, 0.5, 1.0, 2.0)
    by_transport = [ot.sliced_wasserstein_distance(a, normal(1, (100, 6)) + s, n_projections=50, seed=0) for s in shifts]
    for distance in (metrics.frechet, lambda x, y: metrics.mmd(x, y, permutations=1)[0]):
        found = [distance(a, normal(1, (100, 6)) + s) for s in shifts]
        assert np.argsort(found).tolist() == np.argsort(by_transport).tolist() == [0, 1, 2, 3]
