"""Classic augmentations of known curves: each does what its name says, measured on small sets in real units."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from faultcell.baselines import classical
from faultcell.baselines.classical import (
    BOOTSTRAP_NEIGHBOURS,
    CHEAP,
    JITTER_SHARE,
    SCALING_STD,
    WARP_PIECES,
    WARP_STD,
    Bootstrap,
    Interpolate,
    Jitter,
    Noise,
    Scaling,
    Smote,
    Splice,
    TimeWarp,
)
from faultcell.baselines.replay import MEAN_POINTS, CurveLibrary, MeanCurve, Replay, mean
from faultcell.curves import Curves, grid
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import complete
from faultcell.errors import ConditionError
from strategies import LOWER, UPPER, charge, curves_of, discharge, fault_curves, normal_curves

pytestmark = pytest.mark.filterwarnings("error")

ALL = {**CHEAP, "noise": Noise}
RANDOM = [name for name in ALL if name not in ("replay", "mean_curve")]
ASKED = grid("overdischarge", peak_deviation_volt=(0.3, 0.6)) + grid("overcharge", peak_deviation_volt=(0.1, 0.2))
VALUES = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")


@pytest.fixture(scope="module")
def known():
    """Twelve overdischarges and twelve overcharges."""
    return fault_curves()


@pytest.fixture(scope="module")
def depths():
    """Overdischarges of 0.2, 0.4 and 0.8 V at rising currents, whose lengths differ too."""
    cases = [(0.2, 0.5), (0.4, 1.0), (0.8, 1.5)]
    return complete(
        curves_of(
            ("A", i, "discharge", "overdischarge", discharge(cutoff=LOWER - deep, rate=rate, samples=40 + 10 * i), {})
            for i, (deep, rate) in enumerate(cases, 1)
        )
    )


def samples(curves):
    """One mapping of column to values for each curve."""
    return [{name: curves.column(name)[rows] for name in VALUES} for rows in curves.slices()]


def at(curve, share, name):
    time = curve["step_time_second"]
    return np.interp(share, time / time[-1], curve[name])


def same(one, other):
    return one.timeseries.equals(other.timeseries, null_equal=True) and one.halfcycles.equals(other.halfcycles)


def asking(count, *, depth=0.4):
    return grid("overdischarge", peak_deviation_volt=depth, repeat=count)


def without_temperature(curves, *rows):
    """The same curves, the temperature of some unknown."""
    ids = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    celsius = np.where(np.isin(ids, rows), np.nan, curves.column("surface_temperature_celsius"))
    return Curves(
        curves.timeseries.with_columns(pl.Series("surface_temperature_celsius", celsius)),
        curves.halfcycles,
    )


def test_the_table_names_them_in_the_order_of_the_reports():
    assert list(CHEAP) == ["replay", "jitter", "scaling", "time_warp", "interpolate", "smote", "bootstrap", "mean_curve"]
    assert (CHEAP["replay"], CHEAP["mean_curve"]) == (Replay, MeanCurve)


@pytest.mark.parametrize("name", ALL)
def test_each_curve_depends_on_its_condition_and_seed_alone(known, name):
    source, seeds = ALL[name](known), [7, 3, 11, 5]
    whole = source.draw(ASKED, seeds)
    assert same(whole, Curves.concat([source.draw([c], [s]) for c, s in zip(ASKED, seeds, strict=True)]))
    assert same(whole, ALL[name](known).draw(ASKED[::-1], seeds[::-1]).take([3, 2, 1, 0]))


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_gives_another_curve(known, name):
    one, other = (ALL[name](known).draw(ASKED[:1], [seed]).timeseries.drop("cell_id") for seed in (1, 2))
    assert not one.equals(other)


@pytest.mark.parametrize("name", ALL)
def test_curves_are_whole_and_in_real_units(known, name):
    drawn = ALL[name](known).draw(ASKED * 5, range(5 * len(ASKED)))
    real = samples(known)
    longest = max(curve["step_time_second"][-1] for curve in real)
    for curve, condition in zip(samples(drawn), ASKED * 5, strict=True):
        assert curve["step_time_second"][0] == 0
        assert np.all(np.diff(curve["step_time_second"]) > 0)
        assert 900 < curve["step_time_second"][-1] < 1.6 * longest
        assert curve["voltage_volt"].min() > 1
        assert curve["voltage_volt"].max() < 5
        assert np.all((curve["current_ampere"] > 0) == (condition.step == "charge"))
        assert np.all((curve["surface_temperature_celsius"] > 20) & (curve["surface_temperature_celsius"] < 35))
    assert drawn.under_load.all()
    assert drawn.halfcycles["model_sha256"].unique().to_list() == [name.replace("_", " ")]
    assert drawn.known("requested_peak_deviation_volt").tolist() == [c.peak_deviation_volt for c in ASKED * 5]


@pytest.mark.parametrize("name", ALL)
def test_a_label_without_known_curves_is_refused(known, name):
    with pytest.raises(ConditionError, match=r"no known charge is labelled 'overvoltage': known are overdischarge, overcharge"):
        ALL[name](known).draw(grid("overvoltage", peak_deviation_volt=0.2), [1])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_known_curves_are_enough(depths, name, count):
    few = depths.take(range(count))
    drawn = ALL[name](few).draw(asking(4), range(4))
    assert len(drawn) == 4
    assert np.isfinite(drawn.column("voltage_volt")).all()
    if count == 1 and name in ("interpolate", "smote", "bootstrap"):
        share = np.linspace(0, 1, MEAN_POINTS)
        for curve in samples(drawn):
            np.testing.assert_allclose(at(curve, share, "voltage_volt"), at(samples(few)[0], share, "voltage_volt"), atol=2e-3)
            assert curve["step_time_second"][-1] == pytest.approx(samples(few)[0]["step_time_second"][-1])


@pytest.mark.parametrize("name", ALL)
def test_an_unknown_temperature_stays_unknown(depths, name):
    drawn = ALL[name](without_temperature(depths, 0, 1, 2)).draw(asking(3), range(3))
    assert np.isnan(drawn.column("surface_temperature_celsius")).all()
    assert np.isfinite(drawn.column("voltage_volt")).all()


@pytest.mark.parametrize("name", ALL)
def test_a_known_curve_without_load_is_passed_over(depths, name):
    idle = discharge(cutoff=LOWER - 0.4)
    idle["current_ampere"] = np.zeros_like(idle["current_ampere"])
    resting = complete(curves_of([("Z", 1, "discharge", "overdischarge", idle, {"peak_deviation_volt": 0.4})]))
    mixed = Curves.concat([resting, depths])
    assert same(ALL[name](mixed).draw(asking(3), range(3)), ALL[name](depths).draw(asking(3), range(3)))
    with pytest.raises(ConditionError, match="has a load"):
        ALL[name](resting).draw(asking(1), [1])


def test_jitter_is_white_noise_of_the_declared_spread(depths):
    drawn = samples(Jitter(depths).draw(asking(300), range(300)))
    curve = samples(depths)[1]
    noise = np.stack([d["voltage_volt"] - curve["voltage_volt"] for d in drawn])
    assert noise.std() == pytest.approx(JITTER_SHARE * curve["voltage_volt"].std(), rel=0.03)
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.05 * noise.var()
    for name in ("step_time_second", "current_ampere", "surface_temperature_celsius"):
        np.testing.assert_array_equal(drawn[0][name], curve[name])


def test_scaling_stretches_the_voltage_about_its_mean(depths):
    drawn, curve = samples(Scaling(depths).draw(asking(400), range(400))), samples(depths)[1]
    centred = curve["voltage_volt"] - curve["voltage_volt"].mean()
    factors = []
    for one in drawn:
        moved = one["voltage_volt"] - curve["voltage_volt"].mean()
        factors.append(moved @ centred / (centred @ centred))
        np.testing.assert_allclose(moved, factors[-1] * centred, atol=1e-12)
        np.testing.assert_array_equal(one["step_time_second"], curve["step_time_second"])
    assert np.mean(factors) == pytest.approx(1, abs=0.01)
    assert np.std(factors) == pytest.approx(SCALING_STD, rel=0.12)


def test_a_time_warp_moves_the_samples_in_time_and_nothing_else(depths):
    drawn, curve = samples(TimeWarp(depths).draw(asking(400), range(400))), samples(depths)[1]
    time = curve["step_time_second"]
    for one in drawn:
        for name in ("voltage_volt", "current_ampere", "surface_temperature_celsius"):
            np.testing.assert_array_equal(one[name], curve[name])
        assert one["step_time_second"][0] == 0
        assert np.all(np.diff(one["step_time_second"]) > 0)
    ends = np.array([one["step_time_second"][-1] for one in drawn]) / time[-1]
    assert ends.mean() == pytest.approx(1, abs=0.015)
    assert ends.std() == pytest.approx(WARP_STD / WARP_PIECES**0.5, rel=0.12)


def test_a_time_warp_is_smooth_and_uneven(depths):
    time = samples(depths)[1]["step_time_second"]
    pace = np.stack(
        [np.diff(one["step_time_second"]) / np.diff(time) for one in samples(TimeWarp(depths).draw(asking(50), range(50)))]
    )
    assert np.ptp(pace, axis=1).min() > 0.05
    assert np.abs(np.diff(pace, axis=1)).max() < 0.3 * np.ptp(pace, axis=1).max()


def test_an_interpolated_curve_lies_between_the_two_nearest(depths):
    near, far = (samples(depths)[i] for i in (1, 0))
    weights = []
    for one in samples(Interpolate(depths).draw(asking(200, depth=0.35), range(200))):
        end = one["step_time_second"][-1]
        weight = (end - near["step_time_second"][-1]) / (far["step_time_second"][-1] - near["step_time_second"][-1])
        share = one["step_time_second"] / end
        for name in VALUES:
            expected = (1 - weight) * at(near, share, name) + weight * at(far, share, name)
            np.testing.assert_allclose(one[name], expected, atol=1e-9)
        weights.append(weight)
    assert 0 <= min(weights) < 0.05
    assert 0.95 < max(weights) <= 1
    assert np.mean(weights) == pytest.approx(0.5, abs=0.06)


def test_a_smote_curve_lies_on_a_segment_between_two_known(depths):
    share = np.linspace(0, 1, MEAN_POINTS)
    rows = np.stack([_row(curve, share) for curve in samples(depths)])
    pairs = set()
    for one in samples(Smote(depths).draw(asking(60), range(60))):
        row = _row(one, share)
        off = {
            (a, b): np.abs(row - rows[a] - _weight(row - rows[a], rows[b] - rows[a]) * (rows[b] - rows[a])).max()
            for a in range(3)
            for b in range(a)
        }
        pairs.add(min(off, key=off.get))
        assert min(off.values()) < 1e-9
    assert pairs == {(1, 0), (2, 0), (2, 1)}


def _row(curve, share):
    parts = [at(curve, share, name) for name in VALUES[1:]]
    return np.concatenate([*parts, [np.log(curve["step_time_second"][-1])]])


def _weight(offset, edge):
    return np.clip(offset @ edge / (edge @ edge), 0, 1)


def test_smote_ignores_all_of_a_condition_but_its_label(known):
    asked = grid("overdischarge", peak_deviation_volt=(0.1, 0.9))
    shallow, deep = (Smote(known).draw([condition], [4]).timeseries for condition in asked)
    assert shallow.equals(deep)


def shaped(cases):
    """An overdischarge of 1 A for each depth beyond the limit (V) and each rate that gives its duration."""
    amperes = {"current_ampere": -np.ones(60)}
    return complete(
        curves_of(
            (f"C{i}", 1, "discharge", "overdischarge", {**discharge(cutoff=LOWER - deep, rate=rate), **amperes}, {})
            for i, (deep, rate) in enumerate(cases)
        )
    )


def test_smote_counts_a_duration_as_much_as_128_voltages(monkeypatch):
    """Of 3 long and 3 short curves in turn by depth, a long one is the neighbour of a long one."""
    monkeypatch.setattr(classical, "SMOTE_NEIGHBOURS", 1)
    known = shaped(zip((0.20, 0.25, 0.30, 0.35, 0.40, 0.45), (0.4, 1.6) * 3, strict=True))
    drawn = samples(Smote(known).draw(asking(30), range(30)))
    assert {round(curve["step_time_second"][-1], 3) for curve in drawn} == {8100.0, 2025.0}


def test_smote_counts_voltages_as_much_as_a_duration(monkeypatch):
    """Of 3 deep and 3 shallow curves in turn by duration, a deep one is the neighbour of a deep one, by 20 mV alone."""
    monkeypatch.setattr(classical, "SMOTE_NEIGHBOURS", 1)
    known = shaped(zip((0.30, 0.32) * 3, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), strict=True))
    drawn = samples(Smote(known).draw(asking(30), range(30)))
    assert {round(1e6 * curve["voltage_volt"].min()) for curve in drawn} == {2_400_000, 2_380_000}


def test_smote_takes_no_notice_of_rounding(monkeypatch):
    """Temperatures that differ in the last digit do not make neighbours of curves that differ in depth."""
    monkeypatch.setattr(classical, "SMOTE_NEIGHBOURS", 1)
    depths = (0.2, 0.22, 0.6, 0.62)
    rows = [
        (
            f"C{i}",
            1,
            "discharge",
            "overdischarge",
            {**discharge(cutoff=LOWER - deep), "surface_temperature_celsius": np.full(60, celsius)},
            {},
        )
        for i, (deep, celsius) in enumerate(zip(depths, (25.0, 25.0 + 1e-14) * 2, strict=True))
    ]
    for curve in samples(Smote(complete(curves_of(rows))).draw(asking(30), range(30))):
        assert not LOWER - 0.59 < curve["voltage_volt"].min() < LOWER - 0.23


def test_smote_keeps_a_gap_in_the_temperature_a_gap(depths):
    curves = samples(Smote(without_temperature(depths, 1)).draw(asking(40), range(40)))
    gaps = [np.isnan(curve["surface_temperature_celsius"]) for curve in curves]
    assert {bool(gap.all()) for gap in gaps} == {True, False}
    assert all(gap.all() or not gap.any() for gap in gaps)
    known = [curve["surface_temperature_celsius"][~gap] for curve, gap in zip(curves, gaps, strict=True) if not gap.all()]
    assert all(24.9 < values.min() <= values.max() < 30.1 for values in known)


def test_a_bootstrap_curve_is_an_expectation_and_one_residual(known):
    asked = grid("overdischarge", peak_deviation_volt=0.5)[0]
    base = CurveLibrary(known)
    rows = base.of(asked)

    def expected(condition):
        return mean([base.resampled[i] for i in base.nearest(condition, BOOTSTRAP_NEIGHBOURS)])

    fits = [expected(base.conditions[i]) for i in rows]
    volts = np.stack([expected(asked).volt + base.resampled[i].volt - fit.volt for i, fit in zip(rows, fits, strict=True)])
    ends = [
        expected(asked).second[-1] * base.resampled[i].second[-1] / fit.second[-1] for i, fit in zip(rows, fits, strict=True)
    ]
    drawn = samples(Bootstrap(known).draw([asked] * 100, range(100)))
    used = set()
    for one in drawn:
        off = np.abs(volts - one["voltage_volt"]).max(axis=1)
        used.add(int(off.argmin()))
        assert off.min() < 1e-9
        assert one["step_time_second"][-1] == pytest.approx(ends[off.argmin()])
        np.testing.assert_allclose(one["current_ampere"], expected(asked).ampere)
    assert len(used) == len(rows)


def test_a_bootstrap_of_all_curves_is_the_known_ones(depths):
    """With as many neighbours as curves the expectation is one mean, and mean plus residual gives a known curve."""
    share = np.linspace(0, 1, MEAN_POINTS)
    volts = np.stack([at(curve, share, "voltage_volt") for curve in samples(depths)])
    nearest = [
        np.abs(volts - one["voltage_volt"]).max(axis=1) for one in samples(Bootstrap(depths).draw(asking(30), range(30)))
    ]
    assert max(off.min() for off in nearest) < 1e-9
    assert {int(off.argmin()) for off in nearest} == {0, 1, 2}


def test_noise_is_uniform_over_all_known_voltages():
    rows = [
        ("A", 1, "discharge", "overdischarge", discharge(cutoff=LOWER - 0.2), {}),
        ("B", 1, "charge", "overcharge", charge(cutoff=UPPER + 0.3), {}),
    ]
    known = complete(curves_of(rows))
    drawn = Noise(known).draw(asking(200), range(200))
    volt = drawn.column("voltage_volt")
    low, high = LOWER - 0.2, UPPER + 0.3
    assert low <= volt.min() < low + 0.01
    assert high - 0.01 < volt.max() <= high
    assert volt.std() == pytest.approx((high - low) / 12**0.5, rel=0.02)
    for name in ("step_time_second", "current_ampere"):
        np.testing.assert_array_equal(samples(drawn)[0][name], samples(known)[0][name])


def test_the_severity_is_measured_back_and_not_corrected(depths):
    asked = [replace(condition, peak_deviation_volt=0.55) for condition in conditions_of(depths)[:1]]
    for name in ("replay", "jitter", "scaling", "time_warp"):
        drawn = ALL[name](depths).draw(asked, [1])
        assert drawn.known("requested_peak_deviation_volt") == 0.55
        assert abs(drawn.known("peak_deviation_volt") - 0.55) > 0.05


# --- with scissors


def test_a_splice_is_a_normal_curve_of_the_cell_with_the_end_of_a_known_fault(depths):
    normal = normal_curves().select(step_type=["discharge"])
    cell, cycle = normal.halfcycles.select("cell_id", "cycle_count").row(0)
    asked = [replace(condition, cell_id=cell, cycle_count=cycle + 1) for condition in asking(1, depth=0.8)]
    (made,) = samples(Splice(depths, normal).draw(asked, range(1)))
    (source,), fault = samples(normal.take([0])), samples(depths)[2]
    inside = (source["voltage_volt"] >= LOWER).argmin() or source["voltage_volt"].size
    np.testing.assert_allclose(made["voltage_volt"][:inside], source["voltage_volt"][:inside])
    beyond = fault["voltage_volt"] < LOWER
    np.testing.assert_allclose(made["voltage_volt"][inside:], fault["voltage_volt"][beyond])
    np.testing.assert_allclose(
        np.diff(made["step_time_second"][inside:]), np.diff(fault["step_time_second"][beyond]), rtol=1e-6
    )
    assert (np.diff(made["step_time_second"]) > 0).all()
    assert abs(np.diff(made["surface_temperature_celsius"])[inside - 1]) < 1e-6  # in one piece


def test_a_splice_of_an_unknown_cell_takes_any_normal_curve_by_its_seed(depths):
    normal = normal_curves().select(step_type=["discharge"])
    source = Splice(depths, normal)
    one, again = (source.draw(asking(6), range(6)) for _ in range(2))
    assert same(one, again)
    assert len({curve["voltage_volt"][3] for curve in samples(one)}) > 1
    with pytest.raises(ConditionError, match="no normal discharge is known"):
        Splice(depths, normal_curves().select(step_type=["charge"])).draw(asking(1), range(1))
