"""The answers at a glance: is the diffusion model better than what costs nothing?"""

from __future__ import annotations

from collections.abc import Iterator

from faultcell.diagnosis.gain import BEFORE
from faultcell.plotting.theme import VIEWS, kind, look
from faultcell.report.arms import MEASURES, best_cheap, of_nets
from faultcell.report.blocks import Block, Cell, Table, cost, not_measured, number
from faultcell.report.dot_plot import Panel
from faultcell.report.folder import Row, Study
from faultcell.report.sections.comparisons import sign
from faultcell.report.sections.fidelity import PAIRED
from faultcell.study.plan import DIFFUSION
from faultcell.study.tables import FLOOR

HEAD = ("", "best of all", "real against real", "diffusion", "best cheap control", "does diffusion beat it?")
GAINED = ("", "best of all", "real curves only", "with diffusion", "best cheap control", "is diffusion better than it?")
SURE = {1: ("yes", "best"), -1: ("no, it is worse", "worst"), 0: ("not told apart", "")}


def blocks(study: Study) -> list[Block]:
    """One table for the curves, one for the classifiers."""
    near = [line for label in study.labels for line in _nearness(study, label)]
    gain = [line for label in study.labels for view in VIEWS for line in _gained(study, label, view=view)]
    curves = Table(HEAD, near, "how close the curves are")
    classifiers = Table(
        GAINED, gain, "what they are worth to classifiers: mean over the nets; the last column by the 95 % interval"
    )
    return [
        curves if near else not_measured("how close the curves are"),
        classifiers if gain else not_measured("what the curves are worth to classifiers"),
    ]


def _nearness(study: Study, label: str) -> Iterator[list[Cell]]:
    rows = {str(row["source"]): row for row in study.rows("fidelity", group="label", name=label)}
    for panel in PAIRED:
        known = {source: row[panel.key] for source, row in rows.items() if row.get(panel.key) is not None}
        able = {source: value for source, value in known.items() if kind(source) != "reference"}
        if able:
            first, own, cheap = _compared(able, panel)
            yield [Cell(f"{label}, {panel.title}"), first, Cell(number(known.get(FLOOR))), own, cheap, _beats(able, panel)]


def _compared(able: dict[str, float], panel: Panel) -> tuple[Cell, Cell, Cell]:
    """The best of all, the diffusion model, the best cheap control."""
    cheap = {source: value for source, value in able.items() if kind(source) == "cheap"}
    return _named(_first(able, panel), able), Cell(number(able.get(DIFFUSION))), _named(_first(cheap, panel), cheap)


def _first(values: dict[str, float], panel: Panel) -> str | None:
    return min(values, key=lambda source: cost(values[source], panel.goal)) if values else None


def _named(source: str | None, values: dict[str, float]) -> Cell:
    return Cell(f"{look(source).name} {number(values[source])}" if source else number(None))


def _beats(able: dict[str, float], panel: Panel) -> Cell:
    rivals = [cost(value, panel.goal) for source, value in able.items() if kind(source) == "cheap"]
    if DIFFUSION not in able or not rivals:
        return Cell(number(None))
    wins = cost(able[DIFFUSION], panel.goal) < min(rivals)
    return Cell("yes", "best") if wins else Cell("no", "worst")


def _gained(study: Study, label: str, *, view: str) -> Iterator[list[Cell]]:
    for measure, title in MEASURES.items():
        rows = of_nets(study, label, view=view, measure=measure)
        means = {arm: float(row["mean"]) for arm, row in rows.items()}
        if means:
            rival = best_cheap(study, label, view=view, measure=measure)
            best = _named(max(means, key=lambda arm: means[arm]), means)
            named = [best, *(Cell(number(means.get(arm))) for arm in (BEFORE, DIFFUSION)), _named(rival, means)]
            yield [
                Cell(f"{label}, {VIEWS[view]}, {title}"),
                *named,
                _told(_test(study, label, view=view, measure=measure), rival),
            ]


def _test(study: Study, label: str, *, view: str, measure: str) -> dict[str, Row]:
    """Tests of the diffusion model by what it is held against."""
    rows = study.rows("tests", task=label, view=view, measure=measure, arm=DIFFUSION)
    return {str(row["against"]): row for row in rows}


def _told(tests: dict[str, Row], rival: str | None) -> Cell:
    return Cell(*SURE[sign(tests[rival])]) if rival in tests else Cell("not tested")
