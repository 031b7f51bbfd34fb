"""The tab that draws: what is asked for on one side, what is drawn on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import numpy as np
from nicegui import ui

from faultcell.app.page import chart
from faultcell.app.page.address import MODES, AddressBar, Settings, channels_of
from faultcell.app.page.chart import CHANNELS, Channel
from faultcell.app.page.forms import ConditionForm, Form, NormalForm
from faultcell.app.page.tables import escaped, html
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import MOST_CURVES, Format
from faultcell.app.uploads import Held
from faultcell.app.worker import jobs
from faultcell.app.worker.jobs import Packed
from faultcell.app.worker.queue import DrawQueue, Newest
from faultcell.app.worker.results import Shown
from faultcell.curves.faults import breaks_limit
from faultcell.errors import ConditionError, FaultCellError
from faultcell.generation.drawing import CHUNK

PLAIN = 'unelevated dense padding="2px 12px" toggle-color=primary toggle-text-color=paper text-color=primary'
HEADINGS = ("The whole curve", "The end")
WHERE = ", where the fault is"  # that breaks a limit
LONG = 2.0  # seconds after which a visitor is told to wait
WAIT = "This draw takes long: it waits for others, or for the process that draws to start again."
NO_TEMPERATURE = {
    "conditions": "The nearest real curves have no surface temperature.",
    "normal": "The normal curve has no surface temperature: that of the drawn curves is the model's alone.",
}
STALE = "The charts still show the draw before."
FAILED = "The draw failed on this machine; its terminal has the reason."


class DrawTab:
    """The tab of one visitor.

    Args:
        registry: what is served.
        draw_queue: where drawing is done.
        held: the curve sets of all visitors.
        settings: what the address has set.
        said: sentences about the address, until something is changed.
    """

    def __init__(
        self, registry: Registry, draw_queue: DrawQueue, held: Held, *, settings: Settings, said: Sequence[str]
    ) -> None:
        self._registry, self._draw_queue, self._held = registry, draw_queue, held
        self._entry = registry.entry(settings.model or next(iter(registry.entries)))
        self._settings, self._said_of_address = settings, said
        self._seed = settings.seed or 0
        self._forms: dict[str, Form] = {}
        self._headings: list[ui.html] = []
        self._shown: Shown | None = None
        self._painted = self._failed = self._stands = False
        self._newest = Newest(self._draw)
        self._address = AddressBar(self._words)
        mode = settings.mode or next(iter(MODES))
        with ui.element("div").classes("modes"):
            self._mode = ui.toggle(dict(MODES), value=mode, on_change=lambda e: self._turn_to(e.value))
            self._mode.classes("mode").props(f'{PLAIN} aria-label="Where curves come from"')
            ui.button("Redraw", on_click=self._redraw).props("unelevated no-caps color=primary text-color=paper")
            self._seed_said = ui.label().classes("muted")
            self._channel = ui.toggle(dict(CHANNELS), value=settings.channel or "volt", on_change=self._turn_channel)
            self._channel.classes("shown").props(f'{PLAIN} aria-label="Shown quantity"')
            self._offer_channels()
        with ui.element("div").classes("draw"):
            with ui.element("div").classes("controls"):
                self._places = {name: ui.element("div").classes("form") for name in MODES}
            with ui.element("div").classes("results"):
                self._build_results()
        self._turn_to(mode)
        self._stands = True

    def use(self, entry: Entry) -> None:
        """Draw from another model."""
        self._entry = entry
        self._offer_channels()
        for form in self._forms.values():
            form.use(entry)

    # --- what is on it

    def _build_results(self) -> None:
        self._legend = html(_legend(self._mode.value, self._channel.value), tag="ul").classes("legend")
        self._said = html("").classes("said").props('role=status aria-live=polite aria-label="Notices"')
        with ui.element("div").classes("charts"):
            self._charts = [self._build_chart(heading, closer=place > 0) for place, heading in enumerate(HEADINGS)]
        with ui.element("div").classes("after"):
            self._table = html("")
            with ui.element("div").classes("files"):
                self._build_files()

    def _build_chart(self, heading: str, *, closer: bool) -> Any:
        with ui.element("div"):
            self._headings.append(html(heading, tag="h3"))
            said = f"{heading}: drawn curves, the band that 90 % of them lie in, rated limits; the table below has the numbers"
            return ui.echart(chart.blank("volt", closer=closer)).props(f'role=img aria-label="{said}"')

    def _build_files(self) -> None:
        html("Take them along", tag="h3")
        self._count = ui.number("Curves", value=CHUNK, min=1, max=MOST_CURVES, precision=0).props("outlined dense")
        with ui.element("div").classes("actions"):
            for text, work in (("Curve set (zip)", self._save_zip), ("CSV (BDF)", self._save_csv)):
                ui.button(text, on_click=work).props("outline no-caps color=primary")
        ui.label("The same conditions and seeds as shown, every curve marked as synthetic.").classes("muted")

    # --- what happens on it

    @property
    def _form(self) -> Form:
        return self._forms[self._mode.value]

    def _turn_to(self, mode: str) -> None:
        """Show one of the forms, which is made when it is first wanted."""
        for name, place in self._places.items():
            place.set_visibility(name == mode)
        if mode in self._forms:
            self._ask()
        else:
            with self._places[mode]:
                self._forms[mode] = self._build_form(mode)
            self._ask()

    def _build_form(self, mode: str) -> Form:
        # The form that an address has not set begins as ever.
        settings = Settings() if self._stands else self._settings
        told: dict[str, Any] = {"entry": self._entry, "on_change": self._ask, "settings": settings}
        if mode == "conditions":
            return ConditionForm(self._registry, **told)
        return NormalForm(self._registry, self._draw_queue, self._held, **told, say=self._say_one)

    def _offer_channels(self) -> None:
        """The channels of the model, of which the one shown stays where it can."""
        offered = channels_of(self._entry)
        kept = self._channel.value if self._channel.value in offered else next(iter(offered))
        if offered != self._channel.options:
            self._channel.set_options(offered, value=kept)

    def _turn_channel(self) -> None:
        """Show another channel of the curves drawn."""
        if self._shown is not None and not self._failed:
            self._tell(self._shown)
        else:
            self._paint()
        self._changed()

    def _words(self) -> dict[str, str]:
        """The settings as they stand, for the address."""
        found = {"model": self._entry.id} if len(self._registry.entries) > 1 else {}
        show = {"show": CHANNELS[self._channel.value].lower(), "seed": str(self._seed)}
        return {**found, "mode": self._mode.value, **show, **self._form.words()}

    def _changed(self) -> None:
        """What an address says follows what is asked for, once a visitor asks for something else."""
        if self._stands:
            self._said_of_address = ()
            self._address.changed()

    def _redraw(self) -> None:
        self._seed += CHUNK
        self._ask()

    def _ask(self) -> None:
        if self._mode.value not in self._forms:
            return  # it is being made
        self._seed_said.set_text(f"seeds {self._seed} to {self._seed + CHUNK - 1}")
        self._newest.changed()
        self._changed()

    async def _draw(self) -> None:
        """Draw as the sliders stand now."""
        try:
            entry, form = self._entry, self._form
            request = form.request(CHUNK, self._seed)
            self._shown = await self._patiently(self._draw_queue.do(jobs.shown, entry.id, request, form.own))
            self._failed = False
            self._tell(self._shown)
        except FaultCellError as error:
            self._failed = True
            more = [*([STALE] if self._shown else []), *self._said_of_address]
            self._say(_paragraph(str(error), "wrong") + "".join(map(_paragraph, more)))
        except Exception as error:  # a visitor gets a sentence, whatever happened
            self._failed = True
            print(f"faultcell: {type(error).__name__}: {error}", flush=True)
            self._say(_paragraph(FAILED, "wrong"))

    def _tell(self, shown: Shown) -> None:
        self._say("".join(map(_paragraph, self._notices(shown))))
        self._table.set_content(_rows(shown))
        self._paint()

    def _notices(self, shown: Shown) -> list[str]:
        """A sentence for what is beyond the model, what is looked for on the charts in vain, and the address."""
        found = [f"{sentence}: these curves are extrapolations." for sentence in shown.warnings]
        beside = [*shown.nearest, *([] if shown.normal is None else [shown.normal])]
        bare = self._channel.value == "celsius" and beside and not any(np.isfinite(line.celsius).any() for line in beside)
        found += [NO_TEMPERATURE[_mode_of(shown)]] if bare else []
        return [*found, *([shown.without_nearest] if shown.without_nearest else []), *self._said_of_address]

    def _paint(self) -> None:
        if self._shown is None:
            return
        self._legend.set_content(_legend(_mode_of(self._shown), self._channel.value))
        for place, element in enumerate(self._charts):
            options = chart.options(self._shown, self._channel.value, closer=place > 0)
            if self._painted:
                element.run_chart_method("setOption", options)  # past the properties, which look at every point
            else:
                element.options.update(options)
                element.update()
        broken = breaks_limit(self._shown.request.conditions.fault)
        self._headings[-1].set_content(f"{HEADINGS[-1]}{WHERE if broken else ''}")
        self._painted = True

    def _say_one(self, sentence: str, wrong: bool) -> None:
        self._say(_paragraph(sentence, "wrong" if wrong else ""))

    def _say(self, content: str) -> None:
        self._said.set_content(content)

    async def _patiently(self, work: Awaitable[Shown]) -> Shown:
        """Wait for a draw, and say so where it is long in coming: the queue is full, or a new worker starts."""
        task = asyncio.ensure_future(work)
        await asyncio.wait([task], timeout=LONG)
        if not task.done():
            self._say(_paragraph(WAIT) + (_paragraph(STALE) if self._shown else ""))
        return await task

    async def _save_zip(self) -> None:
        await self._save("parquet")

    async def _save_csv(self) -> None:
        await self._save("csv")

    async def _save(self, kind: Format) -> None:
        entry, form = self._entry, self._form
        try:
            count = int(self._count.value or 0)
            if not 1 <= count <= MOST_CURVES:
                raise ConditionError(f"a file takes 1 to {MOST_CURVES} curves, found {count}")
            asked, name = form.request(count, self._seed).model_copy(update={"format": kind}), form.name
            found: Packed = await self._draw_queue.do(jobs.packed, entry.id, asked, form.own)
        except FaultCellError as error:
            self._say(_paragraph(str(error), "wrong"))
            return
        ui.download.content(found.content, f"{entry.id}-{name}.{found.suffix}", found.media_type)


def _mode_of(shown: Shown) -> str:
    """Where the curves of a draw come from, which may no longer be what is chosen."""
    return "conditions" if shown.normal is None else "normal"


def _legend(mode: str, channel: Channel) -> str:
    line = '<svg width="34" height="12" aria-hidden="true"><line x1="1" y1="6" x2="33" y2="6" {}/></svg>'
    entries = (*(chart.LEGEND if channel == "volt" else chart.LEGEND[:-1]), chart.BESIDE[mode])
    return "".join(f"<li>{line.format(stroke)}{name}</li>" for name, stroke in entries)


def _rows(shown: Shown) -> str:
    body = "".join(
        f'<tr><th scope="row">{escaped(row.title)}</th><td>{escaped(row.asked)}</td><td>{escaped(row.got)}</td>'
        f"<td>{escaped(row.spread)}</td></tr>"
        for row in shown.rows
    )
    return (
        '<h3>Asked for, and measured back</h3><div class="wide"><table class="asked"><thead><tr><th scope="col"></th>'
        f'<th scope="col">asked</th><th scope="col">median</th><th scope="col">90 % of them</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _paragraph(sentence: str, kind: str = "") -> str:
    said = escaped(f"{sentence[:1].upper()}{sentence[1:]}")
    return f'<p class="{kind}">{said}</p>'
