"""The one sentence of a wrong input: where, what was found, what was expected, what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from faultcell.errors import DataError


def refuse(where: str | Path, place: str = "", *, found: str, expected: str, action: str) -> NoReturn:
    """Raise DataError with that sentence.

    Args:
        where: file or folder.
        place: row, curve or column in it.
        found: what is there.
        expected: what should be.
        action: what to do next.
    """
    prefix = f"{where}: {place}" if place else str(where)
    raise DataError(f"{prefix}: found {found}, expected {expected}: {action}")
