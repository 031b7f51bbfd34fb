"""A slider with its number and, where it may be, a tick for "unknown"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from faultcell.app.knobs import Knob


class Dial:
    """One quantity of a request.

    Args:
        knob: what it is and where it ends.
        on_change: called when a visitor has changed it.
    """

    def __init__(self, knob: Knob, *, on_change: Callable[[], None]) -> None:
        self._knob, self._on_change = knob, on_change
        self._value: float | None = knob.start
        self._quiet = False
        title, unit, (low, high) = knob.quantity.title, knob.quantity.unit, knob.ends
        with ui.element("div").classes("knob"):
            with ui.element("div").classes("name"):
                ui.label(title).props(f'title="{knob.quantity.hint}"')
                self._number = ui.number(value=knob.start, step=knob.step, suffix=unit or "\u00a0", on_change=self._typed)
                self._number.props(f'dense debounce=250 input-style="text-align: right" aria-label="{title}, number"')
            self._slider = ui.slider(min=low, max=high, step=knob.step, value=knob.start, on_change=self._slid)
            self._slider.props(f'color=accent aria-label="{title}"')
            with ui.element("div").classes("seen"):
                ui.label(self._seen())
                if knob.optional:
                    tick = ui.checkbox("unknown", on_change=self._ticked)
                    tick.props(f'dense size=xs color=dark aria-label="{title} unknown"')

    @property
    def name(self) -> str:
        """Attribute of a condition."""
        return self._knob.quantity.name

    @property
    def value(self) -> float | None:
        """What is asked for; None for unknown."""
        if self._value is None or not self._slider.enabled:
            return None
        whole = self._knob.quantity.whole and self._value == round(self._value)
        return int(self._value) if whole else self._value

    def _seen(self) -> str:
        low, high = self._knob.low, self._knob.high
        return f"seen: {low:,.{self._knob.digits}f} to {self._knob.spelt(high)}"

    def _slid(self, event: Any) -> None:
        if not self._quiet:
            self._take(float(event.value), self._number)

    def _typed(self, event: Any) -> None:
        if not self._quiet:
            self._take(None if event.value is None else float(event.value), self._slider)

    def _take(self, value: float | None, other: Any) -> None:
        """A value from one of the two; the other follows as far as it can go."""
        self._value = None if value is None else round(value, 9)
        self._quiet = True
        if value is not None:
            low, high = self._knob.ends
            other.set_value(min(max(value, low), high) if other is self._slider else round(value, self._knob.digits))
        self._quiet = False
        self._on_change()

    def _ticked(self, event: Any) -> None:
        for element in (self._slider, self._number):
            element.set_enabled(not event.value)
        self._on_change()
