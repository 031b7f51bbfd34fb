"""`--config run.toml` and `--print-config`: what is printed is what runs, what is wrong in a file is one sentence."""

import json
import tomllib

import pytest

from faultcell.cli.run_config import config_of, printed
from faultcell.config import Config, FinetuneConfig
from faultcell.files import write
from faultcell.presets import PRESETS
from strategies import fault_curves, normal_curves

FEW = "[train]\nsteps = 3\nseed = 5\n[finetune]\nsteps = 2\nunfreeze = 'last'\n"


@pytest.fixture
def file(tmp_path):
    """Writes a run file."""

    def written(text):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return written


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write(normal_curves(cells=3, cycles=2), root / "normal")
    write(fault_curves(), root / "faults")
    return root


def knobs(bundle):
    return Config.model_validate(json.loads((bundle / "config.json").read_text())["config"])


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_printed_read_back_is_the_preset(preset, run, file):
    said = run("train", "--preset", preset, "--print-config")
    assert (said.code, said.err) == (0, "")
    again = config_of(file(said.out), preset=preset)
    own = PRESETS[preset]()
    assert again == own.model_copy(update={"finetune": own.finetune or FinetuneConfig()})


def test_the_preset_may_stand_after_it(run):
    assert run("train", "--print-config", "--preset", "paper").out == printed("paper") != printed("default")
    assert run("train", "--print-config").out == printed("default")
    assert run("train", "--print-config", "--preset", "papr").code == 2


def test_finetune_lays_the_file_over_the_models_own_preset(sets, run, file):
    own = PRESETS["paper"]()
    told = config_of(file("[finetune]\nsteps = 3\n"), base=own).finetune
    assert (told.steps, told.epochs) == (3, None)
    assert told.unfreeze == own.finetune.unfreeze != FinetuneConfig().unfreeze


def test_every_knob_is_in_print():
    told = tomllib.loads(printed("default"))
    for name, field in Config.model_fields.items():
        assert name in told, field.description
    assert printed("default").count("# clip_sample_range =") == 1  # unset: to be filled in


def test_a_run_takes_the_file_and_options_win(sets, run, file):
    told = file(FEW)
    base, tuned = sets / "base", sets / "tuned"
    assert run("train", sets / "normal", "--out", base, "--config", told, "--steps", 2).code == 0
    assert (knobs(base).train.steps, knobs(base).train.seed) == (2, 5)
    found = run("finetune", base, sets / "faults", "--normal", sets / "normal", "--out", tuned, "--config", told, "--seed", 9)
    assert found.code == 0
    assert (knobs(tuned).finetune.steps, knobs(tuned).finetune.seed, knobs(tuned).finetune.unfreeze) == (2, 9, "last")


def test_augment_trains_by_the_file(sets, run, file):
    kept = sets / "kept"
    words = ("augment", "--normal", sets / "normal", "--faults", sets / "faults", "--count", 2, "--keep", kept)
    found = run(*words, "--out", sets / "more", "--config", file(FEW), "--json")
    assert found.code == 0
    assert json.loads(found.out)["curves"] == 2
    assert (knobs(kept).train.steps, knobs(kept).finetune.steps, knobs(kept).train.seed) == (3, 2, 5)


def test_steps_of_a_file_take_the_place_of_the_presets_epochs(file):
    assert PRESETS["paper"]().train.epochs is not None
    assert config_of(file("[train]\nsteps = 7\n"), preset="paper").train.epochs is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nlearning_rat = 1\n", ("no knob 'train.learning_rat'", "learning_rate")),
        ("[trian]\nsteps = 1\n", ("no knob 'trian'", "train")),
        ("[train]\nsteps = 0\n", ("train.steps = 0", "greater than or equal to 1")),
        ("[train]\nsteps = 'many'\n", ("train.steps = 'many'", "integer")),
        ("gate = 'perhaps'\n", ("gate = 'perhaps'", "boolean")),
        ("[gate]\nx = 1\n", ("gate is one knob", "[gate]")),
        ("train = 3\n", ("train = 3",)),
        ("steps\n", ("found no TOML",)),
        ("x = " + "[" * 5000, ("lists within lists",)),
        ("[net]\nwidths = [8, 8]\n", ("attention says of 3 levels, widths of 2",)),
        ("[net]\nheads = 5\n", ("cannot be divided among 5 heads",)),
        ("[train]\nseed = -1\n", ("train.seed = -1",)),
    ],
)
def test_what_is_wrong_in_a_file_is_one_sentence(sets, run, file, tmp_path, text, words):
    found = run("train", sets / "normal", "--out", tmp_path / "b", "--config", file(text))
    assert found.code == (1 if "TOML" in words[0] or "lists" in words[0] else 2)
    assert "Traceback" not in found.err
    assert found.err.count("\n") == 1
    for word in ("run.toml", *words):
        assert word in found.err
    assert not (tmp_path / "b").exists()


def test_a_file_for_a_model_that_is_there_already_is_refused(sets, run, file):
    found = run("augment", sets / "none", "--normal", sets / "normal", "--out", sets / "x", "--config", file(FEW))
    assert found.code == 2
    assert "--config is for a model that is trained here" in found.err
