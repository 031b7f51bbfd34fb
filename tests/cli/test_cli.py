"""The command line: the whole chain on tiny data, one sentence for what goes wrong, and nothing half-written."""

import hashlib
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from faultcell import cli
from faultcell.augmenter import Augmenter
from faultcell.curves import KEYS, Curves
from faultcell.files import read, write
from strategies import fault_curves, normal_curves

VERBS = (
    *("demo", "ingest", "simulate", "show", "split", "train", "finetune", "sample", "band"),
    *("evaluate", "classify", "study", "report", "export", "doctor", "serve"),
)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def inside(*words):
    """Run the command line in this process, where no fixture of one test is at hand."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["faultcell", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            cli.main()
    finally:
        sys.argv = before
    return SimpleNamespace(returncode=end.value.code or 0, stdout=out.getvalue(), stderr=err.getvalue())


def outside(*words):
    """Run the installed program."""
    program = Path(sys.executable).with_name("faultcell")
    return subprocess.run(
        [str(program), *map(str, words)], capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the curve sets `normal`, `faults` and `unseen`."""
    root = tmp_path_factory.mktemp("data")
    faults = with_further(fault_curves(), cumulative_duration_second=100 * pl.col("repetition_count"))
    seen = faults.select(cells=["D0", "D1", "D2", "C0", "C1", "C2"])
    write(normal_curves(cells=3, cycles=2), root / "normal")
    write(seen, root / "faults")
    write(faults.select(cells=["D3", "C3"]), root / "unseen")
    return root


@pytest.fixture(scope="module")
def chain(data, tmp_path_factory):
    """Every verb from files to scores, the first two by the installed program: its result by name."""
    root = tmp_path_factory.mktemp("chain")
    say = {}
    for name, words in {
        "ingest": ("ingest", data / "normal", "--out", root / "normal"),
        "train": ("train", root / "normal", "--out", root / "base", "--steps", 3),
        "finetune": (
            "finetune",
            root / "base",
            data / "faults",
            "--normal",
            root / "normal",
            "--out",
            root / "tuned",
            "--steps",
            3,
        ),
        "like": ("sample", root / "tuned", "--like", data / "unseen", "--out", root / "like", "--steps", 2),
        "fault": (
            *("sample", root / "tuned", "--fault", "overdischarge", "--peak-deviation-volt", 0.4, "--count", 5),
            *("--c-rate", 0.8, "--out", root / "fault", "--steps", 2, "--seed", 7),
        ),
        "evaluate": (
            *("evaluate", "--real", data / "unseen", "--synthetic", root / "like", "--train", data / "faults"),
            *("--out", root / "scores.json"),
        ),
    }.items():
        say[name] = (outside if name in {"ingest", "train"} else inside)(*words, "--json")
    return SimpleNamespace(root=root, say=say)


# --- help


def test_help_lists_every_verb_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom faultcell.cli import main\nsys.argv = ['faultcell', '--help']\ntry:\n    main()\n"
        "finally:\n    print('loaded:', *sorted({'torch', 'polars', 'pybamm', 'matplotlib', 'scipy', "
        "'nicegui'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert found.returncode == 0
    assert found.stdout.splitlines()[-1] == "loaded:"
    listed = [line.split()[0] for line in found.stdout.splitlines() if line.startswith("  ") and line.split()]
    assert set(VERBS) <= set(listed)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(run, verb):
    found = run(verb, "--help")
    assert found.code == 0
    assert "--json" in found.out
    assert found.err == ""


@pytest.mark.parametrize(
    "words", [("frobnicate",), ("train",), ("train", "x", "--out", "y", "--steps", "0"), ("train", "x", "--out", "y", "--oops")]
)
def test_wrong_usage_ends_with_two(run, words):
    found = run(*words)
    assert found.code == 2
    assert found.err
    assert "Traceback" not in found.err


# --- the chain


