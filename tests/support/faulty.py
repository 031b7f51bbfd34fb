"""Work for other processes which hangs, dies, fails or takes its time. In a file of its own: they import it."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from faultcell.errors import ConditionError


def end_itself(how):
    os.kill(os.getpid(), how)


def warm_slowly(served):
    time.sleep(2)


def give(served, value, *, tick):
    return served, value


def pid(served, *, tick):
    return os.getpid()


def die(served, how, *, tick):
    end_itself(how)


def leave(served, code, *, tick):
    os._exit(code)


def hang(served, *, tick):
    """In native code that never comes back, as far as Python can tell: signals stay unanswered too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def fail(served, *, tick):
    raise ZeroDivisionError("a mistake of ours")


def refuse(served, *, tick):
    raise ConditionError("this cannot be met")


def unpicklable(served, *, tick):
    return lambda: 0


def take_all_memory(served, *, tick):
    kept = []
    while True:
        kept.append(np.empty(1 << 27))  # 1 GiB


def wait_for(served, path, *, tick):
    """Until there is such a file; looks after each tick."""
    Path(f"{path}.begun").touch()
    while not Path(path).exists():
        tick(0, 1)
        time.sleep(0.005)
    return Path(path).name


def go_on(served, path, *, tick):
    """For ever, in chunks; leaves a file where it is told to stop."""
    Path(f"{path}.begun").touch()
    try:
        while True:
            tick(0, 1)
            time.sleep(0.005)
    finally:
        Path(f"{path}.ended").touch()


def deaf(served, path, *, tick):
    """For ever, and never asks whether anybody waits."""
    Path(f"{path}.begun").touch()
    while True:
        time.sleep(0.005)
