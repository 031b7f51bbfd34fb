"""The page of a study: everything shown is computed from what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from faultcell.files.durable.atomic import write_text
from faultcell.report.folder import Study
from faultcell.report.scores import environment
from faultcell.report.sections import (
    ablations,
    claims,
    correlations,
    cost,
    diagnosis,
    embedding,
    epochs,
    fidelity,
    hidden,
    method,
    overview,
    sets,
    severity,
    short,
)
from faultcell.study.stages import PAGE

TITLE = "FaultCell study"
LEAD = "Drawn fault curves against real ones, cheap controls and a paper."
SECTIONS = (
    overview.data,
    overview.findings,
    claims.section,
    overview.limits,
    cost.section,
    epochs.section,
    fidelity.section,
    sets.section,
    severity.section,
    ablations.section,
    diagnosis.section,
    hidden.section,
    correlations.section,
    embedding.section,
    method.protocols,
    method.settings,
    method.repeat,
)


def study_page(folder: Path) -> str:
    """One HTML page of a finished study, with everything in it: no file beside it, no host asked.

    Args:
        folder: of the study, as `faultcell.study.stages` leaves it. A part that is missing is named as not measured.

    Raises:
        DataError: the folder holds no study, or a file of it is damaged.
    """
    study = Study.open(folder)
    sections = [found for make in SECTIONS if (found := make(study)) is not None]
    return (
        environment()
        .get_template("study.html.j2")
        .render(title=TITLE, lead=LEAD, version=study.summary.version, short=short.section(study), sections=sections)
    )


def write_study(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a study, `report.html` in its folder where no other place is given; the path of the page.

    Raises:
        DataError: the folder holds no study, a file of it is damaged, or the page cannot be written.
    """
    return write_text(out or folder / PAGE, study_page(folder))
