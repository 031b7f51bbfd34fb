"""What runs elsewhere is what was trained here, says how it is to be fed, and has cost no recall on cells it has not seen."""

import hashlib
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import faultcell
from faultcell.baselines.replay import Replay
from faultcell.curves import Curves, loaded_part
from faultcell.diagnosis.fitting import Data, fit
from faultcell.diagnosis.tasks import Real, tasks_of
from faultcell.diagnosis.views import Seen, see
from faultcell.errors import ConditionError, DataError, ExportError, MissingExtraError
from faultcell.export import Order, export_classifier, export_generator, graph
from faultcell.export.benchmark import difference
from faultcell.export.classifier import Deployed, verdict
from faultcell.export.int8 import choose
from faultcell.export.runtime import Graph
from faultcell.export.split import Parts, hold_out
from faultcell.files import write
from faultcell.models.base import Sampling
from faultcell.models.classifiers import NETS
from faultcell.models.registry import make

pytestmark = pytest.mark.skipif(not all(map(find_spec, graph.NEEDED)), reason="the extra `onnx` is not installed")
TEST_CELLS = ["N0", "N1", "D0", "C0"]
FAULT = "overdischarge"
STEPS = 20
DOCS = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def sets(tiny):
    """(training, test) by cell."""
    both, unseen = Curves.concat(tiny), pl.col("cell_id").is_in(TEST_CELLS)
    return both.where(~unseen), both.where(unseen)


@pytest.fixture(scope="module")
def exported(sets, tmp_path_factory):
    """(folder, metrics) of each of the six, made when first asked for."""
    made = {}

    def export(name):
        if name not in made:
            out = tmp_path_factory.mktemp("export") / name
            order = Order(fault=FAULT, classifier=name, steps=STEPS)
            made[name] = out, export_classifier(out, train=sets[0], test=sets[1], order=order)
        return made[name]

    return export


