"""The list of the parts of a curve set: its one seal. A set of many parts is whole where it stands, and none before.

References:
    Armbrust et al., Delta Lake, 2020, https://doi.org/10.14778/3415478.3415560: a list written last makes many files one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from faultcell.errors import DataError, many
from faultcell.files.durable.place import Place

LIST = "parts.json"
RECORDS = "_parts"  # of parts, till the list stands; a leading underscore is what readers of many files pass over
FORMAT = 1


class PartFile(BaseModel):
    """A file of a part: its size, and the SHA-256 in its seal."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int = Field(ge=0)
    sha256: str
    columns: str  # a digest of their names and types, which are the same in all parts


class Part(BaseModel):
    """A part that is written.

    Attributes:
        index: which.
        curves: in it; none where no draw was one that a cell could have made.
        samples: in it.
        files: by the table they belong to.
        told: counts of whoever made it, and a few names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    index: int = Field(ge=0)
    curves: int = Field(ge=0)
    samples: int = Field(ge=0)
    files: dict[str, PartFile]
    told: dict[str, dict[str, int]] = {}

    def path(self, table: str) -> str:
        """Name of its file of a table, within the set."""
        return path_of(table, self.index)


class PartList(BaseModel):
    """All parts of a set, by index."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int = FORMAT
    curves: int
    samples: int
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> PartList:
        """The list of these parts.

        Raises:
            DataError: they do not have the same columns, or no curve.
        """
        known = {(table, file.columns) for part in parts for table, file in part.files.items()}
        if len(known) != len({table for table, _ in known}):
            raise DataError("parts have other columns than those before them: begin anew in another folder")
        if not known:
            raise DataError("none of the parts has a curve: no draw is one that a cell could have made")
        return cls(
            curves=sum(part.curves for part in parts),
            samples=sum(part.samples for part in parts),
            parts=tuple(sorted(parts, key=lambda part: part.index)),
        )

    @property
    def told(self) -> dict[str, Counter[str]]:
        """The counts of all parts together."""
        found = dict[str, Counter[str]]()
        for part in self.parts:
            for name, counts in part.told.items():
                found.setdefault(name, Counter()).update(counts)
        return found

    def paths(self, table: str) -> list[str]:
        """Files of a table, within the set, in order."""
        return [part.path(table) for part in self.parts if table in part.files]

    def write(self, place: Place) -> None:
        """Put it in its place: from then on the set is whole."""
        said = self.model_dump(mode="json")
        place.write(LIST, json.dumps({**said, "sha256": _digest(said)}, indent=1) + "\n")


def path_of(table: str, index: int) -> str:
    """Name of the file of a table in a part, within the set."""
    return f"{table}/{index:06d}.parquet"


def listed_parts(place: Place) -> PartList | None:
    """The list of the parts of a set; None where there are neither parts nor a list of them.

    Raises:
        DataError: it is damaged, of a later version, or parts are there that have none yet.
    """
    text = place.text(LIST)
    if text is None:
        if done := len(place.names(RECORDS)):
            raise DataError(
                f"{place.name}: found {many(done, 'part')} of a set that is not whole, expected {LIST}, too: give the command "
                "that began it again, and it goes on"
            )
        return None
    try:
        said: dict[str, Any] = json.loads(text)
        digest = said.pop("sha256")
        if said["format"] != FORMAT:
            raise DataError(f"{place.name}: found parts of format {said['format']}, expected {FORMAT}: install that version")
        found = PartList.model_validate(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{place.name}/{LIST}: found a damaged list of parts, expected it as it was written") from error
    if digest != _digest(said):
        raise DataError(f"{place.name}/{LIST}: found a damaged list of parts (its SHA-256 is another): copy the set again")
    return found


def _digest(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
