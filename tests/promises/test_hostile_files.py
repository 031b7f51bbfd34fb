"""Files made to do harm, and files of ten million rows: refused in one sentence or read, in less than a gigabyte."""

from __future__ import annotations

import hostile
import mutations
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from fuzz import MOST_BYTE, Case, Worker
from test_damaged_files import LOADERS, RATED, check

import samples
from faultcell.errors import FaultCellError
from faultcell.files.exchange import from_pandas, from_polars
from faultcell.simulate.from_pybamm import from_pybamm


@pytest.fixture(scope="module")
def worker():
    with Worker() as child:
        yield child


def files(folder, made, kind, *, loaders=LOADERS):
    path = folder / "hostile.dat"
    for name, content in made.items():
        path.write_bytes(content)
        for loader in loaders:
            yield Case(name, kind, loader, str(path), RATED)


def every(folder, *, large):
    loaders = LOADERS if large else LOADERS[1:]
    yield from files(folder, hostile.parquet_bombs(large=large), "Parquet bombs", loaders=loaders)
    yield from files(folder, hostile.workbook_bombs(large=large), "zip bombs and hostile workbooks", loaders=loaders)
    yield from files(folder, {"an .ndax of zeros": hostile.ndax_bomb(large=large)}, "zip bombs and hostile workbooks")
    yield from files(folder, hostile.text_bombs(large=large), "hostile text", loaders=loaders)


def test_hostile_files_in_a_sample(worker, tally, tmp_path):
    check(worker, tally, every(tmp_path, large=False))


@pytest.mark.long
def test_hostile_files_of_real_size(worker, tally, tmp_path):
    check(worker, tally, every(tmp_path, large=True))


# --- curve sets


def sets(folder, *, parts, flips, every):
    folder.mkdir()

    def put(tables):
        for name, table in tables.items():
            content = table if isinstance(table, bytes) else hostile.written(table)
            (folder / f"{name}.parquet").write_bytes(content)

    for n, (name, tables) in enumerate(hostile.wrong_columns()):
        if n % every == 0:
            put(tables)
            yield Case(name, "columns of other types", "curve_set", str(folder))
    sound = dict(zip(("timeseries", "halfcycles"), map(hostile.written, hostile.set_tables()), strict=True))
    for place, content in sound.items():
        for part in parts:
            put({**sound, place: mutations.truncated(content, part)})
            yield Case(f"{place} {part}/64", "truncations", "curve_set", str(folder))
        for seed in range(flips):
            put({**sound, place: mutations.flipped(content, seed)})
            yield Case(f"{place} flip {seed}", "byte flips", "curve_set", str(folder))
        put({**sound, place: hostile.claimed(content, 100_000)})
        yield Case(f"{place} a hundred thousand times", "Parquet bombs", "curve_set", str(folder))


def test_curve_sets_in_a_sample(worker, tally, tmp_path):
    check(worker, tally, sets(tmp_path / "set", parts=(0, 1, 33, 63), flips=12, every=7))


@pytest.mark.long
def test_curve_sets(worker, tally, tmp_path):
    check(worker, tally, sets(tmp_path / "set", parts=range(64), flips=300, every=1))


# --- what users say


