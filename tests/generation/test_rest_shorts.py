"""Shorts of cells at rest: measured, drawn as deep and fast as asked, on the user's own rests, through every verb they take."""

import json

import numpy as np
import polars as pl
import pytest

import faultcell as fc
from faultcell import files
from faultcell.baselines.replay import Replay
from faultcell.curves import Curves
from faultcell.curves.at_rest import Collapse
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import complete, main_severity
from faultcell.diagnosis import classify
from faultcell.errors import ConditionError, DataError
from faultcell.generation.rest_shorts import RestShorts
from faultcell.scoring import evaluate
from faultcell.scoring.ensemble import ensemble_scores

DEPTH, FALLS = "collapse_depth_volt", "collapse_second"


def rest(*, level=3.9, depth=0.0, onset=120.0, tau=5.0, warm=40.0, noise=0.0005, seed=0):
    """A record of ten minutes in which the voltage falls exponentially from an onset on, and the surface warms."""
    second = np.concatenate([np.arange(0, onset, 2.0), onset + np.geomspace(0.05, 480, 200)])
    since = np.maximum(second - onset, 0)
    fallen = depth * (1 - np.exp(-since / tau))
    volt = level - fallen + noise * np.random.default_rng(seed).normal(size=second.size)
    celsius = 25 + warm * (depth > 0) * (1 - np.exp(-since / 60))
    return {
        "step_time_second": second,
        "voltage_volt": volt,
        "current_ampere": np.zeros(second.size),
        "surface_temperature_celsius": celsius,
    }


def records(shorts=16, rests=8, seed=0):
    """A set of shorts and of normal rests, a cell each."""
    rng = np.random.default_rng(seed)
    rows, samples = [], []
    for i in range(shorts + rests):
        label = "internal_short" if i < shorts else "normal"
        depth = float(rng.uniform(0.3, 3.5)) if i < shorts else 0.0
        made = rest(
            level=float(rng.uniform(3.5, 4.1)),
            depth=depth,
            onset=float(rng.uniform(60, 200)),
            tau=10 ** rng.uniform(0, 2),
            seed=i,
        )
        key = {"cell_id": f"R{seed}{i:03d}", "cycle_count": 1, "step_type": "rest"}
        limits = {"lower_voltage_limit_volt": 2.7, "upper_voltage_limit_volt": 4.2, "nominal_capacity_ah": 5.0}
        rows.append(key | {"label": label} | limits)
        samples.append(pl.DataFrame(made).with_columns(pl.lit(value).alias(name) for name, value in key.items()))
    return complete(Curves.from_tables(pl.concat(samples), pl.DataFrame(rows)))


@pytest.fixture(scope="module")
def known():
    return records()


def test_depth_onset_and_time_of_a_fall_are_those_it_was_made_with():
    made = Collapse.of(*(rest(depth=2.0, tau=10.0, noise=0.0)[name] for name in NAMES))
    assert made.level == pytest.approx(3.9)
    assert made.depth == pytest.approx(2.0, rel=1e-3)
    assert made.onset == pytest.approx(120, abs=1)
    assert made.falls == pytest.approx(10 * np.log(0.9 / 0.1), rel=0.1)
    rising = Collapse.of(np.arange(10.0), np.linspace(3.9, 5.0, 10), np.full(10, np.nan))
    assert rising.depth == pytest.approx(0.0, abs=0.3)


NAMES = ("step_time_second", "voltage_volt", "surface_temperature_celsius")


def test_a_rest_is_told_by_its_collapse_and_a_half_cycle_is_not(known):
    asked = conditions_of(known.select(label=["internal_short"]))
    assert all(condition.step == "rest" and condition.severities[DEPTH] > 0 for condition in asked)
    assert Condition("internal_short", severities={"leakage_c_rate": 0.02}).severity(DEPTH) == 0
    with pytest.raises(ConditionError, match="collapse_depth_volt says nothing of a charge: internal_short takes leakage"):
        Condition("internal_short", severities={"leakage_c_rate": 0.02, DEPTH: 1.0})
    with pytest.raises(ConditionError, match="leakage_c_rate says nothing of a rest"):
        Condition("internal_short", severities={"leakage_c_rate": 0.02}, step_type="rest")
    with pytest.raises(ConditionError, match="internal_short needs collapse_depth_volt"):
        Condition("internal_short", step_type="rest")
    with pytest.raises(ConditionError, match="contact_fault shows in a charge or a discharge, found step_type 'rest'"):
        Condition("contact_fault", severities={"added_resistance_milliohm": 3.0}, step_type="rest")


