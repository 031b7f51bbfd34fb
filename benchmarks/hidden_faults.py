"""Faults that break no limit: classifiers before and after `augment`, beside limits, one-line features and a filter.

    python benchmarks/hidden_faults.py --fault internal_short [--splits 5] [--known 24] [--step charge] [--out FILE]

Splits are by cell; the handful of known faults is spread over the training cells that have any. Every arm adds as many curves.
Printed: recall at 1 % false alarms, as a mean over splits with its 95 % interval, and what `augment` has more than each other.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats
from sklearn.linear_model import LogisticRegression

from faultcell.augmentation import adapted
from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import NORMAL
from faultcell.diagnosis import classify
from faultcell.diagnosis.measures import recall_at
from faultcell.diagnosis.model_based import DETECTORS, LEVELS, Detector, features, filled, of_level
from faultcell.files import read
from faultcell.files.embedded import demo_data

CONTROLS = ("replay", "jitter", "time_warp", "smote", "splice")


def split_of(curves: Curves, label: str, seed: int, share: float = 1 / 3) -> tuple[Curves, Curves]:
    """Training and test cells: a share of those with the fault, and of those without."""
    rng = np.random.default_rng(seed)
    faulty = sorted(curves.select(label=[label]).cells)
    sound = sorted(set(curves.cells) - set(faulty))
    test = [cell for group in (faulty, sound) for cell in rng.permutation(group)[: round(share * len(group))].tolist()]
    is_test = pl.col("cell_id").is_in(test)
    return curves.where(~is_test), curves.where(is_test)


def rival(train: Curves, test: Curves, label: str, step: str) -> dict[str, float]:
    """Recall at 1 % of each detector, and of a logistic regression on all of a level."""
    own = pl.col("step_type") == step
    both = [curves.where(pl.col("label").is_in([NORMAL, label]), own) for curves in (train, test)]
    truth = [(curves.halfcycles["label"] == label).to_numpy().astype(np.int64) for curves in both]
    tables, found = [features(one, among) for one, among in zip(both, (train, test), strict=True)], dict[str, float]()
    for name in DETECTORS:
        detector = Detector(name).fit(tables[0], truth[0])
        found[f"detector {name}"] = recall_at(truth[1], detector.decision_function(tables[1]))
    for level in LEVELS:
        columns = [list(DETECTORS).index(name) for name in of_level(level)]
        like = tables[0][:, columns]
        model = LogisticRegression(class_weight="balanced", max_iter=2000).fit(filled(like, like), truth[0])
        score = model.decision_function(filled(tables[1][:, columns], like))
        found[f"features ({level})"] = recall_at(truth[1], score)
    return found


def one_split(curves: Curves, args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Recalls at 1 % of a split, by name."""
    train, test = split_of(curves, args.fault, seed)
    keep = pl.col("label").is_in([NORMAL, args.fault])
    train, test = train.where(keep), test.where(keep)
    few = train.where(pl.col("label") == args.fault).few(args.known, seed=seed)
    normal = train.where(pl.col("label") == NORMAL)
    known = Curves.concat([normal, few])
    found = rival(known, test, args.fault, args.step)
    model = adapted(normal, few, seed=seed)
    counted = normal.halfcycles.filter(step_type=args.step).height
    drawn = model.augment(normal.where(pl.col("step_type") == args.step), count=counted, seed=1000 * seed)
    nets = args.classifiers.split(",") if args.classifiers else None
    gain = classify(
        train=known,
        test=test,
        synthetic={"augment": drawn},
        seeds=1,
        classifiers=nets,
        views=tuple(args.views.split(",")),
        controls=CONTROLS,
        workers=args.workers,
    )
    table = pl.DataFrame([row.model_dump() for row in gain.rows]).filter(pl.col("task").str.ends_with(args.step))
    simple = ("threshold", "protocol", "forest", "minirocket")
    for (view, arm), rows in table.group_by("view", "arm"):
        own = rows.filter(~pl.col("classifier").is_in(simple))["recall_at_1_percent"]
        if own.len():
            found[f"nets {view} {arm}"] = float(own.mean())  # type: ignore[arg-type]
        for name in ("forest", "threshold", "protocol"):
            some = rows.filter(classifier=name)["recall_at_1_percent"]
            if some.len():
                found[f"{name} {view} {arm}"] = float(some.mean())  # type: ignore[arg-type]
    return found


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % t-interval."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fault", default="internal_short", choices=[name for name, kind in FAULTS.items() if kind.side is None]
    )
    parser.add_argument("--step", default="charge", choices=["charge", "discharge"])
    parser.add_argument("--data", type=Path, default=None, help="curve set; the embedded one if not given")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--known", type=int, default=24)
    parser.add_argument("--views", default="thermal,relative")
    parser.add_argument("--classifiers", default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    curves = read(args.data) if args.data else demo_data()
    rows = []
    for seed in range(args.splits):
        began = time.perf_counter()
        rows.append(one_split(curves, args, seed))
        print(f"split {seed}: {time.perf_counter() - began:.0f} s", flush=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    for name in sorted(names):
        print("{:40s} {:.3f} ({:.3f} to {:.3f})".format(name, *interval(values[name])))
    for view in args.views.split(","):
        best = values.get(f"nets {view} augment")
        for name in sorted(names):
            if best is not None and name != f"nets {view} augment" and not name.startswith(("forest", "protocol")):
                print(
                    "nets {} augment - {:32s} {:+.3f} ({:+.3f} to {:+.3f})".format(view, name, *interval(best - values[name]))
                )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
