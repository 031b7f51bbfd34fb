"""The kinds of generative model there are, by the name that `Config.model` and the command line give them."""

from __future__ import annotations

from collections.abc import Callable

from faultcell.config import Config, Kind
from faultcell.models.base import GenerativeModel, Shape
from faultcell.models.diffusion_model import DiffusionModel
from faultcell.models.gan import WassersteinGan
from faultcell.models.timegan import TimeGan
from faultcell.models.vae import TimeVae

KINDS: dict[Kind, Callable[[Shape, Config, float], GenerativeModel]] = {
    "diffusion": lambda shape, c, blur: DiffusionModel(shape, config=c.net, diffusion=c.diffusion, blur=blur),
    "wgan_gp": lambda shape, c, blur: WassersteinGan(shape, config=c.gan, blur=blur),
    "timevae": lambda shape, c, blur: TimeVae(shape, config=c.vae, blur=blur),
    "timegan": lambda shape, c, blur: TimeGan(shape, config=c.timegan, blur=blur),
}


def make(shape: Shape, config: Config) -> GenerativeModel:
    """A model of the configured kind, with fresh weights."""
    return KINDS[config.model](shape, config, (config.finetune or config.train).duration_noise)
