"""Figures, and self-contained HTML pages that show them beside the numbers.

canvas.py    one style, and the one place that imports matplotlib
looks.py     names, colours and markers, the same on every figure
blocks.py    what a page consists of, as data
dots.py      sources side by side, a panel for each measure
overlays.py  real and drawn curves, one over the other
singles.py   single drawn curves, large, over the real one
gone_wrong.py  normal curves and the faults drawn from them
bands.py     bands of drawn curves, and the real ones within
bars.py      before and after, with intervals
scores.py    the page of one generated set
results.py   the page of a file of scores or of gain
folder.py    what lies in a study's folder
sections/    the parts of a study's page, one file each
study.py     that page

Names are loaded when first used: the page of a generated set needs none of the study's imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.lazy import lazy

if TYPE_CHECKING:
    from faultcell.report.bands import band_figure
    from faultcell.report.gone_wrong import gone_wrong_figure
    from faultcell.report.overlays import adherence, overlay
    from faultcell.report.results import write_results
    from faultcell.report.scores import COLUMNS, page
    from faultcell.report.singles import single_curves
    from faultcell.report.study import study_page, write_study

_HOME = {
    "COLUMNS": "scores",
    "adherence": "overlays",
    "band_figure": "bands",
    "gone_wrong_figure": "gone_wrong",
    "overlay": "overlays",
    "page": "scores",
    "single_curves": "singles",
    "study_page": "study",
    "write_results": "results",
    "write_study": "study",
}

__all__ = [
    "COLUMNS",
    "adherence",
    "band_figure",
    "gone_wrong_figure",
    "overlay",
    "page",
    "single_curves",
    "study_page",
    "write_results",
    "write_study",
]


__getattr__ = lazy(__name__, _HOME)
