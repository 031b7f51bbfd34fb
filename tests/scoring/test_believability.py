"""Single curves judged: shares that break what cells keep, a forest, an ensemble, and the verdict in words."""

import numpy as np
import pytest

from faultcell import metrics
from faultcell.curves import Curves
from faultcell.curves.conditions import conditions_of
from faultcell.errors import DataError
from faultcell.scoring import evaluate
from faultcell.scoring.believability import SHARES, broken
from faultcell.scoring.ensemble import ensemble_scores
from faultcell.scoring.scores import SetScore
from faultcell.scoring.verdict import of_shapes, verdict
from strategies import LOWER, curves_of, discharge, fault_curves

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning")


def one(**changes):
    wave = discharge(cutoff=LOWER - 0.3, samples=200)
    wave |= {name: change(wave[name]) for name, change in changes.items()}
    return broken(curves_of([("A", 1, "discharge", "overdischarge", wave, {})]))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("rises", {"voltage_volt": lambda v: v + 0.1 * (np.abs(np.arange(200) - 100) < 5)}),
        ("flat_at_limit", {"voltage_volt": lambda v: np.where(np.abs(v - LOWER) < 0.2, LOWER, v)}),
        ("hot", {"surface_temperature_celsius": lambda t: t + 20 * (np.arange(200) > 100)}),
        ("hot", {"surface_temperature_celsius": lambda t: t + 70}),
        ("surges", {"current_ampere": lambda i: i * (1 + 2 * (np.arange(200) > 190))}),
    ],
)
def test_each_share_counts_what_it_names_and_nothing_else(name, changes):
    assert {key: value[0] for key, value in one().items()} == dict.fromkeys(SHARES, 0.0)
    found = one(**changes)
    assert [key for key in SHARES if found[key][0]] == [name]


# --- the forest


def lines(count, *, jitter=0.0, seed=0):
    rng = np.random.default_rng(seed)
    bends = rng.uniform(0.5, 2, count)
    volts = 1 - np.linspace(0, 1, 64)[None] ** bends[:, None] + jitter * rng.normal(size=(count, 64))
    return volts, 1000 * bends, np.array([f"cell {i % 4}" for i in range(count)])


def test_of_a_curve_that_was_never_under_load_nothing_is_said(tiny):
    idle = one(current_ampere=lambda i: 0 * i)
    assert all(np.isnan(value[0]) for value in idle.values())
    wave = discharge(samples=50)
    unloaded = curves_of([("Z", 1, "discharge", "normal", {**wave, "current_ampere": 0 * wave["current_ampere"]}, {})])
    drawn = tiny[0].select(step_type="discharge")
    assert of_shapes(drawn, drawn + unloaded) == of_shapes(drawn, drawn)


def test_a_forest_cannot_tell_curves_of_one_kind_and_can_tell_jitter():
    same = metrics.forest_auc(lines(80), lines(80, seed=1))
    rough = metrics.forest_auc(lines(80), lines(80, seed=1, jitter=0.02))
    assert set(same) == {f"cell {i}" for i in range(4)}
    assert np.mean(list(same.values())) < 0.65
    assert min(rough.values()) > 0.9


def test_of_one_cell_a_forest_says_nothing():
    volts, seconds, _ = lines(20)
    alone = volts, seconds, np.array(["A"] * 20)
    assert metrics.forest_auc(alone, alone) == {}


# --- the ensemble


def test_a_perfect_ensemble_covers_what_it_should_and_a_sharper_one_does_not(tiny):
    """Draws and truth from one distribution: a gamma-distributed bend of the same line."""
    rng = np.random.default_rng(0)

    def curves(spread):
        rows = []
        for cell in range(40):
            wave = discharge(samples=80)
            wave["voltage_volt"] = wave["voltage_volt"] + spread * rng.normal() * np.linspace(0.2, 1, 80)
            rows.append((f"C{cell}", 1, "discharge", "normal", wave, {}))
        return curves_of(rows)

    real = curves(0.05)
    perfect = ensemble_scores(real, [curves(0.05) for _ in range(19)])["all"]["all"]
    sharp = ensemble_scores(real, [curves(0.01) for _ in range(19)])["all"]["all"]
    assert perfect.covered_if_perfect == pytest.approx(0.9)
    assert perfect.covered == pytest.approx(0.9, abs=0.1)
    assert sharp.covered < 0.5
    assert sharp.width < perfect.width
    assert perfect.crps < sharp.crps
    assert perfect.energy < sharp.energy


def test_the_variogram_score_sees_jitter_that_crps_does_not(tiny):
    rng = np.random.default_rng(1)
    rows = [(f"C{i}", 1, "discharge", "normal", discharge(samples=128, sag=0.02 * rng.normal()), {}) for i in range(20)]
    real = curves_of(rows)

    def drawn(jitter):
        made = []
        for cell, cycle, step, label, _, further in rows:
            wave = discharge(samples=128, sag=0.02 * rng.normal())
            wave["voltage_volt"] = wave["voltage_volt"] + jitter * rng.normal(size=128)
            made.append((cell, cycle, step, label, wave, further))
        return curves_of(made)

    smooth, rough = (ensemble_scores(real, [drawn(jitter) for _ in range(12)])["all"]["all"] for jitter in (0.0, 0.02))
    assert rough.variogram > 2 * smooth.variogram
    assert rough.crps < 2 * smooth.crps


def test_an_ensemble_needs_two_whole_draws(tiny):
    faults = tiny[1]
    with pytest.raises(DataError, match="needs 2 draws"):
        ensemble_scores(faults, [faults])
    with pytest.raises(DataError, match="lacks a real curve"):
        ensemble_scores(faults, [faults.take([0]), faults.take([0])])


# --- the verdict


def test_the_worst_is_said_first_with_its_reason():
    said = verdict(SetScore(curves=50, rises=0.66, rises_real=0.0, hot=0.9, hot_real=0.0, forest_auc=0.5, forest_auc_worst=0.5))
    assert said.startswith("do not train with these: 66 of 100 go against their direction")
    assert "90 of 100 have temperatures that no cell has" in said
    fine = SetScore(curves=50, rises=0.01, rises_real=0.0, forest_auc=0.52, forest_auc_worst=0.6)
    assert verdict(fine).startswith("cannot be told from real curves of cells left out")
    assert "clearly" in verdict(fine.model_copy(update={"forest_auc": 0.9, "forest_auc_worst": 1.0}))
    assert "somewhat" in verdict(fine.model_copy(update={"forest_auc": 0.7, "forest_auc_worst": 0.8}))
    assert "too few" in verdict(SetScore(curves=3))
    # What real curves do themselves is no fault of drawn ones.
    assert "do not train" not in verdict(fine.model_copy(update={"rises": 0.3, "rises_real": 0.3}))


def test_scores_of_a_model_hold_all_of_it(tuned, tiny):
    faults = fault_curves(cells=5)
    real = faults.select(cells=[name for name in faults.cells if name.endswith("4")])
    asked = conditions_of(real)
    draws = [tuned.draw(asked, range(10 * k, 10 * k + len(asked))) for k in range(4)]
    scores = evaluate(real=real, synthetic=draws[0], thorough=False, draws=draws, beside=["floor"])
    assert scores.verdict
    assert scores.sources["synthetic"].sets["all"].rises == 0
    assert scores.sources["floor"].sets == {}
    assert set(scores.ensemble) == {"all", "label", "cell_id"}
    assert scores.ensemble["all"]["all"].draws == 4
    assert isinstance(draws[0], Curves)
