"""Normal curves, gone wrong: what is drawn from what, as deep as asked, the same in every way to get it."""

import json
import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import faultcell as fc
from faultcell import files
from faultcell.curves import Condition, Curves, Load
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import complete
from faultcell.errors import ConditionError, DataError, ImplausibleError, LeftOutWarning, OutOfRangeWarning
from faultcell.generation.counterfactuals import SOURCE, Plan, counterfactual
from faultcell.generation.drawing import BLOCK, Drawing
from strategies import CONFIG, FINETUNE, LOWER, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning")


@pytest.fixture(scope="module")
def drawn(tuned, tiny):
    return tuned.augment(tiny[0], count=24, seed=3)


def own(curves, name):
    return curves.halfcycles[name].to_list()


# --- conditions


def test_a_normal_curve_gone_wrong_keeps_all_but_fault_and_severity():
    pulses = Load(np.linspace(0, 1, 100), np.where(np.arange(100) % 10 < 5, -2.0, 0.0))
    normal = Condition(
        c_rate=1.0, ambient_temperature_celsius=4.0, cycle_count=7, state_of_health=0.8, cell_id="A", load=pulses
    )
    deep = Condition("overdischarge", 0.4, repetition_count=2, cumulative_duration_second=50.0, c_rate=3.0, cell_id="B")
    (found,) = counterfactual([normal], [deep])
    assert found == replace(
        normal,
        fault="overdischarge",
        peak_deviation_volt=0.4,
        repetition_count=2,
        cumulative_duration_second=50.0,
        cycle_count=8,
    )
    steady = replace(normal, load=Load(np.array([0.0, 1.0]), np.array([-2.0, -2.0])))
    assert counterfactual([steady], [deep])[0].load is None  # it follows from the C-rate


def test_a_fault_of_another_half_cycle_or_count_is_refused():
    with pytest.raises(ConditionError, match="shows in a charge, found a normal discharge"):
        counterfactual([Condition()], [Condition("overcharge", 0.1)])
    with pytest.raises(ConditionError, match="1 curves and 0 faults"):
        counterfactual([Condition()], [])


# --- what is drawn


def test_each_fault_is_the_next_cycle_of_a_normal_curve_and_helped_by_it(drawn, tiny):
    normal = {key: i for i, key in enumerate(tiny[0].halfcycles.select("cell_id", "cycle_count", "step_type").rows())}
    limits, rates = tiny[0].known("lower_voltage_limit_volt"), conditions_of(complete(tiny[0]))
    for i, row in enumerate(drawn.halfcycles.to_dicts()):
        source = normal[row[SOURCE[0]], row[SOURCE[1]], row["step_type"]]
        assert row["cycle_count"] == row[SOURCE[1]] + 1
        assert row["reference_cycle_count"] == row[SOURCE[1]]
        assert row["cell_id"] == f"{row[SOURCE[0]]}-{3 + i:06d}"
        assert row["lower_voltage_limit_volt"] == limits[source]
        assert row["requested_c_rate"] == pytest.approx(rates[source].c_rate)
        assert row["step_type"] == fc.FAULTS[row["label"]].step_type
        assert row["peak_deviation_volt"] == pytest.approx(row["requested_peak_deviation_volt"], abs=1e-3)
    assert drawn.has_generated
    assert len(set(own(drawn, "cell_id"))) == len(drawn)


def test_inside_its_limits_a_fault_runs_as_the_curve_it_is_drawn_from(tuned, tiny):
    normal = tiny[0].select(step_type=["discharge"])
    made = tuned.augment(normal, count=20, faults=["overdischarge"])
    place = {key: i for i, key in enumerate(normal.halfcycles.select("cell_id", "cycle_count").rows())}
    samples, apart = list(normal.slices()), {True: [], False: []}
    for row, part in zip(made.halfcycles.select(SOURCE).rows(), made.slices(), strict=True):
        time, volt = (made.column(name)[part] for name in ("step_time_second", "voltage_volt"))
        for other, rows in enumerate(samples):
            known, seen = (normal.column(name)[rows] for name in ("step_time_second", "voltage_volt"))
            inside = (volt > LOWER + 0.3) & (time < known[-1])
            apart[other == place[row]].append(np.abs(volt[inside] - np.interp(time[inside], known, seen)).mean())
    assert np.mean(apart[True]) < 0.5 * np.mean(apart[False])


