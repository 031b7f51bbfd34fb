"""Faults inside all limits are measured against the cell's own normal curve, and come out as they were made."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from faultcell.curves.against_normal import (
    Loaded,
    added_resistance_milliohm,
    fastest_rise,
    leakage_c_rate,
    measured,
    own_normals,
)
from faultcell.curves.severity import complete
from strategies import curves_of

NOMINAL = 2.0


def curve(*, rising=True, ampere=1.0, leak=0.0, ohm=0.0, volt=0.0, begins=0.0, celsius=25.0):
    """A half-cycle of a cell whose voltage is a straight line of its charge, from 3 V empty to 4 V full, 0.05 Ohm."""
    within = ampere - leak if rising else ampere + leak
    moved = np.linspace(begins, 1.0, 400) * NOMINAL
    state = moved / NOMINAL if rising else 1 - moved / NOMINAL
    sign = 1 if rising else -1
    # A kink, as real curves have, so that a shift along the charge is not one of the voltage.
    shape = 3 + state + 0.2 * np.exp(-(((state - 0.3) / 0.05) ** 2))
    seen = shape + sign * within * 0.05 + sign * ampere * ohm + volt
    second = (moved - moved[0]) / within * 3600
    warm = np.full(second.size, celsius)
    return Loaded(second, seen, np.full(second.size, ampere), warm, rising, NOMINAL, 4.3 if rising else 2.8, 45.0)


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("leak", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_a_leak_is_the_charge_that_is_missing(rising, leak):
    found = leakage_c_rate(curve(rising=rising, leak=leak), curve(rising=rising, begins=0.07))
    assert found == pytest.approx(leak / NOMINAL, rel=0.05, abs=0.004)
    assert leakage_c_rate(curve(rising=rising), curve(rising=rising, begins=0.07)) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("begins", [0.0, 0.06])
def test_a_resistance_is_what_lifts_the_voltage_wherever_the_curve_begins(rising, begins):
    for ohm in (0.005, 0.02, 0.05):
        found = added_resistance_milliohm(curve(rising=rising, ohm=ohm, begins=begins), curve(rising=rising))
        assert found == pytest.approx(1000 * ohm, abs=2.5)


def test_what_has_no_normal_curve_or_no_temperature_is_unknown_not_zero():
    assert np.isnan(leakage_c_rate(curve(), None))
    assert np.isnan(added_resistance_milliohm(curve(), None))
    assert np.isnan(fastest_rise(np.arange(10.0), np.full(10, np.nan)))
    assert np.isnan(fastest_rise(np.array([0.0, 30.0]), np.array([20.0, 21.0])))  # not for as long as a minute
    assert fastest_rise(np.arange(0.0, 300.0, 10), np.arange(0.0, 300.0, 10) / 30) == pytest.approx(2.0)


def samples(loaded, kelvin=0.0):
    return {
        "step_time_second": loaded.second,
        "voltage_volt": loaded.volt,
        "current_ampere": loaded.ampere if loaded.rising else -loaded.ampere,
        "surface_temperature_celsius": loaded.celsius + kelvin,
    }


def test_a_set_is_measured_against_the_nearest_earlier_normal_curve_of_its_cell():
    normal, leaks = curve(), curve(leak=0.1)
    curves = curves_of(
        [
            ("A", 1, "charge", "normal", samples(normal), {}),
            ("A", 4, "charge", "normal", samples(normal, 1.0), {}),
            ("A", 5, "charge", "internal_short", samples(leaks), {}),
            ("A", 9, "charge", "normal", samples(normal, 2.0), {}),
            ("B", 1, "charge", "internal_short", samples(leaks), {}),
            ("A", 6, "charge", "cooling_failure", samples(normal, 9.0), {}),
        ]
    )
    assert own_normals(curves, curves) == [
        ("A", 4, "charge"),
        ("A", 1, "charge"),
        ("A", 4, "charge"),
        *own_normals(curves, curves)[3:],
    ]
    assert own_normals(curves, curves)[4] is None
    table = measured(curves)
    nominal = curves.known("nominal_capacity_ah")[2]
    assert table["leakage_c_rate"][2] == pytest.approx(0.1 / nominal, rel=0.1)
    assert np.isnan(table["leakage_c_rate"][4])
    assert table["temperature_rise_kelvin"][5] == pytest.approx(8.0)
    assert table["leakage_c_rate"][5] == 0
    assert table["temperature_rise_kelvin"].to_list()[:4] == [0, 0, 0, 0]
    # What a table tells is never overwritten, and what no label needs has no column.
    told = replace(curves, halfcycles=curves.halfcycles.with_columns(leakage_c_rate=pl.Series([0.0, 0.0, 0.7, 0.0, 0.3, 0.0])))
    whole = complete(told).halfcycles
    assert whole["leakage_c_rate"].to_list() == [0.0, 0.0, 0.7, 0.0, 0.3, 0.0]
    assert "added_resistance_milliohm" not in whole.columns
