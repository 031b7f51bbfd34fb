"""Files of every vendor: what is in them, asserted from the files themselves; small ones in the vendors' own layouts."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from faultcell.curves import KEYS, REST_C_RATE
from faultcell.curves.per_curve import charge_ah
from faultcell.errors import DataError
from faultcell.files import ingest, ingest_into, read
from faultcell.files.cyclers.detect import detect
from faultcell.files.cyclers.time_units import seconds
from recorded import LIMITS, real
from samples import (
    LAYOUTS,
    arbin,
    as_rows,
    cells_of_a_repository,
    chinese,
    day_first,
    labview,
    maccor,
    minutes_with_a_stop,
    numbered_rows,
    plain,
    recording,
    sampled,
    segments,
    units_below,
    workbook,
)


def moved_ah(curves):
    """Charge moved in each curve, Ah."""
    time, current = curves.column("step_time_second"), curves.column("current_ampere")
    return charge_ah(time, current, curves.offsets[:-1], curves.offsets[1:])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_is_the_same_recording(tmp_path, layout):
    """Told by content: the file's name says nothing."""
    table = sampled()
    names = {"voltage_volt": "voltage_volt", "current_ampere": "current_ampere", "test_time_second": "test_time_second"}
    table.select(*names, cycle_count="cycle").write_csv(tmp_path / "cell.csv")
    expected, _ = ingest([tmp_path / "cell.csv"], **LIMITS)
    (tmp_path / "cell.dat").write_text(layout(table), encoding="utf-8", newline="")
    reader, _ = detect(tmp_path / "cell.dat")
    found, notes = ingest([tmp_path / "cell.dat"], **LIMITS)
    assert reader.name.startswith(LAYOUTS[layout])
    assert_frame_equal(found.halfcycles, expected.halfcycles, abs_tol=1e-3)
    assert_frame_equal(found.timeseries, expected.timeseries, abs_tol=2e-3)
    told = {plain: "discharge", labview: "charge", cells_of_a_repository: "charge"}.get(layout)
    taken = [note for note in notes if "+ is taken as" in note]
    assert len(taken) == (told is not None)
    assert told is None or f"+ is taken as {told} (4 of 4 half-cycles)" in taken[0]


@pytest.mark.parametrize("layout", [units_below, minutes_with_a_stop, segments, day_first, numbered_rows, chinese])
@pytest.mark.parametrize("pieces", [False, True])
def test_what_misleads_does_not(tmp_path, monkeypatch, layout, pieces):
    table = sampled()
    table.select("test_time_second", "voltage_volt", "current_ampere", cycle_count="cycle").write_csv(tmp_path / "cell.csv")
    expected, _ = ingest([tmp_path / "cell.csv"], **LIMITS, nominal_capacity_ah=2.0)
    (tmp_path / "cell.dat").write_text(layout(table), encoding="utf-8", newline="")
    if pieces:
        monkeypatch.setattr("faultcell.files.cyclers.tables.PIECE_ROWS", 100)
        ingest_into([tmp_path / "cell.dat"], tmp_path / "set", config={}, **LIMITS, nominal_capacity_ah=2.0)
        found = read(tmp_path / "set")
    else:
        found, _ = ingest([tmp_path / "cell.dat"], **LIMITS, nominal_capacity_ah=2.0)
    assert len(found) == 4
    assert moved_ah(found) == pytest.approx(moved_ah(expected), rel=0.01)
    assert found.halfcycles["step_type"].to_list() == ["charge", "discharge"] * 2


def test_braking_within_a_discharge_stays(tmp_path):
    table = sampled()
    rows = pl.int_range(pl.len())
    current = pl.when(rows.is_between(150, 155)).then(1.0).otherwise("current_ampere")
    words = pl.col("state").replace_strict({"C": "charge", "D": "discharge", "R": "rest"})
    names = {"test_time_second": "time [s]", "voltage_volt": "U [V]", "current_ampere": "I [A]", "state": "step type"}
    table.with_columns(current, state=words).select(*names, "cycle").rename(names).write_csv(tmp_path / "x.csv")
    assert (table["state"][150:156] == "D").all()
    found, _ = ingest([tmp_path / "x.csv"], **LIMITS)
    assert found.timeseries["current_ampere"].max() >= 1.0


