"""Maccor: text exports. Currents, at times in mA, have no sign, the column of the state tells; a time without unit may count
minutes, voltages may be in mV.
"""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("Test (*)", "TestTime(*)", "Test Time (*)", "TestTime", "Test Time"),
    voltage=("Volts", "Voltage [*]", "Voltage (*)", "Voltage"),
    current=("Amps", "*mps", "Current [*]", "Current (*)", "Current"),
    cycle=("Cyc#", "Cycle C", "Cycle"),
    surface=("Temp 1", "EVTemp (*)", "Temp 1 (*)"),
    state=("State", "Md"),
    date=("DPT Time", "DPt Time"),
    record=("Rec#", "Rec"),
)

MACCOR = Reader("Maccor text", COLUMNS, curves, may_be_millivolt=True)
