"""The same as `describe` at a glance: a verdict and the few numbers that decide, each beside what it must be held against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faultcell.baselines.classical import CONTROLS
from faultcell.diagnosis.gain import BEFORE, WEIGHTED, Gain, Summary, is_mean
from faultcell.errors import DataError
from faultcell.plotting.theme import VIEWS, look, spoken
from faultcell.report import describe
from faultcell.report.arms import SHOWN
from faultcell.report.describe import rows_of, text
from faultcell.scoring import Scores

FEW = 3  # names of a longer list
SENTENCES = 5
MANY_FALSE_ALARMS = 5  # percent, beyond which a recall says little without them
MORE = "more: --all, as JSON: --json"
LEFT_OUT = ("in contexts", "left out", "protocol")
# What a number is called, whether less of it is better, and how it is written.
PAIRS = {
    "mae": ("voltage off by, mean (0 to 1)", True, "{:.3g}"),
    "dpcc": ("likeness of slopes, dPCC (1: the same)", False, "{:.3f}"),
    "duration_error": ("duration off by", True, "{:.1%}"),
}


def brief(path: Path) -> str:
    """What is at `path`, in a few lines.

    Raises:
        DataError: nothing is there, or nothing FaultCell knows.
        BundleError: a bundle is incomplete or was changed.
    """
    found = describe.at(path)
    try:
        return brief_of(found)
    except (KeyError, IndexError) as error:
        raise DataError(f"{path}: {error} is not among what was measured: measure it again") from error


def brief_of(found: Scores | Gain | dict[str, Any]) -> str:
    """The same of results at hand, or of facts."""
    if isinstance(found, dict):
        return _facts(found)
    return "\n".join([*(_scores(found) if isinstance(found, Scores) else _gain(found)), MORE])


def _facts(found: dict[str, Any]) -> str:
    short = {name: _few(value) for name, value in found.items() if name not in LEFT_OUT}
    return text(short) if short == found else f"{text(short)}\n{MORE}"


def _few(value: object) -> object:
    """A list of names by its first ones and how many there are; sentences and rows of a table as far as they go at a glance."""
    if not isinstance(value, list) or not value or isinstance(value[0], dict):
        return value
    if any(" " in str(one) for one in value):
        return value[:SENTENCES]
    return value if len(value) <= FEW + 1 else f"{len(value)}: {', '.join(map(str, value[:FEW]))}, ..."


def _scores(scores: Scores) -> Iterator[str]:
    yield f"verdict: {scores.verdict or 'none, for there were too few curves to score them as a set'}"
    yield from rows_of(list(_numbers(scores)))


def _numbers(scores: Scores) -> Iterator[dict[str, str]]:
    """Five numbers of the generated set, beside a real cycle and the next one, and the best cheap control."""
    sources = scores.sources
    cheap = [name for name in sources if name in CONTROLS]
    for key, (said, less, how) in PAIRS.items():
        values = {name: getattr(sources[name].all, key) for name in sources}
        known = [name for name in cheap if values[name] is not None]
        best = min(known, key=lambda name: values[name] * (1 if less else -1)) if known else None
        yield {
            "": said,
            "generated": _said(values["synthetic"], how),
            "real, next cycle": _said(values.get("floor"), how),
            "best control": f"{_said(values[best], how)} ({look(best).name})" if best else "-",
        }
    whole = sources["synthetic"].sets.get("all")
    if whole is not None and whole.forest_auc is not None:
        yield {"": "told from real ones by a forest, AUC (.5: not)", "generated": _said(whole.forest_auc, "{:.2f}")}
    drawn = scores.ensemble.get("all", {}).get("all")
    if drawn is not None:
        both = f"{_said(drawn.covered, '{:.0%}')} ({_said(drawn.covered_if_perfect, '{:.0%}')} if perfect)"
        yield {"": "real points inside the band of draws", "generated": both}


def _said(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value).replace("%", " %")


def _gain(gain: Gain) -> Iterator[str]:
    nets = [row for row in gain.summary if is_mean(row.classifier)]
    for task, view in dict.fromkeys((row.task, row.view) for row in nets):
        own = [row for row in nets if (row.task, row.view) == (task, view)]
        cheap, drawn = ([row for row in own if (row.arm in CONTROLS) == is_cheap] for is_cheap in (True, False))
        drawn = [row for row in drawn if row.arm not in (BEFORE, WEIGHTED)]
        before, best, ours = (_best(rows) for rows in ([row for row in own if row.arm == BEFORE], cheap, drawn))
        said = [f"{_recall(row)} with {look(row.arm).name}" for row in (ours, best) if row]
        said += [f"{_recall(before)} with nothing added"] if before else []
        yield f"verdict: {task}, {VIEWS.get(view, view)}: nets find {', '.join(said)}"
        yield from rows_of([_arm(row, best=row is best) for row in own if row in drawn or row in (before, best)])
    yield from (f"- {spoken(note)}" for note in gain.notes[:SENTENCES])


def _best(rows: list[Summary]) -> Summary | None:
    return max(rows, key=lambda row: row.measures["pr_auc"].mean) if rows else None


def _recall(row: Summary) -> str:
    found, false = (100 * row.measures[name].mean for name in ("recall", "false_alarm_rate"))
    return f"{found:.0f} %" + (f" (at {false:.0f} % false alarms)" if false > MANY_FALSE_ALARMS else "")


def _arm(row: Summary, *, best: bool) -> dict[str, str]:
    name = "nothing added" if row.arm == BEFORE else look(row.arm).name + " (best cheap control)" * best
    return {"added": name} | {said: f"{row.measures[key].mean:.3f}" for key, said in SHOWN.items()}
