"""Classifiers see what they may see, every arm is treated alike, and nothing gains that brings nothing new."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from faultcell.baselines.classical import CHEAP
from faultcell.baselines.replay import Replay
from faultcell.curves import NORMAL, Curves, grid
from faultcell.curves.severity import NOISE_VOLT, complete
from faultcell.diagnosis.run import CLASSIFIERS, classify
from faultcell.diagnosis.tasks import Task, remarks, requested, tasks_of
from faultcell.errors import DataError, MissingExtraError
from faultcell.files.embedded import demo_data
from faultcell.models.classifiers import NETS, Threshold, has_rocket, net, rocket
from strategies import LOWER, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("error")
TEST_CELLS = ["N0", "N1", "D0", "C0"]
QUICK = {"seeds": 2, "steps": 8, "classifiers": ("mlp",), "controls": ("replay", "jitter")}


@pytest.fixture(scope="module")
def sets(tiny):
    """(training, test) by cell."""
    both, unseen = Curves.concat(tiny), pl.col("cell_id").is_in(TEST_CELLS)
    return both.where(~unseen), both.where(unseen)


@pytest.fixture(scope="module")
def drawn(sets):
    """Eleven curves of each fault, asked for with depths that are not those of known faults."""
    asked = [
        c for name in ("overcharge", "overdischarge") for c in grid(name, peak_deviation_volt=list(np.linspace(0.1, 0.6, 11)))
    ]
    return Replay(sets[0]).draw(asked, range(len(asked)))


@pytest.fixture(scope="module")
def result(sets, drawn):
    return classify(train=sets[0], test=sets[1], synthetic=drawn, **(QUICK | {"classifiers": ("mlp", "threshold")}))


def told_apart(count=120, seed=0):
    """Noise with a bump in one of two places: curves `(N, C, L)` and their truth."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 2
    curves = rng.normal(size=(count, 3, 64))
    curves[truth == 1, 0, 50:] += 2
    return curves.astype(np.float32), truth.astype(np.int64)


@pytest.mark.parametrize("name", NETS)
def test_the_nets_are_scikit_learn_estimators_and_repeat_themselves(name):
    curves, truth = told_apart()
    untrained = net(name, shape=(3, 64), seed=3, steps=6)
    before = np.random.get_state()[1].copy()
    one, other = untrained.fit(curves, truth), clone(untrained).fit(curves, truth)
    np.testing.assert_array_equal(one.predict_proba(curves), other.predict_proba(curves))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_allclose(one.predict_proba(curves).sum(axis=1), 1, rtol=1e-5)
    assert clone(untrained).get_params()["steps"] == 6
    further = clone(untrained).set_params(seed=4).fit(curves, truth)
    assert np.abs(further.predict_proba(curves) - one.predict_proba(curves)).max() > 1e-3


@pytest.mark.parametrize("name", NETS)
def test_the_nets_learn_what_is_there_and_fail_on_shuffled_labels(name):
    (curves, truth), (unseen, answers) = told_apart(), told_apart(seed=1)
    learnt = net(name, shape=(3, 64), steps=40).fit(curves, truth)
    assert roc_auc_score(answers, learnt.predict_proba(unseen)[:, 1]) > 0.95
    shuffled = np.random.default_rng(0).permutation(truth)
    lost = net(name, shape=(3, 64), steps=40).fit(curves, shuffled)
    assert 0.25 < roc_auc_score(answers, lost.predict_proba(unseen)[:, 1]) < 0.75


@pytest.mark.parametrize("count", [10, 300])
def test_a_training_set_of_any_size_gets_as_many_steps(count):
    fitted = net("mlp", shape=(3, 64), steps=7).fit(*told_apart(count))
    assert {int(state["step"]) for state in fitted.optimizer_.state.values()} == {7}
    assert fitted.optimizer_.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_class_weights_move_the_balance_of_a_net():
    curves, truth = told_apart()
    shares = [
        net("mlp", shape=(3, 64), steps=20, class_weights=np.array(weights))
        .fit(curves * 0, truth)
        .predict_proba(curves * 0)[0, 1]
        for weights in ([1.0, 1.0], [1.0, 9.0])
    ]
    assert shares == pytest.approx([0.5, 0.9], abs=0.1)


def test_the_threshold_finds_all_whole_faults_and_none_inside_the_limits(result):
    rows = [row for row in result.rows if row.classifier == "threshold"]
    assert len(rows) == 4
    for row in rows:
        found = (row.recall, row.roc_auc, row.recall_at_1_percent, row.false_alarm_rate)
        assert found == ((1, 1, 1, 0) if row.view == "whole" else (0, 0.5, 0, 0))
    assert (
        "whole view, overdischarge: the voltage threshold alone finds 100 % at 0 % false alarms: no classifier is needed"
        in (result.notes)
    )
    detector = clone(Threshold(NOISE_VOLT)).fit(np.zeros((2, 1)), np.array([0, 1]))
    assert detector.predict(np.array([[0.0], [0.9 * NOISE_VOLT], [1.1 * NOISE_VOLT]])).tolist() == [0, 0, 1]


