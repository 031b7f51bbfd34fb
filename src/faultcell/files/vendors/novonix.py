"""Novonix UHPC: CSV exports, the summary and the protocol of the test in the lines above the table; + = charge."""

from __future__ import annotations

from faultcell.files.cells import curves
from faultcell.files.columns import wanted
from faultcell.files.engine import Reader

COLUMNS = wanted(
    time=("Run Time (*)",),
    voltage=("Potential (*)", "Voltage (*)"),
    current=("Current (*)",),
    cycle=("Cycle Number",),
    surface=("Temperature (*)",),
)

NOVONIX = Reader("Novonix CSV", COLUMNS, curves)
