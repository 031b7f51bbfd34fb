"""Labels of curves that nobody labelled: by how far the voltage under load goes beyond the rated limit."""

from __future__ import annotations

from collections import Counter

import numpy as np

from faultcell.curves.at_rest import REST
from faultcell.curves.schema import NORMAL, Array

# Where the file carries no label, a voltage this far outside the rated limits under load is a fault.
FAULT_VOLT = 0.05
# A cell at rest whose voltage falls by more has shorted (the rule of the indentation tests on batteryarchive.org).
COLLAPSE_VOLT = 0.1
FEWEST_SAMPLES = 5  # of the voltage before
# Of half-cycles of a kind, so many that all go wrong speak of a wrong limit.
FEWEST_BEYOND = 2


def label_of(voltage: Array, *, step_type: str, lower: float, upper: float) -> str:
    """The label of a curve nobody labelled, from its voltage under load in V, or that of a cell at rest."""
    if step_type == REST and voltage.size:
        return "internal_short" if np.median(voltage[:FEWEST_SAMPLES]) - voltage.min() > COLLAPSE_VOLT else NORMAL
    if step_type == "charge" and voltage.size and voltage.max() > upper + FAULT_VOLT:
        return "overcharge"
    if step_type == "discharge" and voltage.size and voltage.min() < lower - FAULT_VOLT:
        return "overdischarge"
    return NORMAL


def said_of_labels(labels: Counter[tuple[str, str]], known: dict[str, float]) -> list[str]:
    """How curves without a label were labelled, and a question where a limit seems to be another cell's."""
    faults = {label: count for (_, label), count in labels.items() if label != NORMAL}
    if not faults:
        if {step for step, _ in labels} == {REST}:
            return [f"the file has no labels; no rest falls by more than {COLLAPSE_VOLT} V: labelled {NORMAL}"]
        how = f"no charge goes more than {FAULT_VOLT} V above the upper limit and no discharge below the lower one"
        return [f"the file has no labels; {how}: labelled {NORMAL}"]
    counts = ", ".join(f"{count} labelled {label}" for label, count in faults.items())
    rule = (
        f"{FAULT_VOLT} V beyond the rated limit"
        if set(faults) != {"internal_short"}
        else f"a fall of {COLLAPSE_VOLT} V at rest"
    )
    said = [f"the file has no labels; by the rule of {rule}: {counts}, the others {NORMAL}"]
    if "internal_short" in faults:
        said.append("a rest that still relaxes from a charge falls by as much: did it?")
    for step, side in (("charge", "upper"), ("discharge", "lower")):
        beyond = sum(count for (kind, label), count in labels.items() if kind == step and label != NORMAL)
        if beyond >= FEWEST_BEYOND and beyond == sum(count for (kind, _), count in labels.items() if kind == step):
            limit = known[f"{side}_voltage_limit_volt"]
            said.append(f"every {step} goes beyond the {side} limit of {limit:g} V: is that the rated limit of this cell?")
    return said
