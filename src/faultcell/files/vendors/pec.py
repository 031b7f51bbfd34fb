"""PEC: CSV exports, what is known of the test in the lines above the table."""

from __future__ import annotations

from faultcell.files.cells import curves
from faultcell.files.columns import wanted
from faultcell.files.engine import Reader

COLUMNS = wanted(
    time=("Total Time (Hours in hh:mm:ss.xxx)", "Total Time (*)", "Total Time"),
    voltage=("Voltage (*)",),
    current=("Current (*)",),
    cycle=("Cycle",),
    state=("Instruction Name",),
    date=("Real Time",),
)

PEC = Reader("PEC CSV", COLUMNS, curves, mark="testregime")
