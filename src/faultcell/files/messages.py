"""The one sentence of a wrong input: where, what was found, what was expected, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from faultcell.errors import DataError

# A sentence names so many columns, and so much of a name.
MOST_NAMES, MOST_LETTERS, MOST_PART = 20, 60, 600


def refuse(where: str | Path, place: str = "", *, found: str, expected: str, action: str) -> NoReturn:
    """Raise DataError with that sentence.

    Args:
        where: file or folder.
        place: row, curve or column in it.
        found: what is there.
        expected: what should be.
        action: what to do next.
    """
    prefix = f"{where}: {_short(place)}" if place else str(where)
    raise DataError(f"{prefix}: found {_short(found)}, expected {_short(expected)}: {action}")


def _short(text: str) -> str:
    """What files hold may have many lines, or be very long."""
    return " ".join(text.splitlines())[:MOST_PART]


def some(names: Sequence[str]) -> str:
    """Names for a sentence: the first of them where there are many, and of each the beginning."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(name[:MOST_LETTERS] for name in names[:MOST_NAMES]) + more
