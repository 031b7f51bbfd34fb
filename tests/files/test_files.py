"""Files in and out: what is written comes back, what is wrong is said in one sentence, nothing is half-written."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from faultcell.curves import KEYS, SEVERITY, Curves
from faultcell.errors import DataError
from faultcell.files import ingest, ingest_into, read, write, write_blocks
from faultcell.files.bounded import _child, sandbox
from faultcell.files.curve_set import TABLES, read_checked
from faultcell.files.cyclers import ingest as intakes
from faultcell.files.cyclers import tables as readable
from faultcell.files.cyclers.detect import detect
from faultcell.files.cyclers.reader import CycleCounter
from faultcell.files.cyclers.segment import Recording
from faultcell.files.cyclers.vendors import nasa
from faultcell.files.durable import swap
from faultcell.files.durable.atomic import whole_folder, write_text
from faultcell.files.durable.swap import neighbour, tidy
from faultcell.files.validate import check, conform
from recorded import LIMITS, ROOT, real, save
from samples import mat_file, recording


def curve_table(cell="A1", *, cycle=1, step="discharge", samples=60):
    """A 1C half-cycle of a 2 Ah cell, in numbers that float32 holds."""
    part = np.linspace(0, 1, samples)
    falling = step == "discharge"
    values = {
        "step_time_second": 3600 * part,
        "voltage_volt": 4.1 - 1.3 * part if falling else 2.9 + 1.25 * part,
        "current_ampere": np.full(samples, -2.0 if falling else 2.0),
        "surface_temperature_celsius": 25 + 5 * part,
    }
    return pl.DataFrame({"cell_id": cell, "cycle_count": cycle, "step_type": step}).join(
        pl.DataFrame({name: column.astype(np.float32).astype(float) for name, column in values.items()}), how="cross"
    )


def tables(cells=("A1", "B2"), cycles=2):
    keys = [(cell, cycle, step) for cell in cells for cycle in range(1, cycles + 1) for step in ("charge", "discharge")]
    halfcycles = pl.DataFrame(keys, schema=list(KEYS), orient="row").with_columns(
        label=pl.lit("normal"),
        lower_voltage_limit_volt=2.7,
        upper_voltage_limit_volt=4.2,
        ambient_temperature_celsius=24.0,
        nominal_capacity_ah=2.0,
        colour=pl.lit("blue"),
    )
    return pl.concat([curve_table(cell, cycle=cycle, step=step) for cell, cycle, step in keys]), halfcycles


def curve_set(**kwargs):
    return conform(*tables(**kwargs), where="made here")


def put(folder, timeseries, halfcycles):
    folder.mkdir(parents=True, exist_ok=True)
    timeseries.write_parquet(folder / "timeseries.parquet")
    halfcycles.write_parquet(folder / "halfcycles.parquet")
    return folder


# --- round trip


def test_what_is_written_comes_back(tmp_path):
    curves = curve_set()
    write(curves, tmp_path / "set", config={"seed": 7, "out": tmp_path})
    again = read(tmp_path / "set")
    assert_frame_equal(again.timeseries, curves.timeseries)
    assert_frame_equal(again.halfcycles.select(curves.halfcycles.columns), curves.halfcycles)
    assert set(SEVERITY) <= set(again.halfcycles.columns)  # what the set does not carry is measured on reading
    assert json.loads((tmp_path / "set" / "config.json").read_text()) == {"seed": 7, "out": str(tmp_path)}


def test_storage_is_narrow_but_keeps_the_millisecond(tmp_path):
    curves = curve_set()
    write(curves, tmp_path / "short")
    stored = pl.read_parquet(tmp_path / "short" / "timeseries.parquet").schema
    assert stored["voltage_volt"] == stored["step_time_second"] == pl.Float32
    late = Curves(curves.timeseries.with_columns(pl.col("step_time_second") + 1e6 + 0.001), curves.halfcycles)
    write(late, tmp_path / "late")
    assert_frame_equal(
        read(tmp_path / "late").timeseries.select("step_time_second"), late.timeseries.select("step_time_second")
    )


def test_further_columns_pass_and_absent_temperature_is_nan(tmp_path):
    timeseries, halfcycles = tables()
    folder = put(tmp_path / "set", timeseries.drop("surface_temperature_celsius").with_columns(strain=1.5), halfcycles)
    curves, notes = read_checked(folder)
    assert curves.timeseries["surface_temperature_celsius"].is_nan().all()
    assert curves.timeseries["strain"].unique().to_list() == [1.5]
    assert curves.halfcycles["colour"].unique().to_list() == ["blue"]
    assert any("surface_temperature_celsius is missing throughout" in note for note in notes)


def test_samples_are_put_in_the_order_of_the_curves(tmp_path):
    timeseries, halfcycles = tables()
    folder = put(tmp_path / "set", timeseries, halfcycles.reverse())
    curves = read(folder)
    assert curves.timeseries["cell_id"][0] == "B2"
    first = next(curves.slices())
    assert curves.timeseries[first].select(KEYS).unique().rows() == [halfcycles.reverse().select(KEYS).row(0)]


def test_interleaved_samples_are_no_error(tmp_path):
    timeseries, halfcycles = tables()
    mixed = timeseries.sort("step_time_second", maintain_order=True)
    assert_frame_equal(
        read(put(tmp_path / "set", mixed, halfcycles)).timeseries, conform(timeseries, halfcycles, where="").timeseries
    )


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(names, min_size=1, max_size=3, unique=True),
    cycles=st.integers(1, 3),
    volts=st.lists(st.floats(0, 5, width=32), min_size=60, max_size=60),
)
def test_any_sound_set_comes_back_equal(tmp_path, cells, cycles, volts):
    timeseries, halfcycles = tables(cells=tuple(cells), cycles=cycles)
    timeseries = timeseries.with_columns(voltage_volt=pl.Series(np.tile(volts, len(halfcycles))))
    curves = conform(timeseries, halfcycles, where="made here")
    write(curves, tmp_path / "set")
    assert_frame_equal(read(tmp_path / "set").timeseries, curves.timeseries)


# --- errors: one sentence each

row5 = pl.int_range(pl.len()) == 5


def at_row5(column, value):
    return lambda ts, hc: (ts.with_columns(pl.when(row5).then(value).otherwise(pl.col(column)).alias(column)), hc)


def scaled(column, factor, cells=("A1", "B2")):
    inside = pl.col("cell_id").is_in(cells)
    factors = pl.when(inside).then(factor).otherwise(1.0)
    return lambda ts, hc: (ts.with_columns((factors * pl.col(column)).alias(column)), hc)


def in_halfcycles(**values):
    return lambda ts, hc: (ts, hc.with_columns(**values))


def lit(value):
    return pl.lit(value, dtype=pl.Float64)


WRONG = {
    "missing columns": (
        lambda ts, hc: (ts.drop("voltage_volt", "current_ampere"), hc),
        ["voltage_volt, current_ampere"],
    ),
    "missing limit": (
        lambda ts, hc: (ts, hc.drop("upper_voltage_limit_volt", "label")),
        ["label, upper_voltage_limit_volt"],
    ),
    "no curves": (lambda ts, hc: (ts, hc.clear()), ["halfcycles", "no row"]),
    "no samples": (lambda ts, hc: (ts.clear(), hc), ["timeseries", "no row"]),
    "null time": (at_row5("step_time_second", lit(None)), ["row 5", "A1, cycle 1, charge", "step_time_second"]),
    "NaN voltage": (at_row5("voltage_volt", lit(float("nan"))), ["row 5", "voltage_volt", "nan"]),
    "infinite current": (at_row5("current_ampere", lit(float("inf"))), ["row 5", "current_ampere", "inf"]),
    "time backwards": (
        at_row5("step_time_second", lit(7.0)),
        ["row 5", "A1, cycle 1, charge", "7 s after", "backwards"],
    ),
    "discharge positive": (scaled("current_ampere", -1.0), ["current_ampere", "+ = charge", "sign"]),
    "voltage in mV": (scaled("voltage_volt", 1000.0), ["voltage_volt", "divide millivolt by 1000"]),
    "one cell in mV": (scaled("voltage_volt", 1000.0, cells=["B2"]), ["voltage_volt", "cell B2", "mixed units"]),
    "one reading in mV": (at_row5("voltage_volt", lit(3700.0)), ["row 5", "voltage_volt", "3700 V"]),
    "current in mA": (scaled("current_ampere", 1000.0), ["current_ampere", "milliampere"]),
    "one cell in mA": (scaled("current_ampere", 1000.0, cells=["B2"]), ["current_ampere", "cell B2", "mixed units"]),
    "slow current in mA": (scaled("current_ampere", 50.0), ["current_ampere", "milliampere", "Ah moved"]),
    "time in ms": (scaled("step_time_second", 1000.0), ["step_time_second", "milliseconds"]),
    "time in h": (scaled("step_time_second", 1 / 3600), ["step_time_second", "hours by 3600"]),
    "time in min": (scaled("step_time_second", 1 / 60), ["step_time_second", "minutes by 60"]),
    "capacity in mAh": (in_halfcycles(nominal_capacity_ah=lit(2000.0)), ["nominal_capacity_ah", "milliampere-hours"]),
    "limits in mV": (
        in_halfcycles(lower_voltage_limit_volt=lit(2700.0), upper_voltage_limit_volt=lit(4200.0)),
        ["upper_voltage_limit_volt", "4200 V"],
    ),
    "limits turned": (
        in_halfcycles(lower_voltage_limit_volt=lit(4.3)),
        ["halfcycles row 0", "lower_voltage_limit_volt"],
    ),
    "limit unknown": (in_halfcycles(upper_voltage_limit_volt=lit(None)), ["upper_voltage_limit_volt", "data sheet"]),
    "capacity unknown": (
        in_halfcycles(nominal_capacity_ah=lit(float("nan"))),
        ["nominal_capacity_ah", "rated capacity"],
    ),
    "capacity zero": (in_halfcycles(nominal_capacity_ah=lit(0.0)), ["nominal_capacity_ah", "above 0 Ah"]),
    "doubled key": (lambda ts, hc: (ts, pl.concat([hc, hc[:1]])), ["cell_id, cycle_count, step_type", "once"]),
    "curve without samples": (
        lambda ts, hc: (ts.filter(pl.col("cell_id") != "B2"), hc),
        ["B2, cycle 1, charge", "no sample"],
    ),
    "unknown step": (
        in_halfcycles(step_type=pl.lit("formation")),
        ["step_type", "formation", "charge, discharge, rest, field"],
    ),
    "no label": (in_halfcycles(label=pl.lit(None, dtype=pl.String)), ["label", "nothing"]),
    "cycle of 2 pi": (in_halfcycles(cycle_count=lit(6.283185)), ["cycle_count", "6.283185", "whole numbers"]),
    "text for a number": (
        lambda ts, hc: (ts.with_columns(voltage_volt=pl.when(row5).then(pl.lit("OL")).otherwise(pl.lit("3.7"))), hc),
        ["row 5", "voltage_volt", "OL", "a number"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, name):
    change, words = WRONG[name]
    folder = put(tmp_path / "set", *change(*tables()))
    with pytest.raises(DataError) as caught:
        read(folder)
    said = str(caught.value)
    assert said.startswith(str(folder)), said
    assert "\n" not in said
    assert all(part in said for part in ["found", "expected", *words]), said


def test_the_same_set_unchanged_has_no_error_and_no_suspicion(tmp_path):
    assert read_checked(put(tmp_path / "set", *tables()))[1] == []


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("fewer than 50 samples", lambda ts, hc: (ts.gather_every(2), hc)),
        ("samples belong to no row", lambda ts, hc: (ts, hc[:-1])),
        ("readings more than 0.3 V above", at_row5("voltage_volt", lit(4.6))),
        ("quality is not ok in 8 curves (dubious)", in_halfcycles(quality=pl.lit("dubious"))),
        ("a gap of more than 120 s", lambda ts, hc: (ts.filter(~pl.int_range(pl.len()).is_between(5, 20)), hc)),
        (
            "repeated time stamps",
            lambda ts, hc: (ts.with_columns(pl.col("step_time_second").clip(upper_bound=3000.0)), hc),
        ),
        ("ambient_temperature_celsius is missing", lambda ts, hc: (ts, hc.drop("ambient_temperature_celsius"))),
        ("no sample under load", scaled("current_ampere", 0.0, cells=["B2"])),
    ],
)
def test_what_is_odd_is_a_suspicion(tmp_path, words, change):
    notes = read_checked(put(tmp_path / "set", *change(*tables())))[1]
    assert any(words in note and note.startswith(str(tmp_path)) for note in notes), notes


def test_drawn_curves_may_break_the_physics(tmp_path):
    timeseries, halfcycles = scaled("current_ampere", -1.0)(*tables())
    notes = check(conform(timeseries, halfcycles.with_columns(synthetic=True), where="s"), where="s")
    assert any("wrong sign" in note for note in notes)


def test_rest_and_field_curves_need_neither_capacity_nor_limits():
    timeseries, halfcycles = tables(cycles=1)
    as_field = pl.when(pl.col("step_type") == "charge").then(pl.lit("rest")).otherwise(pl.lit("field"))
    unknown = {name: lit(None) for name in ("nominal_capacity_ah", "lower_voltage_limit_volt")}
    curves = conform(
        timeseries.with_columns(step_type=as_field), halfcycles.with_columns(step_type=as_field, **unknown), where="s"
    )
    assert check(curves, where="s") == []


def test_missing_folder_and_missing_table(tmp_path):
    with pytest.raises(DataError, match=r"timeseries.parquet: found no such file"):
        read(tmp_path / "nowhere")
    write(curve_set(), tmp_path / "set")
    (tmp_path / "set" / "halfcycles.parquet").unlink()
    with pytest.raises(DataError, match=r"halfcycles.parquet: found no such file"):
        read(tmp_path / "set")


# --- damage


def page_of(file, column):
    meta = pq.ParquetFile(file).metadata.row_group(0)
    part = next(meta.column(i) for i in range(meta.num_columns) if meta.column(i).path_in_schema == column)
    return part.data_page_offset + part.total_compressed_size // 2


@pytest.mark.parametrize("shift", [0, 3, 11])
def test_a_flipped_byte_in_a_page_is_caught(tmp_path, shift):
    write(curve_set(), tmp_path / "set")
    file = tmp_path / "set" / "timeseries.parquet"
    content = bytearray(file.read_bytes())
    content[page_of(file, "voltage_volt") + shift] ^= 0x10
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"timeseries.parquet: found a damaged table"):
        read(tmp_path / "set")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_cut_off_table_is_caught(tmp_path, share):
    write(curve_set(), tmp_path / "set")
    file = tmp_path / "set" / "timeseries.parquet"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DataError, match=r"timeseries.parquet: found a damaged table"):
        read(tmp_path / "set")


# --- whole or not at all


def half_written(folder, error):
    with whole_folder(folder, replaces=("halfcycles.parquet", "timeseries.parquet", "config.json")) as temporary:
        (temporary / "half").write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failed_block_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)):
        half_written(tmp_path / "out", error)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_block_keeps_the_earlier_result(tmp_path):
    write(curve_set(), tmp_path / "set", config={"run": 1})
    with pytest.raises(RuntimeError):
        half_written(tmp_path / "set", RuntimeError("stop"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]
    assert len(read(tmp_path / "set")) == 8


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("faultcell.files.curve_set.pq.ParquetWriter.write_table", full)
    with pytest.raises(DataError, match=r"set: could not be written \(No space left on device\)"):
        write(curve_set(), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_the_whole_set_and_each_is_written_before_the_next_is_asked_for(tmp_path):
    curves = curve_set(cycles=4)
    blocks = [curves.take(range(i, i + 2)) for i in range(0, len(curves), 2)]
    asked = []

    def coming():
        for i, block in enumerate(blocks):
            asked.append(i)
            yield block
            if i > 2:
                draft = next(entry for entry in tmp_path.iterdir() if entry.name.endswith(".partial"))
                assert (draft / TABLES[0]).stat().st_size > 0

    write_blocks(coming(), tmp_path / "blocks")
    write(curves, tmp_path / "whole")
    assert asked == list(range(len(blocks)))
    one, other = (read(tmp_path / name) for name in ("blocks", "whole"))
    assert_frame_equal(one.timeseries, other.timeseries)
    assert_frame_equal(one.halfcycles, other.halfcycles)


def test_a_block_without_curves_does_not_end_the_set(tmp_path):
    curves = curve_set()
    write_blocks([curves.take([]), curves.take([0]), curves.take([]), curves.take([1])], tmp_path / "set")
    assert len(read(tmp_path / "set")) == 2


def test_no_block_at_all_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="found no curve to write"):
        write_blocks([], tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_swap_puts_the_earlier_result_back(tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "_exchange", lambda *_: False)  # as where the system knows no exchange in one step
    write(curve_set(), tmp_path / "set")
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(DataError, match="could not be written"):
        write(curve_set(cycles=1), tmp_path / "set")
    monkeypatch.undo()
    assert len(read(tmp_path / "set")) == 8
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def test_what_killed_processes_left_is_cleared_away_and_what_is_at_work_is_not(tmp_path):
    write(curve_set(), tmp_path / "set")
    os.rename(tmp_path / "set", tmp_path / ".set.00000000.earlier")  # killed between the two steps of a swap
    (tmp_path / ".set.11111111.partial").mkdir()
    (tmp_path / ".set.notes").write_text("mine")
    with neighbour(tmp_path / "set", folder=True) as at_work:
        assert len(read(tmp_path / "set")) == 8
        tidy(tmp_path / "set")
        assert at_work.exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".set.notes", "set"]


def test_an_earlier_curve_set_is_replaced_and_nothing_else_is(tmp_path):
    write(curve_set(), tmp_path / "set", config={"run": 1})
    write(curve_set(cycles=1), tmp_path / "set")
    assert len(read(tmp_path / "set")) == 4
    assert sorted(os.listdir(tmp_path / "set")) == ["halfcycles.parquet", "timeseries.parquet"]
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"set: found notes.txt in it"):
        write(curve_set(), tmp_path / "set")
    assert (tmp_path / "set" / "notes.txt").read_text() == "mine"
    with pytest.raises(DataError, match="found a file, expected a folder"):
        write(curve_set(), tmp_path / "set" / "notes.txt")
    with pytest.raises(DataError, match="could not be written"):
        write(curve_set(), tmp_path / "set" / "notes.txt" / "below")


def test_write_text_is_whole_or_not_at_all(tmp_path, monkeypatch):
    assert write_text(tmp_path / "new" / "scores.json", "1").read_text() == "1"

    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DataError, match="No space left on device"):
        write_text(tmp_path / "new" / "scores.json", "22")
    assert [(entry.name, entry.read_text()) for entry in (tmp_path / "new").iterdir()] == [("scores.json", "1")]


def test_importing_files_does_not_import_scipy():
    code = "import sys, faultcell.files; sys.exit('scipy' in sys.modules)"
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False).returncode == 0


# --- recordings


def instead_of_row5(value):
    return pl.when(row5).then(pl.lit(value)).otherwise("voltage_volt").alias("voltage_volt")


def test_a_recording_is_cut_into_half_cycles(tmp_path):
    curves, notes = ingest([save(recording(), tmp_path / "C7.bdf.csv")], **LIMITS)
    assert curves.halfcycles.select(KEYS).rows() == [
        ("C7", 1, "charge"), ("C7", 1, "discharge"), ("C7", 2, "charge"), ("C7", 2, "discharge"),
    ]  # fmt: skip
    assert [rows.stop - rows.start for rows in curves.slices()] == [360] * 4
    assert curves.timeseries.group_by(KEYS).agg(pl.col("step_time_second").min())["step_time_second"].unique().to_list() == [
        0.0
    ]
    assert curves.halfcycles["nominal_capacity_ah"].to_list() == pytest.approx([2.0] * 4, rel=0.01)
    assert any("nominal capacity not given" in note for note in notes)
    assert any("no labels" in note for note in notes)
    assert curves.halfcycles["peak_deviation_volt"].to_list() == [0.0] * 4


@pytest.mark.parametrize("ending", ["csv", "bdf.parquet"])
def test_preferred_labels_and_units_are_the_same_recording(tmp_path, ending):
    plain = recording()
    labelled = plain.select(
        (pl.col("test_time_second") / 3600).alias("Test Time / h"),
        (pl.col("voltage_volt") * 1000).alias("Voltage / mV"),
        (pl.col("current_ampere") * 1000).alias("Current / mA"),
    )
    target = tmp_path / f"x.{ending}"
    labelled.write_csv(target) if ending == "csv" else labelled.write_parquet(target)
    expected, _ = ingest([save(plain, tmp_path / "x.bdf.csv")], **LIMITS)
    found, _ = ingest([target], **LIMITS)
    assert_frame_equal(found.timeseries, expected.timeseries, abs_tol=1e-6)


def test_limits_and_label_of_a_recording(tmp_path):
    deep = save(recording(low=2.3, high=4.5), tmp_path / "deep.csv")
    with pytest.raises(DataError, match=r"lower_voltage_limit_volt.*add --lower VOLT --upper VOLT to the command"):
        ingest([deep])
    with pytest.raises(DataError, match=r"add --upper VOLT to the command"):
        ingest([deep], lower=2.7)
    curves, notes = ingest([deep], **LIMITS, nominal_capacity_ah=2.0)
    assert curves.halfcycles["label"].to_list() == ["overcharge", "overdischarge"] * 2
    assert any("2 labelled overcharge" in note for note in notes)
    assert curves.halfcycles["peak_deviation_volt"].to_list() == pytest.approx([0.3, 0.4] * 2, abs=1e-6)
    assert curves.halfcycles["repetition_count"].to_list() == [1, 1, 2, 2]


def test_limits_in_the_file_are_enough(tmp_path):
    table = recording().with_columns(lower_voltage_limit_volt=2.7, upper_voltage_limit_volt=4.2, nominal_capacity_ah=2.0)
    curves, notes = ingest([save(table, tmp_path / "x.csv")])
    assert curves.known("upper_voltage_limit_volt").tolist() == [4.2] * 4
    assert not any("nominal capacity" in note for note in notes)


def test_given_cycles_and_cells_are_kept(tmp_path):
    half = recording(cycles=1).with_columns(cycle_count=17, cell_id=pl.lit("one"))
    other = recording(cycles=1).with_columns(cycle_count=3, cell_id=pl.lit("two"))
    curves, _ = ingest([save(pl.concat([half, other]), tmp_path / "x.csv")], **LIMITS)
    assert curves.halfcycles.select("cell_id", "cycle_count").unique(maintain_order=True).rows() == [
        ("one", 17),
        ("two", 3),
    ]


@pytest.mark.parametrize(("rest", "curves"), [(40.0, 1), (200.0, 2)])
def test_only_a_long_rest_ends_a_half_cycle(tmp_path, rest, curves):
    time_, current = np.arange(0, 3600, 10.0), np.full(360, -2.0)
    current[(time_ >= 1000) & (time_ < 1000 + rest)] = 0
    table = {"test_time_second": time_, "voltage_volt": np.linspace(4.1, 2.8, 360), "current_ampere": current}
    found, _ = ingest([save(pl.DataFrame(table), tmp_path / "x.csv")], **LIMITS, nominal_capacity_ah=2.0)
    assert len(found) == curves
    assert found.halfcycles["cycle_count"].to_list() == list(range(1, curves + 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.with_columns(cycle_count=6.283185307), ["column cycle_count", "6.283185", "whole numbers"]),
        (lambda t: t.with_columns(pl.col("current_ampere") * -1), ["column current_ampere", "+ = charge", "sign"]),
        (lambda t: t.drop("voltage_volt"), ["column voltage_volt", "'voltage_volt' or 'Voltage / V'"]),
        (lambda t: t.rename({"voltage_volt": "Voltage / kV"}), ["Voltage / kV", "unit 'kV'"]),
        (lambda t: t.reverse(), ["row 1", "column time", "backwards"]),
        (lambda t: t.with_columns(current_ampere=0.0), ["column current_ampere", "no load"]),
        (lambda t: t.with_columns(instead_of_row5(None)), ["row 5", "voltage_volt", "nothing"]),
        (lambda t: t.cast(pl.String).with_columns(instead_of_row5("OL")), ["row 5", "voltage_volt", "'OL'"]),
        (lambda t: t.clear(), ["no row below the header"]),
    ],
)  # fmt: skip
def test_a_wrong_recording_is_one_sentence(tmp_path, change, words):
    file = save(change(recording()), tmp_path / "x.csv")
    with pytest.raises(DataError) as caught:
        ingest([file], **LIMITS)
    assert str(caught.value).startswith(str(file))
    assert all(word in str(caught.value) for word in ["found", "expected", *words]), caught.value


@given(st.lists(st.sampled_from(["charge", "discharge"]), max_size=40))
def test_counted_cycles_hold_each_step_once_and_never_go_back(steps):
    counter = CycleCounter()
    numbers = [counter.number(step) for step in steps]
    assert len(set(zip(numbers, steps, strict=True))) == len(steps)
    assert numbers == sorted(numbers)
    assert not numbers or set(numbers) == set(range(1, numbers[-1] + 1))


# --- dispatch


def test_ingest_puts_several_together(tmp_path):
    write(curve_set(), tmp_path / "set")
    file = save(recording(), tmp_path / "x.csv")
    curves, notes = ingest([tmp_path / "set", file], **LIMITS)
    assert curves.cells == ["A1", "B2", "x"]
    assert np.isfinite(curves.known("peak_deviation_volt")).all()
    assert any("not used, a curve set carries its own" in note for note in notes)
    with pytest.raises(DataError, match=r"cell A1, cycle 1, charge: found the same curve"):
        ingest([tmp_path / "set", tmp_path / "set"])


def test_severity_that_is_there_is_taken_as_given(tmp_path):
    timeseries, halfcycles = tables()
    folder = put(tmp_path / "set", timeseries, halfcycles.with_columns(repetition_count=lit(9.0)))
    assert ingest([folder])[0].halfcycles["repetition_count"].unique().to_list() == [9.0]


def test_unknown_files_name_the_known_formats(tmp_path):
    (tmp_path / "a.xyz").write_text("?")
    with pytest.raises(
        DataError,
        match=r"a.xyz: found no column that is known by its name.*\.mat.*BDF.*curve-set folder.*--mapping",
    ):
        ingest([tmp_path / "a.xyz"])
    with pytest.raises(DataError, match=r"gone.csv: found no such file"):
        ingest([tmp_path / "gone.csv"])
    with pytest.raises(DataError, match=r"a.xyz: found no column"):
        ingest([tmp_path])
    (tmp_path / "a.xyz").rename(tmp_path / "README.md")
    with pytest.raises(DataError, match=r"neither timeseries.parquet nor halfcycles.parquet nor recordings"):
        ingest([tmp_path])
    with pytest.raises(DataError, match="found no path"):
        ingest([])
    with pytest.raises(DataError, match=r"--lower, --upper: found 4.2 V and 2.7 V"):
        ingest([tmp_path], lower=4.2, upper=2.7)


def test_a_folder_of_recordings_is_each_of_them(tmp_path):
    for name in ("B2", "A1"):
        recording().write_csv(tmp_path / f"{name}.bdf.csv")
    (tmp_path / "README.md").write_text("two cells")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "readme.txt").write_text("two cells")
    (tmp_path / "older").mkdir()
    curves, notes = ingest([tmp_path], lower=2.7, upper=4.2, nominal_capacity_ah=2.0)
    assert list(curves.cells) == ["A1", "B2"]
    assert any("left out are README.md, readme.txt, which are no recordings" in note for note in notes)
    assert any("not looked into are older/" in note for note in notes)


# --- NASA .mat


def test_a_mat_file_is_read_in_a_child(tmp_path):
    curves, notes = ingest([mat_file(tmp_path / "any.mat")])
    assert curves.halfcycles.select(*KEYS, "label").rows() == [
        ("B9999", 1, "charge", "normal"),
        ("B9999", 1, "discharge", "overdischarge"),
    ]
    assert curves.known("nominal_capacity_ah").tolist() == [2.0, 2.0]
    assert curves.known("capacity_ah").tolist() == [1.9, 1.9]
    assert any("estimated as 2.05 V" in note for note in notes)


def drop_time(cycles):
    del cycles[0]["data"]["Time"]


def shorten(cycles):
    cycles[0]["data"]["Time"] = cycles[0]["data"]["Time"][:-1]


@pytest.mark.parametrize(("broken", "words"), [(drop_time, "'Time' is missing"), (shorten, "different lengths")])
def test_a_mat_file_of_another_shape_is_one_sentence(tmp_path, broken, words):
    file = mat_file(tmp_path / "other.mat", broken=broken)
    with pytest.raises(DataError, match=rf"other.mat: found a damaged or different file \(.*{words}.*\), expected"):
        ingest([file])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_cut_off_mat_file_is_one_sentence(tmp_path, share):
    whole = mat_file(tmp_path / "whole.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"cut.mat: found (a damaged or different|an empty) file"):
        ingest([tmp_path / "cut.mat"])


def test_a_child_that_does_not_end_is_killed(tmp_path, monkeypatch):
    endless = tmp_path / "endless.py"
    endless.write_text("while True: pass\n")
    monkeypatch.setattr(_child, "__file__", str(endless))
    monkeypatch.setattr(nasa, "ALLOWANCE", sandbox.Allowance(2**29, 0, 0.125, 0))
    with pytest.raises(DataError, match=r"x.mat: .*did not end in 0.5 s"):
        ingest([mat_file(tmp_path / "x.mat")])


@pytest.mark.skipif(os.name == "nt", reason="memory limits are POSIX")
def test_a_child_that_wants_all_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(nasa, "ALLOWANCE", sandbox.Allowance(2**26, 0, 6, 0))
    with pytest.raises(DataError, match=r"x.mat: found a damaged or different file"):
        ingest([mat_file(tmp_path / "x.mat")])


def test_files_ingested_one_by_one_are_the_same_set(tmp_path):
    """Also where a cell goes on in a second file: its faults are counted over both."""
    table = recording(low=2.3, high=4.1)
    later = table.with_columns(pl.col("test_time_second") + 1e6)
    for name, part, cycle in (("a", table, 0), ("b", table, 0), ("c", later, 5)):
        cell = "A" if name != "b" else "B"
        numbers = pl.col("test_time_second").rank("ordinal") // 780 + 1 + cycle
        save(part.with_columns(cell_id=pl.lit(cell), cycle_count=numbers.cast(pl.Int64)), tmp_path / f"{name}.csv")
    paths, told = [tmp_path / f"{name}.csv" for name in "abc"], []
    expected, notes = ingest(paths, **LIMITS)
    intake = ingest_into(paths, tmp_path / "set", config={}, **LIMITS, on_file=lambda n, m: told.append((n, m)))
    table = intake.halfcycles
    assert intake.notes == notes
    assert sorted(told) == [(1, 3), (2, 3), (3, 3)]
    assert_frame_equal(table, expected.halfcycles)
    assert table.filter(cell_id="A", step_type="discharge")["repetition_count"].max() >= 4
    back = read(tmp_path / "set")
    assert_frame_equal(back.halfcycles, expected.halfcycles)
    assert back.column("voltage_volt") == pytest.approx(expected.column("voltage_volt"), abs=1e-6)
    with pytest.raises(DataError, match=r"c.csv.*the same curve as in .*c.csv"):
        ingest_into([paths[2], paths[2]], tmp_path / "twice", config={}, **LIMITS)
    assert not (tmp_path / "twice").exists()


def test_files_that_other_processes_read_are_the_same_set(tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.csv" for name in "abcd"]
    for n, path in enumerate(paths):
        save(recording(low=2.3 + 0.2 * n).with_columns(cell_id=pl.lit(path.stem)), path)
    (tmp_path / "e.csv").write_text("nothing\nof use\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(intakes, "WORTH_BYTE", 1)
    monkeypatch.setattr(intakes, "LARGE_BYTE", paths[0].stat().st_size)  # the first one is read here
    names = [Path(path.name) for path in paths]
    found = {n: ingest_into(names, tmp_path / f"set{n}", config={}, workers=n, **LIMITS) for n in (1, 2)}
    assert found[1].notes == found[2].notes
    assert found[1].files == found[2].files
    for table in ("timeseries", "halfcycles"):
        assert (tmp_path / f"set1/{table}.parquet").read_bytes() == (tmp_path / f"set2/{table}.parquet").read_bytes()
    with pytest.raises(DataError, match=r"d.csv.*the same curve as in .*d.csv"):
        ingest_into([*names, names[3]], tmp_path / "twice", config={}, workers=2, **LIMITS)
    with pytest.raises(DataError, match=r"e\.csv"):
        ingest_into([*names, Path("e.csv")], tmp_path / "none", config={}, workers=2, **LIMITS)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("given", [(), ("cycle_count",), ("cycle_count", "cell_id")])
@pytest.mark.parametrize("rows", [97, 500, 5000])
def test_a_file_read_in_pieces_is_the_same_set(tmp_path, monkeypatch, ending, given, rows):
    table = recording(cycles=6, low=2.3).with_columns(
        cycle_count=(pl.int_range(pl.len()) - 30) // 780 + 1, cell_id=pl.lit("A"), surface_temperature_celsius=pl.lit(25.0)
    )
    table = pl.concat([table, table.with_columns(cell_id=pl.lit("B"))]) if "cell_id" in given else table
    table = table.select("test_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius", *given)
    file = tmp_path / f"x.{ending}"
    table.write_csv(file) if ending == "csv" else table.write_parquet(file)
    expected, notes = ingest([file], **LIMITS, nominal_capacity_ah=2.0)
    pieces = watch_pieces(monkeypatch, rows)
    found = ingest_into([file], tmp_path / "set", config={}, **LIMITS, nominal_capacity_ah=2.0)
    back = read(tmp_path / "set")
    assert len(pieces) >= table.height / rows / 2
    assert sorted(found.notes) == sorted(notes)
    assert len(back) == (24 if "cell_id" in given else 12)
    assert_frame_equal(found.halfcycles, expected.halfcycles)
    assert_frame_equal(back.halfcycles, expected.halfcycles)
    assert_frame_equal(back.timeseries, expected.timeseries, abs_tol=1e-6)


def watch_pieces(monkeypatch, rows):
    monkeypatch.setattr(readable, "PIECE_ROWS", rows)
    seen, add = [], Recording.add
    monkeypatch.setattr(Recording, "add", lambda self, table: (seen.append(table.height), add(self, table))[1])
    return seen


@pytest.mark.parametrize(
    ("change", "stated"),
    [
        (lambda t: t, {}),  # no capacity: it is the largest one in the file
        (lambda t: t.with_columns(cycle_count=pl.int_range(pl.len()) // 780 % 3), {"nominal_capacity_ah": 2.0}),
        (lambda t: t.with_columns(pl.when(pl.int_range(pl.len()) > 4000).then(pl.col("voltage_volt").cast(pl.String))
                                  .otherwise(pl.lit("3")).alias("voltage_volt")), {"nominal_capacity_ah": 2.0}),
    ],
)  # fmt: skip
def test_a_file_that_pieces_do_not_tell_is_read_whole(tmp_path, monkeypatch, change, stated):
    file = save(change(recording(cycles=6)), tmp_path / "x.csv")
    expected, notes = ingest([file], **LIMITS, **stated)
    monkeypatch.setattr(readable, "INFERRED_ROWS", 100)
    pieces = watch_pieces(monkeypatch, 500)
    found = ingest_into([file], tmp_path / "set", config={}, **LIMITS, **stated)
    assert found.notes == notes
    assert recording(cycles=6).height in pieces
    assert_frame_equal(found.halfcycles, expected.halfcycles)


def test_a_wrong_row_of_a_later_piece_is_named_by_its_place_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(readable, "PIECE_ROWS", 500)
    broken = pl.int_range(pl.len()) == 1900
    wrong = recording(cycles=6).with_columns(pl.when(~broken).then("voltage_volt").alias("voltage_volt"))
    back = recording(cycles=6).with_columns(pl.when(broken).then(0.0).otherwise("test_time_second").alias("test_time_second"))
    for table, place in ((wrong, "row 1900, column voltage_volt"), (back, "row 1900, column time")):
        with pytest.raises(DataError, match=place):
            ingest_into([save(table, tmp_path / "x.csv")], tmp_path / "set", config={}, **LIMITS, nominal_capacity_ah=2.0)


def test_types_that_the_first_rows_do_not_show_are_read_all_the_same(tmp_path, monkeypatch):
    table = recording().with_columns(pl.col("test_time_second").cast(pl.Int64) + pl.lit(0))
    text = save(table, tmp_path / "x.csv").read_text().splitlines()
    last = text[-1].split(",")
    (tmp_path / "x.csv").write_text("\n".join([*text[:-1], ",".join([f"{float(last[0]) + 0.5}", *last[1:]])]) + "\n")
    monkeypatch.setattr(readable, "INFERRED_ROWS", 20)
    reader, found = detect(tmp_path / "x.csv")
    assert found.load(reader.columns)["test_time_second"][-1] == float(last[0]) + 0.5
    assert len(ingest([tmp_path / "x.csv"], **LIMITS)[0]) == 4


# --- real files


@pytest.mark.parametrize("name", ["nasa_pcoe", "calce_cs2", "arts_30q", "ornl_indentation", "ev_field"])
def test_real_curve_sets_are_read(name):
    folder = real(name)
    curves = read(folder)
    rows = pl.read_parquet(folder / "halfcycles.parquet")
    further = [column for column in rows.columns if column not in SEVERITY]
    assert_frame_equal(curves.halfcycles.select(further), rows.select(further))
    given = rows["peak_deviation_volt"] if "peak_deviation_volt" in rows.columns else pl.Series([None] * len(rows))
    kept = given.is_not_null() & ~given.is_nan().fill_null(False) if given.dtype.is_float() else given.is_not_null()
    assert curves.halfcycles["peak_deviation_volt"].filter(kept).equals(given.filter(kept))
    assert (
        curves.offsets[-1]
        == curves.timeseries.height
        == pl.scan_parquet(folder / "timeseries.parquet").select(pl.len()).collect().item()
    )


def test_real_nasa_file_agrees_with_the_same_cell_of_the_set():
    curves, _ = ingest([real("raw/nasa_B0029.mat")])
    known = pl.read_parquet(real("nasa_pcoe") / "halfcycles.parquet").filter(cell_id="B0029")
    both = curves.halfcycles.join(known, on=KEYS, how="full", suffix="_known")
    assert len(curves) == len(known) == len(both) == 80
    assert (both["label"] == both["label_known"]).all()
    discharges = both.filter(step_type="discharge")
    assert discharges.height == 40
    assert (discharges["capacity_ah"] - discharges["capacity_ah_known"]).abs().max() < 1e-6
    outside = discharges.select("peak_deviation_volt", "peak_deviation_volt_known")
    assert (outside.to_series(0) - outside.to_series(1)).abs().max() < 1e-3


def test_real_nasa_end_voltages_are_estimated_right():
    """The rule of `nasa.curves` against the 26 cells whose end voltage is known."""
    known = pl.read_parquet(real("nasa_pcoe") / "halfcycles.parquet").filter(step_type="discharge")
    cells = known.group_by("cell_id").agg(pl.col("v_min_load").median(), pl.col("protocol_lower_volt").first())
    assert ((cells["v_min_load"] <= nasa.DEEP_END_VOLT) == (cells["protocol_lower_volt"] <= 2.2)).all()


def test_real_cut_off_nasa_file_is_one_sentence(tmp_path):
    content = real("raw/nasa_B0029.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut.mat: found a damaged or different file"):
        ingest([tmp_path / "cut.mat"])
