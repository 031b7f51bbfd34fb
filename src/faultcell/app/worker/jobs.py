"""What the process that draws does: one function for each thing that is asked for, called with what is served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from faultcell.app import uploads
from faultcell.app.normals import Normals
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import Draw, Format
from faultcell.app.worker import downloads
from faultcell.app.worker.process import Tick
from faultcell.app.worker.results import Shown, draw, show, source_of, typical, warnings_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import inside
from faultcell.curves.schema import KEYS, SEVERITY, TIMESERIES

SENT = [name for name in TIMESERIES if name.endswith(("_second", "_volt", "_ampere", "_celsius"))]
MEDIA_TYPES: dict[Format, str] = {"json": "application/json", "parquet": "application/zip", "csv": "text/csv"}
SUFFIXES: dict[Format, str] = {"json": "json", "parquet": "zip", "csv": "bdf.csv"}


@dataclass(frozen=True)
class Packed:
    """Drawn curves as they are sent.

    Attributes:
        content: the bytes.
        media_type: of them.
        suffix: of a file that they make.
    """

    content: bytes
    media_type: str
    suffix: str


def warm(registry: Registry) -> None:
    """Draw from every model what its page begins with, which a first visitor would wait for."""
    for entry in registry.entries.values():
        draw(entry, Draw(conditions=typical(entry)))


def shown(registry: Registry, bundle_id: str, request: Draw, own: Curves | None = None, *, tick: Tick) -> Shown:
    """What a page shows of a draw; `own` is the visitor's normal curve that its source names, where that is not served."""
    return show(registry, registry.entry(bundle_id), request=request, normal=source_of(registry, request, own), tick=tick)


def packed(registry: Registry, bundle_id: str, asked: Draw, own: Curves | None = None, *, tick: Tick) -> Packed:
    """Drawn curves in the format that is asked for; `own` as in `shown`."""
    entry, normal = registry.entry(bundle_id), source_of(registry, asked, own)
    drawn = draw(entry, asked, normal=normal, tick=tick)
    content = _content(entry, asked, drawn=drawn, warnings=warnings_of(entry, asked.condition(normal)))
    return Packed(content, MEDIA_TYPES[asked.format], SUFFIXES[asked.format])


def received(_: Registry, files: Mapping[str, bytes], *, tick: Tick) -> Normals:
    """The normal curves of a visitor's own set: read here, where what hangs or swells can be ended."""
    return uploads.normals_of(files)


def _content(entry: Entry, asked: Draw, *, drawn: Curves, warnings: list[str]) -> bytes:
    if asked.format == "parquet":
        return downloads.zipped(drawn, config=_settings(entry, asked))
    if asked.format == "csv":
        return downloads.bdf_csv(drawn)
    told = {"bundle": entry.id, **_settings(entry, asked), "synthetic": True}
    found = {**told, "extrapolations": warnings, "curves": _curves(drawn)}
    return json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _settings(entry: Entry, asked: Draw) -> dict[str, Any]:
    """The configuration that lies beside drawn curves."""
    kept = {"seed": asked.seed, "steps": asked.steps or entry.steps, "conditions": asked.conditions.model_dump()}
    source = None if asked.source is None else asked.source.model_dump()
    return {"verb": "serve", "model_sha256": entry.model.sha256, "count": asked.count, **kept, "source": source}


def _curves(drawn: Curves) -> list[dict[str, Any]]:
    told = [*KEYS, "label", "seed", *SEVERITY, "extrapolated", "extrapolated_in"]
    severities = [one.name for one in inside(drawn.labels)]  # null where no normal curve tells them
    rows = drawn.halfcycles.select(*told, pl.col(severities).cast(pl.Float64).fill_nan(None)).to_dicts()
    columns = {name: drawn.column(name).round(6).tolist() for name in SENT if drawn.timeseries[name].is_finite().all()}
    return [
        {name: row[name] for name in told}
        | {"severities": {name: row[name] for name in severities}}
        | {name: values[part] for name, values in columns.items()}
        for row, part in zip(rows, drawn.slices(), strict=True)
    ]