@pytest.fixture(scope="module")
def networks(tuned, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "networks"
    return out, export_generator(tuned, out)


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


# --- classifiers


@pytest.mark.parametrize("name", NETS)
def test_a_classifier_says_elsewhere_what_it_says_here(exported, sets, name):
    folder, metrics = exported(name)
    parts = Parts.of(sets[0], sets[1], fault=FAULT, seed=0)
    task = next(tasks_of(train=parts.fit, test=parts.report, generated={}, view="whole"))
    net = fit(name, Data.of(task, None), seed=0, steps=STEPS)
    run = Graph(folder / "classifier.onnx")
    curves = task.test.seen.values
    expected = net.predict_proba(task.scaled(curves))
    for count in (1, 3, len(curves)):
        logits, probability = run(curve=curves[:count])
        assert logits.shape == (count, 2)
        np.testing.assert_allclose(probability, expected[:count], atol=1e-5)
    assert 0 <= metrics["largest difference from torch"] < 1e-4


@pytest.mark.parametrize("name", ["cnn", "lstm"])
def test_int8_is_smaller_and_keeps_recall_or_is_not_there(exported, name):
    folder, metrics = exported(name)
    sizes = {row["network"]: row["kB"] for row in metrics["networks"]}
    kept = (folder / "classifier.int8.onnx").exists()
    assert kept == metrics["int8"].startswith(("int8 (static) is kept", "int8 (dynamic) is kept"))
    assert kept == (config_of(folder)["files"]["int8"] is not None)
    assert kept, metrics["int8"]  # these two are quantised well: should that change, this test must say something else
    assert sizes["classifier.int8.onnx"] < 0.7 * sizes["classifier.onnx"]
    rows = {(row["cells"], row["network"]): row for row in metrics["recall"]}
    for cells in ("chosen on", "reported"):
        for label in ("normal", FAULT):
            before, after = (rows[cells, name][label] for name in ("classifier.onnx", "classifier.int8.onnx"))
            assert after >= before - 0.01


def test_a_gru_has_no_int8_since_nothing_is_gained(exported):
    folder, metrics = exported("gru")
    assert metrics["int8"] == "int8 is left out: it is less than 10% smaller, most weights stay fp32"
    assert not (folder / "classifier.int8.onnx").exists()


class Fragile(nn.Module):
    """Decides by small weights beside a huge one that does nothing: eight bits have no room for both."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4 * 64, 2, bias=False)
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.weight[1, :192] = 0.01
            self.linear.weight[:, 192:] = 1e4
        self.widths = nn.Parameter(torch.zeros(4 * 64, 2))

    def forward(self, x):
        padded = torch.cat([x, torch.zeros_like(x[:, :1])], dim=1).flatten(1)
        return self.linear(padded) + padded @ self.widths


@pytest.mark.parametrize("places", [("reported",), ("chosen on", "reported")])
def test_int8_that_loses_recall_is_left_out(tmp_path, places):
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2
    curves = (rng.uniform(0.1, 1, size=(40, 3, 64)) * np.where(truth, 1, -1)[:, None, None]).astype(np.float32)
    module = Deployed(Fragile(), np.zeros((1, 3, 1), np.float32), np.ones((1, 3, 1), np.float32)).eval()
    graph.write_graph(module, {"curve": torch.from_numpy(curves[:3])}, ("logits", "probability"), tmp_path / "classifier.onnx")
    run = Graph(tmp_path / "classifier.onnx")
    assert (run(curve=curves)[1].argmax(axis=1) == truth).all()
    nothing = np.zeros(len(truth))
    real = Real(truth, Seen(curves, nothing, nothing > 0, nothing == 0, np.zeros((len(truth), 3))), None, None, 0)
    found = choose(tmp_path, run, curves, cells=dict.fromkeys(places, real), tolerance=0.01)
    assert found.how is None
    assert "is left out: a class loses 1.000 recall at most" in found.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.onnx"]
    assert max(row["recall lost, reported"] for row in found.tried) == 1


def test_cells_are_held_out_whole_and_named(exported, sets):
    folder, metrics = exported("cnn")
    config = config_of(folder)
    groups = [config["trained"]["cells"], config["held_out"]["chosen_on"], config["held_out"]["reported"]]
    assert config["held_out"]["int8_chosen_on_other_cells_than_reported"]
    assert groups[2] == sets[1].where(pl.col("step_type") == "discharge", pl.col("label") != "overcharge").cells
    assert max(Counter(itertools.chain(*groups)).values()) == 1
    assert {row["cells"] for row in metrics["recall"]} == {"chosen on", "reported"}
    assert metrics["recall"][-1]["network"] == "voltage threshold"


def test_without_a_test_set_some_cells_of_the_training_are_reported(sets):
    parts = Parts.of(sets[0], None, fault=FAULT, seed=0)
    cells = [set(part.cells) for part in (parts.fit, parts.choose, parts.report)]
    assert all(one.isdisjoint(other) for one, other in ((cells[0], cells[1]), (cells[0], cells[2]), (cells[1], cells[2])))
    for part in (parts.fit, parts.choose, parts.report):
        assert set(part.labels) == {"normal", FAULT}


def test_with_few_cells_int8_is_chosen_on_those_reported_and_with_fewer_on_none(sets):
    few = sets[0].where(pl.col("cell_id").is_in(["N2", "N3", "D1", "D2"]))
    parts = Parts.of(few, None, fault=FAULT, seed=0)
    assert not parts.apart
    assert parts.report is not None
    single = few.where(pl.col("cell_id").is_in(["N2", "D1"]))
    assert hold_out(single, FAULT, seed=0)[1] is None
    assert Parts.of(single, None, fault=FAULT, seed=0).report is None


def test_with_no_cell_to_hold_out_recall_and_int8_are_left_out_and_it_is_said(sets, tmp_path):
    single = sets[0].where(pl.col("cell_id").is_in(["N2", "D1"]))
    metrics = export_classifier(tmp_path / "out", train=single, order=Order(classifier="mlp", steps=2))
    assert metrics["recall"] == []
    assert metrics["int8"].endswith("no cell could be held out to see what it costs; give --test")
    assert "Recall was not measured." in (tmp_path / "out" / "README.md").read_text()


def test_generated_faults_take_part_in_training_and_need_a_test_set(sets, tmp_path):
    asked = faultcell.grid(FAULT, peak_deviation_volt=[0.2, 0.5], repeat=20)
    drawn = Replay(sets[0]).draw(asked, range(len(asked)))
    order = Order(fault=FAULT, classifier="mlp", steps=2)
    export_classifier(tmp_path / "out", train=sets[0], test=sets[1], synthetic=drawn, order=order)
    trained = config_of(tmp_path / "out")["trained"]
    assert trained["generated_faults_added"] == trained["normal"] - trained["fault"] > 0
    assert "generated faults" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ConditionError, match="--synthetic needs --test"):
        export_classifier(tmp_path / "other", train=sets[0], synthetic=drawn, order=order)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order": Order()}, "has overcharge, overdischarge: choose one with --fault"),
        ({"order": Order(fault="overvoltage")}, "--fault takes one that --train has"),
    ],
)
def test_it_must_be_clear_which_fault_is_meant(sets, tmp_path, change, said):
    with pytest.raises(ConditionError, match=said):
        export_classifier(tmp_path / "out", train=sets[0], test=sets[1], **change)
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_are_refused():
    with pytest.raises(ConditionError, match=r"--classifier takes mlp, cnn, .* found 'transformer'"):
        Order(classifier="transformer")
    with pytest.raises(ConditionError, match="--view takes whole, in_limits, found 'half'"):
        Order(view="half")


def test_a_leak_is_refused_and_nothing_is_left(sets, tmp_path):
    with pytest.raises(DataError, match="is in the training and in the test set"):
        export_classifier(tmp_path / "out", train=sets[0], test=sets[0], order=Order(fault=FAULT))
    assert list(tmp_path.iterdir()) == []


# --- the folder


def test_every_file_has_its_checksum_and_none_tells_of_this_machine(exported, networks):
    for folder, _ in (exported("cnn"), networks):
        names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
        lines = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
        assert sorted(lines) == names
        source = str(Path(faultcell.__file__).parent).encode()
        for name in names:
            content = (folder / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == lines[name]
            assert source not in content
            assert b"site-packages" not in content


def test_an_earlier_export_is_replaced_and_a_foreign_folder_is_not(sets, tmp_path):
    order = Order(fault=FAULT, classifier="mlp", steps=2)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"found notes\.txt in it"):
        export_classifier(tmp_path / "mine", train=sets[0], test=sets[1], order=order)
    out = tmp_path / "out"
    for seed in (0, 1):
        export_classifier(out, train=sets[0], test=sets[1], order=replace(order, seed=seed))
    assert config_of(out)["trained"]["seed"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_the_recipe_of_the_documentation_runs_without_torch(exported, sets, tmp_path):
    folder, _ = exported("cnn")
    some = sets[1].where(pl.col("label") == FAULT)
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1].replace("shipped/", f"{folder.as_posix()}/")
    seen = see(some, "whole").values
    for i, rows in enumerate(some.slices()):
        part = loaded_part(some, rows)
        arrays = {"t": "step_time_second", "volt": "voltage_volt", "ampere": "current_ampere"}
        np.savez(tmp_path / "curve.npz", **{name: some.column(column)[part] for name, column in arrays.items()})
        limits = some.halfcycles.row(i, named=True)
        before = f"import numpy, sys\nglobals().update(numpy.load({str(tmp_path / 'curve.npz')!r}))\n" + "".join(
            f"{name} = {limits[column]!r}\n"
            for name, column in {
                "lower": "lower_voltage_limit_volt",
                "upper": "upper_voltage_limit_volt",
                "nominal_capacity_ah": "nominal_capacity_ah",
            }.items()
        )
        after = f"\nnumpy.save({str(tmp_path / 'found.npy')!r}, curve)\nassert 'torch' not in sys.modules\n"
        subprocess.run([sys.executable, "-c", before + code + after], check=True, capture_output=True)
        np.testing.assert_allclose(np.load(tmp_path / "found.npy")[0], seen[i], atol=1e-6)
        if i == 1:
            break


# --- the generator


def walk(predict, x, config, rows):
    """The loop of `config.json`, in NumPy."""
    velocity, angles = np.zeros_like(x), config["angles"]
    for start, end, t in rows:
        halfway = (x - (start - end) / 2 * velocity).astype(np.float32)
        found = predict(halfway, np.full(len(x), t, dtype=np.int64))
        if config["prediction"] != "v_prediction":
            found = (found - np.sin(angles[t]) * halfway) / np.cos(angles[t])
        velocity = found
        x = (x - (start - end) * velocity).astype(np.float32)
    return x


def rows_of(config, steps):
    stops = config["angles"][-1] * np.linspace(1, 0, steps + 1) ** (1 + max(0, np.log10(steps / 4)))
    return [
        (start, end, int(np.abs(np.array(config["angles"]) - (start + end) / 2).argmin()))
        for start, end in itertools.pairwise(stops)
    ]


def drawn_elsewhere(folder, condition, load, white, *, steps=None, guidance=1.0):
    """Scaled durations, what the curve is told of them, and the curve, by the three files alone."""
    config = config_of(folder)
    durations, start, denoiser = (Graph(folder / name) for name in config["files"])
    rows = config["walk"] if steps is None else rows_of(config, steps)
    kept = np.array(config["kept_without_conditions"], dtype=np.float32)
    free_told = np.concatenate([kept, np.ones(4, dtype=np.float32)])

    def guided(one, other):
        return one if guidance == 1 else lambda x, t: other(x, t) + guidance * (one(x, t) - other(x, t))

    def lengths(given):
        return lambda x, t: durations(x=x, t=t, condition=given)[0]

    lasting = walk(guided(lengths(condition), lengths(condition * kept)), white[:, :2], config, rows).clip(-5, 5)
    told = np.concatenate([condition * np.array(config["shown"], np.float32), lasting, np.ones_like(lasting)], axis=1)
    noise = white[:, 2:].reshape(len(white), *config["networks"]["denoiser.onnx"]["inputs"]["x"][1:])

    def shapes(given, load_known):
        expected = start(told=given, white=noise)[0]
        more = {"told": given, "expected": expected, "load": load[0], "load_known": load_known}
        return lambda x, t: denoiser(x=x, t=t, **more)[0]

    predict = guided(shapes(told, load[1]), shapes(told * free_told, np.zeros_like(load[1])))
    expected, smooth = start(told=told, white=noise)
    drawn = walk(predict, smooth, config, rows)
    return lasting, told, expected + config["temperature"] * (drawn - expected)


@pytest.mark.parametrize(("steps", "guidance"), [(None, 1.0), (7, 1.0), (3, 2.0)])
def test_the_loop_in_numpy_draws_the_curves_that_torch_draws(tuned, networks, steps, guidance):
    folder, _ = networks
    model, shape, count = tuned.network, tuned.network.shape, 6
    generator = torch.Generator().manual_seed(1)
    condition = torch.rand(count, shape.features, generator=generator).round()
    white = torch.randn(count, model.noise_size, generator=generator)
    load = torch.randn(count, 1, shape.length, generator=generator), torch.tensor([[0.0], [1.0]] * (count // 2))
    how = Sampling(steps, guidance)
    with torch.no_grad():
        lasting = model.draw_durations(condition, white, how).clamp(-5, 5)
        told = model.condition_input(condition, lasting, torch.ones(count, 2, dtype=torch.bool))
        curve = model.draw_curve(told, load, white, how)
    assert len(set(model.kind(told).tolist())) > 2
    arrays = condition.numpy(), tuple(part.numpy() for part in load), white.numpy()
    found = drawn_elsewhere(folder, *arrays, steps=steps, guidance=guidance)
    for theirs, ours in zip(found, (lasting, told, curve), strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), atol=2e-4)
    assert curve.std() > 0.1


def test_the_networks_agree_with_torch_and_their_inputs_are_those_named(networks):
    folder, metrics = networks
    config = config_of(folder)
    assert [row["network"] for row in metrics["networks"]] == config["files"] == list(config["networks"])
    assert all(row["largest difference from torch"] < 1e-4 for row in metrics["networks"])
    assert config["steps"] == len(config["walk"])
    assert len(config["condition"]) == config["networks"]["durations.onnx"]["inputs"]["condition"][1]


def test_a_baseline_is_refused_in_a_sentence(tuned, tmp_path):
    config = tuned.config.model_copy(update={"model": "timevae"})
    baseline = replace(tuned, config=config, network=make(tuned.network.shape, config))
    with pytest.raises(ExportError, match="the model is a timevae, which has no denoiser"):
        export_generator(baseline, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_samples_otherwise_is_refused_in_a_sentence(tuned, tmp_path):
    config = tuned.config.model_copy(update={"diffusion": tuned.config.diffusion.model_copy(update={"sampler": "ddim"})})
    network = make(tuned.network.shape, config)
    with pytest.raises(ExportError, match="export a model of the default preset"):
        export_generator(replace(tuned, config=config, network=network), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- what cannot be written


class Counted(nn.Module):
    def forward(self, curve):
        return curve.reshape(3, -1).sum(1, keepdim=True) * len(curve)


class Choosy(nn.Module):
    def forward(self, curve):
        return curve * 2 if float(curve.sum()) > 0 else curve


@pytest.mark.parametrize("module", [Counted(), Choosy()])
def test_a_network_that_onnx_cannot_hold_is_refused_in_a_sentence(tmp_path, module):
    with pytest.raises(ExportError, match=r"^out.onnx: torch's ONNX exporter") as found:
        graph.write_graph(module, {"curve": torch.randn(3, 3, 64)}, ("out",), tmp_path / "out.onnx")
    assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_other_numbers_than_torchs_are_noticed(tmp_path):
    module, inputs = nn.Linear(8, 2), {"curve": torch.randn(64, 8)}
    graph.write_graph(module, {"curve": inputs["curve"][:3]}, ("out",), tmp_path / "out.onnx")
    run = Graph(tmp_path / "out.onnx")
    assert difference(module, run, inputs, name="out.onnx") < 1e-5
    with torch.no_grad():
        module.bias += 0.01
    with pytest.raises(ExportError, match=r"out.onnx gives other numbers than torch \(by up to 0.01"):
        difference(module, run, inputs, name="out.onnx")


def test_without_the_extra_the_remedy_is_named(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "NEEDED", ("onnx", "no_such_runtime"))
    with pytest.raises(MissingExtraError, match=r'no_such_runtime is not installed: run `pip install "faultcell\[onnx\]"`'):
        export_classifier(tmp_path / "out", train=sets[0], order=Order(fault=FAULT))


# --- the command line


def test_the_verb_writes_what_it_says(run, sets, tmp_path):
    write(sets[0], tmp_path / "train")
    out, words = tmp_path / "out", ("--fault", FAULT, "--classifier", "mlp", "--steps", 2, "--view", "in_limits", "--json")
    code, said, complained = run("export", "--train", tmp_path / "train", *words, "--out", out)
    assert (code, complained) == (0, "")
    found = json.loads(said)
    assert found["out"] == str(out)
    shown = run("show", out, "--json")
    assert json.loads(shown[1])["kind"] == "exported classifier"
    assert json.loads(shown[1])["int8"] == found["int8"]
    assert {**found, "out": None} == {**json.loads((out / "metrics.json").read_text()), "out": None}
    assert config_of(out)["window"]["view"] == "in_limits"
    for row in found["networks"][1:]:
        assert row["kB"] == pytest.approx((out / row["network"]).stat().st_size / 1000, abs=0.1)
        assert row["us a curve"] > 0


def test_a_damaged_export_is_shown_as_such(run, tmp_path):
    (tmp_path / "metrics.json").write_text("{")
    code, _, complained = run("show", tmp_path)
    assert code == 1
    assert "metrics.json: found no JSON" in complained
    assert complained.endswith("expected a whole folder of `faultcell export`: export it again\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "export takes either a BUNDLE"),
        (("bundle", "--train", "data"), "export takes either a BUNDLE"),
        (("bundle", "--view", "whole"), "export BUNDLE takes --out alone"),
        (("--train", "data", "--classifier", "svm"), "--classifier takes mlp"),
    ],
)
def test_wrong_usage_ends_with_two_and_a_sentence(run, sets, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    write(sets[0], tmp_path / "data")
    code, _, complained = run("export", *words, "--out", "out")
    assert code == 2
    assert complained.startswith(f"faultcell: {said}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("normal", "fault", "threshold", "words"),
    [
        (1.0, 0.0, 1.0, "none of the curves of overdischarge"),
        (0.0, 1.0, 0.5, "none of the curves of normal"),
        (0.9, 0.6, 0.8, "ship that instead"),
        (0.9, 0.8, 0.8, "no worse than a voltage threshold"),
    ],
)
def test_what_finds_nothing_is_not_recommended(normal, fault, threshold, words):
    rows = [
        {"cells": "reported", "network": "classifier.onnx", "curves": 9, "normal": normal, "overdischarge": fault},
        {"cells": "reported", "network": "voltage threshold", "curves": 9, "normal": threshold, "overdischarge": threshold},
    ]
    assert words in verdict(rows)
    assert "not measured" in verdict([])
