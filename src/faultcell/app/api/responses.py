"""What the API answers, as JSON: for those who read `/api/openapi.json`, and for the tests that hold it to that."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from faultcell.app.requests import Conditions, Source
from faultcell.app.worker.jobs import MEDIA_TYPES


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="forbid")

    error: str = Field(description="one sentence")


class Health(BaseModel):
    """Whether it is alive, and how busy."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["ok"]
    version: str
    draws_under_way: int = Field(ge=0, description="draws at work or waiting")
    workers_lost: int = Field(ge=0, description="processes that drew and were killed at their limit, or died")


class Bundle(BaseModel):
    """A model, and what it has seen."""

    model_config = ConfigDict(extra="forbid")

    id: str
    model_sha256: str
    steps: int = Field(ge=1, description="network evaluations a curve")
    has_seen: dict[str, dict[str, tuple[float, float]]] = Field(
        description="of each kind of curve: the smallest and the largest value of each quantity"
    )


class Curve(BaseModel):
    """A drawn curve: its row of the table of half-cycles, and its samples; a channel that the model has not is left out."""

    model_config = ConfigDict(extra="forbid")

    cell_id: str
    cycle_count: int
    step_type: Literal["charge", "discharge"]
    label: str
    seed: int
    extrapolated: bool = Field(description="whether it was asked for beyond what the model has seen")
    extrapolated_in: str = Field(description="in what, by name; empty where in nothing")
    peak_deviation_volt: float | None
    repetition_count: int | None
    cumulative_duration_second: float | None
    severities: dict[str, float | None] = Field(
        description="of a fault inside all limits, by name: how severe it came out beside the normal cycle it was drawn from; "
        "null where no normal cycle tells it"
    )
    step_time_second: list[float]
    voltage_volt: list[float]
    current_ampere: list[float] = []
    surface_temperature_celsius: list[float] = []


class Drawn(BaseModel):
    """Curves, and what they were asked to be."""

    model_config = ConfigDict(extra="forbid")

    bundle: str
    verb: Literal["serve"]
    model_sha256: str
    count: int
    seed: int
    steps: int
    conditions: Conditions
    source: Source | None = Field(description="the normal cycle they were drawn from, null where from conditions alone")
    synthetic: Literal[True]
    extrapolations: list[str] = Field(description="a sentence for each quantity beyond what the model has seen")
    curves: list[Curve]


# What can go wrong with every request, and with a draw.
ANY = {
    400: "this is no request, or the model cannot meet it",
    403: "the page of another origin asked",
    408: "the request did not arrive in time",
    413: "the body is too large",
    421: "another host was asked for",
    503: "too much is under way: ask again after the seconds of Retry-After",
}
OF_A_DRAW = {
    404: "no bundle has that id",
    422: "the request is not well-formed",
    500: "the draw failed, or the process that drew ended in the middle of it",
    504: "the draw took too long",
}


def problems(said: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """The same for the description of an API."""
    retry = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return {
        status: {"model": Problem, "description": text, **({"headers": retry} if status == 503 else {})}
        for status, text in said.items()
    }


def drawn() -> dict[int | str, dict[str, Any]]:
    """What a draw is answered with."""
    files = {kind: {"schema": {"type": "string", "format": "binary"}} for name, kind in MEDIA_TYPES.items() if name != "json"}
    return {200: {"model": Drawn, "description": "the curves, in the format asked for", "content": files}}
