"""The gain from augmentation as a record: every fit, means with intervals, paired tests, and what they say in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict
from scipy import stats

from faultcell.runtime.shown import Plotted, Tabular

MEASURES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "pr_auc",
    "recall_at_1_percent",
    "recall_at_0_1_percent",
    "false_alarm_rate",
)
DETECTION = ("severity_at_50_percent_recall", "severity_at_90_percent_recall", "delay_cycle")  # where they can be told
TESTED = {"recall": "recall", "f1": "F1", "pr_auc": "PR-AUC"}
HARMED = {"recall": "recall", "pr_auc": "PR-AUC", "recall_at_1_percent": "recall at 1 % false alarms"}
SIX = ("mlp", "cnn", "lstm", "gru", "bilstm", "cnn_lstm")
BEFORE, WEIGHTED, THRESHOLD = "before", "class_weights", "threshold"
FOREST, PROTOCOL_ONLY = "forest", "protocol"
ALL_SIX = "all six"
FEW_FALSE_ALARMS = 0.01
FALSE_ALARMS = {"recall_at_1_percent": FEW_FALSE_ALARMS, "recall_at_0_1_percent": 0.001}  # of the normal curves
CONFIDENCE = 0.95
ENOUGH = 0.95  # a recall above which little is left to gain
AS_GOOD = 0.02  # of PR-AUC: the protocol alone explains what is no further above it
BLIND = 0.7  # a ROC-AUC below which a view tells little


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Found(_Record):
    """Faults of a range of severity, and how many of them are found at 1 % and at .1 % false alarms."""

    severity: str
    low: float
    high: float
    faults: int
    found_at_1_percent: int
    found_at_0_1_percent: int


class Fit(_Record):
    """One classifier, fitted on one arm with one seed, on the test cells; see `measures.measure` and `detection.Graded`."""

    task: str
    view: str
    arm: str
    classifier: str
    seed: int
    added: int
    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    pr_auc: float
    recall_at_1_percent: float
    recall_at_0_1_percent: float | None = None
    false_alarm_rate: float
    severity_at_50_percent_recall: float | None = None
    severity_at_90_percent_recall: float | None = None
    delay_cycle: float | None = None
    by_severity: list[Found] = []


class Interval(_Record):
    """A mean over seeds and its 95 % t-interval, None with a single seed."""

    mean: float
    low: float | None
    high: float | None


class Summary(_Record):
    """Means of one classifier over seeds, or of the mean of the six nets of each seed, by measure."""

    task: str
    view: str
    arm: str
    classifier: str
    seeds: int
    measures: dict[str, Interval]


class Comparison(_Record):
    """A paired test over seeds: `arm` minus `against`, each the mean of the six nets; p is None where it has no meaning."""

    task: str
    view: str
    measure: str
    arm: str
    against: str
    difference: Interval
    p: float | None


class Sizes(_Record):
    """Curves of one task in one view: real ones, and how many each arm adds to the faults."""

    task: str
    view: str
    train_normal: int
    train_fault: int
    test_normal: int
    test_fault: int
    added: int


class Gain(Plotted, Tabular, _Record):
    """What augmentation is worth to fault classifiers, measured on cells that none of them has seen."""

    picture: ClassVar[str] = "plot_gain"

    protocol: str
    tasks: list[Sizes]
    rows: list[Fit]
    summary: list[Summary]
    tests: list[Comparison]
    notes: list[str]

    def __repr__(self) -> str:
        arms = dict.fromkeys(row.arm for row in self.rows)
        tasks = ", ".join(dict.fromkeys(f"{task.task} ({task.view})" for task in self.tasks))
        return f"Gain({tasks}; {len(arms)} arms, {len(self.rows)} fits)"[:199]

    def to_polars(self) -> pl.DataFrame:
        """A row for each fit: task, view, arm, classifier, seed, and what was measured."""
        return pl.DataFrame([row.model_dump(exclude={"by_severity"}) for row in self.rows], infer_schema_length=None)


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % t-interval of independent values `(n,)`."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean=mean, low=None, high=None)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * stats.sem(values))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def p_value(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Of the paired t-test; 1 if all pairs are equal, None with one pair or where all differ by the same."""
    gaps = np.asarray(one) - np.asarray(other)
    if gaps.size < 2 or (np.ptp(gaps) < 1e-12 and abs(gaps[0]) >= 1e-12):
        return None
    return 1.0 if np.ptp(gaps) < 1e-12 else float(stats.ttest_rel(one, other).pvalue)


