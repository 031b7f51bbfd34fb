"""What classifiers see: units, one rule for the part inside the limits, and no way to look beyond it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.curves import Curves
from faultcell.diagnosis.views import LENGTH, MARGIN, see
from strategies import LOWER, NOMINAL, UPPER, charge, curve_sets, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("error")
WINDOW = UPPER - LOWER


def one(samples, step="discharge"):
    return curves_of([("A", 1, step, "normal", samples, {})])


def cut(samples, *, voltage, falling=True):
    """The samples up to the first crossing of a voltage, with a last one on the line at the crossing itself."""
    volt = samples["voltage_volt"]
    last = int(np.argmax(volt < voltage if falling else volt > voltage))
    share = (volt[last - 1] - voltage) / (volt[last - 1] - volt[last])
    return {name: np.append(y[:last], y[last - 1] + share * (y[last] - y[last - 1])) for name, y in samples.items()}


def pulsed(samples):
    """The same under a load that rests at every third sample, where the voltage recovers."""
    off = np.arange(samples["voltage_volt"].size) % 3 == 1
    return samples | {
        "voltage_volt": samples["voltage_volt"] + np.where(off, 0.3, 0.0),
        "current_ampere": np.where(off, 0.0, samples["current_ampere"]),
    }


def test_channels_have_the_units_they_say():
    seen = see(one(discharge(rate=0.5, health=0.8, rest=5)), "whole")
    voltage, current, charged = seen.values[0]
    assert (voltage[0], voltage[-1]) == pytest.approx(((4.1 - LOWER) / WINDOW, 0), abs=1e-6)
    np.testing.assert_allclose(current, 0.5, rtol=1e-6)
    np.testing.assert_allclose(charged, np.linspace(0, 0.8, LENGTH), atol=1e-6)
    assert (seen.usable[0], seen.at_limit[0]) == (True, True)
    assert seen.beyond[0] == pytest.approx(0)


@pytest.mark.parametrize("step", ["charge", "discharge"])
def test_beyond_is_how_far_the_limit_is_broken_under_load(step):
    made = discharge(cutoff=LOWER - 0.4) if step == "discharge" else charge(cutoff=UPPER + 0.4)
    assert see(one(made, step), "whole").beyond[0] == pytest.approx(0.4)
    assert see(one(made, step), "in_limits").beyond[0] == 0


@given(deep=st.floats(0.05, 1.5), rate=st.floats(0.3, 2), rest=st.integers(0, 4), swings=st.booleans())
@settings(max_examples=25)
def test_a_fault_and_the_same_curve_cut_at_its_limit_look_the_same_inside_the_limits(deep, rate, rest, swings):
    whole = discharge(cutoff=LOWER - deep, rate=rate)
    shown = discharge(cutoff=LOWER - deep, rate=rate, rest=rest)
    stopped = cut(whole, voltage=LOWER)
    if swings:
        shown, whole = pulsed(shown), pulsed(whole)
        past = int(np.flatnonzero((whole["voltage_volt"] < LOWER) & (whole["current_ampere"] != 0))[0]) + 1
        stopped = {name: y[:past] for name, y in whole.items()}
    np.testing.assert_allclose(see(one(shown), "in_limits").values, see(one(stopped), "in_limits").values, rtol=1e-5, atol=1e-6)


def test_a_charge_is_seen_without_its_hold_or_its_overcharge():
    normal = charge()
    over = normal | {"voltage_volt": normal["voltage_volt"] + np.where(np.linspace(0, 1, 60) > 0.72, 0.3, 0.0)}
    stopped = cut(normal, voltage=UPPER - MARGIN / 2, falling=False)
    values = [see(one(samples, "charge"), "in_limits").values for samples in (normal, over, stopped)]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values[2], values[0], rtol=1e-5, atol=1e-6)
    assert values[0][0, 0, -1] == pytest.approx(1 - MARGIN / WINDOW, abs=1e-6)
    assert see(one(over, "charge"), "whole").values[0, 0].max() > 1.1


def test_a_discharge_that_ends_above_its_limit_ends_where_it_ends():
    short = one(discharge(cutoff=LOWER + 0.2))
    seen = see(short, "in_limits")
    np.testing.assert_array_equal(seen.values, see(short, "whole").values)
    assert not seen.at_limit[0]


def test_rests_under_a_pulsed_load_are_looked_through():
    steady, swinging = (see(one(samples), "whole").values[0] for samples in (discharge(), pulsed(discharge())))
    np.testing.assert_allclose(swinging[0, :-8], steady[0, :-8], atol=0.01)
    np.testing.assert_allclose(swinging[1], steady[1], atol=1e-6)
    assert swinging[2, -1] == pytest.approx(steady[2, -1] * 2 / 3, rel=0.05)


def test_what_cannot_be_seen_is_told():
    begins_beyond = discharge() | {"voltage_volt": discharge()["voltage_volt"] - 2}
    idle = discharge() | {"current_ampere": np.zeros(60)}
    rows = [("A", i, "discharge", "normal", samples, {}) for i, samples in enumerate((discharge(), begins_beyond, idle))]
    bare = curves_of(rows)
    assert see(bare, "whole").usable.tolist() == [True, True, False]
    assert see(bare, "in_limits").usable.tolist() == [True, False, False]
    for column in ("lower_voltage_limit_volt", "nominal_capacity_ah"):
        unknown = Curves(bare.timeseries, bare.halfcycles.with_columns(pl.lit(None, dtype=pl.Float64).alias(column)))
        assert not see(unknown, "whole").usable.any()


@given(curve_sets())
@settings(max_examples=25)
def test_the_part_inside_the_limits_is_inside_them_and_finite(curves):
    seen = see(curves, "in_limits")
    assert np.isfinite(seen.values).all()
    low, high = seen.values[seen.usable, 0].min(initial=0), seen.values[seen.usable, 0].max(initial=1)
    assert low > -1e-6
    assert high < 1 + 1e-6
    assert (np.diff(seen.values[:, 2], axis=1) >= -1e-6).all()
    assert seen.values[:, 1].max() < 3 * NOMINAL
