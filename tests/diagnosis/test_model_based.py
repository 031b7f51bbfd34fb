"""The rival finds what it should, needs what it says it needs, and nothing gives a leak away that no curve shows."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

import faultcell as fc
from faultcell.curves import Curves
from faultcell.curves.against_normal import loaded
from faultcell.diagnosis.cell_model import LENGTH, CellModel, cusum
from faultcell.diagnosis.measures import recall_at
from faultcell.diagnosis.model_based import DETECTORS, LEVELS, Detector, features, filled, of_level

NAMES = list(DETECTORS)


@pytest.fixture(scope="module")
def shorts():
    return fc.demo_data("internal_short")


def parts(curves, step="charge", label="internal_short"):
    """Features and truth of training and of test cells."""
    cells = sorted(curves.select(label=[label]).cells)
    sound = sorted(set(curves.cells) - set(cells))
    test = [*cells[::3], *sound[::3]]
    found = []
    for inside in (False, True):
        some = curves.where(pl.col("cell_id").is_in(test) == inside)
        both = some.where(pl.col("label").is_in(["normal", label]), pl.col("step_type") == step)
        found.append((features(both, some), (both.halfcycles["label"] == label).to_numpy().astype(np.int64)))
    return found


@pytest.fixture(scope="module")
def told(shorts):
    return parts(shorts)


def test_lines_of_arithmetic_beside_the_cells_own_curve_find_shorts_that_limits_do_not(told):
    (seen, truth), (unseen, hidden) = told
    recalls = {}
    for name in DETECTORS:
        detector = Detector(name).fit(seen, truth)
        recalls[name] = recall_at(hidden, detector.decision_function(unseen))
        assert detector.predict(seen[truth == 0]).mean() <= 0.02
    assert recalls["temperature_limit"] < 0.4
    assert max(recalls["charge_between_voltages"], recalls["charge_balance"], recalls["mean_temperature"]) > 0.4


def test_what_is_not_known_is_not_a_number_and_no_alarm(shorts):
    some = shorts.where(pl.col("cell_id") == shorts.select(label=["internal_short"]).cells[0], pl.col("step_type") == "charge")
    table = features(some, some)
    assert np.isnan(table[:, NAMES.index("charge_balance")]).all()  # no discharge is there
    alone = some.where(pl.col("label") == "internal_short")
    bare = features(alone, alone)
    for i, (needs, _) in enumerate(DETECTORS.values()):
        assert np.isfinite(bare[:, i]).all() == (needs == "curve")
    detector = Detector("charge_balance").fit(table, (some.halfcycles["label"] == "internal_short").to_numpy().astype(int))
    assert not detector.predict(table).any()
    assert (filled(bare, table) == filled(bare, table)).all()  # no gap is left


def test_each_level_knows_what_the_one_before_does():
    levels = [set(of_level(level)) for level in LEVELS]
    assert levels[0] < levels[1] < levels[2] == set(DETECTORS)


def test_a_circuit_follows_the_curves_it_was_made_from_and_a_filter_sees_what_it_did_not_foresee(shorts):
    cell = sorted(set(shorts.cells) - set(shorts.select(label=["internal_short"]).cells))[0]
    own = shorts.where(pl.col("cell_id") == cell, pl.col("cycle_count") == 2)
    charge, discharge = sorted(loaded(own, range(len(own))), key=lambda one: not one.rising)
    model = CellModel.of(charge, discharge)
    for one in (charge, discharge):
        assert np.sqrt(np.square(model.misses(one)).mean()) < 0.08
    calm = model.innovations(discharge)
    assert calm.shape == (LENGTH,)
    jumped = replace(discharge, volt=discharge.volt - 0.1 * (discharge.second > discharge.second[-1] / 2))
    assert cusum(model.innovations(jumped)) > cusum(calm) + 5
    assert cusum(np.zeros(10)) == 0
    assert cusum(np.full(10, 2.0)) == pytest.approx(15)
    assert cusum(-np.full(10, 2.0)) == pytest.approx(15)
    assert CellModel.of(replace(charge, second=charge.second[:3]), discharge) is None


@pytest.mark.skipif(find_spec("pybamm") is None, reason='pybamm is not installed ("faultcell[sim]")')
def test_a_leak_of_a_kiloohm_is_not_found(monkeypatch):
    """No instrument sees it: what finds it would be an artefact (too clean a current, too steady a chamber)."""
    from faultcell.simulate import scenarios, simulate
    from faultcell.simulate.scenarios import SCENARIOS, Range

    tiny = replace(SCENARIOS["internal_short"], ranges=(Range("leak_siemens", 0.9e-3, 1.1e-3),))
    monkeypatch.setattr(scenarios, "SCENARIOS", {**SCENARIOS, "internal_short": tiny})
    made = simulate(cells=24, cycles=8, faults=("internal_short",), seed=5)
    curves = Curves.from_tables(made.timeseries, made.halfcycles)
    for step in ("charge", "discharge"):
        (seen, truth), (unseen, hidden) = parts(curves, step)
        assert hidden.sum() >= 15
        for name in DETECTORS:
            score = Detector(name).fit(seen, truth).decision_function(unseen)
            assert recall_at(hidden, score) <= 0.15, (step, name)
