"""Sets of many parts: whole once their list stands, the same as in one piece, and readable by other tools as they are."""

import json
from functools import partial

import numpy as np
import polars as pl
import pytest

import faultcell as fc
from faultcell import files
from faultcell.augmentation import augment_into, draw_into
from faultcell.curves.curves import Curves
from faultcell.errors import DataError
from faultcell.files.curve_set import TABLES, is_curve_set
from faultcell.files.parts import InParts, read_parts, write_parts
from pieces import made, numbered

COUNT = 5


@pytest.fixture
def tally_of(tmp_path):
    folder = tmp_path / "tally"
    folder.mkdir()
    return folder


@pytest.fixture
def parts(tally_of, tiny):
    return InParts(partial(numbered, tally_of, tiny[0].take(range(6))), int, COUNT)


def write(parts, out, **more):
    return write_parts(parts, out, config={"what": "numbered"}, **more)


def test_it_is_read_as_any_set_and_a_part_at_a_time(parts, tmp_path, tiny):
    told = []
    listed = write(parts, tmp_path / "set", on_part=lambda n, m: told.append((n, m)))
    assert told == [(n, COUNT) for n in range(COUNT + 1)]
    there = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert there == ["config.json", "halfcycles", "parts.json", "timeseries"]
    whole = files.read(tmp_path / "set")
    assert len(whole) == listed.curves == 6 * 2 * COUNT
    assert listed.samples == whole.timeseries.height
    assert listed.told["made"] == {"times": COUNT}
    again = Curves.concat(list(read_parts(tmp_path / "set")))
    assert again.halfcycles["cell_id"].to_list() == whole.halfcycles["cell_id"].to_list()
    assert again.timeseries.equals(whole.timeseries)
    volts = tiny[0].take(range(6)).timeseries["voltage_volt"]
    assert np.allclose(whole.timeseries["voltage_volt"][: len(volts)], volts, atol=1e-6)


def test_what_was_stopped_goes_on_with_what_is_missing(parts, tally_of, tmp_path):
    (tally_of / "fail-3").touch()
    with pytest.raises(ValueError, match="part 3 fails"):
        write(parts, tmp_path / "set")
    with pytest.raises(DataError, match="3 parts of a set that is not whole"):
        files.read(tmp_path / "set")
    assert is_curve_set(tmp_path / "set")
    (tally_of / "fail-3").unlink()
    write(parts, tmp_path / "set")
    assert made(tally_of) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1}
    write(parts, tmp_path / "set")  # it is whole: nothing is left to do
    assert made(tally_of).total() == COUNT + 1


def test_shares_make_one_set_whichever_comes_last(parts, tmp_path):
    assert write(parts, tmp_path / "set", share=slice(3, 5)) is None
    assert write(parts, tmp_path / "set", share=slice(0, 3)).curves == 12 * COUNT
    write(parts, tmp_path / "other")
    for name in TABLES:
        table = name.removesuffix(".parquet")
        for path in (tmp_path / "other" / table).iterdir():
            assert path.read_bytes() == (tmp_path / "set" / table / path.name).read_bytes()
    assert (tmp_path / "set/parts.json").read_bytes() == (tmp_path / "other/parts.json").read_bytes()


def test_a_part_without_a_curve_is_none(parts, tally_of, tmp_path):
    (tally_of / "empty-0").touch()
    assert write(parts, tmp_path / "set").curves == 12 * (COUNT - 1)
    assert len(files.read(tmp_path / "set")) == 12 * (COUNT - 1)
    for index in range(COUNT):
        (tally_of / f"empty-{index}").touch()
    with pytest.raises(DataError, match="none of the parts has a curve"):
        write(parts, tmp_path / "none")


