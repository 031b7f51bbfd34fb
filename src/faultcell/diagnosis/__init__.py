"""What added curves are worth to fault classifiers, on cells that none of them has seen.

views.py   what a classifier sees of a curve: the whole of it, or only what lies inside the rated limits
tasks.py   one fault against normal curves of the same half-cycle, and what an arm adds to it
alarms.py  how good the alarms of a fitted classifier are
gain.py    the record: every fit, means, paired tests, and what they say in words
run.py     all arms, classifiers and seeds
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faultcell.diagnosis.gain import Gain
    from faultcell.diagnosis.run import CLASSIFIERS, classify

__all__ = ["CLASSIFIERS", "Gain", "classify"]


def __getattr__(name: str) -> Any:
    """Names are loaded when first used: to read a record needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'faultcell.diagnosis' has no attribute '{name}'")
    return getattr(import_module(f"faultcell.diagnosis.{'gain' if name == 'Gain' else 'run'}"), name)
