"""BioLogic: `.mpt` text exports of EC-Lab and BT-Lab; oxidation, which charges a full cell, is +."""

from __future__ import annotations

from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader

COLUMNS = wanted(
    time=("time/*",),
    voltage=("Ecell/*", "<Ecell>/*", "Ewe-Ece/*", "Ewe/*", "<Ewe>/*"),
    current=("I/*", "<I>/*"),
    cycle=("cycle number",),
    surface=("Temperature/*",),
)

BIOLOGIC = Reader("BioLogic .mpt", COLUMNS, curves, mark="-lab ascii file")
