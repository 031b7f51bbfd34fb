"""What a draw shows: a few of its curves, the band of all, the nearest real ones, what was asked for beside what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from faultcell.app.controls import QUANTITIES, SEVERITIES, Kind, Quantity
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import Conditions, Draw, conditions_from
from faultcell.app.worker.nearest import CellKind, nearest_alike
from faultcell.baselines.replay import CurveLibrary
from faultcell.curves.condition import Condition, Limits
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, breaks_limit
from faultcell.curves.schema import KEYS, NORMAL, SOURCE, Array
from faultcell.curves.severity import NOISE_VOLT, SIDES, excursion
from faultcell.encoding.decode import CurveSamples
from faultcell.errors import ConditionError
from faultcell.generation.counterfactuals import from_sources
from faultcell.generation.drawing import CHUNK

SHARES = (0.05, 0.5, 0.95)  # of the curves, below lower end, middle and upper end of a band
UNTOLD = "unknown", "needs a normal cycle"  # of a severity that is measured beside one
SHOWN, NEAREST, POINTS = 12, 3, 128
LEAST_CLOSE_UP, MOST_CLOSE_UP, FAULTS_SHOWN = 0.03, 0.4, 3.0  # of the duration; the last in durations of the part beyond


@dataclass(frozen=True, eq=False)
class Line:
    """A curve over time: s, V, A and degC `(n,)` each; temperatures that nobody measured are not numbers."""

    second: Array
    volt: Array
    ampere: Array
    celsius: Array

    @classmethod
    def of(cls, samples: CurveSamples) -> Line:
        """The same, with no more points than a screen shows."""
        rows = np.unique(np.linspace(0, samples.second.size - 1, min(samples.second.size, 2 * POINTS)).astype(int))
        return cls(samples.second[rows], samples.volt[rows], samples.ampere[rows], samples.celsius[rows])


@dataclass(frozen=True, eq=False)
class ChartBand:
    """Where the drawn curves are at each time: of those that have ended, where they ended.

    Attributes:
        second: from the start, or, below zero, before the end `(n,)`.
        volt: lower, median and upper voltage `(3, n)`.
        ampere: the same of the current `(3, n)`.
        celsius: the same of the surface temperature `(3, n)`.
    """

    second: Array
    volt: Array
    ampere: Array
    celsius: Array

    @classmethod
    def of(cls, lines: Sequence[Line], second: Array, *, shift: Array) -> ChartBand:
        """The band at these times.

        Args:
            lines: the curves `(N,)`.
            second: the times `(n,)`.
            shift: what is taken from the time of each curve `(N,)`.
        """
        found = (
            np.stack([np.interp(second, line.second - by, getattr(line, name)) for line, by in zip(lines, shift, strict=True)])
            for name in ("volt", "ampere", "celsius")
        )
        return cls(second, *(np.quantile(values, SHARES, axis=0) for values in found))


@dataclass(frozen=True, eq=False)
class Row:
    """A quantity that was asked for, and that which came, as text: the median and the range that most curves lie in."""

    title: str
    asked: str
    got: str
    spread: str


@dataclass(frozen=True, eq=False)
class Shown:
    """All that a page shows of a draw.

    Attributes:
        request: what was asked for.
        curves: a few of those drawn.
        band: of all of them, from the start on.
        end_band: the same before the end.
        duration: the median of them, s.
        nearest: real curves of the nearest conditions, of cells of the kind that is drawn; none where a normal curve is shown.
        without_nearest: a sentence where there is none; empty otherwise.
        normal: the normal curve that they were drawn from, where there is one.
        normal_shift: what is taken from its time before the end: its faults leave the limits where it comes to them, or, where
            they break none, end as it does, s.
        limits: the rated limits.
        close_up: seconds before the end from which on the fault shows.
        rows: what was asked for beside what came.
        warnings: a sentence for each quantity that the model has not seen like this.
    """

    request: Draw
    curves: Sequence[Line]
    band: ChartBand
    end_band: ChartBand
    duration: float
    nearest: Sequence[Line]
    without_nearest: str
    normal: Line | None
    normal_shift: float
    limits: Limits
    close_up: float
    rows: Sequence[Row]
    warnings: Sequence[str]


def source_of(registry: Registry, request: Draw, own: Curves | None = None) -> Curves | None:
    """A set of the one normal curve that a request is to be drawn from; None where it names none.

    Args:
        registry: what is served.
        request: the request.
        own: that curve, where it is a visitor's own.

    Raises:
        ConditionError: there is no such curve.
    """
    if request.source is None or own is not None:
        return own
    if registry.normals is None:
        raise ConditionError("no normal curves are served to draw from: start with --real DIR, or leave the source out")
    return registry.normals.one(request.source.cell_id, request.source.cycle_count, request.source_step)


def draw(
    entry: Entry, request: Draw, *, normal: Curves | None = None, tick: Callable[[int, int], None] | None = None
) -> Curves:
    """The curves of a request.

    Args:
        entry: the model.
        request: what is asked of it.
        normal: a set of the one curve to draw from, which is their reference; each is named after its cell and its seed.
        tick: called with curves done and curves in all.

    Raises:
        ConditionError: a request that the model cannot meet.
    """
    conditions = [request.condition(normal)] * request.count
    seeds = range(request.seed, request.seed + request.count)
    reference = normal if entry.model.takes_reference else None
    drawn = entry.model.draw(conditions, seeds, steps=request.steps, reference=reference, on_chunk=tick)
    if normal is None:
        return drawn
    told = normal.halfcycles.select(KEYS[:2]).rename(dict(zip(KEYS, SOURCE, strict=False)))
    return from_sources(drawn, told[np.zeros(request.count, dtype=np.int64)])


def show(
    registry: Registry,
    entry: Entry,
    *,
    request: Draw,
    normal: Curves | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Shown:
    """Draw one chunk of curves and give what a page shows of them; see `draw`.

    Raises:
        ConditionError: a request that the model cannot meet.
    """
    condition = request.condition(normal)
    drawn = draw(entry, request.model_copy(update={"count": CHUNK}), normal=normal, tick=tick)
    lines = _lines(drawn)
    seconds = np.array([line.second[-1] for line in lines])
    beyond = _beyond(drawn) if breaks_limit(condition.fault) else np.zeros(len(lines))
    close_up = _close_up(beyond, float(np.median(seconds)))
    times = np.linspace(0, np.quantile(seconds, SHARES[-1]), 2 * POINTS)
    lower, upper = (drawn.known(f"{name}_voltage_limit_volt")[0] for name in ("lower", "upper"))
    limits = Limits(float(lower), float(upper))
    own = None if normal is None else Line.of(CurveLibrary(normal).samples[0])
    kind = CellKind(float(drawn.known("nominal_capacity_ah")[0]), limits)
    rows, without = ([], "") if own is not None else nearest_alike(registry.real, condition, kind=kind, count=NEAREST)
    return Shown(
        request=request,
        curves=lines[:SHOWN],
        band=ChartBand.of(lines, times, shift=np.zeros(CHUNK)),
        end_band=ChartBand.of(lines, np.linspace(-close_up, 0, POINTS), shift=seconds),
        duration=float(np.median(seconds)),
        nearest=[] if registry.real is None else [Line.of(registry.real.samples[row]) for row in rows],
        without_nearest=without,
        normal=own,
        normal_shift=0.0 if own is None else _arrival(own, condition, limits) + float(np.median(beyond)),
        limits=limits,
        close_up=close_up,
        rows=_rows(drawn, condition, lines=lines),
        warnings=warnings_of(entry, condition),
    )


def typical(entry: Entry) -> Conditions:
    """The conditions that the page of a model begins with."""
    kind = next(iter(entry.kinds.values()))
    return conditions_from(kind.label, kind.step_type, values={knob.quantity.name: knob.start for knob in entry.knobs[kind.id]})


def warnings_of(entry: Entry, asked: Condition) -> list[str]:
    """A sentence for each quantity beyond what the model has seen, severities and context alike."""
    kind = Kind(asked.fault, asked.step)
    if kind.id not in entry.kinds:
        return [f"The model has seen no {kind.id}"]
    found = (knob.beyond(_asked(asked, knob.quantity)) for knob in entry.knobs[kind.id])
    return [sentence for sentence in found if sentence]


def _asked(condition: Condition, quantity: Quantity) -> float | None:
    name = quantity.name
    value: float | None = condition.severity(name) if name in SEVERITIES else getattr(condition, name)
    return value


def _lines(drawn: Curves) -> list[Line]:
    names = ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
    columns = [drawn.column(name) for name in names]
    return [Line(*(column[rows] for column in columns)) for rows in drawn.slices()]


def _arrival(normal: Line, asked: Condition, limits: Limits) -> float:
    """Seconds until a normal curve comes to the limit that its fault breaks; until its end where there is none it comes to."""
    if not breaks_limit(asked.fault):
        return float(normal.second[-1])
    high = asked.side == "high"
    at_limit = normal.volt >= limits.upper - NOISE_VOLT if high else normal.volt <= limits.lower + NOISE_VOLT
    return float(normal.second[at_limit.argmax() if at_limit.any() else -1])


def _beyond(drawn: Curves) -> Array:
    """Seconds that each drawn curve is beyond the limit it can break `(N,)`."""
    step = drawn.halfcycles["step_type"][0]
    side = next(side for side, name in SIDES.items() if name == step)
    return excursion(drawn, side=side)[1]


def _close_up(beyond: Array, seconds: float) -> float:
    wanted = FAULTS_SHOWN * float(np.median(beyond)) if beyond.any() else 0.15 * seconds
    return rounded_up(float(np.clip(wanted, LEAST_CLOSE_UP * seconds, MOST_CLOSE_UP * seconds)))


def rounded_up(seconds: float) -> float:
    """Seconds rounded up to two digits, so that the axis stands still while a slider moves a little."""
    step = 10.0 ** (np.floor(np.log10(max(seconds, 1.0))) - 1)
    return float(np.ceil(seconds / step) * step)


def _rows(drawn: Curves, asked: Condition, *, lines: Sequence[Line]) -> list[Row]:
    rows = []
    seconds, hottest = (np.array([of(line) for line in lines]) for of in (_last_second, _highest_celsius))
    own = () if asked.fault == NORMAL else FAULTS[asked.fault].names
    beside_normal = "reference_cycle_count" in drawn.halfcycles.columns
    for quantity in (one for one in QUANTITIES if one.name in (*own, "c_rate")):
        wanted, digits = _asked(asked, quantity), quantity.digits
        told = beside_normal or quantity.name not in SEVERITIES
        rows.append(
            Row(
                quantity.title,
                "unknown" if wanted is None else f"{wanted:,.{digits}f} {quantity.unit}".strip(),
                *_spread(drawn.known(quantity.name), digits=digits, unit=quantity.unit) if told else UNTOLD,
            )
        )
    if breaks_limit(asked.fault):
        rows.append(Row("Time beyond, this curve", "", *_spread(_beyond(drawn), digits=0, unit="s")))
    rows.append(Row("Duration of the curve", "", *_spread(seconds, digits=0, unit="s")))
    if np.isfinite(hottest).all():
        rows.append(Row("Highest temperature", "", *_spread(hottest, digits=1, unit="°C")))
    return rows


def _last_second(line: Line) -> float:
    return float(line.second[-1])


def _highest_celsius(line: Line) -> float:
    return float(line.celsius.max())


def _spread(values: Array, *, digits: int, unit: str) -> tuple[str, str]:
    """The median of drawn curves, and the range that most lie in."""
    if not np.isfinite(values).any():
        return UNTOLD
    low, middle, high = (f"{value:z,.{digits}f}" for value in np.nanquantile(values, SHARES))
    return f"{middle} {unit}".strip(), "all" if low == high else f"{low} to {high}"
