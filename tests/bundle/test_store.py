"""A bundle comes back to the bit, and a changed byte in any of its files is found."""

import hashlib
import json

import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.torch import load_file

from faultcell.augmenter import Augmenter
from faultcell.bundle import store
from faultcell.curves import grid
from faultcell.errors import BundleError, DataError
from faultcell.training import checkpoint
from strategies import CONFIG, FINETUNE

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
ALL = (*store.FILES, store.SUMS)


@pytest.fixture(scope="module")
def saved(tuned, tmp_path_factory):
    return tuned.save(tmp_path_factory.mktemp("store") / "bundle")


@pytest.fixture
def bundle(tuned, tmp_path):
    return tuned.save(tmp_path / "bundle")


def ask():
    return grid("overdischarge", peak_deviation_volt=(0.3, 0.6), c_rate=0.8, repetition_count=1)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same_bits(one, other):
    torch.testing.assert_close(dict(one), dict(other), rtol=0, atol=0, equal_nan=True)


def test_what_is_loaded_is_what_was_saved(tuned, saved):
    again = Augmenter.load(saved)
    assert again.config == tuned.config
    assert again.profile == tuned.profile
    assert (again.base, again.sha256) == (tuned.base, tuned.sha256)
    assert list(again.metrics) == list(tuned.metrics)
    same_bits(again.tensors, tuned.tensors)
    one, other = (model.draw(ask(), [1, 2], steps=4) for model in (tuned, again))
    assert_frame_equal(one.timeseries, other.timeseries, check_exact=True)
    assert_frame_equal(one.halfcycles, other.halfcycles, check_exact=True)


def test_a_bundle_is_these_files_and_its_sums_are_right(saved):
    assert sorted(contents(saved)) == sorted(ALL)
    for line in (saved / store.SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((saved / name).read_bytes()).hexdigest() == digest
    assert json.loads((saved / "scheduler_config.json").read_text())["prediction_type"] == CONFIG.diffusion.prediction_type
    losses = [json.loads(line) for line in (saved / "metrics.jsonl").read_text().splitlines()]
    assert {line["phase"] for line in losses} == {"pretrain", "finetune"}
    assert losses[-1]["step"] == FINETUNE.steps


def test_weights_are_plain_safetensors_and_nothing_is_a_pickle(tuned, saved):
    tensors = load_file(saved / "model.safetensors")
    same_bits(tensors, tuned.tensors)
    assert not any(data.startswith((b"\x80\x04", b"\x80\x05", b"PK")) for data in contents(saved).values())


def test_the_fingerprint_in_drawn_curves_is_that_of_the_file(tuned, saved):
    on_disk = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert set(tuned.draw(ask(), [1, 2], steps=2).halfcycles["model_sha256"]) == {on_disk}


def test_the_card_says_what_the_model_has_seen(tuned, models, saved):
    card = (saved / "README.md").read_text()
    assert tuned.sha256 in card
    assert models[0].sha256 in card
    for word in (*tuned.profile.labels, *tuned.profile.cells, *tuned.profile.data_sha256, "progressive"):
        assert word in card
    assert "| overdischarge | 12 |" in card


@pytest.mark.parametrize("name", store.FILES)
@pytest.mark.parametrize("where", [0, 0.5, 1])
def test_a_changed_byte_is_found_and_its_file_named(bundle, name, where):
    path = bundle / name
    data = bytearray(path.read_bytes())
    data[min(int(where * len(data)), len(data) - 1)] ^= 0x01
    path.write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} was changed after it was written"):
        Augmenter.load(bundle)


@pytest.mark.parametrize("bit", [0x01, 0x80])
@pytest.mark.parametrize("where", [0, 70, 200])
def test_a_changed_byte_in_the_sums_is_found(bundle, where, bit):
    path = bundle / store.SUMS
    data = bytearray(path.read_bytes())
    data[where] ^= bit
    path.write_bytes(data)
    with pytest.raises(BundleError):
        Augmenter.load(bundle)


@pytest.mark.parametrize("name", store.FILES)
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Augmenter.load(bundle)


def test_what_is_no_bundle_is_told_so(bundle, tmp_path):
    (bundle / store.SUMS).unlink()
    for folder in (bundle, tmp_path / "nowhere"):
        with pytest.raises(
            BundleError, match=r"is not a bundle, it has no SHA256SUMS: a bundle is what `faultcell train` writes"
        ):
            Augmenter.load(folder)


def test_an_unfinished_run_hints_at_resume(tiny, tmp_path):
    def stop(step):
        if step.step == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Augmenter.pretrain(tiny[0], config=CONFIG, folder=tmp_path, on_step=stop)
    with pytest.raises(BundleError, match="unfinished run, go on with --resume"):
        Augmenter.load(tmp_path)
    checkpoint.make_ready(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [store.CHECKPOINT]
    checkpoint.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("key", "value"), [("kind", "gan"), ("format", 99)])
def test_a_bundle_of_another_kind_is_refused(bundle, key, value):
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps({**config, key: value}))
    sums = [f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in store.FILES]
    (bundle / store.SUMS).write_text("".join(sums))
    with pytest.raises(BundleError, match=f"no bundle of format {store.FORMAT} of a kind among diffusion"):
        Augmenter.load(bundle)


def test_saving_again_replaces_and_never_touches_a_foreign_folder(tuned, models, bundle, tmp_path):
    models[0].save(bundle)
    assert Augmenter.load(bundle).sha256 == models[0].sha256
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.tex"):
        tuned.save(foreign)
    assert contents(foreign) == {"thesis.tex": b"years of work"}


def test_fine_tuning_leaves_the_bundle_of_its_base_as_it_is(tiny, models, tmp_path):
    folder = models[0].save(tmp_path / "base")
    before = contents(folder)
    child = Augmenter.load(folder).finetune(tiny[1], config=FINETUNE.model_copy(update={"steps": 3}), folder=tmp_path / "child")
    assert contents(folder) == before
    assert child.base == models[0].sha256 != child.sha256


def test_a_checkpoint_is_swapped_in_whole_and_leaves_no_litter(tiny, tmp_path):
    (tmp_path / ".checkpoint.12345678.partial").mkdir()  # what a killed run leaves
    model = Augmenter.pretrain(tiny[0].few(8), config=CONFIG, folder=tmp_path)
    assert (tmp_path / "checkpoint" / "state.json").is_file()
    model.save(tmp_path)
    assert sorted(contents(tmp_path)) == sorted(ALL)
