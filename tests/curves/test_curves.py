"""Curves keep their order, cells stay on one side of a split, and what is unknown is None, never zero."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from faultcell.curves import FAULTS, KEYS, SEVERITY, Condition, Curves, Limits, fault, grid, loaded_part
from faultcell.curves.conditions import conditions_of
from faultcell.curves.per_curve import typical_current
from faultcell.curves.severity import complete
from faultcell.errors import ConditionError, DataError
from faultcell.files.embedded import demo_data
from strategies import LOWER, NOMINAL, curve_sets, curves_of, discharge, fault_curves, normal_curves, tables

pytestmark = pytest.mark.filterwarnings("error")


def keys(curves):
    return curves.halfcycles.select(KEYS).rows()


def each(curves):
    """Key -> samples of each curve, read by slices."""
    return {key: curves.timeseries[rows] for key, rows in zip(keys(curves), curves.slices(), strict=True)}


# --- the two tables


@given(curves=curve_sets(), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_samples_follow_the_curves_however_they_were_mixed(curves, seed):
    rng = np.random.default_rng(seed)
    mixed = curves.timeseries.with_columns(_at=pl.Series(rng.random(curves.timeseries.height)))
    mixed = mixed.with_columns(pl.col("_at").sort().over(KEYS)).sort("_at").drop("_at")
    again = Curves.from_tables(mixed, curves.halfcycles)
    assert_frame_equal(again.timeseries, curves.timeseries)
    assert_frame_equal(again.halfcycles, curves.halfcycles)


def test_samples_without_a_curve_are_left_out(tiny):
    faults = tiny[1]
    one = faults.halfcycles[3:4]
    alone = Curves.from_tables(faults.timeseries, one)
    assert_frame_equal(alone.timeseries, each(faults)[one.select(KEYS).row(0)])


def test_every_curve_is_its_own_samples(tiny):
    for key, samples in each(tiny[1]).items():
        assert samples.select(KEYS).unique().rows() == [key]
        assert (np.diff(samples["step_time_second"].to_numpy()) > 0).all()


def test_take_gives_these_curves_in_this_order(tiny):
    faults, order = tiny[1], [5, 0, 7]
    picked = faults.take(order)
    assert keys(picked) == [keys(faults)[i] for i in order]
    for key, samples in each(picked).items():
        assert_frame_equal(samples, each(faults)[key])
    assert len(faults.take([])) == faults.take([]).timeseries.height == 0


def test_where_and_select_agree(tiny):
    faults = tiny[1]
    chosen = faults.select(label=["overdischarge"], cells=["D1", "D2"])
    assert keys(chosen) == keys(faults.where(pl.col("label") == "overdischarge", pl.col("cell_id").is_in(["D1", "D2"])))
    assert chosen.cells == ["D1", "D2"]
    assert chosen.labels == ["overdischarge"]
    assert keys(faults.select()) == keys(faults)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"label": ["overvoltage"]}, "label 'overvoltage' is not in the curve set: it has overcharge, overdischarge"),
        ({"cells": ["D0", "Z9"]}, "cell_id 'Z9' is not in the curve set"),
        ({"label": "overdischarged"}, r"is not in the curve set \(did you mean 'overdischarge'\?\): it has"),
        ({"label": ["overcharge"], "cells": ["D0"]}, "no curve is left after selecting label in .overcharge. and cell_id"),
    ],
)
def test_select_says_what_is_not_there(tiny, selection, words):
    with pytest.raises(DataError, match=words):
        tiny[1].select(**selection)


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 100))
@settings(max_examples=25)
def test_split_puts_every_curve_on_exactly_one_side_and_no_cell_on_both(tiny, share, seed):
    normal = tiny[0]
    train, test = normal.split(test=share, seed=seed)
    assert not set(train.cells) & set(test.cells)
    assert sorted(keys(train) + keys(test)) == sorted(keys(normal))
    assert len(test.cells) == min(max(1, round(share * 6)), 5)
    assert keys(normal.split(test=share, seed=seed)[1]) == keys(test)


def test_split_depends_on_the_seed_and_not_on_the_order(tiny):
    normal = tiny[0]
    chosen = {tuple(sorted(normal.split(seed=seed)[1].cells)) for seed in range(10)}
    assert len(chosen) > 1
    turned = normal.take(range(len(normal) - 1, -1, -1))
    assert sorted(turned.split(seed=3)[1].cells) == sorted(normal.split(seed=3)[1].cells)


def test_split_refuses_what_it_cannot_do(tiny):
    faults = tiny[1]
    with pytest.raises(ConditionError, match="by='cell_id'"):
        faults.split(by="cycle_count")
    with pytest.raises(ConditionError, match="0 < test < 1"):
        faults.split(test=1.0)
    with pytest.raises(DataError, match="at least two cells, found 1"):
        faults.select(cells=["D0"]).split()


@pytest.mark.parametrize("count", [1, 7, 8, 13, 24, 100])
def test_few_spreads_evenly_over_the_cells(tiny, count):
    faults = tiny[1]
    picked = faults.few(count, seed=1)
    assert len(picked) == min(count, len(faults))
    per_cell = picked.halfcycles["cell_id"].value_counts()["count"].to_list() + [0] * (8 - len(picked.cells))
    assert max(per_cell) - min(per_cell) <= 1
    assert keys(picked) == keys(faults.few(count, seed=1))
    assert set(keys(picked)) <= set(keys(faults))


def test_concat_keeps_order_and_further_columns(tiny):
    normal, faults = tiny
    both = Curves.concat([faults, Curves(normal.timeseries, normal.halfcycles.with_columns(colour=pl.lit("blue")))])
    assert keys(both) == keys(faults) + keys(normal)
    assert both.halfcycles["colour"].null_count() == len(faults)
    assert [key for key, samples in each(both).items() if samples.height == 0] == []


# --- conditions


def test_grid_is_every_combination_each_repeated_in_a_row():
    made = grid("overdischarge", peak_deviation_volt=(0.2, 0.5), repetition_count=[1, 2, 3], c_rate=0.8, repeat=2)
    assert [(c.peak_deviation_volt, c.repetition_count) for c in made[::2]] == [(p, n) for p in (0.2, 0.5) for n in (1, 2, 3)]
    assert made[::2] == made[1::2]
    assert {(c.fault, c.c_rate, c.ambient_temperature_celsius) for c in made} == {("overdischarge", 0.8, None)}
    assert len(grid("normal", repeat=3)) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: grid("overdischarge", depth=0.2), "unknown condition 'depth': known are fault, peak_deviation_volt"),
        (lambda: grid("sulphation", peak_deviation_volt=0.2), f"unknown fault 'sulphation': known are {', '.join(FAULTS)}"),
        (lambda: fault("sulphation"), "unknown fault"),
        (lambda: grid("overcharge", peak_deviation_volt=(0.1, 0.0)), "must be above 0 for overcharge, found 0.0"),
        (lambda: Condition("overcharge", peak_deviation_volt=-0.1), "peak_deviation_volt must be a finite number >= 0"),
        (lambda: Condition("overcharge", peak_deviation_volt=math.nan), "finite"),
        (lambda: Condition(c_rate=math.inf), "c_rate must be a finite number"),
        (lambda: Condition(state_of_health=-0.1), "state_of_health"),
        (lambda: Condition("overcharge", peak_deviation_volt=0.1, repetition_count=-1), "repetition_count"),
        (lambda: Limits(4.2, 2.7), r"lower voltage limit \(4.2 V\) must be below the upper one \(2.7 V\)"),
        (lambda: Limits(math.nan, 4.2), "must be below"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ConditionError, match=words) as refused:
        call()
    assert refused.value.exit_code == 2


def test_step_and_side_are_those_of_the_fault():
    for name, kind in FAULTS.items():
        if kind.side is not None:
            condition = Condition(name, peak_deviation_volt=0.1)
            assert (condition.step, condition.side) == (kind.step_type, kind.side)
        else:
            severities = {kind.main.name: kind.main.typical}
            assert Condition(name, severities=severities).step == kind.step_type
            assert [Condition(name, severities=severities, step_type=step).step for step in kind.step_types] == [
                *kind.step_types
            ]
    assert (Condition().step, Condition().side) == ("discharge", "low")
    assert Condition(step_type="charge").side == "high"


def test_unknown_is_none_and_never_zero():
    bare = curves_of([("A", 7, "discharge", "normal", discharge(rate=0.8), {"ambient_temperature_celsius": None})])
    condition = conditions_of(complete(bare))[0]
    assert condition.ambient_temperature_celsius is None
    assert condition.state_of_health is None
    assert condition.c_rate == pytest.approx(0.8)
    assert (condition.cycle_count, condition.cell_id, condition.nominal_capacity_ah) == (7, "A", NOMINAL)
    assert condition.limits == Limits(LOWER, 4.2)
    assert conditions_of(complete(bare), load=False)[0].load is None


def test_state_of_health_goes_before_the_capacity_ratio():
    columns = {"state_of_health": 0.7, "capacity_ah": 1.9}
    rows = [("A", 1, "discharge", "normal", discharge(), columns), ("A", 2, "discharge", "normal", discharge(), columns)]
    timeseries, halfcycles = tables(rows)
    known = halfcycles.with_columns(pl.Series("state_of_health", [0.7, None]))
    first, second = conditions_of(complete(Curves.from_tables(timeseries, known)))
    assert first.state_of_health == 0.7
    assert second.state_of_health == pytest.approx(1.9 / NOMINAL)


def test_the_load_tells_its_shape_and_not_its_length():
    slow, fast = discharge(rate=0.5, rest=5), discharge(rate=0.5, rest=5)
    fast["step_time_second"] = fast["step_time_second"] / 7
    both = complete(curves_of([("A", 1, "discharge", "normal", slow, {}), ("A", 2, "discharge", "normal", fast, {})]))
    first, second = (condition.load for condition in conditions_of(both))
    np.testing.assert_allclose(first.fraction, second.fraction, atol=1e-12)
    np.testing.assert_array_equal(first.current_ampere, second.current_ampere)
    assert (first.fraction[0], first.fraction[-1], first.fraction.size) == (0.0, 1.0, 60)


def test_rest_and_missing_limits_are_unknown_not_an_error(tiny):
    """Rest and field curves need no limits (see files.check); their condition must not fail for that."""
    faults = tiny[1]
    lost = faults.halfcycles.with_columns(lower_voltage_limit_volt=pl.lit(None, dtype=pl.Float64))
    conditions = conditions_of(Curves(faults.timeseries, lost).where(pl.col("label") == "overcharge"))
    assert {condition.limits for condition in conditions} == {None}


def test_the_tail_at_rest_is_not_under_load():
    curves = curves_of([("A", 1, "discharge", "normal", discharge(rest=4), {})])
    assert curves.under_load.tolist() == [True] * 60 + [False] * 4
    assert loaded_part(curves, next(curves.slices())) == slice(0, 60)
    assert typical_current(curves) == pytest.approx([2.0])


def test_known_columns_are_nan_where_missing(tiny):
    faults = tiny[1]
    assert np.isnan(faults.known("no_such_column")).all()
    assert np.isfinite(faults.known("peak_deviation_volt")).all()
    assert set(SEVERITY) <= set(faults.halfcycles.columns)


def test_a_set_is_told_in_one_line():
    two = curves_of([("A", 1, "discharge", "normal", discharge(), {}), ("B", 1, "discharge", "overdischarge", discharge(), {})])
    assert repr(two.take([0])) == "Curves(1 normal discharges; 1 cell, 60 samples)"
    assert "2 cells, 120 samples" in repr(two)
    assert len(repr(demo_data())) < 200
    assert repr(two.take([])) == "Curves(none; 0 cells, 0 samples)"


def test_one_name_may_be_given_by_itself():
    curves = demo_data()
    one, listed = (
        curves.select(label=label, step_type=step) for label, step in (("normal", "charge"), (["normal"], ["charge"]))
    )
    assert one.halfcycles.equals(listed.halfcycles)
    with pytest.raises(ConditionError, match=r"unknown fault 'over_charge' \(did you mean 'overcharge'\?\): known are"):
        fault("over_charge")


# --- as a sequence


def test_a_set_is_indexed_like_a_sequence():
    curves = fault_curves()
    keys = curves.halfcycles.select(KEYS).rows()
    assert curves[1].halfcycles.select(KEYS).rows() == [keys[1]]
    assert curves[-1].halfcycles.select(KEYS).rows() == [keys[-1]]
    assert curves[1:4].halfcycles.select(KEYS).rows() == keys[1:4] == curves[[1, 2, 3]].halfcycles.select(KEYS).rows()
    deep = curves.known("peak_deviation_volt") > 0.4
    assert curves[deep].halfcycles.select(KEYS).rows() == [key for key, is_deep in zip(keys, deep, strict=True) if is_deep]
    assert [one.halfcycles.select(KEYS).rows()[0] for one in curves] == keys
    assert curves.head(3).halfcycles.equals(curves[:3].halfcycles)
    assert len(curves.head(10_000)) == len(curves)
    assert len(curves[[]]) == len(curves[0:0]) == 0
    assert curves[::-1].halfcycles.select(KEYS).rows() == keys[::-1]
    with pytest.raises(DataError, match="named twice"):
        curves[[0, 0]]
    for wrong in (len(curves), -len(curves) - 1, np.int64(len(curves))):
        with pytest.raises(IndexError):
            curves[wrong]


def test_sets_are_added():
    normal, faults = normal_curves(), fault_curves()
    both = normal + faults
    assert len(both) == len(normal) + len(faults)
    assert both.timeseries.height == normal.timeseries.height + faults.timeseries.height
    with pytest.raises(TypeError):
        normal + 1
    with pytest.raises(DataError, match=r"both sets have cell .* a set has each curve once"):
        faults + faults[2:4]
