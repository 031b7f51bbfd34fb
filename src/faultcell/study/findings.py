"""What a study's numbers say, in sentences made from them: nothing here is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from scipy.stats import t

from faultcell.study.plan import DIFFUSION, GENERATORS, PAPER
from faultcell.study.tables import FLOOR, NOISE

LOWER_IS_BETTER = {"mae": True, "dpcc": False}
SPELLED = {"mae": "MAE", "dpcc": "dPCC", "kl": "KL", "pcc": "PCC"}


def findings(tables: Mapping[str, pl.DataFrame], *, worst: Mapping[str, str | None], notes: list[str]) -> dict[str, list[str]]:
    """All sentences, by what they are about: `fidelity`, `ablations`, `classifiers`.

    Args:
        tables: of the study, by name.
        worst: the stratum in which each source is worst.
        notes: what the classifiers' numbers say.
    """
    labels = tables["fidelity"].filter(group="label")["name"].unique().sort().to_list()
    said = [sentence for label in labels for sentence in _fidelity(tables["fidelity"], label)]
    said += [sentence for label in labels for sentence in _sets(tables["sets"], label)]
    if worst.get(DIFFUSION):
        said.append(f"The diffusion model is worst on {worst[DIFFUSION]}.")
    return {
        "fidelity": said,
        "ablations": [sentence for label in labels for sentence in _ablations(tables["ablations"], label)],
        "classifiers": [f"{note[:1].upper()}{note[1:]}." for note in notes],
    }


def chance(values: Sequence[float]) -> tuple[float, float] | None:
    """Where one more model that differs in its seed alone would lie, with 95 % probability; None for a single seed.

    Args:
        values: a score of each of several models that differ in their seed alone.
    """
    if len(values) < 2:
        return None
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / len(values)))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _fidelity(table: pl.DataFrame, label: str) -> Iterator[str]:
    """Who is closest to the real curves, and how far the floor is."""
    rows = {row["source"]: row for row in table.filter(group="label", name=label).to_dicts()}
    for metric, lower in LOWER_IS_BETTER.items():
        known = {name: row[metric] for name, row in rows.items() if row[metric] is not None and name != NOISE}
        floor = known.pop(FLOOR, None)
        if DIFFUSION not in known:
            continue
        ranked = sorted(known, key=lambda name: known[name], reverse=not lower)
        best, cheap = ranked[0], [name for name in ranked if name not in GENERATORS]
        place = 1 + ranked.index(DIFFUSION)
        text = f"{label}, {SPELLED[metric]}: best is {best} ({known[best]:.3g}); the diffusion model ({known[DIFFUSION]:.3g}) "
        text += "is first" if place == 1 else f"is number {place} of {len(ranked)}"
        if cheap:
            wins = _beats(known[DIFFUSION], known[cheap[0]], lower=lower)
            text += f" and {'beats' if wins else 'does NOT beat'} the best cheap control, {cheap[0]} ({known[cheap[0]]:.3g})"
        yield text + (f"; a real cycle and the next one: {floor:.3g}." if floor is not None else ".")


def _beats(one: float, other: float, *, lower: bool) -> bool:
    return one < other if lower else one > other


def _sets(table: pl.DataFrame, label: str) -> Iterator[str]:
    """Whether the diffusion model copies its handful, and whether it is as wide as reality."""
    found = table.filter(source=DIFFUSION, name=label).to_dicts()
    if not found:
        return
    row = found[0]
    if row["closest_record"] is not None:
        verdict = (
            "closer to its training curves than real ones are: it leans on them"
            if row["closest_record"] < 0.8
            else ("no closer to its training curves than real ones are")
        )
        yield f"{label}: what the diffusion model draws is {verdict} (distance {row['closest_record']:.2f} of theirs)."
    if row["spread_ratio"] is not None:
        width = "too narrow" if row["spread_ratio"] < 0.8 else "too wide" if row["spread_ratio"] > 1.25 else "about right"
        yield f"{label}: the spread of what it draws is {row['spread_ratio']:.2f} of the real one, {width}."


def _ablations(table: pl.DataFrame, label: str) -> Iterator[str]:
    """Every question's differences, against what chance alone does."""
    mine = table.filter(label=label)
    for question in mine["question"].unique(maintain_order=True).to_list():
        rows = mine.filter(question=question).to_dicts()
        own = next(row for row in rows if row["own"])
        if question.endswith("chance") or len(rows) < 2:
            continue
        seeds = f"{PAPER}: chance" if question.startswith(PAPER) else "chance"
        band = chance(mine.filter(question=seeds)["mae"].to_list())
        parts = [f"{row['variant']} {row['mae']:.3g} ({_against(row['mae'], band)})" for row in rows if not row["own"]]
        named = f"{label}, {question}, MAE: {own['variant']} {own['mae']:.3g}; {', '.join(parts)}"
        yield named + (f"; other seeds give {max(band[0], 0.0):.3g} to {band[1]:.3g}." if band else ".")


def _against(value: float, band: tuple[float, float] | None) -> str:
    if band is None:
        return "what chance does was not measured"
    if band[0] <= value <= band[1]:
        return "no difference beyond chance"
    return "worse" if value > band[1] else "better"
