"""How far curves stray is learnt from how far curves strayed: further neighbours, wider."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.curves import FAULTS, Condition
from faultcell.regression.kernel import KERNELS, Queries
from faultcell.regression.scale import LEAST, LEAST_RADIUS, MOST_RADIUS, Radii, ResidualScale
from faultcell.regression.support import ERRORS

pytestmark = pytest.mark.filterwarnings("error")
COUNT, WORDS = len(ERRORS), list(ERRORS)


def queries(count, *, step="discharge", fault="normal", **past):
    condition = Condition(fault, step_type=step, peak_deviation_volt=0.0 if fault == "normal" else 0.4, **past)
    return Queries.of([condition] * count, tuple(FAULTS))


def reaches(values):
    return np.repeat(np.asarray(values, dtype=float)[:, None], len(KERNELS), axis=1)


def errors(size, count, seed=0, *, points=8):
    """Root mean squares over a few points of normal errors of a given size; half-normal for one point."""
    drawn = np.random.default_rng(seed).normal(0, 1, (points, count, COUNT))
    return np.sqrt(np.square(drawn).mean(axis=0)) * np.asarray(size).reshape(-1, 1)


def fitted(size, distance, *, before=None, mode=False, asked=None, seed=0):
    asked = queries(len(distance)) if asked is None else asked
    given = np.full(len(distance), mode)
    return ResidualScale.fit(
        asked, reaches(distance), given, errors(size, len(distance), seed), before=before or ResidualScale.plain()
    )


def at(scale, distance, *, mode=False, **kind):
    distance = np.atleast_1d(distance)
    return scale.of(queries(len(distance), **kind), reaches(distance), np.full(len(distance), mode))


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    slope=st.floats(-2, 2),
    missing=st.floats(0, 1),
    twice=st.booleans(),
)
@settings(max_examples=40)
def test_further_neighbours_never_give_narrower_widths(seed, count, slope, missing, twice):
    """Not even where errors were smaller there."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(0.05, 5, count)
    strayed = errors(0.1 * distance**slope, count, seed)
    strayed[rng.random(strayed.shape) < missing] = np.nan
    scale, none = ResidualScale.plain(), np.zeros(count, dtype=bool)
    for _ in range(1 + twice):
        scale = ResidualScale.fit(queries(count), reaches(distance), none, strayed, before=scale)
    found = at(scale, np.linspace(0, 12, 50))
    assert (np.diff(found, axis=0) >= 0).all()
    assert np.isfinite(found).all()
    assert (found >= LEAST).all()