def test_every_arm_adds_as_many_curves_and_every_fit_is_recorded(result):
    arms = ["before", "class_weights", "replay", "jitter", "synthetic"]
    fitted = [row for row in result.rows if row.classifier == "mlp"]
    assert len(fitted) == 2 * 2 * len(arms) * 2
    assert {row.added for row in fitted if row.arm in arms[:2]} == {0}
    assert {row.added for row in fitted if row.arm in arms[2:]} == {7}
    assert [(s.task, s.train_normal, s.train_fault, s.test_normal, s.test_fault, s.added) for s in result.tasks] == [
        (label, 16, 9, 8, 3, 7) for _ in ("whole", "in_limits") for label in ("overcharge", "overdischarge")
    ]
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_the_smallest_generated_set_says_how_many_are_added(sets, drawn):
    few = Curves.concat([drawn.select(label=[name]).few(4) for name in drawn.labels])
    task = next(task for task in tasks_of(train=sets[0], test=sets[1], generated={"a": drawn, "b": few}, view="whole"))
    assert task.added == 4
    for arm in ("a", "b", *CHEAP):
        assert len(task.addition(arm, seed=0)) == 4
    assert task.addition("before", seed=0) is None
    assert task.addition("class_weights", seed=0) is None


def test_controls_draw_for_what_the_generated_curves_were_asked_for(sets, drawn):
    task = next(task for task in tasks_of(train=sets[0], test=sets[1], generated={"a": drawn}, view="whole"))
    for seed in (0, 1):
        taken = task.addition("a", seed=seed)
        for arm in ("replay", "smote"):
            np.testing.assert_allclose(
                task.addition(arm, seed=seed).known("requested_peak_deviation_volt"),
                taken.known("requested_peak_deviation_volt"),
            )
    assert task.addition("a", seed=0).halfcycles["seed"].to_list() != task.addition("a", seed=1).halfcycles["seed"].to_list()
    assert not task.addition("jitter", seed=0).timeseries.equals(task.addition("jitter", seed=1).timeseries)


def test_what_was_not_asked_for_stays_unknown(drawn):
    for condition, depth in zip(requested(drawn), drawn.known("requested_peak_deviation_volt"), strict=True):
        assert condition.peak_deviation_volt == depth
        assert (condition.c_rate, condition.state_of_health, condition.repetition_count) == (None, None, None)
    bare = Curves(drawn.timeseries, drawn.halfcycles.select(pl.exclude("^requested_.*$")))
    assert requested(bare)[0].peak_deviation_volt == pytest.approx(max(drawn.known("peak_deviation_volt")[0], NOISE_VOLT))


def test_without_a_generated_set_controls_draw_for_known_faults(sets):
    task = next(task for task in tasks_of(train=sets[0], test=sets[1], generated={}, view="whole"))
    known = set(sets[0].select(label=["overcharge"]).known("peak_deviation_volt"))
    asked = task.addition("replay", seed=0).known("requested_peak_deviation_volt")
    assert task.added == 7
    assert set(asked) <= known