def test_what_else_is_there_is_not_replaced(parts, tmp_path):
    write(parts, tmp_path / "set")
    with pytest.raises(DataError, match="made from another what"):
        write_parts(parts, tmp_path / "set", config={"what": "others"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"found notes\.txt in it"):
        write(parts, tmp_path / "mine")
    with pytest.raises(DataError, match="found"):
        files.write(files.read(tmp_path / "set"), tmp_path / "set")


def damaged_byte(folder):
    path = folder / "timeseries/000001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def exchanged(folder):
    (folder / "halfcycles/000001.parquet").write_bytes((folder / "halfcycles/000002.parquet").read_bytes())


def missing(folder):
    (folder / "timeseries/000004.parquet").unlink()


def shortened(folder):
    path = folder / "parts.json"
    found = json.loads(path.read_text())
    found["parts"] = found["parts"][:-1]
    path.write_text(json.dumps(found))


def cut(folder):
    path = folder / "parts.json"
    path.write_bytes(path.read_bytes()[:-40])


def later(folder):
    path = folder / "parts.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))


@pytest.mark.parametrize("change", [damaged_byte, exchanged, missing, shortened, cut, later])
def test_what_was_changed_is_not_read(change, parts, tmp_path):
    write(parts, tmp_path / "set")
    change(tmp_path / "set")
    for reading in (files.read, lambda path: list(read_parts(path))):
        with pytest.raises(DataError):
            reading(tmp_path / "set")


def test_a_store_at_a_url_holds_the_same(parts, tmp_path):
    write(parts, tmp_path / "set")
    for url in (f"memory://{tmp_path.name}/set", f"local://{tmp_path}/by_url"):
        write(parts, url, share=slice(0, 2))
        assert write(parts, url).curves == 12 * COUNT
        assert files.read(url).timeseries.equals(files.read(tmp_path / "set").timeseries)
        with pytest.raises(DataError, match="made from another what"):
            write_parts(parts, url, config={"what": "others"})
    with pytest.raises(DataError, match=r"not known|could not be reached|needs a package"):
        write(parts, "nowhere://bucket/set")
    with pytest.raises(DataError, match="found no"):
        files.read("memory://nothing/there")


def test_other_tools_read_it_as_it_is(parts, tmp_path):
    duckdb = pytest.importorskip("duckdb")  # for Ray Data see tests/runtime/test_spread.py
    import pyarrow.dataset as ds

    listed = write(parts, tmp_path / "set")
    pattern = f"{tmp_path}/set/timeseries/*.parquet"
    expected = files.read(tmp_path / "set").timeseries["voltage_volt"].cast(pl.Float64).sum()
    total = "sum(voltage_volt::double)"
    rows, found = duckdb.sql(f"select count(*), {total} from read_parquet('{pattern}')").fetchall()[0]
    assert (rows, found) == (listed.samples, pytest.approx(expected))
    lazily = pl.scan_parquet(pattern).select(pl.len(), pl.col("voltage_volt").cast(pl.Float64).sum()).collect()
    assert lazily.row(0) == (listed.samples, pytest.approx(expected))
    assert ds.dataset(tmp_path / "set/timeseries").count_rows() == listed.samples


def test_faults_in_parts_are_those_in_one_piece(tuned, tiny, tmp_path):
    plan = tuned.plan(tiny[0], count=8, seed=4)
    whole = Curves.concat(list(tuned.gone_wrong(plan, seed=4, steps=2)))
    pictured = []
    how = {"seed": 4, "steps": 2, "workers": 2, "curves_in_part": 3}
    listed = augment_into(tuned, plan, tmp_path / "set", **how, picture=lambda first: pictured.append(first) or b"a picture")
    assert len(listed.parts) == 3
    same(files.read(tmp_path / "set"), whole)
    assert (tmp_path / "set/augment.png").read_bytes() == b"a picture"
    assert len(pictured[0]) == 3
    assert listed.told["labels"] == dict(whole.halfcycles["label"].value_counts().iter_rows())
    other = tuned.plan(tiny[0], count=8, seed=5)
    with pytest.raises(DataError, match="made from another"):
        augment_into(tuned, other, tmp_path / "set", seed=5, steps=2, curves_in_part=3)


def test_what_is_asked_for_in_parts_is_what_is_drawn_in_one_piece(tuned, tiny, tmp_path):
    asked = [*fc.conditions_of(tiny[1].select(label=["overdischarge"]))][:2] * 4  # of the same names, in several parts
    whole = tuned.draw(asked, range(8), steps=2)
    draw_into(tuned, asked, range(8), tmp_path / "set", steps=2, curves_in_part=3, share=slice(1, 3))
    draw_into(tuned, asked, range(8), tmp_path / "set", steps=2, curves_in_part=3)
    assert whole.halfcycles["cell_id"].n_unique() > 2
    same(files.read(tmp_path / "set"), whole)


def same(found, expected):
    keys = [name for name in expected.halfcycles.columns if expected.halfcycles[name].dtype != pl.Null]
    assert found.halfcycles.select(keys).equals(expected.halfcycles.select(keys))
    for name in ("voltage_volt", "current_ampere", "surface_temperature_celsius", "step_time_second"):
        one, other = (curves.timeseries[name].to_numpy().astype(np.float32) for curves in (found, expected))
        assert np.array_equal(one, other, equal_nan=True)


def test_the_command_draws_parts_and_shares_of_them(run, tuned, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("faultcell.generation.in_parts.PART", 3)
    tuned.save(tmp_path / "model")
    files.write(tiny[0], tmp_path / "normal")
    words = ("augment", tmp_path / "model", "--normal", tmp_path / "normal", "--count", 8, "--workers", 1, "--in-parts")
    first = run(*words, "--out", tmp_path / "set", "--part", "2/2")
    assert first.code == 0
    assert "part 2/2 of the set" in first.out
    second = run(*words, "--out", tmp_path / "set", "--json")
    assert json.loads(second.out)["curves"] == 8
    assert (tmp_path / "set/augment.png").is_file()
    run(*words[:-1], "--out", tmp_path / "whole")
    same(files.read(tmp_path / "set"), files.read(tmp_path / "whole"))
    sampled = run(
        *("sample", tmp_path / "model", "--fault", "overdischarge", "--peak-deviation-volt", 0.3, "--count", 7, "--steps", 2),
        *("--in-parts", "--workers", 1, "--out", "memory://sampled/set", "--json"),
    )
    assert json.loads(sampled.out)["curves"] == 7
    refused = run(*words[:-1], "--out", "s3://bucket/set")
    assert (refused.code, "give --in-parts" in refused.err) == (2, True)