def percent(share: float | np.floating[Any]) -> str:
    """A share in words."""
    return f"{100 * share:.0f} %"


def mean_name(classifiers: Sequence[str]) -> str:
    """What the row of means over the nets is called."""
    count = len([name for name in classifiers if name in SIX])
    return ALL_SIX if count == len(SIX) else f"mean of {count} nets"


def is_mean(classifier: str) -> bool:
    """Whether a row of that name is the mean over the nets."""
    return classifier.endswith((ALL_SIX, "nets"))


class FitTable:
    """Fits by place, to take means and differences of.

    Args:
        rows: the fits.
    """

    def __init__(self, rows: Sequence[Fit]) -> None:
        self.rows = rows
        self.classifiers = list(dict.fromkeys(row.classifier for row in rows))
        self.places = list(dict.fromkeys((row.task, row.view) for row in rows))
        self.arms = list(dict.fromkeys(row.arm for row in rows))
        self._groups: dict[tuple[str, str, str, str], list[Fit]] = defaultdict(list)
        for row in rows:
            self._groups[row.task, row.view, row.arm, row.classifier].append(row)

    def by_seed(self, place: tuple[str, str], arm: str, *, classifier: str, measure: str) -> list[float]:
        """A measure of one classifier, or of the mean of the nets, for each seed; empty unless every fit has it.

        A mean of those who reach a share of the faults would flatter whoever seldom does.
        """
        one_of = [classifier] if classifier in self.classifiers else [name for name in self.classifiers if name in SIX]
        found: dict[int, list[float]] = defaultdict(list)
        for name in one_of:
            for row in self._groups.get((*place, arm, name), ()):
                value = getattr(row, measure)
                if value is None:
                    return []
                found[row.seed].append(value)
        return [float(np.mean(found[seed])) for seed in sorted(found)]

    def of_nets(self, place: tuple[str, str], arm: str, *, measure: str) -> list[float]:
        """A measure of the mean of the nets for each seed."""
        return self.by_seed(place, arm, classifier=ALL_SIX, measure=measure)

    def summary(self) -> Iterator[Summary]:
        """Means over seeds, of each classifier and of the nets together."""
        mean = [mean_name(self.classifiers)] if any(name in SIX for name in self.classifiers) else []
        for place, arm, classifier in product(self.places, self.arms, (*self.classifiers, *mean)):
            names = (*MEASURES, *DETECTION)
            values = {name: self.by_seed(place, arm, classifier=classifier, measure=name) for name in names}
            if values["recall"]:
                yield Summary(
                    task=place[0],
                    view=place[1],
                    arm=arm,
                    classifier=classifier,
                    seeds=len(values["recall"]),
                    measures={name: interval(found) for name, found in values.items() if found},
                )

    def tests(self, generated: Sequence[str]) -> Iterator[Comparison]:
        """Each arm against `before`, and each generated arm against each cheap one.

        Args:
            generated: names of the generated arms.
        """
        cheap = [arm for arm in self.arms if arm not in generated and arm != BEFORE]
        pairs = [(arm, BEFORE) for arm in self.arms if arm != BEFORE]
        pairs += [(arm, other) for arm in self.arms if arm in generated for other in cheap]
        for place, name, (arm, against) in product(self.places, TESTED, pairs):
            one, other = (self.of_nets(place, which, measure=name) for which in (arm, against))
            if one and other:
                gaps = [a - b for a, b in zip(one, other, strict=True)]
                yield Comparison(
                    task=place[0],
                    view=place[1],
                    measure=name,
                    arm=arm,
                    against=against,
                    difference=interval(gaps),
                    p=p_value(one, other),
                )


def verdicts(table: FitTable, tests: Sequence[Comparison], *, generated: Sequence[str]) -> list[str]:
    """What the numbers say, in words: nothing here is known beforehand.

    Args:
        table: the fits.
        tests: of the same fits.
        generated: names of the generated arms.
    """
    found = []
    for place in table.places:
        said = [*_threshold(table, place), *_room(table, place), *_protocol(table, place, generated=generated)]
        said += _rivals(place, tests, generated=generated)
        found += [f"{place[1]} view, {place[0]}: {text}" for text in said]
    return found


