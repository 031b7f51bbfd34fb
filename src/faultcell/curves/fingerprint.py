"""The SHA-256 of a curve set."""

from __future__ import annotations

import hashlib

import polars as pl

from faultcell.curves.curves import Curves


def fingerprint(curves: Curves) -> str:
    """SHA-256 of all that a set says: each column of both tables, its name and its values."""
    digest = hashlib.sha256()
    for table in (curves.halfcycles, curves.timeseries):
        for name in sorted(table.columns):
            column = table[name]
            text = column.cast(pl.String) if column.dtype in (pl.Categorical, pl.Enum) else column  # not by their numbers
            digest.update(f"{name}\0".encode())
            digest.update(text.hash(seed=0).to_numpy().tobytes())
    return digest.hexdigest()
