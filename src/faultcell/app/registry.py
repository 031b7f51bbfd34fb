"""What is served: models by id, real curves to compare with, results. A path is never asked for, nor told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from faultcell.app.controls import Control, Kind, kinds, knobs
from faultcell.app.normals import Normals
from faultcell.augmenter import Augmenter
from faultcell.baselines.replay import CurveLibrary
from faultcell.bundle import store
from faultcell.bundle.validate import check_sizes
from faultcell.curves.curves import Curves
from faultcell.curves.severity import complete
from faultcell.errors import ConditionError, DataError
from faultcell.files.curve_set import read_checked
from faultcell.report import describe


@dataclass(frozen=True, eq=False)
class Entry:
    """A model that is served.

    Attributes:
        id: its name in addresses.
        model: to draw from.
        facts: what it is, as `faultcell show` tells it.
        card: its model card, Markdown.
    """

    id: str
    model: Augmenter
    facts: Mapping[str, Any]
    card: str

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """What it can draw, by name."""
        return {kind.id: kind for kind in kinds(self.model)}

    @cached_property
    def knobs(self) -> dict[str, list[Control]]:
        """What can be asked of each kind."""
        return {name: knobs(self.model, kind) for name, kind in self.kinds.items()}

    @property
    def steps(self) -> int:
        """Network evaluations a curve where nothing else is asked for."""
        return self.model.config.diffusion.num_inference_steps


@dataclass(frozen=True, eq=False)
class Registry:
    """All that is served.

    Attributes:
        entries: models by id, in the order given.
        real: known curves to compare with.
        normals: those of them that faults can be drawn from.
        data: what that set is, as `faultcell show` tells it.
        suspicions: what is suspect in it, a sentence each.
        results: what files of scores hold, by name.
    """

    entries: Mapping[str, Entry]
    real: CurveLibrary | None = None
    normals: Normals | None = None
    data: Mapping[str, Any] | None = None
    suspicions: Sequence[str] = ()
    results: Mapping[str, Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, bundles: Sequence[Path], *, real: Path | None = None, scores: Sequence[Path] = ()) -> Registry:
        """Read all of it.

        Raises:
            BundleError: a bundle is incomplete, or was changed.
            DataError: the curve set or a file of scores is not what it should be.
        """
        entries = {entry.id: entry for entry in _entries(bundles)}
        results = {path.name: describe.facts(path) for path in scores}
        for path in scores:
            if results[path.name]["kind"] not in ("scores", "gain", "study"):
                raise DataError(
                    f"{path} is a {results[path.name]['kind']}: --scores takes scores.json, gain.json or study.json"
                )
        if real is None:
            return cls(entries, results=results)
        curves, suspicions = read_checked(real)
        if curves.has_generated:
            raise DataError(f"{real} has generated curves (synthetic = true): --real takes measured ones only")
        known = _ready(complete(curves))
        return cls(entries, known, Normals.of(known.curves), describe.facts(real), suspicions, results)

    def entry(self, name: str) -> Entry:
        """The model of this id.

        Raises:
            ConditionError: there is none.
        """
        if name not in self.entries:
            raise ConditionError(f"no bundle has the id '{name[:40]}': there are {', '.join(self.entries)}")
        return self.entries[name]


def _entries(bundles: Sequence[Path]) -> list[Entry]:
    found: list[Entry] = []
    for path in bundles:
        bundle = store.read_bundle(path, check_sizes)  # once: what is said of a model is said of the very one that is served
        facts = {key: value for key, value in describe.bundle_facts(bundle).items() if key != "kind"}
        name = _id(path, [entry.id for entry in found])
        found.append(Entry(name, Augmenter.restored(bundle, folder=path), facts, bundle.card))
    return found


def _id(path: Path, taken: Sequence[str]) -> str:
    """The folder's name in letters that need no care in an address; numbered where two are alike."""
    plain = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.lower()).strip("-")[:40] or "bundle"
    alike = [plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in alike if name not in taken)


def _ready(curves: Curves) -> CurveLibrary:
    """Known curves with all that a first request would wait for."""
    known = CurveLibrary(curves)
    assert len(known.samples) == len(known.conditions)
    return known