@pytest.mark.parametrize("name", ["ingest", "train", "finetune", "like", "fault", "evaluate"])
def test_each_verb_ends_well_and_is_quiet_in_a_pipe(chain, name):
    said = chain.say[name]
    assert said.returncode == 0
    # Of cells unlike those it learnt from, most conditions are beyond what the model has seen: said once, of all.
    warned = "faultcell: warning: most of what is asked for (6 of 6) lies outside what the model has seen"
    assert [line.startswith(warned) for line in said.stderr.splitlines()] == ([True] if name == "like" else [])
    assert isinstance(json.loads(said.stdout), dict)


def test_what_the_verbs_say_is_what_they_did(chain, data):
    said = {name: json.loads(result.stdout) for name, result in chain.say.items()}
    assert (said["ingest"]["curves"], said["ingest"]["cells"]) == (12, 3)
    assert said["train"]["kind"] == said["finetune"]["kind"] == "bundle"
    assert said["finetune"]["adapted from"] == said["train"]["model_sha256"]
    assert (said["like"]["curves"], said["fault"]["curves"]) == (6, 5)
    weights = (chain.root / "tuned" / "model.safetensors").read_bytes()
    assert said["like"]["model_sha256"] == hashlib.sha256(weights).hexdigest() == said["finetune"]["model_sha256"]
    assert said["evaluate"] == json.loads((chain.root / "scores.json").read_text())
    assert said["evaluate"]["pairing"] == "by key"
    assert set(said["evaluate"]["sources"]) == {"synthetic", "floor", "replay", "jitter", "mean_curve", "noise"}


def test_like_keeps_keys_order_and_severity_on_disk(chain, data):
    like, drawn = read(data / "unseen"), read(chain.root / "like")
    assert drawn.halfcycles.select(KEYS).equals(like.halfcycles.select(KEYS))
    asked, got = like.known("peak_deviation_volt"), drawn.known("peak_deviation_volt")
    assert abs(asked - got).max() < 1e-3


def test_fault_curves_are_as_asked_and_their_settings_lie_beside(chain):
    drawn = read(chain.root / "fault")
    assert drawn.halfcycles["seed"].to_list() == [7, 8, 9, 10, 11]
    assert drawn.known("peak_deviation_volt") == pytest.approx([0.4] * 5, abs=1e-3)
    settings = json.loads((chain.root / "fault" / "config.json").read_text())
    assert (settings["verb"], settings["seed"], settings["steps"]) == ("sample", 7, 2)


def test_the_same_seed_draws_the_same_files(chain, run, tmp_path):
    words = ("sample", chain.root / "tuned", "--fault", "overdischarge", "--peak-deviation-volt", 0.4, "--c-rate", 0.8)
    assert run(*words, "--count", 2, "--steps", 2, "--seed", 8, "--out", tmp_path / "again").code == 0
    again, first = read(tmp_path / "again"), read(chain.root / "fault").take([1, 2])
    assert again.timeseries.equals(first.timeseries)
    assert again.halfcycles.equals(first.halfcycles)


@pytest.mark.parametrize("verb", ["sample", "augment"])
def test_parts_together_are_the_whole(chain, data, run, tmp_path, verb):
    model = chain.root / "tuned"
    words = {
        "sample": ("sample", model, "--fault", "overdischarge", "--peak-deviation-volt", 0.4, "--steps", 2),
        "augment": ("augment", model, "--normal", data / "normal"),
    }[verb]
    for name, part in (("whole", ()), ("one", ("--part", "1/3")), ("two", ("--part", "2/3")), ("three", ("--part", "3/3"))):
        assert run(*words, "--count", 7, "--seed", 5, "--out", tmp_path / name, *part).code == 0
    whole, *parts = (read(tmp_path / name) for name in ("whole", "one", "two", "three"))
    assert [len(part) for part in parts] == [2, 2, 3]
    together = Curves.concat(parts)
    assert together.halfcycles.equals(whole.halfcycles)
    # A set stores its times as narrow as all of them allow.
    assert_frame_equal(together.timeseries, whole.timeseries, check_dtypes=False, abs_tol=5e-4)
    for part, said in (("4/3", "takes K/N"), ("²/3", "takes K/N"), ("1/8", "only 7 pieces")):
        wrong = run(*words, "--count", 7, "--part", part, "--out", tmp_path / "none")
        assert (wrong.code, said in wrong.err) == (2, True)


