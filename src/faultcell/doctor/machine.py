"""Cores, threads, what the processor can do, disk and memory."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from faultcell.doctor.check import Facts, Look

CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
LITTLE_DISK_GB, LITTLE_MEMORY_GB = 1.0, 1.0


def processor() -> Look:
    """Cores, threads of each library, and what the processor can do."""
    import polars
    import torch
    from threadpoolctl import threadpool_info

    pools = threadpool_info()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    usable = min(cores, quota) if quota else cores
    blas = sorted({pool["num_threads"] for pool in pools if pool["user_api"] == "blas"})
    threads = {"torch": torch.get_num_threads(), "BLAS": max(blas, default=1), "polars": polars.thread_pool_size()}
    flags = _flags()
    found = {
        "device": "CPU: FaultCell trains and draws on it alone",
        "model": _cpu_model(),
        "cores": cores,
        **({"cores allowed by the container": quota} if quota else {}),
        **{f"{name} threads": count for name, count in threads.items()},
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "vector instructions": [name for name in CPU_FLAGS if name in flags] or "unknown",
        "torch uses": torch.backends.cpu.get_cpu_capability(),
        "bfloat16 in hardware": bool({"avx512_bf16", "amx_bf16", "bf16"} & flags) if flags else "unknown",
    }
    return found, [], [*_oversubscribed(threads, usable), *_two_openmps(pools)]


def _oversubscribed(threads: Mapping[str, int], usable: float) -> Iterable[str]:
    for name, count in threads.items():
        if count > max(usable, 1):
            variable = "POLARS_MAX_THREADS" if name == "polars" else "OMP_NUM_THREADS"
            yield f"{name} uses {count} threads on {usable:g} cores, which slows it: set {variable}={max(1, int(usable))}"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if "OMP_NUM_THREADS" not in os.environ and load > usable:
        yield (
            f"other programs keep {load:.1f} of {usable:g} cores busy, and OMP_NUM_THREADS is not set: where several processes "
            "share a machine, set it to 1"
        )


def _two_openmps(pools: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    kinds = sorted({str(pool["prefix"]) for pool in pools if pool["user_api"] == "openmp"})
    if len(kinds) > 1:
        yield (
            f"two OpenMP runtimes are loaded ({', '.join(kinds)}), which can hang or crash: install torch and NumPy "
            "from one source"
        )


def _quota() -> float | None:
    """Cores that a control group allows, None where it sets no limit."""
    path = Path("/sys/fs/cgroup/cpu.max")
    if not path.exists():
        return None
    most, _, period = path.read_text().partition(" ")
    return None if most == "max" else round(int(most) / int(period), 2)


def _cpu_model() -> str:
    return next((value for name, value in _cpuinfo() if name in ("model name", "Model")), platform.processor() or "unknown")


def _flags() -> set[str]:
    return next((set(value.split()) for name, value in _cpuinfo() if name in ("flags", "Features")), set())


def _cpuinfo() -> Iterable[tuple[str, str]]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return ((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))


def space() -> Look:
    """Whether temporary space and the current folder can be written, how much is free, and memory."""
    found: Facts = {}
    wrong, strange = [], []
    for name, folder in (("temporary folder", tempfile.gettempdir()), ("current folder", os.getcwd())):
        refused = _refused(folder)
        free = shutil.disk_usage(folder).free / 1e9
        found[name] = f"{folder}: {'not writable' if refused else 'writable'}, {free:.1f} GB free"
        if refused and name == "temporary folder":
            wrong.append(f"the temporary folder {folder} cannot be written ({refused}): set TMPDIR to one that can")
        elif refused:
            strange.append(f"the current folder {folder} cannot be written ({refused}): give --out another place")
        elif free < LITTLE_DISK_GB:
            strange.append(f"the {name} {folder} has {free:.1f} GB left: free some before you draw many curves")
    total, left = _memory()
    found["memory"] = "unknown" if total is None else f"{total:.1f} GB, {left:.1f} GB available"
    if left is not None and left < LITTLE_MEMORY_GB:
        strange.append(f"{left:.1f} GB of memory are available, and a demo takes 0.9: close other programs")
    return found, wrong, strange


def _refused(folder: str) -> str:
    """Why a folder cannot be written, empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"faultcell")
            file.flush()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def _memory() -> tuple[float | None, float | None]:
    """Memory in all and available, GB; None where the system does not tell."""
    path = Path("/proc/meminfo")
    if not path.exists():
        return None, None
    kilobytes = dict(re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(), re.MULTILINE))
    total, left = (int(kilobytes[name]) * 1024 / 1e9 for name in ("MemTotal", "MemAvailable"))
    limit, used = (_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit is not None and used is not None and limit < total:
        return limit, min(left, limit - used)
    return total, left


def _number(path: str) -> float | None:
    """A number of bytes in a file, GB; None where there is none."""
    words = Path(path).read_text().strip() if Path(path).exists() else ""
    return int(words) / 1e9 if words.isdigit() else None
