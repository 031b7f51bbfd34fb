"""A study divides by cell, goes on where it was stopped, gives the same for any number of workers, and says what it found."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from faultcell import presets
from faultcell.curves import NORMAL, Curves
from faultcell.curves.conditions import between, conditions_of
from faultcell.diagnosis.gain import Interval
from faultcell.errors import ConditionError, DataError
from faultcell.files.embedded import demo_data
from faultcell.study import StudyConfig, findings, jobs, pearson, run
from faultcell.study.claims import DOES_NOT, HOLDS, UNKNOWN, verdict
from faultcell.study.jobs import Job, Place
from faultcell.study.plan import bases, defaults, finetuning, from_normal, pretraining, variants
from faultcell.study.split import Split, divide
from strategies import charge, curves_of, discharge, fault_curves, normal_curves
from studies import MODEL, TINY

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning")


@pytest.fixture(scope="module")
def data():
    return Curves.concat([normal_curves(), fault_curves()])


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """A finished study, in two processes."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    ticks = []
    run(folder, data, config=TINY, workers=2, tick=lambda *tick: ticks.append(tick))
    tables = {path.stem: pl.read_parquet(path) for path in (folder / "tables").iterdir()}
    return SimpleNamespace(folder=folder, ticks=ticks, said=json.loads((folder / "study.json").read_text()), tables=tables)


# --- dividing


def cells(*parts):
    return set().union(*(part.cells for part in parts))


@pytest.mark.parametrize("seed", range(5))
def test_no_cell_is_on_both_sides_and_every_fault_on_each(seed):
    split = divide(demo_data("overcharge", "overdischarge"), test=0.3, seed=seed)
    assert cells(split.normal, split.faults).isdisjoint(cells(split.test, split.negatives))
    assert set(split.faults.labels) == set(split.test.labels) == {"overcharge", "overdischarge"}
    assert set(split.normal.labels) == set(split.negatives.labels) == {NORMAL}
    for label in split.test.labels:
        assert 4 <= len(split.test.select(label=[label]).cells) <= 6  # of 16
    everything = sum(len(part) for part in (split.normal, split.faults, split.test, split.negatives))
    assert everything == len(demo_data("overcharge", "overdischarge"))


def test_the_split_follows_the_seed_and_nothing_else(data):
    one, again, other = (divide(data, test=0.3, seed=seed).test.cells for seed in (1, 1, 2))
    assert one == again != other


def test_curves_of_bad_quality_and_normal_ones_of_a_fault_protocol_are_left_out():
    rows = [("P", i, "discharge", "overdischarge", discharge(cutoff=2.2), {"quality": "ok"}) for i in range(1, 13)]
    rows += [("Q", i, "discharge", "overdischarge", discharge(cutoff=2.2), {"quality": "low_capacity"}) for i in range(1, 13)]
    rows += [("P", 13, "discharge", "normal", discharge(), {"quality": "ok"})]  # a cell nearly always over-discharged
    rows += [(name, 1, "discharge", "normal", discharge(), {"quality": "ok"}) for name in "AB"]
    rows += [("A", 2, "discharge", "normal", discharge(), {"quality": "too_short"})]
    rows += [("A", 1, "charge", "normal", charge(), {"quality": "ok"})]  # no fault shows in a charge here
    split = divide(curves_of(rows), test=0.5, seed=0)
    assert len(split.normal) == len(split.negatives) == 1
    assert len(split.faults) == len(split.test) == 12


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", 1, "discharge", "normal", discharge(), {})], "has no fault a study could be about"),
        ([("A", 1, "discharge", "overdischarge", discharge(cutoff=2), {})], "was seen in one cell only"),
        ([(c, 1, "discharge", "overdischarge", discharge(cutoff=2), {}) for c in "AB"], "no normal discharge to tell"),
    ],
)
def test_data_that_allow_no_study_are_refused(rows, message, tmp_path):
    with pytest.raises(DataError, match=message):
        run(tmp_path / "study", curves_of(rows), config=TINY)
    assert not (tmp_path / "study").exists()


