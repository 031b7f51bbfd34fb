"""What added curves are worth to fault classifiers, on cells that none of them has seen.

views.py     what a classifier sees of a curve: the whole of it, or only what lies inside the rated limits
tasks.py     one fault against normal curves of the same half-cycle, and what an arm adds to it
measures.py  how good the alarms of a fitted classifier are
fitting.py   one net, fitted on one arm
gain.py      the record: every fit, means, paired tests, and what they say in words
run.py       all arms, classifiers and seeds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

if TYPE_CHECKING:
    from faultcell.diagnosis.gain import Gain
    from faultcell.diagnosis.run import CLASSIFIERS, classify

__all__ = ["CLASSIFIERS", "Gain", "classify"]


# To read what a run has left needs no torch.
__getattr__ = lazy(__name__, {"CLASSIFIERS": "run", "Gain": "gain", "classify": "run"})
