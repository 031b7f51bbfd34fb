"""A generated curve cannot be mistaken for a measured one, and one that extrapolates says so."""

import io
import json
import warnings
import zipfile

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultcell import bands
from faultcell.app.worker import downloads
from faultcell.bands import draw_band
from faultcell.baselines.classical import CHEAP
from faultcell.curves import SEVERITY, Condition, Curves, grid
from faultcell.curves.conditions import CONTEXT, conditions_of
from faultcell.diagnosis import classify
from faultcell.errors import DataError, OutOfRangeWarning
from faultcell.files import ingest, read, write
from faultcell.files.exchange import to_bdf, to_pandas, to_polars
from faultcell.scoring import evaluate
from faultcell.study import run as study

MARKED = ("synthetic", "seed", "model_sha256")


@pytest.fixture(scope="module")
def drawn(tuned):
    return tuned.draw(grid("overdischarge", peak_deviation_volt=(0.3, 0.5), repeat=3), range(7, 13))


def tables_of(drawn, folder):
    """Every table in which drawn curves leave the product, by what it is."""
    write(drawn, folder / "set")
    yield from ((f"curve set, {path.stem}", pl.read_parquet(path)) for path in (folder / "set").glob("*.parquet"))
    yield from (("polars", table) for table in to_polars(drawn))
    yield from (("pandas", pl.from_pandas(table)) for table in to_pandas(drawn))
    yield from ((path.name, pl.read_csv(path)) for path in to_bdf(drawn, folder / "bdf"))
    yield from ((path.name, pl.read_parquet(path)) for path in to_bdf(drawn, folder / "parquet", suffix=".bdf.parquet"))
    yield "the page's CSV", pl.read_csv(downloads.bdf_csv(drawn))
    with zipfile.ZipFile(io.BytesIO(downloads.zipped(drawn, config={}))) as archive:
        for name in archive.namelist():
            if name.endswith(".parquet"):
                yield f"the page's zip, {name}", pl.read_parquet(archive.read(name))


def test_every_table_has_the_mark_the_seed_and_the_model_in_every_row(drawn, tuned, tmp_path, tally):
    tables = list(tables_of(drawn, tmp_path))
    unmarked = [name for name, table in tables if not set(MARKED) <= set(table.columns)]
    tally("synthetic: tables that leave the product", len(tables), lost=len(unmarked))
    assert not unmarked
    for name, table in tables:
        assert table["synthetic"].cast(pl.Boolean).all(), name
        assert set(table["model_sha256"].cast(pl.String)) == {tuned.sha256}, name
        assert set(table["seed"]) <= set(range(7, 13)), name


def test_a_band_has_them_too(tuned, tiny, tmp_path):
    found = draw_band(tuned, conditions_of(tiny[1].take([0, 1])), draws=10, seed=3)
    table = pl.read_parquet(bands.write(found, tmp_path / "band", config={}, figure=b"") / bands.TABLE)
    assert table["synthetic"].all()
    assert set(table["seed"]) == {3, 13}
    assert set(table["model_sha256"]) == {tuned.sha256}


def test_what_comes_back_from_disk_is_still_marked(drawn, tmp_path):
    write(drawn, tmp_path / "set")
    assert read(tmp_path / "set").has_generated
    to_bdf(drawn, tmp_path / "bdf")
    assert ingest(sorted((tmp_path / "bdf").iterdir()))[0].has_generated


@pytest.mark.parametrize("kept", [*MARKED[::2], "samples alone"])
def test_one_mark_is_enough(drawn, kept):
    plain = drawn.halfcycles.drop(MARKED)
    if kept == "samples alone":
        assert Curves(drawn.timeseries, plain).has_generated
    else:
        marked = plain.with_columns(drawn.halfcycles[kept])
        assert Curves(drawn.timeseries.drop(MARKED), marked).has_generated
    assert not Curves(drawn.timeseries.drop(MARKED), plain).has_generated


def test_cheap_sources_mark_their_curves(tiny):
    for source in CHEAP.values():
        assert source(tiny[1]).draw(conditions_of(tiny[1].take([0])), [0]).has_generated


def test_generated_curves_are_refused_wherever_measured_ones_are_asked_for(drawn, tuned, models, tiny, tmp_path, tally):
    normal, faults = tiny
    calls = {
        "evaluate real": lambda: evaluate(real=drawn, synthetic=drawn),
        "evaluate train": lambda: evaluate(real=faults, synthetic=drawn, train=drawn),
        "classify train": lambda: classify(train=drawn, test=faults),
        "classify test": lambda: classify(train=Curves.concat([normal, faults]), test=drawn),
        "pretrain": lambda: type(tuned).pretrain(drawn),
        "finetune": lambda: models[0].finetune(drawn),
        "finetune normal": lambda: models[0].finetune(faults, normal=drawn),
        "reference": lambda: tuned.draw(conditions_of(faults), range(len(faults)), reference=drawn),
        "band": lambda: draw_band(tuned, conditions_of(faults.take([0])), draws=10).coverage(drawn),
        "study": lambda: study(tmp_path / "study", drawn),
    }
    let_in = []
    for name, call in calls.items():
        try:
            call()
            let_in.append(name)
        except DataError as error:
            let_in += [name] * ("generated curves" not in str(error))
    tally("synthetic: calls that want measured curves", len(calls), lost=len(let_in))
    assert not let_in


