"""Basytec: text exports, a line of names behind a tilde; + = charge."""

from __future__ import annotations

from faultcell.files.cells import curves
from faultcell.files.columns import wanted
from faultcell.files.engine import Reader

COLUMNS = wanted(
    time=("Time[*]", "Time [*]"),
    voltage=("U[*]", "U1[*]", "U [*]"),
    current=("I[*]", "I1[*]", "I [*]"),
    cycle=("Cyc-Count",),
    surface=("T1[*]", "T[*]", "T1 [*]"),
    state=("Command",),
)

BASYTEC = Reader("Basytec text", COLUMNS, curves, mark="basytec")