def test_names_of_cells_stay_as_they_are_written(tmp_path):
    table = pl.concat([sampled().with_columns(cell_id=pl.lit(name)) for name in ("007", "1e3")])
    names = {"test_time_second": "Test_Time(s)", "cycle": "Cycle_Index", "current_ampere": "Current(A)"}
    arbin_like = table.select(*names, pl.col("voltage_volt").alias("Voltage(V)"), "cell_id").rename(names)
    arbin_like.write_csv(tmp_path / "x.csv")
    assert ingest([tmp_path / "x.csv"], **LIMITS)[0].cells == ["007", "1e3"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_file_in_another_encoding_is_the_same(tmp_path, encoding):
    text = arbin(sampled()).replace("Cycle_Index", "Temperature (°C)_1")
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    (tmp_path / "y.csv").write_text(text, encoding=encoding)
    expected, found = (ingest([tmp_path / f"{name}.csv"], **LIMITS)[0] for name in "xy")
    assert_frame_equal(found.timeseries.drop("cell_id"), expected.timeseries.drop("cell_id"))
    assert np.isfinite(found.column("surface_temperature_celsius")).all()


def test_a_workbook_is_read_sheet_by_sheet(tmp_path):
    table = pl.read_csv(arbin(sampled()).encode())
    workbook(tmp_path / "x.xlsx", {"Info": [["TEST REPORT"]], "Channel_1-008_1": as_rows(table[:300]),
                                   "Channel_1-008_2": as_rows(table[300:]), "Statistics": as_rows(table[:3])})  # fmt: skip
    (tmp_path / "y").mkdir()
    table.write_csv(tmp_path / "y" / "x.csv")
    expected, _ = ingest([tmp_path / "y" / "x.csv"], **LIMITS)
    found, _ = ingest([tmp_path / "x.xlsx"], **LIMITS)
    assert_frame_equal(found.timeseries, expected.timeseries, abs_tol=1e-9)


def test_the_last_row_may_break_off(tmp_path):
    text = maccor(sampled())
    (tmp_path / "x.txt").write_text(text[: text.rindex("\t2.8\tR") + 1])
    found = ingest_into([tmp_path / "x.txt"], tmp_path / "set", config={}, **LIMITS, nominal_capacity_ah=2.0)
    assert len(found.halfcycles) == 4
    assert any("the last row breaks off and is left out" in note for note in found.notes)


@pytest.mark.parametrize("sign", [1, -1])
def test_words_of_the_steps_go_before_signs(tmp_path, sign):
    table = sampled().with_columns(sign * pl.col("current_ampere"), state=pl.col("state").replace_strict(
        {"C": "CC charge", "D": "CC discharge", "R": "rest"}))  # fmt: skip
    names = {"test_time_second": "time [s]", "voltage_volt": "U [V]", "current_ampere": "I [A]", "state": "step type"}
    table.select(*names).rename(names).write_csv(tmp_path / "x.csv")
    found, _ = ingest([tmp_path / "x.csv"], **LIMITS)
    assert found.halfcycles["step_type"].to_list() == ["charge", "discharge"] * 2
    assert found.column("voltage_volt")[0] < found.column("voltage_volt")[119]


def test_currents_without_a_sign_are_refused(tmp_path):
    text = arbin(sampled().with_columns(pl.col("current_ampere").abs()))
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(
        DataError, match=r"column current_ampere: found a voltage that moves against the current in 2 of 2 half"
    ):
        ingest([tmp_path / "x.csv"], **LIMITS)


def test_a_charge_that_pauses_is_one_where_cycles_are_numbered(tmp_path):
    table = sampled().with_columns(
        pl.when(pl.int_range(pl.len()).is_between(50, 60)).then(0.0).otherwise("current_ampere").alias("current_ampere")
    )
    (tmp_path / "x.csv").write_text(arbin(table))
    found, notes = ingest([tmp_path / "x.csv"], **LIMITS)
    assert found.halfcycles.select("cycle_count", "step_type").rows()[:2] == [(1, "charge"), (1, "discharge")]
    assert [rows.stop - rows.start for rows in found.slices()] == [120] * 4
    assert not any("left out" in note for note in notes)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["0:00:05", "27:55:41", "100:00:00.5"], [5.0, 100541.0, 360000.5]),
        (["0-00:00:05", "1d 01:00:00"], [5.0, 90000.0]),
        (["2026-03-01 00:00:00", "2026-03-01 00:01:00.250"], [0.0, 60.25]),
        (["01/31/2026 10:00:00", "02/01/2026 10:00:00"], [0.0, 86400.0]),
        (["31.01.2026 10:00:00", "01.02.2026 10:00:00"], [0.0, 86400.0]),
        (["03/02/2026 23:00:00", "04/02/2026 01:00:00"], [0.0, 7200.0]),
        (["1.5", "2.5"], [1.5, 2.5]),
        ([1, 2], [1.0, 2.0]),
    ],
)  # fmt: skip
def test_times_are_seconds(values, expected):
    found = seconds(pl.Series(values))
    shift = found[0] - expected[0] if isinstance(values[0], str) and values[0].count("/") + values[0].count("-0") > 1 else 0
    assert (found - found[0]).to_list() == pytest.approx([value - expected[0] for value in expected])
    assert shift >= 0