def test_parts_are_of_a_kept_model(data, run, tmp_path):
    words = ("augment", "--normal", data / "normal", "--faults", data / "faults", "--part", "1/2", "--out", tmp_path / "x")
    found = run(*words)
    assert (found.code, "give BUNDLE" in found.err) == (2, True)


def test_a_cluster_of_our_own_draws_the_same_file(chain, tmp_path):
    """And no file of it is left, in the home of the user or where its sockets were."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed")
    home, there_before = Path.home() / ".ray", {*Path("/tmp").glob("fc-*")}
    had_home = home.exists()
    words = ("sample", chain.root / "tuned", "--fault", "overdischarge", "--peak-deviation-volt", 0.4, "--count", 3)
    here = outside(*words, "--steps", 2, "--out", tmp_path / "here")
    there = outside(*words, "--steps", 2, "--out", tmp_path / "there", "--cluster", "local", "--workers", 2)
    assert (here.returncode, there.returncode) == (0, 0), there.stderr
    for name in ("timeseries.parquet", "halfcycles.parquet", "config.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    assert home.exists() == had_home
    assert {*Path("/tmp").glob("fc-*")} <= there_before


def test_a_cluster_that_cannot_be_joined_is_one_sentence(chain, run, tmp_path, monkeypatch):
    words = ("sample", chain.root / "tuned", "--fault", "overdischarge", "--peak-deviation-volt", 0.4, "--out", tmp_path / "x")
    both = run(*words, "--cluster", "head:6379", "--workers", 2)
    assert (both.code, both.err.count("\n")) == (2, 1)
    assert "--workers is for this machine" in both.err
    monkeypatch.setitem(sys.modules, "ray", None)
    missing = run(*words, "--cluster", "local")
    assert missing.code == 1
    assert "faultcell[ray]" in missing.err


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [("like", "curve set", "overcharge"), ("tuned", "bundle", "overdischarge"), ("scores.json", "scores", "mean_curve")],
)
def test_show_knows_what_each_result_is(chain, run, name, kind, word):
    found = run("show", chain.root / name, "--all")
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"kind: {kind}\n")
    assert word in found.out
    brief = run("show", chain.root / name).out
    assert len(brief.splitlines()) <= min(16, len(found.out.splitlines()))
    assert max(map(len, brief.splitlines())) < 250
    facts = json.loads(run("show", chain.root / name, "--json").out)
    assert facts["kind"] == kind


def test_show_counts_the_parameters(chain, run):
    network = Augmenter.load(chain.root / "tuned").network
    facts = json.loads(run("show", chain.root / "tuned", "--json").out)
    assert facts["parameters"] == sum(value.numel() for value in network.parameters())


def test_nothing_is_left_beside_the_results(chain):
    names = {path.name for path in chain.root.iterdir()}
    assert names == {"normal", "base", "tuned", "like", "fault", "scores.json"}
    assert not (chain.root / "base" / "checkpoint").exists()


def test_cells_and_labels_select(chain, data, run, tmp_path):
    words = ("sample", chain.root / "tuned", "--like", data / "unseen", "--steps", 2)
    assert run(*words, "--cells", "D3", "--out", tmp_path / "cells").code == 0
    assert run(*words, "--label", "overdischarge", "--out", tmp_path / "label").code == 0
    assert read(tmp_path / "cells").timeseries.equals(read(tmp_path / "label").timeseries)
    assert read(tmp_path / "cells").cells == ["D3"]


def test_evaluating_a_part_pairs_that_part_by_key(chain, data, run, tmp_path):
    words = ("evaluate", "--real", data / "unseen", "--synthetic", chain.root / "like", "--label", "overdischarge")
    found = run(*words, "--out", tmp_path / "scores.json", "--json")
    assert (found.code, found.err) == (0, "")
    scores = json.loads(found.out)
    assert scores["pairing"] == "by key"
    assert scores["sources"]["synthetic"]["all"]["curves"] == 3


def test_resuming_what_was_never_begun_is_a_start(chain, run, tmp_path):
    words = ("train", chain.root / "normal", "--steps", 3)
    assert run(*words, "--out", tmp_path / "one").code == 0
    assert run(*words, "--out", tmp_path / "other", "--resume").code == 0
    one, other = (tmp_path / name / "model.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_a_stopped_run_is_forgotten_only_where_another_begins(chain, run, tmp_path):
    (tmp_path / "out" / "checkpoint").mkdir(parents=True)
    assert run("train", tmp_path / "nowhere", "--out", tmp_path / "out").code == 1
    assert run("train", chain.root / "normal", "--steps", 0, "--out", tmp_path / "out").code != 0
    assert (tmp_path / "out" / "checkpoint").exists()
    assert run("train", chain.root / "normal", "--steps", 3, "--out", tmp_path / "out").code == 0
    assert not (tmp_path / "out" / "checkpoint").exists()


# --- what goes wrong


def put(curves, folder, *, timeseries=None, halfcycles=None):
    folder.mkdir(parents=True)
    (curves.timeseries if timeseries is None else timeseries).write_parquet(folder / "timeseries.parquet")
    (curves.halfcycles if halfcycles is None else halfcycles).write_parquet(folder / "halfcycles.parquet")
    return folder


def one_sentence(found, folder, *, code=1, words=()):
    """Exit code, exactly one line that begins as it should, and nothing written."""
    assert found.code == code, found.err
    lines = found.err.splitlines()
    assert len(lines) == 1, found.err
    assert lines[0].startswith("faultcell: ")
    assert found.out == ""
    for word in words:
        assert word in lines[0]
    assert not list(folder.glob("**/*out*"))
    assert not list(folder.glob("**/.*"))


volts, amperes, time = (pl.col(name) for name in ("voltage_volt", "current_ampere", "step_time_second"))
first = pl.int_range(pl.len()) == 17
BROKEN = {
    "column": (lambda t: t.drop("current_ampere"), ("current_ampere", "timeseries")),
    "sign": (lambda t: t.with_columns(-amperes), ("current_ampere", "+ = charge")),
    "backwards": (
        lambda t: t.with_columns(pl.when(first).then(0.0).otherwise(time).alias(time.meta.output_name())),
        ("17", "step_time_second"),
    ),
    "nan": (
        lambda t: t.with_columns(pl.when(first).then(float("nan")).otherwise(volts).alias("voltage_volt")),
        ("17", "voltage_volt", "found nan"),
    ),
    "text": (
        lambda t: t.with_columns(voltage_volt=pl.when(first).then(pl.lit("n/a")).otherwise(volts.cast(pl.String))),
        ("17", "n/a"),
    ),
    "millivolt": (lambda t: t.with_columns(volts * 1000), ("voltage_volt", "millivolt")),
    "mixed": (
        lambda t: t.with_columns(pl.when(pl.col("cell_id") == "N1").then(volts * 1000).otherwise(volts).alias("voltage_volt")),
        ("mixed units", "N1"),
    ),
    "empty": (lambda t: t[:0], ("timeseries", "no row")),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("verb", ["ingest", "train"])
def test_wrong_tables_get_one_sentence_and_leave_nothing(run, tmp_path, case, verb):
    change, words = BROKEN[case]
    curves = normal_curves(cells=2, cycles=1)
    folder = put(curves, tmp_path / "in", timeseries=change(curves.timeseries))
    one_sentence(run(verb, folder, "--out", tmp_path / "out"), tmp_path, words=words)


def test_a_set_without_curves_and_a_folder_without_a_set(run, tmp_path):
    curves = normal_curves(cells=1, cycles=1)
    empty = put(curves, tmp_path / "empty", halfcycles=curves.halfcycles[:0])
    one_sentence(run("train", empty, "--out", tmp_path / "out"), tmp_path, words=("halfcycles", "no row"))
    one_sentence(run("train", tmp_path / "nowhere", "--out", tmp_path / "out"), tmp_path, words=("nowhere",))
    one_sentence(run("show", tmp_path / "nowhere"), tmp_path, words=("nowhere",))
    one_sentence(run("show", tmp_path), tmp_path, words=("neither a curve set",))


def test_a_selection_that_leaves_nothing(run, data, tmp_path):
    found = run("train", data / "normal", "--cells", "Z9", "--out", tmp_path / "out")
    one_sentence(found, tmp_path, words=("Z9", "N0"))
    found = run("train", data / "faults", "--out", tmp_path / "out")
    one_sentence(found, tmp_path, words=("normal", "overcharge"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_bundle_with_a_changed_byte(run, models, data, tmp_path, name):
    bundle = models[1].save(tmp_path / "bundle")
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    for words in (("sample", bundle, "--like", data / "unseen"), ("finetune", bundle, data / "faults")):
        one_sentence(run(*words, "--out", tmp_path / "out"), tmp_path, words=(name, "changed"))
    one_sentence(run("show", bundle), tmp_path, words=(name,))


@pytest.fixture(scope="module")
def bundle(models, tmp_path_factory):
    return models[1].save(tmp_path_factory.mktemp("bundle") / "tuned")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fault", "sulphation", "--peak-deviation-volt", 0.1), ("sulphation", "overcharge", "overdischarge")),
        (("--fault", "overvoltage", "--peak-deviation-volt", 0.1), ("overvoltage", "overcharge (12 curves)")),
        (("--fault", "overdischarge"), ("--peak-deviation-volt",)),
        (("--fault", "overdischarge", "--peak-deviation-volt", -0.1), ("peak_deviation_volt", "-0.1")),
        (("--fault", "overdischarge", "--peak-deviation-volt", "nan"), ("peak_deviation_volt", "nan")),
        (("--fault", "overdischarge", "--peak-deviation-volt", 0.1, "--like", "x"), ("--fault", "--like")),
        ((), ("--fault", "--like")),
    ],
)
def test_a_request_that_cannot_be_met_ends_with_two(run, bundle, tmp_path, words, said):
    one_sentence(run("sample", bundle, *words, "--out", tmp_path / "out"), tmp_path, code=2, words=said)


def test_an_unknown_way_to_thaw_ends_with_two(run, bundle, data, tmp_path):
    found = run("finetune", bundle, data / "faults", "--unfreeze", "some", "--out", tmp_path / "out")
    one_sentence(found, tmp_path, code=2, words=("--unfreeze", "progressive", "some"))


def test_a_severity_out_of_range_warns_names_the_range_and_goes_on(run, bundle, tmp_path):
    words = ("sample", bundle, "--fault", "overdischarge", "--peak-deviation-volt", 2.5, "--steps", 2)
    found = run(*words, "--out", tmp_path / "set")
    assert found.code == 0
    assert len(found.err.splitlines()) == 1
    assert found.err.startswith("faultcell: warning: peak_deviation_volt 2.5 for overdischarge is outside")
    assert "(0.1 to 0.9)" in found.err
    assert len(read(tmp_path / "set")) == 1


# --- foreign folders


@pytest.fixture
def foreign(tmp_path):
    folder = tmp_path / "thesis"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    (folder / "checkpoint" / "other.pt").write_text("of another project")
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", ["ingest", "sample"])
def test_a_foreign_folder_is_refused_and_left_as_it_is(run, data, bundle, foreign, verb):
    words = {
        "ingest": ("ingest", data / "normal"),
        "sample": ("sample", bundle, "--fault", "overdischarge", "--peak-deviation-volt", 0.4, "--steps", 2),
    }
    before = contents(foreign)
    found = run(*words[verb], "--out", foreign)
    assert found.code == 1
    assert found.err.startswith("faultcell: ")
    assert len(found.err.splitlines()) == 1
    assert contents(foreign) == before


def test_training_refuses_a_foreign_folder(run, data, foreign):
    found = run("train", data / "normal", "--steps", 1, "--out", foreign)
    assert (found.code, len(found.err.splitlines())) == (1, 1)
    assert "expected a new or empty folder" in found.err
    assert (foreign / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_training_leaves_a_foreign_folder_as_it_is(run, data, bundle, foreign, verb):
    before = contents(foreign)
    words = ("train", data / "normal") if verb == "train" else ("finetune", bundle, data / "faults")
    assert run(*words, "--steps", 1, "--out", foreign).code == 1
    assert contents(foreign) == before


def test_training_refuses_a_foreign_folder_before_it_trains(run, data, foreign, monkeypatch):
    def never(*_args, **_more):
        raise AssertionError("trained before the folder was looked at")

    monkeypatch.setattr(Augmenter, "pretrain", never)
    assert run("train", data / "normal", "--steps", 1, "--out", foreign).code == 1


# --- curves that are sound but of no use


def with_further(curves, **columns):
    return Curves(curves.timeseries, curves.halfcycles.with_columns(**columns))


def test_a_fault_that_never_leaves_its_limit_is_named(run, bundle, tmp_path):
    """A labelled fault whose deviation is within noise: which curve, and what to do, is what the sentence must say."""
    curves = fault_curves(cells=1, cycles=2).select(label=["overdischarge"])
    shallow = with_further(curves, lower_voltage_limit_volt=pl.lit(1.0)).halfcycles.drop("peak_deviation_volt")
    folder = put(curves, tmp_path / "in", halfcycles=shallow)
    found = run("finetune", bundle, folder, "--steps", 1, "--out", tmp_path / "out")
    one_sentence(found, tmp_path, words=("D0",))


def test_a_curve_without_load_is_scored_or_named(run, tmp_path):
    curves = fault_curves(cells=1, cycles=2)
    resting = pl.when(pl.col("cycle_count") == 1).then(0.0).otherwise(amperes).alias("current_ampere")
    folder = put(curves, tmp_path / "in", timeseries=curves.timeseries.with_columns(resting))
    found = run("evaluate", "--real", folder, "--synthetic", folder, "--out", tmp_path / "scores.json")
    assert found.code in (0, 1)


@pytest.fixture
def with_rest(tmp_path):
    """A curve set with rests that have no limits: rest and field curves need none."""
    curves = fault_curves().few(6)
    rest = curves.select(label=["overdischarge"]).take([0])
    rest_keys = {"step_type": pl.lit("rest"), "cycle_count": pl.lit(9, dtype=pl.Int64)}
    samples = rest.timeseries.with_columns(**rest_keys, current_ampere=pl.lit(0.0))
    row = rest.halfcycles.with_columns(
        **rest_keys,
        label=pl.lit("normal"),
        lower_voltage_limit_volt=pl.lit(None, dtype=pl.Float64),
        upper_voltage_limit_volt=pl.lit(None, dtype=pl.Float64),
    )
    both = Curves.concat([curves, Curves(samples, row)])
    return put(both, tmp_path / "in")


def test_rest_beside_the_loads_is_no_hindrance(run, bundle, with_rest, tmp_path):
    found = run("finetune", bundle, with_rest, "--steps", 1, "--out", tmp_path / "tuned")
    assert (found.code, found.err) == (0, "")
    found = run("sample", bundle, "--like", with_rest, "--step-type", "discharge", "--steps", 2, "--out", tmp_path / "set")
    assert (found.code, found.err) == (0, "")


def test_a_rest_to_be_like_is_refused_for_what_it_is(run, bundle, with_rest, tmp_path):
    found = run("sample", bundle, "--like", with_rest, "--steps", 2, "--out", tmp_path / "out")
    one_sentence(found, tmp_path, code=2, words=("never seen a rest",))


# --- classify, study, report


def test_classify_measures_the_gain_and_show_reads_it(run, bundle, data, tmp_path):
    drawn, gain = tmp_path / "drawn", tmp_path / "gain.json"
    words = ("--fault", "overdischarge", "--peak-deviation-volt", "0.4", "--count", "6", "--out", drawn)
    assert run("sample", bundle, *words).code == 0
    seen, unseen = divided(tmp_path)
    sets = ("--train", seen, "--test", unseen, "--synthetic", drawn)
    found = run("classify", *sets, "--out", gain, "--seeds", "1", "--steps", "2", "--workers", "1", "--json")
    assert found.code == 0
    result = json.loads(found.out)
    assert result == json.loads(gain.read_text())
    assert {row["arm"] for row in result["rows"]} >= {"before", "class_weights", "replay", "synthetic"}
    brief = run("show", gain).out
    assert brief.startswith("verdict: overcharge, whole curve: nets find ")
    assert "(best cheap control)" in brief
    assert len(brief.splitlines()) < 30
    shown = run("show", gain, "--all")
    assert "mean of the nets:" in shown.out
    assert "the voltage threshold alone finds" in shown.out


def divided(folder):
    """Training and test set, no cell in both."""
    both = Curves.concat([normal_curves(), fault_curves()])
    held_out = pl.col("cell_id").is_in(["N0", "C0", "D0"])
    for name, part in (("seen", both.where(~held_out)), ("unseen", both.where(held_out))):
        write(part, folder / name)
    return folder / "seen", folder / "unseen"


def test_classify_refuses_a_leak_and_leaves_nothing(run, tmp_path):
    seen, _ = divided(tmp_path)
    found = run("classify", "--train", seen, "--test", seen, "--out", tmp_path / "gain.json", "--workers", "1")
    assert found.code == 1
    assert "is in the training and in the test set" in found.err
    assert not (tmp_path / "gain.json").exists()


def test_a_study_of_data_without_faults_is_refused(run, tmp_path):
    write(normal_curves(), tmp_path / "normal")
    found = run("study", "--data", tmp_path / "normal", "--out", tmp_path / "study", "--quick", "--workers", "1")
    assert found.code == 1
    assert "has no fault a study could be about" in found.err
    assert not (tmp_path / "study").exists()


def test_a_report_needs_a_finished_study(run, tmp_path):
    found = run("report", tmp_path)
    assert found.code == 1
    assert found.err.count("\n") == 1


def test_a_baseline_is_trained_and_drawn_from_by_the_same_verbs(run, data, tmp_path):
    assert run("train", data / "normal", "--out", tmp_path / "base", "--model", "timevae", "--steps", "2").code == 0
    assert run("finetune", tmp_path / "base", data / "faults", "--out", tmp_path / "tuned", "--steps", "2").code == 0
    words = ("--fault", "overdischarge", "--peak-deviation-volt", "0.4", "--out", tmp_path / "drawn")
    assert run("sample", tmp_path / "tuned", *words).code == 0
    assert "model: timevae" in run("show", tmp_path / "tuned").out
    found = run("train", data / "normal", "--out", tmp_path / "other", "--model", "gan")
    assert found.code == 2
    assert "--model takes diffusion, wgan_gp, timevae, timegan, found 'gan'" in found.err


# --- references and bands


def test_a_reference_is_taken_from_the_cells_own_cycles_and_told(run, bundle, data, tmp_path):
    found = run("sample", bundle, "--like", data / "unseen", "--reference", data / "unseen", "--out", tmp_path / "out")
    assert found.code == 0
    rows = read(tmp_path / "out").halfcycles
    assert rows["reference_cycle_count"].null_count() == 0
    assert (rows["reference_cycle_count"] != rows["cycle_count"]).all()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["reference"] == "unseen"


@pytest.mark.parametrize("verb", ["sample", "band"])
def test_a_reference_of_other_cells_is_refused(run, bundle, data, tmp_path, verb):
    words = ("--like", data / "unseen", "--reference", data / "normal", "--out", tmp_path / "out")
    one_sentence(run(verb, bundle, *words), tmp_path, code=2, words=("no reference curve fits", "D3"))


def test_a_reference_without_cells_to_draw_is_refused(run, bundle, data, tmp_path):
    words = (
        "--fault",
        "overdischarge",
        "--peak-deviation-volt",
        0.4,
        "--reference",
        data / "unseen",
        "--out",
        tmp_path / "out",
    )
    one_sentence(run("sample", bundle, *words), tmp_path, code=2, words=("--reference needs --like",))


def test_generated_references_are_refused(run, bundle, chain, data, tmp_path):
    words = ("--like", data / "unseen", "--reference", chain.root / "like", "--out", tmp_path / "out")
    one_sentence(run("sample", bundle, *words), tmp_path, code=1, words=("reference set has generated curves",))


def test_a_band_says_how_much_of_the_real_curves_lies_within(run, bundle, data, tmp_path):
    found = run("band", bundle, "--like", data / "unseen", "--draws", 10, "--steps", 2, "--out", tmp_path / "band", "--json")
    said = json.loads(found.out)
    assert (found.code, said["bands"], said["draws"]) == (0, len(read(data / "unseen")), 10)
    assert 0 <= said["coverage"] <= 1
    assert set(said["coverage_by_cell"]) == {"D3", "C3"}
    assert sorted(path.name for path in (tmp_path / "band").iterdir()) == ["band.parquet", "band.png", "config.json"]


@pytest.mark.parametrize("words", [("--draws", 3), ("--level", 1.5)])
def test_a_band_of_too_little_is_refused(run, bundle, data, tmp_path, words):
    found = run("band", bundle, "--like", data / "unseen", *words, "--out", tmp_path / "out")
    one_sentence(found, tmp_path, code=2, words=("a band needs",))


def test_the_version_is_told():
    done = inside("--version")
    assert (done.returncode, done.stdout) == (0, f"faultcell {version('faultcell')}\n")


@pytest.fixture
def cells(tmp_path):
    return write(Curves.concat([normal_curves(), fault_curves()]), tmp_path / "cells")


def test_split_keeps_whole_cells_back_some_of_each_fault(cells, tmp_path):
    done = inside("split", cells, "--train", tmp_path / "seen", "--test", tmp_path / "unseen", "--share", "0.4", "--json")
    assert done.returncode == 0, done.stderr
    seen, unseen, whole = (read(tmp_path / name) for name in ("seen", "unseen", "cells"))
    assert not set(seen.cells) & set(unseen.cells)
    assert len(seen) + len(unseen) == len(whole)
    assert set(seen.labels) == set(unseen.labels) == {"normal", "overcharge", "overdischarge"}
    assert json.loads(done.stdout)[str(tmp_path / "unseen")]["cells"] == unseen.cells
    again = inside("split", cells, "--train", tmp_path / "b", "--test", tmp_path / "c", "--share", "0.4")
    assert read(tmp_path / "c").cells == unseen.cells
    assert f"{tmp_path / 'c'}: Curves(" in again.stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--test", "b", "--share", "1.5"), "--share takes a number between 0 and 1, found 1.5"),
        (("--test", "a"), "--train and --test take two folders"),
        (("--test", "b", "--cells", "N0"), "holds one cell only (N0)"),
        (("--test", "cells"), "cells is the set to divide"),
    ],
)
def test_a_set_that_cannot_be_divided_is_refused_and_nothing_written(cells, tmp_path, monkeypatch, options, expected):
    monkeypatch.chdir(tmp_path)
    before = (cells / "halfcycles.parquet").read_bytes()
    done = inside("split", "cells", "--train", "a", *options)
    assert done.returncode != 0
    assert expected in done.stderr
    assert not (tmp_path / "a").exists()
    assert (cells / "halfcycles.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sample", "BUNDLE", "--fault", "sulphation", "--out", "OUT"), "unknown fault 'sulphation'"),
        (("train", "REST", "--out", "OUT"), "none of the curves is a charge or a discharge, but field"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(run, bundle, data, tmp_path, words, said):
    field = normal_curves(cells=1, cycles=1).select(step_type="discharge")
    kind = {"step_type": pl.lit("field")}
    write(Curves(field.timeseries.with_columns(**kind), field.halfcycles.with_columns(**kind)), tmp_path / "field")
    places = {"BUNDLE": bundle, "REST": tmp_path / "field", "FAULTS": data / "faults", "OUT": tmp_path / "out"}
    found = run(*(places.get(word, word) for word in words))
    assert found.code in (1, 2)
    assert said in found.err
    assert found.err.count("\n") == 1


def test_measured_curves_as_generated_ones_are_asked_about(run, data, tmp_path):
    found = run("evaluate", "--real", data / "faults", "--synthetic", data / "faults", "--out", tmp_path / "s.json")
    assert found.code == 0
    assert "no curve is marked as generated" in found.err
