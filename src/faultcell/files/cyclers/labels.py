"""Labels of curves that nobody labelled: by how far the voltage under load goes beyond the rated limit."""

from __future__ import annotations

from collections import Counter

from faultcell.curves.schema import NORMAL, Array

# Where the file carries no label, a voltage this far outside the rated limits under load is a fault.
FAULT_VOLT = 0.05
# Of half-cycles of a kind, so many that all go wrong speak of a wrong limit.
FEWEST_BEYOND = 2


def label_of(voltage: Array, *, step_type: str, lower: float, upper: float) -> str:
    """The label of a curve nobody labelled, from its voltage under load in V."""
    if step_type == "charge" and voltage.size and voltage.max() > upper + FAULT_VOLT:
        return "overcharge"
    if step_type == "discharge" and voltage.size and voltage.min() < lower - FAULT_VOLT:
        return "overdischarge"
    return NORMAL


def said_of_labels(labels: Counter[tuple[str, str]], known: dict[str, float]) -> list[str]:
    """How curves without a label were labelled, and a question where a limit seems to be another cell's."""
    faults = {label: count for (_, label), count in labels.items() if label != NORMAL}
    if not faults:
        how = f"no charge goes more than {FAULT_VOLT} V above the upper limit and no discharge below the lower one"
        return [f"the file has no labels; {how}: labelled {NORMAL}"]
    counts = ", ".join(f"{count} labelled {label}" for label, count in faults.items())
    said = [f"the file has no labels; by the rule of {FAULT_VOLT} V beyond the rated limit: {counts}, the others {NORMAL}"]
    for step, side in (("charge", "upper"), ("discharge", "lower")):
        beyond = sum(count for (kind, label), count in labels.items() if kind == step and label != NORMAL)
        if beyond >= FEWEST_BEYOND and beyond == sum(count for (kind, _), count in labels.items() if kind == step):
            limit = known[f"{side}_voltage_limit_volt"]
            said.append(f"every {step} goes beyond the {side} limit of {limit:g} V: is that the rated limit of this cell?")
    return said
