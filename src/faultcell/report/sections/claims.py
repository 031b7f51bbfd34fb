"""Whether what the paper claims reproduces here."""

from __future__ import annotations

from faultcell.report.blocks import Block, Cell, Section, Table, Text, not_measured
from faultcell.report.folder import Row, Study
from faultcell.study.claims import DOES_NOT, HOLDS
from faultcell.study.paper import CITATION

HEAD = ("claim", "fault", "the paper", "the paper's model here", "", "our model", "")
MARKS = {HOLDS: "best", DOES_NOT: "worst"}
READING = (
    f"The claims of {CITATION}, each held against its own model as far as its text tells it (`--preset paper`), and against "
    "ours. A difference holds where it is above zero by more than chance, and doesn't where chance can't explain that it is "
    "less than half of the paper's. A level holds where the mean over splits reaches it, and doesn't where the whole "
    "interval lies short of it. The paper's data are not public: that a number differs does not make it wrong."
)


def section(study: Study) -> Section:
    """A row a claim and fault."""
    rows = study.rows("claims")
    blocks: list[Block] = [Text(READING), Table(HEAD, [_line(row) for row in rows])]
    return Section("claims", "Does the paper reproduce?", blocks if rows else [not_measured("the paper's claims")])


def _line(row: Row) -> list[Cell]:
    words = [Cell(str(row[name])) for name in ("claim", "label", "paper")]
    for who in ("preset", "ours"):
        verdict = str(row[f"{who}_verdict"])
        words += [Cell(str(row[who])), Cell(verdict, MARKS.get(verdict, ""))]
    return words
