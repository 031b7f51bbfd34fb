"""Any table whose columns go by names that are easily understood. The sign of its current is told by the data."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("time", "time (*)", "time [*]", "time / *", "time_*", "t (*)", "t [*]", "t_*", "t/*", "test_time_*", "test time (*)",
          "elapsed time (*)", "total time (*)", "seconds", "Zeit [*]", "Zeit (*)", "t", "timestamp", "datetime", "date"),
    voltage=("voltage", "voltage (*)", "voltage [*]", "voltage / *", "voltage_*", "cell voltage (*)", "U (*)", "U [*]", "U/*",
             "V (*)", "V [*]", "U_*", "V", "U", "Spannung [*]", "Spannung (*)", "Ecell/*", "Ewe/*"),
    current=("current", "current (*)", "current [*]", "current / *", "current_*", "I (*)", "I [*]", "I/*", "I_*", "I",
             "Strom [*]", "Strom (*)"),
    cycle=("cycle", "cycle number", "cycle index", "cycle_index", "cycle_number", "cycle_count", "cycle count", "Zyklus"),
    surface=("temperature", "temperature (*)", "temperature [*]", "temperature_*", "temp (*)", "T (*)", "T [*]", "T_*"),
    ambient=("ambient temperature (*)", "ambient_temperature_*"),
    state=("step type", "step_type", "step_name", "state", "mode"),
)  # fmt: skip

PLAIN = Reader("a table with the names of its columns", COLUMNS, curves, sign=None)
