"""What a fault classifier gets to see of a curve: all of it, only the part inside the rated limits, or more than the curve.

Whole faults beyond a limit are told apart by their voltage alone: every battery management system has that threshold. The part
inside the limits, cut by one rule for normal and fault curves, asks for more: does the shape before the limit tell what comes?
Faults inside all limits ask for what a model-based diagnosis has, too: the temperature, and a normal curve that the same cell
had before (`relative`), or what models of the cell made from such curves do not foresee (`residual`: the nets see what the
model-based rival does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.against_normal import loaded
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.schema import KEYS, REST, Array, Key
from faultcell.diagnosis.model_based import cycles_of

LENGTH = 64
CHANNELS = ("voltage", "current", "charge")
TYPICAL_CELSIUS = 25.0  # of the surroundings, where they are unknown
KELVIN = 10.0  # what counts as one
# The in-limits part ends this far before the limit, V: holds and cut-offs are not exactly at it.
MARGIN = 0.01
FEWEST = 4
MOST_MISSED = 10.0  # of what a filter expects of itself: beyond, it has lost its cell


@dataclass(frozen=True, eq=False)
class Seen:
    """Curves as a classifier sees them.

    Attributes:
        values: voltage as a fraction of the rated window, |current| in C and charge moved so far over nominal capacity, at
            equal steps over the part's own duration; of the view `thermal` the temperature over the surroundings, too, of
            `relative` all four less those of the cell's own normal curve, and of `residual` what the cell's circuit and its
            thermal model do not foresee `(N, C, L)`; zero where not usable.
        beyond: how far the part goes beyond the limit it can break, under load, V; zero where it does not `(N,)`.
        at_limit: whether the curve comes within `MARGIN` of that limit `(N,)`.
        usable: curves with a part to speak of `(N,)`.
        protocol: how the curve was run, of which a fault says nothing: median |current| in C, ambient temperature over 25 degC,
            0 where unknown, and logarithm of the part's seconds `(N, 3)`.
    """

    values: NDArray[np.float32]
    beyond: Array
    at_limit: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    protocol: Array

    def take(self, rows: NDArray[np.int64]) -> Seen:
        """The curves at these positions, in this order."""
        return Seen(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Trace:
    """The loaded part of a charge or a discharge.

    Attributes:
        second: s `(n,)`.
        inside: how far the voltage is inside the limit the half-cycle can break, V `(n,)`.
        rate: |current| over nominal capacity, 1/h `(n,)`.
        loaded: samples that carry a load current `(n,)`; pulsed loads rest in between.
        window: from the lower to the upper limit, V.
        rising: whether it is a charge.
        celsius: surface temperature, NaN where unknown `(n,)`.
    """

    second: Array
    inside: Array
    rate: Array
    loaded: NDArray[np.bool_]
    window: float
    rising: bool
    celsius: Array


def whole(trace: Trace) -> Trace:
    """All of the loaded part."""
    return trace


def in_limits(trace: Trace) -> Trace:
    """The part up to the first time that the voltage under load comes within `MARGIN` of the limit; empty if it begins there.

    The time is that of the line between two samples, so a curve that goes on and one that was cut at its limit give the same.
    A curve that never comes so close is kept to its end.
    """
    end = crossing(trace)
    if end is None:
        return trace
    kept = trace.second < end
    under_load = (np.interp(end, trace.second[trace.loaded], y[trace.loaded]) for y in (trace.inside, trace.rate))
    inside, rate = (np.append(y[kept], last) for y, last in zip((trace.inside, trace.rate), under_load, strict=True))
    second, on = np.append(trace.second[kept], end), np.append(trace.loaded[kept], True)
    celsius = np.append(trace.celsius[kept], np.interp(end, trace.second, trace.celsius))
    return Trace(second, inside, rate, on, trace.window, trace.rising, celsius)


VIEWS: dict[str, Callable[[Trace], Trace]] = {
    "whole": whole,
    "in_limits": in_limits,
    "thermal": whole,
    "relative": whole,
    "residual": whole,
}
BESIDE = ("relative", "residual")  # of a curve beside the cell's own normal ones
IN_LIMITS = "in_limits"
PLAIN = ("whole", IN_LIMITS)  # of the curve's own voltage, current and charge; what is usual for faults beyond a limit
WARM = ("thermal", "relative", "residual")  # with the temperature; what is usual for faults inside all limits


def crossing(trace: Trace) -> float | None:
    """When the line through the voltage under load first comes within `MARGIN` of the limit, s; None if it never does."""
    second, left = trace.second[trace.loaded], trace.inside[trace.loaded] - MARGIN
    near = np.flatnonzero(left <= 0)
    if not near.size:
        return None
    last = int(near[0])
    first = max(last - 1, 0)
    share = left[first] / (left[first] - left[last]) if last else 0.0
    return float(second[first] + (second[last] - second[first]) * share)


def channels(view: str) -> int:
    """How many channels a view has."""
    more = {"thermal": 1, "relative": 2 + len(CHANNELS), "residual": 3}
    return len(CHANNELS) + more.get(view, 0)


def see(
    curves: Curves,
    view: str,
    *,
    normal: Curves | None = None,
    references: Sequence[Key | None] | None = None,
    length: int = LENGTH,
) -> Seen:
    """Curves in one of the views; only the voltage and the current under load count, as in `encoding`.

    Args:
        curves: charges and discharges.
        view: a name of `VIEWS`.
        normal: where the cells' own normal curves are, for the views that are `BESIDE`; of `residual` both half-cycles.
        references: key of each curve's own normal one there, None where there is none: then it is not usable.
        length: L.
    """
    shape = (len(curves), channels(view), length)
    values, beyond = np.zeros(shape, dtype=np.float32), np.zeros(len(curves))
    own = _own(normal, references or (), length) if view == "relative" and normal is not None else {}
    left = _left(curves, normal, references or ()) if view == "residual" else None
    ambient = np.nan_to_num(curves.known("ambient_temperature_celsius"), nan=TYPICAL_CELSIUS)
    at_limit, usable = np.zeros(len(curves), dtype=bool), np.zeros(len(curves), dtype=bool)
    protocol = np.column_stack([np.zeros(len(curves)), curves.known("ambient_temperature_celsius") - 25, np.zeros(len(curves))])
    for i, trace in enumerate(_traces(curves)):
        part = None if trace is None else VIEWS[view](trace)
        if trace is None or part is None or part.loaded.sum() < FEWEST or part.second[-1] <= part.second[0]:
            continue
        shown = _resampled(part, length)
        if view in WARM:
            shown = np.concatenate([shown, _warm(part, ambient[i], length)])
        if view == "relative":
            reference = own.get(references[i]) if references else None
            if reference is None:
                continue
            shown = np.concatenate([shown, shown - reference])
        if left is not None:
            if not np.isfinite(left[0, i]).all():
                continue
            even = np.linspace(0, 1, length), np.linspace(0, 1, left.shape[-1])
            shown = np.concatenate([shown, [np.interp(*even, np.nan_to_num(one[i])) for one in left]])
        values[i], usable[i] = shown, True
        beyond[i] = max(0.0, -float(part.inside[part.loaded].min()))
        at_limit[i] = crossing(trace) is not None
        protocol[i, 0], protocol[i, 2] = np.median(part.rate[part.loaded]), np.log(part.second[-1] - part.second[0])
    return Seen(values, beyond, at_limit, usable, np.nan_to_num(protocol))


def _own(normal: Curves, references: Sequence[Key | None], length: int) -> dict[Key | None, Array]:
    """The cells' own normal curves as the view `relative` takes them off, by key."""
    wanted = set(references)
    rows = [row for row, key in enumerate(normal.halfcycles.select(KEYS).rows()) if key in wanted]
    some = normal.take(rows)
    seen = see(some, "thermal", length=length)
    return {key: seen.values[i] for i, key in enumerate(some.halfcycles.select(KEYS).rows()) if seen.usable[i]}


