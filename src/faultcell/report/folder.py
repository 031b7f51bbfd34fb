"""What lies in a study's folder, read for its page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from faultcell.curves.curves import Curves
from faultcell.curves.schema import KEYS
from faultcell.errors import DataError
from faultcell.files import read
from faultcell.files.bounded.json_file import read_json
from faultcell.files.curve_set import is_curve_set, read_table
from faultcell.study.stages import CONFIG, RESULT, TABLES

Row = dict[str, Any]


class Summary(BaseModel):
    """`study.json`; what an interrupted or an earlier study lacks is empty."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str
    config: dict[str, Any]
    data: dict[str, str]
    labels: list[str] = []
    protocols: dict[str, str] = {}
    tasks: list[dict[str, Any]] = []
    worst: dict[str, str | None] = {}
    pearson: list[dict[str, Any]] = []
    findings: dict[str, list[str]] = {}
    limits: list[str] = []


@dataclass(frozen=True, eq=False)
class Study:
    """A finished study. What it lacks is empty, never an error.

    Attributes:
        folder: where it lies.
        summary: what `study.json` says.
        tables: rows of each table, by name; numbers that are not finite are None.
    """

    folder: Path
    summary: Summary
    tables: Mapping[str, list[Row]]
    _sets: dict[str, Curves | None] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Study:
        """Read it; curve sets are read when asked for.

        Raises:
            DataError: the folder holds no study, or a file of it is damaged.
        """
        tables = {path.stem: _rows(path) for path in sorted((folder / TABLES).glob("*.parquet"))}
        return cls(folder, _summary(folder / RESULT), tables)

    @property
    def labels(self) -> list[str]:
        """Faults of the study."""
        return self.summary.labels or self.names("fidelity", "name", group="label")

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the curves it was run on, where it says so."""
        path = self.folder / CONFIG
        found = read_json(path, expected="the settings of a study: run it again in a new folder") if path.is_file() else {}
        return found.get("data_sha256") if isinstance(found, dict) else None

    def rows(self, table: str, **equal: Any) -> list[Row]:
        """Rows of a table whose columns have these values."""
        return [row for row in self.tables.get(table, []) if all(row.get(name) == value for name, value in equal.items())]

    def names(self, table: str, column: str, **equal: Any) -> list[str]:
        """Values of a column, in order of appearance."""
        return list(dict.fromkeys(row[column] for row in self.rows(table, **equal) if row.get(column) is not None))

    def curves(self, name: str) -> Curves | None:
        """A curve set of the folder, such as `data/test`; None if there is none."""
        if name not in self._sets:
            path = self.folder / name
            self._sets[name] = read(path) if is_curve_set(path) else None
        return self._sets[name]

    def pairs(self, drawn: str) -> dict[int, int]:
        """Row of each test curve -> row of what was drawn for its condition, found by key."""
        real, made = self.curves("data/test"), self.curves(f"drawn/{drawn}")
        if real is None or made is None:
            return {}
        where = {key: row for row, key in enumerate(made.halfcycles.select(KEYS).iter_rows())}
        keys = enumerate(real.halfcycles.select(KEYS).iter_rows())
        return {row: where[key] for row, key in keys if key in where}


def _summary(path: Path) -> Summary:
    if not path.is_file():
        raise DataError(
            f"{path.parent}: found no {path.name}, expected the folder of a finished study: run `faultcell study` first"
        )
    expected = "the summary of a study: run the study again in a new folder"
    content = read_json(path, expected=expected)
    try:
        return Summary.model_validate(content)
    except ValidationError as error:
        wrong = error.errors()[0]
        what = f"{'.'.join(map(str, wrong['loc']))} {wrong['msg']}".strip()
        raise DataError(f"{path}: found {what[:200]}, expected {expected}") from error


def _rows(path: Path) -> list[Row]:
    rows = read_table(path).to_dicts()
    return [{name: None if _lost(value) else value for name, value in row.items()} for row in rows]


def _lost(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
