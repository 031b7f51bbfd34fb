"""Single curves drawn for cells left out: could a cell have made them, how near and how sure are they, what is learnt?

For each fault: adapt to 24 known faults of the other cells, draw 20 curves for each fault of the cells left out, without and
with a reference, and score them with `faultcell.evaluate`. Beside the diffusion model: the same bundle after one step of
training, which draws the mean plus a Gaussian of the rests; on NASA over-discharges, TimeVAE and WGAN-GP on the same inputs,
and 10 and 5 known faults. Then what a request of a fault, a depth and two counts gives, as in the README, and one of a fault
and a depth. Cells on which settings were chosen (`CHOSEN_ON`) are adapted to and never scored; `--choose` scores them alone.

Faults inside all limits are asked for by their severity, in both half-cycles, on embedded cells; in a column of all sets, by
how much the peak temperature is off (CRPS), beside that of the cell's own normal curve.

    python benchmarks/believable.py [--sets NAME ...] [--seeds N] [--workers N] [--every N] [--choose] [--out JSON]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import faultcell as fc
from faultcell.config import TrainConfig
from faultcell.curves.against_normal import own_normals
from faultcell.curves.faults import FAULTS, half_cycles, in_half_cycle
from faultcell.curves.plausibility import loaded_curves
from faultcell.curves.schema import KEYS
from faultcell.errors import OutOfRangeWarning
from faultcell.files.embedded import demo_data
from faultcell.runtime.workers import one_thread, spread
from faultcell.scoring.believability import broken
from unseen_cells import CHOSEN_ON, LEFT_OUT

Row = dict[str, Any]
SHAPE = ("rises", "flat_at_limit", "hot", "surges", "forest_auc", "forest_auc_worst")
DRAWS, FEW = 20, 24
SETTLING_VOLT = 0.03
KINDS = {"diffusion": None, "untrained": (1, 1), "timevae": None, "wgan_gp": None}  # steps, the default's where None
HIDDEN = tuple(name for label, kind in FAULTS.items() if kind.side is None for name in half_cycles(label))
SETS = (
    "NASA over-discharge",
    "NASA over-voltage",
    "embedded overcharge",
    "embedded over-discharge",
    *(f"embedded {name}" for name in HIDDEN),
)
FEWER = (10, 5)  # known faults
EVERYWHERE = ("diffusion", "untrained")  # the others on the first set alone


@dataclass(frozen=True)
class Job:
    """A kind of model on a data set, with a seed."""

    data: str
    kind: str
    seed: int
    folder: str
    every: int
    choose: bool


@dataclass(frozen=True)
class Trial:
    """Cells left out, and what may be learnt from the others."""

    normal: fc.Curves
    faults: fc.Curves
    test: fc.Curves
    reference: fc.Curves


def main() -> None:
    options = arguments()
    started, nasa = time.perf_counter(), (options.data / "nasa_pcoe").is_dir()
    if not nasa:
        print(f"NASA skipped: {options.data / 'nasa_pcoe'} is not there; set FAULTCELL_REAL_DATA or --data", file=sys.stderr)
    sets = [name for name in options.sets or SETS if nasa or name.startswith("embedded")][: 1 if options.choose else None]
    shared = {"folder": str(options.data / "nasa_pcoe"), "every": options.every, "choose": options.choose}
    kinds = {data: KINDS if data == SETS[0] else EVERYWHERE for data in sets}
    jobs = [Job(data, kind, seed, **shared) for data in sets for kind in kinds[data] for seed in range(options.seeds)]
    rows = [row for found in spread(run, jobs, workers=options.workers) for row in found]
    print(report(rows))
    print(f"\n{options.seeds} seeds, {options.workers} processes of one thread, {(time.perf_counter() - started) / 60:.1f} min")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def run(job: Job) -> list[Row]:
    """Every group of cells left out, without and with a reference."""
    warnings.simplefilter("ignore", OutOfRangeWarning)
    rows = []
    with one_thread():
        for trial in trials(job):
            counts = (FEW, *FEWER) if (job.data, job.kind) == (SETS[0], "diffusion") else (FEW,)
            base = fc.Augmenter.pretrain(trial.normal, config=config(job))
            for few in counts:
                tuned = base.finetune(trial.faults.few(few, seed=job.seed), normal=trial.normal, config=finetune(job))
                rows += [row | {"few": few} for row in scored(job, trial, tuned)]
        print(f"{job.data}, {job.kind}, seed {job.seed}: done", file=sys.stderr, flush=True)
    return rows


def config(job: Job) -> fc.Config:
    kind = "diffusion" if job.kind == "untrained" else job.kind
    steps = {"steps": KINDS[job.kind][0]} if KINDS[job.kind] else {}
    return fc.Config(model=kind, train=TrainConfig(seed=job.seed, **steps))


def finetune(job: Job) -> fc.FinetuneConfig:
    return fc.FinetuneConfig(seed=job.seed, **({"steps": KINDS[job.kind][1]} if KINDS[job.kind] else {}))


def trials(job: Job) -> Iterator[Trial]:
    """Groups of cells left out, of the data set of a job."""
    hidden = job.data.removeprefix("embedded ")
    if hidden in HIDDEN:
        label, step = in_half_cycle(hidden)
        curves = demo_data(label).where(pl.col("step_type") == step)
        seen, unseen = curves.split(by="cell_id", test=0.3, seed=job.seed)
        yield Trial(seen.where(pl.col("label") == "normal"), seen.select(label=[label]), unseen.select(label=[label]), unseen)
        return
    if job.data.startswith("embedded"):
        label = "overcharge" if job.data.endswith("overcharge") else "overdischarge"
        seen, unseen = demo_data("overcharge", "overdischarge").split(by="cell_id", test=0.3, seed=job.seed)
        yield Trial(seen.where(pl.col("label") == "normal"), seen.select(label=[label]), unseen.select(label=[label]), unseen)
        return
    step, label = ("discharge", "overdischarge") if job.data.endswith("over-discharge") else ("charge", "overvoltage")
    curves = fc.read(job.folder).where(pl.col("step_type") == step)
    if step == "discharge":
        curves = curves.where(pl.col("quality") == "ok")
    faults = curves.select(label=[label])
    groups = LEFT_OUT if step == "discharge" else (("B0041", "B0042"), ("B0043", "B0033"))
    for left_out in [CHOSEN_ON] if job.choose else groups:
        inside = pl.col("cell_id").is_in(left_out)
        yield Trial(
            curves.where(pl.col("label") == "normal", ~inside),
            faults.where(~inside),
            faults.where(inside),
            curves.where(inside),
        )


def scored(job: Job, trial: Trial, model: fc.Augmenter) -> Iterator[Row]:
    """One row a way of asking."""
    test = trial.test.take(range(0, len(trial.test), job.every if len(trial.test) > 60 else 1))
    asked = fc.conditions_of(test)
    about = {"data": job.data, "kind": job.kind, "seed": job.seed}
    for mode, reference in (("without", None), ("with", trial.reference)):
        if reference is not None and job.data.split()[1] in FAULTS:
            draws = from_own(model, test, asked, reference)
        else:
            given = model.references(reference, asked) if reference is not None else None
            turns = (range(turn * len(asked), (turn + 1) * len(asked)) for turn in range(DRAWS))
            draws = [model.draw(asked, seeds, reference=given) for seeds in turns]
        scores = fc.evaluate(real=test, synthetic=draws[0], thorough=False, draws=draws, beside=["floor"])
        one = scores.sources["synthetic"]
        yield about | {
            "asked": mode,
            "redrawn": float(np.mean([(draw.known("redraw_count") > 0).mean() for draw in draws])),
            **{name: getattr(one.sets["all"], name) for name in SHAPE},
            **{name: getattr(one.all, name) for name in ("mae", "pcc", "dpcc", "duration_error")},
            **peaks(test, draws, trial.reference),
            "crps": scores.ensemble["all"]["all"].crps,
            "covered": scores.ensemble["all"]["all"].covered,
            "by_cell": {name: score.covered for name, score in scores.ensemble["cell_id"].items()},
        }
    if job.kind == "diffusion" and trial.faults.labels[0] not in {name.split()[0] for name in HIDDEN}:
        depth, seconds = (
            float(np.median(trial.faults.known(name))) for name in ("peak_deviation_volt", "cumulative_duration_second")
        )
        label = trial.faults.labels[0]
        for mode, told in (
            ("README", {"repetition_count": 3, "cumulative_duration_second": seconds}),
            ("depth alone", {}),
        ):
            drawn = model.draw(fc.grid(label, peak_deviation_volt=depth, repeat=200, **told), range(200))
            shares = {name: float(np.nanmean(values)) for name, values in broken(drawn).items() if np.isfinite(values).any()}
            yield about | {"asked": mode, "redrawn": float((drawn.known("redraw_count") > 0).mean()), **shares}


def from_own(model: fc.Augmenter, test: fc.Curves, asked: list[fc.Condition], reference: fc.Curves) -> list[fc.Curves]:
    """Sets of draws, each curve from that normal one of its cell which begins and ends most like it, cut to do so.

    So a normal curve goes wrong, as in `augment`. Cycles of a cell differ by where they begin and where a hold is ended, of
    which a fault says nothing.
    """
    normal = reference.where(pl.col("label") == "normal")
    begins = [(one.voltage[0], one.warm[0], np.abs(one.current[-1])) for one in loaded_curves(normal)]
    cells, made = normal.halfcycles["cell_id"].to_list(), []
    for row, (condition, one) in enumerate(zip(asked, loaded_curves(test), strict=True)):
        moved = 0.001 * (condition.severities.get("added_resistance_milliohm") or 0.0) * float(np.abs(one.current[0]))
        sign = 1 if one.charge_step else -1
        start = one.voltage[0] - moved * sign
        own = [i for i, cell in enumerate(cells) if cell == condition.cell_id]
        # What begins too late cannot be cut.
        late = [max(sign * (begins[i][0] - start), 0.0) * 10 for i in own]
        far = [
            late[n] / 0.01
            + abs(begins[i][0] - start) / 0.1
            + abs(begins[i][1] - one.warm[0])
            + 5 * abs(np.log(begins[i][2] / np.abs(one.current[-1])))
            for n, i in enumerate(own)
        ]
        best = normal.take([own[int(np.argmin(far))]])
        ahead = np.flatnonzero(sign * (best.column("voltage_volt") - start) >= 0)
        if ahead.size and abs(best.column("voltage_volt")[0] - start) < SETTLING_VOLT:
            ahead = ahead[:0]  # a curve that is cut where it begins has lost how it settles to its load
        over = np.flatnonzero(np.abs(best.column("current_ampere")) < np.abs(one.current[-1]))
        over = over[over > len(best.timeseries) // 2]
        kept = slice(int(ahead[0]) if ahead.size else 0, int(over[0]) if over.size and one.charge_step else None)
        best = fc.Curves.from_tables(best.timeseries[kept], best.halfcycles)
        made.append(model.draw([condition] * DRAWS, range(row * DRAWS, (row + 1) * DRAWS), reference=best))
    return [fc.Curves.concat([keyed(drawn, turn, asked[row]) for row, drawn in enumerate(made)]) for turn in range(DRAWS)]


def keyed(drawn: fc.Curves, turn: int, condition: fc.Condition) -> fc.Curves:
    """One of several draws, under the key of the curve that it was drawn for."""
    one = drawn.take([turn])
    return fc.Curves(*(table.with_columns(cell_id=pl.lit(condition.cell_id)) for table in (one.timeseries, one.halfcycles)))


def peaks(test: fc.Curves, draws: list[fc.Curves], reference: fc.Curves) -> Row:
    """CRPS of the peak temperature of curves, K, and how far that of the normal curve of each cell is off."""

    def warmest(curves: fc.Curves) -> np.ndarray:
        return np.array([one.warm.max() if one.warm.size else np.nan for one in loaded_curves(curves)])

    real, drawn = warmest(test), np.stack([warmest(draw) for draw in draws])
    apart = np.abs(drawn[:, None] - drawn[None]).sum(axis=(0, 1)) / (len(draws) * (len(draws) - 1))
    place = {key: row for row, key in enumerate(reference.halfcycles.select(KEYS).rows())}
    own = [place.get(key, -1) for key in own_normals(test, reference)]
    usual = np.append(warmest(reference), np.nan)[own]
    return {
        "peak_kelvin": float(np.nanmean(np.abs(drawn - real).mean(axis=0) - apart / 2)),
        "normal_kelvin": float(np.nanmean(np.abs(usual - real))),
    }


COLUMNS = {
    "rises": "rises",
    "flat_at_limit": "flat",
    "hot": "hot or jumping",
    "surges": "surges",
    "forest_auc": "forest AUC",
    "forest_auc_worst": "worst cell",
    "crps": "CRPS",
    "covered": "90 % band",
    "mae": "MAE of one",
    "pcc": "PCC",
    "dpcc": "dPCC",
    "duration_error": "duration",
    "peak_kelvin": "peak, K",
    "normal_kelvin": "of the normal curve, K",
    "redrawn": "redrawn",
}


def report(rows: list[Row]) -> str:
    """A table a data set: means over groups and seeds, and the span of the bands of single cells."""
    lines = []
    for data in dict.fromkeys(row["data"] for row in rows):
        lines += [
            "",
            f"### {data}",
            "",
            f"| | known faults | {' | '.join(COLUMNS.values())} | band by cell |",
            "|---" * (len(COLUMNS) + 3) + "|",
        ]
        for few in (FEW, *FEWER):
            for kind in KINDS:
                for asked in ("without", "with", "README", "depth alone"):
                    some = [r for r in rows if (r["data"], r["few"], r["kind"], r["asked"]) == (data, few, kind, asked)]
                    if some:
                        lines.append(
                            f"| {kind}, {asked} | {few} | {' | '.join(mean(some, name) for name in COLUMNS)} | {bands(some)} |"
                        )
    return "\n".join(lines)


def mean(rows: list[Row], name: str) -> str:
    known = [row[name] for row in rows if row.get(name) is not None]
    return f"{np.mean(known):.4f}" if known else ""


def bands(rows: list[Row]) -> str:
    cells = sorted({cell for row in rows for cell in row.get("by_cell", {})})
    means = [np.mean([row["by_cell"][cell] for row in rows if cell in row["by_cell"]]) for cell in cells]
    return f"{min(means):.2f} to {max(means):.2f}" if means else ""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FAULTCELL_REAL_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=4, help="every so many of the curves to be drawn for")
    parser.add_argument("--sets", nargs="*", choices=SETS, help="all if not given")
    parser.add_argument("--choose", action="store_true", help="score the cells on which settings are chosen, and no others")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