def test_severities_lie_between_those_known_or_on_a_grid_or_as_given(tuned, tiny):
    least, most = tuned.profile.ranges["overdischarge"]["peak_deviation_volt"]

    def peaks(severity, count=9):
        plan = tuned.plan(tiny[0], count=count, faults=["overdischarge"], severity=severity)
        assert plan.severities == ("peak_deviation_volt",)
        return plan.depth[:, 0]

    assert ((peaks("between", 200) >= least - 1e-9) & (peaks("between", 200) <= most + 1e-9)).all()
    assert np.std(peaks("between", 200)) > 0
    np.testing.assert_allclose(np.diff(np.sort(peaks("grid"))), (most - least) / 9)
    assert sorted(peaks([0.2, 0.3], 4)) == [0.2, 0.2, 0.3, 0.3]
    for wrong in ("deep", [0.0], [], [float("nan")]):
        with pytest.raises(ConditionError, match="severit"):
            peaks(wrong)


def test_every_cell_serves_the_same_share_and_no_curve_twice_before_each_had_its_turn(tuned, tiny):
    plan = tuned.plan(tiny[0], count=40, faults=["overdischarge"])
    cells = np.array([cell for cell, _ in plan.cycles])
    used = np.bincount(plan.row, minlength=len(plan.normal))
    shares = [used[cells == cell].sum() for cell in set(cells)]
    assert max(shares) - min(shares) <= 1
    assert all(np.ptp(used[cells == cell]) <= 1 for cell in set(cells))
    assert plan.often == (used.min(), used.max())


def test_without_a_count_classes_balance(tuned, tiny):
    plan = tuned.plan(tiny[0])
    counts = {name: int((plan.label == i).sum()) for i, name in enumerate(plan.labels)}
    normal = tiny[0].halfcycles["step_type"].value_counts()
    had = dict(normal.rows())
    for name, count in counts.items():
        assert count + tuned.profile.labels[name] == max(had[fc.FAULTS[name].step_type], tuned.profile.labels[name])
    few = tiny[0].select(step_type=["discharge"]).take([0])
    with pytest.raises(ConditionError, match="say how many more with --count"):
        tuned.plan(few, faults=["overdischarge"])


def test_a_plan_makes_conditions_as_they_are_asked_for(tuned, tiny):
    plan = tuned.plan(tiny[0], count=12)
    assert isinstance(plan, Plan)
    assert plan[2:5] == [plan[2], plan[3], plan[4]]
    assert len(plan[:]) == len(plan) == 12
    assert {c.fault for c in plan[: len(plan.labels)]} == set(plan.labels)  # labels take turns


def test_the_same_seed_draws_the_same_in_blocks_and_another_seed_others(tuned, tiny, monkeypatch, drawn):
    monkeypatch.setattr("faultcell.generation.drawing.BLOCK", 7)
    again = tuned.augment(tiny[0], count=24, seed=3)
    assert again.timeseries.equals(drawn.timeseries)
    assert again.halfcycles.equals(drawn.halfcycles)
    assert not tuned.augment(tiny[0], count=24, seed=4).halfcycles.equals(drawn.halfcycles)
    assert BLOCK > 64


def test_in_one_call_from_normal_curves_and_few_faults(tiny, tuned):
    normal, few = tiny
    made = fc.augment(normal, few, count=4, config=CONFIG, finetune=FINETUNE)
    assert made.timeseries.equals(tuned.augment(normal, count=4).timeseries)


