"""A visitor's own curve set: what a browser sends, read within bounds, and how many such sets are held."""

from __future__ import annotations

import gc
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from weakref import WeakSet

import numpy as np

from faultcell.app.api.guard import MOST_UPLOAD
from faultcell.app.normals import Normals, normal_of
from faultcell.curves.curves import Curves
from faultcell.errors import DataError
from faultcell.files import ingest, read
from faultcell.files.bounded.archive import entries
from faultcell.files.curve_set import TABLES
from faultcell.files.messages import MOST_LETTERS, some

MOST_UNPACKED = 4 * MOST_UPLOAD  # of a zip: tables are compressed already
MOST_SAMPLES = 500_000  # of normal curves; a visitor's set takes some 40 MB then
MOST_HELD = 8  # sets of visitors in memory at a time
EXPECTED = "a zip of a curve set, its two tables timeseries.parquet and halfcycles.parquet, or a CSV of a cycler"
ZIP = b"PK"


class Held:
    """The sets of all visitors, who take them along when they go."""

    def __init__(self) -> None:
        self._sets = WeakSet[Normals]()

    def refuse_more(self) -> None:
        """Raise DataError where there are as many as may be."""
        if len(self._sets) >= MOST_HELD:
            gc.collect()  # pages that were left, but not forgotten yet
        if len(self._sets) >= MOST_HELD:
            raise DataError(f"{MOST_HELD} curve sets of visitors are held here already: try again when a page was closed")

    def keep(self, normals: Normals) -> None:
        """Count a set for as long as anybody holds it."""
        self._sets.add(normals)


def normals_of(files: Mapping[str, bytes]) -> Normals:
    """The normal curves of a set that came as files.

    Args:
        files: their names and contents.

    Raises:
        DataError: they are no curve set, too large, or none of its normal curves can serve; one sentence.
    """
    with TemporaryDirectory(prefix="faultcell-") as temporary:
        try:
            curves = _read(files, Path(temporary))
        except DataError as error:
            # Where they were put for a moment is nobody's business.
            raise DataError(str(error).replace(f"{temporary}/", "").replace(temporary, "the curve set")) from error
    return _normals(curves)


def _read(files: Mapping[str, bytes], folder: Path) -> Curves:
    if sum(map(len, files.values())) > MOST_UPLOAD:
        raise DataError(f"the files are larger than {MOST_UPLOAD >> 20} MiB: take fewer cells or cycles")
    only = next(iter(files)) if len(files) == 1 else ""
    if only.lower().endswith(".csv"):
        return _ingested(files[only], folder)
    tables = _unpacked(only, files[only], folder) if only and files[only].startswith(ZIP) else _by_table(files)
    for name in TABLES:
        if name not in tables:
            raise DataError(f"found {_named(files)}, expected {EXPECTED}: choose that")
        (folder / name).write_bytes(tables[name])
    return read(folder)


def _ingested(content: bytes, folder: Path) -> Curves:
    path = folder / "curves.csv"
    path.write_bytes(content)
    return ingest([path])[0]


def _by_table(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Contents by table; a browser may have put a number behind a name."""
    stems = {name: name.removesuffix(".parquet") for name in TABLES}
    found = {name: [part for part in files if part.startswith(stem)] for name, stem in stems.items()}
    return {name: files[parts[0]] for name, parts in found.items() if len(parts) == 1}


def _unpacked(name: str, content: bytes, folder: Path) -> dict[str, bytes]:
    """The tables in a zip; whatever their names say, nothing is written under them."""
    path = folder / "curves.zip"
    path.write_bytes(content)
    places = {table: [entry for entry in entries(path) if entry.rpartition("/")[2] == table] for table in TABLES}
    if any(len(found) != 1 for found in places.values()):
        raise DataError(f"{name[:MOST_LETTERS]}: found no zip with one {' and one '.join(TABLES)}: choose a zip of a curve set")
    try:
        with zipfile.ZipFile(path) as archive:
            return {table: _inflated(archive, found[0]) for table, found in places.items()}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        said = f"{name[:MOST_LETTERS]}: found a damaged zip, expected a whole one without password: make it anew"
        raise DataError(said) from error
    finally:
        path.unlink()


def _inflated(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        content = file.read(MOST_UNPACKED + 1)
    if len(content) > MOST_UNPACKED:
        raise DataError(f"the zip unpacks to more than {MOST_UNPACKED >> 20} MiB: take fewer cells or cycles")
    return content


def _normals(curves: Curves) -> Normals:
    """The normal ones of a set, which are all that is kept of it."""
    curves.refuse_generated("uploaded")
    normal = normal_of(curves)
    if not len(normal):
        labels = some([str(label) for label in curves.labels])
        raise DataError(f"found no normal charge or discharge, only {labels}: choose a set with normal curves")
    samples = int(np.diff(normal.offsets).sum())
    if samples > MOST_SAMPLES:
        raise DataError(f"found {samples} samples of normal curves, expected at most {MOST_SAMPLES}: take fewer cycles")
    found = Normals.of(normal)
    if not found.rows:
        raise DataError(f"none of the normal curves can be drawn from; left out are {'; '.join(map(str, found.unserved))}")
    return found


def _named(files: Mapping[str, bytes]) -> str:
    return ", ".join(name[:MOST_LETTERS] for name in list(files)[:3]) or "no file"
