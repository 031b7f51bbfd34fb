"""Scores of a generated set against real curves of the same conditions, beside the cheap sources it must beat."""

from __future__ import annotations

from faultcell.scoring.pairing import same_part
from faultcell.scoring.resample import POINTS
from faultcell.scoring.scores import COLUMNS, PROTOCOL, SET_COLUMNS, EnsembleScore, Score, Scores, SetScore, SourceScores
from faultcell.scoring.side_by_side import BESIDE, evaluate

__all__ = [
    "BESIDE",
    "COLUMNS",
    "POINTS",
    "PROTOCOL",
    "SET_COLUMNS",
    "EnsembleScore",
    "Score",
    "Scores",
    "SetScore",
    "SourceScores",
    "evaluate",
    "same_part",
]