TOML = {
    "deep": "x = " + "[" * 100_000,
    "deep and whole": "x = " + "[" * 5000 + "]" * 5000,
    "deep tables": "x = " + "{a = " * 5000,
    "many tables": "".join(f"[a.b{n}]\n" for n in range(100_000)),
    "huge": "# " + "x" * (2**26),
    "numbers for names": "lower = 'x'\n[columns]\ntime = 1.5\n",
    "infinite": "lower = inf\nupper = inf\nnominal_capacity_ah = inf\nskip = inf\n",
    "not a number": "lower = nan\nupper = nan\n",
    "many digits": f"lower = {'9' * 5000}\nskip = {'9' * 5000}\n",
    "negative": "lower = -1\nskip = -1\n",
    "skip without end": "skip = 9223372036854775807\n[columns]\ntime = 1\nvoltage = 2\ncurrent = 3\n",
    "column without end": f"[columns]\ntime = {2**62}\nvoltage = 2\ncurrent = 3\n",
    "separator of two bytes": "separator = 'ü'\n[columns]\ntime = 1\nvoltage = 2\ncurrent = 3\n",
    "separator that ends lines": 'separator = "\\n"\n[columns]\ntime = 1\nvoltage = 2\ncurrent = 3\n',
    "separator that quotes": "separator = '\"'\n[columns]\ntime = 1\nvoltage = 2\ncurrent = 3\n",
    "separator that is the decimal": "separator = ','\ndecimal = ','\n[columns]\ntime = 1\nvoltage = 2\ncurrent = 3\n",
    "a regular expression": "[columns]\ntime = '^(a+)+$'\nvoltage = '.*'\ncurrent = '*'\n",
    "the same column three times": "[columns]\ntime = 1\nvoltage = 1\ncurrent = 1\n",
    "names with line ends": '[columns]\ntime = "a\\nb"\nvoltage = 2\ncurrent = 3\n',
    "limits beyond all": "lower = 1e300\nupper = 1e308\nnominal_capacity_ah = 1e308\n",
    "tiny capacity": "lower = 2.7\nupper = 4.2\nnominal_capacity_ah = 1e-308\n",
    "nothing": "",
    "NUL": "\0" * 100,
}


def test_what_users_say(worker, tally, tmp_path):
    sound, told = tmp_path / "sound.csv", tmp_path / "told.toml"
    sound.write_text(samples.arbin(samples.sampled()))

    def made():
        for name, text in TOML.items():
            for option in ("mapping", "cell_file"):
                for loader in LOADERS:
                    told.write_text(text)
                    options = {"lower": 2.7, "upper": 4.2, option: str(told)}
                    yield Case(f"{option} {name}", "mappings and cell files", loader, str(sound), options, names=tmp_path.name)

    check(worker, tally, made())


# --- tables of other packages


def outcome(read):
    """Empty where a curve set or a refusal comes of it, else what was raised."""
    try:
        assert len(read())
    except FaultCellError as error:
        return "" if "\n" not in str(error) else f"lines: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return ""