def _left(curves: Curves, normal: Curves | None, references: Sequence[Key | None]) -> Array:
    """What the filter on the cell's circuit and its thermal model do not foresee, about one; NaN where unknown `(2, N, L)`."""
    own: Sequence[Key | None] = references if normal is not None else [None] * len(curves)
    residuals = cycles_of(curves if normal is None else normal).residuals(list(loaded(curves, range(len(curves)))), own)
    return np.stack([np.clip(residuals.volt, -MOST_MISSED, MOST_MISSED) / MOST_MISSED, residuals.kelvin / KELVIN])


def _warm(part: Trace, ambient: float, length: int) -> Array:
    """The temperature over that of the surroundings, about one; zero where it is unknown `(1, L)`."""
    known = np.isfinite(part.celsius)
    if not known.any():
        return np.zeros((1, length))
    at = np.linspace(part.second[0], part.second[-1], length)
    return (np.interp(at, part.second[known], part.celsius[known])[None] - ambient) / KELVIN


def _traces(curves: Curves) -> Iterator[Trace | None]:
    """The trace of each curve, None where limits, capacity or samples are missing."""
    names = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
    second, volt, ampere, celsius = (curves.column(name) for name in names)
    limits = curves.known("lower_voltage_limit_volt"), curves.known("upper_voltage_limit_volt")
    nominal, steps, on = curves.known("nominal_capacity_ah"), curves.halfcycles["step_type"].to_list(), curves.under_load
    for i, rows in enumerate(curves.slices()):
        lower, upper, part = float(limits[0][i]), float(limits[1][i]), loaded_part(curves, rows)
        rests = steps[i] == REST
        known = np.isfinite([lower, upper, 1.0 if rests else nominal[i]]).all()
        if not known or not (rests or steps[i] in ("charge", "discharge")):
            yield None
            continue
        rising = steps[i] == "charge"
        inside = upper - volt[part] if rising else volt[part] - lower
        # A rest has no load; what passes a cell of a parked vehicle is that of its pack.
        rate = np.zeros(part.stop - part.start) if rests else np.abs(ampere[part]) / nominal[i]
        yield Trace(second[part], inside, rate, on[part], upper - lower, rising, celsius[part])


def _resampled(part: Trace, length: int) -> Array:
    """The channels of one part `(C, L)`."""
    at = np.linspace(part.second[0], part.second[-1], length)
    moved = np.concatenate([[0.0], np.cumsum(np.diff(part.second) * (part.rate[1:] + part.rate[:-1]) / 2)]) / 3600
    share = part.inside / part.window
    voltage = 1 - share if part.rising else share
    on = part.loaded
    return np.stack(
        [
            np.interp(at, part.second[on], voltage[on]),
            np.interp(at, part.second[on], part.rate[on]),
            np.interp(at, part.second, moved),
        ]
    )
