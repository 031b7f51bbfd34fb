"""Text looked through before it is read as a table: readers of CSV take a hundred times its size for some that are none."""

from __future__ import annotations

from pathlib import Path

from faultcell.files.messages import refuse

# A line of a table has some kilobytes at most, and a quoted text in it, too.
MOST_LINE_BYTE = 2**20
# A row of time, voltage and current has six bytes at least; fewer are blank lines, of which a few do no harm.
LEAST_ROW_BYTE, FREE_BYTE = 4, 4 * 2**20
_BEFORE_QUOTE, _BEHIND_QUOTE = b",;\t\n\r", b',;\t\n\r"'


def check_lines(path: Path) -> None:
    """Raise DataError where a line or a quoted text has no end, or hardly anything stands in the lines."""
    done, lines, line_start, opened = 0, 0, 0, -1
    with path.open("rb") as file:
        while chunk := file.read(MOST_LINE_BYTE):
            end = chunk.rfind(b"\n")
            first = chunk.find(b"\n")
            length = done + (first if first >= 0 else len(chunk)) - line_start
            if length > MOST_LINE_BYTE:
                _refuse(path, lines, f"a line of more than {MOST_LINE_BYTE} bytes")
            if opened >= 0 and b'"' not in chunk and done + len(chunk) - opened > MOST_LINE_BYTE:
                _refuse(path, lines, "a quote that does not end")
            opened = _opened(chunk, done, opened)
            lines += chunk.count(b"\n")
            done, line_start = done + len(chunk), done + end + 1 if end >= 0 else line_start
    if done > FREE_BYTE and lines * LEAST_ROW_BYTE > done:
        _refuse(path, lines, f"{lines} lines in {done} bytes")


def _opened(chunk: bytes, done: int, before: int) -> int:
    """Where in the file the last quote stands, if a text begins with it; -1 if none does."""
    last = chunk.rfind(b'"')
    if last < 0:
        return before
    begins = last == 0 or chunk[last - 1] in _BEFORE_QUOTE
    ends = last + 1 == len(chunk) or chunk[last + 1] in _BEHIND_QUOTE
    return done + last if begins and not ends else -1


def _refuse(path: Path, line: int, found: str) -> None:
    refuse(path, f"line {line + 1}", found=found, expected="one short line for each sample", action="export it anew")
