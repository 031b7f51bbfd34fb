"""Files that hold a table: delimited text with or without lines before its header, workbooks, Parquet.

What a file is, is told from its first bytes, never from its name.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa

from faultcell.errors import DataError, first_line
from faultcell.files.bounded.archive import entries, unpacked_byte
from faultcell.files.bounded.lines import check_lines
from faultcell.files.bounded.parquet import batches, open_parquet, to_frame
from faultcell.files.bounded.sandbox import MEBIBYTE, Allowance, ApartError, read_apart
from faultcell.files.cyclers.columns import Column, clean, count_needed, pick
from faultcell.files.cyclers.reader import PiecewiseError, TableFile

START_BYTES = 1 << 17
# Types are taken from so many rows, and from all of them, which takes several times as long, where those mislead.
INFERRED_ROWS = 10_000
# A piece of so many rows takes some 200 MB from reading to writing, and the overhead of a piece does not show.
PIECE_ROWS = 500_000
# Before the header of a table vendors tell of the test, up to so many lines.
PREAMBLE_LINES, WORKBOOK_ROWS = 500, 50
# Of these lines so many cells may be a column's name; comparing them with every label of every vendor takes some seconds.
MOST_CELLS = 20_000
# Sheets take some five times their text in memory, and a second for each 40 MB of it; one cell far down or far out takes all.
WORKBOOK = Allowance(512 * MEBIBYTE, 8, 5.0, 1e-7)
SEPARATORS = ("\t", ";", ",")
TEXTS = ("cell_id", "label", "step_type", "state", "model_sha256")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_COMMA_NUMBER = re.compile(r"-?\d+,\d+(?:[eE][-+]?\d+)?")
# Sheets of a workbook that sum up instead of listing samples, where there are others with the same columns.
_SUMMARY = re.compile(r"(?i)^(info|global|statist)|^(cycle|step|unit|test|log|curve)s?\b(?!.*\d)")


def open_table(path: Path, start: bytes) -> TableFile | None:
    """The table in a file that begins with these bytes; `None` where it is none that is known."""
    if start.startswith(b"PAR1"):
        return ParquetTable(path)
    if start.startswith(b"PK"):
        return Workbook(path) if "xl/workbook.xml" in entries(path) else None
    if b"\0" in start and not start.startswith(_UTF16):
        return None
    return TextTable(path, start)


def decoded(content: bytes) -> str:
    """Text as exports have it: UTF-16 where it says so, else UTF-8; what is neither is replaced."""
    return content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig", errors="replace")


@dataclass(frozen=True)
class Layout:
    """Where and how the table in a text stands.

    Attributes:
        line: of the header, from 0.
        columns: wanted.
        texts: headers of columns that are text whatever stands in them.
        separator: between cells.
        decimal_comma: whether numbers are written with a comma.
        trailing: whether rows end in a separator more than the header has.
        skipped: lines below the header in which no number stands.
        units: what stands in them by header.
    """

    line: int
    columns: tuple[Column, ...]
    texts: Mapping[str, type[pl.String]]
    separator: str
    decimal_comma: bool
    trailing: bool
    skipped: int
    units: Mapping[str, str]


class TextTable:
    """Delimited text.

    Args:
        path: the file.
        start: its first bytes.
    """

    def __init__(self, path: Path, start: bytes) -> None:
        self._path, self._bytes = path, start

    @cached_property
    def start(self) -> str:
        """The text that the file begins with."""
        return decoded(self._bytes)

    @property
    def _is_utf16(self) -> bool:
        return self._bytes.startswith(_UTF16)

    def count_needed(self, columns: tuple[Column, ...]) -> tuple[int, int]:
        """As `TableFile` says, over the lines of the beginning."""
        return max((count_needed(columns, cells) for _, _, cells in self._candidates), default=(0, 1))

    def layout(self, columns: tuple[Column, ...]) -> Layout | None:
        """Where the table with most of these columns stands; `None` where no line has any."""
        best, most = None, 0
        for line, separator, cells in self._candidates:
            count, needed = count_needed(columns, cells)
            if count > most:
                best, most = self._layout(line, columns, separator, cells), count
            if count == needed:
                break
        return best

    def load(self, columns: tuple[Column, ...]) -> pl.DataFrame:
        """The table.

        Raises:
            DataError: it is empty or cannot be read.
        """
        check_lines(self._path)
        layout = self.layout(columns)
        if layout is None:
            raise DataError(f"{self._path}: found no line with column names, expected a table: export it anew")
        try:
            return self._collect(layout)
        except (pl.exceptions.PolarsError, OSError, UnicodeError) as error:
            raise DataError(
                f"{self._path}: found no readable table ({first_line(error)}), "
                "expected text with one header line: export it anew"
            ) from error

    def pieces(self, columns: tuple[Column, ...]) -> Iterator[pl.DataFrame]:
        """The table in pieces."""
        check_lines(self._path)
        layout = self.layout(columns)
        if layout is None or self._is_utf16:
            raise PiecewiseError
        try:
            for piece in self._scan(layout, INFERRED_ROWS).collect_batches(chunk_size=PIECE_ROWS, maintain_order=True):
                yield _filled(piece)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise PiecewiseError from error

    def _collect(self, layout: Layout) -> pl.DataFrame:
        try:
            return _filled(self._scan(layout, INFERRED_ROWS).collect())
        except pl.exceptions.ComputeError:
            return _filled(self._scan(layout, None).collect())

    def _scan(self, layout: Layout, inferred: int | None) -> pl.LazyFrame:
        source = io.BytesIO(self._path.read_text("utf-16").encode()) if self._is_utf16 else self._path
        scan = pl.scan_csv(
            source,
            separator=layout.separator,
            skip_lines=layout.line,
            skip_rows_after_header=layout.skipped,
            decimal_comma=layout.decimal_comma,
            truncate_ragged_lines=layout.trailing,
            encoding="utf8-lossy",
            infer_schema_length=inferred,
            schema_overrides=layout.texts,
        )
        # The others cost time, and may hold what cannot be read. Names of cells stay as they are written: 007 is not 7.
        found = [name for name in scan.collect_schema().names() if name]
        told = {name: _with_unit(name, layout.units.get(name, "")) for name in found}
        taken = pick(layout.columns, list(told.values()))
        return scan.select(pl.col(name).alias(new) for name, new in told.items() if new in taken)

    @cached_property
    def _candidates(self) -> list[tuple[int, str, list[str]]]:
        """Lines that may hold names: number, separator, cells."""
        found, cells = [], 0
        for number, line in enumerate(self._lines):
            for separator in SEPARATORS:
                if separator in line and cells < MOST_CELLS and any(char.isalpha() for char in line):
                    found.append((number, separator, _split([line], separator)[0][: MOST_CELLS - cells]))
                    cells += len(found[-1][2])
        return found

    @cached_property
    def _lines(self) -> list[str]:
        return [line.replace("\r", " ").rstrip(" ") for line in self.start.split("\n")[:PREAMBLE_LINES]]

    def _layout(self, line: int, columns: tuple[Column, ...], separator: str, names: list[str]) -> Layout:
        lines = self._lines[line + 1 :]
        rows = _split([row for row in lines if row.strip()], separator)
        cells, width = [cell.strip() for row in rows for cell in row], len(names)
        skipped = next((place for place, row in enumerate(lines) if any(char.isdigit() for char in row)), 0)
        words = next((row.split(separator) for row in lines[:skipped] if row.strip()), [])
        if len(words) != width:  # separated in another way than the names
            words = next((row.split() for row in lines[:skipped] if len(row.split()) == width), [])
        return Layout(
            line,
            columns,
            dict.fromkeys(pick([column for column in columns if column.name in TEXTS], names), pl.String),
            separator,
            decimal_comma=separator != "," and any(_COMMA_NUMBER.fullmatch(cell) for cell in cells),
            trailing=any(len(row) > width for row in rows) and not any("".join(row[width:]).strip() for row in rows),
            skipped=skipped,
            units={name: word.strip(' "[]()\r') for name, word in zip(names, words, strict=False) if word.strip()},
        )


class ParquetTable:
    """A Parquet file."""

    start = ""

    def __init__(self, path: Path) -> None:
        self._path = path

    def count_needed(self, columns: tuple[Column, ...]) -> tuple[int, int]:
        """As `TableFile` says, over the names in its schema; raises DataError where it is damaged."""
        return count_needed(columns, self._names)

    @cached_property
    def _names(self) -> list[str]:
        """Looked up once: each reader asks for them, and to open the file is to check all of it."""
        with open_parquet(self._path) as file:
            return list(file.schema_arrow.names)

    def load(self, columns: tuple[Column, ...]) -> pl.DataFrame:
        """The table; raises DataError where it is damaged."""
        parts = [to_frame(self._path, part) for part in self._parts(columns)]
        return pl.concat(parts) if parts else pl.DataFrame()

    def pieces(self, columns: tuple[Column, ...]) -> Iterator[pl.DataFrame]:
        """The table in pieces."""
        return (to_frame(self._path, part) for part in self._parts(columns))

    def _parts(self, columns: tuple[Column, ...]) -> Iterator[pa.Table]:
        with open_parquet(self._path) as file:
            names = file.schema_arrow.names
            # Without any that is wanted the names tell what is missing.
            yield from batches(self._path, file, rows=PIECE_ROWS, columns=pick(columns, names) or names)


class Workbook:
    """An XLSX workbook; sheets with the same columns, as cyclers split long tests, follow one another."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def start(self) -> str:
        """What stands in its first rows."""
        return "\n".join("\t".join(_cells(sheet, row)) for sheet in self._sheets for row in range(min(sheet.height, 5)))

    def count_needed(self, columns: tuple[Column, ...]) -> tuple[int, int]:
        """As `TableFile` says, over the first rows of its sheets."""
        counts = [count_needed(columns, _cells(sheet, row)) for sheet in self._sheets for row in _first_rows(sheet)]
        return max(counts, default=(0, 1))

    def load(self, columns: tuple[Column, ...]) -> pl.DataFrame:
        """The tables of all sheets that have the most of these columns, one after the other."""
        most, _ = self.count_needed(columns)
        found = {name: _below_header(sheet, columns, most) for name, sheet in self._named.items()}
        parts = {name: part for name, part in found.items() if part is not None}
        kept = [part for name, part in parts.items() if not _SUMMARY.match(name)] or list(parts.values())
        return _filled(pl.concat(kept, how="diagonal_relaxed")) if kept else pl.DataFrame()

    def pieces(self, columns: tuple[Column, ...]) -> Iterator[pl.DataFrame]:
        """A workbook is read whole: it has at most a million rows a sheet."""
        raise PiecewiseError

    def below(self, row: int, *, names: bool) -> pl.DataFrame:
        """The first sheet below its line of names, which is this one, and what follows it under the same names.

        Args:
            row: from 0.
            names: whether there are any; else columns are called `column_1` and so on.
        """
        sheets = [sheet for name, sheet in self._named.items() if sheet.height > row + 1 and not _SUMMARY.match(name)]
        sheets = sheets or [sheet for sheet in self._named.values() if sheet.height > row]
        heads = [_cells(sheet, row) if names else [f"column_{n + 1}" for n in range(sheet.width)] for sheet in sheets]
        parts = [_named(sheet[row + names :], head) for sheet, head in zip(sheets, heads, strict=True) if head == heads[0]]
        return pl.concat(parts) if parts else pl.DataFrame()

    @property
    def _sheets(self) -> list[pl.DataFrame]:
        return list(self._named.values())

    @cached_property
    def _named(self) -> dict[str, pl.DataFrame]:
        size = unpacked_byte(self._path)
        try:
            with read_apart(self._path, "workbook", size=size, allowance=WORKBOOK) as folder:
                names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
                return {name: pl.read_ipc((folder / f"{n}.ipc").read_bytes()) for n, name in enumerate(names)}
        except (ApartError, OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"{self._path}: found a damaged workbook ({first_line(error)}), expected XLSX: export it anew"
            ) from error


