"""What a page is set to, as its address tells it: a link gives the same model, way to ask, values, seed and channel.

Nothing of an address is taken on trust. Each value must be one that the page offers or that a request may have; what is not is
left out and told by name, as text.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from nicegui import ui

from faultcell.app.controls import DEPTHS, SEVERITIES
from faultcell.app.page.chart import CHANNELS, Channel
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import Conditions, Draw
from faultcell.curves.schema import NORMAL
from faultcell.encoding.grid import CHANNELS as CHANNEL_NAMES
from faultcell.encoding.grid import TEMPERATURE
from faultcell.errors import ConditionError
from faultcell.files.messages import some

MODES = {"conditions": "From conditions", "normal": "From a normal cycle"}
OWN = "own"
UNKNOWN = "unknown"
REST = 0.4  # seconds without a change after which the address follows: browsers take only so many changes of it
OWN_IS_GONE = "The link is to a curve set of a visitor's own, which was forgotten with its page: choose it again."


@dataclass(frozen=True)
class Settings:
    """What a page can be set to; None where it begins as it would without.

    Attributes:
        model: id of a bundle.
        mode: a name of `MODES`.
        kind: what to draw, by its id.
        channel: what the charts show.
        seed: of the first curve.
        source: cell and number of the normal cycle to draw from.
        values: of the sliders, by attribute of `Condition`; None where it is unknown.
    """

    model: str | None = None
    mode: str | None = None
    kind: str | None = None
    channel: Channel | None = None
    seed: int | None = None
    source: tuple[str, int] | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)


def channels_of(entry: Entry) -> dict[Channel, str]:
    """The channels that a model draws: of some, nobody measured a temperature."""
    measured = CHANNEL_NAMES[TEMPERATURE] in entry.model.profile.channels
    return {channel: title for channel, title in CHANNELS.items() if measured or channel != "celsius"}


def spelt(value: float | None) -> str:
    """A value of a slider, in so many digits that it is the same when it is read."""
    return UNKNOWN if value is None else repr(value)


def read(query: Iterable[tuple[str, str]], registry: Registry) -> tuple[Settings, list[str]]:
    """What the query of an address sets, and a sentence for what of it was left out.

    Args:
        query: names and values; of two with the same name the later one counts.
        registry: what is served.
    """
    reader = _Reader(dict(query), registry)
    found = reader.settings()
    said = [OWN_IS_GONE] if reader.own else []
    if reader.refused:
        names = some(reader.refused)
        said.append(f"The address has what this page does not offer, and it was left out: {names}.")
    return found, said


class AddressBar:
    """The address as a visitor sees it, which follows the settings once they are at rest.

    Args:
        words: gives the settings as they stand, by name.
    """

    def __init__(self, words: Callable[[], Mapping[str, str]]) -> None:
        self._words, self._client = words, ui.context.client
        self._clock: asyncio.TimerHandle | None = None
        self._client.on_delete(self._stop)

    def changed(self) -> None:
        """Say that the settings are others now."""
        self._stop()
        self._clock = asyncio.get_running_loop().call_later(REST, self._write)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()

    def _write(self) -> None:
        query = json.dumps(f"?{urlencode(self._words())}")  # letters, digits and signs that stand for others
        self._client.run_javascript(f"history.replaceState(history.state, '', {query})")


class _Reader:
    """Takes the words of an address one by one."""

    def __init__(self, words: dict[str, str], registry: Registry) -> None:
        self._words, self._registry = words, registry
        self.refused: list[str] = []
        self.own = False

    def settings(self) -> Settings:
        """All that it sets; what is left is refused."""
        model = self._one("model", self._registry.entries)
        entry = self._registry.entry(model or next(iter(self._registry.entries)))
        mode = self._one("mode", MODES)
        titles = {title.lower(): channel for channel, title in channels_of(entry).items()}
        show = self._one("show", titles)
        normal = mode == "normal"
        kind = self._one("draw", [one.id for one in entry.kinds.values() if not (normal and one.label == NORMAL)])
        found = Settings(
            model=model,
            mode=mode,
            kind=kind,
            channel=None if show is None else titles[show],
            seed=self._seed(),
            source=self._source(entry, kind) if normal else None,
            values=self._values(entry, kind or next(iter(entry.kinds)), only_depth=normal),
        )
        self.refused += self._words
        return found

    def _one(self, name: str, known: Iterable[str]) -> str | None:
        """A word that must be one of some."""
        word = self._words.pop(name, None)
        if word is None or word in known:
            return word
        self.refused.append(name)
        return None

    def _seed(self) -> int | None:
        word = self._words.pop("seed", None)
        if word is None:
            return None
        try:
            return Draw(conditions=Conditions(fault=NORMAL), seed=int(word)).seed
        except ValueError:
            self.refused.append("seed")
            return None

    def _source(self, entry: Entry, kind: str | None) -> tuple[str, int] | None:
        """The normal cycle, where it is among those served and the fault can be drawn from it."""
        self.own = self._one("set", [OWN]) is not None
        cell, cycle = (self._words.pop(name, None) for name in ("cell", "cycle"))
        if cell is None and cycle is None:
            return None
        steps = {one.step_type for one in entry.kinds.values() if one.label != NORMAL and kind in (None, one.id)}
        normals = self._registry.normals
        known = {} if normals is None else normals.cycles(steps)
        found = next((number for number in known.get(cell or "", []) if str(number) == cycle), None)
        if cell is not None and found is not None:
            return cell, found
        self.refused.append("cell and cycle")
        return None

    def _values(self, entry: Entry, kind: str, *, only_depth: bool) -> dict[str, float | None]:
        """What the sliders stand at; those of a kind that is not known stand nowhere."""
        offered = [] if "draw" in self.refused else entry.knobs[kind]
        knobs = {knob.quantity.name: knob for knob in offered if not only_depth or knob.quantity.name in DEPTHS}
        found: dict[str, float | None] = {}
        for name in [name for name in self._words if name in knobs]:
            word = self._words.pop(name)
            try:
                if word == UNKNOWN and knobs[name].optional:
                    found[name] = None
                else:
                    found[name] = _number(name, word)
            except (ValueError, ConditionError):
                self.refused.append(name)
        return found


def _number(name: str, word: str) -> float:
    """A value that a request may have; raises ValueError (as that of pydantic is) or ConditionError where it is none."""
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(name)
    if name in SEVERITIES:
        SEVERITIES[name].check(value)
        return value
    Conditions.model_validate({"fault": NORMAL, name: value})
    return value
