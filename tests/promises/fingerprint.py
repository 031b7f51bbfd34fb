"""The curves that a small model draws, to compare machines by: `python fingerprint.py [--record]` prints them as JSON.

The model lies in `fingerprint/`; with `--record` it is trained anew, which a new format of bundles needs, and what this machine
draws is written beside it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
import torch

from faultcell.augmenter import Augmenter
from faultcell.config import Config, FinetuneConfig, GridConfig, NeighbourConfig, NetConfig, TrainConfig
from faultcell.curves import Curves, grid

FOLDER = Path(__file__).with_name("fingerprint")
DRAWN = FOLDER / "drawn.json"
PLACES = 24  # of each curve that are written down
NET = NetConfig(widths=(8, 8), attention=(False, True), heads=2, embedding=16, duration_hidden=16, expectation_hidden=16)
CONFIG = Config(
    grid=GridConfig(head=24, tail=8),
    net=NET,
    neighbours=NeighbourConfig(curves=16),
    train=TrainConfig(steps=60, batch_size=16, warmup=5),
)


def draw(model: Augmenter) -> Curves:
    """Twelve curves: two faults and both normal half-cycles, with and without a known context."""
    asked = grid("overdischarge", peak_deviation_volt=(0.2, 0.5), c_rate=(1.0, None), repeat=2)
    asked += grid("overcharge", peak_deviation_volt=(0.1,), repeat=2) + grid("normal", step_type=("charge", "discharge"))
    return model.draw(asked, range(len(asked)))


def told(curves: Curves) -> dict[str, object]:
    """Digest of all samples, and some of them."""
    columns = [curves.column(name) for name in ("step_time_second", "voltage_volt", "current_ampere")]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(column).tobytes() for column in columns)).hexdigest()
    some = [np.linspace(rows.start, rows.stop - 1, PLACES).astype(int) for rows in curves.slices()]
    second, volt, ampere = ([np.round(column[rows], 7).tolist() for rows in some] for column in columns)
    return {"sha256": digest, "second": second, "volt": volt, "ampere": ampere}


def record() -> None:
    """Train the model and write down what it draws."""
    from strategies import fault_curves, normal_curves

    torch.set_num_threads(1)
    faults = fault_curves()
    few = FinetuneConfig(steps=30, batch_size=16, warmup=5)
    base = Augmenter.pretrain(normal_curves().few(16), config=CONFIG)
    model = base.finetune(Curves.concat([faults.select(label=[name]).few(4) for name in sorted(faults.labels)]), config=few)
    model.save(FOLDER / "bundle")
    DRAWN.write_text(json.dumps(told(draw(Augmenter.load(FOLDER / "bundle")))) + "\n")


if __name__ == "__main__":
    if "--record" in sys.argv:
        record()
    print(json.dumps(told(draw(Augmenter.load(FOLDER / "bundle")))))
