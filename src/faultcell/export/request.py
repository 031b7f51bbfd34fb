"""Which classifier is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from faultcell.diagnosis.views import PLAIN
from faultcell.errors import ConditionError
from faultcell.models.classifiers import NETS, STEPS

LOSS = 0.01  # recall that int8 may cost


@dataclass(frozen=True)
class Order:
    """What is to be exported.

    Attributes:
        fault: that is told from normal curves of the same half-cycle; may be left out where the training set has one only.
        classifier: a name of `models.classifiers.NETS`.
        view: a name of `diagnosis.views.PLAIN`.
        steps: optimiser steps.
        seed: of weights, batches and of the cells held out.
        tolerance: recall of a class that the int8 version may lose, 0 to 1.
    """

    fault: str | None = None
    classifier: str = "cnn"
    view: str = "whole"
    steps: int = STEPS
    seed: int = 0
    tolerance: float = LOSS

    def __post_init__(self) -> None:
        for option, value, known in (("--classifier", self.classifier, NETS), ("--view", self.view, PLAIN)):
            if value not in known:
                raise ConditionError(f"{option} takes {', '.join(known)}, found '{value}'")
