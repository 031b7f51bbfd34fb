"""One row declares a fault: what it can be asked for, its place in the condition vector, what physics says of it."""

import numpy as np
import pytest

from faultcell.curves import FAULTS, Condition, Fault, Severity, grid
from faultcell.curves.faults import FirstOrder, half_cycles, in_half_cycle, inside, severity_named
from faultcell.encoding.condition_vector import ConditionEncoder
from faultcell.errors import ConditionError

INSIDE = [kind for kind in FAULTS.values() if kind.side is None]


def of(kind, **others):
    return Condition(kind.name, severities={kind.drivers[0].name: kind.drivers[0].typical}, c_rate=0.5, **others)


def test_each_row_is_whole_and_no_severity_has_two_meanings():
    meanings = {}
    for name, kind in FAULTS.items():
        assert name == kind.name
        assert set(kind.step_types) <= {"charge", "discharge"}
        assert (kind.side is None) == bool(kind.drivers)
        for one in kind.severities:
            assert meanings.setdefault(one.name, one) == one
            assert one.meaning
            assert one.typical > 0


@pytest.mark.parametrize("kind", INSIDE, ids=lambda kind: kind.name)
def test_severities_of_others_are_exactly_zero_and_its_own_is_told(kind):
    encoder = ConditionEncoder(tuple(FAULTS))
    values, known = encoder.encode([of(kind)])
    place = {name: i for i, name in enumerate(encoder.names)}
    for one in inside(FAULTS):
        own = one.name == kind.drivers[0].name
        told = one.name not in kind.names or own
        assert values[0, place[one.name]] == (1.0 if own else 0.0)
        assert known[0, place[one.name]] == told
    assert values[0, place[kind.name]] == 1
    for side in ("high", "low"):
        assert values[0, place[f"{side}_peak"]] == 0


def test_severities_of_another_fault_or_none_are_refused_in_a_sentence():
    with pytest.raises(
        ConditionError, match=r"'added_resistance_milliohm' is of contact_fault: internal_short takes leakage_c_rate"
    ):
        Condition("internal_short", severities={"added_resistance_milliohm": 5.0})
    with pytest.raises(ConditionError, match=r"'leakage_rate' is unknown.*internal_short takes leakage_c_rate"):
        severity_named("leakage_rate", "internal_short")
    with pytest.raises(ConditionError, match="internal_short needs leakage_c_rate other than 0"):
        Condition("internal_short")
    with pytest.raises(ConditionError, match="a normal curve has no leakage_c_rate"):
        Condition(severities={"leakage_c_rate": 0.1})
    with pytest.raises(ConditionError, match=r"leakage_c_rate must be between 0 and 2 1/h, found -0\.1"):
        Condition("internal_short", severities={"leakage_c_rate": -0.1})
    with pytest.raises(ConditionError, match="unknown condition 'leakage': known are"):
        grid("internal_short", leakage=0.1)
    with pytest.raises(ConditionError, match="'leakage_c_rate' is of internal_short: overcharge takes"):
        grid("overcharge", peak_deviation_volt=0.1, leakage_c_rate=0.1)


def test_a_grid_takes_severities_by_name():
    found = grid("internal_short", leakage_c_rate=[0.01, 0.02], c_rate=[0.5, 1.0], repeat=2)
    assert [condition.severities["leakage_c_rate"] for condition in found] == [0.01] * 4 + [0.02] * 4
    assert found[0].severity("leakage_c_rate") == 0.01
    assert found[0].severity("added_resistance_milliohm") == 0


def test_names_of_a_fault_in_its_half_cycles():
    assert half_cycles("overcharge") == {"overcharge": "charge"}
    assert half_cycles("internal_short") == {"internal_short charge": "charge", "internal_short discharge": "discharge"}
    assert in_half_cycle("contact_fault discharge") == ("contact_fault", "discharge")
    with pytest.raises(ConditionError, match="unknown fault 'contact_fault': known are"):
        in_half_cycle("contact_fault")


def test_physics_at_first_order():
    def effect(name, step, c_rate=0.5, nominal=2.0, **severities):
        condition = Condition(name, severities=severities, step_type=step, c_rate=c_rate, nominal_capacity_ah=nominal)
        return FAULTS[name].effect(condition)

    # A fifth of the current leaks: a charge takes 5/4 as long, a discharge 5/6.
    np.testing.assert_allclose(effect("internal_short", "charge", leakage_c_rate=0.1), (0, np.log(5 / 4), 0))
    np.testing.assert_allclose(effect("internal_short", "discharge", leakage_c_rate=0.1), (0, np.log(5 / 6), 0))
    # 10 mOhm at 1 A: 10 mV up in a charge and down in a discharge, which is the way either goes.
    for step in ("charge", "discharge"):
        np.testing.assert_allclose(effect("contact_fault", step, added_resistance_milliohm=10.0), (0.01, 0, 0))
    # A voltage that reads too high brings a charge to its limit sooner and a discharge later.
    assert effect("sensor_offset", "charge", voltage_offset_millivolt=20.0) == FirstOrder(0.02, 0, 0)
    assert effect("sensor_offset", "discharge", voltage_offset_millivolt=20.0).volt == -0.02
    # A current offset is a leak, to first order.
    leak = effect("internal_short", "charge", leakage_c_rate=0.05)
    np.testing.assert_allclose(effect("sensor_offset", "charge", current_offset_milliampere=100.0), leak)
    assert effect("sensor_offset", "charge", temperature_offset_kelvin=3.0).kelvin == 3
    assert effect("cooling_failure", "charge", temperature_rise_kelvin=3.0) == FirstOrder()
    assert np.isfinite(effect("internal_short", "charge", leakage_c_rate=1.0)).all()  # more than the charge brings


def test_a_row_is_enough_for_the_condition_vector_and_what_can_be_asked(monkeypatch):
    name = "loose_clamp"
    row = Fault(
        name,
        ("charge",),
        (Severity("clamp_milliohm", "mOhm", "resistance of the clamp", 10.0, 1e3, drives=True),),
        effect=lambda condition: FirstOrder(
            volt=(condition.severity("clamp_milliohm") or 0.0) / 1000 * (condition.c_rate or 0.0)
        ),
    )
    monkeypatch.setitem(FAULTS, name, row)
    (condition,) = grid(name, clamp_milliohm=20.0, c_rate=1.0)
    assert condition.step == "charge"
    encoder = ConditionEncoder(tuple(FAULTS))
    values, _ = encoder.encode([condition])
    assert values[0, encoder.names.index("clamp_milliohm")] == 2.0
    assert values[0, encoder.names.index(name)] == 1.0
    assert len(encoder) == len(ConditionEncoder([n for n in FAULTS if n != name])) + 2
