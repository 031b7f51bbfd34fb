"""A bundle is a model repository, a curve set a data set, as the libraries of Hugging Face open them, offline."""

import hashlib
import shutil

import pytest
from polars.testing import assert_frame_equal
from safetensors import safe_open

import faultcell as fc
from faultcell.bundle import store
from faultcell.errors import BundleError, MissingExtraError
from faultcell.files import write

COMMIT = "0" * 40


@pytest.fixture(scope="module")
def saved(tuned, tmp_path_factory):
    return tuned.save_pretrained(tmp_path_factory.mktemp("hub") / "bundle")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def cache(saved, tmp_path):
    """What the hub's client leaves of a download of `someone/cells`."""
    repository = tmp_path / "models--someone--cells"
    shutil.copytree(saved, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return tmp_path


def ask():
    return fc.grid("overdischarge", peak_deviation_volt=(0.3, 0.6), c_rate=0.8)


def test_what_was_saved_comes_back(tuned, saved):
    again = fc.Augmenter.from_pretrained(saved)
    assert again.sha256 == tuned.sha256
    assert_frame_equal(again.draw(ask(), [1, 2]).timeseries, tuned.draw(ask(), [1, 2]).timeseries, check_exact=True)


def test_a_repository_that_was_downloaded_is_opened_by_its_name(tuned, cache):
    pytest.importorskip("huggingface_hub")
    for revision in (None, "main", COMMIT):
        again = fc.Augmenter.from_pretrained("someone/cells", revision=revision, cache_dir=cache, local_files_only=True)
        assert again.sha256 == tuned.sha256


def test_a_changed_repository_is_refused(cache):
    pytest.importorskip("huggingface_hub")
    path = cache / "models--someone--cells" / "snapshots" / COMMIT / store.MODEL
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=r"model\.safetensors was changed"):
        fc.Augmenter.from_pretrained("someone/cells", cache_dir=cache, local_files_only=True)


def test_a_repository_that_is_not_there_is_told_so(tmp_path):
    pytest.importorskip("huggingface_hub")
    with pytest.raises(BundleError, match="someone/else: found no folder of that name, and nothing that could be had"):
        fc.Augmenter.from_pretrained("someone/else", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(BundleError, match="is not a bundle"):
        fc.Augmenter.from_pretrained(tmp_path / "nowhere")


def test_without_the_hub_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("faultcell.bundle.hub.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "faultcell\[hub\]"'):
        fc.Augmenter.from_pretrained("someone/cells")


def test_the_hub_reads_its_card(tuned, saved):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(saved / "README.md")
    data = card.data.to_dict()
    assert (data["library_name"], data["license"]) == ("faultcell", "other")
    assert {"battery", "fault-diagnosis", "diffusion"} <= set(data["tags"])
    assert data["metrics"] == ["mae", "pearsonr"]
    assert card.text.lstrip().startswith("# FaultCell model")
    assert tuned.sha256 in card.text
    again = hub.ModelCard(str(card))  # it stays a card when it is written anew
    assert again.data.to_dict() == data
    assert hub.ModelCardData(**data).to_dict() == data


def test_safetensors_opens_its_weights(tuned, saved):
    with safe_open(saved / store.MODEL, framework="numpy") as file:
        assert set(file.keys()) == set(tuned.tensors)
    assert hashlib.sha256((saved / store.MODEL).read_bytes()).hexdigest() == tuned.sha256


@pytest.mark.parametrize("table", ["timeseries", "halfcycles"])
def test_datasets_opens_a_curve_set(tuned, tmp_path, table):
    datasets = pytest.importorskip("datasets")
    drawn = tuned.draw(ask(), [1, 2])
    folder = write(drawn, tmp_path / "set")
    opened = datasets.load_dataset(
        "parquet", data_files=str(folder / f"{table}.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    own = getattr(fc.read(folder), table)
    assert opened.column_names == own.columns
    assert opened.num_rows == own.height
    assert_frame_equal(opened.to_polars(), own, check_dtypes=False)  # stored narrower than it is worked with