@pytest.mark.parametrize("slope", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("size", [0.2, 1.0])
def test_a_known_spread_is_recovered(slope, size):
    distance = np.random.default_rng(1).uniform(0.1, 3, 2000)
    scale = fitted(size * distance**slope, distance)
    for near in (0.2, 1.0, 2.5):
        spread = size * near**slope
        free = size * 0.1**slope >= LEAST  # what is least bends no line
        np.testing.assert_allclose(at(scale, near)[0, free], spread, rtol=0.1)
        np.testing.assert_allclose(at(scale, near)[0, ~free], np.maximum(spread, LEAST)[~free], rtol=0.2)


@pytest.mark.parametrize("points", [8, 1])
def test_errors_over_their_widths_have_a_geometric_mean_of_one(points):
    """However much they scatter, as half-normal ones do: how far single curves stray beyond that, radii say."""
    distance, none = np.random.default_rng(1).uniform(0.1, 3, 500), np.zeros(500, dtype=bool)
    strayed = errors(0.1 * distance, 500, points=points)
    scale = ResidualScale.fit(queries(500), reaches(distance), none, strayed, before=ResidualScale.plain())
    ratios = np.maximum(strayed, LEAST) / at(scale, distance)
    np.testing.assert_allclose(np.exp(np.log(ratios).mean(axis=0)), 1, atol=0.03)


def test_faults_a_known_past_and_a_half_cycle_each_have_widths_of_their_own():
    distance, ones = np.ones(400), np.ones(400, dtype=bool)
    narrow = {"fault": "overdischarge", "repetition_count": 2, "cumulative_duration_second": 300.0}
    asked = queries(200).joined(queries(200, **narrow))
    strayed = errors(np.repeat([0.2, 0.02], 200), 400)
    scale = ResidualScale.fit(asked, reaches(distance), ~ones, strayed, before=ResidualScale.plain())
    np.testing.assert_allclose(at(scale, 1.0)[0], 0.2, rtol=0.25)
    np.testing.assert_allclose(at(scale, 1.0, **narrow)[0], np.maximum(0.02, LEAST), rtol=0.25)
    untold = at(scale, 1.0, step="charge")[0]  # of these there was nothing to see
    np.testing.assert_array_equal(untold, at(ResidualScale.plain(), 1.0)[0])


def test_few_curves_stay_near_the_coefficients_before():
    before = fitted(0.1, np.random.default_rng(1).uniform(0.1, 3, 400))
    usual = np.log(at(before, 1.0)[0])
    moved = [np.log(at(fitted(1.0, np.ones(count), before=before), 1.0)[0]) - usual for count in (1, 8, 400)]
    assert (moved[0] > 0).all()
    assert (moved[0] < 0.5 * np.log(10)).all()
    assert (moved[0] < moved[1]).all()
    np.testing.assert_allclose(moved[2], np.log(10), atol=0.2)


def test_an_error_that_is_nowhere_known_leaves_its_widths_as_they_were():
    before = fitted(0.1, np.random.default_rng(1).uniform(0.1, 3, 400))
    strayed = errors(1.0, 50)
    strayed[:, WORDS.index("tail")] = np.nan
    none = np.zeros(50, dtype=bool)
    after = at(ResidualScale.fit(queries(50), reaches(np.ones(50)), none, strayed, before=before), 1.0)[0] / at(before, 1.0)[0]
    assert after[WORDS.index("tail")] == 1
    assert (np.delete(after, WORDS.index("tail")) > 2).all()


def test_one_curve_in_ten_that_strays_far_does_not_widen_all_others():
    distance = np.ones(500)
    size = np.where(np.arange(500) % 10 == 0, 10.0, 0.1)
    assert (at(fitted(size, distance), 1.0)[0] < 0.1 * np.sqrt(np.square(size).mean())).all()


def test_what_no_curve_told_of_with_a_reference_is_as_wide_as_without():
    """Normal curves that never leave their limits tell nothing of tails; a handful of faults may have no reference."""
    distance = np.linspace(0.2, 2, 40)
    plain = fitted(0.1 * np.ones(40), distance)
    np.testing.assert_allclose(at(plain, distance, mode=True), at(plain, distance), rtol=1e-12)
    assert at(plain, 1.0, mode=True).max() < 0.2
    referenced = fitted(0.01 * np.ones(40), distance, before=plain, mode=True)
    assert (at(referenced, 1.0, mode=True) < np.maximum(0.5 * at(plain, 1.0), 1.2 * LEAST)).all()


# --- how far single curves stray


def radii(ratios, *, cell=None, mode=False, before=None):
    ratios = np.asarray(ratios, dtype=float)
    if ratios.ndim == 1:
        ratios = np.tile(ratios[:, None], COUNT)
    cell = np.arange(len(ratios)) if cell is None else cell
    return Radii.of(ratios, np.full(len(ratios), mode), np.zeros(len(ratios), dtype=bool), cell, before=before)


def drawn(made, share, *, mode=False):
    share = np.atleast_1d(share)
    return made.at(np.tile(share[:, None], COUNT), np.full(len(share), mode), np.zeros(len(share), dtype=bool))


def test_quantiles_of_known_ratios_come_back():
    known = np.exp(np.random.default_rng(0).normal(0, 0.6, 4000))
    made, shares = radii(known), np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(drawn(made, shares), np.tile(np.quantile(known, shares)[:, None], COUNT), rtol=0.03)
    assert (made.count == [[4000] * COUNT, *[[0] * COUNT] * 3]).all()
    uniform = np.random.default_rng(1).random((4000, COUNT))
    again = made.at(uniform, *np.zeros((2, 4000), dtype=bool))
    np.testing.assert_allclose(np.log(again).std(axis=0), 0.6, rtol=0.07)
    np.testing.assert_allclose(np.median(again, axis=0), np.median(known), rtol=0.08)


@given(seed=st.integers(0, 1000), count=st.integers(1, 50), scale=st.floats(1e-6, 1e6), missing=st.floats(0, 1))
@settings(max_examples=40)
def test_radii_rise_with_the_random_number_and_are_bounded_whatever_was_seen(seed, count, scale, missing):
    rng = np.random.default_rng(seed)
    ratios = scale * rng.exponential(1, (count, COUNT))
    ratios[rng.random(ratios.shape) < missing] = np.nan
    made = radii(ratios, cell=rng.integers(0, 5, count), before=radii(np.ones(3)) if seed % 2 else None)
    found = drawn(made, np.linspace(0, 1, 99))
    assert (np.diff(found, axis=0) >= -1e-12).all()
    assert (found >= LEAST_RADIUS).all()
    assert (found <= MOST_RADIUS).all()


def test_every_cell_counts_the_same_however_many_curves_it_has():
    ratios = np.concatenate([np.full(3, 0.5), np.full(300, 2.0)])
    made = radii(ratios, cell=np.repeat([7, 8], [3, 300]))
    np.testing.assert_allclose(drawn(made, [0.2, 0.8]), [[0.5] * COUNT, [2.0] * COUNT])
    some = np.tile(ratios[:, None], COUNT)
    some[3:298, 0] = np.nan  # of the one cell, few curves know of it: the cell still counts in full
    found = drawn(radii(some, cell=np.repeat([7, 8], [3, 300])), [0.2, 0.8])
    np.testing.assert_allclose(found, [[0.5] * COUNT, [2.0] * COUNT])


def test_few_curves_are_drawn_towards_those_before_and_many_are_not():
    before = radii(np.full(200, 0.5))
    found = [drawn(radii(np.full(count, 2.0), before=before), 0.5)[0] for count in (1, 16, 4000)]
    assert (found[0] < 0.65).all()
    np.testing.assert_allclose(found[1], 1.25)  # as many as they count for
    np.testing.assert_allclose(found[2], 2.0, rtol=0.01)
    assert (radii(np.full(16, 2.0), before=before).count[0] == 216).all()


def test_what_none_before_told_of_is_as_the_few_say_and_what_the_few_do_not_as_before():
    before = radii(np.full(200, 0.5))
    after = radii(np.full(4, 2.0), mode=True, before=before)
    np.testing.assert_allclose(drawn(after, 0.5, mode=True), 2.0)
    np.testing.assert_allclose(drawn(after, 0.5), 0.5)
    np.testing.assert_array_equal(drawn(Radii.plain(), [0.0, 0.5, 1.0]), np.ones((3, COUNT)))
    nothing = radii(np.full(3, np.nan), before=Radii.plain())
    np.testing.assert_array_equal(drawn(nothing, [0.0, 1.0]), np.ones((2, COUNT)))


def test_faults_inside_all_limits_stray_by_themselves():
    yes, no = np.ones(40, dtype=bool), np.zeros(40, dtype=bool)
    before = radii(np.full(200, 2.0))
    ratios = np.full((40, COUNT), 0.3)
    made = Radii.of(ratios, no, yes, np.arange(40), before=before)
    middle = np.full((1, COUNT), 0.5)
    np.testing.assert_allclose(made.at(middle, no[:1], yes[:1]), 0.3)
    np.testing.assert_allclose(made.at(middle, no[:1], no[:1]), 2.0)
