"""The tabs that are read: what models, curve sets and results say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

from jinja2 import Template
from markupsafe import escape
from nicegui import ui
from nicegui.elements.markdown import prepare_content

from faultcell.app.page.narrow import labelled
from faultcell.app.registry import Entry, Registry
from faultcell.plotting.theme import look
from faultcell.report.describe import evened
from faultcell.report.scores import environment

NUMBER = re.compile(r"-|[-+]?[\d.,]+(e[-+]?\d+)?")
FEW_WORDS = 4  # of a list that is no list of sentences
MOST_COLUMNS = 10  # of a table, beside the names of its rows
CARD_EXTRAS = "tables code-friendly fenced-code-blocks"  # of Markdown
NAMED = 24  # cells of a long list that are told by name
NO_SCORES = (
    "No scores were given. Score the model on cells it has not seen (faultcell sample --like DIR, then faultcell evaluate) and "
    "start the page with --scores scores.json."
)
NO_DATA = (
    "No real curves were given. Start the page with --real DIR, a curve-set folder: it is described here, its nearest "
    "curves stand beside the drawn ones, and faults are drawn from its normal cycles. What the model has learnt from is told "
    "below."
)


def facts_html(facts: Mapping[str, Any]) -> str:
    """Facts as HTML: a list of terms, a table, sentences; all text escaped."""
    return labelled(_template().render(facts=dict(_narrowed(facts))))


def html(content: str, *, tag: str = "div") -> ui.html:
    """HTML of our own making, in which all foreign text is escaped."""
    return ui.html(content, sanitize=False, tag=tag)


def escaped(text: str) -> str:
    """Text that is no HTML."""
    return str(escape(text))


def scores_tab(registry: Registry) -> None:
    """What files of scores hold, and what the models say of themselves."""
    for name, found in (registry.results or {}).items():
        html(f"{name}: {found['kind']}", tag="h2")
        _html({key: value for key, value in found.items() if key != "kind"})
    if not registry.results:
        ui.label(NO_SCORES).classes("muted")
    for entry in registry.entries.values():
        html(f"Model card of {entry.id}", tag="h2")
        # Its front matter is for programs.
        card = re.sub(r"\A---\n.*?\n---\n", "", entry.card, flags=re.DOTALL)
        ui.html(labelled(prepare_content(card, CARD_EXTRAS)), sanitize=True).classes("card nicegui-markdown")


def data_tab(registry: Registry) -> None:
    """What the curve set holds, or what the models have learnt from."""
    if registry.data is None:
        ui.label(NO_DATA).classes("muted")
    else:
        html("Real curves", tag="h2")
        _html({**registry.data, "suspect": list(registry.suspicions) or ["nothing stands out"]})
    for entry in registry.entries.values():
        _seen(entry)


def _seen(entry: Entry) -> None:
    html(f"What {entry.id} has seen", tag="h2")
    _html({key: entry.facts[key] for key in ("half-cycles", "channels", "cells", "left out", "has seen", "in contexts")})


def _narrowed(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Facts whose tables fit a page: one of many columns becomes several, each with the names of its rows."""
    for title, value in _even(facts):
        columns = list(value[0]) if _is_table(value) else []
        names = _row_names(value) if columns else []
        rest = columns[len(names) :]
        if len(rest) <= MOST_COLUMNS:
            yield title, value
            continue
        parts = -(-len(rest) // MOST_COLUMNS)
        size = -(-len(rest) // parts)
        for part in range(parts):
            kept = [*names, *rest[part * size : (part + 1) * size]]
            yield f"{title}, {part + 1} of {parts}", [{name: row[name] for name in kept} for row in value]


def _even(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Facts whose tables have the same columns in every row; a fault has no value in a severity of another."""
    for title, value in facts.items():
        yield title, evened(value) if _is_table(value) else value


def _row_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that say what a row is about: the first ones, down to those of numbers."""
    return [*takewhile(lambda name: not all(_is_number(row[name]) for row in rows), rows[0])]


def _is_number(value: Any) -> bool:
    """Whether a value of a table is a number, or stands where one is unknown."""
    return not isinstance(value, str) or bool(NUMBER.fullmatch(value))


def _html(facts: Mapping[str, Any]) -> None:
    html(facts_html(facts))


@cache
def _template() -> Template:
    made = environment()
    made.filters["words"] = _words
    made.filters["source"] = _source
    made.tests["tabular"] = _is_table
    made.tests["sentences"] = _are_sentences
    return made.get_template("facts.html.j2")


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _are_sentences(value: Any) -> bool:
    return isinstance(value, list) and not _is_table(value) and any(str(line).count(" ") > FEW_WORDS for line in value)


def _source(value: str) -> str:
    """A source of curves as the reports name it."""
    return "the model" if value == "synthetic" else look(value).name


def _words(value: Any) -> str:
    """A value as a reader wants it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        named, more = list(map(str, value))[:NAMED], len(value) - NAMED
        return ", ".join(named) + (f" and {more} more" if more > 0 else "") if named else "none"
    return f"{value:,}" if isinstance(value, int) else "unknown" if value is None else str(value)
