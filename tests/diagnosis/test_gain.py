"""Measures, intervals and tests against hand counts and brute force; the words follow from the numbers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from faultcell.diagnosis.gain import MEASURES, SIX, Fit, FitTable, harm, interval, mean_name, p_value, verdicts
from faultcell.diagnosis.measures import measure, recall_at
from faultcell.models.classifiers import NETS

pytestmark = pytest.mark.filterwarnings("error")
PERFECT = dict.fromkeys(MEASURES, 1.0)


def fit(arm, seed, *, classifier="mlp", view="in_limits", **values):
    numbers = {**PERFECT, **values}
    return Fit(task="overcharge", view=view, arm=arm, classifier=classifier, seed=seed, added=5, **numbers)


def told(rows, generated=("new",)):
    table = FitTable(rows)
    return verdicts(table, list(table.tests(generated)), generated=generated)


def scored(values, arm):
    return [fit(arm, seed, recall=value, f1=value, pr_auc=value) for seed, value in enumerate(values)]


answers = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 1)), min_size=4, max_size=40).filter(
    lambda rows: len({truth for truth, *_ in rows}) == 2
)


@given(answers)
@settings(max_examples=25)
def test_measures_are_those_of_hand_counts(rows):
    truth, score, alarm = (np.array(column) for column in zip(*rows, strict=True))
    found = measure(truth, score=score.astype(float), alarm=alarm)
    hits, false, missed = (int(((truth == t) & (alarm == a)).sum()) for t, a in ((1, 1), (0, 1), (1, 0)))
    faults, normal = int(truth.sum()), int((1 - truth).sum())
    assert set(found) == set(MEASURES)
    assert found["accuracy"] == pytest.approx((truth == alarm).mean())
    assert found["recall"] == pytest.approx(hits / faults)
    assert found["false_alarm_rate"] == pytest.approx(false / normal)
    assert found["balanced_accuracy"] == pytest.approx((hits / faults + 1 - false / normal) / 2)
    assert found["precision"] == pytest.approx(hits / (hits + false) if hits + false else 0)
    assert found["f1"] == pytest.approx(2 * hits / (2 * hits + false + missed))
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(score[truth == 1], score[truth == 0])]
    assert found["roc_auc"] == pytest.approx(np.mean(pairs))
    levels = [score >= level for level in sorted(set(score), reverse=True)]
    shares = np.array([0, *(truth[on].sum() / faults for on in levels)])
    assert found["pr_auc"] == pytest.approx(sum(np.diff(shares) * [truth[on].mean() for on in levels]))


@given(answers, st.sampled_from([0.0, 0.01, 0.2, 0.5]))
@settings(max_examples=25)
def test_recall_at_few_false_alarms_is_that_of_the_best_threshold(rows, most):
    truth, score = (np.array(column) for column in list(zip(*rows, strict=True))[:2])
    recalls = [(score[truth == 1] >= level).mean() for level in [*score, np.inf] if (score[truth == 0] >= level).mean() <= most]
    assert recall_at(truth, score.astype(float), false_alarms=most) == pytest.approx(max(recalls))


def test_intervals_are_students():
    values = [0.1, 0.4, 0.2, 0.6]
    found = interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((0.325, low, high))
    assert (interval([0.3]).low, interval([0.3]).high) == (None, None)


def test_p_values_are_those_of_a_paired_test_and_none_where_there_is_none():
    one, other = [0.5, 0.7, 0.9, 0.6], [0.4, 0.7, 0.6, 0.5]
    assert p_value(one, other) == pytest.approx(stats.ttest_1samp(np.subtract(one, other), 0).pvalue)
    assert p_value(one, one) == 1
    assert p_value([0.2, 0.3], [0.1, 0.2]) is None
    assert p_value([0.2], [0.1]) is None


def test_the_row_of_all_is_the_mean_of_the_nets_of_each_seed():
    assert tuple(NETS) == SIX
    assert (mean_name(SIX), mean_name(["mlp", "threshold"])) == ("all six", "mean of 1 nets")
    rows = [fit("before", seed, classifier=name, recall=0.1 * i + seed) for seed in (0, 1) for i, name in enumerate(SIX)]
    rows.append(fit("before", 0, classifier="threshold", recall=0.0))
    found = {summary.classifier: summary for summary in FitTable(rows).summary()}
    assert set(found) == {*SIX, "threshold", "all six"}
    expected = interval([0.25, 1.25])
    assert found["all six"].measures["recall"].mean == pytest.approx(expected.mean)
    assert found["all six"].measures["recall"].low == pytest.approx(expected.low)
    assert (found["all six"].seeds, found["threshold"].seeds) == (2, 1)


def test_arms_are_compared_with_before_and_generated_ones_with_all():
    rows = [*scored([0.2, 0.3], "before"), *scored([0.4, 0.6], "replay"), *scored([0.9, 0.8], "new")]
    tests = {(t.arm, t.against): t for t in FitTable(rows).tests(["new"]) if t.measure == "recall"}
    assert set(tests) == {("replay", "before"), ("new", "before"), ("new", "replay")}
    assert tests["new", "replay"].difference.mean == pytest.approx(0.35)
    assert tests["new", "replay"].p == pytest.approx(stats.ttest_rel([0.9, 0.8], [0.4, 0.6]).pvalue)


def test_the_words_say_which_rivals_are_not_beaten():
    rows = [*scored([0.2, 0.3, 0.2], "before"), *scored([0.5, 0.9, 0.1], "replay"), *scored([0.6, 0.7, 0.6], "new")]
    assert "in_limits view, overcharge: no generated arm beats replay (recall, F1, PR-AUC)" in told(rows)
    better = [row for row in rows if row.arm != "new"] + scored([0.99, 0.97, 0.99], "new")
    assert not any("beats replay" in note and "before" in note for note in told(better))
    clear = [*scored([0.2, 0.3, 0.2], "before"), *scored([0.3, 0.4, 0.3], "replay"), *scored([0.8, 0.9, 0.85], "new")]
    assert "in_limits view, overcharge: each of before, replay is beaten by a generated arm in recall, F1, PR-AUC" in told(
        clear
    )


def test_the_words_say_when_there_is_nothing_to_gain_or_to_see():
    assert told(scored([0.97, 0.99], "before")) == [
        "in_limits view, overcharge: without augmentation the nets find 98 % already: little is left to gain"
    ]
    blind = [fit(arm, 0, recall=0.5, roc_auc=area) for arm, area in (("before", 0.52), ("new", 0.57))]
    assert any("the best arm, new, has a ROC-AUC of 0.57" in note for note in told(blind))
    seen = [fit(arm, 0, recall=0.5, roc_auc=area) for arm, area in (("before", 0.52), ("new", 0.87))]
    assert not any("ROC-AUC of" in note for note in told(seen))


@pytest.mark.parametrize(("recall", "false", "needed"), [(0.99, 0.0, False), (0.99, 0.05, True), (0.9, 0.0, True)])
def test_the_words_on_the_threshold_follow_from_what_it_finds(recall, false, needed):
    notes = told([fit("before", 0, classifier="threshold", view="whole", recall=recall, false_alarm_rate=false)])
    assert len(notes) == 1
    assert f"finds {100 * recall:.0f} % at {100 * false:.0f} % false alarms" in notes[0]
    assert notes[0].endswith("no classifier is needed") != needed


def test_harm_is_said_first_where_it_is_sure_and_after_it_where_it_is_possible():
    before = scored([0.9, 0.91, 0.9, 0.92], "before")
    assert harm(FitTable(before + scored([0.95, 0.96, 0.95, 0.97], "new")), generated=("new",)) == []
    sure, possible = harm(
        FitTable(before + scored([0.5, 0.52, 0.5, 0.5], "new") + scored([0.5, 1.0, 0.9, 0.91], "other")),
        generated=("new", "other"),
    )
    assert sure.startswith("in_limits view, overcharge: new harms")
    assert "recall of the nets by 0.4" in sure
    assert "other may harm recall of the nets" in possible
    trees = [
        fit(arm, seed, classifier="forest", recall=value) for arm, value in (("before", 0.9), ("new", 0.6)) for seed in (0, 1)
    ]
    trees = [row.model_copy(update={"recall": row.recall + 0.01 * row.seed * (row.arm == "new")}) for row in trees]
    (found,) = harm(FitTable(trees), generated=("new",))
    assert "recall of the forest" in found


def test_what_the_protocol_alone_explains_is_said():
    rows = scored([0.8, 0.81], "before") + scored([0.9, 0.91], "new")
    rows += [
        fit(arm, seed, classifier="protocol", pr_auc=value) for arm, value in (("before", 0.3), ("new", 0.9)) for seed in (0, 1)
    ]
    said = [words for words in told(rows) if "C-rate, ambient temperature and duration alone" in words]
    assert len(said) == 1
    assert "new: " in said[0]
