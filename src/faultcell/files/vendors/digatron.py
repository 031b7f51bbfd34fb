"""Digatron: CSV exports, units behind a hash in the names or in a line of their own below them; + = charge."""

from __future__ import annotations

from faultcell.files.cells import curves
from faultcell.files.columns import wanted
from faultcell.files.engine import Reader

COLUMNS = wanted(
    time=("Program Duration#*", "Prog Time", "Program Duration"),
    voltage=("Voltage#*", "Voltage"),
    current=("Current#*", "Current"),
    cycle=("Cycle#*", "Cycle"),
    surface=("Temperature#*", "LogTemp001#*"),
    state=("Status",),
)

DIGATRON = Reader("Digatron CSV", COLUMNS, curves)
