"""What can be asked for on the tab that draws, in two ways: from conditions, or from a normal cycle that goes wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from nicegui import ui

from faultcell.app.api.guard import MOST_UPLOAD
from faultcell.app.controls import DEPTHS, Control, Kind
from faultcell.app.normals import Normals
from faultcell.app.page.address import OWN, Settings, spelt
from faultcell.app.page.slider import Slider
from faultcell.app.page.tables import html
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import Conditions, Draw, Source, conditions_from
from faultcell.app.uploads import EXPECTED, Held
from faultcell.app.worker import jobs
from faultcell.app.worker.queue import DrawQueue
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
NOT_ARRIVED = "The files did not arrive, perhaps since others are on their way: give them again in a moment."
TAKES = (
    f"Drop a curve set of your own here: a zip of one, its two tables, or a CSV of a cycler, at most {MOST_UPLOAD >> 20} MiB. "
    "It is forgotten with this page."
)
MOST_FILES = 20  # more than are of use, so that which ones are can be said
# What a browser turned away, by the rule of Quasar's uploader that it broke.
TURNED_AWAY = {
    "accept": f"Expected {EXPECTED}: files of other kinds are not read.",
    "max-files": "A curve set of yours comes as one file, or as its two tables: give no more at a time.",
}
WHY = "(rejected) => emit(rejected.map((one) => one.failedPropValidation))"
OVER, LEFT = (
    f"(event) => {{ event.preventDefault(); event.currentTarget.classList.{what}('over'); }}" for what in ("add", "remove")
)


class Form(ABC):
    """One way to ask.

    Args:
        registry: what is served.
        entry: the model to begin with.
        on_change: called when a visitor has changed something.
        settings: what an address has set.
    """

    def __init__(self, registry: Registry, *, entry: Entry, on_change: Callable[[], None], settings: Settings) -> None:
        self._registry, self._entry, self._on_change = registry, entry, on_change
        self._settings = settings
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

    @abstractmethod
    def words(self) -> dict[str, str]:
        """The settings as an address has them, by name; see `address.read`."""

    def _build_sliders(self, legend: str, knobs: list[Control]) -> None:
        if knobs:
            with ui.element("fieldset"):
                html(legend, tag="legend")
                for knob in knobs:
                    value = self._settings.values.get(knob.quantity.name, knob.start)
                    self._sliders.append(Slider(knob, value=value, on_change=self._on_change))

    def _slider_words(self) -> dict[str, str]:
        return {slider.name: spelt(slider.value) for slider in self._sliders}

    def _conditions(self, kind: Kind) -> Conditions:
        return conditions_from(kind.label, kind.step_type, values={slider.name: slider.value for slider in self._sliders})


class ConditionForm(Form):
    """Every quantity by itself."""

    def __init__(self, registry: Registry, *, entry: Entry, on_change: Callable[[], None], settings: Settings) -> None:
        super().__init__(registry, entry=entry, on_change=on_change, settings=settings)
        names = list(entry.kinds)
        first = settings.kind or names[0]
        self._choice = ui.select(names, value=first, label="What to draw", on_change=lambda e: self._turn_to(e.value))
        self._choice.props("outlined dense options-dense")
        self._knobs = ui.element("div")
        self._turn_to(first)
        self._settings = Settings()  # they are those of the first kind

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

    def words(self) -> dict[str, str]:
        """Kind and sliders."""
        return {"draw": self._kind.id, **self._slider_words()}

    def _turn_to(self, name: str) -> None:
        self._kind = self._entry.kinds[name]
        knobs = self._entry.knobs[name]
        self._knobs.clear()
        with self._knobs:
            self._sliders = []
            severities = [knob for knob in knobs if knob.quantity.name in (*SEVERITY, *DEPTHS)]
            self._build_sliders("Severity", severities)
            self._build_sliders("Context", [knob for knob in knobs if knob not in severities])
        self._on_change()


class NormalForm(Form):
    """A normal cycle, the fault it ends in, and how severe; all else is that cycle's own.

    Args:
        registry: what is served.
        draw_queue: where a visitor's own curve set is read.
        held: the sets of all visitors.
        entry: the model to begin with.
        on_change: called when a visitor has changed something.
        settings: what an address has set.
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
        settings: Settings,
        say: Callable[[str, bool], None],
    ) -> None:
        super().__init__(registry, entry=entry, on_change=on_change, settings=settings)
        self._draw_queue, self._held, self._say = draw_queue, held, say
        self._sets = {} if registry.normals is None else {SERVED: registry.normals}
        self._quiet = False
        self._depth_of: tuple[str, str | None] = ("", None)  # model and fault whose sliders there are
        self._set = self._select("Curve set")
        self._cell, self._cycle = self._select("Cell"), self._select("Normal cycle")
        self._fault = self._select("Fault")
        self._left_out = ui.label().classes("muted")
        self._knobs = ui.element("div")
        ui.label(ALL_ELSE).classes("muted")
        self._build_upload()
        ui.context.client.on_delete(lambda: self._sets.clear())
        self._settle()
        self._settings = Settings()  # they are those of the first choices

    @property
    def name(self) -> str:
        """Fault, cell and cycle."""
        cell = "".join(letter if letter.isalnum() else "-" for letter in str(self._cell.value))[:40]
        return f"{self._fault.value}-{cell}-{self._cycle.value}".replace(" ", "-")

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

    def words(self) -> dict[str, str]:
        """The choices; a curve set of a visitor's own has no address, since others cannot ask for it."""
        if self._fault.value is None:
            return {}
        served = {"cell": str(self._cell.value), "cycle": str(self._cycle.value)}
        source = served if self._set.value == SERVED else {"set": OWN}
        return {**source, "draw": self._fault.value, **self._slider_words()}

    def _useless(self) -> str:
        faults = ", ".join(kind.id for kind in self._faults()) or "no fault"
        return f"No normal cycle of this curve set can serve: {self._entry.id} draws {faults}."

    # --- what is on it

    def _select(self, label: str) -> ui.select:
        found = ui.select([], label=label, on_change=self._changed)
        found.props("outlined dense options-dense")
        return found

    def _build_upload(self) -> None:
        """A place to drop files, with a button; they go by an element that is never seen: it takes a third of a screen."""
        self._upload = ui.upload(
            multiple=True,
            auto_upload=True,
            max_total_size=MOST_UPLOAD,
            max_files=MOST_FILES,
            on_multi_upload=self._received,
        )
        self._upload.classes("unseen").props('accept=".zip,.parquet,.csv"')
        self._upload.on("rejected", self._turned_away, js_handler=WHY).on("failed", self._lost, args=[])
        uploader = f"getElement({self._upload.id}).$refs.qRef"
        with ui.element("div").classes("drop") as place:
            ui.label(TAKES).classes("muted")
            button = ui.button("Choose files").props("outline no-caps color=primary")
        button.on("click", js_handler=f"() => {uploader}.pickFiles()")
        place.on("dragover", js_handler=OVER).on("dragleave", js_handler=LEFT)
        place.on("drop", js_handler=f"(event) => {{ ({LEFT})(event); {uploader}.addFiles(event.dataTransfer.files); }}")

    # --- what happens on it

    def _turned_away(self, event: Any) -> None:
        """Say why a browser did not send a file."""
        rules = event.args if isinstance(event.args, list) else []
        self._say(next((TURNED_AWAY[rule] for rule in rules if rule in TURNED_AWAY), TOO_LARGE), True)

    def _lost(self) -> None:
        """Say that files did not come through, and let them be given again."""
        self._upload.reset()
        self._say(NOT_ARRIVED, True)

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
        wanted = self._settings.source or (None, None)
        cell = self._offer(self._cell, list(cycles), wanted[0])
        cycle = self._offer(self._cycle, cycles.get(cell, []), wanted[1])
        own = [] if normals is None or cycle is None else normals.steps(cell, cycle)
        faults = [kind.id for kind in self._faults() if kind.step_type in own]
        fault = self._offer(self._fault, faults, self._settings.kind if self._settings.kind in faults else None)
        if self._settings.kind not in (None, fault):
            self._settings = Settings()  # a depth of another fault is none of this one
        self._quiet = False
        self._left_out.set_text("" if normals is None or not normals.unserved else _left_out(normals))
        self._left_out.set_visibility(bool(self._left_out.text))
        if (self._entry.id, fault) != self._depth_of:
            self._build_depth(fault)
        self._on_change()

    def _faults(self) -> list[Kind]:
        return [kind for kind in self._entry.kinds.values() if kind.label != NORMAL]

    def _offer(self, choice: ui.select, options: list[Any], wanted: Any = None) -> Any:
        """Options of a choice; it stays as it is where it can. Gives what is chosen then."""
        kept = choice.value if choice.value in options else next(iter(options), None)
        choice.set_options(options, value=kept if wanted is None else wanted)
        choice.set_enabled(bool(options))
        return choice.value

    def _build_depth(self, fault: str | None) -> None:
        self._knobs.clear()
        self._sliders, self._depth_of = [], (self._entry.id, fault)
        knobs = [] if fault is None else self._entry.knobs[fault]
        with self._knobs:
            self._build_sliders("Severity", [knob for knob in knobs if knob.quantity.name in DEPTHS])


def _left_out(normals: Normals) -> str:
    return f"Left out, for they cannot serve: {'; '.join(map(str, normals.unserved))}."