# --- what is asked for


def test_conditions_between_known_ones_stay_within_them():
    known = conditions_of(fault_curves().select(label=["overdischarge"]))
    made = between(known, 50, seed=3)
    for name in ("peak_deviation_volt", "c_rate", "state_of_health", "cumulative_duration_second"):
        values = [getattr(condition, name) for condition in known]
        assert all(min(values) <= getattr(condition, name) <= max(values) for condition in made)
    assert len({condition.peak_deviation_volt for condition in made}) > 25
    assert {condition.cell_id for condition in made} == {None}
    assert between(known, 10, seed=3) == made[:10] != between(known, 10, seed=4)
    with pytest.raises(ConditionError, match="no known condition"):
        between([], 3, seed=0)


def test_conditions_between_keep_faults_apart():
    made = between(conditions_of(fault_curves()), 40, seed=0)
    assert {condition.fault for condition in made} == {"overcharge", "overdischarge"}


# --- the plan


def test_every_question_of_the_ablations_has_the_own_model_and_a_rival():
    config = StudyConfig.quick()
    groups = {variant.group for variant in variants(config)}
    assert groups == set(defaults(config))
    names = [variant.name for variant in variants(config)]
    assert len(names) == len(set(names))
    assert not set(names) & set(defaults(config).values())


def test_variants_change_what_they_are_named_for():
    config = StudyConfig()
    assert pretraining(config, "diffusion").model_dump() == pretraining(config, "anything else").model_dump()
    assert pretraining(config, "timevae").model == "timevae"
    assert pretraining(config, "no condition bias").net.bias_rank == 0
    assert not any(pretraining(config, "no attention").net.attention)
    assert pretraining(config, "epsilon").diffusion.prediction_type == "epsilon"
    assert finetuning(config, unfreeze="last").unfreeze == "last"
    assert set(bases(config)) == {variant.base for variant in variants(config)} - {None, "diffusion", "paper"}
    assert StudyConfig(generators=("timevae", "diffusion")).generators == ("diffusion", "timevae")


# --- the run


def test_the_tables_hold_every_source_variant_and_classifier(done):
    tables = done.tables
    generators = ["diffusion", "wgan_gp", "paper"]
    everybody = ["floor", *generators, "replay", "noise"]
    assert tables["fidelity"]["source"].unique(maintain_order=True).to_list() == everybody
    assert tables["sets"]["source"].unique(maintain_order=True).to_list() == everybody
    assert set(tables["fidelity"]["group"]) == {"all", "label", "severity", "cell"}
    assert set(tables["ablations"]["variant"]) == {*defaults(TINY).values(), *(v.name for v in variants(TINY))}
    assert tables["cost"]["generator"].to_list() == generators
    assert set(tables["splits"]["source"]) == set(everybody)
    assert tables["splits"]["split"].unique().sort().to_list() == [0, 1]
    assert tables["cost"]["pretrain_epochs"][0] == pytest.approx(6 * MODEL.train.batch_size / len(divide_of(done).normal))
    assert tables["epochs"]["step"].unique().sort().to_list() == [3, 6]
    arms = {"before", "class_weights", "replay", "splice", *generators, *map(from_normal, generators)}
    assert arms == set(tables["fits"]["arm"])
    assert set(tables["fits"]["seed"]) == {0, 1}  # a number for each split
    assert set(tables["embedding"]["method"]) == {"PCA", "t-SNE"}
    assert set(tables["pearson"]["attribute"]) == {"peak_deviation_volt", "repetition_count", "cumulative_duration_second"}


def divide_of(done):
    return Split.load(done.folder / "data")


def test_the_paper_has_a_grid_of_its_own_and_every_split_cells_of_its_own(done):
    kept = json.loads((done.folder / "models" / "paper" / "config.json").read_text())["config"]
    assert kept["grid"]["coordinate"] == "time"
    assert not kept["neighbours"]["expect"]
    first, second = (Split.load(folder / "data") for folder in (done.folder, done.folder / "splits" / "1"))
    assert set(first.test.cells) != set(second.test.cells)
    assert cells(second.normal, second.faults).isdisjoint(cells(second.test, second.negatives))


