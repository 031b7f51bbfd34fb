"""How long a large CSV of a cycler takes to become a checked curve set, over what polars takes to read it and do nothing.

Each run is a process of its own, so that its memory can be told (Linux); the seconds are those of the work without imports.

    python benchmarks/ingest.py [--rows N] [--out JSON]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

import measure

RUNS, PER_HALF_CYCLE = 3, 1000
SETUP = """
import sys, time
import polars as pl
from faultcell import files
path, out = sys.argv[1:]
limits = {"lower": 2.7, "upper": 4.2, "nominal_capacity_ah": 1.0}
started = time.perf_counter()
"""
FINISH = """
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.perf_counter() - started, int(peak.split()[1]) * 1024 / 1e9)
"""
WORK = {
    "polars reads the CSV": "pl.read_csv(path)",
    "faultcell ingest, to disk in pieces": "files.ingest_into([path], out, config={}, **limits)",
    "faultcell.files.ingest, into memory": "files.ingest([path], **limits)",
}


def main() -> None:
    options = measure.arguments(__doc__, rows={"type": int, "default": 10_000_000})
    gigabytes: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cell.csv"
        recording(options.rows).write_csv(path)

        def run(name: str) -> float:
            command = [sys.executable, "-c", SETUP + WORK[name] + FINISH, str(path), str(Path(folder) / "set")]
            environment = {**os.environ, "POLARS_MAX_THREADS": str(options.threads), "OMP_NUM_THREADS": str(options.threads)}
            said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            seconds, at_most = (float(word) for word in said.split())
            gigabytes[name] = max(gigabytes.get(name, 0.0), at_most)
            return seconds

        seconds = measure.in_turn({name: lambda name=name: run(name) for name in WORK}, runs=RUNS)
    plain = seconds["polars reads the CSV"]
    rows: list[measure.Row] = [
        {
            "": name,
            "s": taken,
            "million rows/s": options.rows / taken / 1e6,
            "over polars": taken / plain,
            "GB at most": gigabytes[name],
        }
        for name, taken in seconds.items()
    ]
    measure.report(f"A CSV of {options.rows} rows", rows, options)


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