# --- what cannot serve


def test_what_cannot_serve_is_counted_and_named(tuned, tiny):
    short = discharge(cutoff=3.5)
    broken_off = {**short, "voltage_volt": np.linspace(4.1, 3.5, 60)}
    brief = {name: values[:3] for name, values in discharge().items()}
    rows = [("A", 1, "discharge", "normal", broken_off, {}), ("A", 2, "discharge", "normal", brief, {})]
    rows += [("A", cycle, "discharge", "normal", discharge(), {}) for cycle in (3, 4)]
    normal = Curves.concat([curves_of(rows), tiny[0].select(step_type=["charge"])])
    plan = tuned.plan(normal, count=4, faults=["overdischarge"])
    assert {cycle for _, cycle in plan.cycles} == {3, 4}
    said = [str(one) for one in plan.unserved]
    assert any(words.startswith("1 broken off far inside their limits (A cycle 1)") for words in said)
    assert any(words.startswith("1 too short") for words in said)
    assert any("charges, in which none of the faults shows" in words for words in said)


def test_a_normal_curve_that_ends_beyond_its_rated_limit_can_serve(tuned, tiny):
    # As NASA's 2 Ah cells: rated down to 2.7 V, and discharged to 2.2 V in every cycle of their protocol.
    rows = [("A", cycle, "discharge", "normal", discharge(cutoff=LOWER - 0.4), {}) for cycle in (1, 2)]
    normal = Curves.concat([curves_of(rows), tiny[0].select(step_type=["charge"])])
    plan = tuned.plan(normal, count=4, faults=["overdischarge"])
    assert {cycle for _, cycle in plan.cycles} == {1, 2}


def test_wrong_use_gets_its_sentence(tuned, models, tiny, drawn):
    normal, few = tiny
    charges = normal.select(step_type=["charge"])
    with pytest.raises(ConditionError, match="no normal discharge can serve for overdischarge"):
        tuned.augment(charges, count=3, faults=["overdischarge"])
    with pytest.raises(DataError, match="are among the normal ones"):
        tuned.augment(Curves.concat([normal, few]), count=3)
    with pytest.raises(DataError, match="generated"):
        tuned.augment(drawn, count=3)
    with pytest.raises(ConditionError, match="has seen no fault"):
        models[0].augment(normal, count=3)
    with pytest.raises(ConditionError, match="never seen the fault 'overvoltage'"):
        tuned.augment(normal, count=3, faults=["overvoltage"])


@pytest.mark.filterwarnings("default::faultcell.errors.OutOfRangeWarning")
def test_a_severity_beyond_what_was_seen_warns_once_with_its_share(tuned, tiny):
    most = tuned.profile.ranges["overdischarge"]["peak_deviation_volt"][1]
    with pytest.warns(OutOfRangeWarning, match="50 % of the overdischarge curves") as found:
        tuned.augment(tiny[0], count=4, faults=["overdischarge"], severity=[most, most + 0.1])
    assert len(found) == 1


# --- the verb


