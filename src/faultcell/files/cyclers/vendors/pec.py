"""PEC: CSV exports, what is known of the test in the lines above the table."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("Total Time (Hours in hh:mm:ss.xxx)", "Total Time (*)", "Total Time"),
    voltage=("Voltage (*)",),
    current=("Current (*)",),
    cycle=("Cycle",),
    state=("Instruction Name",),
    date=("Real Time",),
)

PEC = Reader("PEC CSV", COLUMNS, curves, mark="testregime")
