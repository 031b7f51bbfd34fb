"""LabVIEW measurement files (`.lvm`): tab-delimited samples below one header or two.

The channels often have no names. Then a description that lists the columns in their order, beginning with the time, names them.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from faultcell.files.bounded.lines import check_lines
from faultcell.files.cyclers.columns import wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader
from faultcell.files.messages import refuse

COLUMNS = wanted(
    time=("X_Value", "time"),
    voltage=("voltage", "Voltage (*)", "voltage [*]"),
    current=("current", "Current (*)", "current [*]"),
    surface=("battery temp", "battery temperature", "cell temperature", "temperature"),
    ambient=("chamber temp", "chamber temperature", "ambient temperature"),
)
END = "***End_of_Header***"
_LISTED = re.compile(r"lumns\s+are\s*:\s*(.+)", re.IGNORECASE)


def load(path: Path) -> pl.DataFrame:
    """The samples under the names of their channels.

    Raises:
        DataError: no table is found, or its columns have no names.
    """
    check_lines(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    # One header for the file, and one before each segment of samples.
    above, *segments = text.split(END)
    if not segments:
        refuse(path, found="no end of its header", expected="samples below a header", action="export it anew")
    below = segments[-1] if len(segments) < 3 else _joined(segments[1:])
    above += "".join(segments[:1]) if len(segments) > 1 else ""
    separator = "," if re.search(r"Separator\s+Comma", above) else "\t"
    lines = [line for line in below.splitlines() if line.strip()]
    names = [name.strip() for name in lines[0].split(separator)] if lines else []
    rows = [line.split(separator) for line in lines[1:]]
    if len(rows) > 1 and len(rows[-1]) < len(rows[-2]):
        rows.pop()  # it breaks off
    width = min((len(row) for row in rows), default=0)
    if not width:
        refuse(path, found="no samples below the header", expected="one row a sample", action="export it anew")
    names = _described(path, names[:width], above)
    table = {name: [row[place].strip() for row in rows] for place, name in enumerate(names)}
    comma = bool(re.search(r"Decimal_Separator\s+,", above))
    columns = (pl.Series(name, values, dtype=pl.String) for name, values in table.items())
    return pl.DataFrame([column.str.replace(",", ".", literal=True) if comma else column for column in columns])


def _joined(segments: list[str]) -> str:
    """The samples of all segments, each without the header of the next."""
    parts = [[line for line in part.partition("\nChannels")[0].splitlines() if line.strip()] for part in segments]
    return "\n".join([*parts[0], *(line for part in parts[1:] for line in part[1:])])


def _described(path: Path, names: list[str], above: str) -> list[str]:
    """The names of the columns; where channels have none, those of the description as far as it goes."""
    if not any(name.lower().startswith("untitled") for name in names):
        return names
    listed = _LISTED.search(above)
    if listed is None:
        action = "name the channels, or say which column is which in a file for --mapping"
        refuse(path, found="channels without a name", expected="voltage and current among their names", action=action)
    told = [re.sub(r"^and\s+", "", name.strip()) for name in re.split(r"[,;\t]", listed.group(1)) if name.strip()]
    # With more columns than names nobody knows where one was left out: only time, current and voltage, which come first, count.
    sure = (told if len(told) == len(names) else told[:3])[: len(names)]
    return [*sure, *(f"column {place}" for place in range(len(sure), len(names)))]


def is_measurement(_: Path, start: bytes) -> bool:
    """Whether the file is one, from its first words."""
    return start.lstrip(b"\xef\xbb\xbf").startswith(b"LabVIEW Measurement")


LABVIEW = Reader("LabVIEW .lvm", COLUMNS, curves, sign=None, detects=is_measurement, load=load)