def test_what_is_asked_comes_back_and_rises(known):
    source, back = RestShorts(known), []
    for deep in (0.4, 0.8, 1.6, 2.4, 3.2):
        asked = [Condition("internal_short", severities={DEPTH: deep, FALLS: 20.0}, step_type="rest")] * 8
        drawn = source.draw(asked, range(8))
        back.append(drawn.known(DEPTH))
        np.testing.assert_allclose(back[-1], deep, rtol=0.05)
        np.testing.assert_allclose(drawn.halfcycles[f"requested_{DEPTH}"], deep)
        assert np.median(np.abs(np.log(drawn.known(FALLS) / 20.0))) < 0.3
        assert drawn.column("current_ampere").max() == 0
    assert (np.diff([np.median(values) for values in back]) > 0).all()


def test_a_draw_depends_on_its_condition_and_seed_alone(known):
    source, asked = RestShorts(known), conditions_of(known.select(label=["internal_short"]))[:4]
    one, other = source.draw(asked, range(4)), source.draw(asked[2:], range(2, 4))
    assert one.take([2, 3]).timeseries.drop("cell_id").equals(other.timeseries.drop("cell_id"))
    assert not source.draw(asked, range(4, 8)).timeseries.equals(one.timeseries)


def test_draws_beat_replay_on_cells_left_out(known):
    left_out = records(seed=1).select(label=["internal_short"])
    asked, source = conditions_of(left_out), RestShorts(known)
    draws = [source.draw(asked, range(turn * 100, turn * 100 + len(asked))) for turn in range(10)]
    replay = Replay(known.select(label=["internal_short"])).draw(asked, range(len(asked)))
    ours, theirs = (ensemble_scores(left_out, sets)["all"]["all"] for sets in (draws, [replay, replay]))
    assert ours.crps < 0.8 * theirs.crps


def test_your_own_rests_go_wrong(known):
    normal, few = known.select(label=["normal"]), known.select(label=["internal_short"])
    drawn = fc.augment(normal, few, count=20, seed=3)
    assert drawn.labels == ("internal_short",) or list(drawn.labels) == ["internal_short"]
    counts = drawn.halfcycles["source_cell_id"].value_counts()["count"]
    assert counts.max() - counts.min() <= 1
    level = dict(
        zip(
            normal.halfcycles["cell_id"],
            (volt[0] for volt in np.split(normal.column("voltage_volt"), normal.offsets[1:-1])),
            strict=True,
        )
    )
    for row, rows in zip(drawn.halfcycles.to_dicts(), drawn.slices(), strict=True):
        assert drawn.column("voltage_volt")[rows][0] == pytest.approx(level[row["source_cell_id"]], abs=0.02)
    with pytest.raises(DataError, match="no rest of two samples and more is labelled normal"):
        RestShorts(few).augment(few)
    with pytest.raises(DataError, match="rests are among half-cycles under load"):
        fc.augment(normal, Curves.concat([few, fc.demo_data("internal_short").select(label=["internal_short"])]))
    with pytest.raises(DataError, match="no rest is labelled internal_short"):
        RestShorts(normal)


def test_a_model_of_half_cycles_refuses_a_rest_in_one_sentence(known):
    with pytest.raises(fc.errors.TrainingError, match="none of the curves is a charge or a discharge, but rest"):
        fc.Augmenter.pretrain(known.select(label=["normal"]))


def test_shorts_at_rest_are_scored_and_found(known):
    test = records(seed=2)
    source = RestShorts(known)
    drawn = source.draw(conditions_of(test.select(label=["internal_short"])), range(16))
    shorts = known.select(label=["internal_short"])
    scores = evaluate(real=test.select(label=["internal_short"]), synthetic=drawn, train=shorts, thorough=False)
    assert scores.sources["synthetic"].all.mae < scores.sources["noise"].all.mae
    assert "temperatures" not in scores.verdict
    more = source.augment(known.select(label=["normal"]), count=8)
    gain = classify(train=known, test=test, synthetic=more, seeds=1, classifiers=["forest", "threshold"], controls=["splice"])
    assert {(row.task, row.view) for row in gain.rows} == {("internal_short rest", "whole")}
    assert next(row.roc_auc for row in gain.rows if (row.classifier, row.arm) == ("forest", "before")) > 0.95
    severities = [one.severity for row in gain.rows for one in row.by_severity]
    assert set(severities) == {DEPTH}


def test_other_names_are_renamed(known):
    other = known.renamed({"internal_short": "field_failure", "rest": "field"})
    assert set(other.halfcycles["step_type"]) == set(other.timeseries["step_type"]) == {"field"}
    assert "field_failure" in other.labels
    assert complete(other.renamed({"field_failure": "internal_short", "field": "rest"})).timeseries.equals(known.timeseries)
    with pytest.raises(DataError, match="nothing is named 'swelling'"):
        known.renamed({"swelling": "normal"})


