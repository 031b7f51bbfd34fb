"""Tables that a narrow screen can show: each cell knows the heading of its column, which a style sheet then sets beside it."""

from __future__ import annotations

from html import escape, unescape
from html.parser import HTMLParser


def labelled(content: str) -> str:
    """HTML with the heading of its column on each cell of a table, as `data-name`; all else stays as it is.

    Args:
        content: well-formed HTML.
    """
    labelling = _Labelling()
    labelling.feed(content)
    labelling.close()
    return "".join(labelling.parts)


class _Labelling(HTMLParser):
    """Writes down again what it reads."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._headings: list[str] = []
        self._column, self._in_head, self._in_heading = 0, False, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count columns, and name the cells of a body."""
        text = self.get_starttag_text() or ""
        if tag == "table":
            self._headings = []
        elif tag == "thead":
            self._in_head = True
        elif tag == "tr":
            self._column = 0
        elif tag in ("th", "td"):
            if self._in_head:
                self._headings.append("")
                self._in_heading = True
            elif self._column < len(self._headings):
                name = escape(unescape(self._headings[self._column]).strip())
                text = f'{text[: len(tag) + 1]} data-name="{name}"{text[len(tag) + 1 :]}'
            self._column += 1
        self.parts.append(text)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element without content."""
        self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        """Leave a head, or a heading."""
        if tag == "thead":
            self._in_head = False
        elif tag in ("th", "td"):
            self._in_heading = False
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Keep text, which may be that of a heading."""
        self._keep(data)

    def handle_entityref(self, name: str) -> None:
        """Keep a character that stands by its name."""
        self._keep(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """Keep a character that stands by its number."""
        self._keep(f"&#{name};")

    def _keep(self, text: str) -> None:
        self.parts.append(text)
        if self._in_heading:
            self._headings[-1] += text
