"""What the paper claims, and whether it reproduces here: with its own model (`presets.paper`), and with ours.

A claim of a difference *holds* where the difference found is above zero by more than chance, *doesn't* where chance cannot
explain that it is less than half of what the paper reports, and else *can't be told*. A claim of a level holds where the mean
over splits reaches it, and doesn't where the whole interval falls short of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from faultcell.diagnosis.gain import BEFORE, Interval, interval, is_mean
from faultcell.study.findings import chance
from faultcell.study.paper import DIAGNOSIS, FIDELITY, LETTER
from faultcell.study.plan import DIFFUSION, PAPER, PAPER_GAN

HOLDS, DOES_NOT, UNKNOWN = "holds", "doesn't", "can't be told"
FOUND = 0.91  # recall after augmentation, at least, that the paper reports
BLIND = 0.05  # before, at most
RELATED = 0.5  # |r| at which an attribute goes with the waveform
COLUMNS = ("claim", "label", "paper", "preset", "preset_verdict", "ours", "ours_verdict")
Tables = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Answer:
    """What was found for a claim, in words, and whether it holds."""

    found: str = "not measured"
    verdict: str = UNKNOWN


def judged(tables: Tables) -> pl.DataFrame:
    """One row for each claim and fault, with what the paper says, what was found with its model and ours, and the verdicts."""
    labels = tables["fidelity"].filter(group="label")["name"].unique().sort().to_list()
    rows = [row for label in labels for row in _of_fault(tables, label)]
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def _of_fault(tables: Tables, label: str) -> Iterator[tuple[str, ...]]:
    letter = LETTER.get(label, "")

    def row(claim: str, paper: str, preset: Answer, ours: Answer) -> tuple[str, ...]:
        return claim, label, paper, preset.found, preset.verdict, ours.found, ours.verdict

    yield row(
        "attention with the condition's bias makes the curves right",
        "PCC .91 with, .29 without (C)",
        _ablation(tables, label, f"{PAPER}: attention", f"{PAPER} no attention", claimed=0.62, chance_of=f"{PAPER}: chance"),
        _ablation(tables, label, "attention", "no attention", claimed=0.62),
    )
    yield row(
        "thawing three layers is better than thawing all",
        "PCC .914 against .764 (C)",
        _ablation(tables, label, f"{PAPER}: unfreezing", f"{PAPER} all", claimed=0.15, chance_of=f"{PAPER}: chance"),
        _ablation(tables, label, "unfreezing", "all", claimed=0.15),
    )
    known = FIDELITY.get((DIFFUSION, letter), {})
    yield row(
        "drawn curves are near real ones",
        ", ".join(f"{name.upper()} {value:.3g}" for name, value in known.items()),
        _level(tables, label, PAPER, known.get("pcc")),
        _level(tables, label, DIFFUSION, known.get("pcc")),
    )
    yield row(
        "a GAN is nearer point by point",
        "PCC .976 against .914 (C), .989 against .935 (D)",
        _rivals(tables, label, PAPER_GAN, PAPER),
        _rivals(tables, label, "wgan_gp", DIFFUSION),
    )
    before = _before(tables, label)
    yield row("without augmentation classifiers miss nearly all faults", "recall <= .05 at accuracy .98", before, before)
    yield row(
        "with drawn curves they find nearly all",
        "recall .91 to 1.0",
        _after(tables, label, PAPER),
        _after(tables, label, DIFFUSION),
    )
    for name in ("Bi-LSTM", "1D-CNN"):
        if (name, letter) in DIAGNOSIS:
            which = {"Bi-LSTM": "bilstm", "1D-CNN": "cnn"}[name]
            yield row(
                f"{name} then finds all",
                "recall 1.0",
                _after(tables, label, PAPER, classifier=which, wanted=0.995),
                _after(tables, label, DIFFUSION, classifier=which, wanted=0.995),
            )
    related = _related(tables, label)
    yield row("severity attributes go with the waveform", "Pearson, no number told", related, related)


def verdict(gap: Interval, claimed: float) -> str:
    """Whether a difference that the paper reports as `claimed` holds, for one found with its interval."""
    if gap.low is None or gap.high is None:
        return UNKNOWN
    return HOLDS if gap.low > 0 else DOES_NOT if gap.high < claimed / 2 else UNKNOWN


def reached(found: Interval, wanted: float) -> str:
    """Whether a mean comes up to a level, for one with its interval."""
    if found.high is None:
        return UNKNOWN
    return HOLDS if found.mean >= wanted else DOES_NOT if found.high < wanted else UNKNOWN


def _ablation(tables: Tables, label: str, question: str, variant: str, *, claimed: float, chance_of: str = "chance") -> Answer:
    """PCC of the own model less that of a variant; the interval is what models that differ in their seed alone do."""
    own = tables["ablations"].filter(label=label)
    rows = {row["variant"]: row["pcc"] for row in own.filter(question=question).to_dicts() if not row["own"]}
    base = [row["pcc"] for row in own.filter(question=question).to_dicts() if row["own"]]
    seeds = own.filter(question=chance_of)["pcc"].drop_nulls().to_list()
    if variant not in rows or rows[variant] is None or not base or base[0] is None:
        return Answer()
    found, gap = f"PCC {base[0]:.3f} with, {rows[variant]:.3f} without", base[0] - rows[variant]
    band = chance(seeds)
    if band is None:
        return Answer(found)
    half = (band[1] - band[0]) / 2
    return Answer(f"{found}; other seeds +-{half:.3f}", verdict(Interval(mean=gap, low=gap - half, high=gap + half), claimed))


def _level(tables: Tables, label: str, source: str, wanted: float | None) -> Answer:
    """Mean PCC over splits against what the paper reports."""
    rows = tables["splits"].filter(source=source, name=label)
    if not len(rows):
        return Answer()
    means = {name: rows[name].drop_nulls().to_list() for name in ("kl", "mse", "mae", "pcc")}
    found = ", ".join(f"{name.upper()} {sum(values) / len(values):.3g}" for name, values in means.items() if values)
    pcc = interval(means["pcc"]) if means["pcc"] else None
    return Answer(found, UNKNOWN if wanted is None or pcc is None else reached(pcc, wanted))


def _rivals(tables: Tables, label: str, one: str, other: str) -> Answer:
    """PCC of one source less another's, paired by split."""
    table = tables["splits"].filter(name=label)
    pcc = {name: table.filter(source=name).sort("split")["pcc"].to_list() for name in (one, other)}
    pairs = [(a, b) for a, b in zip(pcc[one], pcc[other], strict=False) if a is not None and b is not None]
    if not pairs:
        return Answer()
    gap = interval([a - b for a, b in pairs])
    first, second = (sum(values) / len(values) for values in zip(*pairs, strict=True))
    return Answer(f"PCC {first:.3f} against {second:.3f}{_spelled(gap)}", verdict(gap, 0.0))


