"""TOML that a user wrote: bounded, and refused in one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from faultcell.errors import DataError, first_line

MOST_TOML_BYTE = 2**20


def read_toml(path: Path, *, example: str) -> dict[str, Any]:
    """What a file says.

    Args:
        path: the file.
        example: a line that could stand in it, for the message.

    Raises:
        DataError: there is no such file, it is too large, or no TOML.
    """
    try:
        if path.stat().st_size > MOST_TOML_BYTE:
            raise DataError(f"{path}: found more than {MOST_TOML_BYTE} bytes, expected some lines of TOML: shorten it")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise DataError(f"{path}: found lists within lists without end, expected TOML: correct it") from error
    except OSError as error:
        raise DataError(f"{path}: found no such file, expected TOML: check the path") from error
    except ValueError as error:
        raise DataError(f"{path}: found no TOML ({first_line(error)}), expected lines like `{example}`: correct it") from error
