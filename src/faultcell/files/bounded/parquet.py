"""Parquet files read with a bound on what comes out of them: a few kilobytes can say that they hold a billion rows.

What a file claims is looked at before anything is unpacked, and what comes out is counted as it comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from faultcell.errors import DataError, first_line
from faultcell.files.bounded.pages import unpacked_bytes
from faultcell.files.durable.seal import check_seal
from faultcell.files.messages import refuse

# So much may any file hold; larger ones so many times their size. Real sets hold 3 to 42 times theirs, names written out, and
# columns in which nothing changes hardly count beside times and voltages, which do.
FREE_BYTE, MOST_RATIO = 160 * 2**20, 100
# Lists of columns and pages are read before anything can be counted. A set of 10 million rows has 100 kB of them.
MOST_FOOTER_BYTE, MOST_COLUMNS = 16 * 2**20, 2_000
# Of each column a page is unpacked at a time. Writers make pages of 1 MB, or one of each group of rows.
MOST_PAGE_BYTE = 256 * 2**20
# Names and labels are words; a text that is longer than this page is none.
MOST_TEXT_BYTE = 10_000
# Rows in a batch: of these so many bytes may at worst be unpacked before they are counted.
BATCH_ROWS = 65_536
ALL = 2**63
# Parquet ends in the length of its footer, and its name.
_END_BYTE = 8


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file whose claims are plausible; texts come as numbers into a list of those there are.

    Raises:
        DataError: it is damaged, nested, or claims far more than such a file holds.
    """
    check_seal(path)
    try:
        _check_footer(path)
        schema = pq.read_schema(path)
        texts = [field.name for field in schema if _is_text(field.type)]
        file = pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=texts)
        _check_claims(path, file)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(path, error) from error
    return file


def batches(path: Path, file: pq.ParquetFile, *, rows: int, columns: Collection[str] | None = None) -> Iterator[pa.Table]:
    """What is in the file, some rows at a time.

    Args:
        path: of the file.
        file: open.
        rows: in each but the last.
        columns: only these.

    Raises:
        DataError: it is damaged, or holds far more than such a file does.
    """
    _check_pages(path, file, columns)
    most, total, kept, height = _most(path), 0, list[pa.RecordBatch](), 0
    try:
        for batch in file.iter_batches(min(rows, BATCH_ROWS), columns=None if columns is None else list(columns)):
            total += sum(_spelled_out(column) for column in batch.columns)
            if total > most:
                _refuse_bomb(path, f"more than {most / 1e6:.0f} MB of values", most)
            kept.append(batch)
            height += batch.num_rows
            if height >= rows:
                yield pa.Table.from_batches(kept)
                kept, height = [], 0
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(path, error) from error
    if kept:
        yield pa.Table.from_batches(kept)


def to_frame(path: Path, table: pa.Table) -> pl.DataFrame:
    """The same for polars, texts as texts; raises DataError where they are none."""
    try:
        plain = [
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in table.columns
        ]
        made = pl.from_arrow(pa.table(plain, names=table.column_names))
    except (pa.ArrowException, ValueError, pl.exceptions.PolarsError) as error:
        raise damaged(path, error) from error
    assert isinstance(made, pl.DataFrame)
    return made


def damaged(path: Path, error: BaseException) -> DataError:
    """The sentence for a file that cannot be read."""
    return DataError(
        f"{path}: found a damaged table ({first_line(error)}), expected Parquet with sound checksums: "
        "copy the file again or make it anew"
    )


def _check_footer(path: Path) -> None:
    """Before anything reads it: a footer of gigabytes is no footer."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END_BYTE))
        length = int.from_bytes(file.read(4), "little")
    if length > min(size, MOST_FOOTER_BYTE):
        raise ValueError(f"it says that its list of columns has {length} bytes")


def _check_claims(path: Path, file: pq.ParquetFile) -> None:
    meta, most = file.metadata, _most(path)
    for field in file.schema_arrow:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            refuse(
                path,
                f"column {field.name[:60]}",
                found=str(field.type)[:80],
                expected="a number, a text or a date in each row",
                action="leave the column out, or write its parts as columns of their own",
            )
    if meta.num_columns > MOST_COLUMNS:
        refuse(path, found=f"{meta.num_columns} columns", expected=f"at most {MOST_COLUMNS}", action="leave some out")
    if meta.num_rows > most:
        _refuse_bomb(path, f"{meta.num_rows} rows", most)


def _check_pages(path: Path, file: pq.ParquetFile, columns: Collection[str] | None) -> None:
    """Before any is unpacked: not the footer but the pages themselves say how large they are."""
    names, most = file.schema_arrow.names, _most(path)
    try:
        taken = [place for place, name in enumerate(names) if columns is None or name in columns]
        page, pages = unpacked_bytes(path, file.metadata, taken)
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise damaged(path, error) from error
    if page > MOST_PAGE_BYTE:
        _refuse_bomb(path, f"pages that unpack to {page / 1e6:.0f} MB at once", MOST_PAGE_BYTE)
    if pages > most:
        _refuse_bomb(path, f"pages that unpack to {pages / 1e6:.0f} MB", most)


def _most(path: Path) -> int:
    return max(FREE_BYTE, MOST_RATIO * path.stat().st_size)


def _spelled_out(column: pa.Array) -> int:
    """Bytes of a column where every text is written out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    column.dictionary.validate(full=True)  # that it is text
    lengths = np.append(pc.binary_length(column.dictionary).fill_null(0).to_numpy(zero_copy_only=False), 0)
    if lengths.max() > MOST_TEXT_BYTE:
        raise ValueError(f"a text of {lengths.max()} bytes")
    return int(lengths[column.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)].sum()) + 8 * len(column)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _refuse_bomb(path: Path, found: str, most: int) -> None:
    refuse(
        path,
        found=f"{found} in a file of {path.stat().st_size / 1e6:.3g} MB",
        expected=f"at most {most / 1e6:.0f} MB in such a file",
        action="make it anew from the data it came from",
    )
