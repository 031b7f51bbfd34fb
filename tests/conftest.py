"""What several test files share: one thread, a tiny curve set, a tiny pre-trained model and its fine-tuned child."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded
settings.register_profile("faultcell", deadline=None)
settings.load_profile("faultcell")


@pytest.fixture(scope="session")
def tiny():
    """(normal curves, fault curves)."""
    from strategies import fault_curves, normal_curves

    return normal_curves(), fault_curves()


@pytest.fixture(scope="session")
def models(tiny):
    """(pre-trained, fine-tuned): a handful of steps, enough to draw from."""
    from faultcell.augment import Augmenter
    from strategies import CONFIG, FINETUNE

    normal, faults = tiny
    base = Augmenter.pretrain(normal, config=CONFIG)
    return base, base.finetune(faults, normal=normal, config=FINETUNE)


@pytest.fixture(scope="session")
def tuned(models):
    return models[1]


class Done(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process."""
    from faultcell import cli

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["faultcell", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Done(end.value.code or 0, *capsys.readouterr())

    return call
