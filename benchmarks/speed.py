"""Speed and memory on this machine: training, drawing, `--help`, and the demo's peak memory. Prints one table.

Run it on a quiet machine; threads are pinned. Each figure is the median of several runs in this one process.

    python benchmarks/speed.py [--threads N] [--demo]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import faultcell as fc
from faultcell.config import TrainConfig
from faultcell.demo import embedded

RUNS = 5
STEPS = 40
CURVES = 256


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    normal = embedded().select(label=["normal"])
    times: list[float] = []
    config = fc.Config(train=TrainConfig(steps=RUNS * STEPS))
    model = fc.Augmenter.pretrain(normal, config=config, on_step=lambda _: times.append(time.perf_counter()))
    blocks = [times[i + STEPS - 1] - times[i] for i in range(0, RUNS * STEPS - STEPS + 1, STEPS)]
    train = config.train.batch_size * (STEPS - 1) / statistics.median(blocks)
    asked = fc.conditions_of(normal.take(range(CURVES)))
    draw = CURVES / median(lambda: model.draw(asked, range(CURVES)), runs=3)
    start = [sys.executable, "-m", "faultcell", "--help"]
    help_seconds = median(lambda: subprocess.run(start, check=True, stdout=subprocess.DEVNULL), runs=RUNS)
    size = sum(parameter.numel() for parameter in model.network.parameters())
    steps = config.diffusion.num_inference_steps
    print(f"{'network':32s} {size / 1e6:10.2f} M parameters, {config.grid.length} points, {options.threads} threads")
    print(f"{'training':32s} {train:10.0f} curves/s       target 500")
    print(f"{f'drawing, {steps} steps':32s} {draw:10.0f} curves/s       target 100")
    print(f"{'faultcell --help':32s} {help_seconds:10.2f} s              target 0.5")
    if options.demo:
        seconds, gigabytes = demo()
        print(f"{'demo':32s} {seconds:10.0f} s              target 600")
        print(f"{'demo, peak memory':32s} {gigabytes:10.2f} GB             target 1.5")


def median(work: Callable[[], object], *, runs: int) -> float:
    """Median seconds of several runs after one that does not count."""
    work()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def demo() -> tuple[float, float]:
    """Seconds of the whole demo in a process of its own, and its peak memory in GB."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "faultcell", "demo", "--out", str(Path(folder) / "demo")], check=True)
        seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--demo", action="store_true", help="run the whole demo too, minutes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
