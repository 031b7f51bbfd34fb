"""What the command line says on standard error: warnings, progress off a terminal, and details for those who ask.

Everything goes through the logger `faultcell`, as of any library: programs that import it set their own handlers.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from typing import Annotated

import typer

LEVELS = ("debug", "info", "warning", "error")
EVERY_SECONDS = 10.0  # between two lines of progress
LOGGER = logging.getLogger("faultcell")


class _Sentence(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind = {logging.WARNING: "warning: ", logging.DEBUG: f"debug: {record.name.removeprefix('faultcell.')}: "}
        return f"faultcell: {kind.get(record.levelno, '')}{record.getMessage()}"


class _Standard(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what `sys.stderr` is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _level(value: str) -> str:
    from faultcell.cli.common import check

    check("--log-level", value.lower(), LEVELS)
    LOGGER.setLevel(value.upper())
    return value


LogLevel = Annotated[
    str,
    typer.Option(
        envvar="FAULTCELL_LOG_LEVEL",
        callback=_level,
        metavar="LEVEL",
        help="debug, info, warning or error: what is said on standard error.",
    ),
]


def begin() -> None:
    """Send the logger, and warnings through it, to standard error."""
    if not any(isinstance(handler, _Standard) for handler in LOGGER.handlers):
        handler = _Standard()
        handler.setFormatter(_Sentence())
        LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    warnings.showwarning = lambda message, *_args, **_more: LOGGER.warning("%s", message)


class Lines:
    """Progress where nobody sees a bar: a line every ten seconds, none of what is done before.

    Args:
        every: seconds between two lines.
    """

    def __init__(self, every: float = EVERY_SECONDS) -> None:
        self.every = every
        self._began: dict[str, tuple[float, int]] = {}
        self._said = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of it, and say so where a line is due."""
        now = time.monotonic()
        began, before = self._began.setdefault(what, (now, done))  # a resumed run begins in the middle
        if now - self._said < self.every:
            return
        self._said = now
        left = (now - began) / (done - before) * (total - done) if done > before else None
        LOGGER.info("%s: %d of %d%s", what, done, total, "" if left is None else f", {left:.0f} s left")
