"""What a page consists of, as data: sections of text, tables and figures. The template turns them into HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

MISSING = "–"
SMALLEST, LARGEST = 1e-6, 1e6  # numbers beyond are not spelt out
Goal = Literal["low", "high"] | float | None


@dataclass(frozen=True)
class Text:
    """A paragraph; a `note` is set smaller."""

    text: str
    note: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list under a heading."""

    items: Sequence[str]
    title: str = ""
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True)
class Picture:
    """An SVG with a description for those who cannot see it."""

    svg: bytes
    alt: str
    caption: str
    kind: ClassVar[str] = "picture"

    @property
    def address(self) -> str:
        """The picture itself, as an address."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class Cell:
    """What stands in a place of a table, and whether it is the best, or the worst, of its column."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table; `styles` names a class for each row."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    styles: Sequence[str] = ()
    kind: ClassVar[str] = "table"

    @property
    def lines(self) -> list[tuple[str, Sequence[Cell]]]:
        """Class and cells of each row."""
        return list(zip(self.styles or [""] * len(self.rows), self.rows, strict=True))

    @property
    def incomplete(self) -> bool:
        """Whether something in it was not measured."""
        return any(cell.text == MISSING for row in self.rows for cell in row)


@dataclass(frozen=True)
class Code:
    """Something to type."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Fold:
    """Blocks that open on a click."""

    title: str
    blocks: Sequence[Block]
    kind: ClassVar[str] = "fold"


Block = Text | Bullets | Picture | Table | Code | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading; `anchor` is its address within the page."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Column:
    """One measure in a table.

    Attributes:
        key: its name in a row.
        heading: for readers.
        goal: what is best: the lowest, the highest, the nearest to a number, or none.
        form: `number`, `percent`, `count` or `chance`.
    """

    key: str
    heading: str
    goal: Goal = "low"
    form: str = "number"

    @property
    def titled(self) -> str:
        """The heading, with what is best."""
        sign = {"low": "\u00a0↓", "high": "\u00a0↑", None: ""}
        return self.heading + (sign[self.goal] if not isinstance(self.goal, float) else f"\u00a0(→\u00a0{self.goal:g})")

    def spell(self, row: Mapping[str, Any]) -> str:
        """The value of a row, in its form."""
        return FORMS[self.form](row.get(self.key))

    def best(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """The best value, as it is spelt; values that look alike are alike."""
        known = [row for row in rows if row.get(self.key) is not None]
        if self.goal is None or len(known) < 2:
            return None
        return self.spell(min(known, key=lambda row: cost(row[self.key], self.goal)))


def cost(value: float, goal: Goal) -> float:
    """How far a value is from what is best: lower is better."""
    if isinstance(goal, float):
        return abs(value - goal)
    return -value if goal == "high" else value


def number(value: Any) -> str:
    """A number with three significant digits; what is smaller than a millionth is only said to be so."""
    if value is None or value == 0:
        return MISSING if value is None else "0"
    if abs(value) < SMALLEST:
        return "<1e−6" if value > 0 else ">−1e−6"
    if abs(value) >= LARGEST:
        return f"{value:.1e}".replace("-", "−")
    return f"{float(f'{value:.3g}'):,.{decimals(value)}f}".replace(",", " ").replace("-", "−")


def decimals(value: float) -> int:
    """Digits after the point that leave three significant ones, as far as six digits do."""
    magnitude = int(f"{value:.2e}".partition("e")[2])
    return max(0, min(6, 2 - magnitude))


def percent(value: Any) -> str:
    """A share as a percentage."""
    return MISSING if value is None else f"{100 * value:.1f} %".replace("-", "−")


def count(value: Any) -> str:
    """A whole number, its thousands apart."""
    return MISSING if value is None else f"{round(value):,}".replace(",", " ")


def chance(value: Any) -> str:
    """A p-value."""
    return "<1e−6" if value is not None and value < SMALLEST else number(value)


FORMS = {"number": number, "percent": percent, "count": count, "chance": chance}


def not_measured(what: str) -> Text:
    """What stands where a study lacks something."""
    return Text(f"Not measured: {what}.", note=True)
