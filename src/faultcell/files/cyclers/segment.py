"""A cycler recording, one long run of samples, cut into half-cycles by the sign of the load current."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from faultcell.curves.curves import Curves
from faultcell.curves.per_curve import charge_ah
from faultcell.curves.schema import HALFCYCLES, KEYS, REST_C_RATE, SEVERITY, TIMESERIES
from faultcell.files.cyclers.labels import label_of, said_of_labels
from faultcell.files.cyclers.reader import CycleCounter, PiecewiseError, Rated
from faultcell.files.messages import refuse
from faultcell.files.sanity import check_spikes

# A rest shorter than this within one direction belongs to a pulsed load; a longer one ends the half-cycle. Where the file
# numbers its cycles they tell: a charge that pauses before its constant voltage is one.
REST_SECOND = 60.0
# Before the capacity is known: a current below this share of the largest one is rest.
FIRST_REST = 0.005
# Through this share of the capacity the voltage tells a charge from a discharge.
TELLING_SHARE = 0.05
# A cell may end a charge below where it began, after a long rest say; half of all half-cycles do where currents have no sign.
MOST_AGAINST = 1 / 3
READINGS = ("time", "voltage_volt", "current_ampere")
# Currents that never reach this are the noise of a cell at rest, A.
LEAST_AMPERE = 2e-5
# What our own exports say of each sample, and of a curve its first one does: it is taken as it is.
CARRIED = {
    "label": pl.String,
    **dict.fromkeys((*SEVERITY, "state_of_health"), pl.Float64),
    "synthetic": pl.Boolean,
    "seed": pl.Int64,
    "model_sha256": pl.String,
}
LEAST_SAMPLES = 2  # one has no duration


@dataclass(frozen=True)
class Part:
    """A half-cycle within a recording: rows `start` to `stop`, direction +1 (charge) or -1, charge moved in Ah.

    Where the file says what kind of step it is, that is what it is (`said`).
    """

    start: int
    stop: int
    direction: int
    moved_ah: float
    said: str | None = None

    @property
    def step_type(self) -> str:
        """`charge` or `discharge`, or what is said."""
        return self.said or ("charge" if self.direction > 0 else "discharge")


class Recording:
    """The recording of one cell, cut as its samples come.

    A half-cycle is handed out as soon as no later sample can change it; till then its samples are kept.

    Args:
        cell_id: name of the cell.
        rated: what the user says; it goes before what the file says.
        where: the file, for messages.
        sign: `None` where the data must tell which sign of the current is a charge.
        whole: whether all samples come at once, so that what the first ones do not tell is not told at all.
    """

    def __init__(self, cell_id: str, *, rated: Rated, where: str, sign: float | None, whole: bool) -> None:
        self._cell, self._rated, self._where, self._sign, self._whole = cell_id, rated, where, sign, whole
        self._kept: list[pl.DataFrame] = []
        self._known: dict[str, float] = {}
        self._notes: list[str] = []
        self._counter = CycleCounter()
        self._done: set[tuple[int, str]] = set()
        self._left_out, self._labels = Counter[str](), Counter[tuple[str, str]]()
        self._telling: list[tuple[int, bool]] = []  # row of a long half-cycle, and whether its voltage goes the wrong way

    def add(self, table: pl.DataFrame) -> Curves | None:
        """The half-cycles that are complete now.

        Args:
            table: the next samples: `time` (s), `voltage_volt`, `current_ampere` (+ = charge), `row`, and where known
                `cycle_count`, `surface_temperature_celsius`, `ambient_temperature_celsius` and the rated limits.

        Raises:
            DataError: readings missing, time running backwards, limits unknown.
            PiecewiseError: the limits or the capacity do not stand in the first samples, or a cycle goes on later.
        """
        self._kept.append(table)
        # A half-cycle that goes on and on is looked at again when there is twice as much of it, not with every piece.
        enough = sum(piece.height for piece in self._kept) >= 2 * self._kept[0].height or len(self._kept) == 1
        return self._cut_kept() if enough else None

    def _cut_kept(self) -> Curves | None:
        """The half-cycles that no later sample can change; the rest is kept."""
        table = pl.concat(self._kept, rechunk=True)  # or each look at a column copies it
        _sound(table, self._where)
        if self._sign is None:
            table = self._turned(table)
        self._learn(table)
        check_spikes(table, nominal_capacity_ah=self._known["nominal_capacity_ah"], where=self._where)
        parts = cut(table, nominal_capacity_ah=self._known["nominal_capacity_ah"])
        settled = len(parts) if self._whole else _settled(table, parts)
        self._kept = [table[parts[settled].start :] if settled < len(parts) else table[-1:]]
        return self._cut(table, parts[:settled])

    def end(self) -> Curves | None:
        """The rest of them.

        Raises:
            DataError: there is none at all, or the current has the wrong sign.
        """
        last = None if self._whole else self._last()
        self._check_sign()
        if not self._done:
            told = {"found": "no load", "expected": "a charge or discharge", "action": "check the column"}
            refuse(self._where, "column current_ampere", **told)
        return last

    def _last(self) -> Curves | None:
        before, kept = self._cut_kept(), self._kept[0]
        after = self._cut(kept, cut(kept, nominal_capacity_ah=self._known["nominal_capacity_ah"]))
        return Curves.concat([before, after]) if before and after else before or after

    @property
    def notes(self) -> list[str]:
        """What was assumed, and what was left out."""
        left_out = [f"{count} loads left out, {words}" for words, count in self._left_out.items() if count]
        labelled = said_of_labels(self._labels, self._known) if self._labels else []
        return [f"{self._where}: {note}" for note in (*self._notes, *left_out, *labelled)]

    def _turned(self, table: pl.DataFrame) -> pl.DataFrame:
        """The same with + = charge: the sign under which voltages rise while charging."""
        if not self._whole:
            raise PiecewiseError
        parts = _roughly(table)
        least = TELLING_SHARE * max((part.moved_ah for part in parts), default=0.0)
        against = [_is_against(table, part) for part in parts if part.moved_ah > least]
        turned = sum(against) > len(against) / 2
        told = f"{against.count(turned)} of {len(against)} half-cycles"
        self._notes.append(f"by the voltage, which rises in a charge, + is taken as {'dis' if turned else ''}charge ({told})")
        return table.with_columns(-pl.col("current_ampere")) if turned else table

    def _learn(self, table: pl.DataFrame) -> None:
        if self._known:
            return
        if not self._whole and not np.isfinite(list(_stated(table, self._rated).values())).all():
            raise PiecewiseError
        self._known, notes = _known(table, self._rated, where=self._where)
        self._notes += notes

    def _cut(self, table: pl.DataFrame, parts: list[Part]) -> Curves | None:
        least = TELLING_SHARE * self._known["nominal_capacity_ah"]
        long = [part for part in parts if part.moved_ah > least]
        self._telling += [(int(table["row"][part.start]), _is_against(table, part)) for part in long]
        keys = self._numbered(table, parts)
        if not keys:
            return None
        halves = _rows(table, keys, cell_id=self._cell, known=self._known)
        if "label" not in table.columns:
            self._labels.update((str(row["step_type"]), str(row["label"])) for row in halves)
        schema = HALFCYCLES | {name: kind for name, kind in CARRIED.items() if name in table.columns}
        return Curves(_samples(table, [part for part, _ in keys], rows=halves), pl.DataFrame(halves, schema=schema))

    def _numbered(self, table: pl.DataFrame, parts: list[Part]) -> list[tuple[Part, int]]:
        """The parts to keep with their cycle. Given cycles are never renumbered."""
        kept = [part for part in parts if part.said or part.stop - part.start >= LEAST_SAMPLES]
        if "cycle_count" in table.columns:
            numbered = _largest(table, kept)
        else:
            numbered = [(part, self._counter.number(part.step_type)) for part in kept]
        keys = {(cycle, part.step_type) for part, cycle in numbered}
        if keys & self._done:
            raise PiecewiseError
        self._done |= keys
        self._left_out["a single sample each"] += len(parts) - len(kept)
        self._left_out["smaller than another of the same cycle and direction"] += len(kept) - len(numbered)
        return numbered

    def _check_sign(self) -> None:
        """A charge raises the voltage: where it does the opposite, the file counts + = discharge, or gives no sign at all."""
        against = [row for row, turned in self._telling if turned]
        if len(against) > MOST_AGAINST * len(self._telling):
            refuse(
                self._where,
                f"row {against[0]}, column current_ampere",
                found=f"a voltage that moves against the current in {len(against)} of {len(self._telling)} half-cycles",
                expected="+ = charge (the Battery Data Format)",
                action="turn the sign of the current, or say in a file for --mapping what is positive",
            )


def cut(table: pl.DataFrame, *, nominal_capacity_ah: float) -> list[Part]:
    """Runs of one direction, from the first to the last sample under load; short rests within are kept.

    The lower of the two thresholds serves both directions, so that a slow discharge is kept (and then called suspect)
    rather than lost. Where the table says of which step a sample is (`step_type`), the steps are taken as they are.
    """
    if "step_type" in table.columns:
        return _said_parts(table)
    current = table["current_ampere"].to_numpy()
    loaded = np.abs(current) > min(REST_C_RATE.values()) * nominal_capacity_ah
    return _parts(table, np.where(loaded, np.sign(current), 0).astype(np.int64))


_FLAGS = {"--lower": "lower_voltage_limit_volt", "--upper": "upper_voltage_limit_volt"}


def _given(rated: Rated) -> dict[str, float | None]:
    limits = {"lower_voltage_limit_volt": rated.lower, "upper_voltage_limit_volt": rated.upper}
    return {**limits, "nominal_capacity_ah": rated.nominal_capacity_ah}


def _stated(table: pl.DataFrame, rated: Rated) -> dict[str, float]:
    """Limits and capacity: what the user says, else the first value in the file, else NaN."""

    def first(name: str) -> float:
        values = table[name].drop_nulls().drop_nans() if name in table.columns else pl.Series([], dtype=pl.Float64)
        return float(values[0]) if len(values) else float("nan")

    return {name: first(name) if given is None else given for name, given in _given(rated).items()}


def _known(table: pl.DataFrame, rated: Rated, *, where: str) -> tuple[dict[str, float], list[str]]:
    """Limits and capacity, and a note where the capacity had to be guessed."""
    known = _stated(table, rated)
    absent = [flag for flag, name in _FLAGS.items() if not np.isfinite(known[name])]
    if absent:
        place = f"column {', '.join(_FLAGS[flag] for flag in absent)}"
        action = f"add {' '.join(f'{flag} VOLT' for flag in absent)} to the command, from the data sheet"
        if not np.isfinite(known["nominal_capacity_ah"]):
            action += " (and --nominal-capacity-ah AH, else the largest charge found is taken for it)"
        refuse(where, place, found="none of that name", expected="the rated limits of the cell in volt", action=action)
    if np.isfinite(known["nominal_capacity_ah"]):
        return known, []
    found = _largest_capacity(table, where)
    note = f"nominal capacity not given, taken as the largest one found ({found:.4g} Ah)"
    return {**known, "nominal_capacity_ah": found}, [note]


def _sound(table: pl.DataFrame, where: str) -> None:
    for name in READINGS:
        broken = (~table[name].is_finite().fill_null(False)).arg_true()
        if len(broken):
            row, value = int(table["row"][broken[0]]), table[name][int(broken[0])]
            found = f"{'nothing' if value is None else value} ({len(broken)} such rows)"
            action = "correct these rows or leave them out"
            refuse(where, f"row {row}, column {name}", found=found, expected="a finite number", action=action)
    time = table["time"].to_numpy()
    back = np.flatnonzero(np.diff(time) < 0)
    if back.size:
        row = int(back[0]) + 1
        refuse(
            where,
            f"row {table['row'][row]}, column time",
            found=f"{time[row]:.10g} s after {time[row - 1]:.10g} s",
            expected="time that does not run backwards",
            action="sort the rows or split the file there",
        )


def _largest_capacity(table: pl.DataFrame, where: str) -> float:
    parts = _roughly(table)
    moved = [part.moved_ah for part in parts if part.direction < 0] or [part.moved_ah for part in parts]
    if not moved or max(moved) <= 0:
        largest = float(np.abs(table["current_ampere"].to_numpy()).max(initial=0.0))
        found = f"no load in {table.height} rows (|current| up to {largest:.2g} A)"
        action = "export a test in which the cell is charged or discharged, or check the column"
        refuse(where, "column current_ampere", found=found, expected="a charge or a discharge", action=action)
    return max(moved)


def _roughly(table: pl.DataFrame) -> list[Part]:
    """The half-cycles, before the capacity is known."""
    current = table["current_ampere"].to_numpy()
    largest = float(np.abs(current).max(initial=0.0))
    if largest < LEAST_AMPERE:
        return []
    return _parts(table, np.where(np.abs(current) > FIRST_REST * largest, np.sign(current), 0).astype(np.int64))


def _is_against(table: pl.DataFrame, part: Part) -> bool:
    """Whether the voltage goes against the current: a charge ends near its highest voltage, a discharge near its lowest."""
    voltage = table["voltage_volt"].to_numpy()[part.start : part.stop] * part.direction
    return bool(voltage.max() - voltage[-1] > voltage[-1] - voltage.min())


def _parts(table: pl.DataFrame, direction: NDArray[np.int64]) -> list[Part]:
    time, current = table["time"].to_numpy(), table["current_ampere"].to_numpy()
    loaded = np.flatnonzero(direction)
    if not loaded.size:
        return []
    earlier, later = loaded[:-1], loaded[1:]
    if "cycle_count" in table.columns:
        cycle = table["cycle_count"].to_numpy()
        apart = cycle[earlier] != cycle[later]
    else:
        apart = (later - earlier > 1) & (time[later] - time[earlier] > REST_SECOND)
    apart |= direction[earlier] != direction[later]
    starts = loaded[np.insert(np.flatnonzero(apart) + 1, 0, 0)]
    stops = loaded[np.append(np.flatnonzero(apart), loaded.size - 1)] + 1
    bounds = zip(starts.tolist(), stops.tolist(), charge_ah(time, current, starts, stops).tolist(), strict=True)
    return [Part(a, b, int(direction[a]), charge) for a, b, charge in bounds]


def _said_parts(table: pl.DataFrame) -> list[Part]:
    """The steps that a table says there are."""
    key = table.select(pl.struct("cycle_count", "step_type").rle_id()).to_series().to_numpy()
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    stops = np.append(starts[1:], table.height)
    names = table["step_type"].gather(starts).to_list()
    moved = charge_ah(table["time"].to_numpy(), table["current_ampere"].to_numpy(), starts, stops)
    sign = {"charge": 1, "discharge": -1}
    bounds = zip(starts.tolist(), stops.tolist(), moved.tolist(), names, strict=True)
    return [Part(start, stop, sign.get(name, 0), charge, name) for start, stop, charge, name in bounds]


def _settled(table: pl.DataFrame, parts: list[Part]) -> int:
    """How many parts no later sample can change: all but the last, or but those of the last cycle where cycles are given."""
    if "cycle_count" not in table.columns or not parts:
        return max(len(parts) - 1, 0)
    cycles = table["cycle_count"].to_numpy()[[part.start for part in parts]]
    others = np.flatnonzero(cycles != cycles[-1])
    return int(others[-1]) + 1 if others.size else 0


def _largest(table: pl.DataFrame, parts: list[Part]) -> list[tuple[Part, int]]:
    """Of the parts of a cycle and direction the one that moves most charge, with its cycle."""
    cycles = table["cycle_count"].to_numpy()
    best: dict[tuple[int, str], Part] = {}
    for part in parts:
        key = (int(cycles[part.start]), part.step_type)
        if key not in best or part.moved_ah > best[key].moved_ah:
            best[key] = part
    return sorted(((part, cycle) for (cycle, _), part in best.items()), key=lambda pair: pair[0].start)


def _rows(
    table: pl.DataFrame, keys: list[tuple[Part, int]], *, cell_id: str, known: dict[str, float]
) -> list[dict[str, object]]:
    """The row of `halfcycles` of each part, by its cycle."""
    magnitude, voltage = np.abs(table["current_ampere"].to_numpy()), table["voltage_volt"].to_numpy()
    carried = [name for name in CARRIED if name in table.columns]
    lower, upper = known["lower_voltage_limit_volt"], known["upper_voltage_limit_volt"]
    found = []
    for part, cycle in keys:
        inside = slice(part.start, part.stop)
        loaded = magnitude[inside] > REST_C_RATE.get(part.step_type, 0.0) * known["nominal_capacity_ah"]
        label = label_of(voltage[inside][loaded], step_type=part.step_type, lower=lower, upper=upper)
        key = dict(zip(KEYS, (cell_id, cycle, part.step_type), strict=True))
        said = {name: table[name][part.start] for name in carried}
        said["label"] = said.get("label") or label
        own = {name: table[name][part.start] for name in known if part.said and name in table.columns}
        found.append({**key, "ambient_temperature_celsius": _ambient(table, inside), **known, **own, **said})
    return found


def _ambient(table: pl.DataFrame, inside: slice) -> object:
    if "ambient_temperature_celsius" not in table.columns:
        return None
    return table["ambient_temperature_celsius"][inside].drop_nans().median()


def _samples(table: pl.DataFrame, parts: list[Part], *, rows: list[dict[str, object]]) -> pl.DataFrame:
    """The samples of all parts, in their order, under the keys of their rows."""
    starts, stops = (np.array([getattr(part, end) for part in parts]) for end in ("start", "stop"))
    counts = stops - starts
    owner = np.repeat(np.arange(len(parts)), counts)
    places = np.arange(counts.sum()) + (starts - np.cumsum(counts) + counts)[owner]
    inside = table if places.size == table.height else table[places]
    if "surface_temperature_celsius" not in inside.columns:
        inside = inside.with_columns(surface_temperature_celsius=pl.lit(float("nan")))
    keys = pl.DataFrame({key: [row[key] for row in rows] for key in KEYS}, schema={key: TIMESERIES[key] for key in KEYS})[owner]
    first = pl.Series(table["time"].to_numpy()[starts][owner])
    return inside.with_columns(
        *keys, pl.col("surface_temperature_celsius").fill_null(float("nan")), step_time_second=pl.col("time") - first
    ).select(*TIMESERIES)