def _split(lines: Sequence[str], separator: str) -> list[list[str]]:
    """The cells of lines; as they stand where quotes never end."""
    try:
        return list(csv.reader(lines, delimiter=separator))
    except csv.Error:  # a cell longer than csv takes
        return [line.split(separator) for line in lines]


def _first_rows(sheet: pl.DataFrame) -> range:
    return range(min(sheet.height, WORKBOOK_ROWS))


def _cells(sheet: pl.DataFrame, row: int) -> list[str]:
    return [clean(str(cell)) if cell is not None else "" for cell in sheet.row(row)]


def _below_header(sheet: pl.DataFrame, columns: Sequence[Column], count: int) -> pl.DataFrame | None:
    for row in _first_rows(sheet):
        cells = _cells(sheet, row)
        if count and count_needed(columns, cells)[0] == count:
            units = _cells(sheet, row + 1) if row + 1 < sheet.height else []
            if not any(units) or any(char.isdigit() for char in "".join(units)):
                return _named(sheet[row + 1 :], cells)
            return _named(sheet[row + 2 :], [_with_unit(*pair) for pair in zip(cells, units, strict=True)])
    return None


def _named(sheet: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The columns that have a name, the first of each."""
    kept = [place for place, name in enumerate(names) if name and name not in names[:place]]
    below = sheet.select(sheet.columns[place] for place in kept)
    return below.rename(dict(zip(below.columns, (names[place] for place in kept), strict=True)))


def _with_unit(name: str, unit: str) -> str:
    says_itself = any(sign in name for sign in "#([/")
    return f"{name} ({unit})" if name and unit and not says_itself else name


def _filled(table: pl.DataFrame) -> pl.DataFrame:
    """Rows in which anything stands."""
    if not table.width or not table.height or table[table.columns[0]].null_count() == 0:
        return table
    return table.filter(~pl.all_horizontal(pl.all().is_null()))