def test_every_claim_of_the_paper_has_an_answer_for_its_model_and_for_ours(done):
    claims = done.tables["claims"]
    assert set(claims["label"]) == {"overcharge", "overdischarge"}
    assert claims.filter(label="overcharge").height >= 7
    assert set(claims["preset_verdict"]) | set(claims["ours_verdict"]) <= {HOLDS, DOES_NOT, UNKNOWN}
    attention = claims.filter(pl.col("claim").str.contains("attention"), label="overcharge").row(0, named=True)
    assert attention["preset"].startswith("PCC ")
    assert attention["preset"] != attention["ours"]
    measured = claims.filter(~pl.col("claim").str.contains("GAN"))  # whose rival on the paper's grid is not in this study
    assert "not measured" not in [*measured["preset"], *measured["ours"]]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, HOLDS), (-0.05, 0.1, DOES_NOT), (-0.05, 0.5, UNKNOWN), (-0.4, -0.1, DOES_NOT), (None, None, UNKNOWN)],
)
def test_a_claim_holds_or_does_not_only_beyond_chance(low, high, expected):
    assert verdict(Interval(mean=0.0, low=low, high=high), 0.62) == expected


def test_a_study_of_the_paper_s_model_alone_has_it_once():
    own = StudyConfig(model=presets.paper(), pretrain_steps=None)
    assert own.compared == ("diffusion", "wgan_gp", "timevae", "timegan")
    assert pretraining(own, "diffusion").train.epochs == presets.paper().train.epochs
    assert not any(variant.group.startswith("paper") for variant in variants(own))


def test_a_generator_there_is_not_is_refused():
    with pytest.raises(ValueError, match="there is no generator 'gan'"):
        StudyConfig(generators=("gan",))


def test_the_last_snapshot_is_the_model(done):
    last = done.tables["epochs"].filter(step=6, label="all")["mae"][0]
    own = done.tables["fidelity"].filter(source="diffusion", group="all")["mae"][0]
    assert last == own


def test_the_few_are_as_many_of_each_kind_as_asked_for_and_of_cells_not_tested(done):
    place = Place(done.folder, TINY)
    few, split = jobs.few_of(place), divide_of(done)
    assert {label: len(few.select(label=[label])) for label in few.labels} == {"overcharge": 4, "overdischarge": 4}
    assert cells(few).isdisjoint(cells(split.test, split.negatives))
    assert "4 overcharge, 4 overdischarge" in done.said["data"]["adapted to"]


def test_findings_and_limits_are_said(done):
    assert any("overdischarge, MAE: best is" in sentence for sentence in done.said["findings"]["fidelity"])
    assert any("other seeds give" in sentence for sentence in done.said["findings"]["ablations"])
    assert len(done.said["limits"]) > 3


def test_progress_is_told_to_the_end(done):
    last = {what: (n, m) for what, n, m in done.ticks}
    stages = {"pre-training", "adapting and drawing", "drawing for classifiers", "fitting classifiers"}
    assert set(last) == {*stages, *(f"split 2: {stage}" for stage in stages), "writing"}
    assert all(n == m for n, m in last.values())


def test_a_stopped_study_goes_on_and_ends_the_same_in_one_process_as_in_two(done, data, tmp_path):
    folder = tmp_path / "study"
    seen = []

    def stop(what, n, m):
        seen.append((what, n, m))
        if what == "adapting and drawing" and n == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, data, config=TINY, tick=stop)
    assert not (folder / "study.json").exists()
    again = []
    run(folder, data, config=TINY, tick=lambda *tick: again.append(tick))
    everything = len(TINY.compared) + len(bases(TINY))
    assert again[0] == ("pre-training", everything, everything)  # nothing of it was done again
    assert ("adapting and drawing", 3, seen[-1][2]) in again
    assert (folder / "study.json").read_text() == (done.folder / "study.json").read_text()
    for name, table in done.tables.items():
        timed = [column for column in table.columns if "seconds" in column]
        assert pl.read_parquet(folder / "tables" / f"{name}.parquet").drop(timed).equals(table.drop(timed)), name


