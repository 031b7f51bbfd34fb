"""A slider with its number and, where it may be, a tick for "unknown"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from faultcell.app.controls import Control

OFTEN = 0.05  # seconds between two messages of a slider that is being dragged


class Slider:
    """One quantity of a request.

    Args:
        knob: what it is and where it ends.
        value: where it stands; None for unknown.
        on_change: called when a visitor has changed it.
    """

    def __init__(self, knob: Control, *, value: float | None, on_change: Callable[[], None]) -> None:
        self._knob, self._on_change = knob, on_change
        self._value: float | None = knob.start if value is None else value
        self._known, self._quiet = value is not None, False
        with ui.element("div").classes("knob"):
            with ui.element("div").classes("name"):
                ui.label(knob.quantity.title).props(f'title="{knob.quantity.hint}"')
                self._number = ui.number(
                    value=self._value, step=knob.step, suffix=knob.quantity.unit or "\u00a0", on_change=self._typed
                )
                self._number.props(f'dense debounce=250 aria-label="{knob.quantity.title}, number"')
                self._number.set_enabled(self._known)
            self._slider = self._build_slider()
            with ui.element("div").classes("seen"):
                ui.label(f"seen: {knob.low:,.{knob.digits}f} to {knob.spelt(knob.high)}")
                if knob.optional:
                    tick = ui.checkbox("unknown", value=not self._known, on_change=self._ticked)
                    tick.props(f'dense size=xs color=primary aria-label="{knob.quantity.title} unknown"')

    @property
    def name(self) -> str:
        """Attribute of a condition."""
        return self._knob.quantity.name

    @property
    def value(self) -> float | None:
        """What is asked for; None for unknown."""
        if self._value is None or not self._known:
            return None
        whole = self._knob.quantity.whole and self._value == round(self._value)
        return int(self._value) if whole else self._value

    def _build_slider(self) -> ui.element:
        """The browser's own slider: of those at hand it alone has its role where the keyboard finds it."""
        low, high = self._knob.ends
        slider = ui.element("input").props(f"type=range min={low} max={high} step={self._knob.step}")
        # As an attribute it says where the slider begins, and leaves it alone when the page is painted again.
        slider.props(f'aria-label="{self._knob.quantity.title}"')
        slider.props["^value"] = self._value
        slider.props.set_bool("disabled", not self._known)
        return slider.on("input", self._slid, js_handler="(event) => emit(event.target.value)", throttle=OFTEN)

    def _slid(self, event: Any) -> None:
        self._value = round(float(event.args), 9)
        self._quiet = True
        self._number.set_value(round(self._value, self._knob.digits))
        self._quiet = False
        self._on_change()

    def _typed(self, event: Any) -> None:
        if self._quiet:
            return
        self._value = None if event.value is None else float(event.value)
        if self._value is not None:
            place = f"getHtmlElement({self._slider.id})"
            self._slider.client.run_javascript(f"{place}.value = {self._value!r}")
        self._on_change()

    def _ticked(self, event: Any) -> None:
        self._known = not event.value
        self._number.set_enabled(self._known)
        self._slider.props.set_bool("disabled", not self._known)
        self._on_change()
