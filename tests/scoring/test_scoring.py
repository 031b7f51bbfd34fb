"""A copy of the real set scores as perfect, whatever its order; pairs are found by key, else by condition; refusals."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.curves import Curves
from faultcell.errors import ConditionError, DataError
from faultcell.scoring import POINTS, SET_COLUMNS, Scores, evaluate
from faultcell.scoring.believability import SHARES
from strategies import fault_curves

pytestmark = pytest.mark.filterwarnings("error")
ZERO = ("mae", "mse", "kl", "js", "wasserstein", "lowest_voltage_error_volt", "highest_voltage_error_volt", "duration_error")


def fast(**kwargs):
    return evaluate(**kwargs, thorough=False)


def perfect(score):
    assert [getattr(score, name) for name in ZERO] == pytest.approx([0] * len(ZERO), abs=1e-12)
    assert score.pcc == pytest.approx(1)
    assert score.dpcc == pytest.approx(1)


def renamed(curves):
    changed = pl.lit("new-") + pl.col("cell_id")
    return Curves(curves.timeseries.with_columns(cell_id=changed), curves.halfcycles.with_columns(cell_id=changed))


def shifted(curves, volts):
    return Curves(curves.timeseries.with_columns(pl.col("voltage_volt") + volts), curves.halfcycles)


def test_a_copy_of_the_real_set_is_perfect(tiny):
    scores = fast(real=tiny[1], synthetic=tiny[1])
    assert scores.pairing == "by key"
    groups = scores.sources["synthetic"]
    for score in (groups.all, *groups.by_label.values(), *groups.by_cell.values()):
        perfect(score)
        assert score.peak_deviation_error_volt is None  # nothing was requested


@given(seed=st.integers(0, 1000))
@settings(max_examples=5)
def test_curves_are_paired_by_key_whatever_their_order(tiny, seed):
    order = np.random.default_rng(seed).permutation(len(tiny[1])).tolist()
    scores = fast(real=tiny[1], synthetic=tiny[1].take(order))
    assert scores.pairing == "by key"
    perfect(scores.sources["synthetic"].all)


def test_a_part_of_the_real_set_is_paired_by_key(tiny):
    scores = fast(real=tiny[1], synthetic=tiny[1].take([7, 3]))
    assert (scores.pairing, scores.sources["synthetic"].all.curves) == ("by key", 2)
    perfect(scores.sources["synthetic"].all)


def test_other_keys_are_paired_by_the_nearest_condition(tiny):
    scores = fast(real=tiny[1], synthetic=renamed(tiny[1]).take([9, 2, 5]))
    assert (scores.pairing, scores.sources["synthetic"].all.curves) == ("nearest condition", 3)
    perfect(scores.sources["synthetic"].all)


def test_a_label_the_real_set_has_not_is_refused(tiny):
    with pytest.raises(DataError, match="labelled 'overdischarge' and the real set has none"):
        fast(real=tiny[1].select(label=["overcharge"]), synthetic=renamed(tiny[1]))


def test_counts_of_labels_cells_and_strata_sum_to_all(tiny):
    scores = fast(real=tiny[1], synthetic=tiny[1], train=renamed(tiny[1]))
    assert list(scores.sources) == ["synthetic", "floor", "replay", "jitter", "mean_curve", "noise"]
    for name, source in scores.sources.items():
        count = source.all.curves
        assert count == (8 if name == "floor" else len(tiny[1]) == 24 and 24)
        for groups in (source.by_label, source.by_cell, source.by_severity):
            assert sum(score.curves for score in groups.values()) == count
            mean = sum(score.curves * score.mae for score in groups.values()) / count
            assert mean == pytest.approx(source.all.mae)
        assert set(source.by_label) == {"overcharge", "overdischarge"}
        assert set(source.by_cell) == set(tiny[1].cells)
        assert list(source.sets) == (["all"] if name == "synthetic" else [])  # whether single ones are believable


def test_replay_of_the_very_curves_is_perfect_and_the_mean_curve_is_not(tiny):
    sources = fast(real=tiny[1], synthetic=tiny[1], train=renamed(tiny[1])).sources
    perfect(sources["replay"].all)
    assert sources["replay"].all.peak_deviation_error_volt == pytest.approx(0)
    assert sources["mean_curve"].all.mae > 0.005
    assert sources["mean_curve"].all.peak_deviation_error_volt > 0.01


def test_errors_are_in_the_units_they_say(tiny):
    real = tiny[1].select(label=["overdischarge"])
    score = fast(real=real, synthetic=shifted(real, 0.03)).sources["synthetic"].all
    volts = np.concatenate([real.column("voltage_volt")[rows][real.under_load[rows]] for rows in real.slices()])
    assert score.mae == pytest.approx(0.03 / (volts.max() - volts.min()), rel=1e-3)
    assert score.lowest_voltage_error_volt == pytest.approx(0.03)
    assert score.highest_voltage_error_volt == pytest.approx(0.03)
    slower = Curves(real.timeseries.with_columns(pl.col("step_time_second") * 1.25), real.halfcycles)
    score = fast(real=real, synthetic=slower).sources["synthetic"].all
    assert score.duration_error == pytest.approx(0.25)
    assert score.mae == pytest.approx(0, abs=1e-9)


def test_rest_after_the_load_does_not_count(tiny):
    real = tiny[1].select(label=["overdischarge"])
    resting = pl.col("current_ampere") == 0
    wild = real.timeseries.with_columns(pl.when(resting).then(0.0).otherwise(pl.col("voltage_volt")).alias("voltage_volt"))
    perfect(fast(real=real, synthetic=Curves(wild, real.halfcycles)).sources["synthetic"].all)


def test_adherence_is_asked_against_measured_back(tiny):
    real = tiny[1]
    asked = real.halfcycles.with_columns(
        requested_peak_deviation_volt=pl.col("peak_deviation_volt") + 0.02,
        requested_repetition_count=pl.col("repetition_count") + 2,
    )
    score = fast(real=real, synthetic=Curves(real.timeseries, asked)).sources["synthetic"].all
    assert score.peak_deviation_error_volt == pytest.approx(0.02)
    assert score.repetition_error == pytest.approx(2)
    assert score.cumulative_duration_error_second is None


def test_scores_survive_json():
    real = fault_curves(cells=2, cycles=4).select(label=["overcharge"])
    scores = evaluate(real=real, synthetic=real, train=renamed(real), beside=("replay",))
    assert list(scores.sources) == ["synthetic", "replay"]
    assert set(scores.sources["replay"].sets) == {"all", "overcharge"}
    assert Scores.model_validate_json(scores.model_dump_json()) == scores
    assert str(POINTS) in scores.protocol


def test_what_a_copy_of_the_real_set_scores_as_a_set():
    """Two cells are too few for a judge, and a set that is its own training set has no held-out distance."""
    real = fault_curves(cells=2, cycles=4).select(label=["overcharge"])
    found = evaluate(real=real, synthetic=real, train=renamed(real), beside=()).sources["synthetic"].sets["all"]
    assert found.discriminative_gru is found.discriminative_linear is found.closest_record is None
    assert (found.authenticity, found.authenticity_real, found.coverage) == (0, 0, 1)
    assert found.frechet == pytest.approx(0, abs=1e-9)
    assert found.spread_ratio == pytest.approx(1)
    assert found.predictive < found.predictive_real
    assert found.mmd_p > 0.9


def test_fewer_than_eight_curves_have_no_scores_as_a_set(tiny):
    real = tiny[1].select(label=["overcharge"]).take(range(7))
    found = evaluate(real=real, synthetic=real, beside=()).sources["synthetic"].sets["overcharge"]
    known = {name for name in SET_COLUMNS if getattr(found, name) is not None}
    assert found.curves == 7
    single = {name for name in known if name.removesuffix("_real") in SHARES or name.startswith("forest")}
    assert set(SHARES) - {"surges"} <= single  # of a charge nothing is said of those
    assert known - single == {"spread_ratio", "limit_violations", "monotone_violations", "charge_violations"}


def test_more_generated_than_real_curves_count_each_real_one_once():
    """The nearest conditions of two copies of the set are the same real curves twice."""
    real = fault_curves(cells=2, cycles=4).select(label=["overcharge"])
    later = pl.col("cycle_count") + 10
    again = Curves(real.timeseries.with_columns(later), real.halfcycles.with_columns(later))
    source = evaluate(real=real, synthetic=renamed(Curves.concat([real, again])), beside=("floor",)).sources
    assert source["synthetic"].all.curves == source["synthetic"].sets["all"].curves == 16
    assert source["synthetic"].sets["all"].coverage == 1
    assert source["floor"].all.curves == 4


def test_violations_are_what_no_real_curve_does():
    real = fault_curves(cells=2, cycles=4).select(label=["overdischarge"])
    none = evaluate(real=real, synthetic=real, beside=()).sources["synthetic"].sets["all"]
    assert none.limit_violations == 0
    deeper = evaluate(real=real, synthetic=shifted(real, -1.0), beside=()).sources["synthetic"].sets["all"]
    assert deeper.limit_violations == 1
    assert deeper.charge_violations == none.charge_violations
    slower = Curves(real.timeseries.with_columns(pl.col("step_time_second") * 1.25), real.halfcycles)
    assert evaluate(real=real, synthetic=slower, beside=()).sources["synthetic"].sets["all"].charge_violations > 0.5


def test_strata_are_three_equal_parts_by_the_real_peak_deviation(tiny):
    scores = fast(real=tiny[1], synthetic=shifted(tiny[1], 0.03), beside=())
    source = scores.sources["synthetic"]
    peaks = np.sort(tiny[1].select(label=["overdischarge"]).known("peak_deviation_volt"))
    names = [name for name in source.by_severity if name.startswith("overdischarge")]
    assert names[0].startswith(f"overdischarge {peaks[0]:.2f} to ")
    assert names[-1].endswith(f" to {peaks[-1]:.2f} V")
    assert [source.by_severity[name].curves for name in names] == [4, 4, 4]
    assert source.worst is None  # no stratum has five curves


def test_the_worst_stratum_is_the_one_with_the_largest_error():
    real = fault_curves(cells=6)
    deep = pl.col("voltage_volt") < 2.7 - 0.6
    worse = real.timeseries.with_columns(pl.when(deep).then(3.0).otherwise(pl.col("voltage_volt")).alias("voltage_volt"))
    source = fast(real=real, synthetic=Curves(worse, real.halfcycles), beside=()).sources["synthetic"]
    assert source.worst == [name for name in source.by_severity if name.startswith("overdischarge")][-1]
    assert source.by_severity[source.worst].mae == max(score.mae for score in source.by_severity.values())


def test_equal_peaks_make_one_stratum(tiny):
    real = tiny[1].select(label=["overcharge"])
    level = Curves(real.timeseries, real.halfcycles.with_columns(peak_deviation_volt=pl.lit(0.1)))
    source = fast(real=level, synthetic=level, beside=()).sources["synthetic"]
    assert {name: score.curves for name, score in source.by_severity.items()} == {"overcharge 0.10 to 0.10 V": 12}


def test_normal_curves_are_in_no_stratum(tiny):
    source = fast(real=tiny[0], synthetic=tiny[0], beside=()).sources["synthetic"]
    assert (source.by_severity, source.worst) == ({}, None)


def test_the_floor_holds_each_curve_against_the_next_of_its_cell(tiny):
    """Three cycles a cell: the first two make a pair, the third is left over."""
    real = tiny[1]
    floor = fast(real=real, synthetic=real, beside=("floor",)).sources["floor"]
    first, second = (real.where(pl.col("cycle_count") == cycle) for cycle in (1, 2))
    volts = real.column("voltage_volt")[real.under_load]
    renumbered = pl.lit(1, dtype=pl.Int64).alias("cycle_count")
    later = Curves(second.timeseries.with_columns(renumbered), second.halfcycles.with_columns(renumbered))
    same = fast(real=first, synthetic=later, beside=()).sources["synthetic"]
    inside = first.column("voltage_volt")[first.under_load]
    assert floor.all.curves == same.all.curves == 8
    assert floor.all.mae == pytest.approx(same.all.mae * np.ptp(inside) / np.ptp(volts))
    assert floor.all.duration_error == pytest.approx(same.all.duration_error)


def test_without_two_curves_of_a_kind_there_is_no_floor(tiny):
    real = tiny[1].where(pl.col("cycle_count") == 1)
    assert list(fast(real=real, synthetic=real).sources) == ["synthetic", "noise"]


def test_a_source_nobody_knows_is_refused(tiny):
    with pytest.raises(ConditionError, match="unknown source 'gan' in beside: known are floor, replay"):
        fast(real=tiny[1], synthetic=tiny[1], beside=("noise", "gan"))


def test_a_test_cell_in_the_training_set_is_refused(tiny):
    train = tiny[1].select(cells=["D1", "D3"])
    with pytest.raises(DataError, match="a test cell in the training set: 'D1' is both"):
        fast(real=tiny[1].select(cells=["D0", "D1"]), synthetic=tiny[1].select(cells=["D0"]), train=train)


@pytest.mark.parametrize("place", ["real", "train"])
def test_generated_curves_are_no_real_ones(tiny, place):
    marks = pl.Series([None] * 23 + [True], dtype=pl.Boolean)
    generated = Curves(tiny[1].timeseries, tiny[1].halfcycles.with_columns(synthetic=marks))
    sets = {"real": renamed(tiny[1]), "synthetic": tiny[1], place: generated}
    with pytest.raises(DataError, match=f"the {place} set has generated curves"):
        fast(**sets)


def test_a_real_set_that_says_it_is_not_generated_is_taken(tiny):
    said = Curves(tiny[1].timeseries, tiny[1].halfcycles.with_columns(synthetic=pl.lit(False)))
    assert fast(real=said, synthetic=said, beside=()).sources["synthetic"].all.mae == 0


def test_a_generated_curve_that_is_no_number_is_named(tiny):
    broken = shifted(tiny[1], pl.when(pl.int_range(pl.len()) == 10).then(float("nan")).otherwise(0.0))
    with pytest.raises(DataError, match="cell D0, cycle 1, discharge has times, voltages or currents that are no numbers"):
        fast(real=tiny[1], synthetic=broken)
