"""How severe a fault has to be to be found, and how late it is, on scores whose answers are known."""

import numpy as np
import pytest

from faultcell.curves.faults import FAULTS
from faultcell.diagnosis.detection import PER_OCTAVE, SHARES, Graded
from faultcell.diagnosis.measures import alarms_at

TYPICAL = FAULTS["internal_short"].main.typical
NORMALS = 1000


@pytest.fixture
def graded():
    """Two cells whose leak grows over ten cycles each, and a thousand normal curves."""
    truth = np.repeat([0, 1], [NORMALS, 20])
    severity = np.concatenate([np.full(NORMALS, np.nan), np.tile(np.linspace(0.01, 0.1, 10), 2)])
    cells = np.concatenate([np.repeat("normal", NORMALS), np.repeat(["A", "B"], 10)])
    cycles = np.concatenate([np.arange(NORMALS), np.tile(np.arange(5, 15), 2)])
    return Graded(truth, severity, TYPICAL, "leakage_c_rate", cells, cycles)


def scored(graded, faults):
    return np.concatenate([np.linspace(0, 1, NORMALS), faults])


def test_a_threshold_raises_no_more_false_alarms_than_allowed(graded):
    score = scored(graded, np.linspace(0.9, 1.1, 20))
    for allowed in (0.01, 0.001):
        found = alarms_at(graded.truth, score, false_alarms=allowed)
        assert found[graded.truth == 0].mean() == allowed
    assert (alarms_at(graded.truth, score, false_alarms=0.01) >= alarms_at(graded.truth, score, false_alarms=0.001)).all()


def test_the_least_severity_of_which_a_share_is_found(graded):
    known = graded.severity[graded.truth == 1]
    measures = graded.measures(scored(graded, np.where(known > 0.055, 2.0, -1.0)))
    for name in SHARES:
        assert measures[name] == pytest.approx(0.06)
    assert measures["delay_cycle"] == 5
    rising = np.concatenate([known[:10] > 0.035, known[10:] > 0.075])
    measures = graded.measures(scored(graded, np.where(rising, 2.0, -1.0)))
    assert measures["severity_at_50_percent_recall"] == pytest.approx(0.04)
    assert measures["severity_at_90_percent_recall"] == pytest.approx(0.08)
    assert measures["delay_cycle"] == pytest.approx((3 + 7) / 2)


def test_what_is_never_found_has_no_severity_and_the_whole_delay(graded):
    measures = graded.measures(scored(graded, np.full(20, -1.0)))
    assert measures == {**dict.fromkeys(SHARES), "delay_cycle": 10}


def test_bins_of_severity_hold_every_fault_once(graded):
    known = graded.severity[graded.truth == 1]
    bins = graded.by_severity(scored(graded, np.where(known > 0.055, 2.0, -1.0)))
    assert sum(one.faults for one in bins) == 20
    for one in bins:
        inside = (known >= one.low) & (known < one.high)
        assert one.faults == inside.sum()
        assert one.found_at_1_percent == one.found_at_0_1_percent == (inside & (known > 0.055)).sum()
        assert one.high / one.low == pytest.approx(2 ** (1 / PER_OCTAVE))
