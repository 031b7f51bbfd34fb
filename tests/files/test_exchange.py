"""What goes out in the forms others use comes back the same; what comes in is checked, and its sign turned where it must be."""

import os
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import faultcell as fc
from faultcell.curves import KEYS, SEVERITY, Curves, loaded_part
from faultcell.errors import ConditionError, DataError, MissingExtraError
from faultcell.files import ingest
from faultcell.files.exchange import LABELS

SAMPLES = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")


@pytest.fixture
def curves(tiny):
    """Normal curves and faults; some end in rests."""
    return Curves.concat(tiny)


def by_key(curves, *, part_of):
    """A part of each curve, in order of its key, time from zero."""
    found = {}
    for i, rows in enumerate(curves.slices()):
        part = curves.timeseries[part_of(curves, rows)].select(SAMPLES)
        key = curves.halfcycles.select(KEYS).row(i)
        found[key] = part.with_columns(pl.col("step_time_second") - pl.col("step_time_second").first())
    return found


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_tables_come_back(curves, kind):
    if kind == "pandas":
        pytest.importorskip("pandas")
    out, back = (getattr(fc, f"{way}_{kind}") for way in ("to", "from"))
    again = back(*out(curves))
    assert_frame_equal(again.timeseries, curves.timeseries)
    assert_frame_equal(again.halfcycles, curves.halfcycles)


def test_tables_of_pandas_may_have_their_keys_as_index_and_are_checked(curves):
    pytest.importorskip("pandas")
    timeseries, halfcycles = fc.to_pandas(curves)
    again = fc.from_pandas(timeseries.set_index(list(KEYS)), halfcycles.set_index(list(KEYS)))
    assert_frame_equal(again.halfcycles, curves.halfcycles)
    bare = fc.from_pandas(timeseries, halfcycles.drop(columns=list(SEVERITY)))  # it is measured then
    np.testing.assert_allclose(bare.known("peak_deviation_volt"), curves.known("peak_deviation_volt"))
    with pytest.raises(DataError, match="the tables: timeseries, column voltage_volt: found none of that name"):
        fc.from_pandas(timeseries.rename(columns={"voltage_volt": "U"}), halfcycles)