def test_scaling_knows_real_training_curves_alone(sets, drawn):
    task = next(task for task in tasks_of(train=sets[0], test=sets[1], generated={"a": drawn}, view="whole"))
    scaled = task.scaled(task.train.seen.values)
    np.testing.assert_allclose(scaled.mean(axis=(0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1, atol=1e-4)
    moved = replace(task, generated={}, added=3)
    np.testing.assert_array_equal(moved.scaled(task.test.seen.values)[0], task.scaled(task.test.seen.values[:1])[0])


def test_the_result_depends_on_seeds_and_not_on_the_number_of_workers(sets, drawn):
    ticks = []
    given = {"train": sets[0], "test": sets[1], "synthetic": {"synthetic": drawn}}
    one = classify(**given, **QUICK, views=["whole"], on_fit=lambda *tick: ticks.append(tick))
    other = classify(**given, **QUICK, views=["whole"], workers=2)
    assert one == other
    assert ticks[-1] == (20, 20)
    assert [done for done, _ in ticks] == sorted({done for done, _ in ticks})
    by_seed = [[row.pr_auc for row in one.rows if row.seed == seed] for seed in (0, 1)]
    assert by_seed[0] != by_seed[1]


@pytest.fixture(scope="module")
def story():
    """(all training discharges, test discharges) of the embedded set, by cell."""
    return tuple(part.where(pl.col("step_type") == "discharge") for part in demo_data("overdischarge").split(test=0.3, seed=0))


def test_all_six_find_whole_faults_of_unseen_cells(story):
    task = next(iter(tasks_of(train=story[0], test=story[1], generated={}, view="whole")))
    train, test = (task.scaled(real.seen.values) for real in (task.train, task.test))
    weights = len(train) / (2 * np.bincount(task.train.truth))
    for name in NETS:
        found = net(name, shape=train.shape[1:], class_weights=weights).fit(train, task.train.truth).predict(test)
        assert found[task.test.truth == 1].mean() >= 0.8, name  # of some twenty, from cold cells and warm ones
        assert found[task.test.truth == 0].mean() <= 0.05, name


def test_replay_tells_a_classifier_no_more_than_weights_do_and_both_move_its_alarms(story):
    """Repeating curves brings nothing new, though it brings alarms: the ranking stays, only the even odds move."""
    few = Curves.concat([story[0].select(label=[NORMAL]), story[0].select(label=["overdischarge"]).few(12)])
    found = classify(train=few, test=story[1], seeds=2, steps=120, views=["whole"], classifiers=["lstm"], controls=["replay"])
    means = {(s.arm, name): s.measures[name].mean for s in found.summary for name in ("recall", "pr_auc")}
    assert means["replay", "pr_auc"] == pytest.approx(means["class_weights", "pr_auc"], abs=0.05)
    assert means["replay", "recall"] == pytest.approx(means["class_weights", "recall"], abs=0.2)
    assert means["replay", "recall"] > means["before", "recall"] + 0.3
    assert "whole view, overdischarge: the voltage threshold" not in "".join(found.notes)


def relabelled(curves, label):
    return Curves(curves.timeseries, curves.halfcycles.with_columns(label=pl.lit(label)))


def renamed(curves, cell):
    return Curves(curves.timeseries.with_columns(cell_id=pl.lit(cell)), curves.halfcycles.with_columns(cell_id=pl.lit(cell)))


def refused(sets, match, **given):
    with pytest.raises(DataError, match=match) as found:
        classify(**{"train": sets[0], "test": sets[1], **QUICK, **given})
    assert "\n" not in str(found.value)


def test_a_cell_in_both_sets_is_refused(sets, tiny):
    refused(sets, "cell N0 is in the training and in the test set: split by cell", train=tiny[0])


def test_generated_curves_among_real_ones_are_refused(sets, drawn):
    refused(sets, "the training set has generated curves", train=Curves.concat([sets[0], drawn]))
    refused(sets, "the test set has generated curves", test=Curves.concat([sets[1], drawn]))


@pytest.mark.parametrize("name", ["D0", "D0-2"])
def test_curves_drawn_for_a_test_cell_are_refused(sets, drawn, name):
    one = renamed(drawn.select(label=["overdischarge"]).take([0]), name)
    refused(sets, "set 'mine' was drawn for conditions of the test cell D0: draw", synthetic={"mine": one})


def test_a_training_cell_whose_name_looks_like_a_second_curve_is_no_leak(sets, drawn):
    train = Curves.concat([sets[0], renamed(sets[0].select(cells=["D1"]).take([0]), "D0-2")])
    one = renamed(drawn.select(label=["overdischarge"]).take([0]), "D0-2")
    assert classify(train=train, test=sets[1], synthetic=one, **QUICK | {"seeds": 1, "controls": (), "steps": 1}).rows


def test_sets_with_nothing_to_tell_apart_are_refused(sets):
    normal, faults = (sets[0].where(pl.col("label") == NORMAL), sets[0].where(pl.col("label") != NORMAL))
    refused(sets, "the training set has no usable overcharge curve", train=normal)
    refused(sets, "the training set has no usable normal discharge curve", train=faults)
    refused(sets, "neither set has curves labelled overcharge", train=normal, test=sets[1].select(label=[NORMAL]))
    other = relabelled(sets[1].select(label=["overcharge"]), "overvoltage")
    refused(sets, "overvoltage is left out, since the training set", test=other)


def test_a_fault_that_one_set_lacks_is_left_out_and_said_so(sets):
    train = sets[0].where(pl.col("label") != "overcharge")
    found = classify(train=train, test=sets[1], **QUICK | {"seeds": 1, "controls": (), "steps": 1})
    assert [task.task for task in found.tasks] == ["overdischarge"] * len({task.view for task in found.tasks})
    assert "whole view: overcharge is left out, since the training set has no usable overcharge curve" in found.notes


def test_a_single_fault_to_learn_from_is_refused(sets):
    one = sets[0].select(label=["overdischarge"]).take([0])
    train = Curves.concat([sets[0].where(pl.col("label") != "overdischarge"), one])
    refused(sets, "1 usable overdischarge curve and at least 2 are needed", train=train.where(pl.col("label") != "overcharge"))


def test_unknown_names_and_counts_are_refused(sets, drawn):
    refused(sets, "unknown classifier 'svm': choose from mlp", classifiers=["svm"])
    refused(sets, "unknown view 'half': choose from whole, in_limits", views=["half"])
    refused(sets, "unknown control 'gan': choose from replay", controls=["gan"])
    refused(sets, "a generated set is named 'replay'", synthetic={"replay": drawn})
    refused(sets, "name at least one classifier and one view", views=[])
    refused(sets, "seeds and steps must be at least 1, found 0 and 8", seeds=0)


def test_what_has_to_be_known_of_a_task_is_said(sets):
    short = curves_of([("S", 1, "discharge", "normal", discharge(cutoff=LOWER + 0.2), {})])
    begun = discharge(cutoff=LOWER - 0.5)
    begun = {name: values[-5:] for name, values in begun.items()}
    beyond = curves_of([("S", 2, "discharge", "normal", begun, {})])
    test = Curves.concat([sets[1].where(pl.col("step_type") == "discharge"), complete(short), complete(beyond)])
    whole, inside = (
        next(t for t in tasks_of(train=sets[0], test=test, generated={}, view=view) if isinstance(t, Task))
        for view in ("whole", "in_limits")
    )
    assert list(remarks(whole, names=[])) == []
    assert list(remarks(inside, names=["mine"])) == [
        "in_limits view, overdischarge: 0 training and 1 test curves show too little and are left out",
        "in_limits view, overdischarge: mine has no usable curve of that label and is left out",
        "in_limits view, overdischarge: 11 % of the normal test curves end more than 10 mV inside their limit, which tells "
        "them apart",
    ]


def test_a_small_generated_set_that_keeps_every_arm_small_is_named(sets):
    few = sets[0].select(label=["overdischarge"])
    known = {"large": Curves.concat([few] * 3), "small": few.take([0, 1])}
    task = next(t for t in tasks_of(train=sets[0], test=sets[1], generated=known, view="whole") if isinstance(t, Task))
    task = replace(task, generated=known, added=2)
    missing = task.train.count(0) - task.train.count(1)
    assert (
        f"whole view, {task.label}: every arm adds 2 curves where {missing} would balance the classes, for small has no more"
        in list(remarks(task, names=[]))
    )


def test_with_as_many_faults_as_normal_curves_nothing_is_added(sets):
    normal = sets[0].where(pl.col("label") == NORMAL)
    train = Curves.concat([normal.select(step_type=["charge"]).take([0, 1, 2]), sets[0].select(label=["overcharge"])])
    found = classify(train=train, test=sets[1], **QUICK | {"seeds": 1, "steps": 1})
    assert {row.arm for row in found.rows} == {"before", "class_weights"}
    assert "whole view, overcharge: there are as many faults as normal curves, so that nothing is added" in found.notes


@pytest.mark.skipif(has_rocket(), reason="aeon is installed")
def test_without_aeon_minirocket_is_left_out_and_said_so(sets):
    with pytest.raises(MissingExtraError, match="aeon"):
        classify(train=sets[0], test=sets[1], **QUICK | {"classifiers": ("minirocket",)})
    found = classify(train=sets[0], test=sets[1], seeds=1, steps=1, controls=(), views=["whole"])
    assert {row.classifier for row in found.rows} == {*CLASSIFIERS} - {"minirocket"}
    assert any("minirocket is left out: aeon is not installed" in note for note in found.notes)


@pytest.mark.skipif(not has_rocket(), reason="aeon is not installed")
def test_minirocket_learns_what_is_there():
    (curves, truth), (unseen, answers) = told_apart(), told_apart(seed=1)
    assert roc_auc_score(answers, rocket().fit(curves, truth).decision_function(unseen)) > 0.95


def test_the_forest_learns_the_points_and_the_protocol_knows_none_of_them(sets, drawn):
    quick = {**QUICK, "classifiers": ("forest", "protocol"), "controls": ("splice",)}
    found = classify(train=sets[0], test=sets[1], synthetic=drawn, **quick)
    by = {(row.classifier, row.arm, row.view): row for row in found.rows}
    assert {arm for _, arm, _ in by} >= {"before", "splice", "synthetic"}
    whole = {name: by[name, "before", "whole"].roc_auc for name in ("forest", "protocol")}
    assert whole["forest"] > 0.95
    assert whole["forest"] > whole["protocol"]
