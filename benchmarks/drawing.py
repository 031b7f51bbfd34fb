"""How many curves a second a model draws, at which quality, beside peers.

FaultCell's time is that of all its work, from conditions to curves in seconds, volts and amperes, severity measured back. The
peers' is that of their own network and sampler, to bare arrays. FaultCell's curves are scored on cells it has not seen:
fidelity to the real curve, spread of the set, share of real points within the 90 % band.

    python benchmarks/drawing.py [--peers build/peers] [--curves N] [--threads N] [--out JSON]
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import numpy as np

import faultcell as fc
import measure
import ours
import peer
from faultcell.errors import OutOfRangeWarning
from faultcell.scoring.pair_scores import pair_scores
from faultcell.scoring.resample import Match
from faultcell.scoring.set_scores import TrainingPoints, diversity

RUNS, MANY = 3, 50
BAND_CURVES, BAND_DRAWS, REPEATS = 2, 100, 4


def main() -> None:
    options = measure.arguments(__doc__, peers={"type": Path, "default": peer.INTO}, curves={"type": int, "default": 1000})
    warnings.simplefilter("ignore", OutOfRangeWarning)
    tuned, few, test = ours.tuned()
    asked = [condition for condition in fc.conditions_of(test) for _ in range(options.curves)][:: len(test)]
    default = tuned.config.diffusion.num_inference_steps
    served = {
        name: peer.Peer(name, python, threads=options.threads)
        for name in peer.PEERS
        if (python := peer.python_of(name, options.peers))
    }
    counts = {"deepecho": 20}  # one at a time: it would take the whole afternoon
    drawers = {f"FaultCell, {steps} steps": (tuned, steps) for steps in (1, default, MANY)}

    def ours_takes(name: str) -> float:
        model, steps = drawers[name]
        return measure.seconds_of(lambda: model.draw(asked, range(len(asked)), steps=steps))

    def theirs_takes(name: str) -> float:
        count = counts.get(name, options.curves)
        return served[name].seconds("draw", count) * options.curves / count

    contenders = {name: partial(ours_takes, name) for name in drawers} | {name: partial(theirs_takes, name) for name in served}
    for name, work in contenders.items():
        if str(MANY) not in name:
            work()  # once that does not count
    seconds = measure.in_turn(contenders, runs=RUNS)
    rows = []
    for name, taken in seconds.items():
        row: measure.Row = {"": name, "curves/s": options.curves / taken, "over diffusers": seconds["diffusers"] / taken}
        if name in drawers:
            model, steps = drawers[name]
            row |= quality(model, test, few, steps=steps)
        rows.append(row)
    notes = [
        f"Default: {default} steps. diffusers: DPM-Solver++, 20 steps, {served['diffusers'].about['parameters']} parameters."
    ]
    measure.report(f"Drawing {options.curves} curves of 128 points", rows, options, notes=notes)
    for one in served.values():
        one.close()


def quality(model: fc.Augmenter, test: fc.Curves, few: fc.Curves, *, steps: int) -> measure.Row:
    """Means over cells and repeats, without and with a reference."""
    conditions = fc.conditions_of(test)
    some = test.take(range(0, len(test), max(1, len(test) // (BAND_CURVES * len(test.cells)))))
    found: measure.Row = {}
    for words, reference in {"": {}, ", reference": {"reference": test}}.items():
        scores, spread = [], []
        for repeat in range(REPEATS):
            seeds = range(repeat * len(test), (repeat + 1) * len(test))
            match = Match.of(test, model.draw(conditions, seeds, steps=steps, **reference), found=range(len(test)))
            scores += list(pair_scores(match, {})["cell_id"].values())
            spread.append(diversity(match, TrainingPoints.of(few))[0])
        band = fc.draw_band(model, fc.conditions_of(some), draws=BAND_DRAWS, seed=0, steps=steps, **reference).coverage(some)
        found[f"MAE{words}"] = float(np.mean([score.mae for score in scores]))
        found[f"spread{words}"] = float(np.mean(spread))
        found[f"band{words}"] = float(np.mean(list(band.by_cell.values())))
    return found


if __name__ == "__main__":
    main()
