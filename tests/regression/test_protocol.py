"""What a request leaves open is taken from one known curve, jointly: protocols are drawn, not averaged."""

from dataclasses import replace

import numpy as np
import pytest

from faultcell.curves import Condition, grid
from faultcell.regression.protocol import filled, with_protocols

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning")


def contexts(model, label):
    """(C-rate, health) of the known curves of a label."""
    known = model.encoder.regression.known.queries
    rows = known.label == model.profile.faults.index(label)
    return {
        (round(float(np.exp2(rate)), 4), round(0.8 + 0.2 * float(health), 4))
        for rate, health in known.features[rows][:, [0, 3]]
    }


def test_each_draw_has_the_protocol_of_one_known_curve(tuned):
    asked = grid("overdischarge", peak_deviation_volt=0.4, repeat=60)
    episodes = with_protocols(asked, [(seed,) for seed in range(60)], tuned.encoder.regression, faults=tuned.profile.faults)
    found = {(round(condition.c_rate, 4), round(condition.state_of_health, 4)) for condition in episodes}
    assert found <= contexts(tuned, "overdischarge")
    assert len(found) > 3


def test_what_was_asked_for_stays_and_the_choice_is_the_seeds_alone(tuned):
    asked = [Condition("overdischarge", 0.4, c_rate=0.7), Condition("overdischarge", 0.4, ambient_temperature_celsius=25.0)]
    regression, faults = tuned.encoder.regression, tuned.profile.faults
    first = with_protocols(asked, [(1,), (2,)], regression, faults=faults)
    assert (first[0].c_rate, first[1].ambient_temperature_celsius) == (0.7, 25.0)
    assert all(condition.state_of_health is not None for condition in first)
    second = with_protocols(asked[::-1], [(2,), (1,)], regression, faults=faults)
    assert second == first[::-1]


def test_near_protocols_are_likelier(tuned):
    rates = sorted(rate for rate, _ in contexts(tuned, "overdischarge"))
    asked = [Condition("overdischarge", 0.4, c_rate=rates[-1])] * 40
    episodes = with_protocols(asked, [(seed,) for seed in range(40)], tuned.encoder.regression, faults=tuned.profile.faults)
    health = dict(contexts(tuned, "overdischarge"))[rates[-1]]
    taken = np.array([condition.state_of_health for condition in episodes])
    assert np.isclose(taken, health, atol=1e-3).mean() > 1 / len(rates)


def test_a_complete_request_is_left_as_it_is():
    whole = Condition("overdischarge", 0.4, c_rate=1.0, ambient_temperature_celsius=25.0, state_of_health=0.9, cycle_count=3)
    assert filled(whole, {"c_rate": 2.0, "cycle_count": 9.0}) == whole
    assert filled(replace(whole, cycle_count=None), {"cycle_count": 8.7}).cycle_count == 9


def test_tables_tell_what_was_asked_and_what_was_drawn(tuned):
    drawn = tuned.draw(grid("overdischarge", peak_deviation_volt=0.4, repeat=3), range(3))
    assert drawn.halfcycles["requested_state_of_health"].null_count() == 3
    assert drawn.halfcycles["state_of_health"].null_count() == 0
    assert np.isfinite(drawn.known("c_rate")).all()
