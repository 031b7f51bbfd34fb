"""What the benchmarks share: pinned threads, contenders in turn, medians, the machine's own limit, a table and a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

Row = dict[str, Any]
# Shapes of a convolution, batch, channels and points, among which is the fastest.
PEAK_SHAPES = ((64, 64, 128), (64, 128, 64), (256, 128, 32), (64, 128, 128))


def arguments(description: str | None, **more: dict[str, Any]) -> argparse.Namespace:
    """The options every benchmark has, and its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, help="also write every figure as JSON")
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    found = parser.parse_args()
    torch.set_num_threads(found.threads)
    return found


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turn(contenders: Mapping[str, Callable[[], float]], *, runs: int) -> dict[str, float]:
    """Median seconds of each, run one after the other `runs` times over, so that a slow minute of the machine meets all."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, work in contenders.items():
            found[name].append(work())
    return {name: statistics.median(values) for name, values in found.items()}


def convolution_peak(*, repeats: int = 20) -> Callable[[], float]:
    """A contender: seconds that a billion multiply-and-adds' two operations each take in the fastest 3-wide convolution."""

    def once(batch: int, channels: int, points: int) -> float:
        x = torch.randn(batch, channels, 1, points).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 1, 3).contiguous(memory_format=torch.channels_last)
        F.conv2d(x, weight, padding=(0, 1))
        taken = seconds_of(lambda: [F.conv2d(x, weight, padding=(0, 1)) for _ in range(repeats)])
        return taken / repeats / (2 * 3 * batch * channels * channels * points) * 1e9

    return lambda: min(once(*shape) for shape in PEAK_SHAPES)


def machine(threads: int) -> str:
    """On what this ran, in a line."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}{gpu}, {threads} of {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"


def report(title: str, rows: Sequence[Row], options: argparse.Namespace, *, notes: Sequence[str] = ()) -> None:
    """Print one Markdown table, numbers in three digits, and write the JSON file that was asked for."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print(f"\n## {title}\n\n{machine(options.threads)}\n")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(_spelt(row.get(name)) for name in columns) + " |")
    for note in notes:
        print(f"\n{note}")
    if options.out:
        found = {"title": title, "machine": machine(options.threads), "rows": list(rows), "notes": list(notes)}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def _spelt(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
