"""The rival finds what it should, needs what it says it needs, and nothing gives a leak away that no curve shows."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

import faultcell as fc
from faultcell.curves import Curves
from faultcell.curves.against_normal import Loaded, first_normals, loaded
from faultcell.diagnosis.cell_model import LENGTH, CellModel, ThermalModel, cusum, innovations
from faultcell.diagnosis.measures import recall_at
from faultcell.diagnosis.model_based import DETECTORS, LEVELS, Detector, features, filled, of_level
from faultcell.diagnosis.views import channels, see
from strategies import curves_of, discharge

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
    made = simulate(cells=36, cycles=8, faults=("internal_short",), seed=5)
    curves = Curves.from_tables(made.timeseries, made.halfcycles)
    for step in ("charge", "discharge"):
        (seen, truth), (unseen, hidden) = parts(curves, step)
        assert hidden.sum() >= 15
        for name in DETECTORS:
            score = Detector(name).fit(seen, truth).decision_function(unseen)
            assert recall_at(hidden, score) <= 0.15, (step, name)


def test_filters_of_many_cells_at_once_are_those_of_each(shorts):
    cells = sorted(set(shorts.cells) - set(shorts.select(label=["internal_short"]).cells))[:3]
    own = shorts.where(pl.col("cell_id").is_in(cells), pl.col("cycle_count") == 2)
    ones = sorted(loaded(own, range(len(own))), key=lambda one: not one.rising)
    models = [CellModel.of(charge, discharge) for charge, discharge in zip(ones[:3], ones[3:], strict=True)]
    together = innovations([*models, *models], ones)
    for row, (model, one) in enumerate(zip([*models, *models], ones, strict=True)):
        np.testing.assert_allclose(together[row], model.innovations(one), rtol=1e-9, atol=1e-9)
    assert cusum(together).shape == (6,)


def test_a_thermal_model_follows_its_own_law_and_sees_heat_that_the_circuit_does_not_make():
    second = np.arange(0.0, 3600.0, 10.0)
    flat = np.full(101, 3.7), np.full(101, 0.05)
    circuit = CellModel(*flat, share=0.1, constant=10.0, capacity_ah=10.0)
    ampere, joule, tau = np.where(second < 1800, 4.0, 2.0), 1 / 800, 1200.0
    celsius = [27.0]
    for i in ampere[:-1]:
        celsius.append(celsius[-1] + 10 * (0.05 * i**2 * joule - (celsius[-1] - 25) / tau))
    curve = Loaded(second, np.full(second.size, 3.7), ampere, np.array(celsius), False, 10.0, 2.5, 60.0, 25.0)
    model = ThermalModel.of(circuit, [curve])
    assert (model.per_joule, model.per_second) == pytest.approx((joule, 1 / tau), rel=0.05)
    assert np.abs(model.residual(curve)).max() < 0.05
    warmed = replace(curve, celsius=curve.celsius + 2 * second / second[-1])
    assert model.residual(warmed)[-1] == pytest.approx(2, abs=0.1)
    unknown = replace(curve, celsius=np.full(second.size, np.nan))
    assert np.isnan(model.residual(unknown)).all()
    assert ThermalModel.of(circuit, [unknown]) is None


def test_the_rest_behind_a_load_is_read_where_there_is_one():
    curves = [discharge(rate=0.5, rest=rest) for rest in (0, 30)]
    made = curves_of([("A", row, "discharge", "normal", samples, {}) for row, samples in enumerate(curves, 1)])
    without, with_rest = loaded(made, range(2))
    samples = curves[1]
    on = np.flatnonzero(samples["current_ampere"])[-1]
    rest = samples["step_time_second"] - samples["step_time_second"][on]
    last = np.flatnonzero(rest <= 600)[-1]
    assert np.isnan(without.rest_volt)
    assert with_rest.rest_volt == pytest.approx(samples["voltage_volt"][last] - samples["voltage_volt"][on])


def test_classifiers_see_what_the_models_do_not_foresee(shorts):
    first = first_normals(shorts, shorts)
    seen = see(shorts, "residual", normal=shorts, references=first)
    assert seen.values.shape[1] == channels("residual")
    assert seen.usable[[key is not None for key in first]].mean() > 0.95
    assert not seen.usable[[key is None for key in first]].any()
    label = (shorts.halfcycles["label"] == "internal_short").to_numpy()
    warm = seen.values[:, -1, -LENGTH // 6 :].mean(axis=1)
    assert np.median(warm[seen.usable & label]) > np.quantile(warm[seen.usable & ~label], 0.9)
