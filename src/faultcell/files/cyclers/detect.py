"""What a file is, told from its content."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from faultcell.files.cyclers.reader import Reader, TableFile
from faultcell.files.cyclers.tables import START_BYTES, open_table
from faultcell.files.cyclers.vendors import READERS
from faultcell.files.messages import refuse

# First bytes of files that we cannot read: what they are, and what to do.
UNREADABLE = {
    b"\x00\x01\x00\x00Standard": (
        "an Arbin .res database", "export the test as CSV or XLSX in MITS Pro, or its tables with mdb-export"),
    b"BIO-LOGIC": ("a BioLogic .mpr file", "export it as text (.mpt) in EC-Lab or BT-Lab"),
    b"\xd0\xcf\x11\xe0": ("a workbook of the old kind (.xls)", "save it as .xlsx or CSV"),
    b"SQLite format 3": ("an SQLite database", "export its samples as CSV"),
    b"\x1f\x8b": ("a gzip archive", "unpack it"),
    b"%PDF": ("a PDF", "export the samples as CSV"),
}  # fmt: skip

_ARCHIVES = {
    b"PK": ("a zip archive, or a workbook that breaks off", "unpack it and name the files in it, or copy it again")
}  # unless it is a workbook
EXPECTED = "an export of a cycler as text, CSV or XLSX, a .nda, .ndax or NASA .mat, BDF, or a curve-set folder"


def detect(path: Path) -> tuple[Reader, TableFile | None]:
    """The reader of a file, and the table in it where it has one.

    Raises:
        DataError: there is no such file, or none of the formats is this one.
    """
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError:
        refuse(path, found="no such file", expected="a file of a cycler or a curve-set folder", action="check the path")
    special = next((reader for reader in READERS if reader.detects and reader.detects(path, start)), None)
    if special is not None:
        return special, None
    table = None if _unreadable(start) else open_table(path, start)
    if table is None or not start:
        _refuse_kind(path, start)
    return _by_columns(path, table), table


def _by_columns(path: Path, table: TableFile) -> Reader:
    """The first reader whose columns are all there; else the one that misses fewest, which will say what is missing."""
    best, most = None, 0.0
    text = table.start.lower()
    for reader in READERS:
        if reader.detects or (reader.mark and reader.mark not in text):
            continue
        count, needed = table.count_needed(reader.columns)
        if count / needed > most:
            best, most = reader, count / needed
        if most == 1:
            break
    if best is None:
        refuse(
            path,
            found=f"no column that is known by its name (it begins with '{_beginning(table)}')",
            expected=EXPECTED,
            action="say which column is which in a file for --mapping",
        )
    return best


def _refuse_kind(path: Path, start: bytes) -> NoReturn:
    kind, action = _unreadable(start) or _ARCHIVES.get(start[:2], ("", ""))
    if kind:
        refuse(path, found=kind, expected=EXPECTED, action=action)
    found = "a file of unknown kind" if start else "an empty file"
    refuse(path, found=found, expected=EXPECTED, action="export it as one of these")


def _unreadable(start: bytes) -> tuple[str, str] | None:
    return next((told for mark, told in UNREADABLE.items() if start.startswith(mark)), None)


def _beginning(table: TableFile) -> str:
    line = next((line for line in table.start.splitlines() if line.strip()), "")
    return " ".join(line.split())[:60]
