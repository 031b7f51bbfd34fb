"""Write files as a Neware cycler exports them, of virtual cells some of which are over-discharged, to try things on.

python examples/cycler_exports.py --out exports [--cells 10]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl

import faultcell as fc

REST_SECOND = 300.0


def main(out: Path, cells: int) -> list[Path]:
    curves = fc.demo_data()
    faulty = curves.select(label=["overdischarge"]).cells
    out.mkdir(parents=True, exist_ok=True)
    return [export(curves.select(cells=[cell]).timeseries, out / f"{cell}.csv") for cell in faulty[:cells]]


def export(samples: pl.DataFrame, path: Path) -> Path:
    """One cell after the other half-cycle, five minutes of rest between them."""
    keys = ["cycle_count", "step_type"]
    lasted = samples.group_by(keys, maintain_order=True).agg(pl.col("step_time_second").max())
    began = lasted.select(*keys, began=(pl.col("step_time_second") + REST_SECOND).cum_sum().shift(fill_value=0.0))
    total = pl.col("began") + pl.col("step_time_second")
    clock = pl.format("{}:{}:{}", (total // 3600).cast(pl.Int64), (total // 60 % 60).cast(pl.Int64), (total % 60).round(1))
    samples.join(began, on=keys, maintain_order="left").select(
        pl.int_range(1, pl.len() + 1).alias("DataPoint"),
        pl.col("cycle_count").alias("Cycle Index"),
        pl.when(pl.col("step_type") == "charge").then(pl.lit("CCCV Chg")).otherwise(pl.lit("CC DChg")).alias("Step Type"),
        clock.alias("Total Time"),
        (1000 * pl.col("current_ampere")).round(2).alias("Current(mA)"),
        pl.col("voltage_volt").round(4).alias("Voltage(V)"),
        pl.col("surface_temperature_celsius").round(2).alias("T1(°C)"),
    ).write_csv(path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=10)
    options = parser.parse_args()
    for written in main(options.out, options.cells):
        print(written)
