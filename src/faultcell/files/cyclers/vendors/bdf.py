"""The Battery Data Format: CSV or Parquet with machine names or preferred labels, + = charge.

Names, units and sign: Battery Data Format ontology 1.3.0, Battery Data Alliance. `cell_id` and the rated limits are our own.
"""

from __future__ import annotations

from faultcell.files.cyclers.columns import Column
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader
from faultcell.files.cyclers.segment import CARRIED

COLUMNS = (
    Column("time", ("test_time_second", "Test Time / *", "unix_time_second", "Unix Time / *"), unit="s", needed=True),
    Column("voltage_volt", ("voltage_volt", "Voltage / *"), unit="V", needed=True),
    Column("current_ampere", ("current_ampere", "Current / *"), unit="A", needed=True),
    Column("cycle_count", ("cycle_count", "Cycle Count / 1", "Cycle Count")),
    Column("cell_id", ("cell_id",)),
    Column("surface_temperature_celsius", ("surface_temperature_celsius", "Surface Temperature / *", "temperature_t1_celsius",
           "Temperature T1 / *"), unit="degC"),
    Column("ambient_temperature_celsius", ("ambient_temperature_celsius", "Ambient Temperature / *"), unit="degC"),
    Column("lower_voltage_limit_volt", ("lower_voltage_limit_volt",), unit="V"),
    Column("upper_voltage_limit_volt", ("upper_voltage_limit_volt",), unit="V"),
    Column("nominal_capacity_ah", ("nominal_capacity_ah",), unit="Ah"),
    Column("step_type", ("step_type",)),
    *(Column(name, (name,)) for name in CARRIED),
)  # fmt: skip

BDF = Reader("Battery Data Format", COLUMNS, curves)
