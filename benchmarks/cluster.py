"""Work spread by Ray over one and over two nodes of one core on this machine: speed-up, overhead, and what a killed node costs.

Simulating cells, drawing faults from normal curves, and fitting classifiers, each on a cluster of one node and of two (loopback
addresses, a token of its own) and in this process; results are compared to the bit. Then each again with the second node killed
at a random moment, and another begun: what was lost, and how much longer it took. Two nodes share the memory and the disk of
one machine: this says what spreading costs, not what many machines give.

    python benchmarks/cluster.py [--cells N] [--curves N] [--kills N] [--only NAME ...] [--out JSON]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

import faultcell as fc
from faultcell.augmentation import adapted
from faultcell.config import TrainConfig
from faultcell.files.embedded import demo_data
from faultcell.runtime.on_ray import RayCluster, _ray, unasked
from faultcell.runtime.workers import Workers
from faultcell.simulate import simulate

HEAD, NODES = "127.0.0.2", "127.0.0.3"
CYCLES = 10
ABOUT = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


def main() -> None:
    options = arguments()
    warnings.simplefilter("ignore")
    works, rows = dict(pieces(options)), []
    for name, work in works.items():
        seconds, same = {}, {}
        seconds["here"], same["here"] = timed(work, 1)
        for count in (1, 2):
            with nodes(count) as (cluster, _):
                seconds[str(count)], same[str(count)] = timed(work, cluster)
        rows.append({"work": name, **seconds, "same": len(set(same.values())) == 1})
        print(
            f"{name}: here {seconds['here']:.1f} s, one node {seconds['1']:.1f} s, two {seconds['2']:.1f} s, "
            f"{seconds['1'] / seconds['2']:.2f} times; results {'the same' if rows[-1]['same'] else 'DIFFER'}",
            flush=True,
        )
        for kill in range(options.kills):
            at = random.Random(kill).uniform(0.1, 0.9) * seconds["2"]
            with nodes(2) as (cluster, lose), ThreadPoolExecutor(1) as thread:
                made_there = thread.submit(timed, work, cluster)
                time.sleep(at)
                lose()  # in this thread, as nodes are begun: Ray sets signals
                took, made = made_there.result()
            rows.append({"work": name, "killed_after": at, "seconds": took, "same": made == same["here"]})
            print(f"  killed after {at:.1f} s: {took:.1f} s, {'nothing lost' if rows[-1]['same'] else 'LOST'}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    sys.exit(not all(row["same"] for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=40, help="simulated")
    parser.add_argument("--curves", type=int, default=50_000, help="drawn")
    parser.add_argument("--kills", type=int, default=0, help="runs of each work in which a node is killed")
    parser.add_argument("--only", nargs="+", help="simulate, augment, classify")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def pieces(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[Workers], str]]]:
    """What is spread, each giving a digest of its result."""
    curves = demo_data("overdischarge").where(pl.col("step_type") == "discharge")
    seen, unseen = curves.split(by="cell_id", test=0.3, seed=0)
    normal, few = seen.select(label=["normal"]), seen.select(label=["overdischarge"]).few(24, seed=0)
    model = adapted(normal, few, config=fc.Config(train=TrainConfig(steps=20)), finetune=fc.FinetuneConfig(steps=10))
    works: dict[str, Callable[[Workers], str]] = {
        "simulate": lambda workers: digest(simulate(cells=options.cells, cycles=CYCLES, workers=workers)),
        "augment": lambda workers: digest(*parts(model, normal, options.curves, workers)),
        "classify": lambda workers: hashlib.sha256(
            fc.classify(
                train=fc.Curves.concat([normal, few]), test=unseen, seeds=2, classifiers=("cnn", "gru"), workers=workers
            )
            .model_dump_json()
            .encode()
        ).hexdigest(),
    }
    yield from ((name, work) for name, work in works.items() if not options.only or name in options.only)


def parts(model: fc.Augmenter, normal: fc.Curves, count: int, workers: Workers) -> Iterator[fc.Curves]:
    yield from model.gone_wrong(model.plan(normal, count=count), workers=workers)


def digest(*tables: Any) -> str:
    """Of the samples and the table of sets, whatever they are cut into."""
    found = hashlib.sha256()
    for one in tables:
        for name in ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius"):
            found.update(one.timeseries[name].to_numpy().tobytes())
        found.update(one.halfcycles.write_csv(include_header=False).encode())
    return found.hexdigest()


def timed(work: Callable[[Workers], str], workers: Workers) -> tuple[float, str]:
    started = time.perf_counter()
    made = work(workers)
    return time.perf_counter() - started, made


@contextmanager
def nodes(count: int) -> Iterator[tuple[RayCluster, Callable[[], None]]]:
    """A cluster of so many nodes, warm; and what kills its second one and begins another."""
    folder = Path(tempfile.mkdtemp(prefix="fc"))
    (folder / "ray").mkdir()
    os.environ["RAY_TMPDIR"] = str(folder)
    ray = _ray(tokened=True)
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        with unasked(folder):
            cluster.add_node(**ABOUT, node_ip_address=HEAD, include_dashboard=False)
        second = [cluster.add_node(**ABOUT, node_ip_address=NODES) for _ in range(count - 1)]
        ray.init(address=cluster.address, _node_ip_address=HEAD, log_to_driver=False, logging_level="ERROR")

        def lose() -> None:
            cluster.remove_node(second[0], allow_graceful=False)
            cluster.add_node(**ABOUT, node_ip_address=NODES)

        carried = RayCluster(cluster.address)
        list(carried.spread(warm, range(2 * count)))
        yield carried, lose
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def warm(_: int) -> None:
    """What a worker imports."""
    import faultcell.augmenter
    import faultcell.simulate.engine  # noqa: F401

    time.sleep(0.5)


if __name__ == "__main__":
    main()
