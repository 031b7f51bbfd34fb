"""No data leak between splits: no cell, no window, no statistic of a scaler crosses, and a call that leaks is refused."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultcell.bands import draw_band
from faultcell.curves import KEYS, NORMAL, Curves, severity
from faultcell.curves.conditions import conditions_of
from faultcell.diagnosis import classify
from faultcell.diagnosis.tasks import tasks_of
from faultcell.diagnosis.views import VIEWS, see
from faultcell.errors import DataError
from faultcell.files import write
from faultcell.regression.references import References
from faultcell.scoring import evaluate
from faultcell.study import jobs, stages
from faultcell.study.jobs import Place
from faultcell.study.split import divide
from strategies import charge, curves_of, discharge, fault_curves, normal_curves
from studies import TINY

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning")


def keys(curves):
    return set(curves.halfcycles.select(KEYS).rows())


def samples_of(curves):
    """Each sample with all that it says."""
    return set(curves.timeseries.rows())


@st.composite
def sets(draw):
    """Cells with and without faults, in any number and order."""
    rows = []
    for n in range(draw(st.integers(4, 9))):
        faulty = draw(st.sampled_from(["", "overdischarge", "overcharge"])) if n > 3 else ("overdischarge", "")[n % 2]
        for cycle in range(1, draw(st.integers(2, 5))):
            for step, shape in (("charge", charge), ("discharge", discharge)):
                label = faulty if faulty and (step == "charge") == (faulty == "overcharge") and cycle > 1 else NORMAL
                beyond = {"cutoff": 4.4 if step == "charge" else 2.2} if label != NORMAL else {}
                rows.append((f"cell {n}", cycle, step, label, shape(samples=12, **beyond), {}))
    order = draw(st.permutations(rows))
    return curves_of(order)


@settings(max_examples=40)
@given(curves=sets(), test=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_a_split_by_cell_shares_nothing_and_loses_nothing(curves, test, seed):
    one, other = curves.split(by="cell_id", test=test, seed=seed)
    assert not set(one.cells) & set(other.cells)
    assert not samples_of(one) & samples_of(other)
    assert keys(one) | keys(other) == keys(curves)
    assert len(one) + len(other) == len(curves)


@settings(max_examples=25)
@given(curves=sets(), test=st.floats(0.2, 0.8), seed=st.integers(0, 1000), few=st.integers(1, 6))
def test_a_study_divides_by_cell_before_all_else(curves, test, seed, few):
    try:
        split = divide(curves, test=test, seed=seed)
    except DataError:
        return  # too few cells of a kind
    learnt = {*split.normal.cells, *split.faults.cells}
    held_out = {*split.test.cells, *split.negatives.cells}
    assert not learnt & held_out
    assert set(split.few(few, seed=seed).cells) <= set(split.faults.cells)
    assert not samples_of(split.normal) & samples_of(split.test)


def shifted(curves, cells):
    """The same set; what was measured of these cells is another."""
    changed = pl.col("cell_id").is_in(sorted(cells))
    series = curves.timeseries.with_columns(
        voltage_volt=pl.when(changed).then(pl.col("voltage_volt") * 0.97 + 0.02).otherwise(pl.col("voltage_volt")),
        step_time_second=pl.when(changed).then(pl.col("step_time_second") * 1.3).otherwise(pl.col("step_time_second")),
    )
    return Curves(series, curves.halfcycles)


def test_what_is_measured_of_cells_held_out_changes_no_bit_of_a_model(tmp_path, tally):
    """Scaler, neighbours, widths, profile and weights: all that a study learns, with other test cells."""
    data = severity.complete(Curves.concat([normal_curves(), fault_curves()]))
    split = divide(data, test=TINY.test_share, seed=TINY.seed)
    held_out = {*split.test.cells, *split.negatives.cells}
    made = {}
    for name, curves in (("as it is", data), ("another", shifted(data, held_out))):
        place = Place(tmp_path / name, TINY)
        stages._begin(place, curves)
        jobs.pretrain(place, "diffusion")
        jobs.adapt(place, "diffusion")
        made[name] = [
            (place.model(model) / file).read_bytes()
            for model in ("diffusion base", "diffusion")
            for file in ("model.safetensors", "config.json")
        ]
    crossed = sum(one != other for one, other in zip(*made.values(), strict=True))
    tally("leaks: files of models learnt beside other test cells", 4, lost=crossed)
    assert not crossed


# --- classifiers


def tasks(train, test):
    return [task for view in VIEWS for task in tasks_of(train=train, test=test, generated={}, view=view)]


@settings(max_examples=10)
@given(seed=st.integers(0, 100))
def test_what_a_classifier_sees_is_scaled_by_training_curves_alone(seed):
    train, test = severity.complete(Curves.concat([normal_curves(), fault_curves()])).split(test=0.4, seed=seed)
    rng = np.random.default_rng(seed)
    part = test.take(sorted(rng.permutation(len(test))[: max(4, len(test) // 2)].tolist()))
    whole, less = (
        {(task.label, task.view): task for task in tasks(train, found) if not isinstance(task, str)} for found in (test, part)
    )
    for name in set(whole) & set(less):
        one, other = whole[name], less[name]
        for a, b in zip(one.scale, other.scale, strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(one.scaled(one.train.seen.values), other.scaled(other.train.seen.values))


def test_no_window_of_a_curve_reaches_into_another():
    curves = severity.complete(Curves.concat([normal_curves(), fault_curves()])).where(pl.col("step_type") == "discharge")
    for view in VIEWS:
        together = see(curves, view)
        for row in range(0, len(curves), 7):
            alone = see(curves.take([row]), view)
            assert np.array_equal(alone.values[0], together.values[row], equal_nan=True)


def test_a_reference_is_never_the_curve_that_is_asked_for(tuned, tiny):
    known = References.of(tiny[1], faults=tuned.profile.faults, grid=tuned.config.grid)
    asked = conditions_of(tiny[1])
    helped = [
        (condition, known.keys[row]) for condition, row in zip(asked, known.find(asked).tolist(), strict=True) if row >= 0
    ]
    assert helped
    assert all(condition.cell_id == key[0] and condition.cycle_count != key[1] for condition, key in helped)


# --- calls that leak


def test_calls_that_leak_are_refused(tuned, tiny, tally):
    normal, faults = tiny
    train, test = Curves.concat([normal, faults]).split(test=0.3, seed=1)
    drawn = tuned.draw(conditions_of(faults), range(len(faults)))
    few = faults.where(pl.col("cell_id").is_in(train.cells))
    calls = {
        "scores on cells of the handful": lambda: evaluate(real=faults, synthetic=drawn, train=faults),
        "scores with one shared cell": lambda: evaluate(real=faults, synthetic=drawn, train=faults.take([0])),
        "classifiers tested on training cells": lambda: classify(train=train, test=train),
        "classifiers with one shared cell": lambda: classify(train=Curves.concat([train, test.take([0])]), test=test),
        "curves drawn for test cells": lambda: classify(train=train, test=test, synthetic=drawn),
        "a split by curve": lambda: faults.split(by="cycle_count"),
        "a band scored on drawn curves": lambda: draw_band(tuned, conditions_of(few.take([0])), draws=10).coverage(drawn),
    }
    let_through = []
    for name, call in calls.items():
        try:
            call()
            let_through.append(name)
        except Exception as error:
            let_through += [name] * (type(error).__name__ not in ("DataError", "ConditionError"))
    tally("leaks: calls that would", len(calls), lost=len(let_through))
    assert not let_through


def test_scores_of_cells_that_the_model_has_seen_are_said_to_be(tuned, tiny, run, tmp_path):
    tuned.save(tmp_path / "bundle")
    write(tiny[1], tmp_path / "seen")
    renamed = [table.with_columns(cell_id="new " + pl.col("cell_id")) for table in (tiny[1].timeseries, tiny[1].halfcycles)]
    write(Curves(*renamed), tmp_path / "new")
    for name in ("seen", "new"):
        run("sample", tmp_path / "bundle", "--like", tmp_path / name, "--out", tmp_path / f"drawn-{name}")
        done = run(
            "evaluate", "--real", tmp_path / name, "--synthetic", tmp_path / f"drawn-{name}", "--out", tmp_path / "s.json"
        )
        assert done.code == 0
        assert ("has seen" in done.err) == (name == "seen")
    assert json.loads((tmp_path / "drawn-new" / "config.json").read_text())["cells_seen"] == list(tuned.profile.cells)
