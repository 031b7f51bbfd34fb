"""Paired tests between arms: generated against real curves only, and against the best cheap control."""

from __future__ import annotations

from collections.abc import Sequence

from faultcell.diagnosis.gain import BEFORE
from faultcell.plotting.theme import VIEWS, look
from faultcell.report.arms import MEASURES, best_cheap
from faultcell.report.blocks import Block, Cell, Fold, Table, Text, chance, not_measured, number
from faultcell.report.folder import Row, Study
from faultcell.study.plan import DIFFUSION, GENERATORS

ALPHA = 0.05
HEAD = ("fault", "view", "measure", "arm", "against", "difference", "95 % from", "to", "p")
CORRECTION = (
    "The tests are not corrected for their number: where nothing differs, one of twenty still reaches p < 0.05. Shaded: the "
    "interval lies above zero; underlined: below."
)


def blocks(study: Study) -> list[Block]:
    """How many differences are sure, then all of them."""
    rows = [row for row in study.rows("tests") if row["arm"] in GENERATORS]
    if not rows:
        return [not_measured("paired tests between arms")]
    before = [row for row in rows if row["against"] == BEFORE]
    rivals = {where: best_cheap(study, where[0], view=where[1], measure=where[2]) for where in {_where(row) for row in rows}}
    cheap = [row for row in rows if row["against"] == rivals[_where(row)]]
    said = f"{_counted(before, 'real curves only')} {_counted(cheap, 'the best cheap control')} {CORRECTION}"
    own = [row for row in (*before, *cheap) if row["arm"] == DIFFUSION]
    rest = [row for row in (*before, *cheap) if row["arm"] != DIFFUSION]
    other = Fold("Paired tests of the other generators", [_table(rest, "the other generators")])
    return [Text(said), _table(own, "paired tests of the diffusion model, each the mean over the nets"), other]


def _where(row: Row) -> tuple[str, str, str]:
    return str(row["task"]), str(row["view"]), str(row["measure"])


def sign(row: Row) -> int:
    """1 or -1 where the interval of a difference lies above or below zero, else 0."""
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def _counted(rows: Sequence[Row], against: str) -> str:
    sure = [row["mean"] for row in rows if row.get("p") is not None and row["p"] < ALPHA]
    better = len([mean for mean in sure if mean > 0])
    return (
        f"Against {against}, {better} of {len(rows)} comparisons of generators are better and {len(sure) - better} worse "
        f"at p < {ALPHA}."
    )


def _table(rows: Sequence[Row], caption: str) -> Table:
    return Table(HEAD, [_line(row) for row in rows], caption)


def _line(row: Row) -> list[Cell]:
    view, measure = VIEWS.get(row["view"], ""), MEASURES.get(row["measure"], "")
    names = [str(row["task"]), view, measure, look(str(row["arm"])).name, look(str(row["against"])).name]
    mark = {1: "best", -1: "worst", 0: ""}[sign(row)]
    ends = [Cell(number(row.get(key))) for key in ("low", "high")]
    return [*map(Cell, names), Cell(number(row.get("mean")), mark), *ends, Cell(chance(row.get("p")))]
