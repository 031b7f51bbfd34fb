"""Is this machine fit for FaultCell? What is installed, what the machine offers, known traps, and a run of the real thing.

Only what can be looked at here and now is said. A check that finds the needed broken makes the whole unsound; what is merely
slow or wasteful is a warning with its remedy.

installed.py  packages, extras, builds that are in the way
machine.py    cores, threads, processor, disk, memory
trial.py      loads the embedded data, trains, draws
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from typing import Any

from faultcell import __version__
from faultcell.doctor.check import Facts, Look
from faultcell.doctor.installed import extras, packages, traps
from faultcell.doctor.machine import processor, space
from faultcell.doctor.trial import trial
from faultcell.errors import first_line

CHECKS: dict[str, Callable[[], Look]] = {
    "packages": packages,
    "extras": extras,
    "processor": processor,
    "space": space,
    "traps": traps,
    "trial": trial,
}


def examine() -> Facts:
    """All that is found, as plain values.

    Returns:
        Facts by group; `problems` (what must be mended), `warnings`, and `sound`, which is false if there are problems.
    """
    problems: list[str] = []
    warnings: list[str] = []
    facts: Facts = {"faultcell": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name, look in CHECKS.items():
        try:
            found, wrong, strange = look()
        except Exception as error:  # whatever it is, it is what is wrong with this machine
            found, wrong, strange = {"looked at": "in vain"}, [f"{name}: {first_line(error, 200)}"], []
        facts[name] = found
        problems += wrong
        warnings += strange
    return {**facts, "warnings": warnings, "problems": problems, "sound": not problems}


def text(found: Mapping[str, Any]) -> str:
    """The same as lines."""
    lines = []
    for name, value in found.items():
        if name in ("warnings", "problems"):
            lines += [f"{name[:-1]}: {sentence}" for sentence in value]
        elif isinstance(value, Mapping):
            lines += [f"{name}:", *(f"  {key}: {_spelt(part)}" for key, part in value.items())]
        elif name != "sound":
            lines.append(f"{name}: {value}")
    return "\n".join([*lines, "all that is needed is sound" if found["sound"] else "not sound: see the problems above"])


def _spelt(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
