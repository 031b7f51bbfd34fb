"""The cheap sources: the nearest known curve as it is, and the mean of the known curves."""

from dataclasses import replace

import numpy as np
import pytest

from faultcell.baselines.replay import MEAN_POINTS, MeanCurve, Replay
from faultcell.curves import Condition, grid
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import complete
from faultcell.errors import ConditionError
from strategies import LOWER, UPPER, charge, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def known():
    """Overdischarges of 0.2, 0.4 and 0.8 V at 25, 25 and 40 degC, and an overcharge of 0.2 V."""
    cases = [(0.2, 25.0), (0.4, 25.0), (0.8, 40.0)]
    rows = [
        ("A", i + 1, "discharge", "overdischarge", discharge(cutoff=LOWER - depth, rest=3), {"ambient_temperature_celsius": c})
        for i, (depth, c) in enumerate(cases)
    ]
    return complete(curves_of([*rows, ("B", 1, "charge", "overcharge", charge(cutoff=UPPER + 0.2), {})]))


def loaded(curves, row):
    rows = list(curves.slices())[row]
    return {name: curves.column(name)[rows][curves.under_load[rows]] for name in ("step_time_second", "voltage_volt")}


@pytest.mark.parametrize(("depth", "expected"), [(0.05, 0), (0.28, 0), (0.33, 1), (0.55, 1), (0.65, 2), (2.0, 2)])
def test_replay_repeats_the_nearest_curve_exactly(known, depth, expected):
    asked = [Condition("overdischarge", peak_deviation_volt=depth)]
    assert Replay(known).nearest(asked) == [expected]
    drawn = Replay(known).draw(asked, [3])
    rows = next(drawn.slices())
    for name, values in loaded(known, expected).items():
        np.testing.assert_array_equal(drawn.column(name)[rows], values)
    assert drawn.halfcycles["model_sha256"].to_list() == ["replay"]
    assert drawn.known("requested_peak_deviation_volt") == depth
    assert drawn.known("peak_deviation_volt") == pytest.approx(known.known("peak_deviation_volt")[expected])


def test_everything_both_know_counts_and_what_one_does_not_know_does_not(known):
    near = Condition("overdischarge", peak_deviation_volt=0.55)
    assert Replay(known).nearest([near, replace(near, ambient_temperature_celsius=40.0)]) == [1, 2]


def test_each_value_counts_by_its_spread_among_the_known():
    """6 degC are much where the known ones are 6 degC apart: there a curve at 25 degC is near, though its depth is not."""
    rows = [
        ("A", i, "discharge", "overdischarge", discharge(cutoff=LOWER - depth), {"ambient_temperature_celsius": celsius})
        for i, (depth, celsius) in enumerate([(0.2, 25.0), (0.8, 31.0)], 1)
    ]
    asked = Condition("overdischarge", peak_deviation_volt=0.55, ambient_temperature_celsius=25.0)
    assert Replay(curves_of(rows)).nearest([asked, replace(asked, ambient_temperature_celsius=None)]) == [0, 1]


def test_the_time_of_a_drawn_curve_begins_with_its_load():
    curve = discharge(cutoff=LOWER - 0.3)
    late = {**curve, "step_time_second": curve["step_time_second"] + 100.0}
    late["current_ampere"] = np.where(np.arange(60) < 5, 0.0, late["current_ampere"])
    drawn = Replay(curves_of([("A", 1, "discharge", "overdischarge", late, {})])).draw(
        grid("overdischarge", peak_deviation_volt=0.3), [1]
    )
    np.testing.assert_allclose(drawn.column("step_time_second"), curve["step_time_second"][5:] - curve["step_time_second"][5])


def test_each_known_curve_is_its_own_nearest(known):
    assert Replay(known).nearest(conditions_of(known)) == [0, 1, 2, 3]


def test_only_curves_of_the_same_label_are_near(known):
    assert Replay(known).nearest(grid("overcharge", peak_deviation_volt=0.8)) == [3]
    for source in (Replay(known), MeanCurve(known)):
        with pytest.raises(
            ConditionError, match=r"no known charge is labelled 'overvoltage': known are overdischarge, overcharge"
        ):
            source.draw(grid("overvoltage", peak_deviation_volt=0.2), [1])


def test_seeds_change_nothing_but_the_name(known):
    asked = grid("overdischarge", peak_deviation_volt=0.4)
    for source in (Replay(known), MeanCurve(known)):
        one, other = source.draw(asked, [1]), source.draw(asked, [2])
        assert one.timeseries.drop("cell_id", "seed").equals(other.timeseries.drop("cell_id", "seed"))
        assert one.halfcycles["cell_id"].to_list() == ["synthetic-000001"]


def test_limits_and_capacity_come_from_the_condition_or_a_known_curve(known):
    drawn = Replay(known).draw(grid("overdischarge", peak_deviation_volt=0.4), [1])
    assert drawn.known("lower_voltage_limit_volt") == LOWER
    assert drawn.known("nominal_capacity_ah") == 2.0


def test_the_mean_curve_is_the_mean_over_the_fraction_of_the_loaded_part(known):
    drawn = MeanCurve(known).draw(grid("overdischarge", peak_deviation_volt=(0.1, 0.9)), [1, 2])
    parts = [loaded(known, row) for row in range(3)]
    share = np.linspace(0, 1, MEAN_POINTS)
    expected = np.mean(
        [np.interp(share, p["step_time_second"] / p["step_time_second"][-1], p["voltage_volt"]) for p in parts], axis=0
    )
    for rows in drawn.slices():
        np.testing.assert_allclose(drawn.column("voltage_volt")[rows], expected, atol=1e-12)
        ends = [part["step_time_second"][-1] for part in parts]
        np.testing.assert_allclose(drawn.column("step_time_second")[rows], share * np.mean(ends))
    np.testing.assert_allclose(drawn.known("peak_deviation_volt"), (0.2 + 0.4 + 0.8) / 3)