def test_from_split_to_scores_on_the_command_line(known, tmp_path, run):
    files.write(known.renamed({"normal": "no_short"}), tmp_path / "all")
    done = run(
        "split", tmp_path / "all", "--rename", "no_short=normal", "--train", tmp_path / "train", "--test", tmp_path / "test"
    )
    assert done.code == 0, done.err
    done = run(
        "augment", "--normal", tmp_path / "train", "--faults", tmp_path / "train", "--out", tmp_path / "more", "--count", "9"
    )
    assert done.code == 0, done.err
    assert "9 shorts at rest" in done.out
    assert (tmp_path / "more" / "augment.png").is_file()
    files.write(files.read(tmp_path / "train").select(label=["internal_short"]), tmp_path / "known")
    args = ("evaluate", "--real", tmp_path / "test", "--label", "internal_short", "--train", tmp_path / "known", "--draws", "5")
    done = run(*args, "--out", tmp_path / "scores.json")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "scores.json").read_text())["ensemble"]["all"]["all"]["draws"] == 5
    done = run(
        "augment",
        "--normal",
        tmp_path / "train",
        "--faults",
        tmp_path / "train",
        "--out",
        tmp_path / "m",
        "--keep",
        tmp_path / "k",
    )
    assert done.code != 0
    assert "shorts at rest are drawn from known ones as they are" in done.err
    done = run("split", tmp_path / "all", "--rename", "no_short", "--train", tmp_path / "a", "--test", tmp_path / "b")
    assert "--rename takes OLD=NEW" in done.err


def test_curve_sets_of_rests_are_brought_in_and_a_file_without_a_load_is_not(known, tmp_path):
    files.write(known, tmp_path / "known")
    curves, _ = files.ingest([tmp_path / "known"])
    assert curves.halfcycles.select("cell_id", "step_type", "label").equals(
        known.halfcycles.select("cell_id", "step_type", "label")
    )
    names = {"step_time_second": "Time(s)", "voltage_volt": "Voltage(V)", "current_ampere": "Current(A)"}
    pl.DataFrame(rest(depth=1.5)).select(*names).rename(names).write_csv(tmp_path / "bare.csv")
    with pytest.raises(DataError, match="no load"):  # a current in another unit looks the same
        files.ingest([tmp_path / "bare.csv"], lower=2.7, upper=4.2, nominal_capacity_ah=5.0)


def test_what_a_stranger_gets_wrong_is_one_sentence(known, tmp_path, run):
    single = Curves(known.timeseries, known.halfcycles).select(label=["normal"])
    short = single.take([0])
    short = Curves.from_tables(short.timeseries[:1], short.halfcycles)
    mixed = Curves.concat([short, single.take([1])])
    drawn = RestShorts(known).augment(mixed, count=2)
    assert set(drawn.halfcycles["source_cell_id"]) == {single.halfcycles["cell_id"][1]}
    with pytest.raises(DataError, match="no rest of two samples and more"):
        RestShorts(known).augment(short)
    wrong = known.renamed({"internal_short": "overcharge"})
    assert np.isnan(main_severity(wrong)).all()  # does not show at rest
    with pytest.raises(ConditionError, match="is of internal_short"):
        Condition("contact_fault", severities={"added_resistance_milliohm": 3.0, DEPTH: 1.0})
    halves = pl.concat([single.halfcycles, single.halfcycles.with_columns(step_type=pl.lit("charge"))])
    samples = pl.concat([single.timeseries, single.timeseries.with_columns(step_type=pl.lit("charge"))])
    with pytest.raises(DataError, match="would be of one step type"):
        Curves.from_tables(samples, halves).renamed({"charge": "rest"})
    files.write(known, tmp_path / "known")
    done = run("evaluate", "--real", tmp_path / "known", "--train", tmp_path / "known", "--out", tmp_path / "scores.json")
    assert done.code != 0
    assert "ask for an internal_short" in done.err


def test_a_reference_is_a_normal_rest(known):
    source, cell = RestShorts(known), known.select(label=["normal"]).cells[0]
    asked = [Condition("internal_short", severities={DEPTH: 1.0, FALLS: 5.0}, step_type="rest", cell_id=cell)]
    rests = known.where(pl.col("cell_id") == cell)
    others = Curves(
        rests.timeseries.with_columns(pl.col("voltage_volt") - 0.7, step_type=pl.lit("charge")),
        rests.halfcycles.with_columns(step_type=pl.lit("charge")),
    )
    both = source.draw(asked, [4], reference=Curves.concat([rests, others]))
    assert both.timeseries.equals(source.draw(asked, [4], reference=rests).timeseries)
    assert both.column("voltage_volt")[0] == pytest.approx(np.median(rests.column("voltage_volt")[:9]), abs=0.02)