# --- what users say of their files


MAPPING = """
positive = "discharge"
decimal = ","
skip = 1
[columns]
time = { column = "t", unit = "h" }
voltage = { column = "Klemmenspannung", unit = "mV" }
current = "Laststrom"
cycle = "n"
"""


def test_a_mapping_says_which_column_is_which(tmp_path):
    table = sampled()
    own = table.select((pl.col("test_time_second") / 3600).alias("t"), (1000 * pl.col("voltage_volt")).alias("Klemmenspannung"),
                       (-pl.col("current_ampere")).alias("Laststrom"), n="cycle")  # fmt: skip
    (tmp_path / "x.txt").write_text("made by me\n" + own.write_csv(separator=";").replace(".", ","))
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "x.csv").write_text(arbin(table))
    expected, _ = ingest([tmp_path / "y" / "x.csv"], **LIMITS)
    found, _ = ingest([tmp_path / "x.txt"], mapping=tmp_path / "map.toml", **LIMITS)
    assert_frame_equal(found.timeseries, expected.timeseries, abs_tol=1e-6)
    with pytest.raises(DataError, match=r"column voltage_volt, current_ampere: found only t, .*--mapping"):
        ingest([tmp_path / "x.txt"], **LIMITS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("n = ", "n == "), "found no TOML"),
        (('"h"', '"fortnight"'), r"columns.time: found the unit 'fortnight', expected one of s, sec"),
        (("cycle = ", "zyklus = "), r"columns.zyklus: found n"),
        (('"Laststrom"', '"Strom"'), r"column Strom: found only t, Klemmenspannung, Laststrom, n"),
    ],
)
def test_a_wrong_mapping_is_one_sentence(tmp_path, change, words):
    own = sampled().select(t="test_time_second", Klemmenspannung="voltage_volt", Laststrom="current_ampere", n="cycle")
    (tmp_path / "x.txt").write_text("made by me\n" + own.write_csv(separator=";").replace(".", ","))
    text = MAPPING.replace("cycle = ", "n = ") if change[0] == "n = " else MAPPING
    (tmp_path / "map.toml").write_text(text.replace(*change))
    with pytest.raises(DataError, match=words):
        ingest([tmp_path / "x.txt"], mapping=tmp_path / "map.toml", **LIMITS)