@pytest.mark.parametrize("name", ["tables", "study.json", "config.json"])
def test_what_a_killed_study_left_half_written_is_cleared_away(done, data, name):
    litter = done.folder / f".{name}.0123abcd.partial"
    litter.mkdir() if name == "tables" else litter.touch()
    run(done.folder, data, config=TINY)
    assert not litter.exists()


def test_a_folder_with_another_study_or_anything_else_is_refused(done, data, tmp_path):
    with pytest.raises(DataError, match="study of other data or settings"):
        run(done.folder, data, config=TINY.model_copy(update={"seed": 7}))
    with pytest.raises(DataError, match="study of other data or settings"):
        run(done.folder, data.take(range(len(data) - 1)), config=TINY)
    larger = data.halfcycles.with_columns(pl.col("nominal_capacity_ah") * 1.5)
    with pytest.raises(DataError, match="study of other data or settings"):
        run(done.folder, Curves(data.timeseries, larger), config=TINY)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError):
        run(tmp_path, data, config=TINY)


def test_a_job_with_a_result_is_not_done_again(tmp_path):
    place, done = Place(tmp_path, TINY), []
    work = [Job("a b", lambda place: done.append(1) or {"x": 1})]
    for _ in range(2):
        assert jobs.run(place, work, workers=1, tick=lambda *_: None) == {"a b": {"x": 1}}
    assert done == [1]


# --- Pearson and findings


def test_the_peak_deviation_goes_with_the_end_of_the_curve():
    table = pearson.analyse(fault_curves())
    last = table.filter(label="overdischarge", attribute="peak_deviation_volt", place=1.0)
    assert last["r"][0] == pytest.approx(-1, abs=1e-6)
    first = table.filter(label="overdischarge", attribute="peak_deviation_volt", place=0.0)
    assert first["r"][0] is None  # every curve of the set begins at the same voltage
    best = {(row["label"], row["attribute"]): row for row in pearson.strongest(table)}
    assert best["overcharge", "peak_deviation_volt"]["r"] == pytest.approx(1, abs=1e-6)


def fidelity(**mae):
    place = {"group": "label", "name": "overdischarge"}
    return pl.DataFrame([{"source": name, **place, "mae": value, "dpcc": 1 - value} for name, value in mae.items()])


@pytest.mark.parametrize(
    ("own", "cheap", "expected"),
    [(0.02, 0.01, "is number 2 of 2 and does NOT beat the best cheap control, replay"), (0.01, 0.02, "is first and beats")],
)
def test_a_cheap_control_that_wins_is_named(own, cheap, expected):
    table = fidelity(floor=0.001, diffusion=own, replay=cheap, noise=0.3)
    said = list(findings._fidelity(table, "overdischarge"))
    assert all(expected in sentence for sentence in said)
    assert "a real cycle and the next one: 0.001" in said[0]


def test_a_difference_within_chance_is_no_difference():
    rows = [("chance", f"seed {i}", not i, value) for i, value in enumerate((0.010, 0.012, 0.011))]
    rows += [("attention", "attention", True, 0.010), ("attention", "no attention", False, 0.0145)]
    rows += [("transfer", "transfer", True, 0.010), ("transfer", "from scratch", False, 0.05)]
    schema = ["question", "variant", "own", "mae"]
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(label=pl.lit("overcharge"))
    attention, transfer = findings._ablations(table, "overcharge")
    assert "no attention 0.0145 (no difference beyond chance)" in attention
    assert "from scratch 0.05 (worse)" in transfer


def test_the_band_of_chance_holds_one_more_seed_at_its_rate():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        *seen, new = rng.normal(3.0, 0.2, size=4)
        low, high = findings.chance(seen)
        held += low <= new <= high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
    assert findings.chance([1.0]) is None