# --- extrapolation


def test_each_curve_says_in_what_it_extrapolates(tuned, tiny):
    inside = conditions_of(tiny[1])
    assert not any(tuned.profile.beyond(condition) for condition in inside)
    plain = tuned.draw(inside, range(len(inside)))
    assert not plain.halfcycles["extrapolated"].any()
    assert set(plain.halfcycles["extrapolated_in"]) == {""}
    peak = tuned.profile.ranges["overdischarge"]["peak_deviation_volt"][1]
    asked = [
        Condition("overdischarge", peak_deviation_volt=peak),
        Condition("overdischarge", peak_deviation_volt=2 * peak),
        Condition("overdischarge", peak_deviation_volt=peak, ambient_temperature_celsius=-40.0),
        Condition("overdischarge", peak_deviation_volt=2 * peak, c_rate=30.0),
        Condition("normal", step_type="charge", cycle_count=90_000),
    ]
    with pytest.warns(OutOfRangeWarning) as said:
        found = tuned.draw(asked, range(5)).halfcycles
    assert found["extrapolated"].to_list() == [False, True, True, True, True]
    assert found["extrapolated_in"].to_list() == [
        *("", "peak_deviation_volt", "ambient_temperature_celsius", "peak_deviation_volt, c_rate", "cycle_count")
    ]
    # A severity is asked for, and warned of; the context of another cell is mostly a bit beyond, and the table tells.
    assert len(said) == 1
    assert "2 of 4 curves are extrapolations" in str(said[0].message)


@given(share=st.floats(-1, 2), name=st.sampled_from([*SEVERITY, *CONTEXT]))
def test_flag_warning_and_range_agree(tuned, share, name):
    ranges = {**tuned.profile.ranges["overdischarge"], **tuned.profile.contexts["discharge"]}
    low, high = ranges[name]
    value = low + share * ((high - low) or 1.0)
    if value <= (0.06 if name == "c_rate" else 0):
        return
    typical = {"peak_deviation_volt": ranges["peak_deviation_volt"][0], name: value}
    condition = Condition("overdischarge", **typical)
    is_outside = not low * (1 - 1e-6) <= value <= high * (1 + 1e-6)
    assert (name in tuned.profile.beyond(condition)) == is_outside
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tuned.profile.check([condition])
    assert bool(said) == (is_outside and name in SEVERITY)


def test_the_card_and_show_tell_the_ranges(tuned, run, tmp_path):
    tuned.save(tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    low, high = tuned.profile.contexts["discharge"]["c_rate"]
    assert f"| discharge | {low:g} to {high:g} |" in card
    told = json.loads(run("show", tmp_path / "bundle", "--json").out)
    assert told["in contexts"][-1]["c_rate"] == f"{low:.3g} to {high:.3g}"


def test_files_and_the_command_line_say_it(tuned, run, tmp_path):
    tuned.save(tmp_path / "bundle")
    words = ("--fault", "overdischarge", "--peak-deviation-volt", 1.2, "--c-rate", 2, "--count", 2)
    done = run("sample", tmp_path / "bundle", *words, "--out", tmp_path / "set")
    assert done.code == 0
    assert "peak_deviation_volt 1.2 for overdischarge is outside" in done.err
    assert "2 curves in" in done.out
    assert "; 2 extrapolate, in peak_deviation_volt, c_rate" in done.out
    table = pl.read_parquet(tmp_path / "set" / "halfcycles.parquet")
    assert table["extrapolated"].all()
    assert set(table["extrapolated_in"]) == {"peak_deviation_volt, c_rate"}


def test_what_no_cell_could_have_made_is_refused_and_nothing_is_left(tuned, run, tmp_path):
    """At 90 C far beyond all that was seen, whatever is drawn moves more charge than there is; what is no cell's is refused."""
    tuned.save(tmp_path / "bundle")
    words = ("sample", tmp_path / "bundle", "--fault", "overdischarge", "--out", tmp_path / "set", "--count", 2)
    assert run(*words, "--peak-deviation-volt", 9).code == 2
    done = run(*words, "--peak-deviation-volt", 2.4, "--c-rate", 90)
    assert done.code == 1
    assert "more charge than a cell holds" in done.err
    assert not (tmp_path / "set").exists()
