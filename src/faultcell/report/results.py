"""The page of a file of scores or of gain: the numbers of one's own run, with the pictures that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultcell import __version__
from faultcell.curves.curves import Curves
from faultcell.diagnosis.gain import Gain, Summary, is_mean
from faultcell.errors import DataError, first_line
from faultcell.files.bounded.json_file import read_json
from faultcell.files.durable.atomic import write_text
from faultcell.plotting.bar_plot import bars, ordered
from faultcell.plotting.overlays import ladder
from faultcell.plotting.singles import single_curves
from faultcell.plotting.theme import VIEWS, look, spoken
from faultcell.report.arms import MEASURES
from faultcell.report.blocks import Block, Bullets, Cell, Column, Fold, Picture, Section, Table, Text, number
from faultcell.report.dot_plot import Panel, compared, dots
from faultcell.report.scores import environment
from faultcell.scoring import Score, Scores

# A picture is drawn for each task and view, and takes a tenth of a second; larger figures cannot be drawn.
MOST_PLACES, MOST_FIGURE = 50, 1e30
PANELS = (
    Panel("mae", "MAE"),
    Panel("dpcc", "dPCC", goal="high"),
    Panel("kl", "KL", log=True),
    Panel("lowest_voltage_error_volt", "lowest V error / V"),
    Panel("duration_error", "duration error"),
)
COLUMNS = (
    Column("curves", "curves", goal=None, form="count"),
    Column("mae", "MAE"),
    Column("pcc", "PCC", goal="high"),
    Column("dpcc", "dPCC", goal="high"),
    Column("kl", "KL"),
    Column("wasserstein", "Wasserstein"),
    Column("lowest_voltage_error_volt", "lowest V error / V"),
    Column("highest_voltage_error_volt", "highest V error / V"),
    Column("duration_error", "duration error", form="percent"),
)
BELIEVABLE = {
    "rises": "against direction",
    "rises_real": "real",
    "flat_at_limit": "flat at limit",
    "flat_at_limit_real": "real",
    "hot": "hot or jumping",
    "hot_real": "real",
    "surges": "surging",
    "surges_real": "real",
    "forest_auc": "forest AUC",
    "forest_auc_worst": "worst cell",
}
ENSEMBLE = {
    "crps": "CRPS",
    "energy": "energy score",
    "variogram": "variogram score",
    "mae_of_median": "MAE of the median",
    "covered": "90 % band covers",
    "covered_if_perfect": "if perfect",
    "width": "width",
}
READING = (
    "Floor: a real cycle against the next one of its cell; nearer nobody can be expected to come. Nearest replay: the known "
    "fault nearest in its conditions, repeated. A generator is worth having between the two."
)
BARS = (
    "Empty: real curves alone. Hatched: with curves of a cheap control. Full: with drawn curves. Whiskers are 95 % intervals "
    "over seeds; the dashed line is the best that needs no generator."
)


def write_results(file: Path, out: Path, *, real: Curves | None = None, synthetic: Curves | None = None) -> Path:
    """Write the page of a file of scores or of gain.

    Args:
        file: as `evaluate` or `classify` wrote it.
        out: where the page goes.
        real: the curves that were scored against, to be shown.
        synthetic: the curves that were scored, in the same order.

    Returns:
        The path of the page.

    Raises:
        DataError: the file is neither, or the page cannot be written.
    """
    found = read_results(file)
    if isinstance(found, Scores):
        title, sections = "Drawn curves against real ones", _scores(found, real, synthetic)
    else:
        title, sections = "Fault classifiers, before and after", _gain(found)
    template, lead = environment().get_template("study.html.j2"), f"From {file.name}."
    return write_text(out, template.render(title=title, lead=lead, version=__version__, sections=sections))


def read_results(file: Path) -> Scores | Gain:
    """A file of scores or of gain; raises DataError where it is neither."""
    content = read_json(file, expected="what evaluate or classify wrote: name that file")
    try:
        found = Gain(**content) if "summary" in content else Scores(**content)
        _complete(found)
        return found
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(
            f"{file}: found no results ({first_line(error, 120)}), expected what evaluate or classify wrote: name that file"
        ) from error


def _complete(found: Scores | Gain) -> None:
    """Raise KeyError or ValueError where what a page shows is not there, or is more than a page holds."""
    if isinstance(found, Scores):
        sources = [found.sources["synthetic"], *found.sources.values()]
        groups = (group for source in sources for group in (source.by_label, source.by_severity, source.by_cell))
        figures = [score.model_dump() for score in (*(s.all for s in sources), *(s for g in groups for s in g.values()))]
    else:
        intervals = [row.measures[name] for row in found.summary for name in MEASURES]
        figures = [interval.model_dump() for interval in intervals]
        known = [[value for value in (one.low, one.mean, one.high) if value is not None] for one in intervals]
        if any(values != sorted(values) for values in known):
            raise ValueError("an interval that does not hold its mean")
        if len({(row.task, row.view) for row in found.summary}) > MOST_PLACES:
            raise ValueError(f"more than {MOST_PLACES} tasks and views")
    if not all(abs(value) <= MOST_FIGURE for row in figures for value in row.values() if value is not None):  # nor NaN
        raise ValueError("figures beyond all measure")


def _scores(scores: Scores, real: Curves | None, synthetic: Curves | None) -> list[Section]:
    every = {name: source.all for name, source in scores.sources.items()}
    sections = [Section("verdict", "Can single curves be told from real ones?", _believable(scores, real, synthetic))]
    beside: list[Block] = [Text(READING), *_side_by_side(every, "all pairs")]
    sections.append(Section("beside", "Beside the cheap sources", beside))
    if real is not None and synthetic is not None:
        labels = [label for label in scores.sources["synthetic"].by_label if label in real.labels]
        shown = [_overlay(real, synthetic, label) for label in labels]
        sections.append(Section("curves", "The curves, by severity", shown))
    for kind, title in (("by_label", "By fault"), ("by_severity", "By severity"), ("by_cell", "By cell")):
        sections.append(Section(kind, title, _groups(scores, kind)))
    return [*sections, Section("protocol", "How this was measured", [Text(scores.protocol), Text(scores.pairing, note=True)])]


def _believable(scores: Scores, real: Curves | None, synthetic: Curves | None) -> list[Block]:
    """The verdict, single curves large, and what share of them does what no cell does."""
    found: list[Block] = [Text(f"{scores.verdict[:1].upper()}{scores.verdict[1:]}." if scores.verdict else "Not judged.")]
    if real is not None and synthetic is not None:
        labels = [label for label in scores.sources["synthetic"].by_label if label in real.labels]
        found += [_singles(real, synthetic, label) for label in labels]
    rows = [
        [Cell(name), *(Cell(number(getattr(sets, key))) for key in BELIEVABLE)]
        for name, sets in scores.sources["synthetic"].sets.items()
    ]
    if rows:
        found.append(Table(["set", *BELIEVABLE.values()], rows, "shares of curves, and a forest on cells it has not seen"))
    if scores.ensemble:
        lines = [
            [Cell(name), *(Cell(number(getattr(one, key))) for key in ENSEMBLE)]
            for groups in scores.ensemble.values()
            for name, one in groups.items()
        ]
        found.append(Table(["group", *ENSEMBLE.values()], lines, "several draws of each curve"))
    return found


def _singles(real: Curves, synthetic: Curves, label: str) -> Picture:
    caption = f"{label}: single drawn curves (colour) over the real ones (black) whose conditions they were given."
    return Picture(single_curves(real, [synthetic], label=label), f"Single drawn curves of {label} over real ones.", caption)


def _groups(scores: Scores, kind: str) -> list[Block]:
    """A table a group, all but the first folded away."""
    sources = {name: getattr(source, kind) for name, source in scores.sources.items()}
    tables: list[Block] = [
        _table({name: groups[group] for name, groups in sources.items() if group in groups}, group)
        for group in sorted({group for groups in sources.values() for group in groups})
    ]
    return [*tables[:1], *([Fold("all of them", tables[1:])] if len(tables) > 1 else [])]


def _side_by_side(scores: dict[str, Score], caption: str) -> list[Block]:
    rows = {name: score.model_dump() for name, score in scores.items()}
    alt = "Each source by MAE, dPCC, KL, error of the lowest voltage and of the duration."
    return [Picture(dots(rows, PANELS), alt, "Each source; shaded is what beats every cheap control."), _table(scores, caption)]


def _table(scores: dict[str, Score], caption: str) -> Table:
    return compared({name: score.model_dump() for name, score in scores.items()}, COLUMNS, caption=caption)


def _overlay(real: Curves, synthetic: Curves, label: str) -> Picture:
    caption = (
        f"{label}: real curves (full) and those drawn for their conditions (dashed), shallow to deep; dotted the rated limit."
    )
    return Picture(ladder(real, synthetic, label=label), f"Real and drawn curves of {label}, by severity.", caption)


def _gain(gain: Gain) -> list[Section]:
    places = list(dict.fromkeys((row.task, row.view) for row in gain.summary))
    sections = [_place([row for row in gain.summary if (row.task, row.view) == place], place) for place in places]
    said: list[Block] = [Bullets([spoken(note) for note in gain.notes], "What it comes to"), Text(gain.protocol, note=True)]
    return [*sections, Section("notes", "What to make of it", said)]


def _place(rows: Sequence[Summary], place: tuple[str, str]) -> Section:
    task, view = place
    title = f"{task}, {VIEWS.get(view, view)}"
    every = [row for row in rows if is_mean(row.classifier)] or list(rows)
    means = {row.arm: row.measures for row in every if row.classifier == every[0].classifier}
    arms = {arm: means[arm] for arm in ordered(list(means))}
    alt = f"{title}: {', '.join(MEASURES.values())} of each arm, with intervals."
    picture = Picture(bars(arms, MEASURES), alt, f"{title}, {every[0].classifier}. {BARS}")
    lines = [
        [Cell(row.classifier), Cell(look(row.arm).name), *(Cell(number(row.measures[name].mean)) for name in MEASURES)]
        for row in rows
    ]
    table = Table(["classifier", "arm", *MEASURES.values()], lines, title)
    return Section(f"{task}-{view}", title, [picture, Fold("every classifier", [table])])
