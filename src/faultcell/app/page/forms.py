"""What can be asked for on the tab that draws, in two ways: from conditions, or from a normal cycle that goes wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from nicegui import ui

from faultcell.app.api.guard import MOST_UPLOAD
from faultcell.app.controls import Control, Kind
from faultcell.app.normals import Normals
from faultcell.app.page.slider import Slider
from faultcell.app.page.tables import html
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import Conditions, Draw, Source, conditions_from
from faultcell.app.uploads import Held
from faultcell.app.worker import jobs
from faultcell.app.worker.queue import DrawQueue
from faultcell.app.worker.results import Shown
from faultcell.curves.curves import Curves
from faultcell.curves.schema import NORMAL, SEVERITY
from faultcell.errors import ConditionError, DataError, FaultCellError

SERVED = "The real curves served"
NOTHING = "There is no normal cycle to draw from yet: choose a curve set of yours, or start the page with --real DIR."
ALL_ELSE = (
    "Drawn is the next cycle of this cell. Load, temperature and health are its own; how long it lasts is left to the model."
)
READING = "Reading the curve set."
TOO_LARGE = f"A curve set of yours takes at most {MOST_UPLOAD >> 20} MiB: take fewer cells or cycles."
TAKES = (
    f"A zip of a curve set, its two tables, or a CSV of a cycler: at most {MOST_UPLOAD >> 20} MiB, forgotten with this page."
)


class Form(ABC):
    """One way to ask.

    Args:
        registry: what is served.
        entry: the model to begin with.
        on_change: called when a visitor has changed something.
    """

    def __init__(self, registry: Registry, *, entry: Entry, on_change: Callable[[], None]) -> None:
        self._registry, self._entry, self._on_change = registry, entry, on_change
        self._sliders: list[Slider] = []

    @property
    @abstractmethod
    def name(self) -> str:
        """What is asked for, as the name of a file."""

    @property
    def own(self) -> Curves | None:
        """The visitor's own normal curve that the request names."""
        return None

    @abstractmethod
    def use(self, entry: Entry) -> None:
        """Ask another model."""

    @abstractmethod
    def request(self, count: int, seed: int) -> Draw:
        """What is asked for as it stands; raises ConditionError where that cannot be asked."""

    def missing(self, shown: Shown) -> list[str]:
        """A sentence for what a visitor may look for on the charts in vain."""
        return []

    def _build_sliders(self, legend: str, knobs: list[Control]) -> None:
        if knobs:
            with ui.element("fieldset"):
                html(legend, tag="legend")
                self._sliders += [Slider(knob, on_change=self._on_change) for knob in knobs]

    def _conditions(self, kind: Kind) -> Conditions:
        return conditions_from(kind.label, kind.step_type, values={slider.name: slider.value for slider in self._sliders})


class ConditionForm(Form):
    """Every quantity by itself."""

    def __init__(self, registry: Registry, *, entry: Entry, on_change: Callable[[], None]) -> None:
        super().__init__(registry, entry=entry, on_change=on_change)
        names = list(entry.kinds)
        self._choice = ui.select(names, value=names[0], label="What to draw", on_change=lambda e: self._turn_to(e.value))
        self._choice.props("outlined dense options-dense")
        self._knobs = ui.element("div")
        self._turn_to(names[0])

    @property
    def name(self) -> str:
        """The kind of curve."""
        return self._kind.id.replace(" ", "-")

    def use(self, entry: Entry) -> None:
        """Ask another model."""
        self._entry = entry
        self._choice.set_options(list(entry.kinds), value=next(iter(entry.kinds)))
        self._turn_to(self._choice.value)

    def request(self, count: int, seed: int) -> Draw:
        """As the sliders stand."""
        return Draw(conditions=self._conditions(self._kind), count=count, seed=seed)

    def missing(self, shown: Shown) -> list[str]:
        """Real curves of that kind."""
        none = self._registry.real is not None and not shown.nearest
        return [f"The real curves given have no {self._kind.id}."] if none else []

    def _turn_to(self, name: str) -> None:
        self._kind = self._entry.kinds[name]
        knobs = self._entry.knobs[name]
        self._knobs.clear()
        with self._knobs:
            self._sliders = []
            self._build_sliders("Severity", [knob for knob in knobs if knob.quantity.name in SEVERITY])
            self._build_sliders("Context", [knob for knob in knobs if knob.quantity.name not in SEVERITY])
        self._on_change()


