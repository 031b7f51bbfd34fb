"""A curve set on disk: a folder with `timeseries.parquet` and `halfcycles.parquet`, both with page checksums and a seal.

Or with a folder of parts for each, and a list of them; see `parts`. A flipped bit in a Parquet file loads as other data and
raises nothing; what tells it is written, and verified on read. Sets of other programs have no seal, and page checksums where
they wrote them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from faultcell.curves.curves import Curves
from faultcell.curves.severity import complete
from faultcell.errors import DataError
from faultcell.files.bounded.parquet import ALL, batches, open_parquet, to_frame
from faultcell.files.durable.atomic import tell_replaced, whole_folder
from faultcell.files.durable.part_list import LIST, RECORDS, Part, listed_parts
from faultcell.files.durable.place import Place, is_url, place_of
from faultcell.files.durable.seal import check_seal, seal
from faultcell.files.durable.swap import read_at_once
from faultcell.files.validate import check, check_order, conform

TABLES = ("timeseries.parquet", "halfcycles.parquet")
CONFIG = "config.json"
PICTURE = "augment.png"  # of some curves, where whoever wrote the set made one
CONTENTS = (*TABLES, CONFIG, PICTURE)
_NARROW = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
# float32 is used as long as it keeps a millisecond, or a hundredth of a millivolt, ampere or degree.
_KEPT = {"step_time_second": 5e-4}


def is_curve_set(path: str | Path) -> bool:
    """Whether the folder holds at least one of the two tables, or parts of them."""
    return any((Path(path) / name).exists() for name in (*TABLES, LIST, RECORDS))


def read(path: str | Path) -> Curves:
    """Read and check a curve-set folder; severities it does not carry are measured, over the whole of each cell's history.

    Args:
        path: of the folder; or, of a set of parts, its URL.

    Raises:
        DataError: a table is missing, damaged or not what a curve set is; one sentence.
    """
    return complete(read_checked(path)[0])


def read_checked(path: str | Path) -> tuple[Curves, list[str]]:
    """Read a curve-set folder; also what is suspect in it. Raises as `read` does."""

    def tables() -> list[pl.DataFrame]:
        place = place_of(path)
        listed = listed_parts(place)
        if listed is None and is_url(path):
            raise DataError(f"{path}: found no {LIST}, expected a set of parts: only such sets are read from a URL")
        if listed is None:
            return [read_table(Path(path) / name) for name in TABLES]
        tables = [read_part(place, part) for part in listed.parts if part.files]
        return [pl.concat(of_one) for of_one in zip(*tables, strict=True)]

    timeseries, halfcycles = tables() if is_url(path) else read_at_once(Path(path), tables, error=DataError)
    curves = conform(timeseries, halfcycles, where=str(path))
    found = check(curves, where=str(path))
    return in_order(curves), found


def in_order(curves: Curves) -> Curves:
    """Samples in the order of `halfcycles`; spares the join where they stand so already."""
    return curves if check_order(curves) else Curves.from_tables(curves.timeseries, curves.halfcycles)


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet file and verify its seal and its page checksums, where it has them.

    Raises:
        DataError: the file is missing, damaged or not Parquet.
    """
    if not path.is_file():
        raise DataError(f"{path}: found no such file, expected {' and '.join(TABLES)} in a curve set: check the path")
    with open_parquet(path) as file:
        schema = file.schema_arrow
        parts = list(batches(path, file, rows=ALL))
    return to_frame(path, parts[0] if parts else schema.empty_table())


def read_part(place: Place, part: Part) -> list[pl.DataFrame]:
    """The tables of a part of a set, in the order of `TABLES`.

    Raises:
        DataError: one is missing, damaged, or another than the list of parts says.
    """
    tables = []
    for name in TABLES:
        own = part.path(table := Path(name).stem)
        with place.here(own) as path:
            tables.append(read_table(path))
            if check_seal(path) != part.files[table].sha256:
                raise DataError(f"{place.name}/{own}: found another file than {LIST} names: copy the set again")
    return tables


def write(curves: Curves, folder: str | Path, *, config: Mapping[str, Any] | None = None) -> Path:
    """Write a curve set whole or not at all; an earlier curve set in that folder is replaced.

    Args:
        curves: the set; voltage, current and temperature are stored as float32, and so is time where that keeps 0.5 ms.
        folder: where to.
        config: the resolved configuration the set was made with, stored beside it as `config.json`.

    Returns:
        The folder.

    Raises:
        DataError: the folder holds something else, or the disk refuses.
    """
    return write_blocks([curves], folder, config=config)


