"""What users say of their files and cells in small TOML files: which column is which, and the rated values of cells.

A mapping:

    positive = "discharge"                       # or "charge"; where it is left out, the data tell
    decimal = ","                                # of numbers; a point where it is left out
    skip = 2                                     # lines above the names; none where it is left out
    names = true                                 # false where the file has none: then columns go by number, from 1

    [columns]
    time = "t"                                   # a name as it stands in the file, in s, V, A, degC
    voltage = { column = "U", unit = "mV" }
    current = { column = "I", unit = "mA" }
    cycle = "Zyklus"                             # also surface_temperature, ambient_temperature, cell

A cell file:

    lower = 2.5                                  # rated limits, V
    upper = 4.2
    nominal_capacity_ah = 3.0

    [cells.B0007]                                # and for some cells by name
    lower = 2.2
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faultcell.errors import DataError, first_line
from faultcell.files.bounded.lines import check_lines
from faultcell.files.bounded.toml_file import read_toml
from faultcell.files.cyclers.columns import UNITS, Column, wanted
from faultcell.files.cyclers.cut import curves
from faultcell.files.cyclers.reader import Rated, Reader
from faultcell.files.cyclers.tables import SEPARATORS, Workbook, decoded
from faultcell.files.messages import refuse, some

MOST_SKIPPED = 100_000

Said = TypeVar("Said", bound=BaseModel)
Name = str | Annotated[int, Field(ge=1)]
_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
# A line for each of ten thousand cells; and more lines above a table than any vendor writes.


class MappedColumn(BaseModel):
    """A column by its name or number, and its unit."""

    model_config = _STRICT
    column: Name
    unit: str | None = None


class Columns(BaseModel):
    """Which column is which."""

    model_config = _STRICT
    time: MappedColumn | Name
    voltage: MappedColumn | Name
    current: MappedColumn | Name
    cycle: MappedColumn | Name | None = None
    cell: MappedColumn | Name | None = None
    surface_temperature: MappedColumn | Name | None = None
    ambient_temperature: MappedColumn | Name | None = None


class Mapping(BaseModel):
    """A mapping file."""

    model_config = _STRICT
    columns: Columns
    positive: Literal["charge", "discharge"] | None = None
    separator: str | None = Field(default=None, pattern=r"^[ -~\t]$")
    decimal: Literal[".", ","] = "."
    skip: int = Field(default=0, ge=0, le=MOST_SKIPPED)
    names: bool = True


class CellFile(BaseModel):
    """Rated values of a cell."""

    model_config = _STRICT
    lower: float | None = Field(default=None, gt=0)
    upper: float | None = Field(default=None, gt=0)
    nominal_capacity_ah: float | None = Field(default=None, gt=0)


class CellsFile(CellFile):
    """The same for all cells, and for some by name."""

    cells: dict[str, CellFile] = {}


def read_rated(path: Path) -> Rated:
    """Rated values from a cell file; raises DataError where it is not one."""
    said = _read(path, CellsFile)
    named = {name: Rated(**cell.model_dump()) for name, cell in said.cells.items()}
    return Rated(said.lower, said.upper, said.nominal_capacity_ah, named)


def read_mapping(path: Path) -> Reader:
    """A reader of the files that a mapping file describes; raises DataError where it is not one."""
    said = _read(path, Mapping)
    units = {"time": "s", "voltage": "V", "current": "A", "surface_temperature": "degC", "ambient_temperature": "degC"}
    for name, quantity in units.items():
        unit = _part(said, name)[1]
        if unit is not None and unit not in UNITS[quantity]:
            known = ", ".join(word for word in UNITS[quantity] if word.isascii())
            refuse(path, f"columns.{name}", found=f"the unit '{unit}'", expected=f"one of {known}", action="convert it")
    sign = {"charge": 1.0, "discharge": -1.0, None: None}[said.positive]
    columns = wanted(
        time=("time / *", "time"),
        voltage=("voltage / *", "voltage"),
        current=("current / *", "current"),
        cycle=("cycle",),
        surface=("surface_temperature / *", "surface_temperature"),
        ambient=("ambient_temperature / *", "ambient_temperature"),
    )
    return Reader(
        f"a table as {path} says",
        (*columns, Column("cell_id", ("cell",))),
        curves,
        sign=sign,
        detects=lambda _path, _start: True,
        load=lambda file: _mapped(file, said),
    )


def _mapped(file: Path, said: Mapping) -> pl.DataFrame:
    raw = _raw(file, said)
    taken = []
    for name in Columns.model_fields:
        column, unit = _part(said, name)
        if column is None:
            continue
        header = raw.columns[column - 1] if isinstance(column, int) and column <= raw.width else str(column)
        if header not in raw.columns:
            found = f"only {some(raw.columns)}"
            refuse(file, f"column {column}", found=found, expected="what the mapping names", action="correct the mapping")
        taken.append(raw[header].alias(f"{name} / {unit}" if unit else name))
    return pl.DataFrame(taken)


def _raw(file: Path, said: Mapping) -> pl.DataFrame:
    with file.open("rb") as content:
        start = content.read(2)
    if start == b"PK":
        return Workbook(file).below(said.skip, names=said.names)
    check_lines(file)
    try:
        text = decoded(file.read_bytes())
        first = next(itertools.islice(io.StringIO(text), said.skip, None), "")
        likely = [separator for separator in SEPARATORS if separator != said.decimal]
        return pl.read_csv(
            text.encode(),
            separator=said.separator or max(likely, key=first.count),
            skip_lines=said.skip,
            has_header=said.names,
            decimal_comma=said.decimal == ",",
            infer_schema_length=None,
        )
    except (pl.exceptions.PolarsError, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{file}: found no table ({first_line(error)}), expected what the mapping says: correct the mapping"
        ) from error


def _part(said: Mapping, name: str) -> tuple[Name | None, str | None]:
    column = getattr(said.columns, name)
    return (column.column, column.unit) if isinstance(column, MappedColumn) else (column, None)


def _read(path: Path, kind: type[Said]) -> Said:
    try:
        return kind.model_validate(read_toml(path, example="lower = 2.5"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        found = " ".join(str(first.get("input")).split())[:60]
        raise DataError(
            f"{path}: {place}: found {found} ({first['msg'].lower()}), expected one of "
            f"{', '.join(kind.model_fields)}: correct it"
        ) from error
