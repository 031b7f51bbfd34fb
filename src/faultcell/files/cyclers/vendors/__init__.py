"""The vendors' formats, one file each. A new one is a `Reader` in a file of its own and a place in this list.

The first reader that detects a file takes it: formats with a mark of their own come before those known by the names of their
columns alone, and these before the plain table.
"""

from __future__ import annotations

from faultcell.files.cyclers.vendors.arbin import ARBIN
from faultcell.files.cyclers.vendors.basytec import BASYTEC
from faultcell.files.cyclers.vendors.bdf import BDF
from faultcell.files.cyclers.vendors.biologic import BIOLOGIC
from faultcell.files.cyclers.vendors.digatron import DIGATRON
from faultcell.files.cyclers.vendors.labview import LABVIEW
from faultcell.files.cyclers.vendors.landt import LANDT
from faultcell.files.cyclers.vendors.maccor import MACCOR
from faultcell.files.cyclers.vendors.nasa import NASA
from faultcell.files.cyclers.vendors.neware import NEWARE, NEWARE_BINARY, NEWARE_REPORT
from faultcell.files.cyclers.vendors.novonix import NOVONIX
from faultcell.files.cyclers.vendors.pec import PEC
from faultcell.files.cyclers.vendors.plain import PLAIN

READERS = (
    NASA,
    NEWARE_BINARY,
    NEWARE_REPORT,
    LABVIEW,
    BIOLOGIC,
    BASYTEC,
    PEC,
    BDF,
    MACCOR,
    NOVONIX,
    DIGATRON,
    ARBIN,
    NEWARE,
    LANDT,
    PLAIN,
)
