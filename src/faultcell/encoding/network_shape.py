"""How large a network is: as the grid and the condition vector say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from faultcell.config import Config
from faultcell.encoding.condition_vector import SUPPORT_FEATURES, ConditionEncoder
from faultcell.encoding.grid import CHANNELS
from faultcell.models.base import GenerativeModel, Shape
from faultcell.models.registry import make


def network_of(config: Config, faults: Sequence[str]) -> GenerativeModel:
    """A network with weights as they are at first, for a model that knows these faults."""
    vocabulary = ConditionEncoder(tuple(faults))
    hidden = vocabulary.history & (not config.net.history_in_curve) | vocabulary.context & (not config.net.context_in_curve)
    hidden = np.append(hidden, np.zeros(len(SUPPORT_FEATURES), dtype=bool))
    sections = (config.grid.head, config.grid.tail)
    shape = Shape(
        len(CHANNELS),
        sections=sections,
        known=1,
        hidden=torch.from_numpy(np.tile(hidden, 2)),
        support_features=len(SUPPORT_FEATURES),
        radii=config.neighbours.expect,
        durations_told=config.net.durations_in_curve,
    )
    return make(shape, config)
