"""Recordings and the real data of others, as tests of files and of what reads them share them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("FAULTCELL_REAL_DATA", ROOT.parent / "shared" / "data"))
LIMITS = {"lower": 2.7, "upper": 4.2}


def real(name: str) -> Path:
    found = sorted(REAL.glob(name))
    if not found:
        pytest.skip(f"no {name} under FAULTCELL_REAL_DATA")
    return found[0]


def save(table, path):
    table.write_csv(path)
    return path
