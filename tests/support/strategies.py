"""Small synthetic curve sets made by simple formulas, and hypothesis strategies for them. Rated: 2.7 to 4.2 V, 2 Ah."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import strategies as st

from faultcell.config import Config, FinetuneConfig, NetConfig, TrainConfig
from faultcell.curves import FAULTS, HALFCYCLES, TIMESERIES, Curves
from faultcell.curves.severity import complete
from faultcell.encoding.dataset import encoded_set
from faultcell.regression.support import SupportSet

LOWER, UPPER, NOMINAL = 2.7, 4.2, 2.0
NET = NetConfig(patch=4, widths=(16, 16), attention=(True, True), heads=2, embedding=16, duration_hidden=16)
CONFIG = Config(net=NET, train=TrainConfig(steps=60, batch_size=16, warmup=5, checkpoint_every=20))
FINETUNE = FinetuneConfig(steps=30, batch_size=16, warmup=5, checkpoint_every=10)


def discharge(*, cutoff=LOWER, rate=1.0, health=0.9, rest=0, samples=60, sag=0.0, warming=5.0, lasts=1.0):
    """Constant current down to a cut-off voltage, then `rest` samples of recovery at 0 A."""
    x = np.linspace(0, 1, samples)
    volt = 4.1 - 1.0 * x - (3.1 - cutoff) * x**8 - sag * np.sin(np.pi * x)
    time = 3600 * lasts * health / rate * x
    after = np.arange(1, rest + 1)
    return {
        "step_time_second": np.concatenate([time, time[-1] + 20.0 * after]),
        "voltage_volt": np.concatenate([volt, cutoff + 0.05 * after]),
        "current_ampere": np.concatenate([np.full(samples, -rate * NOMINAL), np.zeros(rest)]),
        "surface_temperature_celsius": 25 + warming * np.concatenate([x, np.ones(rest)]),
    }


def charge(*, cutoff=UPPER, rate=0.5, health=0.9, samples=60, sag=0.0, warming=2.0, lasts=1.0):
    """Constant current up to a voltage, which is then held while the current falls to C/20."""
    x = np.linspace(0, 1, samples)
    held = x > 0.7
    fall = np.exp(-np.maximum(x - 0.7, 0) / 0.3 * np.log(rate / 0.05))
    return {
        "step_time_second": 4500 * lasts * health / rate * x,
        "voltage_volt": np.where(held, cutoff, 3.3 + (cutoff - 3.3) * (x / 0.7) ** 0.8 + sag * np.sin(np.pi * x / 0.7)),
        "current_ampere": rate * NOMINAL * fall,
        "surface_temperature_celsius": 25 + warming * x,
    }


def surge(*, peak=0.3, start=0.0, at=0.02, hold=0.0, rate=1.0, lasts=3000.0, samples=120):
    """An over-voltage as it is mostly measured: up to its peak within moments, then down to a hold while the current falls.

    `start` and `hold` are fractions of `peak` beyond the limit; `at` is the share of the time at which the peak stands.
    """
    rising, falling = np.linspace(0, 1, 8), np.linspace(0, 1, samples) ** 2
    x = np.concatenate([at * rising[:-1], at + (1 - at) * falling])
    up = np.minimum(x / at, 1) ** 0.5
    fall = np.exp(-8 * np.maximum(x - at, 0) / (1 - at))
    return {
        "step_time_second": lasts * x,
        "voltage_volt": UPPER + peak * np.where(x < at, start + (1 - start) * up, hold + (1 - hold) * fall),
        "current_ampere": rate * NOMINAL * np.maximum(fall, 0.1),
        "surface_temperature_celsius": 25 + 3 * x,
    }


def tables(rows):
    """Both tables from (cell, cycle, step, label, samples, further columns) for each curve, in that order."""
    parts, halfcycles = [], []
    for cell, cycle, step, label, samples, further in rows:
        key = {"cell_id": cell, "cycle_count": cycle, "step_type": step}
        parts.append(pl.DataFrame(samples).with_columns(**{name: pl.lit(value) for name, value in key.items()}))
        halfcycles.append(
            {
                **key,
                "label": label,
                "lower_voltage_limit_volt": LOWER,
                "upper_voltage_limit_volt": UPPER,
                "ambient_temperature_celsius": 25.0,
                "nominal_capacity_ah": NOMINAL,
                **further,
            }
        )
    timeseries = pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in TIMESERIES.items())
    return timeseries, pl.DataFrame(halfcycles, schema_overrides=HALFCYCLES)


def curves_of(rows):
    return Curves.from_tables(*tables(rows))


def own_ways(rng, *, warming):
    """How a cell differs from others that ran under the same conditions, and a little from cycle to cycle too."""
    sag, warm, lasts = rng.normal(0, 0.02), rng.uniform(0.8, 1.2), rng.normal(0, 0.03)
    while True:
        yield {
            "sag": sag + rng.normal(0, 0.005),
            "warming": warming * (warm + rng.normal(0, 0.05)),
            "lasts": np.exp(lasts + rng.normal(0, 0.01)),
        }


def normal_rows(cells=6, cycles=4):
    rng, others = np.random.default_rng(1), np.random.default_rng(3)
    for cell in range(cells):
        charges, discharges = own_ways(others, warming=2.0), own_ways(others, warming=5.0)
        rate, health = rng.uniform(0.5, 1.2), rng.uniform(0.85, 1.0)
        for cycle in range(1, cycles + 1):
            name, worn, now = f"N{cell}", {"state_of_health": health - 0.01 * cycle}, rate * others.uniform(0.8, 1.25)
            kind = {"health": worn["state_of_health"]}
            yield name, cycle, "charge", "normal", charge(rate=now / 2, **kind, **next(charges)), worn
            yield name, cycle, "discharge", "normal", discharge(rate=now, **kind, **next(discharges)), worn


def fault_rows(cells=4, cycles=3):
    """Overdischarges of 0.1 to 0.9 V and overcharges of a quarter of that."""
    rng, others = np.random.default_rng(2), np.random.default_rng(4)
    depths = rng.permutation(np.linspace(0.1, 0.9, cells * cycles))
    for cell in range(cells):
        charges, discharges = own_ways(others, warming=2.0), own_ways(others, warming=5.0)
        for cycle in range(1, cycles + 1):
            rate, health, deep = rng.uniform(0.5, 1.2), rng.uniform(0.8, 1.0), depths[cell * cycles + cycle - 1]
            worn = {"state_of_health": health}
            low = discharge(cutoff=LOWER - deep, rate=rate, health=health, rest=3, **next(discharges))
            high = charge(cutoff=UPPER + deep / 4, rate=rate / 2, health=health, **next(charges))
            yield f"D{cell}", cycle, "discharge", "overdischarge", low, worn
            yield f"C{cell}", cycle, "charge", "overcharge", high, worn


def normal_curves(**kwargs):
    return complete(curves_of(normal_rows(**kwargs)))


def fault_curves(**kwargs):
    return complete(curves_of(fault_rows(**kwargs)))


def known_of(curves):
    """Curves on the grid, and their conditions, as training takes them."""
    _, conditions, encoded = encoded_set(curves, CONFIG)
    return SupportSet.of(encoded, conditions, faults=tuple(FAULTS), grid=CONFIG.grid), conditions


@st.composite
def curve_sets(draw, most=6):
    """A few discharges and CC-CV charges beyond or within their limits, with their keys in any order."""
    count = draw(st.integers(1, most))
    rows = []
    for index in range(count):
        cell, cycle = f"X{draw(st.integers(0, 2))}", index + 1
        rate, health = draw(st.floats(0.3, 2)), draw(st.floats(0.6, 1))
        if draw(st.booleans()):
            cutoff = LOWER - draw(st.one_of(st.just(0.0), st.floats(0.02, 1.5)))
            samples = discharge(cutoff=cutoff, rate=rate, health=health, rest=draw(st.integers(0, 4)))
            rows.append((cell, cycle, "discharge", "overdischarge" if cutoff < LOWER else "normal", samples, {}))
        else:
            cutoff = UPPER + draw(st.one_of(st.just(0.0), st.floats(0.02, 0.6)))
            samples = charge(cutoff=cutoff, rate=rate, health=health)
            rows.append((cell, cycle, "charge", "overcharge" if cutoff > UPPER else "normal", samples, {}))
    return curves_of(draw(st.permutations(rows)))
