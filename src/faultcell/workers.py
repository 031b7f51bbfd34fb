"""The same work on many items, spread over processes: results in order, and the same for any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """What `work` makes of each item, in their order.

    Args:
        work: a function of a module, or a `functools.partial` of one.
        items: what to work on.
        workers: processes; with one the work is done here.
    """
    if workers == 1:
        yield from map(work, items)
        return
    # Not fork: torch, polars and PyBaMM all hold threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, items)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch adds its sums up in the same order whatever the machine, and processes do not fight for its cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
