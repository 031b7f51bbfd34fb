"""A run of the real thing, as small as can be."""

from __future__ import annotations

import time

from faultcell.doctor.check import Look


def trial() -> Look:
    """Load the embedded data, train a tiny network for a step, draw a curve with it."""
    import warnings

    from faultcell.augmenter import Augmenter
    from faultcell.config import Config, NetConfig, TrainConfig
    from faultcell.curves.condition import grid
    from faultcell.curves.schema import NORMAL
    from faultcell.files.embedded import demo_data

    started = time.perf_counter()
    normal = demo_data().select(label=[NORMAL])
    some = normal.take(range(0, len(normal), max(1, len(normal) // 24)))
    tiny = NetConfig(widths=(16, 16), attention=(False, True), heads=2, embedding=16, duration_hidden=16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one step learns nothing, and what it draws is not looked at
        model = Augmenter.pretrain(some, config=Config(net=tiny, train=TrainConfig(steps=1, batch_size=8, warmup=1)))
        drawn = model.draw(grid(NORMAL), [0])
    volts = drawn.column("voltage_volt")
    wrong = (
        [] if len(volts) and abs(volts).max() < 1e3 else ["the trial drew no finite voltages: install torch and NumPy again"]
    )
    seconds = round(time.perf_counter() - started, 1)
    return {"embedded data": f"{len(normal)} normal curves", "trained and drew": not wrong, "seconds": seconds}, wrong, []