def test_a_cell_file_gives_rated_values_also_of_some_cells(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(arbin(sampled()))
    (tmp_path / "cells.toml").write_text("lower = 2.7\nupper = 4.2\nnominal_capacity_ah = 2.0\n[cells.two]\nlower = 2.9\n")
    found, _ = ingest([tmp_path / "one.csv", tmp_path / "two.csv"], cell_file=tmp_path / "cells.toml", upper=4.1)
    table = found.halfcycles.group_by("cell_id", maintain_order=True).first()
    assert table["lower_voltage_limit_volt"].to_list() == [2.7, 2.9]
    assert table["upper_voltage_limit_volt"].to_list() == [4.1, 4.1]
    assert table["nominal_capacity_ah"].to_list() == [2.0, 2.0]
    (tmp_path / "cells.toml").write_text("lower = -1\n")
    with pytest.raises(DataError, match=r"cells.toml: lower: found -1"):
        ingest([tmp_path / "one.csv"], cell_file=tmp_path / "cells.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x01\x00\x00Standard Jet DB\x00", r"an Arbin .res database.*export the test as CSV or XLSX"),
        (b"BIO-LOGIC MODULAR FILE\x1a", r"a BioLogic .mpr file.*EC-Lab"),
        (b"PK\x03\x04nothing", r"a zip archive.*unpack"),
        (b"\x7fELF\x00\x01", "a file of unknown kind"),
        (b"", "an empty file"),
        (
            b"Cycle Index,Chg. Cap.(Ah)\n,Step Index\n,,DataPoint,Total Time,Current(A),Voltage(V)\n1,0.0\n",
            "no row below the header",
        ),
        (
            b"LabVIEW Measurement\t\nDescription\tColumns are: time, current, voltage, power\n***End_of_Header***\t\n"
            b"X_Value\tUntitled\n0.0\t1.0\n",
            "only time, current",
        ),
        (b"PAR1 and then nothing", "a damaged table"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(tmp_path, content, words):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"x.csv: (column voltage_volt: )?found {words}"):
        ingest([tmp_path / "x.csv"])


def test_a_damaged_workbook_is_one_sentence(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<broken")
    with pytest.raises(DataError, match=r"x.xlsx: found a damaged workbook"):
        ingest([tmp_path / "x.xlsx"])


def test_the_report_says_what_was_found(tmp_path):
    (tmp_path / "x.txt").write_text(maccor(sampled()))
    found = ingest_into([tmp_path / "x.txt"], tmp_path / "set", config={"verb": "ingest"}, **LIMITS)
    (file,) = found.files
    assert (file.format, file.rows, file.samples, file.curves) == ("Maccor text", sampled().height, 480, 4)
    assert (file.cells, file.cycles) == (("x",), (1, 2))
    assert file.volts == pytest.approx((2.8, 4.1))
    assert file.amperes == pytest.approx((-2.0, 2.0))
    written = json.loads((tmp_path / "set" / "config.json").read_text())
    assert written["intake"]["files"][0]["curves"] == 4
    assert written["intake"]["notes"] == found.notes


# --- real files


def read_real(name, **limits):
    file = real(f"raw/{name}")
    curves, notes = ingest([file], **limits)
    return curves, notes, file


def keys(curves):
    return curves.halfcycles.select("cycle_count", "step_type").rows()


def both(count):
    return [(cycle, step) for cycle in range(1, count + 1) for step in ("charge", "discharge")]


def test_real_bdf_file_has_the_capacity_of_its_own_column():
    curves, notes, file = read_real("SINTEF*Landt.bdf.csv", lower=0.01, upper=1.5)
    raw = pl.read_csv(file, infer_schema_length=None)
    assert keys(curves) == [(1, "discharge"), (2, "charge"), (2, "discharge")]
    # The file gives the current of some 0.18 mA in tenths of a milliampere.
    assert moved_ah(curves)[0] == pytest.approx(raw.filter(step_index=2)["discharging_capacity_ah"].max(), rel=0.15)
    assert curves.cells == [file.name.removesuffix(".bdf.csv")]
    with pytest.raises(DataError, match="add --lower VOLT --upper VOLT to the command"):
        ingest([file])
    assert any("nominal capacity not given" in note for note in notes)


def test_real_arbin_csv_has_the_capacities_of_its_own_columns():
    curves, _, file = read_real("arbin_example.csv", lower=2.0, upper=3.6)
    raw = pl.read_csv(file, infer_schema_length=None).group_by("Cycle_Index", maintain_order=True)
    named = raw.agg(
        (pl.col(f"{kind}_Capacity").last() - pl.col(f"{kind}_Capacity").first()) for kind in ("Charge", "Discharge")
    )
    assert keys(curves) == both(2)
    assert moved_ah(curves) == pytest.approx(np.array(named.drop("Cycle_Index").rows()).ravel(), rel=0.01)
    assert curves.known("nominal_capacity_ah")[0] == pytest.approx(1.073, abs=1e-3)


def test_real_arbin_workbook_has_the_capacities_of_its_own_columns():
    curves, _, file = read_real("calce_arbin*.xlsx", lower=2.7, upper=4.2)
    raw = pl.read_excel(file, sheet_name="Channel_1-008", infer_schema_length=None).group_by("Cycle_Index", maintain_order=True)
    total = raw.agg((pl.col(f"{kind}_Capacity(Ah)").max()) for kind in ("Charge", "Discharge")).drop("Cycle_Index")
    named = np.diff(np.vstack([[0.0, 0.0], total.to_numpy()]), axis=0)
    assert keys(curves) == both(50)
    assert moved_ah(curves) == pytest.approx(named.ravel(), rel=0.015)  # the vendor sums between samples, too


def test_real_batteryarchive_sample_is_the_beginning_of_a_charge():
    curves, notes, file = read_real("batteryarchive*.csv", lower=2.7, upper=4.2)
    assert keys(curves) == [(1, "charge")]
    last = pl.read_csv(file)["Charge_Capacity (Ah)"].max()
    assert moved_ah(curves)[0] == pytest.approx(last, abs=0.006)  # its first sample is 30 s after the charge began
    assert any("fewer than 50 samples" in note for note in notes)


def test_real_neware_report_has_the_capacities_of_its_cycles():
    curves, _, file = read_real("neware_export.csv", lower=3.9, upper=4.7)
    named = [line.split(",")[1:3] for line in file.read_text(errors="replace").splitlines() if line[:1].isdigit()]
    assert keys(curves) == both(20)
    assert moved_ah(curves) == pytest.approx(np.array(named, dtype=float).ravel(), rel=0.02)
    assert curves.known("nominal_capacity_ah")[0] == pytest.approx(0.3317, rel=0.01)


@pytest.mark.parametrize(("name", "step"), [("neware_M50T.ndax", "CC_DChg"), ("neware_TestFile.nda", "CC_DChg")])
def test_real_neware_binary_has_the_capacities_of_its_steps(name, step):
    fastnda = pytest.importorskip("fastnda")
    curves, _, file = read_real(name, lower=2.5, upper=4.2)
    steps = fastnda.read(str(file)).group_by("cycle_count", "step_count", maintain_order=True)
    table = steps.agg(pl.col("step_type").first().cast(pl.String), pl.col("capacity_mAh").last().cast(pl.Float64))
    for word, kind in (("DChg", "discharge"), ("_Chg", "charge")):
        part = table.filter(pl.col("step_type").str.contains(word)).group_by("cycle_count", maintain_order=True)
        mine = (curves.halfcycles["step_type"] == kind).to_numpy()
        assert moved_ah(curves)[mine] == pytest.approx(
            part.agg(pl.col("capacity_mAh").sum().abs())["capacity_mAh"].to_numpy() / 1000, rel=5e-3
        )
    assert step in table["step_type"].to_list()


def test_real_labview_file_is_one_charge():
    curves, notes, _ = read_real("labview_30Q_D1*.lvm", lower=2.5, upper=4.2)
    assert keys(curves) == [(1, "charge")]
    assert curves.column("step_time_second")[-1] == pytest.approx(3747.2, abs=0.1)
    assert 2.4 < moved_ah(curves)[0] < 3.0  # a 3 Ah cell, from 3.0 V on
    assert any("+ is taken as charge (1 of 1" in note for note in notes)


def test_real_labview_file_without_names_takes_a_mapping(tmp_path):
    file = real("raw/labview_30Q_D2*.lvm")
    with pytest.raises(DataError, match=r"no column that is known by its name \(it begins with '880551.*--mapping"):
        ingest([file])
    (tmp_path / "map.toml").write_text(
        "names = false\n[columns]\ntime = 1\ncurrent = 2\nvoltage = 3\nsurface_temperature = 4\n"
    )
    curves, _ = ingest([file], mapping=tmp_path / "map.toml", lower=2.5, upper=4.2)
    assert keys(curves) == [(1, "charge")]
    assert 2.5 < moved_ah(curves)[0] < 3.2
    assert 24 < np.nanmean(curves.column("surface_temperature_celsius")) < 30


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("arbin*.res", r"an Arbin .res database.*export the test as CSV or XLSX"),
        ("maccor_two.txt", r"column current_ampere: found no load in 213 rows .*export a test in which the cell is charged"),
        ("pec_Test25209.csv", r"column current_ampere: found no load in 281 rows .*export a test in which the cell is charged"),
        ("ornl*.xlsx", r"no column that is known by its name \(it begins with 'Column1 Column2.*--mapping"),
    ],
)
def test_real_files_without_a_cycle_are_refused_with_a_remedy(name, words):
    with pytest.raises(DataError, match=words):
        ingest([real(f"raw/{name}")], lower=2.7, upper=4.2)


