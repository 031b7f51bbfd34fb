"""What a model has seen: faults, half-cycles, channels, ranges of severity, typical cells. It bounds what may be asked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from faultcell.curves.condition import Condition, Limits, severe
from faultcell.curves.conditions import CONTEXT, conditions_of
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.faults import FAULTS, severities_of
from faultcell.curves.fingerprint import fingerprint
from faultcell.curves.per_curve import sensor_noise
from faultcell.curves.plausibility import Bounds, Envelope
from faultcell.curves.schema import NORMAL, SEVERITY
from faultcell.encoding.encode import Encoded
from faultcell.encoding.grid import CHANNELS
from faultcell.errors import ConditionError, OutOfRangeWarning

SENSORS = (("voltage", "volt", "voltage_volt"), ("temperature", "celsius", "surface_temperature_celsius"))
ROUNDING = 1e-6
# Beyond these a value is in another unit, or a slip: nothing is drawn for it.
POSSIBLE = {  # severities of faults inside all limits say so themselves
    "state_of_health": (0.0, 1.5, "(a share, not percent)"),
    "ambient_temperature_celsius": (-60.0, 120.0, "degC"),
    "c_rate": (0.0, 100.0, "1/h"),
    "peak_deviation_volt": (0.0, 2.5, "V"),
}
Ranges = dict[str, tuple[float, float]]


class Typical(BaseModel):
    """A typical cell of the data: what a condition that does not say gets."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    nominal_capacity_ah: float
    lower_voltage_limit_volt: float
    upper_voltage_limit_volt: float
    state_of_health: float
    # No sensor is worse than that: a file with more was not written by us.
    voltage_noise_volt: float = Field(0.0, ge=0, le=1)
    temperature_noise_celsius: float = Field(0.0, ge=0, le=50)


