"""How long a large CSV of a cycler takes to become a checked curve set, over what polars takes to read it and do nothing.

python benchmarks/ingest.py [--rows N] [--out JSON]
"""

from __future__ import annotations

import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

import measure
from faultcell import files
from faultcell.curves import Curves

RUNS, PER_HALF_CYCLE = 3, 1000
LIMITS = {"lower": 2.7, "upper": 4.2, "nominal_capacity_ah": 1.0}


def main() -> None:
    options = measure.arguments(__doc__, rows={"type": int, "default": 10_000_000})
    with TemporaryDirectory() as folder:
        path, kept = Path(folder) / "cell.csv", list[Curves]()
        recording(options.rows).write_csv(path)

        def ingest() -> None:
            kept[:] = [files.ingest([path], **LIMITS)[0]]

        contenders = {
            "polars reads the CSV": lambda: measure.seconds_of(lambda: pl.read_csv(path)),
            "faultcell.files.ingest": lambda: measure.seconds_of(ingest),
            "faultcell.files.write": lambda: measure.seconds_of(lambda: files.write(kept[0], Path(folder) / "set")),
        }
        seconds = measure.in_turn(contenders, runs=RUNS)
    plain = seconds["polars reads the CSV"]
    rows = [{"": name, "s": taken, "million rows/s": options.rows / taken / 1e6, "over polars": taken / plain}
            for name, taken in seconds.items()]  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    measure.report(
        f"A CSV of {options.rows} rows, {len(kept[0])} half-cycles", rows, options, notes=[f"{peak:.1f} GB at most."]
    )


def recording(rows: int) -> pl.DataFrame:
    """One cell that is charged and discharged in turns, with noise in the last digits."""
    rng, sample = np.random.default_rng(0), np.arange(rows)
    half, place = sample // PER_HALF_CYCLE, sample % PER_HALF_CYCLE
    charging, share = half % 2 == 0, place / PER_HALF_CYCLE
    return pl.DataFrame(
        {
            "test_time_second": (3.6 * sample).round(3),
            "voltage_volt": (np.where(charging, 3 + 1.2 * share, 4.2 - 1.4 * share) + rng.normal(0, 1e-3, rows)).round(5),
            "current_ampere": np.where(place < 5, 0.0, np.where(charging, 1.0, -1.0)),
            "cycle_count": half // 2 + 1,
            "surface_temperature_celsius": (25 + 5 * share + rng.normal(0, 0.05, rows)).round(2),
        }
    )


if __name__ == "__main__":
    main()
