"""FaultCell: draws lithium-ion fault curves of a requested type and severity.

It learns from many normal charge and discharge curves, adapts to a handful of faults, and is scored on cells it has never
seen, beside the cheap sources it must beat. Names are loaded when first used: importing the package is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.lazy import lazy

if TYPE_CHECKING:
    from faultcell.augmentation import augment
    from faultcell.augmenter import Augmenter
    from faultcell.bands import Band, draw_band
    from faultcell.conditions import between, conditions_of
    from faultcell.config import Config, FinetuneConfig
    from faultcell.controls import CHEAP, Bootstrap, Interpolate, Jitter, Scaling, Smote, TimeWarp
    from faultcell.counterfactuals import counterfactual
    from faultcell.curves import FAULTS, Condition, Curves, Fault, Limits, Load, Source, grid
    from faultcell.diagnosis import Gain, classify
    from faultcell.estimators import FaultAugmenter
    from faultcell.exchange import from_pandas, from_polars, from_pybamm, to_bdf, to_numpy3d, to_pandas, to_polars
    from faultcell.files import ingest, read, write
    from faultcell.replay import MeanCurve, Replay
    from faultcell.scoring import Scores, evaluate
    from faultcell.severity import measure

__version__ = "0.1.0"

_HOME = {
    "Augmenter": "augmenter",
    "Band": "bands",
    "Bootstrap": "controls",
    "CHEAP": "controls",
    "Condition": "curves",
    "Config": "config",
    "Curves": "curves",
    "FAULTS": "curves",
    "Fault": "curves",
    "FaultAugmenter": "estimators",
    "FinetuneConfig": "config",
    "Gain": "diagnosis",
    "Interpolate": "controls",
    "Jitter": "controls",
    "Limits": "curves",
    "Load": "curves",
    "MeanCurve": "replay",
    "Replay": "replay",
    "Scaling": "controls",
    "Scores": "scoring",
    "Smote": "controls",
    "Source": "curves",
    "TimeWarp": "controls",
    "augment": "augmentation",
    "between": "conditions",
    "classify": "diagnosis",
    "conditions_of": "conditions",
    "counterfactual": "counterfactuals",
    "draw_band": "bands",
    "evaluate": "scoring",
    "from_pandas": "exchange",
    "from_polars": "exchange",
    "from_pybamm": "exchange",
    "grid": "curves",
    "ingest": "files",
    "measure": "severity",
    "read": "files",
    "to_bdf": "exchange",
    "to_numpy3d": "exchange",
    "to_pandas": "exchange",
    "to_polars": "exchange",
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
