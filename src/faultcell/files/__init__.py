"""Files in and out: curve sets, cycler recordings, and outputs that are written whole or not at all."""

from __future__ import annotations

from faultcell.files.curve_set import read, write, write_blocks
from faultcell.files.cyclers.ingest import FileReport, Intake, UserMapping, ingest, ingest_into
from faultcell.runtime.lazy import moved

__all__ = ["FileReport", "Intake", "UserMapping", "ingest", "ingest_into", "read", "write", "write_blocks"]

__getattr__ = moved(__name__, {"Told": "faultcell.files:UserMapping"})
