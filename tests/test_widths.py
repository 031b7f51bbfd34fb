"""How far curves stray is learnt from how far curves strayed: further neighbours, wider."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.curves import FAULTS, Condition
from faultcell.kernel import KERNELS, Questions
from faultcell.known import ERRORS
from faultcell.widths import LEAST, Widths

pytestmark = pytest.mark.filterwarnings("error")
COUNT, WORDS = len(ERRORS), list(ERRORS)


def questions(count, *, step="discharge", fault="normal", **past):
    condition = Condition(fault, step_type=step, peak_deviation_volt=0.0 if fault == "normal" else 0.4, **past)
    return Questions.of([condition] * count, tuple(FAULTS))


def reaches(values):
    return np.repeat(np.asarray(values, dtype=float)[:, None], len(KERNELS), axis=1)


def errors(size, count, seed=0, *, points=8):
    """Root mean squares over a few points of normal errors of a given size; half-normal for one point."""
    drawn = np.random.default_rng(seed).normal(0, 1, (points, count, COUNT))
    return np.sqrt(np.square(drawn).mean(axis=0)) * np.asarray(size).reshape(-1, 1)


def fitted(size, reach, *, before=None, mode=False, asked=None, seed=0):
    asked = questions(len(reach)) if asked is None else asked
    given = np.full(len(reach), mode)
    return Widths.fit(asked, reaches(reach), given, errors(size, len(reach), seed), before=before or Widths.plain())


def at(widths, reach, *, mode=False, **kind):
    reach = np.atleast_1d(reach)
    return widths.of(questions(len(reach), **kind), reaches(reach), np.full(len(reach), mode))


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
    reach = rng.uniform(0.05, 5, count)
    strayed = errors(0.1 * reach**slope, count, seed)
    strayed[rng.random(strayed.shape) < missing] = np.nan
    widths, none = Widths.plain(), np.zeros(count, dtype=bool)
    for _ in range(1 + twice):
        widths = Widths.fit(questions(count), reaches(reach), none, strayed, before=widths)
    found = at(widths, np.linspace(0, 12, 50))
    assert (np.diff(found, axis=0) >= 0).all()
    assert np.isfinite(found).all()
    assert (found >= LEAST).all()


@pytest.mark.parametrize("slope", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("size", [0.2, 1.0])
def test_a_known_spread_is_recovered(slope, size):
    reach = np.random.default_rng(1).uniform(0.1, 3, 2000)
    widths = fitted(size * reach**slope, reach)
    for near in (0.2, 1.0, 2.5):
        np.testing.assert_allclose(at(widths, near)[0], size * near**slope, rtol=0.1)


@pytest.mark.parametrize(("points", "within"), [(8, 0.05), (1, 0.25)])
def test_errors_over_their_widths_have_a_root_mean_square_of_about_one(points, within):
    """The widest of errors that scatter much, as half-normal ones do, do not count in full."""
    reach, none = np.random.default_rng(1).uniform(0.1, 3, 500), np.zeros(500, dtype=bool)
    strayed = errors(0.1 * reach, 500, points=points)
    widths = Widths.fit(questions(500), reaches(reach), none, strayed, before=Widths.plain())
    np.testing.assert_allclose(np.sqrt(np.square(strayed / at(widths, reach)).mean(axis=0)), 1, atol=within)


def test_faults_a_known_past_and_a_half_cycle_each_have_widths_of_their_own():
    reach, ones = np.ones(400), np.ones(400, dtype=bool)
    narrow = {"fault": "overdischarge", "repetition_count": 2, "cumulative_duration_second": 300.0}
    asked = questions(200).joined(questions(200, **narrow))
    strayed = errors(np.repeat([0.2, 0.02], 200), 400)
    widths = Widths.fit(asked, reaches(reach), ~ones, strayed, before=Widths.plain())
    np.testing.assert_allclose(at(widths, 1.0)[0], 0.2, rtol=0.25)
    np.testing.assert_allclose(at(widths, 1.0, **narrow)[0], 0.02, rtol=0.25)
    untold = at(widths, 1.0, step="charge")[0]  # of these there was nothing to see
    np.testing.assert_array_equal(untold, at(Widths.plain(), 1.0)[0])


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
    after = at(Widths.fit(questions(50), reaches(np.ones(50)), none, strayed, before=before), 1.0)[0] / at(before, 1.0)[0]
    assert after[WORDS.index("tail")] == 1
    assert (np.delete(after, WORDS.index("tail")) > 2).all()


def test_one_curve_in_ten_that_strays_far_does_not_widen_all_others():
    reach = np.ones(500)
    size = np.where(np.arange(500) % 10 == 0, 10.0, 0.1)
    assert (at(fitted(size, reach), 1.0)[0] < 0.1 * np.sqrt(np.square(size).mean())).all()


def test_what_no_curve_told_of_with_a_reference_is_as_wide_as_without():
    """Normal curves that never leave their limits tell nothing of tails; a handful of faults may have no reference."""
    reach = np.linspace(0.2, 2, 40)
    plain = fitted(0.1 * np.ones(40), reach)
    np.testing.assert_allclose(at(plain, reach, mode=True), at(plain, reach), rtol=1e-12)
    assert at(plain, 1.0, mode=True).max() < 0.2
    referenced = fitted(0.01 * np.ones(40), reach, before=plain, mode=True)
    assert at(referenced, 1.0, mode=True).max() < 0.5 * at(plain, 1.0).min()
