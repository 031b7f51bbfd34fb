"""Basytec: text exports, a line of names behind a tilde; + = charge."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("Time[*]", "Time [*]"),
    voltage=("U[*]", "U1[*]", "U [*]"),
    current=("I[*]", "I1[*]", "I [*]"),
    cycle=("Cyc-Count",),
    surface=("T1[*]", "T[*]", "T1 [*]"),
    state=("Command",),
)

BASYTEC = Reader("Basytec text", COLUMNS, curves, mark="basytec")