def write_blocks(
    blocks: Iterable[Curves],
    folder: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    at_last: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    picture: Callable[[], bytes] | None = None,
    several: bool | None = None,
) -> Path:
    """The same for a set that comes in blocks, one or more; from the second on, each is on disk before the next is asked for.

    Of several, time stays float64: what a later block will need is not known when the first one is written.

    Args:
        blocks: sets of the same columns.
        folder: where to.
        config: as in `write`.
        at_last: makes the table of all curves from that of all blocks; it is kept in memory till then.
        picture: makes a PNG to lie beside, `PICTURE`, once all blocks are written.
        several: whether it is written as a set of several blocks is; by their number where not given.
    """
    coming = iter(blocks)
    head = list(itertools.islice(coming, 2))
    if not head:
        raise DataError(f"{folder}: found no curve to write, expected one at least: check the selection")
    tell_replaced(folder)
    narrow = _NARROW if not (len(head) > 1 if several is None else several) else tuple(set(_NARROW) - set(_KEPT))
    with whole_folder(folder, replaces=CONTENTS) as temporary, _Tables(temporary) as tables:
        kept = []
        while (curves := head.pop(0) if head else next(coming, None)) is not None:
            block = {TABLES[0]: _narrow(curves.timeseries, narrow)}
            if at_last is None:
                block[TABLES[1]] = curves.halfcycles
            else:
                kept.append(curves.halfcycles)
            tables.add(block)
            del curves, block  # before the next one is asked for
        if at_last is not None:
            tables.add({TABLES[1]: at_last(pl.concat(kept, how="diagonal_relaxed"))})
        if config is not None:
            text = json.dumps(dict(config), indent=2, sort_keys=True, default=str)
            (temporary / CONFIG).write_text(text + "\n", encoding="utf-8")
        if picture is not None:
            (temporary / PICTURE).write_bytes(picture())
        for path in tables.close():
            seal(path)
    return Path(folder)


class _Tables:
    """Tables of a folder, added to by a thread of their own: one block is compressed and written while the next is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1)
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._latest: Future[None] | None = None

    def __enter__(self) -> _Tables:
        return self

    def add(self, block: Mapping[str, pl.DataFrame]) -> None:
        """Add rows to the tables of these names; waits for those before, and raises what went wrong with them."""
        self._wait()
        self._latest = self._thread.submit(self._write, block)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> list[Path]:
        """End all tables; gives their files."""
        # Whatever happened: no writer is closed while the thread is at it.
        self._thread.shutdown()
        with ExitStack() as closing:
            for writer in self._writers.values():
                closing.callback(writer.close)
            self._wait()
        return [self._folder / name for name in self._writers]

    def _wait(self) -> None:
        if self._latest is not None:
            latest, self._latest = self._latest, None
            latest.result()

    def _write(self, block: Mapping[str, pl.DataFrame]) -> None:
        for name, frame in block.items():
            table = frame.to_arrow()
            if name not in self._writers:
                path, schema = self._folder / name, table.schema
                floats = [field.name for field in schema if pa.types.is_floating(field.type)]
                # Readings hardly ever repeat: their bytes, one after the other, take less room than a list of them, and time.
                self._writers[name] = pq.ParquetWriter(
                    path,
                    schema,
                    compression="zstd",
                    write_page_checksum=True,
                    use_dictionary=[field.name for field in schema if field.name not in floats],
                    use_byte_stream_split=floats,
                )
            self._writers[name].write_table(table.cast(self._writers[name].schema))


def _narrow(timeseries: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    narrowed = (timeseries[name].cast(pl.Float32) for name in names if name in timeseries.columns)
    return timeseries.with_columns(series for series in narrowed if _keeps(timeseries[series.name], series))


def _keeps(wide: pl.Series, narrow: pl.Series) -> bool:
    allowed = _KEPT.get(wide.name)
    if allowed is None or wide.dtype == pl.Float32:
        return True
    lost = np.abs(wide.to_numpy() - narrow.to_numpy())
    return not lost.size or bool(np.nanmax(lost) <= allowed)