@pytest.fixture(scope="module")
def data(tiny, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("augment")
    files.write(tiny[0], folder / "normal")
    files.write(tiny[1], folder / "few")
    files.write(Curves.concat(list(tiny)), folder / "all")
    models[1].save(folder / "model")
    return folder


def test_the_verb_draws_what_python_draws_and_says_what_it_did(run, data, tuned, tiny, tmp_path):
    done = run("augment", data / "model", "--normal", data / "normal", "--out", tmp_path / "more", "--count", 8, "--seed", 3)
    assert done.code == 0, done.err
    assert files.read(tmp_path / "more").halfcycles[SOURCE[0]].to_list() == own(
        tuned.augment(tiny[0], count=8, seed=3), SOURCE[0]
    )
    first, second, third = done.out.splitlines()
    assert "4 overcharge, 4 overdischarge from" in first
    assert "drawn again" in second
    assert "nothing that cells keep is broken" in third
    assert (tmp_path / "more" / "augment.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((tmp_path / "more" / "config.json").read_text())
    assert (config["verb"], config["model_sha256"], config["redrawn"]) == (
        "augment",
        tuned.sha256,
        {"curves": 0, "draws": 0},
    )


def test_from_tables_to_a_training_set_in_one_command(run, data, tmp_path):
    (tmp_path / "few_steps.toml").write_text("[train]\nsteps = 6\n[finetune]\nsteps = 6\n")
    words = ("--normal", data / "normal", "--count", 4, "--seed", 0)
    trained = ("--faults", data / "few", "--keep", tmp_path / "kept", "--config", tmp_path / "few_steps.toml")
    done = run("augment", *words, *trained, "--out", tmp_path / "one")
    assert done.code == 0, done.err
    again = run("augment", tmp_path / "kept", *words, "--out", tmp_path / "two")
    assert again.code == 0, again.err
    one, two = (files.read(tmp_path / name) for name in ("one", "two"))
    assert one.timeseries.equals(two.timeseries)


def test_with_real_curves_it_is_a_training_set(run, data, tiny, tmp_path):
    words = (data / "model", "--normal", data / "normal", "--faults", data / "few", "--with-real", "--count", 6)
    done = run("augment", *words, "--out", tmp_path / "set")
    assert done.code == 0, done.err
    whole = files.read(tmp_path / "set")
    assert len(whole) == len(tiny[0]) + len(tiny[1]) + 6
    assert whole.halfcycles["synthetic"].sum() == 6
    assert whole.halfcycles["synthetic"].null_count() == 0
    real = whole.where(~pl.col("synthetic"))
    np.testing.assert_allclose(real.column("voltage_volt"), Curves.concat(list(tiny)).column("voltage_volt"), atol=1e-6)


def test_faults_among_the_normal_curves_are_left_out_with_a_warning(run, data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = run("augment", data / "model", "--normal", data / "all", "--out", tmp_path / "more", "--count", 2)
    assert done.code == 0, done.err
    assert "left out are" in done.err


def test_one_curve_of_two_kinds(tuned, tiny):
    assert len(tuned.augment(tiny[0], count=1)) == 1


def test_a_foreign_folder_is_refused_before_anything_is_read(run, data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    done = run("augment", "--normal", tmp_path / "nowhere", "--faults", data / "few", "--out", tmp_path / "mine")
    assert done.code == 1
    assert "thesis.tex" in done.err
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_picture_of_a_curve_that_served_twice(run, data, tiny, tmp_path):
    files.write(tiny[0].select(step_type=["discharge"]).take([0, 1]), tmp_path / "two")
    words = ("--normal", tmp_path / "two", "--fault", "overdischarge", "--count", 5)
    done = run("augment", data / "model", *words, "--out", tmp_path / "more")
    assert done.code == 0, done.err
    assert (tmp_path / "more" / "augment.png").is_file()


def test_a_file_of_depths(run, data, tmp_path):
    (tmp_path / "depths.csv").write_text("peak_deviation_volt\n0.2\n0.3\n")
    words = (data / "model", "--normal", data / "normal", "--count", 2, "--fault", "overdischarge")
    done = run("augment", *words, "--severity", tmp_path / "depths.csv", "--out", tmp_path / "more")
    assert done.code == 0, done.err
    assert sorted(own(files.read(tmp_path / "more"), "requested_peak_deviation_volt")) == [0.2, 0.3]
    (tmp_path / "wrong.csv").write_text("depth\n0.2\n")
    for name, said in (("wrong.csv", "no column peak_deviation_volt"), ("nowhere.csv", "between, grid or a CSV file")):
        done = run("augment", *words, "--severity", tmp_path / name, "--out", tmp_path / "none")
        assert done.code == 2
        assert said in done.err
        assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--normal", "normal"), "either a BUNDLE, or --faults"),
        (("model", "--normal", "normal", "--faults", "few"), "either a BUNDLE, or --faults"),
        (("model", "--normal", "normal", "--keep", "kept"), "--keep is for a model that is trained here"),
        (("model", "--normal", "normal", "--fault", "overvoltage"), "never seen the fault 'overvoltage'"),
    ],
)
def test_a_call_that_cannot_be_meant_ends_with_two(run, data, tmp_path, words, said):
    done = run("augment", *(data / w if w in ("normal", "model", "few") else w for w in words), "--out", tmp_path / "none")
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "none").exists()


# --- normal curves of which nothing can be drawn


def implausible(monkeypatch, seeds):
    """The gate finds no draw of these seeds good enough."""
    whole = Drawing._plausible

    def refusing(self, conditions, own):
        found = whole(self, conditions, own)
        bad = [row for row, seed in enumerate(own) if seed in seeds]
        self.undrawn.update({own[row]: "a voltage no rated cell has" for row in bad})
        return {row: one for row, one in found.items() if row not in bad}

    monkeypatch.setattr(Drawing, "_plausible", refusing)


def test_one_normal_curve_of_which_nothing_can_be_drawn_is_left_out_and_named(tuned, tiny, drawn, monkeypatch):
    implausible(monkeypatch, {5, 9})
    with pytest.warns(LeftOutWarning, match=r"2 of 24 faults are left out.*a voltage no rated cell has") as said:
        made = tuned.augment(tiny[0], count=24, seed=3)
    rows = [row for row, seed in enumerate(own(drawn, "seed")) if seed not in (5, 9)]
    assert made.timeseries.equals(drawn.take(rows).timeseries)
    cell, cycle = drawn.halfcycles.row(own(drawn, "seed").index(5), named=True)[SOURCE[0]], own(drawn, SOURCE[1])[2]
    assert f"{cell} cycle {cycle}" in str(said[0].message)


def test_a_gate_that_lets_nothing_through_says_so(tuned, tiny, monkeypatch):
    implausible(monkeypatch, set(range(24)))
    with pytest.raises(ImplausibleError, match=r"from .* cycle .*a voltage no rated cell has"):
        tuned.augment(tiny[0], count=24)


def test_the_gate_itself_leaves_out_what_it_refuses(tuned, tiny, drawn, monkeypatch):
    cell = own(drawn, SOURCE[0])[4]
    judged = Drawing._violations
    words = ["a voltage no rated cell has"]
    monkeypatch.setattr(Drawing, "_violations", lambda self, curve, c: words if c.cell_id == cell else judged(self, curve, c))
    with pytest.warns(LeftOutWarning, match=cell):
        made = tuned.augment(tiny[0], count=24, seed=3)
    kept = [row for row, source in enumerate(own(drawn, SOURCE[0])) if source != cell]
    assert 0 < len(kept) < 24
    assert made.timeseries.equals(drawn.take(kept).timeseries)


def test_draw_leaves_out_only_where_it_is_told_to(tuned, tiny, monkeypatch):
    asked, judged = conditions_of(tiny[1])[:4], Drawing._violations
    whole = tuned.draw(asked, range(4))
    words = ["a voltage no rated cell has"]
    deep = asked[2].peak_deviation_volt
    monkeypatch.setattr(
        Drawing, "_violations", lambda self, *of: words if of[1].peak_deviation_volt == deep else judged(self, *of)
    )
    with pytest.raises(ImplausibleError, match="seed 2"):
        tuned.draw(asked, range(4))
    with pytest.warns(LeftOutWarning, match=r"1 of 4 .*seed 2 \(a voltage no rated cell has\)"):
        made = tuned.draw(asked, range(4), leave_out=True)
    assert made.timeseries.equals(whole.take([0, 1, 3]).timeseries)