def test_tables_of_other_packages(tally):
    pd = pytest.importorskip("pandas")
    wrong = []
    done = 0
    for name, tables in hostile.wrong_columns():
        frames = [pl.DataFrame(pl.from_arrow(tables[place])) for place in ("timeseries", "halfcycles")]
        wrong.append((name, outcome(lambda frames=frames: from_polars(*frames))))
        other = [table.to_pandas() for table in (tables["timeseries"], tables["halfcycles"])]
        wrong.append((f"pandas {name}", outcome(lambda other=other: from_pandas(*other))))
        done += 2
    timeseries, halfcycles = (table.to_pandas() for table in hostile.set_tables())
    for name, one, two in (
        ("objects", timeseries.assign(voltage_volt=[object()] * len(timeseries)), halfcycles),
        ("mixed", timeseries.assign(voltage_volt=[1, "x"] * (len(timeseries) // 2)), halfcycles),
        ("names twice", pd.concat([timeseries, timeseries], axis=1), halfcycles),
        ("numbers for names", timeseries.rename(columns={"voltage_volt": 7}), halfcycles),
        ("empty", timeseries.iloc[:0], halfcycles.iloc[:0]),
        ("no columns", pd.DataFrame(), pd.DataFrame()),
        ("names of two levels", pd.concat({"a": timeseries}, axis=1), halfcycles),
    ):
        wrong.append((name, outcome(lambda one=one, two=two: from_pandas(one, two))))
        done += 1
    for name, changes in {
        "shorter": {"Current [A]": np.ones(3)},
        "NaN": {"Voltage [V]": np.full(50, np.nan)},
        "texts": {"Voltage [V]": np.array(["x"] * 50)},
        "complex": {"Current [A]": np.ones(50) * 1j},
        "planes": {"Current [A]": np.ones((50, 2))},
        "backwards": {"Time [s]": np.arange(50.0)[::-1]},
        "nothing": dict.fromkeys(("Time [s]", "Voltage [V]", "Current [A]"), np.array([])),
        "None": {"Time [s]": None},
    }.items():
        wrong.append((f"pybamm {name}", outcome(lambda changes=changes: from_pybamm(Solution(changes), lower=2.7, upper=4.2))))
        done += 1
    found = [f"{name}: {what[:200]}" for name, what in wrong if what]
    tally("damaged input: tables of other packages", done, lost=len(found))
    assert not found, "\n".join(found[:30])


class Solution:
    """As PyBaMM's: variables by name, each with `entries`."""

    def __init__(self, changes):
        sound = {"Time [s]": 72.0 * np.arange(50), "Voltage [V]": np.linspace(4.1, 2.8, 50), "Current [A]": np.full(50, 2.0)}
        self.variables = {**sound, **changes}

    def __getitem__(self, name):
        return type("Variable", (), {"entries": self.variables[name]})


# --- ten million rows

ROWS = 10**7


def cycled(rows, *, first=0):
    """A sound recording: charges and discharges of an hour, a second apart."""
    second = first + np.arange(rows)
    part, up = second % 3600 / 3600, second // 3600 % 2 == 0
    noise = np.random.default_rng(first).normal(0, 1e-3, rows)
    return pl.DataFrame(
        {
            "test_time_second": second.astype(float),
            "voltage_volt": np.where(up, 2.8 + 1.3 * part, 4.1 - 1.3 * part) + noise,
            "current_ampere": np.where(up, 2.0, -2.0),
        }
    )


def write_large(path, *, rows, back):
    """In pieces, so that the test itself takes little; `back`: the last row goes back in time."""
    starts = range(0, rows, 10**6)
    parts = (cycled(min(10**6, rows - start), first=start) for start in starts)
    writer = None
    with path.open("wb") as file:
        for n, part in enumerate(parts):
            last = pl.int_range(pl.len()) == part.height - 1
            if back and n == len(starts) - 1:
                part = part.with_columns(pl.when(last).then(0.0).otherwise("test_time_second").alias("test_time_second"))
            if path.suffix == ".csv":
                part.write_csv(file, include_header=n == 0, float_precision=4)
                continue
            writer = writer or pq.ParquetWriter(file, part.to_arrow().schema)
            writer.write_table(part.to_arrow())
        if writer:
            writer.close()


@pytest.mark.long
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_ten_million_rows(worker, tally, tmp_path, ending):
    path = tmp_path / f"large.{ending}"
    write_large(path, rows=ROWS, back=False)
    told = {**RATED, "nominal_capacity_ah": 2.0}
    found = worker.run(Case("large", "10^7 rows", "ingest_large", str(path), told), second=300)
    assert (found.what, found.digest) == ("data", str(ROWS)), found.words
    write_large(path, rows=ROWS, back=True)
    refused = worker.run(Case("backwards", "10^7 rows", "ingest_large", str(path), told), second=300)
    path.unlink()
    worst = max(found.byte, refused.byte)
    print(f"{ending}: {found.second:.0f} s, {worst / 1e6:.0f} MB")
    fine = worst < MOST_BYTE and refused.what == "refused" and f"row {ROWS - 1}, column time" in refused.words
    tally("damaged input: 10^7 rows", 2, lost=not fine)
    assert fine, (worst, refused)


def test_the_net_catches_what_it_is_there_for(worker, tmp_path):
    """A reader that raises, that is silent about a change, or that names no file, is found."""
    path = tmp_path / "x.csv"
    path.write_text("x")
    raised = Case("x", "x", "raises", str(path))
    assert worker.run(raised).fault(raised).startswith("raised: ZeroDivisionError")
    sound = Case("x", "x", "ingest", str(path), expect="same", sound=("another", ()))
    assert worker.run(sound).fault(sound).startswith("refused")
    elsewhere = Case("x", "x", "ingest", str(path), names="another name")
    assert "names no file" in worker.run(elsewhere).fault(elsewhere)
    large = Case("x", "x", "eats", str(path))
    assert "MB" in worker.run(large).fault(large)
