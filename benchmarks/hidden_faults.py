"""Faults that break no limit: classifiers before and after `augment`, beside limits, one-line features and a filter.

    python benchmarks/hidden_faults.py --fault internal_short [--splits 5] [--known 24] [--out FILE]

Splits are by cell; the known faults, both halves of a cycle, are spread over the training cells that have any. Every arm adds
as many curves.
Printed, as means over splits: recall at 1 % and at .1 % false alarms, that of faults between two severities (`--between`; 20 to
50 Ohm of a 5 Ah cell), the least severity of which half and nine tenths are found, false alarms a cell and year at one cycle a
day, the delay in cycles; then what the nets after `augment` have more than every other, with paired 95 % intervals over splits.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from faultcell.augmentation import adapted
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import NORMAL
from faultcell.diagnosis import classify
from faultcell.diagnosis.gain import SIX, Fit, Interval, interval
from faultcell.diagnosis.model_based import features
from faultcell.diagnosis.run import CLASSIFIERS
from faultcell.diagnosis.views import see
from faultcell.files import read
from faultcell.files.embedded import demo_data

CONTROLS = ("replay", "jitter", "time_warp", "smote", "splice")
OHM_20_TO_50 = (0.0148, 0.0421)  # C-rate of a leak at 5 Ah, to the edges of bins of severity: 18 to 50 Ohm
DAYS = 365


def split_of(curves: Curves, label: str, seed: int, share: float = 1 / 3) -> tuple[Curves, Curves]:
    """Training and test cells: a share of those with the fault, and of those without."""
    rng = np.random.default_rng(seed)
    faulty = sorted(curves.select(label=[label]).cells)
    sound = sorted(set(curves.cells) - set(faulty))
    test = [cell for group in (faulty, sound) for cell in rng.permutation(group)[: round(share * len(group))].tolist()]
    is_test = pl.col("cell_id").is_in(test)
    return curves.where(~is_test), curves.where(is_test)


def one_split(curves: Curves, args: argparse.Namespace, seed: int) -> list[Fit]:
    """Every fit of a split."""
    keep = pl.col("label").is_in([NORMAL, args.fault])
    train, test = (some.where(keep) for some in split_of(curves, args.fault, seed))
    faults, normal = (train.where(pl.col("label") == label) for label in (args.fault, NORMAL))
    chosen = faults.where(pl.col("step_type") == "charge").few(args.known // 2, seed=seed).halfcycles
    cycles = chosen.select(pl.struct("cell_id", "cycle_count")).to_series().implode()
    few = faults.where(pl.struct("cell_id", "cycle_count").is_in(cycles))
    drawn = adapted(normal, few, seed=seed).augment(normal, count=len(normal), seed=1000 * seed)
    gain = classify(
        train=Curves.concat([normal, few]),
        test=test,
        synthetic={"augment": drawn},
        seeds=args.seeds,
        classifiers=args.classifiers.split(",") if args.classifiers else None,
        views=args.views.split(","),
        controls=CONTROLS,
        workers=args.workers,
    )
    return gain.rows


def name_of(fit: Fit) -> str:
    """How a row of the table is called: the six nets together."""
    step = fit.task.split()[-1]
    return f"{step} {fit.view} {'nets' if fit.classifier in SIX else fit.classifier} {fit.arm}"


def between(fit: Fit, low: float, high: float) -> float:
    """Recall at 1 % false alarms of faults of that severity."""
    found = [one for one in fit.by_severity if low <= one.low and one.high <= high]
    return sum(one.found_at_1_percent for one in found) / max(sum(one.faults for one in found), 1)


def columns(args: argparse.Namespace) -> dict[str, object]:
    """What is printed of every row: a title, and how it is read from a fit."""
    low, high = args.between
    return {
        "recall 1 %": lambda fit: fit.recall_at_1_percent,
        ".1 %": lambda fit: fit.recall_at_0_1_percent,
        f"{low:g}-{high:g}": lambda fit: between(fit, low, high),
        "half from": lambda fit: fit.severity_at_50_percent_recall,
        "90 % from": lambda fit: fit.severity_at_90_percent_recall,
        "false a year": lambda fit: DAYS * fit.false_alarm_rate,
        "delay": lambda fit: fit.delay_cycle,
    }


def over_splits(splits: Sequence[Iterable[Fit]], read_as: object) -> dict[str, list[float]]:
    """A figure of every row of the table, one a split, the mean over the nets; what is never found is left out."""
    found: dict[str, list[float]] = defaultdict(list)
    for fits in splits:
        rows: dict[str, list[float]] = defaultdict(list)
        for fit in fits:
            value = read_as(fit)  # type: ignore[operator]
            rows[name_of(fit)] += [] if value is None else [value]
        for name, values in rows.items():
            found[name] += [float(np.mean(values))] if values else []
    return found


def spelled(given: Interval) -> str:
    """A mean with its interval."""
    return f"{given.mean:+.3f}" + ("" if given.low is None else f" ({given.low:+.3f} to {given.high:+.3f})")


def cost(curves: Curves) -> None:
    """Milliseconds a curve that its features take, with the models of its cell, and its views."""
    for name, make in (("features", lambda: features(curves, curves)), ("view thermal", lambda: see(curves, "thermal"))):
        began = time.perf_counter()
        make()
        print(f"{name}: {1000 * (time.perf_counter() - began) / len(curves):.2f} ms a curve")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    hidden = [name for name, kind in FAULTS.items() if kind.side is None]
    parser.add_argument("--fault", default="internal_short", choices=hidden)
    parser.add_argument("--data", type=Path, default=None, help="curve set; the embedded one if not given")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--known", type=int, default=24, help="fault curves, both halves of half as many cycles")
    parser.add_argument("--seeds", type=int, default=1, help="of the classifiers, in each split")
    parser.add_argument("--views", default="thermal,relative,residual")
    parser.add_argument("--classifiers", default="", help=f"of {', '.join(CLASSIFIERS)}; all if not given")
    parser.add_argument("--between", type=float, nargs=2, default=OHM_20_TO_50, help="severities")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", type=Path, default=None, help="JSON file of fits: print these, fit none")
    parser.add_argument("--out", type=Path, default=None, help="JSON file of all fits")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    curves = read(args.data) if args.data else demo_data(args.fault)
    splits = []
    if args.again:
        splits = [[Fit(**fit) for fit in fits] for fits in json.loads(args.again.read_text())]
        args.splits = len(splits)
    for seed in range(0 if args.again else args.splits):
        began = time.perf_counter()
        splits.append(one_split(curves, args, seed))
        print(f"split {seed}: {time.perf_counter() - began:.0f} s", flush=True)
        if args.out:
            args.out.write_text(json.dumps([[fit.model_dump() for fit in fits] for fits in splits]))
    table = {title: over_splits(splits, read_as) for title, read_as in columns(args).items()}
    print(f"{'':44s}" + "".join(f"{title:>15s}" for title in table))
    for name in sorted(table["recall 1 %"]):
        values = ([f"{np.mean(found[name]):.4g}" if found[name] else "-"] for found in table.values())
        print(f"{name:44s}" + "".join(f"{text[0]:>15s}" for text in values))
    for title in list(table)[:3]:
        for best in (name for name in sorted(table[title]) if name.endswith("nets augment")):
            step, view, *_ = best.split()
            for name, other in sorted(table[title].items()):
                if name.startswith(f"{step} {view}") and not name.endswith("augment") and len(other) == args.splits:
                    gap = interval([a - b for a, b in zip(table[title][best], other, strict=True)])
                    print(f"{title}: {best} - {' '.join(name.split()[2:]):40s} {spelled(gap)}")
    cost(curves)


if __name__ == "__main__":
    main()
