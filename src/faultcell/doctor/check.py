"""What a check gives."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]
# Facts, problems that must be mended, and warnings: each of these a sentence with its remedy.
Look = tuple[Facts, list[str], list[str]]