def harm(table: FitTable, *, generated: Sequence[str]) -> list[str]:
    """Where generated curves make a classifier worse than with nothing added, in words: sure harm, then what may be.

    Args:
        table: the fits.
        generated: names of the generated arms.
    """
    sure, possible = [], []
    nets = mean_name(table.classifiers)
    for place, arm in product(table.places, generated):
        worse, open_ = [], []
        for classifier, measure in product((nets, FOREST), HARMED):
            pair = [table.by_seed(place, which, classifier=classifier, measure=measure) for which in (arm, BEFORE)]
            if all(pair):
                gap = interval([one - other for one, other in zip(*pair, strict=True)])
                words = f"{HARMED[measure]} of the {'nets' if classifier == nets else classifier}"
                if gap.high is not None and gap.high < 0:
                    worse.append(f"{words} by {-gap.mean:.3f}")
                elif gap.low is not None and gap.low < 0 and gap.mean < 0:
                    open_.append(words)
        where = f"{place[1]} view, {place[0]}: {arm}"
        sure += [f"{where} harms: against nothing added it lowers {' and '.join(worse)}"] if worse else []
        possible += (
            [f"{where} may harm {' and '.join(open_)}: the interval against nothing added reaches below zero"] if open_ else []
        )
    return [*sure, *possible]


def _threshold(table: FitTable, place: tuple[str, str]) -> Iterator[str]:
    recall, false = (table.by_seed(place, BEFORE, classifier=THRESHOLD, measure=m) for m in ("recall", "false_alarm_rate"))
    if THRESHOLD not in table.classifiers or not recall:
        return
    enough = recall[0] >= ENOUGH and false[0] <= FEW_FALSE_ALARMS
    verdict = ": no classifier is needed" if enough else ""
    yield f"the voltage threshold alone finds {percent(recall[0])} at {percent(false[0])} false alarms{verdict}"


def _room(table: FitTable, place: tuple[str, str]) -> Iterator[str]:
    """Whether anything is left to gain, and whether anything can be seen at all."""
    before, sure = (table.of_nets(place, BEFORE, measure=name) for name in ("recall", "recall_at_1_percent"))
    if before and min(np.mean(before), np.mean(sure)) >= ENOUGH:
        yield f"without augmentation the nets find {percent(np.mean(before))} already: little is left to gain"
    areas = {arm: float(np.mean(values)) for arm in table.arms if (values := table.of_nets(place, arm, measure="roc_auc"))}
    if areas and max(areas.values()) < BLIND:
        best = max(areas, key=areas.__getitem__)
        yield (
            f"the best arm, {best}, has a ROC-AUC of {areas[best]:.2f} (chance is 0.5): this view shows little that "
            "carries over to other cells"
        )


def _protocol(table: FitTable, place: tuple[str, str], *, generated: Sequence[str]) -> Iterator[str]:
    """Whether how curves were run tells faults as well as the nets do."""
    for arm in (BEFORE, *generated):
        alone = table.by_seed(place, arm, classifier=PROTOCOL_ONLY, measure="pr_auc")
        nets = table.of_nets(place, arm, measure="pr_auc")
        if PROTOCOL_ONLY in table.classifiers and alone and nets and np.mean(alone) >= np.mean(nets) - AS_GOOD:
            yield (
                f"{arm}: C-rate, ambient temperature and duration alone have a PR-AUC of {np.mean(alone):.2f}, the nets "
                f"{np.mean(nets):.2f}: what they find is how the faults were run"
            )


def _rivals(place: tuple[str, str], tests: Sequence[Comparison], *, generated: Sequence[str]) -> Iterator[str]:
    """The rivals that no generated arm beats: the interval of the difference lies above zero for none of them."""
    beaten: dict[str, dict[str, bool]] = defaultdict(lambda: defaultdict(bool))
    for test in tests:
        if (test.task, test.view) == place and test.arm in generated:
            low = test.difference.low
            beaten[test.against][TESTED[test.measure]] |= low is not None and low > 0
    open_ = {rival: [name for name, won in by.items() if not won] for rival, by in beaten.items()}
    spelled = [f"{rival} ({', '.join(names)})" for rival, names in open_.items() if names]
    if spelled:
        yield f"no generated arm beats {', '.join(spelled)}"
    elif beaten:
        yield f"each of {', '.join(beaten)} is beaten by a generated arm in {', '.join(TESTED.values())}"