def test_without_pandas_it_says_what_to_install(curves, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "faultcell\[pandas\]"'):
        fc.to_pandas(curves)


def test_an_array_holds_what_is_under_load(curves):
    X, y = fc.to_numpy3d(curves, length=50)
    assert X.shape == (len(curves), 3, 50)
    assert y.tolist() == curves.halfcycles["label"].to_list()
    for i, part in enumerate(by_key(curves, part_of=loaded_part).values()):
        np.testing.assert_allclose(X[i][:, [0, -1]].T, part[[0, -1]].select(SAMPLES[1:]).to_numpy())
    assert (X[curves.halfcycles["step_type"].to_numpy() == "charge", 1] > 0).all()
    volts, _ = fc.to_numpy3d(curves, length=50, channels=["voltage_volt"])
    np.testing.assert_array_equal(volts[:, 0], X[:, 0])


def test_an_array_feeds_the_sampler_and_unknown_channels_are_refused(curves):
    X, y = fc.to_numpy3d(curves.select(step_type=["discharge"]), length=32)
    found, labels = fc.FaultAugmenter(steps=2, finetune_steps=2, width=8, random_state=0).fit_resample(X, y)
    assert found.shape == (48, 3, 32)
    assert np.unique(labels, return_counts=True)[1].tolist() == [24, 24]
    for wrong in ({"length": 1}, {"channels": ["strain"]}, {"channels": ["cell_id"]}):
        with pytest.raises(ConditionError, match="a length of 2 or more and channels among cycle_count, step_time_second"):
            fc.to_numpy3d(curves, **wrong)


def test_a_curve_without_a_load_is_named(curves):
    idle = Curves(curves.timeseries.with_columns(current_ampere=pl.lit(0.0)), curves.halfcycles)
    with pytest.raises(DataError, match="cell N0, cycle 1, step charge: found no sample under load"):
        fc.to_numpy3d(idle)


@pytest.mark.parametrize("suffix", [".bdf.csv", ".bdf.parquet"])
@pytest.mark.parametrize("names", ["preferred", "machine"])
def test_battery_data_files_come_back_as_the_same_curves(curves, tmp_path, suffix, names):
    files = fc.to_bdf(curves, tmp_path / "bdf", suffix=suffix, names=names)
    assert [path.name for path in files] == [cell + suffix for cell in curves.cells]
    again, notes = ingest(files)
    assert notes == []
    before, after = (by_key(which, part_of=lambda _, rows: rows) for which in (curves, again))
    assert set(before) == set(after)
    for key, part in before.items():
        assert_frame_equal(part, after[key], check_exact=False, abs_tol=1e-9)
    columns = [*KEYS, "label", *SEVERITY, "nominal_capacity_ah", "lower_voltage_limit_volt", "ambient_temperature_celsius"]
    one, other = (which.halfcycles.select(columns).sort(KEYS) for which in (curves, again))
    assert_frame_equal(one, other)
    assert_frame_equal(
        curves.halfcycles.select(*KEYS, "state_of_health").sort(KEYS),
        again.halfcycles.select(*KEYS, "state_of_health").sort(KEYS),
    )


def test_long_rests_other_steps_and_single_samples_come_back_too(curves, tmp_path):
    pulsed, single, idle = curves.take([1]), curves.take([3]), curves.take([5])
    still = pl.int_range(pl.len()).is_between(20, 40)
    halves = idle.halfcycles.with_columns(step_type=pl.lit("rest"))
    odd = Curves.concat(
        [
            Curves(pulsed.timeseries.with_columns(current_ampere=pl.when(still).then(0.0).otherwise(-2.0)), pulsed.halfcycles),
            Curves(single.timeseries[:1], single.halfcycles.with_columns(upper_voltage_limit_volt=4.25)),
            Curves(idle.timeseries.with_columns(step_type=pl.lit("rest")), halves),
        ]
    )
    again, _ = ingest(fc.to_bdf(odd, tmp_path / "bdf"))
    assert_frame_equal(again.timeseries, odd.timeseries, abs_tol=1e-9)
    columns = [*KEYS, "label", "upper_voltage_limit_volt", *SEVERITY]
    assert_frame_equal(again.halfcycles.select(columns), odd.halfcycles.select(columns))


def test_steps_of_another_program_are_no_half_cycles(curves, tmp_path):
    (path,) = fc.to_bdf(curves.select(cells=["N0"]), tmp_path / "bdf", suffix=".bdf.csv")
    own, _ = ingest([path])
    table = pl.read_csv(path)
    for name, changed in {
        "vendor": table.with_columns(step_type=pl.lit("CC_Chg")),
        "bare": table.drop("label", "step_type"),
    }.items():
        other = tmp_path / f"{name}.bdf.csv"
        changed.write_csv(other)
        again, _ = ingest([other])
        assert again.halfcycles.select(KEYS).rows() == own.halfcycles.select(KEYS).rows()


def test_time_rises_through_a_file_and_its_names_are_those_of_the_format(curves, tmp_path):
    for path in fc.to_bdf(curves, tmp_path / "bdf"):
        table = pl.read_csv(path)
        assert list(LABELS.values()) == table.columns[: len(LABELS)]
        assert (table["Test Time / s"].diff().drop_nulls() > 0).all()
        assert table["Cycle Count / 1"].is_sorted()
        own = table.filter(pl.col("Current / A") != 0)
        assert ((own["Current / A"] > 0) == (own["step_type"] == "charge")).all()
    machine = pl.read_csv(fc.to_bdf(curves, tmp_path / "machine", names="machine")[0])
    assert machine.columns[: len(LABELS)] == list(LABELS)


OTHER = """
import sys, bdf
for path in sys.argv[1:]:
    table = bdf.read(path, validate=True)
    print(len(table), table["Voltage / V"].sum(), table["Current / A"].sum(), bdf.validate(path)["ok"])
"""


@pytest.mark.parametrize("suffix", [".bdf.csv", ".bdf.parquet"])
@pytest.mark.parametrize("names", ["preferred", "machine"])
def test_the_reader_of_the_format_opens_them(curves, tmp_path, suffix, names):
    # The package brings some fifty others: it has an environment of its own.
    other = os.environ.get("FAULTCELL_BDF_PYTHON")
    if other is None:
        pytest.skip("FAULTCELL_BDF_PYTHON does not name a Python with batterydf")
    files = fc.to_bdf(curves, tmp_path / "bdf", suffix=suffix, names=names)
    done = subprocess.run([other, "-c", OTHER, *map(str, files)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.endswith("True")]
    assert len(lines) == len(files)
    for cell, (rows, volt, ampere, _) in zip(curves.cells, lines, strict=True):
        own = curves.timeseries.filter(pl.col("cell_id") == cell)
        assert int(rows) == own.height
        assert float(volt) == pytest.approx(own["voltage_volt"].sum())
        assert float(ampere) == pytest.approx(own["current_ampere"].sum())


def test_what_was_drawn_stays_marked(tuned, tmp_path):
    drawn = tuned.draw(fc.grid("overdischarge", peak_deviation_volt=(0.3, 0.6), c_rate=0.8), seeds=[1, 2])
    again, _ = ingest(fc.to_bdf(drawn, tmp_path / "bdf"))
    assert again.has_generated
    for name in ("synthetic", "seed", "model_sha256"):
        assert again.halfcycles[name].to_list() == drawn.halfcycles[name].to_list()


def test_cells_and_folders_that_cannot_be_told_apart_are_refused(curves, tmp_path):
    twins = Curves.concat(
        Curves(*(table.with_columns(cell_id=pl.lit(name)) for table in (part.timeseries, part.halfcycles)))
        for part, name in ((curves.take([0]), "a/b"), (curves.take([1]), "a:b"))
    )
    with pytest.raises(DataError, match="the same as file names"):
        fc.to_bdf(twins, tmp_path / "twins")
    (tmp_path / "mine.bdf.csv").write_text("kept")
    with pytest.raises(DataError, match=r"found mine\.bdf\.csv in it"):
        fc.to_bdf(curves, tmp_path)
    assert (tmp_path / "mine.bdf.csv").read_text() == "kept"
    with pytest.raises(ConditionError, match=r"found '\.xlsx', 'preferred'"):
        fc.to_bdf(curves, tmp_path / "other", suffix=".xlsx")


class Solution(dict):
    """A discharge of 1 A, a rest and a charge in PyBaMM's words: + = discharge; steps share their instants."""

    def __init__(self):
        steps = [(0, 3600, 1.0, 4.1, 2.6), (3600, 4000, 0.0, 2.9, 3.0), (4000, 7600, -1.0, 3.1, 4.1)]
        time, current, volt = (
            np.concatenate([np.linspace(*pair, 50) for pair in pairs])
            for pairs in ([s[:2] for s in steps], [(s[2], s[2]) for s in steps], [s[3:] for s in steps])
        )
        values = {"Time [s]": time, "Current [A]": current, "Voltage [V]": volt}
        super().__init__({name: SimpleNamespace(entries=entries) for name, entries in values.items()})


def test_the_sign_of_pybamm_is_turned_and_its_steps_are_cut():
    curves = fc.from_pybamm(Solution(), lower=2.7, upper=4.2, cell_id="P1", ambient_temperature_celsius=25)
    assert curves.halfcycles.select(*KEYS, "label").rows() == [
        ("P1", 1, "discharge", "overdischarge"),
        ("P1", 2, "charge", "normal"),
    ]
    discharge, charge = (curves.timeseries[rows] for rows in curves.slices())
    assert discharge["current_ampere"].unique().to_list() == [-1.0]
    assert charge["current_ampere"].unique().to_list() == [1.0]
    assert charge["step_time_second"][0] == 0
    assert curves.known("peak_deviation_volt") == pytest.approx([0.1, 0.0])
    assert curves.known("nominal_capacity_ah") == pytest.approx([1.0, 1.0])
    assert curves.timeseries["surface_temperature_celsius"].is_nan().all()
    assert "pybamm" not in sys.modules or find_spec("pybamm")


def test_a_solution_of_something_else_is_told_so():
    broken = Solution()
    del broken["Voltage [V]"]
    with pytest.raises(DataError, match=r"found no variable 'Voltage \[V\]'"):
        fc.from_pybamm(broken, lower=2.7, upper=4.2)


def test_a_real_solution_of_pybamm(monkeypatch):
    monkeypatch.setenv("PYBAMM_DISABLE_TELEMETRY", "true")
    pybamm = pytest.importorskip("pybamm")
    experiment = pybamm.Experiment(["Discharge at 1C until 2.7 V", "Rest for 10 minutes", "Charge at C/2 until 4.15 V"])
    solution = pybamm.Simulation(pybamm.lithium_ion.SPM(), experiment=experiment).solve()
    curves = fc.from_pybamm(solution, lower=2.7, upper=4.2, nominal_capacity_ah=0.68)
    assert curves.halfcycles["step_type"].to_list() == ["discharge", "charge"]
    assert curves.labels == ["normal"]
    discharge, charge = (curves.timeseries[rows] for rows in curves.slices())
    assert discharge["voltage_volt"][-1] == pytest.approx(2.7, abs=0.01)
    assert (discharge["current_ampere"] < 0).all()
    assert (charge["current_ampere"] > 0).all()
    assert charge["voltage_volt"][-1] == pytest.approx(4.15, abs=0.01)
    assert discharge["surface_temperature_celsius"].mean() == pytest.approx(25, abs=1)
