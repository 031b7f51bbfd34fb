"""Protocols, settings, and how to do it all again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from faultcell.report.blocks import Block, Cell, Code, Fold, Section, Table, Text, not_measured
from faultcell.report.folder import Study
from faultcell.study.plan import StudyConfig

AGAIN = """\
import json
from pathlib import Path

from faultcell import read
from faultcell.study import StudyConfig, run

settings = json.loads(Path("study.json").read_text())["config"]
run(Path("again"), read("the curve set"), config=StudyConfig(**settings))
"""


PAGE = "`faultcell report FOLDER` makes this page again from the files of the study."


def protocols(study: Study) -> Section:
    """What each number means, word by word."""
    blocks: list[Block] = []
    for name, text in study.summary.protocols.items():
        blocks += [Text(f"{name[:1].upper()}{name[1:]}. {text}")]
    return Section("protocols", "Protocols", blocks or [not_measured("study.json states no protocol")])


def settings(study: Study) -> Section:
    """Every knob; those of the networks on a click."""
    own = {name: value for name, value in study.summary.config.items() if not isinstance(value, dict)}
    blocks: list[Block] = [_table(own)]
    for name, value in study.summary.config.items():
        if isinstance(value, dict):
            blocks.append(Fold(f"{name}: {_meaning(name)}" if _meaning(name) else name, [_table(dict(_flat(value)))]))
    return Section("settings", "Settings", blocks)


def _table(values: Mapping[str, Any]) -> Table:
    lines = [[Cell(name), Cell(_spell(value)), Cell(_meaning(name))] for name, value in values.items()]
    return Table(("setting", "value", "meaning"), lines, styles=["text"] * len(lines))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def repeat(study: Study) -> Section:
    """What to type."""
    found = study.fingerprint
    data = (
        f"The curves' fingerprint (data_sha256 in config.json) is {found}."
        if found
        else "The curves' fingerprint is not known."
    )
    text = (
        f"FaultCell {study.summary.version}. {data} A study that was stopped goes on where it was, and a folder with a study "
        "of other data or settings is refused. Tables lie in tables/, one Parquet file each; curves in data/ and drawn/; "
        "models in models/. The same data, settings and versions give the same curves, up to the last digits on another "
        "processor."
    )
    return Section("repeat", "How to repeat it", [Text(text), Code(AGAIN), Text(PAGE)])


def _spell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _meaning(name: str) -> str:
    known = StudyConfig.model_fields.get(name)
    return (known.description or "") if known else ""
