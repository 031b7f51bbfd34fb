"""The same work on many items, spread over processes or machines: results in order, and the same whatever carries it."""

from __future__ import annotations

import operator
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from faultcell.errors import ConditionError, FaultCellError

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_PROCESSES = 61  # which Windows can wait for
AHEAD = 3  # items for each worker that are begun before the first of them is done: what waits is held in memory


@runtime_checkable
class Cluster(Protocol):
    """What carries work to other machines; see `on_ray`."""

    def spread(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `work` makes of each item, in their order."""
        ...


Workers: TypeAlias = int | Cluster
"""Processes of this machine, or a cluster."""


def spread(work: Callable[[Item], Result], items: Iterable[Item], *, workers: Workers) -> Iterator[Result]:
    """What `work` makes of each item, in their order.

    Args:
        work: a function of a module, or a `functools.partial` of one; the same item gives the same result, for a cluster may do
            it twice.
        items: what to work on.
        workers: processes, no more than there are items; with one the work is done here. Or a cluster.

    Raises:
        FaultCellError: one of them was ended by something else.
    """
    if isinstance(workers, Cluster):
        yield from workers.spread(work, items)
        return
    count = operator.index(workers)
    if count < 1:
        raise ConditionError(f"workers must be at least 1, found {count}")
    count = min(count, max(len(items), 1)) if isinstance(items, Sized) else count
    if count == 1:
        yield from map(work, items)
        return
    with Processes(count) as processes:
        yield from processes.spread(work, items)


class Processes:
    """Processes of this machine that stay: who spreads several things spares to begin them anew for each.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._count = min(count, MOST_PROCESSES)
        # Not fork: torch, polars and PyBaMM all hold threads.
        self._pool = ProcessPoolExecutor(self._count, mp_context=get_context("spawn"), initializer=attend)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for child in [*(self._pool._processes or {}).values()]:
                child.kill()  # nobody waits for what they do; outputs are written whole or not at all
        self._pool.shutdown()

    def spread(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `work` makes of each item, in their order; raises as `spread` does."""
        begun = (self._pool.submit(work, item) for item in items)
        try:
            yield from in_order(begun, ahead=AHEAD * self._count, result=Future.result)
        except BrokenProcessPool as error:  # the pool has ended the others
            raise FaultCellError(
                "a process that worked for this one was ended from outside, most likely for want of memory: begin again with "
                "fewer workers"
            ) from error


def in_order(coming: Iterable[Item], *, ahead: int, result: Callable[[Item], Result]) -> Iterator[Result]:
    """The results of what was begun, in the order in which it was; no more of it is begun ahead than so much."""
    waiting = deque[Item]()
    for begun in coming:
        waiting.append(begun)
        if len(waiting) > ahead:
            yield result(waiting.popleft())
    while waiting:
        yield result(waiting.popleft())


def ahead(coming: Iterator[Item]) -> Iterator[Item]:
    """The same items; each is made in a thread of its own while who asked for the one before it works on that."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, coming, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, coming, end)
            yield cast(Item, item)
            del item  # before the next one is asked for


def attend() -> None:
    """What a process that works for another does at first: Ctrl-C is for that one to see, and its end is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and NumPy add up in the same order whatever the machine, and processes do not fight for its cores."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