class Profile(BaseModel):
    """Summary of the curves a model was trained on.

    Attributes:
        faults: names of the one-hot part of the condition vector, in order.
        channels: channels the data had, of `grid.CHANNELS`.
        step_types: kinds of half-cycle seen.
        labels: curves seen of each label.
        ranges: for each label, the smallest and largest value seen of each severity.
        contexts: for each kind of half-cycle, the same of each value of the operating context that any curve knew.
        typical: a typical cell for each kind of half-cycle.
        envelopes: what curves of each kind of half-cycle did at most.
        seconds: shortest and longest curve of each label and half-cycle, by `kind_of`.
        cells: names of the cells seen.
        unusable: curves that could not be put on the grid.
        data_sha256: fingerprint of each data set seen, in order of training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    faults: tuple[str, ...]
    channels: tuple[str, ...]
    step_types: tuple[str, ...]
    labels: dict[str, int]
    ranges: dict[str, Ranges]
    contexts: dict[str, Ranges]
    typical: dict[str, Typical]
    envelopes: dict[str, Envelope]
    seconds: Ranges
    cells: tuple[str, ...]
    unusable: int
    data_sha256: tuple[str, ...]

    @classmethod
    def of(cls, curves: Curves, encoded: Encoded, *, faults: Sequence[str]) -> Profile:
        """Summarise the usable curves of a set."""
        usable = curves.take(np.flatnonzero(encoded.usable).tolist())
        conditions = conditions_of(usable, load=False)
        rows = usable.halfcycles
        seen, steps = np.asarray(encoded.mask.any(axis=(0, 2))), tuple(sorted(rows["step_type"].unique()))
        return cls(
            faults=tuple(faults),
            channels=tuple(name for name, there in zip(CHANNELS, seen, strict=True) if there),
            step_types=steps,
            labels={str(label): len(part) for (label,), part in sorted(rows.group_by("label"))},
            ranges={str(label): _ranges(part, str(label)) for (label,), part in sorted(rows.group_by("label"))},
            contexts={step: _known_ranges([c for c in conditions if c.step == step]) for step in steps},
            typical={
                step: _typical(usable.select(step_type=[step]), [c for c in conditions if c.step == step]) for step in steps
            },
            envelopes={step: Envelope.of(usable.select(step_type=[step])) for step in steps},
            seconds=_lasting(usable),
            cells=tuple(sorted(rows["cell_id"].unique())),
            unusable=int((~encoded.usable).sum()),
            data_sha256=(fingerprint(curves),),
        )

    def joined(self, other: Profile) -> Profile:
        """What a model has seen that was trained on this and then on `other`; the same set twice counts once."""
        if set(other.data_sha256) <= set(self.data_sha256):
            return self
        return Profile(
            faults=self.faults,
            channels=tuple(name for name in CHANNELS if name in {*self.channels, *other.channels}),
            step_types=tuple(sorted({*self.step_types, *other.step_types})),
            labels={name: self.labels.get(name, 0) + other.labels.get(name, 0) for name in {**self.labels, **other.labels}},
            ranges=_spans(self.ranges, other.ranges),
            contexts=_spans(self.contexts, other.contexts),
            typical={**self.typical, **other.typical},
            envelopes={
                step: one.joined(other.envelopes.get(step, one)) for step, one in {**other.envelopes, **self.envelopes}.items()
            },
            seconds=_span(self.seconds, other.seconds),
            cells=tuple(sorted({*self.cells, *other.cells})),
            unusable=self.unusable + other.unusable,
            data_sha256=self.data_sha256 + other.data_sha256,
        )

    def middling(self, label: str) -> Condition:
        """A fault in the middle of what was seen of it, in a half-cycle in which it was; all else is left open."""
        kind = FAULTS[label]
        one = kind.asked_by[0]
        step = next((step for step in kind.step_types if kind_of(label, step) in self.seconds), None)
        return severe(label, {one.name: sum(self.ranges[label][one.name]) / 2 or one.typical}, step_type=step)

    def check(self, conditions: Sequence[Condition]) -> None:
        """Refuse what the model cannot know, as `refuse` does.

        Warns:
            OutOfRangeWarning: once for each severity asked for beyond what was seen. A context of another cell is mostly a bit
                beyond; tables say so of each curve.
        """
        self.refuse(conditions)
        self._warn(conditions)

    def refuse(self, conditions: Sequence[Condition]) -> None:
        """Raise ConditionError for a fault or half-cycle the model has never seen, or a value that no cell has."""
        for label in dict.fromkeys(condition.fault for condition in conditions):
            self._check_label(label)
        for step in dict.fromkeys(condition.step for condition in conditions):
            if step not in self.step_types:
                raise ConditionError(f"the model has never seen a {step}: it knows {', '.join(self.step_types)}")
        for name, (least, most, unit) in POSSIBLE.items():
            for value in (getattr(condition, name) for condition in conditions):
                if value is not None and not least <= value <= most:
                    raise ConditionError(f"{name} {value:g} is what no cell has: give it between {least:g} and {most:g} {unit}")

    def beyond(self, condition: Condition) -> dict[str, float]:
        """What of a condition lies outside of what was seen, severities and context, by name; then the curve extrapolates."""
        asked = {name: value for name in CONTEXT if (value := getattr(condition, name)) is not None}
        if condition.fault != NORMAL:
            names = FAULTS[condition.fault].names
            asked = {name: value for name in names if (value := condition.severity(name)) is not None} | asked
        return {name: value for name, value in asked.items() if not _within(value, self._seen(condition, name))}

    def bounds(self, condition: Condition) -> Bounds:
        """What a curve of this condition must keep; how long it lasts only where training curves can tell."""
        known = self.seconds.get(kind_of(condition.fault, condition.step))
        tells = not {"c_rate", "cumulative_duration_second"} & set(self.beyond(condition))
        return Bounds(self.envelopes[condition.step], known if tells else None)

    def _seen(self, condition: Condition, name: str) -> tuple[float, float] | None:
        ranges = self.contexts.get(condition.step) if name in CONTEXT else self.ranges.get(condition.fault)
        return (ranges or {}).get(name)

    def completed(self, conditions: Sequence[Condition]) -> list[Condition]:
        """With limits and nominal capacity filled in where not given."""
        return [self._filled(condition) for condition in conditions]

    def _check_label(self, label: str) -> None:
        if label not in self.labels:
            known = ", ".join(f"{name} ({count} curves)" for name, count in self.labels.items())
            raise ConditionError(
                f"the model has never seen the fault '{label}': it knows {known}; fine-tune it on {label} first"
            )

    def _warn(self, conditions: Sequence[Condition]) -> None:
        outside: dict[tuple[str, str], list[float]] = {}
        for condition in conditions:
            for name, value in self.beyond(condition).items():
                if name not in CONTEXT:
                    outside.setdefault((name, condition.fault), []).append(value)
        for (name, label), values in outside.items():
            low, high = self.ranges[label][name]
            worst, asked = (
                max(values, key=lambda value: max(low - value, value - high)),
                sum(c.fault == label for c in conditions),
            )
            warnings.warn(
                f"{name} {worst:g} for {label} is outside what the model has seen ({low:g} to {high:g}): "
                f"{len(values)} of {asked} curves are extrapolations",
                OutOfRangeWarning,
                stacklevel=4,
            )

    def _filled(self, condition: Condition) -> Condition:
        typical = self.typical[condition.step]
        limits = condition.limits or Limits(typical.lower_voltage_limit_volt, typical.upper_voltage_limit_volt)
        return replace(
            condition, limits=limits, nominal_capacity_ah=condition.nominal_capacity_ah or typical.nominal_capacity_ah
        )


def kind_of(label: str, step: str) -> str:
    """The name of a label in a half-cycle."""
    return f"{label} {step}"


def _lasting(curves: Curves) -> Ranges:
    """Shortest and longest loaded part of each label and half-cycle, s."""
    time, found = curves.column("step_time_second"), dict[str, list[float]]()
    for (label, step), rows in zip(curves.halfcycles.select("label", "step_type").rows(), curves.slices(), strict=True):
        part = loaded_part(curves, rows)
        if part.stop > part.start:
            found.setdefault(kind_of(label or NORMAL, step), []).append(float(time[part.stop - 1] - time[part.start]))
    return {kind: (min(values), max(values)) for kind, values in found.items()}


def ranged(label: str) -> tuple[str, ...]:
    """The severities of which a profile tells the range for a label."""
    return tuple(dict.fromkeys((*SEVERITY, *(one.name for one in severities_of(label)))))


def _ranges(rows: pl.DataFrame, label: str) -> Ranges:
    known = {name: rows[name].cast(pl.Float64).fill_nan(None) for name in ranged(label)}
    return {name: (float(values.min() or 0.0), float(values.max() or 0.0)) for name, values in known.items()}  # type: ignore[arg-type]


def _known_ranges(conditions: Sequence[Condition]) -> Ranges:
    """Smallest and largest value of the context that any of these knows."""
    known = {name: [value for c in conditions if (value := getattr(c, name)) is not None] for name in CONTEXT}
    return {name: (float(min(values)), float(max(values))) for name, values in known.items() if values}


def _spans(one: Mapping[str, Ranges], other: Mapping[str, Ranges]) -> dict[str, Ranges]:
    """The ranges that hold both."""
    return {name: _span(one.get(name, {}), other.get(name, {})) for name in {**one, **other}}


def _span(one: Ranges, other: Ranges) -> Ranges:
    ends = {name: [*one.get(name, ()), *other.get(name, ())] for name in {**one, **other}}
    return {name: (min(values), max(values)) for name, values in ends.items()}


def _within(value: float, seen: tuple[float, float] | None) -> bool:
    """Whether a value was seen, but for rounding."""
    return seen is not None and seen[0] - ROUNDING * abs(seen[0]) <= value <= seen[1] + ROUNDING * abs(seen[1])


def _typical(curves: Curves, conditions: Sequence[Condition]) -> Typical:
    """Medians of a kind of half-cycle, and its sensors' noise; a state of health that is nowhere known counts as 1."""
    health = [condition.state_of_health for condition in conditions if condition.state_of_health is not None]
    plain = ("nominal_capacity_ah", "lower_voltage_limit_volt", "upper_voltage_limit_volt")
    medians = {name: float(np.nanmedian(curves.known(name))) for name in plain}
    noise = {f"{name}_noise_{unit}": sensor_noise(curves, column) for name, unit, column in SENSORS}
    return Typical(**medians, **noise, state_of_health=float(np.median(health)) if health else 1.0)
