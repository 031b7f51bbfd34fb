"""A changed bundle, checkpoint or curve set does not load, whichever byte it is."""

import json
import shutil

import fingerprint
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from faultcell.augmenter import Augmenter
from faultcell.bundle import store
from faultcell.config import TrainConfig
from faultcell.encoding.network_shape import network_of
from faultcell.errors import BundleError, DataError
from faultcell.files import read, write, write_blocks
from faultcell.files.durable.seal import check_seal
from faultcell.training import checkpoint
from faultcell.training.loop import State
from strategies import CONFIG, charge, curves_of, discharge

LONG = pytest.mark.long


def small_set(folder, *, blocks=False):
    kinds = (("charge", charge(samples=12)), ("discharge", discharge(samples=12)))
    curves = curves_of([(cell, 1, step, "normal", samples, {}) for cell in ("a", "b") for step, samples in kinds])
    if blocks:
        return write_blocks((curves.take([row]) for row in range(len(curves))), folder)
    return write(curves, folder, config={"verb": "test"})


def loaded_in_spite(path, load, *, error, stride):
    """Places at which a changed byte was not noticed, and how many were tried."""
    whole, unnoticed, tried = path.read_bytes(), [], 0
    for place in range(0, len(whole), stride):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        tried += 1
        try:
            load()
            unnoticed.append(place)
        except error as refusal:
            if path.name not in str(refusal) and path.parent.name not in str(refusal):
                unnoticed.append(place)
    path.write_bytes(whole)
    load()
    return unnoticed, tried


@pytest.mark.parametrize("stride", [17, pytest.param(1, marks=LONG)])
@pytest.mark.parametrize("name", ["timeseries.parquet", "halfcycles.parquet"])
@pytest.mark.parametrize("blocks", [False, True])
def test_any_changed_byte_of_a_curve_set_is_caught(tmp_path, tally, name, stride, blocks):
    folder = small_set(tmp_path / "set", blocks=blocks)
    unnoticed, tried = loaded_in_spite(folder / name, lambda: read(folder), error=DataError, stride=stride)
    tally("changed bytes: curve set", tried, lost=len(unnoticed))
    assert not unnoticed


@pytest.mark.parametrize("stride", [997, pytest.param(1, marks=LONG)])
def test_any_changed_byte_of_a_bundle_is_caught(tmp_path, tally, stride):
    shutil.copytree(fingerprint.FOLDER / "bundle", tmp_path / "bundle")
    for name in (*store.FILES, store.SUMS):
        path = tmp_path / "bundle" / name
        every = max(1, min(stride, path.stat().st_size // 50)) if stride > 1 else 1
        unnoticed, tried = loaded_in_spite(path, lambda: store.verify(tmp_path / "bundle"), error=BundleError, stride=every)
        tally("changed bytes: bundle", tried, lost=len(unnoticed))
        assert not unnoticed, name
    assert Augmenter.load(tmp_path / "bundle").sha256


@pytest.mark.parametrize("stride", [9973, pytest.param(101, marks=LONG)])
def test_any_changed_byte_of_a_checkpoint_is_caught(tmp_path, tally, stride):
    torch.manual_seed(0)
    state = State.start(network_of(CONFIG, ("overcharge",)), TrainConfig())
    checkpoint.write_checkpoint(state, tmp_path, key="k", metrics=[{"step": 1}])
    for name in (*store.STATE, store.SUMS):
        path = tmp_path / store.CHECKPOINT / name
        every = max(1, min(stride, path.stat().st_size // 20))
        unnoticed, tried = loaded_in_spite(
            path, lambda: checkpoint.read_checkpoint(state, tmp_path, key="k"), error=BundleError, stride=every
        )
        tally("changed bytes: checkpoint", tried, lost=len(unnoticed))
        assert not unnoticed, name


def test_others_read_a_sealed_table_and_what_they_write_is_theirs(tmp_path):
    folder = small_set(tmp_path / "set")
    for path in sorted(folder.glob("*.parquet")):
        assert check_seal(path)
        table = pl.read_parquet(path)
        assert table.equals(pl.from_arrow(pq.read_table(path)))
        assert pl.scan_parquet(path).collect().equals(table)
    kept = shutil.copytree(folder, tmp_path / "kept")
    table = pl.read_parquet(folder / "halfcycles.parquet").with_columns(label=pl.lit("overcharge"))
    table.write_parquet(folder / "halfcycles.parquet")  # somebody labels the curves
    assert read(folder).labels == ["overcharge"]
    known = pq.read_table(kept / "halfcycles.parquet")
    pq.write_table(
        known.set_column(3, "label", pl.Series(["overcharge"] * len(known)).to_arrow()), folder / "halfcycles.parquet"
    )
    assert read(folder).labels == ["overcharge"]
    assert not check_seal(folder / "halfcycles.parquet")


def test_two_files_of_different_bundles_do_not_go_together(models, tmp_path):
    for name, model in zip(("base", "tuned"), models, strict=True):
        model.save(tmp_path / name)
    shutil.copy(tmp_path / "base" / store.CONFIG, tmp_path / "tuned" / store.CONFIG)
    with pytest.raises(BundleError, match="was changed after it was written"):
        Augmenter.load(tmp_path / "tuned")


def test_the_sums_are_those_of_sha256sum(tuned, tmp_path):
    tuned.save(tmp_path / "bundle")
    lines = (tmp_path / "bundle" / store.SUMS).read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == list(store.FILES)
    assert json.loads((tmp_path / "bundle" / store.CONFIG).read_text())["format"] == store.FORMAT
