"""JSON files of results and settings, read with a bound on their size and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from faultcell.errors import DataError, first_line

# Scores of ten thousand cells have 48 MB, two million numbers and a hundred thousand groups of them. Of values without end,
# some bytes of text each, Python makes thirty times as many in memory.
MOST_BYTE, MOST_VALUES, MOST_GROUPS = 48 * 2**20, 3_000_000, 500_000


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
        content = path.read_bytes()
        if content.count(b",") > MOST_VALUES or content.count(b"[") + content.count(b"{") > MOST_GROUPS:
            raise ValueError(f"it has more than {MOST_VALUES} values or {MOST_GROUPS} groups of them")
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise DataError(f"{path}: found lists within lists without end, expected {expected}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: found no JSON ({first_line(error, 120)}), expected {expected}") from error
