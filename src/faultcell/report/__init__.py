"""Self-contained HTML pages that show figures beside the numbers, and the same numbers as text.

blocks.py    what a page consists of, as data
scores.py    the page of one generated set
results.py   the page of a file of scores or of gain
dot_plot.py  sources side by side, a panel for each measure
arms.py      which arms of a study's classifiers stand for what
folder.py    what lies in a study's folder
sections/    the parts of a study's page, one file each
study.py     that page
describe.py  what a curve set, a bundle or a file of results is, as text

Names are loaded when first used: the page of a generated set needs none of the study's imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

if TYPE_CHECKING:
    from faultcell.report.results import write_results
    from faultcell.report.scores import COLUMNS, page
    from faultcell.report.study import study_page, write_study

_HOME = {
    "COLUMNS": "scores",
    "page": "scores",
    "study_page": "study",
    "write_results": "results",
    "write_study": "study",
}

__all__ = ["COLUMNS", "page", "study_page", "write_results", "write_study"]


__getattr__ = lazy(__name__, _HOME)
