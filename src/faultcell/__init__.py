"""FaultCell: draws lithium-ion fault curves of a requested type and severity.

It learns from many normal charge and discharge curves, adapts to a handful of faults, and is scored on cells it has never
seen, beside the cheap sources it must beat. Names are loaded when first used: importing the package is instant.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

# Read when torch is loaded: threads that wait for each other by spinning take the cores from whoever would let them go on.
# Beside one other busy process that made drawing on two threads twenty times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from faultcell.arrays.sampler import FaultAugmenter
    from faultcell.augmentation import augment
    from faultcell.augmenter import Augmenter
    from faultcell.bands import Band, draw_band
    from faultcell.baselines.classical import CHEAP, Bootstrap, Interpolate, Jitter, Scaling, Smote, TimeWarp
    from faultcell.baselines.replay import MeanCurve, Replay
    from faultcell.config import Config, FinetuneConfig
    from faultcell.curves.condition import Condition, Limits, Load, grid
    from faultcell.curves.conditions import between, conditions_of
    from faultcell.curves.curves import Curves, Source
    from faultcell.curves.faults import FAULTS, Fault
    from faultcell.curves.severity import measure
    from faultcell.diagnosis import Gain, classify
    from faultcell.files import ingest, read, write
    from faultcell.files.embedded import demo_data
    from faultcell.files.exchange import from_pandas, from_polars, to_bdf, to_numpy3d, to_pandas, to_polars
    from faultcell.generation.counterfactuals import counterfactual
    from faultcell.scoring import Scores, evaluate
    from faultcell.simulate.from_pybamm import from_pybamm

__version__ = "0.1.0"

_HOME = {
    "Augmenter": "augmenter",
    "Band": "bands",
    "Bootstrap": "baselines.classical",
    "CHEAP": "baselines.classical",
    "Condition": "curves",
    "Config": "config",
    "Curves": "curves",
    "FAULTS": "curves",
    "Fault": "curves",
    "FaultAugmenter": "arrays.sampler",
    "FinetuneConfig": "config",
    "Gain": "diagnosis",
    "Interpolate": "baselines.classical",
    "Jitter": "baselines.classical",
    "Limits": "curves",
    "Load": "curves",
    "MeanCurve": "baselines.replay",
    "Replay": "baselines.replay",
    "Scaling": "baselines.classical",
    "Scores": "scoring",
    "Smote": "baselines.classical",
    "Source": "curves",
    "TimeWarp": "baselines.classical",
    "augment": "augmentation",
    "between": "curves.conditions",
    "classify": "diagnosis",
    "conditions_of": "curves.conditions",
    "counterfactual": "generation.counterfactuals",
    "demo_data": "files.embedded",
    "draw_band": "bands",
    "evaluate": "scoring",
    "from_pandas": "files.exchange",
    "from_polars": "files.exchange",
    "from_pybamm": "simulate.from_pybamm",
    "grid": "curves",
    "ingest": "files",
    "measure": "curves.severity",
    "read": "files",
    "to_bdf": "files.exchange",
    "to_numpy3d": "files.exchange",
    "to_pandas": "files.exchange",
    "to_polars": "files.exchange",
    "write": "files",
}

__all__ = [
    "CHEAP",
    "FAULTS",
    "Augmenter",
    "Band",
    "Bootstrap",
    "Condition",
    "Config",
    "Curves",
    "Fault",
    "FaultAugmenter",
    "FinetuneConfig",
    "Gain",
    "Interpolate",
    "Jitter",
    "Limits",
    "Load",
    "MeanCurve",
    "Replay",
    "Scaling",
    "Scores",
    "Smote",
    "Source",
    "TimeWarp",
    "augment",
    "between",
    "classify",
    "conditions_of",
    "counterfactual",
    "demo_data",
    "draw_band",
    "evaluate",
    "from_pandas",
    "from_polars",
    "from_pybamm",
    "grid",
    "ingest",
    "measure",
    "read",
    "to_bdf",
    "to_numpy3d",
    "to_pandas",
    "to_polars",
    "write",
]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
