"""Drawn temperatures stray as heat goes: they begin otherwise and lose that, or heat more, and no cell dips or jumps."""

import numpy as np
import pytest

from faultcell.config import GridConfig
from faultcell.encoding.grid import THERMAL_SECOND, head_positions
from faultcell.regression.heat import OWN_GAIN, as_heat_goes

GRID = GridConfig()
SECONDS = np.array([[3600.0, 1200.0]])
LOST = np.exp(-3600 * head_positions(GRID) / THERMAL_SECOND)
EXPECTED = np.concatenate([10 * (1 - LOST), -2 * np.linspace(0, 1, GRID.tail)])[None]
ANYTHING = np.tile([-np.inf, np.inf], (1, 4, 1))
NOT_BEGUN, BEGUN = np.array([False]), np.array([True])


def drawn(size, seed=0):
    """What a network may draw: smooth humps, of this root mean square in the head."""
    place = np.linspace(0, 1, GRID.length)
    found = sum(np.random.default_rng(seed).normal() * np.sin(np.pi * (k + 1) * place + k) for k in range(5))[None]
    return found * size / np.sqrt(np.square(found[:, : GRID.head]).mean())


@pytest.mark.parametrize("seed", range(8))
def test_a_head_strays_as_it_was_drawn_as_far_as_heat_goes_so(seed):
    asked = drawn(2.0, seed)
    made = as_heat_goes(asked, EXPECTED, SECONDS, ANYTHING, NOT_BEGUN, GRID)[0, : GRID.head]
    shapes = np.stack([LOST, EXPECTED[0, : GRID.head]], axis=1)
    nearest = shapes @ np.linalg.lstsq(shapes, asked[0, : GRID.head], rcond=None)[0]
    np.testing.assert_allclose(made, nearest, atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_a_cell_never_heats_less_than_not_at_all(seed):
    made = EXPECTED + as_heat_goes(drawn(30.0, seed), EXPECTED, SECONDS, ANYTHING, NOT_BEGUN, GRID)
    warmed = made[0, : GRID.head] - made[0, 0] * LOST
    assert (np.diff(warmed) > -1e-9).all()


def test_what_begins_as_its_own_normal_curve_does_is_told_by_how_much_it_heats():
    made = as_heat_goes(drawn(30.0), EXPECTED, SECONDS, ANYTHING, BEGUN, GRID)[0, : GRID.head]
    assert made[0] == 0
    share = 1 + made[1:] / EXPECTED[0, 1 : GRID.head]
    assert np.ptp(share) < 1e-6
    assert 1 / OWN_GAIN - 1e-9 <= share[0] <= OWN_GAIN + 1e-9


def test_nothing_lies_beyond_what_was_seen():
    seen = np.array([[[-1.0, 3.0], [-2.0, 14.0], [-4.0, 1.0], [-3.0, 1.0]]])
    for seed in range(20):
        made = EXPECTED + as_heat_goes(drawn(20.0, seed), EXPECTED, SECONDS, seen, NOT_BEGUN, GRID)
        assert -1 - 1e-9 <= made[0, 0] <= 3 + 1e-9
        assert made[0, : GRID.head].max() <= 14 + 1e-9
        assert made[0, GRID.head :].min() >= -4 - 1e-9
        assert made[0, GRID.head :].max() <= 1 + 1e-9
