"""Pieces of work for other processes and nodes, which import them by name."""

import os
import time
import uuid
from collections import Counter

import polars as pl

import faultcell as fc


def squared(number):
    return number * number


def noted(folder, number):
    """A square, once the test lets go; and that it was begun, and on which node."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    (folder / f"{number} {node} {os.getpid()} {time.monotonic_ns()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return number * number


def begun(folder):
    """Of each time that a piece of work was begun: which, and on which node."""
    return [tuple(path.name.split()[:2]) for path in folder.glob("* *")]


def deadly(number):
    """A square, but for one number that ends its process."""
    if number == 3:
        os._exit(1)
    return number * number


def failing(number):
    if number == 3:
        raise ValueError("three is none of ours")
    return number * number


def threads(_):
    import torch

    return torch.get_num_threads()


def numbered(folder, curves, index, told):
    """A part of a set: some curves whose cells are named after it; how often it was made is in the folder."""
    (folder / f"{index}-{uuid.uuid4().hex}").touch()
    if (folder / f"fail-{index}").exists():
        raise ValueError(f"part {index} fails")
    told["made"].update(times=1)
    if (folder / f"empty-{index}").exists():
        return
    for block in range(2):
        name = pl.concat_str(pl.col("cell_id"), pl.lit(f"-{index}-{block}"))
        yield fc.Curves(*(table.with_columns(cell_id=name) for table in (curves.timeseries, curves.halfcycles)))


def made(folder):
    """How often each part was made."""
    return Counter(int(path.name.partition("-")[0]) for path in folder.iterdir() if path.name[0].isdigit())
