"""Where networks compute: everything they touch lies on their own device, and a GPU gives what the processor gives.

Tensors of the device `meta` have a shape and no values; an operation between one of them and one that lies elsewhere is an
error, as it is on a GPU. So what would not work there shows on any machine; what comes of it needs one (mark `gpu`).
"""

import numpy as np
import pytest
import torch

from faultcell.augmenter import Augmenter
from faultcell.config import Config, TrainConfig
from faultcell.curves.conditions import conditions_of
from faultcell.encoding.network_shape import network_of
from faultcell.errors import ConditionError
from faultcell.models.base import Batch, Sampling
from faultcell.models.registry import KINDS
from faultcell.runtime.device import device_of

ELSEWHERE, COUNT = torch.device("meta"), 4
TOLERANCE = {"voltage_volt": 1e-3, "surface_temperature_celsius": 0.05}
has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture
def traced(monkeypatch):
    """Networks do not look at values, as where they are exported: there are none."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


def placed(kind):
    """A network of this kind and a batch, elsewhere."""
    network = network_of(Config(model=kind), ("overcharge", "overdischarge")).to(ELSEWHERE)
    shape, features = network.shape, network.shape.features // 2
    curve, known = (COUNT, shape.channels, shape.length), (COUNT, shape.known, shape.length)
    sizes = (curve, curve, (COUNT, 2), (COUNT, 2), (COUNT, features), (COUNT, features), known, (COUNT, shape.known), (COUNT,))
    return network, Batch(*(torch.ones(size) for size in sizes)).to(ELSEWHERE)


@pytest.mark.parametrize("kind", list(KINDS))
def test_training_keeps_to_the_device_of_the_network(kind, traced):
    network, batch = placed(kind)
    assert network.device == ELSEWHERE
    for phase in network.phases():
        for done in (0.0, 0.5):
            loss = phase.loss(batch, torch.Generator().manual_seed(0), done)
            assert loss.device == ELSEWHERE, phase.name


@pytest.mark.parametrize("kind", list(KINDS))
def test_drawing_keeps_to_the_device_of_the_network(kind, traced):
    network, batch = placed(kind)
    network.phases()[0].loss(batch, torch.Generator().manual_seed(0), 0.0)  # which must leave nothing of its own there
    noise = torch.ones(COUNT, network.noise_size, device=ELSEWHERE)
    durations = network.draw_durations(batch.condition, noise, Sampling())
    told = network.condition_input(batch.condition, durations, batch.durations_mask)
    curve = network.draw_curve(told, (batch.known, batch.observed), noise, Sampling())
    assert curve.device == ELSEWHERE
    assert curve.shape == batch.curve.shape


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ConditionError, match="there is no GPU that torch"):
        device_of("cuda")
    with pytest.raises(ConditionError, match="--device takes auto, cpu, cuda"):
        device_of("tpu")


@pytest.mark.gpu
@has_gpu
def test_a_gpu_learns_as_the_processor_does(tiny):
    config, losses = Config(train=TrainConfig(steps=20, batch_size=32)), []
    for device in ("cpu", "cuda"):
        own = []
        Augmenter.pretrain(tiny[0], config=config, device=device, on_step=lambda step, own=own: own.append(step.loss))
        losses.append(own)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.01)


@pytest.mark.gpu
@has_gpu
def test_a_gpu_draws_what_the_processor_draws(tuned, tiny):
    asked = conditions_of(tiny[1])[:20]
    here, there = (model.draw(asked, range(20)) for model in (tuned, tuned.to("cuda")))
    for name, most in TOLERANCE.items():
        np.testing.assert_allclose(there.column(name), here.column(name), atol=most)