class NormalForm(Form):
    """A normal cycle, the fault it ends in, and how deep; all else is that cycle's own.

    Args:
        registry: what is served.
        draw_queue: where a visitor's own curve set is read.
        held: the sets of all visitors.
        entry: the model to begin with.
        on_change: called when a visitor has changed something.
        say: called with a sentence, and whether something is wrong.
    """

    def __init__(
        self,
        registry: Registry,
        draw_queue: DrawQueue,
        held: Held,
        *,
        entry: Entry,
        on_change: Callable[[], None],
        say: Callable[[str, bool], None],
    ) -> None:
        super().__init__(registry, entry=entry, on_change=on_change)
        self._draw_queue, self._held, self._say = draw_queue, held, say
        self._sets = {} if registry.normals is None else {SERVED: registry.normals}
        self._quiet = False
        self._depth_of: tuple[str, str | None] = ("", None)  # model and fault whose slider there is
        self._set = self._select("Curve set")
        self._cell, self._cycle = self._select("Cell"), self._select("Normal cycle")
        self._fault = self._select("Fault")
        self._left_out = ui.label().classes("muted")
        self._knobs = ui.element("div")
        ui.label(ALL_ELSE).classes("muted")
        self._build_upload()
        ui.context.client.on_delete(lambda: self._sets.clear())
        self._settle()

    @property
    def name(self) -> str:
        """Fault, cell and cycle."""
        cell = "".join(letter if letter.isalnum() else "-" for letter in str(self._cell.value))[:40]
        return f"{self._fault.value}-{cell}-{self._cycle.value}"

    @property
    def own(self) -> Curves | None:
        """The curve itself where its set is the visitor's own."""
        if self._set.value in (None, SERVED):
            return None
        step = self._entry.kinds[self._fault.value].step_type
        return self._sets[self._set.value].one(self._cell.value, self._cycle.value, step)

    def use(self, entry: Entry) -> None:
        """Ask another model."""
        self._entry = entry
        self._settle()

    def request(self, count: int, seed: int) -> Draw:
        """As the choices stand."""
        if self._fault.value is None:
            raise ConditionError(NOTHING if not self._sets else self._useless())
        source = Source(cell_id=self._cell.value, cycle_count=self._cycle.value)
        conditions = self._conditions(self._entry.kinds[self._fault.value])
        return Draw(conditions=conditions, source=source, count=count, seed=seed)

    def _useless(self) -> str:
        faults = ", ".join(kind.label for kind in self._faults()) or "no fault"
        return f"No normal cycle of this curve set can serve: {self._entry.id} draws {faults}."

    # --- what is on it

    def _select(self, label: str) -> ui.select:
        found = ui.select([], label=label, on_change=self._changed)
        found.props("outlined dense options-dense")
        return found

    def _build_upload(self) -> None:
        """A button; the files go by an element that is never seen, since it takes a third of a screen."""
        self._upload = ui.upload(
            multiple=True,
            auto_upload=True,
            max_total_size=MOST_UPLOAD,
            max_files=2,
            on_multi_upload=self._received,
            on_rejected=lambda: self._say(TOO_LARGE, True),
        )
        self._upload.classes("unseen").props('accept=".zip,.parquet,.csv"')
        button = ui.button("Choose a curve set of your own").props("outline no-caps color=dark")
        button.on("click", js_handler=f"() => getElement({self._upload.id}).$refs.qRef.pickFiles()")
        ui.label(TAKES).classes("muted")

    # --- what happens on it

    async def _received(self, event: Any) -> None:
        """Read what a browser sent."""
        try:
            self._held.refuse_more()
            if sum(file.size() for file in event.files) > MOST_UPLOAD:
                raise DataError(TOO_LARGE)
            self._say(READING, False)
            files = {file.name: await file.read() for file in event.files}
            found: Normals = await self._draw_queue.do(jobs.received, files)
        except FaultCellError as error:
            self._say(str(error), True)
            return
        finally:
            self._upload.reset()
        self._held.keep(found)
        name = f"Your own: {', '.join(files)}"
        self._sets = {key: value for key, value in self._sets.items() if key == SERVED} | {name: found}
        self._settle(name)

    def _changed(self) -> None:
        if not self._quiet:
            self._settle()

    def _settle(self, chosen: str | None = None) -> None:
        """Have each choice offer what those before it leave open, and ask anew."""
        self._quiet = True
        steps = {kind.step_type for kind in self._faults()}
        name = self._offer(self._set, list(self._sets), chosen)
        self._set.set_visibility(len(self._sets) > 1 or name not in (None, SERVED))
        normals = self._sets.get(name) if name is not None else None
        cycles = {} if normals is None else normals.cycles(steps)
        cell = self._offer(self._cell, list(cycles))
        cycle = self._offer(self._cycle, cycles.get(cell, []))
        own = [] if normals is None or cycle is None else normals.steps(cell, cycle)
        label = self._offer(self._fault, [kind.label for kind in self._faults() if kind.step_type in own])
        self._quiet = False
        self._left_out.set_text("" if normals is None or not normals.unserved else _left_out(normals))
        self._left_out.set_visibility(bool(self._left_out.text))
        if (self._entry.id, label) != self._depth_of:
            self._build_depth(label)
        self._on_change()

    def _faults(self) -> list[Kind]:
        return [kind for kind in self._entry.kinds.values() if kind.label != NORMAL]

    def _offer(self, choice: ui.select, options: list[Any], wanted: Any = None) -> Any:
        """Options of a choice; it stays as it is where it can. Gives what is chosen then."""
        kept = choice.value if choice.value in options else next(iter(options), None)
        choice.set_options(options, value=kept if wanted is None else wanted)
        choice.set_enabled(bool(options))
        return choice.value

    def _build_depth(self, label: str | None) -> None:
        self._knobs.clear()
        self._sliders, self._depth_of = [], (self._entry.id, label)
        knobs = [] if label is None else self._entry.knobs[label]
        with self._knobs:
            self._build_sliders("Severity", [knob for knob in knobs if knob.quantity.name == SEVERITY[0]])


def _left_out(normals: Normals) -> str:
    return f"Left out, for they cannot serve: {'; '.join(map(str, normals.unserved))}."
