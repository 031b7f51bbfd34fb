"""The sampler keeps the contracts of scikit-learn and imbalanced-learn, and what it draws is new and as spread as the class."""

import numpy as np
import polars as pl
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks as parametrize_with_imblearn_checks
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from faultcell import FaultAugmenter

NORMAL, FAULTS, POINTS = 300, 12, 48


def quick(**kwargs):
    return FaultAugmenter(**({"random_state": 0, "steps": 2, "finetune_steps": 2, "width": 8} | kwargs))


@parametrize_with_checks([quick()])
def test_scikit_learn(estimator, check):
    check(estimator)


@parametrize_with_imblearn_checks([quick()])
def test_imbalanced_learn(estimator, check):
    check(estimator)


def decays(count, *, fault, seed):
    """Noisy decays of random height, rate and sway; faults fall off at the end, the more the severer. Rows and severities."""
    rng, t = np.random.default_rng(seed), np.linspace(0, 1, POINTS)
    height, rate, sway = (rng.normal(*law, count)[:, None] for law in ((1, 0.15), (3, 0.5), (0, 0.05)))
    severity = rng.uniform(0.2, 0.8, count) if fault else np.zeros(count)
    fall = severity[:, None] * np.clip((t - 0.7) / 0.3, 0, 1) ** 1.5
    return height * np.exp(-rate * t) + sway * np.sin(2 * np.pi * t) - fall + rng.normal(0, 0.005, (count, POINTS)), severity


@pytest.fixture(scope="module")
def rare():
    """300 normal rows and 12 faults; classes; severities."""
    (normal, none), (faults, severity) = decays(NORMAL, fault=False, seed=0), decays(FAULTS, fault=True, seed=1)
    return np.vstack([normal, faults]), np.repeat(["normal", "fault"], [NORMAL, FAULTS]), np.concatenate([none, severity])


@pytest.fixture(scope="module")
def trained(rare):
    X, y, severity = rare
    return quick(steps=60, finetune_steps=40, width=16).fit(X, y, severity=severity)


def nearest(rows, others):
    return np.linalg.norm(rows[:, None] - others[None], axis=2).min(axis=1)


def roughness(rows):
    return np.diff(rows, 2).std()


@pytest.fixture(scope="module")
def drawn(rare):
    """(faults of the training set, drawn ones, unseen real ones, SMOTE's)."""
    X, y, _ = rare
    found, names = quick(steps=60, finetune_steps=40, width=16).fit_resample(X, y)
    smote, _ = SMOTE(random_state=0).fit_resample(X, y)
    assert list(names[len(X) :]) == ["fault"] * (NORMAL - FAULTS)
    np.testing.assert_array_equal(found[: len(X)], X)
    return X[y == "fault"], found[len(X) :], decays(300, fault=True, seed=2)[0], smote[len(X) :]


def test_drawn_rows_are_of_the_class(drawn):
    few, made, unseen, _ = drawn
    normal = decays(300, fault=False, seed=3)[0]
    assert np.median(nearest(made, unseen)) < 1.5 * np.median(nearest(few, unseen))
    assert np.mean(nearest(made, unseen) < nearest(made, normal)) > 0.85
    assert 0.6 < roughness(made) / roughness(unseen) < 1.6


def test_drawn_rows_are_no_copies(drawn):
    few, made, unseen, smote = drawn
    assert np.median(nearest(made, few)) > 0.7 * np.median(nearest(unseen, few))
    assert nearest(made, few).min() > 0.3 * nearest(unseen, few).min()
    assert np.median(nearest(smote, few)) < 0.5 * np.median(nearest(unseen, few))  # what a near copy looks like


def test_drawn_rows_are_as_spread_as_the_few_and_cover_what_was_not_seen(drawn):
    few, made, unseen, smote = drawn
    assert 0.85 < made.std(axis=0).mean() / few.std(axis=0, ddof=1).mean() < 1.2
    assert np.median(nearest(unseen, made)) < 0.85 * np.median(nearest(unseen, smote))


def test_it_learns_from_the_frequent_class_that_there_are_two_ways_and_nothing_between_them():
    wave, fall = np.sin(np.linspace(0, 2 * np.pi, POINTS)), np.linspace(0, 2, POINTS)
    rng = np.random.default_rng(0)
    ways = rng.choice([-1, 1], NORMAL + FAULTS) * rng.normal(1, 0.1, NORMAL + FAULTS)
    faulty = np.arange(NORMAL + FAULTS) >= NORMAL
    X = ways[:, None] * wave + faulty[:, None] * fall + rng.normal(0, 0.02, (NORMAL + FAULTS, POINTS))

    def between(augmenter):
        made = augmenter.fit(X, faulty).sample(True, 300) - fall
        return np.mean(np.abs(made @ wave / (wave @ wave)) < 0.5)

    assert between(quick()) > 0.25  # a bell curve of the right width, which is what an untrained network draws
    assert between(quick(steps=150, finetune_steps=75, width=16)) < 0.15


def test_a_severity_that_is_asked_for_is_met(trained):
    unseen, severity = decays(200, fault=True, seed=2)
    made = trained.sample("fault", 200, severity=severity)
    assert np.corrcoef(made[:, -1], severity)[0, 1] < -0.95
    assert abs(made[:, -1].mean() - unseen[:, -1].mean()) < 0.03
    mild, severe = (trained.sample("fault", 50, severity=[value])[:, -1].mean() for value in (0.2, 0.8))
    assert mild - severe == pytest.approx(0.6, abs=0.1)


