"""Virtual cells: plans are pure, the damage law holds, the engine obeys, the embedded set keeps its promises."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultcell.curves import faults
from faultcell.errors import ConditionError, MissingExtraError
from faultcell.files import read
from faultcell.simulate import SCENARIOS, engine, record, simulate, simulate_into
from faultcell.simulate.life import FULL_STOICHIOMETRY, live
from faultcell.simulate.population import Cycle, PopulationPlan, damaged, loading_of, plan, sample_cell
from faultcell.simulate.run import HALFCYCLES, TIMESERIES, tables
from faultcell.simulate.scenarios import NONE, Defect

FAULTS = ("overcharge", "overdischarge")
HIDDEN = ("internal_short", "cooling_failure", "contact_fault", "sensor_offset")
KEYS = ["cell_id", "cycle_count", "step_type"]
DATA = files("faultcell") / "data"
needs_pybamm = pytest.mark.skipif(find_spec("pybamm") is None, reason='pybamm is not installed ("faultcell[sim]")')


# --- the plan, without PyBaMM


def test_importing_the_package_does_not_load_pybamm():
    code = "import sys, faultcell.simulate; sys.exit('pybamm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(seed=st.integers(0, 2**31), index=st.integers(0, 200))
def test_a_cell_is_plausible_and_depends_on_seed_and_index_alone(seed, index):
    cell = sample_cell(index, seed=seed)
    assert cell == sample_cell(index, seed=seed)
    assert cell != sample_cell(index + 1, seed=seed)
    assert cell != sample_cell(index, seed=seed + 1)
    assert cell.cell_id == f"SIM-{index + 1:04d}"
    assert 5 <= cell.ambient_celsius <= 40
    assert 0.25 <= cell.charge_c_rate <= 1
    assert 0.5 <= cell.discharge_c_rate <= 1.5


@given(seed=st.integers(0, 10_000), index=st.integers(0, 50), cycles=st.integers(1, 30))
def test_a_plan_keeps_its_promises(seed, index, cycles):
    made = plan(index, seed=seed, cycles=cycles, faults=FAULTS)
    assert made == plan(index, seed=seed, cycles=cycles, faults=FAULTS)
    assert made.cycles[0].checkup
    recorded = [cycle for cycle in made.cycles if not cycle.checkup]
    assert len(recorded) == cycles
    struck = [position for position, cycle in enumerate(recorded) if cycle.defect.excess_volt > 0]
    assert {recorded[position].scenario.name for position in struck} <= {[*FAULTS, "ageing"][index % 3]}
    assert (index % 3 == 2) == (not struck)
    assert len(struck) <= 8
    assert all(position >= cycles // 4 for position in struck)
    for cycle in recorded:
        assert 0.05 <= cycle.cutoff_c_rate <= 0.25
        assert cycle.cutoff_c_rate < made.cell.charge_c_rate
        if cycle.faulty:
            (span,) = cycle.scenario.ranges
            assert span.mildest <= cycle.defect.excess_volt <= span.worst
        assert cycle.before in ("", "pause", "top_up")
        assert abs(cycle.drift_ampere) < 0.03
        assert abs(cycle.jitter_celsius) < 5
    assert 0.005 <= abs(made.cell.ampere_offset) <= 0.02


@pytest.mark.parametrize("name", ["internal_short", "cooling_failure", "contact_fault", "sensor_offset"])
def test_what_lasts_begins_once_and_what_grows_grows(name):
    made, quantities = SCENARIOS[name], set()
    for k in range(40):
        cycles = [c for c in plan(2 * k, seed=3, cycles=15, faults=(name,)).cycles if not c.checkup]
        struck = [position for position, cycle in enumerate(cycles) if cycle.faulty]
        assert struck == list(range(struck[0], 15))
        assert 4 <= len(struck) <= 8
        (changed,) = {
            field.name for c in cycles for field in fields(Defect) if getattr(c.defect, field.name) != getattr(NONE, field.name)
        }
        quantities.add(changed)
        span = next(one for one in made.ranges if one.quantity == changed)
        size = np.abs([getattr(cycles[position].defect, changed) for position in struck])
        assert size.min() >= min(span.mildest, span.worst)
        assert size.max() <= max(span.mildest, span.worst)
        if made.grows:
            assert (np.diff(size) > 0).all()
    assert quantities == {one.quantity for one in made.ranges}


def test_the_hold_of_normal_and_fault_charges_ends_at_currents_of_one_distribution():
    cycles = [c for i in range(0, 600, 3) for c in plan(i, seed=1, cycles=15, faults=FAULTS).cycles if not c.checkup]
    normal, fault = ([c.cutoff_c_rate for c in cycles if c.faulty is hit] for hit in (False, True))
    apart = np.abs(np.quantile(normal, [0.1, 0.5, 0.9]) - np.quantile(fault, [0.1, 0.5, 0.9]))
    assert min(len(normal), len(fault)) > 500
    assert apart.max() < 0.02


def test_cells_and_their_faults_cover_the_range_of_severities():
    for turn, name in enumerate(FAULTS):
        lives = [plan(turn + 3 * k, seed=0, cycles=15, faults=FAULTS) for k in range(16)]
        (span,) = SCENARIOS[name].ranges
        low, high = span.mildest, span.worst
        levels = [[(c.defect.excess_volt - low) / (high - low) for c in life.cycles if c.faulty] for life in lives]
        means = np.array([np.mean(level) for level in levels])
        assert means.min() < 0.3
        assert means.max() > 0.7
        assert max(np.ptp(level) for level in levels) > 0.1


def test_limits_move_on_the_side_the_scenario_names():
    cell = sample_cell(0, seed=0)
    over = loading_of(cell, Cycle(SCENARIOS["overcharge"], Defect(excess_volt=0.1)))
    under = loading_of(cell, Cycle(SCENARIOS["overdischarge"], Defect(excess_volt=1.0)))
    assert (over.lower_volt, over.upper_volt) == pytest.approx((2.5, 4.3))
    assert (under.lower_volt, under.upper_volt) == pytest.approx((1.5, 4.2))


def test_the_cycler_goes_by_what_its_sensors_read():
    cell = replace(sample_cell(0, seed=0), charge_c_rate=0.5, discharge_c_rate=1.0, ampere_offset=0.01)
    off = Cycle(SCENARIOS["sensor_offset"], Defect(volt_offset=0.02, ampere_offset=0.1), drift_ampere=0.002, jitter_celsius=1.0)
    found = loading_of(cell, off)
    assert found.upper_volt == pytest.approx(4.18)  # reads 4.2 V there
    assert found.charge_ampere == pytest.approx(2.5 - 0.112)  # reads 2.5 A
    assert found.discharge_ampere == pytest.approx(5.0 + 0.112)  # reads -5 A
    assert found.ambient_celsius == pytest.approx(cell.ambient_celsius + 1)


@given(exposure=st.floats(0, 3), more=st.floats(0.01, 3))
def test_damage_follows_the_declared_law(exposure, more):
    cell, law = sample_cell(0, seed=0), SCENARIOS["overcharge"]
    hurt = damaged(cell, law, volt_hours=exposure)
    assert hurt.contact_resistance_ohm - cell.contact_resistance_ohm == pytest.approx(0.006 * exposure)
    assert hurt.positive_fraction / cell.positive_fraction == pytest.approx(1 - 0.03 * exposure)
    assert hurt.negative_fraction == cell.negative_fraction
    worse = damaged(cell, law, volt_hours=exposure + more)
    assert worse.contact_resistance_ohm > hurt.contact_resistance_ohm
    other = damaged(cell, SCENARIOS["overdischarge"], volt_hours=1.0)
    assert other.positive_fraction == cell.positive_fraction
    assert other.negative_fraction < cell.negative_fraction


def test_unknown_faults_and_empty_populations_are_refused():
    with pytest.raises(ConditionError, match=r"unknown fault 'overheat'.*overcharge"):
        simulate(cells=1, cycles=1, faults=("overheat",))
    with pytest.raises(ConditionError, match="cells must be at least 1, found 0"):
        simulate(cells=0)
    with pytest.raises(ConditionError, match="seed"):
        simulate(seed=-1)


def test_without_pybamm_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pybamm", None)
    with pytest.raises(MissingExtraError, match=r"faultcell\[sim\]"):
        simulate(cells=1, cycles=1)


# --- the record, without PyBaMM


def _ramp(end: float = 100.0) -> engine.Wave:
    second = np.linspace(0.0, end, 201)
    flat = np.full(201, 25.0)
    return engine.Wave(second=second, volt=4.1 + 0.002 * second, ampere=np.full(201, 2.5), celsius=flat)


def test_time_and_exposure_beyond_a_limit_match_geometry():
    wave = _ramp()
    coarse = engine.Wave(wave.second[::40], wave.volt[::40], wave.ampere[::40], wave.celsius[::40])
    excess = record.excess_volt(coarse, step_type="charge")  # crosses 4.2 V at 50 s and ends 0.1 V above
    assert record.seconds_beyond(coarse.second, excess) == pytest.approx(50.0)
    fine = record.excess_volt(wave, step_type="charge")
    assert record.volt_hours_beyond(wave.second, fine) == pytest.approx(50 * 0.1 / 2 / 3600, rel=1e-3)
    assert record.seconds_beyond(coarse.second, np.full(6, 0.1)) == pytest.approx(100.0)
    assert record.seconds_beyond(coarse.second, np.zeros(6)) == 0.0


def test_the_instrument_adds_the_noise_it_declares_and_records_the_end():
    second = np.arange(0.0, 90_001.0, 10.0)
    still = engine.Wave(second, volt=second * 0 + 3.7, ampere=second * 0 + 2.5, celsius=second * 0 + 25)
    seen = record.record(still, rng=np.random.default_rng(0))
    assert np.std(seen.volt) == pytest.approx(0.0015, rel=0.1)
    assert np.std(seen.ampere) == pytest.approx(0.005, rel=0.1)
    np.testing.assert_allclose(seen.volt, seen.volt.round(3), atol=1e-12)
    short = record.record(_ramp(end=100.0), rng=np.random.default_rng(0))
    assert short.second.tolist() == [0, 15, 30, 45, 60, 75, 90, 100]


# --- the engine


@pytest.fixture(scope="module")
def small():
    return simulate(cells=3, cycles=4, seed=3)


def _life(*excess: float, fault: str, index: int = 0):
    """A cell struck with these excesses, a normal cycle before."""
    cell = replace(sample_cell(index, seed=0), charge_c_rate=0.6, discharge_c_rate=1.0)
    struck = (Cycle(SCENARIOS[fault], Defect(excess_volt=volt), cutoff_c_rate=0.2) for volt in excess)
    return live(PopulationPlan(cell, (Cycle(checkup=True), Cycle(cutoff_c_rate=0.2), *struck), seed=0, index=index))


@needs_pybamm
@pytest.mark.parametrize(("fault", "excesses"), [("overcharge", (0.05, 0.12, 0.2)), ("overdischarge", (0.2, 0.7, 1.4))])
def test_severity_rises_with_the_requested_excess(fault, excesses):
    found = [next(row for row in _life(volt, fault=fault).rows if row["label"] == fault) for volt in excesses]
    for milder, worse in pairwise(found):
        for name in ("peak_deviation_volt", "cumulative_duration_second", "true_exposure_volt_hour"):
            assert milder[name] < worse[name], name
    assert [row["peak_deviation_volt"] for row in found] == pytest.approx(excesses, abs=0.01)


@needs_pybamm
def test_repetition_and_duration_accumulate_and_damage_shows_one_cycle_later():
    rows = [row for row in _life(1.0, 1.0, 1.0, fault="overdischarge").rows if row["label"] == "overdischarge"]
    assert [row["repetition_count"] for row in rows] == [1, 2, 3]
    seconds = [row["cumulative_duration_second"] for row in rows]
    assert 0 < seconds[0] < seconds[1] < seconds[2]
    for before, after in pairwise(rows):
        grown = after["true_contact_resistance_ohm"] - before["true_contact_resistance_ohm"]
        assert grown == pytest.approx(0.06 * before["true_exposure_volt_hour"])


@needs_pybamm
def test_a_cycle_that_fills_the_graphite_is_reported_and_leaves_no_trace():
    bad = _life(0.6, fault="overcharge")
    assert [(failure.reason, failure.cycle_count) for failure in bad.failures] == [("graphite_full", 2)]
    assert str(FULL_STOICHIOMETRY) in bad.failures[0].detail
    assert {row["cycle_count"] for row in bad.rows} == {1}
    assert len(bad.rows) == len(bad.waves) == 2


@needs_pybamm
def test_an_impossible_cycle_is_a_solver_failure_not_silence():
    # A hold that shall end above the charging current is over before it begins.
    cell = sample_cell(0, seed=0)
    doomed = live(PopulationPlan(cell, (Cycle(checkup=True), Cycle(cutoff_c_rate=2.0), Cycle()), seed=0, index=0))
    assert [(failure.reason, failure.cycle_count) for failure in doomed.failures] == [("solver", 1)]
    assert [row["cycle_count"] for row in doomed.rows] == [2, 2]


@needs_pybamm
def test_charge_is_positive_discharge_negative_and_the_cell_warms(small):
    current = pl.col("current_ampere").mean()
    signs = dict(small.timeseries.group_by("step_type").agg(current).iter_rows())
    assert signs["charge"] > 0.5
    assert signs["discharge"] < -2
    heat = (
        small.timeseries.filter(step_type="discharge")
        .group_by(KEYS)
        .agg((pl.col("surface_temperature_celsius").max() - pl.col("surface_temperature_celsius").first()).alias("rise"))
    )
    assert heat["rise"].min() > 1


@needs_pybamm
def test_cell_i_is_the_same_in_any_population_and_any_number_of_workers(small):
    done = []
    pair = simulate(cells=2, cycles=4, seed=3, workers=2, progress=lambda *count: done.append(count))
    first = pl.col("cell_id").is_in(["SIM-0001", "SIM-0002"])
    assert pair.timeseries.equals(small.timeseries.filter(first))
    assert pair.halfcycles.equals(small.halfcycles.filter(first))
    assert done == [(1, 2), (2, 2)]
    second = simulate(cells=2, cycles=4, seed=3, part=slice(1, 2))
    assert second.halfcycles.equals(pair.halfcycles.filter(cell_id="SIM-0002"))


@needs_pybamm
def test_a_population_in_parts_is_the_one_in_one_piece(run, small, tmp_path, monkeypatch):
    listed = simulate_into(tmp_path / "set", cells=3, cycles=4, seed=3, cells_in_part=2)
    assert [part.told["cells"]["lived"] for part in listed.parts] == [2, 1]
    whole = read(tmp_path / "set")
    assert whole.timeseries["voltage_volt"].equals(small.timeseries["voltage_volt"])
    assert whole.halfcycles["label"].equals(small.halfcycles["label"])
    monkeypatch.setattr("faultcell.simulate.CELLS_IN_PART", 2)
    words = ("simulate", "--cells", 3, "--cycles", 4, "--seed", 3, "--fault", "overcharge", "--fault", "overdischarge")
    last = run(*words, "--in-parts", "--out", tmp_path / "other", "--part", "2/2", "--json")
    assert (json.loads(last.out)["whole"], (tmp_path / "other/timeseries/000001.parquet").exists()) == (False, True)


@needs_pybamm
def test_another_seed_is_another_population(small):
    other = simulate(cells=1, cycles=1, seed=4)
    assert other.halfcycles["ambient_temperature_celsius"][0] != small.halfcycles["ambient_temperature_celsius"][0]


def _struck(name, *defects):
    """A cell with these defects, a normal cycle before: the rows and waves of its fault."""
    cell = replace(sample_cell(0, seed=0), charge_c_rate=0.5, discharge_c_rate=1.0, ampere_offset=0.0, ambient_celsius=25.0)
    struck = (Cycle(SCENARIOS[name], defect, cutoff_c_rate=0.2) for defect in defects)
    life = live(PopulationPlan(cell, (Cycle(checkup=True), Cycle(cutoff_c_rate=0.2), *struck), seed=0, index=0))
    assert not life.failures
    return list(zip(life.rows, life.waves, strict=True))


@needs_pybamm
def test_a_leak_lengthens_a_charge_shortens_a_discharge_and_warms():
    # 100 and 20 Ohm, after one normal cycle; facts of the same cell: a charge 4 % longer at 100 Ohm, 14 % at 30 Ohm.
    (_, first), (_, down), (mild, one), (_, two), (worse, three), (_, four) = _struck(
        "internal_short", Defect(leak_siemens=1 / 100), Defect(leak_siemens=1 / 20)
    )
    assert mild["label"] == worse["label"] == "internal_short"
    assert mild["leakage_c_rate"] == pytest.approx(3.9 / 100 / 5, rel=0.05)
    assert worse["leakage_c_rate"] == pytest.approx(5 * mild["leakage_c_rate"], rel=0.05)
    assert worse["peak_deviation_volt"] == worse["repetition_count"] == 0

    def ends(wave):
        return float(wave.second[np.argmax(wave.volt >= 4.19)])

    assert ends(first) < ends(one) < ends(three)
    assert down.second[-1] > two.second[-1] > four.second[-1]
    assert first.celsius.mean() + 0.3 < one.celsius.mean() < three.celsius.mean() - 3
    # The terminal current is the one that is set: a leak bypasses it.
    np.testing.assert_allclose([wave.ampere[5:50].mean() for wave in (first, one, three)], 2.5, atol=0.01)
    np.testing.assert_allclose([wave.volt.max() for wave in (first, one, three)], 4.2, atol=0.01)


@needs_pybamm
def test_a_loose_contact_failing_cooling_and_a_sensor_show_as_they_should():
    (_, first), (_, down), (row, up), (_, dropped) = _struck("contact_fault", Defect(added_ohm=0.02))
    assert row["added_resistance_milliohm"] == pytest.approx(20)
    assert down.volt[2] - dropped.volt[2] == pytest.approx(0.02 * 5, abs=0.02)
    assert up.second[np.argmax(up.volt >= 4.19)] < first.second[np.argmax(first.volt >= 4.19)]
    (_, first), (_, down), (row, _), (hot, warm) = _struck("cooling_failure", Defect(cooling_share=0.3))
    assert hot["temperature_rise_kelvin"] == pytest.approx(warm.celsius.max() - down.celsius.max(), abs=1.0)
    assert hot["temperature_rise_kelvin"] > 3
    assert row["upper_temperature_limit_celsius"] == 45
    (_, first), _, (row, up), _ = _struck("sensor_offset", Defect(volt_offset=0.03))
    assert row["voltage_offset_millivolt"] == pytest.approx(30)
    assert up.volt.max() == pytest.approx(4.2, abs=0.01)  # as it reads


def test_no_lives_make_empty_tables_of_the_right_shape():
    empty = tables([])
    assert dict(empty.timeseries.schema) == TIMESERIES
    assert dict(empty.halfcycles.schema) == HALFCYCLES
    assert empty.failures == ()


# --- the embedded set


@pytest.fixture(scope="module")
def demo():
    return tuple(pl.read_parquet(DATA / f"{name}.parquet") for name in ("timeseries", "halfcycles"))


def test_the_embedded_set_is_small_and_its_pages_verify():
    sizes = 0
    for name in ("timeseries", "halfcycles"):
        path = DATA / f"{name}.parquet"
        sizes += len(path.read_bytes())
        assert pq.read_table(str(path), page_checksum_verification=True).num_rows > 0
    assert sizes <= 5e6


def test_the_embedded_set_has_the_contract_columns_and_unique_keys(demo):
    timeseries, halfcycles = demo
    assert dict(timeseries.schema) == TIMESERIES
    assert dict(halfcycles.schema) == HALFCYCLES
    assert halfcycles.select(KEYS).is_unique().all()
    assert halfcycles.drop("cutoff_c_rate").null_count().sum_horizontal().item() == 0
    named = {one.name for kind in faults.FAULTS.values() for one in kind.severities}
    assert named <= set(halfcycles.columns)
    assert timeseries.select(KEYS).unique().sort(KEYS).equals(halfcycles.select(KEYS).sort(KEYS))


def test_the_embedded_set_has_enough_of_every_label(demo):
    counts = demo[1].group_by("label").agg(pl.len(), pl.col("cell_id").n_unique().alias("cells"))
    found = {label: (curves, cells) for label, curves, cells in counts.iter_rows()}
    assert set(found) == {"normal", *FAULTS, *HIDDEN}
    for fault in (*FAULTS, *HIDDEN):
        assert found[fault][0] >= (50 if fault in FAULTS else 130)
        assert found[fault][1] >= 12
    kinds = demo[1].filter(pl.col("label") != "normal").group_by("cell_id").agg(pl.col("label").n_unique())
    assert kinds["label"].max() == 1


def test_severities_are_positive_for_faults_only_and_grow_with_repetition(demo):
    severity = pl.col("peak_deviation_volt", "repetition_count", "cumulative_duration_second")
    normal, fault = demo[1].filter(~pl.col("label").is_in(FAULTS)), demo[1].filter(pl.col("label").is_in(FAULTS))
    assert normal.select(severity.max()).row(0) == (0.0, 0, 0.0)
    assert min(fault.select(severity.min()).row(0)) > 0
    history = fault.sort("cell_id", "cycle_count").group_by("cell_id", maintain_order=True)
    for _, rows in history:
        assert rows["repetition_count"].to_list() == list(range(1, rows.height + 1))
        assert rows["cumulative_duration_second"].diff().drop_nulls().gt(0).all()


def test_severities_of_a_fault_inside_all_limits_are_told_and_zero_for_all_others(demo):
    for label in HIDDEN:
        kind = faults.FAULTS[label]
        own, others = (demo[1].filter((pl.col("label") == label) == flag) for flag in (True, False))
        for one in kind.severities:
            assert set(others[one.name].unique()) == {0.0}
        assert own.select(pl.any_horizontal(pl.col(one.name) != 0 for one in kind.drivers)).to_series().mean() > 0.99
        assert set(own["peak_deviation_volt"]) == {0.0}


def test_every_class_is_sampled_alike_and_stays_on_its_side(demo):
    timeseries, halfcycles = demo
    step = pl.col("step_time_second").diff().drop_nulls()
    spacing = timeseries.group_by(KEYS).agg(
        step.slice(0, step.len() - 1).min().alias("least"),
        step.slice(0, step.len() - 1).max().alias("most"),
        step.last().alias("last"),
        pl.col("step_time_second").first().alias("start"),
        pl.col("voltage_volt").min().alias("low"),
        pl.col("voltage_volt").max().alias("high"),
    )
    assert spacing["least"].min() == spacing["most"].max() == engine.PERIOD_SECOND
    assert spacing["last"].min() > 0
    assert spacing["last"].max() <= engine.PERIOD_SECOND + 0.5
    assert spacing["start"].max() == 0
    normal = spacing.join(halfcycles.filter(label="normal"), on=KEYS)
    assert normal["low"].min() > 2.49
    assert normal["high"].max() < 4.21


def test_measured_severity_agrees_with_the_recorded_curve(demo):
    timeseries, halfcycles = demo
    extremes = timeseries.group_by(KEYS).agg(
        (pl.col("voltage_volt").max() - 4.2).alias("above"), (2.5 - pl.col("voltage_volt").min()).alias("below")
    )
    fault = halfcycles.filter(pl.col("label").is_in(FAULTS)).join(extremes, on=KEYS)
    seen = np.where(fault["label"] == "overcharge", fault["above"], fault["below"])
    np.testing.assert_allclose(fault["peak_deviation_volt"].to_numpy(), seen, atol=1e-4)
    np.testing.assert_allclose(seen, fault["true_excess_volt"].to_numpy(), atol=0.012)


def test_cells_age_and_health_is_known_before_the_curve(demo):
    health = (
        demo[1]
        .sort("cycle_count")
        .group_by("cell_id")
        .agg(pl.col("state_of_health").first().alias("young"), pl.col("state_of_health").last().alias("old"))
    )
    assert (health["young"] - health["old"]).min() > 0.005
    # Health changes at a check-up only: it is one number for every curve between two of them.
    block = demo[1].group_by("cell_id", pl.col("cycle_count") // 6).agg(pl.col("state_of_health").n_unique())
    assert block["state_of_health"].max() == 1
