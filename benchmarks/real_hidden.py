"""Real faults that break no limit by themselves: shorts of cells at rest, field failures of a vehicle, hot charges.

    python benchmarks/real_hidden.py ornl     # indentation tests: draws against replay, on cells left out, by chemistry
    python benchmarks/real_hidden.py field    # cells of a failing pack found by classifiers that know laboratory shorts
    python benchmarks/real_hidden.py nasa     # half-cycles above their temperature limit: more than the chamber?

Data: `FAULTCELL_REAL_DATA` (default `../shared/data`), folders `ornl_indentation`, `ev_field` and `nasa_pcoe`.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
import polars as pl

from faultcell.baselines.replay import Replay
from faultcell.curves.conditions import conditions_of
from faultcell.curves.curves import Curves
from faultcell.curves.plausibility import loaded_curves
from faultcell.curves.schema import NORMAL
from faultcell.curves.severity import complete
from faultcell.diagnosis import classify
from faultcell.diagnosis.gain import interval
from faultcell.diagnosis.run import over_splits
from faultcell.files.curve_set import read_checked
from faultcell.generation.rest_shorts import RestShorts
from faultcell.scoring.ensemble import ensemble_scores

DATA = Path(os.environ.get("FAULTCELL_REAL_DATA", "../shared/data"))
SHORT = "internal_short"
DRAWS = 19  # the fewest whose band can cover nine tenths
LIMITS = {"charge": 45.0, "discharge": 60.0}  # degC
WARMER = 5.0  # K above the cell's own normal cycle, of what is hot for another reason than its chamber


def named(folder: str, **names: str) -> Curves:
    """A set with other names of labels and step types."""
    return complete(read_checked(DATA / folder)[0].renamed(names))


def divided(cells: list[str], share: float, seed: int) -> list[str]:
    """Some of the cells."""
    return np.random.default_rng(seed).permutation(sorted(cells))[: round(share * len(cells))].tolist()


def ornl(splits: int) -> None:
    """CRPS of draws for the severity of each short that is left out, beside the error of the nearest known one."""
    shorts = named("ornl_indentation", indentation_no_short=NORMAL).select(label=[SHORT])
    kinds = dict(shorts.halfcycles.select("cell_id", "chemistry").rows())
    table = []
    for seed in range(splits):
        test = divided(list(shorts.cells), 1 / 3, seed)
        is_test = pl.col("cell_id").is_in(test)
        known, real = shorts.where(~is_test), shorts.where(is_test)
        asked, source = conditions_of(real), RestShorts(known)
        draws = [source.draw(asked, range(turn * len(asked), (turn + 1) * len(asked))) for turn in range(DRAWS)]
        replay = Replay(known).draw(asked, range(len(asked)))
        ours, theirs = (ensemble_scores(real, sets)["cell_id"] for sets in (draws, [replay, replay]))
        for cell, one in ours.items():
            table.append((seed, kinds[cell], one.crps, theirs[cell].crps, one.covered, one.crps_of_log_duration))
        print(f"split {seed}: width {source.width}", flush=True)
    names = ("split", "chemistry", "crps", "replay", "covered", "duration")
    found = pl.DataFrame(table, schema=names, orient="row")
    print(f"{'':34s}{'curves':>7s}{'CRPS':>8s}{'replay':>8s}{'band':>7s}{'duration':>10s}")
    for (kind,), part in sorted(found.group_by("chemistry")):
        print(_line(str(kind), part))
    print(_line("all", found))
    gaps = found.group_by("split", maintain_order=True).agg((pl.col("replay") - pl.col("crps")).mean())["replay"].to_list()
    print(f"replay - CRPS over splits: {interval(gaps)}")


def _line(name: str, part: pl.DataFrame) -> str:
    mean = {column: float(part[column].mean()) for column in ("crps", "replay", "covered", "duration")}  # type: ignore[arg-type]
    return (
        f"{name[:33]:34s}{len(part):7d}{mean['crps']:8.4f}{mean['replay']:8.4f}{mean['covered']:7.2f}{mean['duration']:10.3f}"
    )


def field(splits: int) -> None:
    """Half of the cells of a pack are known as normal; laboratory shorts are known, as they are or laid on those cells."""
    pack, lab = named("ev_field", field_failure=SHORT, field="rest"), named("ornl_indentation", indentation_no_short=NORMAL)
    shorts, gains = lab.select(label=[SHORT]), []
    for seed in range(splits):
        known = divided(list(pack.cells), 1 / 2, seed)
        normal = pack.where(pl.col("cell_id").is_in(known), pl.col("label") == NORMAL)
        test = pack.where(~pl.col("cell_id").is_in(known))
        drawn = RestShorts(shorts).augment(normal, count=len(normal), seed=seed)
        train = Curves.concat([normal, shorts])
        gain = classify(train=train, test=test, synthetic={"augment": drawn}, seeds=1, views=["whole"], workers=1)
        gains.append(gain)
        print(f"split {seed}", flush=True)
    found = over_splits(gains)
    for row in found.summary:
        recall, at_1, false = (row.measures[name] for name in ("recall", "recall_at_1_percent", "false_alarm_rate"))
        print(f"{row.arm:15s}{row.classifier:26s}{recall.mean:7.3f}{at_1.mean:7.3f}{false.mean:8.4f}")
    print(*found.notes, sep="\n")


def nasa() -> None:
    """How many half-cycles are too hot, how hot their chamber is, and how much warmer they are than others of their cell."""
    curves = complete(read_checked(DATA / "nasa_pcoe")[0])
    kept = curves.select(step_type=list(LIMITS), label=[NORMAL])
    rows = kept.halfcycles.select("cell_id", "step_type").rows()
    peaks = [one.warm.max() if one.warm.size else np.nan for one in loaded_curves(kept)]
    table = pl.DataFrame(rows, schema=["cell", "step"], orient="row").with_columns(
        peak=pl.Series(peaks), ambient=pl.Series(kept.known("ambient_temperature_celsius"))
    )
    for step, limit in LIMITS.items():
        own = table.filter(step=step).drop_nans("peak").with_columns(usual=pl.col("peak").median().over("cell"))
        hot = own.filter(pl.col("peak") > limit)
        alike = own.filter(pl.col("ambient").is_in(hot["ambient"].unique().to_list()))
        beyond = hot.filter(pl.col("peak") - pl.col("usual") > WARMER)
        print(
            f"{step}: {len(hot)} of {len(own)} above {limit:g} degC, of {hot['cell'].n_unique()} cells, in chambers of "
            f"{sorted(hot['ambient'].unique().to_list())} degC; of all {step}s in these {len(hot) / len(alike):.0%} are hot; "
            f"{len(beyond)} are more than {WARMER:g} K above the median of their cell"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ornl", "field", "nasa"])
    parser.add_argument("--splits", type=int, default=5)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.what == "nasa":
        nasa()
    else:
        {"ornl": ornl, "field": field}[args.what](args.splits)


if __name__ == "__main__":
    main()
