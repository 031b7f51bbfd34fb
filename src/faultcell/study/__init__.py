"""The paper's study, made honest: generators, baselines, cheap controls, ablations and classifiers on cells held out.

- `plan.py`: budgets, and the variants that the ablations compare
- `split.py`: the curves, divided by cell
- `jobs.py`: the work: pre-train, adapt, draw, score; each result a file, so that a study can be gone on with
- `pearson.py`: severity attributes against waveforms
- `tables.py`: results as flat tables
- `findings.py`: what the numbers say, in sentences made from them
- `paper.py`: what the paper reports
- `stages.py`: all of it in order
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faultcell.study.plan import StudyConfig
    from faultcell.study.stages import run

__all__ = ["StudyConfig", "run"]


def __getattr__(name: str) -> Any:
    """Names are loaded when first used: to read a study needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'faultcell.study' has no attribute '{name}'")
    return getattr(import_module(f"faultcell.study.{'plan' if name == 'StudyConfig' else 'stages'}"), name)
