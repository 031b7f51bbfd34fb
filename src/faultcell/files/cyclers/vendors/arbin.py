"""Arbin: CSV and XLSX exports of MITS Pro, and batteryarchive.org, whose files have the same columns; + = charge."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("Test_Time(*)", "Test_Time (*)", "Test Time (*)", "Test Time(*)", "Test_Time", "Test Time"),
    voltage=("Voltage(*)", "Voltage (*)", "Voltage"),
    current=("Current(*)", "Current (*)", "Current"),
    cycle=("Cycle_Index", "Cycle Index", "Cycle_ID", "Cycle ID"),
    surface=("Cell_Temperature (*)", "Aux_Temperature(*)_1", "Aux_Temperature_1(*)", "Aux_Temperature_1 (*)",
             "Temperature (*)_1", "Temperature"),
    ambient=("Environment_Temperature (*)",),
    state=("Md", "State", "Step Type"),
    date=("Date_Time", "Date Time", "DateTime"),
)  # fmt: skip

ARBIN = Reader("Arbin or batteryarchive.org", COLUMNS, curves)
