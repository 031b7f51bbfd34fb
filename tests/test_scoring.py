"""A copy of the real set scores as perfect, whatever its order; pairs are found by key, else by condition."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.curves import Curves
from faultcell.errors import DataError
from faultcell.scoring import POINTS, evaluate

pytestmark = pytest.mark.filterwarnings("error")
ZERO = ("mae", "mse", "kl", "lowest_voltage_error_volt", "highest_voltage_error_volt", "duration_error")


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
    scores = evaluate(real=tiny[1], synthetic=tiny[1])
    assert scores.pairing == "by key"
    groups = scores.sources["synthetic"]
    for score in (groups.all, *groups.by_label.values(), *groups.by_cell.values()):
        perfect(score)
        assert score.peak_deviation_error_volt is None  # nothing was requested


@given(seed=st.integers(0, 1000))
@settings(max_examples=5)
def test_curves_are_paired_by_key_whatever_their_order(tiny, seed):
    order = np.random.default_rng(seed).permutation(len(tiny[1])).tolist()
    scores = evaluate(real=tiny[1], synthetic=tiny[1].take(order))
    assert scores.pairing == "by key"
    perfect(scores.sources["synthetic"].all)


def test_a_part_of_the_real_set_is_paired_by_key(tiny):
    scores = evaluate(real=tiny[1], synthetic=tiny[1].take([7, 3]))
    assert (scores.pairing, scores.sources["synthetic"].all.curves) == ("by key", 2)
    perfect(scores.sources["synthetic"].all)


def test_other_keys_are_paired_by_the_nearest_condition(tiny):
    scores = evaluate(real=tiny[1], synthetic=renamed(tiny[1]).take([9, 2, 5]))
    assert (scores.pairing, scores.sources["synthetic"].all.curves) == ("nearest condition", 3)
    perfect(scores.sources["synthetic"].all)


def test_a_label_the_real_set_has_not_is_refused(tiny):
    with pytest.raises(DataError, match="labelled 'overdischarge' and the real set has none"):
        evaluate(real=tiny[1].select(label=["overcharge"]), synthetic=renamed(tiny[1]))


def test_counts_of_labels_and_cells_sum_to_all(tiny):
    scores = evaluate(real=tiny[1], synthetic=tiny[1], train=tiny[1])
    assert set(scores.sources) == {"synthetic", "replay", "mean_curve"}
    for source in scores.sources.values():
        assert source.all.curves == len(tiny[1]) == 24
        for groups in (source.by_label, source.by_cell):
            assert sum(score.curves for score in groups.values()) == 24
            mean = sum(score.curves * score.mae for score in groups.values()) / 24
            assert mean == pytest.approx(source.all.mae)
    assert set(source.by_label) == {"overcharge", "overdischarge"}
    assert set(source.by_cell) == set(tiny[1].cells)


def test_replay_of_the_very_curves_is_perfect_and_the_mean_curve_is_not(tiny):
    sources = evaluate(real=tiny[1], synthetic=tiny[1], train=tiny[1]).sources
    perfect(sources["replay"].all)
    assert sources["replay"].all.peak_deviation_error_volt == pytest.approx(0)
    assert sources["mean_curve"].all.mae > 0.005
    assert sources["mean_curve"].all.peak_deviation_error_volt > 0.01


def test_errors_are_in_the_units_they_say(tiny):
    real = tiny[1].select(label=["overdischarge"])
    score = evaluate(real=real, synthetic=shifted(real, 0.03)).sources["synthetic"].all
    volts = np.concatenate([real.column("voltage_volt")[rows][real.under_load[rows]] for rows in real.slices()])
    assert score.mae == pytest.approx(0.03 / (volts.max() - volts.min()), rel=1e-3)
    assert score.lowest_voltage_error_volt == pytest.approx(0.03)
    assert score.highest_voltage_error_volt == pytest.approx(0.03)
    slower = Curves(real.timeseries.with_columns(pl.col("step_time_second") * 1.25), real.halfcycles)
    score = evaluate(real=real, synthetic=slower).sources["synthetic"].all
    assert score.duration_error == pytest.approx(0.25)
    assert score.mae == pytest.approx(0, abs=1e-9)


def test_rest_after_the_load_does_not_count(tiny):
    real = tiny[1].select(label=["overdischarge"])
    resting = pl.col("current_ampere") == 0
    wild = real.timeseries.with_columns(pl.when(resting).then(0.0).otherwise(pl.col("voltage_volt")).alias("voltage_volt"))
    perfect(evaluate(real=real, synthetic=Curves(wild, real.halfcycles)).sources["synthetic"].all)


def test_adherence_is_asked_against_measured_back(tiny):
    real = tiny[1]
    asked = real.halfcycles.with_columns(
        requested_peak_deviation_volt=pl.col("peak_deviation_volt") + 0.02,
        requested_repetition_count=pl.col("repetition_count") + 2,
    )
    score = evaluate(real=real, synthetic=Curves(real.timeseries, asked)).sources["synthetic"].all
    assert score.peak_deviation_error_volt == pytest.approx(0.02)
    assert score.repetition_error == pytest.approx(2)
    assert score.cumulative_duration_error_second is None


def test_scores_survive_json(tiny):
    scores = evaluate(real=tiny[1], synthetic=tiny[1], train=tiny[1])
    assert type(scores).model_validate_json(scores.model_dump_json()) == scores
    assert str(POINTS) in scores.protocol
