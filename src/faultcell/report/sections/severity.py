"""How the error depends on how deep a fault goes, in numbers and in curves."""

from __future__ import annotations

from collections.abc import Sequence

from faultcell.curves.curves import Curves
from faultcell.plotting.figures import INK, LIMIT, Axes, legend, sheet
from faultcell.plotting.overlays import by_depth, close_up, limit, line
from faultcell.plotting.theme import kind, look
from faultcell.report.blocks import Block, Cell, Column, Picture, Section, Table, Text, not_measured
from faultcell.report.folder import Row, Study
from faultcell.study.plan import DIFFUSION, GENERATORS
from faultcell.study.tables import FLOOR

SHOWN = (DIFFUSION, "wgan_gp", "replay")  # sources whose curves are shown
LINES = (FLOOR, *GENERATORS, "replay", "mean_curve")
DEPTHS = ("shallow", "middle", "deep")
MAE = Column("mae", "MAE")


def section(study: Study) -> Section:
    """Strata, then curves."""
    rows = [row for row in study.rows("fidelity", group="severity") if row.get("mae") is not None]
    blocks: list[Block] = [not_measured("the study holds no scores by severity")]
    if rows:
        blocks = [Text(_worst(study)), _strata(rows, study.labels), _table(rows)]
    pictures = [picture for label in study.labels if (picture := _curves(study, label)) is not None]
    blocks += pictures or [not_measured("the study holds no drawn curves to show")]
    return Section("severity", "Severity: where it is worst", blocks)


def _worst(study: Study) -> str:
    found = study.summary.worst.get(DIFFUSION)
    named = f"The diffusion model is worst on {found}." if found else "The worst stratum of the diffusion model is not known."
    return f"{named} Strata are three equal parts of the test curves of a fault, by the peak deviation of the real curve."


def _strata(rows: Sequence[Row], labels: Sequence[str]) -> Picture:
    with sheet(1, max(len(labels), 1), size=(10, 3.5)) as page:
        for axes, label in zip(page.axes[0], labels, strict=False):
            _lines(axes, [row for row in rows if str(row["name"]).startswith(f"{label} ")], label=label)
        legend(page, page.axes[0][0].get_legend_handles_labels()[0], columns=4)
    caption = "MAE by severity: the floor, the generators and two cheap controls; shallow faults on the left. Lower is better."
    return Picture(page.data, "MAE of each source by the peak deviation of the real curve, a panel for each fault.", caption)


def _lines(axes: Axes, rows: Sequence[Row], *, label: str) -> None:
    strata = list(dict.fromkeys(str(row["name"]) for row in rows))
    for source in LINES:
        values = {row["name"]: row["mae"] for row in rows if row["source"] == source}
        places = [place for place, name in enumerate(strata) if name in values]
        shown, found = look(source), [values[strata[place]] for place in places]
        face = "white" if shown.hollow else shown.colour
        axes.plot(places, found, **shown.stroke(1.1), marker=shown.marker, mfc=face, ms=6, label=shown.name)
    axes.set_xticks(range(len(strata)), [name.removeprefix(f"{label} ") for name in strata])
    axes.set(title=label, ylabel="MAE", ylim=(0, None), xlabel="peak deviation of the real curve")


def _table(rows: Sequence[Row]) -> Table:
    """MAE of each source in each stratum; the worst of each source marked."""
    strata = list(dict.fromkeys(str(row["name"]) for row in rows))
    sources = list(dict.fromkeys(str(row["source"]) for row in rows))
    values = {(row["source"], row["name"]): row["mae"] for row in rows}
    lines = []
    for source in sources:
        known = {name: values.get((source, name)) for name in strata}
        worst = max((value for value in known.values() if value is not None), default=None)
        cells = [
            Cell(MAE.spell({"mae": value}), "worst" if value is not None and value == worst else "") for value in known.values()
        ]
        lines.append([Cell(look(source).name), *cells])
    caption = "MAE by stratum; the worst stratum of each source is underlined"
    return Table(["source", *strata], lines, caption, [kind(source) for source in sources])


def _curves(study: Study, label: str) -> Picture | None:
    real = study.curves("data/test")
    sources = [name for name in SHOWN if study.curves(f"drawn/{name}") is not None]
    if real is None or label not in real.labels or not sources:
        return None
    rows = by_depth(real, label, most=2 * len(DEPTHS) + 1)[1::2][: len(DEPTHS)] or by_depth(real, label, most=1)
    with sheet(len(rows), 2, size=(10, 0.6 + 2.3 * len(rows))) as page:
        for axes, row in zip(page.axes, rows, strict=True):
            _pair(axes, study, real=real, row=row, label=label)
        for panel in page.axes[-1]:
            panel.set_xlabel(panel.get_xlabel() or "time / min")
        page.axes[-1][1].set_xlabel("time before the end / min")
        legend(page, page.axes[0][0].get_legend_handles_labels()[0])
    caption = (
        f"{label}: a shallow, a middle and a deep fault of cells held out, and what each source made of the same condition. "
        "Left: the whole loaded part; right: its end enlarged, all ends put at zero. Dotted: the rated limit."
    )
    names = ", ".join(look(name).name for name in sources)
    return Picture(page.data, f"A shallow, a middle and a deep real {label} curve over curves drawn by {names}.", caption)


def _pair(panels: Sequence[Axes], study: Study, *, real: Curves, row: int, label: str) -> None:
    for axes in panels:
        line(axes, real, row=row, color=INK, lw=2.2, alpha=0.55, label="real")
        for source in SHOWN:
            drawn, partner = study.curves(f"drawn/{source}"), study.pairs(source).get(row)
            if drawn is not None and partner is not None:
                line(axes, drawn, row=partner, **look(source).stroke(), label=look(source).name)
        axes.axhline(limit(real, label, row=row), color=LIMIT, lw=1, ls=":")
    close_up(panels[1])
    low, high = panels[1].get_ylim()
    broken = limit(real, label, row=row)
    panels[1].set_ylim(min(low, broken - 0.01), max(high, broken + 0.01))
    depth, cell = real.known("peak_deviation_volt")[row], real.halfcycles["cell_id"][row]
    panels[0].set_ylabel("voltage / V")
    panels[0].set_title(f"{depth:.2f} V beyond the limit, cell {cell}", fontsize=9)
    panels[1].set_title("the end", fontsize=9)
