"""Bundles, checkpoints and results that are damaged or made to do harm, with right sums: one sentence, in little memory."""

from __future__ import annotations

import json

import hostile_models as hostile
import mutations
import pytest
from fuzz import Case, Worker
from safetensors.torch import save_file
from test_damaged_files import check

from faultcell.augmenter import Augmenter
from faultcell.bundle import store
from faultcell.training import checkpoint
from faultcell.training.loop import State
from strategies import CONFIG, normal_curves


@pytest.fixture(scope="module")
def worker():
    with Worker() as child:
        yield child


@pytest.fixture(scope="module")
def bundle(models, tmp_path_factory):
    return models[1].save(tmp_path_factory.mktemp("models") / "bundle")


def some(cases, every):
    """All of them, or each so manieth."""
    return (case for n, case in enumerate(cases) if n % every == 0)


def bundles(bundle, target, *, wrong, every, large):
    """Cases of `Augmenter.load` and of `show`."""
    config, content = json.loads((bundle / store.CONFIG).read_text()), (bundle / store.MODEL).read_bytes()

    def case(name, kind, prepare=None, after=None):
        folder = hostile.copied(bundle, target)
        if prepare:
            prepare()
        hostile.signed(folder)
        if after:
            after()
        shown = large and len(name) % 4 == 0  # `show` reads it in the same way
        return [Case(name, kind, loader, str(folder)) for loader in (("bundle", "show") if shown else ("bundle",))]

    for name, text in some(hostile.configs(config, wrong=wrong), every):
        yield from case(name, "configurations", lambda text=text: (target / store.CONFIG).write_text(text))
    for name, data in hostile.tensor_files(content, large=large):
        yield from case(name, "tensor files", lambda data=data: (target / store.MODEL).write_bytes(data))
    for name, data in some(hostile.tensor_changes(bundle / store.MODEL), every):
        yield from case(name, "tensors", lambda data=data: (target / store.MODEL).write_bytes(data))
    for name, before, after in hostile.further_files(target, large=large):
        yield from case(name, "files of a bundle", before, after)


def test_bundles_in_a_sample(bundle, worker, tally, tmp_path):
    check(worker, tally, bundles(bundle, tmp_path / "bundle", wrong=hostile.FEW, every=97, large=False))


@pytest.mark.long
def test_bundles(bundle, worker, tally, tmp_path):
    check(worker, tally, bundles(bundle, tmp_path / "bundle", wrong=hostile.FEW, every=1, large=True))


@pytest.mark.long
@pytest.mark.parametrize("name", store.FILES)
def test_bytes_of_bundles(bundle, worker, tally, tmp_path, name):
    """Signed again after each change, so that the sums tell nothing."""
    content, target = (bundle / name).read_bytes(), tmp_path / "bundle"

    def made():
        for n in range(364 if name in (store.CONFIG, store.MODEL) else 164):
            changed = mutations.truncated(content, n) if n < 64 else mutations.flipped(content, n)
            if name == store.MODEL and n >= 64:  # where it says what it holds, not the weights themselves
                changed = mutations.flipped(content[:9000], n) + content[9000:]
            (hostile.copied(bundle, target) / name).write_bytes(changed)
            hostile.signed(target)
            yield Case(f"{name} {n}", "bundles", "bundle", str(target))

    check(worker, tally, made())


def checkpoints(folder, *, every):
    base = Augmenter.pretrain(
        normal_curves(cells=3, cycles=2),
        config=CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"steps": 2})}),
    )
    base.save(folder / "base")
    run = folder / "run"
    checkpoint.write_checkpoint(State.start(base.network.requires_grad_(True), CONFIG.train), run, key="key", metrics=[])
    from safetensors.torch import load_file

    tensors = load_file(run / store.CHECKPOINT / store.STATE[0])
    for n, (name, changed, text) in enumerate(hostile.checkpoint_files(tensors, "key")):
        if n > 16 and n % every:
            continue
        save_file(changed, run / store.CHECKPOINT / store.STATE[0])
        (run / store.CHECKPOINT / store.STATE[1]).write_text(text)
        hostile.sign_checkpoint(run / store.CHECKPOINT)
        yield Case(name, "checkpoints", "checkpoint", str(run))


def test_checkpoints_in_a_sample(worker, tally, tmp_path):
    check(worker, tally, checkpoints(tmp_path, every=29))


@pytest.mark.long
def test_checkpoints(worker, tally, tmp_path):
    check(worker, tally, checkpoints(tmp_path, every=1))


LOADERS = {"scores": ("show", "report"), "gain": ("show", "report"), "study": ("show", "study_page")}


def results(folder, *, wrong, every, seeds):
    for kind, found in hostile.results().items():
        folder.mkdir(exist_ok=True)
        path = folder / f"{kind}.json"
        content = json.dumps(found).encode()
        made = [*some(hostile.result_files(found, wrong=wrong), 1)]
        made = made[:-14:every] + (made[-14:] if every == 1 or kind == "scores" else [])
        made += [(f"{part}/64", mutations.truncated(content, part)) for part in range(0, 64, every)]
        made += [(f"flip {seed}", mutations.flipped(content, seed)) for seed in range(seeds)]
        for n, (name, data) in enumerate(made):
            path.write_bytes(data)
            for loader in LOADERS[kind] if n % 6 == 0 else LOADERS[kind][:1]:
                where = folder if loader == "study_page" else path
                yield Case(f"{kind} {name}", "results", loader, str(where), names=path.name)


def test_results_in_a_sample(worker, tally, tmp_path):
    check(worker, tally, results(tmp_path / "study", wrong=hostile.FEW, every=97, seeds=4))


@pytest.mark.long
def test_results(worker, tally, tmp_path):
    check(worker, tally, results(tmp_path / "study", wrong=hostile.FEW, every=1, seeds=300))
