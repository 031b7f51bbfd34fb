"""`simulate`: a population of virtual cells, in one process or several, as one curve set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS, inside
from faultcell.errors import ConditionError
from faultcell.files.durable.part_list import PartList
from faultcell.files.parts import Counts, InParts, write_parts
from faultcell.runtime.workers import Workers, spread
from faultcell.simulate import engine
from faultcell.simulate.life import Failure, Life, live
from faultcell.simulate.population import plan

CELLS_IN_PART = 16  # some minutes of one core
#: Columns and types of the two tables: machine names, units and sign of the Battery Data Format.
TIMESERIES = {
    "cell_id": pl.String,
    "cycle_count": pl.Int32,
    "step_type": pl.String,
    "step_time_second": pl.Float32,
    "voltage_volt": pl.Float32,
    "current_ampere": pl.Float32,
    "surface_temperature_celsius": pl.Float32,
}
HALFCYCLES = {
    "cell_id": pl.String,
    "cycle_count": pl.Int32,
    "step_type": pl.String,
    "label": pl.String,
    "lower_voltage_limit_volt": pl.Float64,
    "upper_voltage_limit_volt": pl.Float64,
    "upper_temperature_limit_celsius": pl.Float64,
    "ambient_temperature_celsius": pl.Float64,
    "nominal_capacity_ah": pl.Float64,
    "capacity_ah": pl.Float64,
    "state_of_health": pl.Float64,
    "peak_deviation_volt": pl.Float64,
    "repetition_count": pl.Int32,
    "cumulative_duration_second": pl.Float64,
    **{one.name: pl.Float64 for one in inside(FAULTS)},
    "c_rate": pl.Float64,
    "source": pl.String,
    "quality": pl.String,
    "cutoff_c_rate": pl.Float64,
    "true_excess_volt": pl.Float64,
    "true_exposure_volt_hour": pl.Float64,
    "true_contact_resistance_ohm": pl.Float64,
    "true_positive_fraction": pl.Float64,
    "true_negative_fraction": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """A simulated curve set: a row a sample, a row a curve, and what was simulated or tried but is in neither."""

    timeseries: pl.DataFrame
    halfcycles: pl.DataFrame
    failures: tuple[Failure, ...]


def simulate(
    *,
    cells: int = 48,
    cycles: int = 15,
    faults: Sequence[str] = ("overcharge", "overdischarge"),
    part: slice = slice(None),
    workers: Workers = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """Simulate a population of virtual cells with PyBaMM.

    Cell *i* depends on ``(seed, i)``, `cycles` and `faults` alone: any number of workers gives the same tables, and a
    larger population begins with the smaller one.

    Args:
        cells: how many; they take turns in the faults and in having none.
        cycles: recorded cycles (a charge and a discharge) of each cell; check-ups come on top.
        faults: names of `SCENARIOS`.
        part: of the cells, which are made; all where not given.
        workers: processes, or a cluster.
        seed: of everything random.
        progress: called with the cells done and the cells wanted, after each cell.

    Raises:
        ConditionError: a count below 1, a negative seed, or an unknown fault.
        MissingExtraError: PyBaMM is not installed.
    """
    _check(cells=cells, cycles=cycles, seed=seed, **({"workers": workers} if isinstance(workers, int) else {}))
    plans = [plan(index, seed=seed, cycles=cycles, faults=faults) for index in range(cells)[part]]
    engine.require()
    lives = []
    for life in spread(live, plans, workers=workers):
        lives.append(life)
        if progress is not None:
            progress(len(lives), len(plans))
    return tables(lives)


def simulate_into(
    out: str | Path,
    *,
    cells: int = 48,
    cycles: int = 15,
    faults: Sequence[str] = ("overcharge", "overdischarge"),
    cells_in_part: int = CELLS_IN_PART,
    share: slice = slice(None),
    workers: Workers = 1,
    seed: int = 0,
    on_part: Callable[[int, int], None] | None = None,
) -> PartList | None:
    """The same population as a set of parts, each written by whoever simulates it: for more cells than memory holds.

    What was stopped goes on where it was; see `files.parts.write_parts`.

    Args:
        out: a folder that all workers see, or a URL that they reach.
        cells: as in `simulate`.
        cycles: as there.
        faults: as there.
        cells_in_part: at most.
        share: of the parts, which are made here; all where not given.
        workers: as there.
        seed: as there.
        on_part: called with parts done and parts in all.

    Returns:
        The list of all parts, with the failures of each; None where some are another's to make.

    Raises:
        ConditionError: as `simulate` does.
        DataError: as `write_parts` does.
        MissingExtraError: PyBaMM is not installed.
    """
    _check(cells=cells, cycles=cycles, seed=seed, cells_in_part=cells_in_part)
    plan(0, seed=seed, cycles=cycles, faults=faults)  # refuses what it does not know, before anything is written
    engine.require()
    config = {"verb": "simulate", "faultcell": version("faultcell"), "pybamm": version("pybamm"), "seed": seed}
    config |= {"cells": cells, "cycles": cycles, "faults": list(faults), "cells_in_part": cells_in_part}

    def own(index: int) -> range:
        return range(index * cells_in_part, min((index + 1) * cells_in_part, cells))

    parts = InParts(partial(_lived, seed, cycles, tuple(faults)), own, -(-cells // cells_in_part))
    return write_parts(parts, out, config=config, share=share, workers=workers, on_part=on_part)


def _lived(seed: int, cycles: int, faults: tuple[str, ...], own: range, told: Counts) -> Iterator[Curves]:
    """The curves of some cells, a cell at a time."""
    for index in own:
        result = tables([live(plan(index, seed=seed, cycles=cycles, faults=faults))])
        told["failures"].update(map(str, result.failures))
        told["cells"].update(lived=1)
        yield Curves.from_tables(result.timeseries, result.halfcycles)


def tables(lives: Iterable[Life]) -> SimulationResult:
    """Join the lives of several cells, in their order."""
    kept = list(lives)
    rows = [row for life in kept for row in life.rows]
    waves = [wave for life in kept for wave in life.waves]
    return SimulationResult(
        timeseries=_timeseries(rows, waves),
        halfcycles=pl.DataFrame(rows, schema=HALFCYCLES),
        failures=tuple(failure for life in kept for failure in life.failures),
    )


def _check(*, seed: int, **counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ConditionError(f"{name} must be at least 1, found {value}")
    if seed < 0:
        raise ConditionError(f"seed must be at least 0, found {seed}")


def _timeseries(rows: Sequence[dict[str, Any]], waves: Sequence[engine.Wave]) -> pl.DataFrame:
    lengths = [len(wave.second) for wave in waves]
    keys = pl.DataFrame(rows, schema=HALFCYCLES).select("cell_id", "cycle_count", "step_type")
    channels = {
        "step_time_second": [wave.second for wave in waves],
        "voltage_volt": [wave.volt for wave in waves],
        "current_ampere": [wave.ampere for wave in waves],
        "surface_temperature_celsius": [wave.celsius for wave in waves],
    }
    samples = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in channels.items()}
    repeated = keys[np.repeat(np.arange(len(waves)), lengths)]
    return repeated.with_columns(pl.Series(name, values) for name, values in samples.items()).cast(pl.Schema(TIMESERIES))