def _before(tables: Tables, label: str) -> Answer:
    recall, accuracy = (_mean(tables, label, BEFORE, measure=name) for name in ("recall", "accuracy"))
    if recall is None or accuracy is None:
        return Answer()
    found = f"recall {recall.mean:.2f}{_spelled(recall)} at accuracy {accuracy.mean:.2f}"
    held = UNKNOWN if recall.low is None else HOLDS if recall.mean <= BLIND else DOES_NOT if recall.low > BLIND else UNKNOWN
    return Answer(found, held)


def _after(tables: Tables, label: str, arm: str, *, classifier: str | None = None, wanted: float = FOUND) -> Answer:
    recall, false = (_mean(tables, label, arm, measure=m, classifier=classifier) for m in ("recall", "false_alarm_rate"))
    if recall is None or false is None:
        return Answer()
    found = f"recall {recall.mean:.2f}{_spelled(recall)} at {100 * false.mean:.1f} % false alarms"
    return Answer(found, reached(recall, wanted))


def _related(tables: Tables, label: str) -> Answer:
    """The strongest correlation of each attribute."""
    rows = tables["pearson"].filter(label=label).drop_nulls("r")
    if not len(rows):
        return Answer()
    best = {str(name): float(part["r"].abs().max()) for (name,), part in sorted(rows.group_by("attribute"))}  # type: ignore[arg-type]
    found = ", ".join(f"{name.replace('_', ' ')} |r| {value:.2f}" for name, value in best.items())
    return Answer(found, HOLDS if min(best.values()) >= RELATED else DOES_NOT)


def _mean(tables: Tables, label: str, arm: str, *, measure: str, classifier: str | None = None) -> Interval | None:
    """Mean over splits of the nets, or of one classifier, on whole curves."""
    rows = tables["gain"].filter(task=label, view="whole", arm=arm, measure=measure).to_dicts()
    kept = [row for row in rows if (row["classifier"] == classifier if classifier else is_mean(row["classifier"]))]
    return Interval(**{name: kept[0][name] for name in ("mean", "low", "high")}) if kept else None


def _spelled(found: Interval) -> str:
    return "" if found.low is None or found.high is None else f" ({found.low:.2f} to {found.high:.2f})"
