"""The tabs that are read: what models, curve sets and results say of themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Template
from markupsafe import escape
from nicegui import ui

from faultcell.app.registry import Entry, Registry
from faultcell.plotting.theme import look
from faultcell.report.scores import environment

FEW_WORDS = 4  # of a list that is no list of sentences
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
    return _template().render(facts=facts)


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
        ui.markdown(card, extras=["tables", "code-friendly", "fenced-code-blocks"]).classes("card")


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
