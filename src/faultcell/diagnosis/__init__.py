"""What added curves are worth to fault classifiers, on cells that none of them has seen.

views.py        what a classifier sees of a curve: all of it, what lies inside the rated limits, or more than the curve
tasks.py        one fault against normal curves of the same kind of record, and what an arm adds to it
measures.py     how good the alarms of a fitted classifier are
detection.py    from which severity on a fault is found, and how late
fitting.py      one net, fitted on one arm
model_based.py  the rival: limits, one number of a curve, a filter and a thermal model, and all of them together
cell_model.py   the circuit and the thermal model of one cell, from its own normal curves
gain.py         the record: every fit, means, paired tests, and what they say in words
run.py          all arms, classifiers and seeds
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
