"""Digatron: CSV exports, units behind a hash in the names or in a line of their own below them; + = charge."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("Program Duration#*", "Prog Time", "Program Duration"),
    voltage=("Voltage#*", "Voltage"),
    current=("Current#*", "Current"),
    cycle=("Cycle#*", "Cycle"),
    surface=("Temperature#*", "LogTemp001#*"),
    state=("Status",),
)

DIGATRON = Reader("Digatron CSV", COLUMNS, curves)
