"""A request, as JSON: what is asked of a model, within bounds. The page and the API check it by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faultcell.app.controls import QUANTITIES, SEVERITIES
from faultcell.curves.condition import Condition
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.faults import breaks_limit, fault, severity_named
from faultcell.curves.schema import NORMAL, SEVERITY
from faultcell.errors import ConditionError
from faultcell.generation.counterfactuals import counterfactual
from faultcell.generation.drawing import CHUNK

MOST_CURVES, MOST_STEPS = 1000, 50
TITLES = {quantity.name: quantity.title for quantity in QUANTITIES}

Format = Literal["json", "parquet", "csv"]
Number = Annotated[float, Field(allow_inf_nan=False)]
ASKED_OF_A_SOURCE = {"fault", "step_type", "severities", *SEVERITY}  # all else of a condition the normal curve tells


class Conditions(BaseModel):
    """What a curve is asked to be; what is left out is unknown. Names and units are those of `faultcell.Condition`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: str = Field(max_length=40, description="overcharge, overdischarge, ..., or normal")
    step_type: Literal["charge", "discharge"] | None = Field(None, description="of a normal curve, or a fault of both")
    peak_deviation_volt: Number = Field(0.0, ge=0, le=10, description="how far beyond the rated limit, V")
    repetition_count: int | None = Field(None, ge=1, le=1_000_000, description="faults of that kind, this one included")
    severities: dict[Annotated[str, Field(max_length=40)], Number] = Field(
        default_factory=dict, max_length=8, description="of a fault inside all limits, by name: leakage_c_rate, ..."
    )
    cumulative_duration_second: Number | None = Field(None, gt=0, le=1e8, description="beyond the limit over those faults, s")
    c_rate: Number | None = Field(None, gt=0, le=100, description="load current over nominal capacity, 1/h")
    ambient_temperature_celsius: Number | None = Field(None, ge=-60, le=120, description="degC")
    cycle_count: int | None = Field(None, ge=1, le=1_000_000, description="number of the cycle in the life of the cell")
    state_of_health: Number | None = Field(None, gt=0, le=2, description="capacity over nominal capacity")

    def condition(self) -> Condition:
        """The same for a source.

        Raises:
            ConditionError: an unknown fault, a severity of another one, or values that contradict each other.
        """
        for name in SEVERITY:
            if name in self.severities:
                raise ConditionError(f"{name} is no part of the severities: give it beside them")
            if getattr(self, name) and self.fault != NORMAL:
                severity_named(name, self.fault)
        return Condition(**self.model_dump(exclude_none=True))


class Source(BaseModel):
    """A normal cycle of a curve set: what is drawn is the next cycle of its cell, gone wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell_id: str = Field(max_length=10_000, description="a cell of the curve set that is served (`--real`)")
    cycle_count: int = Field(ge=0, le=2**53, description="number of the normal cycle in the life of that cell")


class Draw(BaseModel):
    """So many curves of the same conditions, the first with this seed, the next with the one after it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conditions: Conditions
    source: Source | None = Field(None, description="the normal cycle to draw from: conditions then take fault and severity")
    count: int = Field(CHUNK, ge=1, le=MOST_CURVES, description="curves")
    seed: int = Field(0, ge=0, le=2**53, description="of the first curve")
    steps: int | None = Field(None, ge=1, le=MOST_STEPS, description="network evaluations a curve; the model's own if left out")
    format: Format = Field("json", description="parquet: a zip of the two tables of a curve set; csv: Battery Data Format")

    @property
    def source_step(self) -> str:
        """The half-cycle of the source in which the fault shows.

        Raises:
            ConditionError: what is asked for is no fault.
        """
        if self.conditions.fault == NORMAL:
            raise ConditionError("a source is a normal curve already: ask for a fault, or leave the source out")
        steps, asked = fault(self.conditions.fault).step_types, self.conditions.step_type
        return asked if asked in steps else steps[0]

    def condition(self, normal: Curves | None = None) -> Condition:
        """What each curve is asked to be.

        Args:
            normal: a set of the one curve that the source names, where there is one.

        Raises:
            ConditionError: an unknown fault, or values that contradict each other or the source.
        """
        asked = self.conditions.condition()
        if normal is None:
            return asked
        given = [name for name, value in self.conditions if value is not None and name not in ASKED_OF_A_SOURCE]
        if given:
            raise ConditionError(f"{given[0]} is that of the source: leave it out of the conditions, or leave out the source")
        return counterfactual(conditions_of(normal), [asked])[0]


def sentence(errors: list[Any]) -> str:
    """What is wrong with a request, in a sentence about the first thing."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "the request"
    found = "" if first["type"] in ("missing", "extra_forbidden") else f", found {str(first['input'])[:40]}"
    within: dict[str, type[BaseModel]] = {"conditions": Conditions, "source": Source}
    known = ", ".join(within.get(place.rpartition(".")[0], Draw).model_fields)
    message = str(first["msg"]).replace("Input should", "must")[:200]
    said = f"no such field: known are {known}" if first["type"] == "extra_forbidden" else message
    return f"{place}: {said[:1].lower()}{said[1:]}{found}"


def conditions_from(label: str, step_type: str, *, values: Mapping[str, float | None]) -> Conditions:
    """The conditions that a page asks for.

    Args:
        label: the fault, or normal.
        step_type: its half-cycle.
        values: of the knobs, None where unknown.

    Raises:
        ConditionError: a value is missing or out of bounds; one sentence.
    """
    if breaks_limit(label) and values.get(SEVERITY[0]) is None:
        raise ConditionError("the peak deviation is missing: say how far beyond the limit, in V")
    drivers = [] if label == NORMAL else fault(label).drivers
    if drivers and not any(values.get(one.name) for one in drivers):
        offered = " or ".join(f"{TITLES[one.name]} ({one.unit})" for one in drivers if one.name in values)
        raise ConditionError(f"{label} needs a severity other than 0: {offered or TITLES[drivers[0].name]}")
    known = {name: value for name, value in values.items() if value is not None}
    severities = {name: value for name, value in known.items() if name in SEVERITIES}
    given = {name: value for name, value in known.items() if name not in severities}
    try:
        return Conditions(fault=label, step_type=step_type, severities=severities, **given)
    except ValidationError as error:
        place, said = sentence(error.errors()).split(": ", 1)
        name = place.rpartition(".")[2]
        raise ConditionError(f"{TITLES.get(name, name)}: {said}") from error
