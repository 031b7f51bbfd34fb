"""The vocabulary: a fault, rated limits, a condition, a set of curves, and the one verb of every source.

schema.py        columns, units, names
condition.py     what a curve is asked to be; `FAULTS`
curves.py        a set of curves
per_curve.py     figures of each curve of a set at once
severity.py      the severity of faults, measured
conditions.py    the condition of each curve of a set, and new ones between known ones
plausibility.py  what a cell can do, as training curves showed it
fingerprint.py   the SHA-256 of a set
"""

from __future__ import annotations

from faultcell.curves.condition import Condition, Limits, Load, grid
from faultcell.curves.curves import Curves, Source, loaded_part
from faultcell.curves.faults import FAULTS, Fault, Severity, fault
from faultcell.curves.schema import HALFCYCLES, KEYS, MARKS, NORMAL, REST_C_RATE, SEVERITY, TIMESERIES, Array, Key, Side

__all__ = [
    "FAULTS",
    "HALFCYCLES",
    "KEYS",
    "MARKS",
    "NORMAL",
    "REST_C_RATE",
    "SEVERITY",
    "TIMESERIES",
    "Array",
    "Condition",
    "Curves",
    "Fault",
    "Key",
    "Limits",
    "Load",
    "Severity",
    "Side",
    "Source",
    "fault",
    "grid",
    "loaded_part",
]
