"""JSON files of results and settings, read with a bound on their size and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from faultcell.errors import DataError, first_line

# Scores of a thousand cells have a megabyte or two. Lists within lists take thirty times their text in memory.
MOST_BYTE = 12 * 2**20


def read_json(path: Path, *, expected: str) -> Any:
    """What a JSON file holds.

    Args:
        path: the file.
        expected: what it should be and what to do else, for the message.

    Raises:
        DataError: it cannot be read, is no JSON, or is absurdly large or deep.
    """
    try:
        if path.stat().st_size > MOST_BYTE:
            raise ValueError(f"it has more than {MOST_BYTE // 2**20} MiB")
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise DataError(f"{path}: found lists within lists without end, expected {expected}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: found no JSON ({first_line(error, 120)}), expected {expected}") from error
