"""One net, fitted on what an arm of a task gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.curves import Curves
from faultcell.curves.schema import Array
from faultcell.diagnosis.tasks import Task, seen_beside
from faultcell.models.classifiers import Net, net
from faultcell.runtime.workers import one_thread


@dataclass(frozen=True, eq=False)
class Data:
    """One arm.

    Attributes:
        train: scaled channels `(N, C, L)`, those the arm adds last.
        truth: one for a fault `(N,)`.
        added: curves the arm adds.
        test: scaled channels `(M, C, L)`.
        beyond: how far test curves go beyond their limit, V `(M, 1)`.
        protocol: how the training curves were run; see `views.Seen` `(N, 3)`.
        test_protocol: the same of the test curves `(M, 3)`.
    """

    train: NDArray[np.float32]
    truth: NDArray[np.int64]
    added: int
    test: NDArray[np.float32]
    beyond: Array
    protocol: Array
    test_protocol: Array

    @classmethod
    def of(cls, task: Task, extra: Curves | None) -> Data:
        """The curves of a task, and those an arm adds."""
        real, test = task.train.seen.values, task.test.seen
        seen = None if extra is None else seen_beside(extra, task.view, task.known)
        more = real[:0] if seen is None else seen.values[seen.usable]
        protocol = task.train.seen.protocol
        if seen is not None:
            protocol = np.concatenate([protocol, seen.protocol[seen.usable]])
        truth = np.concatenate([task.train.truth, np.ones(len(more), dtype=np.int64)])
        train = task.scaled(np.concatenate([real, more]))
        return cls(train, truth, len(more), task.scaled(test.values), test.beyond[:, None], protocol, test.protocol)


def fit(name: str, data: Data, *, seed: int, steps: int, weighted: bool = False) -> Net:
    """A net of `models.classifiers.NETS`, fitted in one thread: the same bits on any machine of a kind.

    Args:
        name: of the net.
        data: what it learns from.
        seed: of initial weights and batches.
        steps: optimiser steps.
        weighted: let both classes count alike.
    """
    weights = len(data.truth) / (2 * np.bincount(data.truth, minlength=2)) if weighted else None
    shape = (data.train.shape[1], data.train.shape[2])
    with one_thread():
        fitted: Net = net(name, shape=shape, seed=seed, steps=steps, class_weights=weights).fit(data.train, data.truth)
    return fitted
