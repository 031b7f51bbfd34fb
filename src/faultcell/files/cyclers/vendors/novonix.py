"""Novonix UHPC: CSV exports, the summary and the protocol of the test in the lines above the table; + = charge."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("Run Time (*)",),
    voltage=("Potential (*)", "Voltage (*)"),
    current=("Current (*)",),
    cycle=("Cycle Number",),
    surface=("Temperature (*)",),
)

NOVONIX = Reader("Novonix CSV", COLUMNS, curves)
