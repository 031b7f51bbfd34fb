"""The page: a heading, three tabs. One for each visitor, with sliders of their own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from nicegui import app, ui
from starlette.requests import Request

from faultcell import __version__
from faultcell.app.page.address import read
from faultcell.app.page.draw_tab import DrawTab
from faultcell.app.page.tables import data_tab, html, scores_tab
from faultcell.app.registry import Registry
from faultcell.app.uploads import Held
from faultcell.app.worker.queue import DrawQueue

TITLE = "FaultCell"
TAGLINE = "Lithium-ion fault curves as severe as you ask. Every drawn curve is synthetic."
WENT_WRONG = "Something went wrong on this machine; its terminal has the reason. Load the page again."


def build(registry: Registry, draw_queue: DrawQueue) -> None:
    """Make the page known to NiceGUI; a process can have one."""
    style = (files("faultcell.app") / "page.css").read_text(encoding="utf-8")
    held = Held()
    app.colors(primary="#1f2937", dark="#1f2937", accent="#d55e00")

    def page(request: Request) -> None:
        ui.add_head_html(f"<style>{style}</style>")
        _content(registry, draw_queue, held, query=request.query_params.multi_items())

    ui.page("/", title=TITLE, language="en-US", dark=None)(page)  # light or dark as the visitor's system is
    app.on_page_exception(_failed)


def _content(registry: Registry, draw_queue: DrawQueue, held: Held, *, query: Iterable[tuple[str, str]]) -> None:
    settings, said = read(query, registry)
    with ui.element("main").classes("page"):
        with ui.element("div").classes("top"):
            html(TITLE, tag="h1")
            ui.label(f"{TAGLINE} Version {__version__}.").classes("muted")
            choice = _bundles(registry, settings.model)
        with ui.tabs().props('align=left dense no-caps indicator-color=accent aria-label="Parts of the page"') as tabs:
            names = [ui.tab(name) for name in ("Draw", "Scores", "Data")]
        with ui.tab_panels(tabs, value=names[0], animated=False, keep_alive=True):
            with ui.tab_panel(names[0]):
                tab = DrawTab(registry, draw_queue, held, settings=settings, said=said)
            with ui.tab_panel(names[1]):
                scores_tab(registry)
            with ui.tab_panel(names[2]):
                data_tab(registry)
    if choice is not None:
        choice.on_value_change(lambda event: tab.use(registry.entry(event.value)))


def _bundles(registry: Registry, first: str | None) -> ui.select | None:
    """The choice of a model, where there is one."""
    names = list(registry.entries)
    if len(names) < 2:
        return None
    return ui.select(names, value=first or names[0], label="Model").props("outlined dense options-dense")


def _failed(error: Exception) -> None:
    print(f"faultcell: {type(error).__name__}: {error}", flush=True)
    with ui.element("main").classes("page"):
        html(TITLE, tag="h1")
        ui.label(WENT_WRONG)
