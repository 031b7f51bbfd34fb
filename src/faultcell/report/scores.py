"""The page of one generated set: its scores beside those of the cheap sources."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader

from faultcell import __version__
from faultcell.scoring import Scores

# Attribute of a score, heading, format, and whether more is better.
COLUMNS: tuple[tuple[str, str, str, bool], ...] = (
    ("mae", "MAE", "{:.4f}", False),
    ("mse", "MSE", "{:.5f}", False),
    ("kl", "KL", "{:.4f}", False),
    ("pcc", "PCC", "{:.3f}", True),
    ("dpcc", "dPCC", "{:.3f}", True),
    ("lowest_voltage_error_volt", "lowest V error / V", "{:.3f}", False),
    ("highest_voltage_error_volt", "highest V error / V", "{:.3f}", False),
    ("duration_error", "duration error", "{:.1%}", False),
    ("peak_deviation_error_volt", "asked vs got / V", "{:.4f}", False),
)


def environment() -> Environment:
    """The templates; everything put into them is escaped."""
    return Environment(loader=PackageLoader("faultcell"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def page(
    *, title: str, scores: Scores, facts: Sequence[tuple[str, str]], figures: Sequence[tuple[str, bytes]], note: str
) -> str:
    """One HTML page with everything in it: no file beside it, no host asked.

    Args:
        title: of the page.
        scores: of the generated set and the cheap sources beside it.
        facts: name and value of what a reader wants to know first.
        figures: caption and PNG.
        note: what the numbers do and do not say.
    """
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            version=__version__,
            scores=scores,
            labels=sorted(scores.sources["synthetic"].by_label),
            columns=COLUMNS,
            facts=facts,
            figures=[(caption, base64.b64encode(png).decode()) for caption, png in figures],
            note=note,
        )
    )
