"""On real-like curves of unseen cells: real against real comes out best, noise worst, copies and means are caught."""

import pytest

from faultcell.baselines.classical import Jitter, Noise
from faultcell.baselines.replay import MeanCurve, Replay
from faultcell.curves.conditions import conditions_of
from faultcell.files.embedded import demo_data
from faultcell.metrics import predictive
from faultcell.report.describe import facts, text
from faultcell.scoring import SET_COLUMNS, evaluate
from faultcell.scoring.pairing import successive
from faultcell.scoring.resample import Measured

pytestmark = pytest.mark.filterwarnings("error")

# Noise borrows the times and currents of real curves, so durations and charges do not count here.
LOWER = ("mae", "mse", "kl", "js", "wasserstein", "lowest_voltage_error_volt", "highest_voltage_error_volt")
HIGHER = ("pcc", "dpcc")
SETS_LOWER = ("frechet", "mmd", "discriminative_gru", "discriminative_linear")
SETS_HIGHER = ("mmd_p", "density", "coverage")
# Accuracies of a few dozen curves scatter over the folds: differences below that are none, nor is a hundredth of the way to
# noise.
SLACK = {"discriminative_gru": 0.1, "discriminative_linear": 0.05}
NEARLY = 0.01


@pytest.fixture(scope="module")
def halves():
    return demo_data().select(label=["overdischarge"]).split(test=0.5, seed=0)


@pytest.fixture(scope="module")
def scores(halves):
    """The mean curve is in the place of the generated set."""
    train, test = halves
    drawn = MeanCurve(train).draw(conditions_of(test), range(len(test)))
    return evaluate(real=test, synthetic=drawn, train=train, beside=("floor", "replay", "jitter", "noise"))


def values(scores, name):
    """Of each source, the number of pairs or of the whole set; how much better more is has been turned to lower is better."""
    sign = -1 if name in HIGHER + SETS_HIGHER else 1
    found = {source: score.sets["all"] if name in SET_COLUMNS else score.all for source, score in scores.sources.items()}
    return {source: sign * getattr(score, name) for source, score in found.items()}


@pytest.mark.parametrize("name", LOWER + HIGHER + SETS_LOWER + SETS_HIGHER)
def test_real_against_real_is_best_and_noise_worst(scores, name):
    found = values(scores, name)
    best, worst = min(found.values()), max(found.values())
    assert found["floor"] <= best + max(SLACK.get(name, 0), NEARLY * (worst - best))
    assert found["noise"] == max(found.values())
    assert found["floor"] < found["noise"]


def test_a_forecast_learnt_on_real_curves_of_the_same_cells_is_best_and_one_learnt_on_noise_worst(halves):
    """All tested on the same curves: one step ahead is so easy that other curves would differ more than the sources do."""
    train, test = halves
    earlier, later = (test.take(rows) for rows in successive(test))
    asked = conditions_of(earlier)
    made = {source.__name__: source(train).draw(asked, range(len(asked))) for source in (Replay, Jitter, MeanCurve, Noise)}
    real = Measured.of(earlier).volts
    found = {name: predictive(Measured.of(curves).volts, real) for name, curves in {"floor": later, **made}.items()}
    assert min(found, key=found.get) == "floor"
    assert max(found, key=found.get) == "Noise"


def test_a_copy_of_the_training_set_is_caught(scores):
    copy, floor = (scores.sources[name].sets["all"] for name in ("replay", "floor"))
    assert copy.authenticity == 0
    assert copy.closest_record == pytest.approx(0, abs=1e-9)
    assert copy.authenticity_real > 0.5
    assert floor.authenticity > 0.5
    assert floor.closest_record == pytest.approx(1, abs=0.2)


def test_the_mean_curve_is_caught(scores):
    mean, floor = (scores.sources[name].sets["all"] for name in ("synthetic", "floor"))
    assert mean.spread_ratio == pytest.approx(0, abs=1e-9)
    assert floor.spread_ratio == pytest.approx(1, abs=0.15)
    assert mean.coverage < 0.2
    assert floor.coverage > 0.8


def test_paired_errors_alone_would_let_the_mean_curve_pass():
    """On charges the mean curve has the better correlation of first differences than real curves of the same cell."""
    train, test = demo_data().select(label=["overcharge"]).split(test=0.5, seed=0)
    drawn = MeanCurve(train).draw(conditions_of(test), range(len(test)))
    sources = evaluate(real=test, synthetic=drawn, beside=("floor",), thorough=False).sources
    assert sources["synthetic"].all.dpcc > sources["floor"].all.dpcc


def test_jitter_and_noise_move_as_no_cell_does(scores):
    found = {name: source.sets["all"].monotone_violations for name, source in scores.sources.items()}
    assert min(found["jitter"], found["noise"]) > 0.8
    assert max(found["floor"], found["replay"], found["synthetic"]) < 0.2  # cold cells dip, and recover as they warm
    assert scores.sources["replay"].sets["all"].limit_violations < 0.15
    assert scores.sources["synthetic"].sets["all"].charge_violations > 0.5
    assert scores.sources["floor"].sets["all"].charge_violations < 0.15  # of 18 curves


def test_the_text_of_a_scores_file_has_pairs_then_sets_then_the_worst_strata(scores, tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(scores.model_dump_json())
    lines = text(facts(path)).splitlines()
    tables = [lines.index(f"{name}:") for name in ("scores", "sets", "worst strata")]
    assert tables == sorted(tables)
    assert all(source in lines[tables[1] + 2 + row] for row, source in enumerate(scores.sources))
    worst = scores.sources["synthetic"].worst
    assert worst in lines[tables[2] + 2]
    assert max(map(len, lines)) < 200