def test_unknown_severities_stay_unknown(rare, trained):
    X, y, severity = rare
    made = trained.sample("fault", 100)
    assert np.isfinite(made).all()
    told = severity.copy()
    told[-3:] = np.nan
    augmenter = quick()
    found, _ = augmenter.fit_resample(X, y, severity=told)
    assert np.isfinite(found).all()
    assert augmenter.severity_.shape == (len(found), 1)
    np.testing.assert_array_equal(augmenter.severity_[: len(X), 0], told)
    assert set(augmenter.severity_[len(X) :, 0][np.isfinite(augmenter.severity_[len(X) :, 0])]) <= set(severity[y == "fault"])


def test_severities_reach_it_through_a_pipeline(rare):
    import sklearn

    X, y, severity = rare
    with sklearn.config_context(enable_metadata_routing=True):
        augmenter = quick().set_fit_request(severity=True).set_fit_resample_request(severity=True)
        model = make_pipeline(augmenter, LogisticRegression(max_iter=500)).fit(X, y, severity=severity)
    assert model[0].severity_.shape == (2 * NORMAL, 1)
    assert set(model.predict(X)) <= {"normal", "fault"}


def test_the_same_number_gives_the_same_rows_and_torch_is_left_as_it_was(rare):
    import torch

    X, y, _ = rare
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other, third = (quick(random_state=seed).fit_resample(X, y)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one[len(X) :] - third[len(X) :]).max() > 0.01
    assert torch.equal(before, torch.get_rng_state())


def test_several_classes_each_as_many_as_asked_for(rare):
    X, y, _ = rare
    y = np.where(np.arange(len(y)) < 20, "other", y)
    found, names = quick(sampling_strategy={"fault": 30, "normal": NORMAL}).fit_resample(X, y)
    assert dict(zip(*np.unique(names, return_counts=True), strict=True)) == {"fault": 30, "normal": NORMAL, "other": 20}
    assert np.isfinite(found).all()


def test_one_row_of_a_class_is_enough(rare):
    X, y, _ = rare
    found, _ = quick().fit_resample(X[: NORMAL + 1], y[: NORMAL + 1])
    assert len(found) == 2 * NORMAL
    assert np.isfinite(found).all()


def test_channels_side_by_side_or_stacked_are_the_same(rare):
    X, y, _ = rare
    stacked = np.stack([X, 20 + 2 * X[:, ::-1]], axis=1)
    one, names = quick().fit_resample(stacked, y)
    flat, _ = quick(n_channels=2).fit_resample(stacked.reshape(len(X), -1), y)
    assert one.shape == (len(names), 2, POINTS)
    np.testing.assert_array_equal(one.reshape(len(one), -1), flat)
    made = one[len(X) :]
    assert abs(made[:, 1].mean() - 20) < 3
    assert made[:, 0].std() < 1


def test_channels_that_belong_together_stay_together(rare):
    X, y, _ = rare
    shift = np.random.default_rng(5).normal(0, 1, (len(X), 1))
    stacked = np.stack([X + shift, 10 - 3 * shift + 0.1 * X], axis=1)
    found, _ = quick().fit_resample(stacked, y)
    made = found[len(X) :].mean(axis=2)
    assert np.corrcoef(made.T)[0, 1] < -0.9


def test_tables_come_back_as_they_went_in(rare):
    X, y, _ = rare
    table = pl.DataFrame(X.astype(np.float32), schema=[f"t{i}" for i in range(POINTS)])
    augmenter = quick()
    found, names = augmenter.fit_resample(table, pl.Series("label", y))
    assert isinstance(found, pl.DataFrame)
    assert found.schema == table.schema
    assert (names.name, names.dtype, len(names)) == ("label", pl.String, len(found))
    assert list(augmenter.feature_names_in_) == table.columns
    pd = pytest.importorskip("pandas")
    encoder, labels = quick().fit_resample(pd.DataFrame(X).rename(columns=str), pd.Series(y, name="label"))
    assert isinstance(encoder, pd.DataFrame)
    assert (labels.name, len(labels)) == ("label", len(encoder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_channels": 7}, "48 features are not 7 channels of equal length"),
        ({"steps": 0}, "'steps' parameter of FaultAugmenter must be an int"),
        ({"unfreeze": "first"}, "'unfreeze' parameter of FaultAugmenter must be a str among"),
    ],
)
def test_a_wrong_parameter_is_told_so(rare, change, message):
    with pytest.raises(ValueError, match=message):
        quick(**change).fit_resample(*rare[:2])


def test_a_wrong_request_is_told_so(rare, trained):
    X, y, severity = rare
    with pytest.raises(NotFittedError):
        quick().sample("fault")
    with pytest.raises(NotFittedError):
        clone(trained).sample("fault")
    with pytest.raises(ValueError, match="label 'fire' is unknown: fitted on normal, fault"):
        trained.sample("fire")
    with pytest.raises(ValueError, match="severity has 3 rows, X has 312: give one for each row"):
        quick().fit_resample(X, y, severity=severity[:3])
    with pytest.raises(ValueError, match="fitted without severities"):
        quick().fit(X, y).sample("fault", severity=[0.5])
    with pytest.raises(ValueError, match="severity must be 1 value, or 4 rows of them"):
        trained.sample("fault", 4, severity=[0.1, 0.2, 0.3])
