"""How much memory it takes to draw many curves to disk, and whether that grows with how many they are.

Resident memory is read after every block of curves, in the one process that draws and writes them. It is flat if, after the
first hundredth, it never rises by more than a tenth. Linux only.

    python benchmarks/memory.py [--curves N] [--out JSON]
"""

from __future__ import annotations

import resource
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import faultcell as fc
import measure
import ours
from faultcell import files
from faultcell.errors import OutOfRangeWarning
from faultcell.generation.drawing import CHUNK


def main() -> None:
    options = measure.arguments(__doc__, curves={"type": int, "default": 50_000})
    warnings.simplefilter("ignore", OutOfRangeWarning)
    at: list[tuple[int, float]] = []
    with TemporaryDirectory() as folder:
        model, _, _ = ours.tuned()
        asked = fc.grid("overdischarge", peak_deviation_volt=0.4, repetition_count=3.0) * options.curves
        started = time.perf_counter()

        def look(done: int, _: int) -> None:
            at.append((done, resident()))
            if done % 50_000 < CHUNK:
                print(f"{done} curves, {at[-1][1]:.3f} GB resident", file=sys.stderr, flush=True)

        blocks = model.stream(asked, range(options.curves), on_chunk=look)
        files.write_blocks(blocks, Path(folder) / "drawn")
        taken = time.perf_counter() - started
        size = sum(entry.stat().st_size for entry in (Path(folder) / "drawn").iterdir()) / 1e9
    early = max(gigabytes for n, gigabytes in at if n <= max(options.curves / 100, at[0][0]))
    latest = max(gigabytes for _, gigabytes in at)
    rows: list[measure.Row] = [
        {
            "curves": options.curves,
            "s": taken,
            "curves/s": options.curves / taken,
            "GB on disk": size,
            "GB resident after 1 %": early,
            "GB at most after that": latest,
            "growth": latest / early - 1,
            "GB at most, ever": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        }
    ]
    measure.report("Drawing to disk", rows, options)


def resident() -> float:
    """Resident memory of this process, GB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e9


if __name__ == "__main__":
    main()
