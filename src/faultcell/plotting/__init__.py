"""Figures, in one style; matplotlib is imported in one file of this room.

theme.py            names, colours and markers, the same on every figure
figures.py          one style, and the one place that imports matplotlib
overlays.py         real and drawn curves, one over the other
singles.py          single drawn curves, large, over the real one
counterfactuals.py  normal curves and the faults drawn from them
bands.py            bands of drawn curves, and the real ones within
bar_plot.py         before and after, with intervals
objects.py          what `plot` of curves, bands, scores, gains and models shows, and their small pictures in notebooks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faultcell.runtime.lazy import lazy

if TYPE_CHECKING:
    from faultcell.plotting.bands import band_figure
    from faultcell.plotting.counterfactuals import gone_wrong_figure
    from faultcell.plotting.overlays import adherence, overlay
    from faultcell.plotting.singles import single_curves

_HOME = {
    "adherence": "overlays",
    "band_figure": "bands",
    "gone_wrong_figure": "counterfactuals",
    "overlay": "overlays",
    "single_curves": "singles",
}

__all__ = ["adherence", "band_figure", "gone_wrong_figure", "overlay", "single_curves"]


__getattr__ = lazy(__name__, _HOME)
