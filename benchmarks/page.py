"""How long a moved slider takes to redraw the chart, in Chromium, from the event to the painted chart.

The model is one of the size users train, on the embedded data; a move draws 64 curves and paints both charts.

    python benchmarks/page.py --threads 1 [--bundle BUNDLE] [--moves N] [--out JSON]

One thread draws, as it does by default: two gain little on 64 curves, and lose much where something else wants a core.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measure
import ours
from faultcell.app.registry import Registry
from faultcell.app.requests import Draw
from faultcell.app.worker.results import show, typical

TARGET_MS, WARM = 300, 5
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
CHROMIUM = "/usr/bin/chromium"
# Moves a slider by one stop, and waits until both charts are painted anew.
MOVE = """(place) => new Promise((resolve) => {
  const charts = [...document.querySelectorAll('.nicegui-echart')].map((e) => getElement(e.id.slice(1)).chart);
  const slider = document.querySelectorAll('input[type=range]')[0];
  let left = charts.length;
  const begun = performance.now();
  const painted = function () { this.off('finished', painted); if (--left === 0) resolve(performance.now() - begun); };
  charts.forEach((chart) => chart.on('finished', painted));
  const [low, high, step] = [slider.min, slider.max, slider.step].map(Number);
  slider.value = low + step * (1 + place % Math.floor((high - low) / step));
  slider.dispatchEvent(new Event('input', { bubbles: true }));
})"""
# Drags it for some seconds, and counts how often the chart was painted meanwhile.
DRAG = """(seconds) => new Promise((resolve) => {
  const chart = getElement(document.querySelector('.nicegui-echart').id.slice(1)).chart;
  const slider = document.querySelectorAll('input[type=range]')[0];
  let painted = 0, place = 0;
  const count = () => { painted += 1; };
  chart.on('finished', count);
  const [low, high, step] = [slider.min, slider.max, slider.step].map(Number);
  const clock = setInterval(() => {
    place += 1;
    slider.value = low + step * (1 + place % Math.floor((high - low) / step));
    slider.dispatchEvent(new Event('input', { bubbles: true }));
  }, 16);
  setTimeout(() => { clearInterval(clock); chart.off('finished', count); resolve(painted); }, 1000 * seconds);
})"""


def main() -> None:
    more: dict[str, dict[str, Any]] = {"moves": {"type": int, "default": 100}, "bundle": {"type": Path, "default": None}}
    options = measure.arguments(__doc__, **more)
    with TemporaryDirectory() as folder:
        bundle = options.bundle or ours.tuned()[0].save(Path(folder) / "tuned")
        rows = [row("the draw alone", alone(bundle, options.moves))]
        with serving(bundle, options.threads) as address:
            rows.append(row("64 curves by the API, as JSON", asked(address, options.moves)))
            moved, painted = in_browser(address, options.moves)
    rows.append(row("a slider moved, to both charts painted", moved))
    notes = [
        f"Aimed at: {TARGET_MS} ms; {sum(value > TARGET_MS for value in moved)} of {len(moved)} moves took longer.",
        f"A slider that is dragged paints the chart {painted:.1f} times a second.",
    ]
    measure.report("The page", rows, options, notes=notes)


def row(name: str, milliseconds: Sequence[float]) -> measure.Row:
    """Median, 95th percentile and maximum."""
    ordered = sorted(milliseconds)
    late = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return {"": name, "median ms": statistics.median(ordered), "p95 ms": late, "at most ms": ordered[-1], "times": len(ordered)}


def alone(bundle: Path, times: int) -> list[float]:
    """What a move costs without server and browser."""
    registry = Registry.of([bundle])
    entry = next(iter(registry.entries.values()))
    request = Draw(conditions=typical(entry))
    taken = [1000 * measure.seconds_of(lambda: show(registry, entry, request=request)) for _ in range(times + WARM)]
    return taken[WARM:]


def asked(address: str, times: int) -> list[float]:
    """What the API takes for as many curves."""
    with urllib.request.urlopen(f"{address}/api/v1/bundles") as answer:
        (bundle,) = json.load(answer)
    kind, seen = next(iter(bundle["has_seen"].items()))
    conditions = {"fault": kind, "peak_deviation_volt": sum(seen["peak_deviation_volt"]) / 2}
    body = json.dumps({"conditions": conditions, "count": 64}).encode()

    def once() -> None:
        request = urllib.request.Request(
            f"{address}/api/v1/bundles/{bundle['id']}/draw", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()

    return [1000 * measure.seconds_of(once) for _ in range(times + WARM)][WARM:]


def in_browser(address: str, times: int, *, drag: float = 5.0) -> tuple[list[float], float]:
    """Milliseconds of each move, and charts painted in a second of dragging."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.goto(address)
        page.wait_for_selector("table.asked")
        time.sleep(1)
        moved = [page.evaluate(MOVE, place) for place in range(times + WARM)][WARM:]
        painted = page.evaluate(DRAG, drag)
        browser.close()
    return moved, painted / drag


@contextmanager
def serving(bundle: Path, threads: int) -> Iterator[str]:
    """The real command, stopped at the end."""
    words = ("serve", str(bundle), "--port", "0", "--no-open", "--threads", str(threads))
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "faultcell", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
