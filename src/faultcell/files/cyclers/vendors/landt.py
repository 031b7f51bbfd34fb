"""Landt (LANHE): CSV, text and XLSX exports; the discharge currents of some are positive."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("TestTime/*", "Test Time/*", "Test Time / *", "Test(*)", "TestTime", "测试时间/*", "测试时间"),
    voltage=("Voltage/*", "Voltage / *", "Volts", "电压/*"),
    current=("Current/*", "Current / *", "Amps", "电流/*"),
    cycle=("Cycle", "Cyc#", "循环序号"),
    state=("State", "WorkMode", "Md", "工作模式"),
    date=("SysTime", "系统时间"),
)

LANDT = Reader("Landt", COLUMNS, curves)