def test_real_nasa_file_is_known_by_its_content(tmp_path):
    content = real("raw/nasa_B0029.mat").read_bytes()
    (tmp_path / "anything").write_bytes(content)
    curves, _ = ingest([tmp_path / "anything"])
    assert curves.halfcycles.group_by("step_type").len().sort("step_type").rows() == [("charge", 40), ("discharge", 40)]
    assert set(REST_C_RATE) == {"charge", "discharge"}
    assert curves.halfcycles.select(KEYS).is_unique().all()


def test_limits_of_another_cell_are_asked_about(tmp_path):
    recording(low=3.4, high=4.7).write_csv(tmp_path / "cell.bdf.csv")
    known = {"lower": 2.5, "nominal_capacity_ah": 2.0}
    _, notes = ingest([tmp_path / "cell.bdf.csv"], upper=3.6, **known)
    assert any(
        "every charge goes beyond the upper limit of 3.6 V: is that the rated limit of this cell?" in note for note in notes
    )
    _, notes = ingest([tmp_path / "cell.bdf.csv"], upper=4.8, **known)
    assert any("no charge goes more than 0.05 V above the upper limit" in note for note in notes)


def test_a_laboratory_half_cell_is_read(tmp_path):
    low, small = (pl.col("voltage_volt") - 2.79) * 2, pl.col("current_ampere") * 1.5e-4
    recording().with_columns(voltage_volt=low, current_ampere=small).write_csv(tmp_path / "half.bdf.csv")
    for known in ({}, {"nominal_capacity_ah": 0.003}):
        curves, _ = ingest([tmp_path / "half.bdf.csv"], lower=0.005, upper=3.0, **known)
        assert len(curves) == 4
        assert abs(curves.column("current_ampere")).max() == pytest.approx(3e-4)


@pytest.mark.parametrize("name", ["Cyc#", "Cycle C"])
def test_numbers_of_cycles_part_what_no_rest_parts(tmp_path, name):
    half = recording(cycles=1).filter(pl.col("current_ampere") < 0)
    rows = [(number, r) for number in (4, 5) for r in half.iter_rows(named=True)]
    lines = [
        f"{i}\t{number}\t1\t{10 * i}\t{-r['current_ampere']}\t{r['voltage_volt']}\tD" for i, (number, r) in enumerate(rows)
    ]
    head = f"Today's Date\t01/02/2026\nRec#\t{name}\tStep\tTest (Sec)\tAmps\tVolts\tState"
    (tmp_path / "cell.txt").write_text("\n".join([head, *lines]) + "\n")
    curves, _ = ingest([tmp_path / "cell.txt"], **LIMITS, nominal_capacity_ah=2.0)
    assert curves.halfcycles["cycle_count"].to_list() == [4, 5]
