"""The study on one screen: what drawn curves are worth, how near they are, and whether the paper reproduces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from faultcell.baselines.classical import CONTROLS
from faultcell.diagnosis.gain import BEFORE
from faultcell.plotting.theme import look
from faultcell.report.arms import SHOWN, best_cheap, of_nets
from faultcell.report.blocks import Block, Bullets, Cell, Section, Table, number, percent
from faultcell.report.folder import Row, Study
from faultcell.study.plan import DIFFUSION, from_normal
from faultcell.study.tables import FLOOR

VERDICTS = {"holds": "hold", "doesn't": "don't", "can't be told": "can't be told"}
WHOLE = "whole"


def section(study: Study) -> Section:
    """The answers, before the contents."""
    said = [*(sentence for label in study.labels for sentence in _near(study, label)), *_claims(study)]
    rows, styles = list[list[Cell]](), list[str]()
    for label in study.labels:
        for arm, best in _arms(study, label).items():
            rows.append([Cell(f"{label}, {look(arm).name}{' (best cheap control)' * best}"), *_measured(study, label, arm)])
            styles.append("generator" if arm == from_normal(DIFFUSION) else "")
    gain = Table(("fault, curves added", *SHOWN.values()), rows, "whole curves, mean of the nets", styles)
    filled: list[Block] = [gain] if rows else []
    return Section("short", "In short", [*filled, *([Bullets(said)] if said else [])])


def _arms(study: Study, label: str) -> dict[str, bool]:
    """The arms that decide, and whether each is the best cheap control."""
    known = of_nets(study, label, view=WHOLE, measure="pr_auc")
    best = best_cheap(study, label, view=WHOLE, measure="pr_auc")
    wanted = (BEFORE, *([best] if best else []), DIFFUSION, from_normal(DIFFUSION))
    return {arm: arm == best for arm in wanted if arm in known}


def _measured(study: Study, label: str, arm: str) -> Iterator[Cell]:
    for measure in SHOWN:
        row: Row = of_nets(study, label, view=WHOLE, measure=measure).get(arm, {})
        yield Cell(percent(row.get("mean")) if measure == "false_alarm_rate" else number(row.get("mean")))


def _near(study: Study, label: str) -> Iterator[str]:
    """How near drawn curves are, beside what costs nothing and what a cell repeats."""
    found = {str(row["source"]): row.get("mae") for row in study.rows("fidelity", group="label", name=label)}
    known = {source: float(value) for source, value in found.items() if value is not None}
    cheap = [source for source in known if source in CONTROLS]
    if DIFFUSION not in known or not cheap:
        return
    best = min(cheap, key=lambda source: known[source])
    floor = f"; a real cycle and the next {number(known[FLOOR])}" if FLOOR in known else ""
    yield (
        f"{label}: drawn curves are {number(known[DIFFUSION])} off (MAE of voltages scaled to 0 to 1), the best cheap control, "
        f"{look(best).name}, {number(known[best])}{floor}."
    )


def _claims(study: Study) -> Iterator[str]:
    verdicts = Counter(str(row["preset_verdict"]) for row in study.rows("claims"))
    if verdicts:
        counts = ", ".join(f"{verdicts[name]} {said}" for name, said in VERDICTS.items() if verdicts[name])
        yield f"Of the paper's {verdicts.total()} claims, with its own model on these curves: {counts}."
