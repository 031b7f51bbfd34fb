"""Neware: exports of BTSDA as CSV or XLSX, and its own `.nda` and `.ndax` (extra `formats`); + = charge.

A CSV of the general report holds three tables in one: a line of a cycle, lines of its steps, and below each step its
records, each kind in columns of its own.
"""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from faultcell.errors import DataError, first_line
from faultcell.files.bounded.archive import entries, unpacked_byte
from faultcell.files.bounded.lines import check_lines
from faultcell.files.bounded.sandbox import MEBIBYTE, Allowance, ApartError, read_apart
from faultcell.files.cyclers.columns import clean, wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Reader
from faultcell.files.messages import refuse

# Files of 80 000 rows take 200 MiB and half a second.
ALLOWANCE = Allowance(512 * MEBIBYTE, 100, 5.0, 1e-6)
COLUMNS = wanted(
    time=("Total Time", "Total Time(*)", "Total Time (*)", "total_time_*", "Cumulative Time", "Date(h:min:s.ms)",
          "Absolute Time", "Realtime", "Real time(h:min:s.ms)", "Date"),
    voltage=("Voltage(*)", "voltage_*"),
    current=("Current(*)", "Cur(*)", "current_*"),
    cycle=("Cycle Index", "Cycle", "Cycle ID", "cycle_count"),
    surface=("T1(*)", "Aux.CH TU1 T(*)", "aux1_temperature_*", "aux_temperature_*"),
    state=("Step Type", "Status", "State", "step_type"),
)  # fmt: skip


def load_nested(path: Path) -> pl.DataFrame:
    """The records of a general report, each with the cycle it is in."""
    check_lines(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        rows = _records(csv.reader(lines))
        headers = next(rows, None)
        if headers is None:
            refuse(path, found="no line of names for the records", expected="a general report", action="export it anew")
        text = io.StringIO(newline="")
        csv.writer(text).writerows([headers, *rows])
    return pl.read_csv(io.BytesIO(text.getvalue().encode()), infer_schema_length=None)


def _records(lines: Iterable[list[str]]) -> Iterator[list[str]]:
    cycle, width = "", 0
    for cells in lines:
        if len(cells) > 2 and not cells[0] and not cells[1] and cells[2]:
            if not width:
                width = len(cells) - 2
                yield ["Cycle Index", *cells[2:]]
            else:
                yield [cycle, *cells[2 : 2 + width]]
        elif cells and cells[0].strip().isdigit():
            cycle = cells[0].strip()


def is_nested(_: Path, start: bytes) -> bool:
    """Whether the file is a general report, from its three lines of headers."""
    lines = start.decode("utf-8-sig", errors="replace").splitlines()[:3]
    return len(lines) == 3 and clean(lines[0].split(",")[0]) == "Cycle Index" and lines[2].startswith(",,")


def load_binary(path: Path) -> pl.DataFrame:
    """An `.nda` or `.ndax` file.

    Raises:
        DataError: fastnda is not installed, or cannot read the file.
    """
    if find_spec("fastnda") is None:
        action = 'pip install "faultcell[formats]", or export the test as CSV'
        raise DataError(f"{path}: found a Neware binary file, expected fastnda to read it with: {action}")
    packed = zipfile.is_zipfile(path)
    size = unpacked_byte(path) if packed else path.stat().st_size
    try:
        with TemporaryDirectory() as named:
            file = Path(named) / f"file.nda{'x' if packed else ''}"  # fastnda goes by the ending
            shutil.copyfile(path, file)
            with read_apart(file, "neware", size=size, allowance=ALLOWANCE) as folder:
                table = pl.read_ipc((folder / "0.ipc").read_bytes())
    except (ApartError, OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path}: found a damaged Neware file ({first_line(error)}), "
            "expected .nda or .ndax: copy it again or export the test as CSV"
        ) from error
    # Single precision, as stored: by way of text 3.5870 V stays 3.5870 V.
    singles = table.select(pl.col(pl.Float32).cast(pl.String).cast(pl.Float64))
    # The signs are right already, and the vendor's words for its steps would be read once more.
    return table.with_columns(singles).drop("step_type", strict=False)


def is_binary(path: Path, start: bytes) -> bool:
    """Whether the file is an `.nda`, or a zip archive with the parts of an `.ndax`."""
    return start.startswith(b"NEWARE") or (start.startswith(b"PK") and _has_records(path))


def _has_records(path: Path) -> bool:
    names = entries(path)
    return any(name.endswith(".ndc") for name in names) if names else path.suffix.lower() == ".ndax"


NEWARE = Reader("Neware CSV or XLSX", COLUMNS, curves)
NEWARE_REPORT = Reader("Neware general report", COLUMNS, curves, detects=is_nested, load=load_nested)
NEWARE_BINARY = Reader("Neware .nda or .ndax", COLUMNS, curves, detects=is_binary, load=load_binary)
