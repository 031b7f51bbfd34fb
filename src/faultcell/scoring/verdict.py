"""What scores say in words, with the reason: the worst first."""

from __future__ import annotations

from faultcell.curves.curves import Curves
from faultcell.scoring.believability import broken, share
from faultcell.scoring.scores import SetScore

TOLD_APART, CLEARLY_TOLD_APART = 0.60, 0.75  # by a forest; 0.5 is chance
MORE_THAN_REAL = 0.02  # share of curves
WORDS = {
    "rises": "go against their direction under a constant load",
    "flat_at_limit": "run flat along their limit",
    "hot": "have temperatures that no cell has",
    "surges": "have currents of more than twice their load",
}


def verdict(sets: SetScore) -> str:
    """One sentence on a set of generated curves."""
    broken = [_broken(sets, name) for name in WORDS]
    said = [words for words in broken if words]
    if said:
        return f"do not train with these: {' and '.join(said)}"
    area, worst = sets.forest_auc, sets.forest_auc_worst
    if area is None:
        return "nothing that cells keep is broken; too few curves or cells to say whether they can be told from real ones"
    reason = f"a forest tells them apart on unseen cells with AUC {area:.2f}, where 0.5 is chance; worst cell {worst:.2f}"
    if area <= TOLD_APART:
        return f"cannot be told from real curves of cells left out ({reason})"
    how = "clearly" if area > CLEARLY_TOLD_APART else "somewhat"
    return f"nothing that cells keep is broken, but they can {how} be told from real curves ({reason})"


def of_shapes(drawn: Curves, real: Curves) -> str:
    """One sentence on drawn curves of which no real ones are at hand but those they were drawn from."""
    ours, theirs = ({name: share(values) for name, values in broken(curves).items()} for curves in (drawn, real))
    said = [words for name in ours if (words := _said(name, ours[name], theirs[name]))]
    if said:
        return f"do not train with these: {' and '.join(said)}"
    shown = ", ".join(f"{name.replace('_', ' ')} {100 * found:.2g} %" for name, found in ours.items() if found is not None)
    return f"nothing that cells keep is broken ({shown})"


def _broken(sets: SetScore, name: str) -> str | None:
    return _said(name, getattr(sets, name), getattr(sets, f"{name}_real"))


def _said(name: str, ours: float | None, real: float | None) -> str | None:
    """What a share of curves that break what cells keep is in words, where real ones do not as often."""
    if ours is None or ours <= (real or 0.0) + MORE_THAN_REAL:
        return None
    return f"{round(100 * ours)} of 100 {WORDS[name]} (real curves: {round(100 * (real or 0.0))})"
