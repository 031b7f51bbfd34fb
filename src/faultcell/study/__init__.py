"""The paper's study, made honest: generators, baselines, cheap controls, ablations and classifiers on cells held out.

- `plan.py`: budgets, and the variants that the ablations compare
- `split.py`: the curves, divided by cell
- `jobs.py`: the work: pre-train, adapt, draw, score; each result a file, so that a study can be gone on with
- `pearson.py`: severity attributes against waveforms
- `tables.py`: results as flat tables
- `claims.py`: which of the paper's claims hold
- `findings.py`: what the numbers say, in sentences made from them
- `paper.py`: what the paper reports
- `stages.py`: all of it in order
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

if TYPE_CHECKING:
    from faultcell.study.plan import StudyConfig
    from faultcell.study.stages import run

__all__ = ["StudyConfig", "run"]


# To read what a run has left needs no torch.
__getattr__ = lazy(__name__, {"StudyConfig": "plan", "run": "stages"})
