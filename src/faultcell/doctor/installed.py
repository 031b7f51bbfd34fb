"""Which packages are installed, whether they can be used, and builds that are known to be in the way."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module, metadata
from importlib.util import find_spec

from faultcell.doctor.check import Look
from faultcell.errors import first_line

NEEDED = (
    *("torch", "numpy", "scipy", "polars", "pyarrow", "sklearn", "skorch", "imblearn", "diffusers"),
    *("pydantic", "typer", "rich", "safetensors", "matplotlib", "jinja2"),
)
DISTRIBUTION = {"sklearn": "scikit-learn", "imblearn": "imbalanced-learn"}
PATIENCE = 60  # seconds for a package to show that it can be imported


def packages() -> Look:
    """Versions of what is needed; what cannot be imported is a problem."""
    found, wrong = {}, []
    for name in NEEDED:
        distribution = DISTRIBUTION.get(name, name)
        try:
            import_module(name)
            found[distribution] = metadata.version(distribution)
        except Exception as error:  # a broken binary raises whatever it likes
            found[distribution] = "broken"
            wrong.append(f'{distribution} cannot be imported ({first_line(error, 200)}): run `pip install "faultcell"` again')
    return found, wrong, []


def extras() -> Look:
    """Which extras are installed, by what the installed distribution says of itself."""
    try:
        required = metadata.requires("faultcell") or []
    except metadata.PackageNotFoundError:
        return {}, [], ['faultcell runs from its source and is not installed, so its extras are unknown: `pip install -e "."`']
    return {name: state(name, needs) for name, needs in by_extra(required).items()}, [], []


def by_extra(required: Iterable[str]) -> dict[str, list[str]]:
    """Distributions by extra, of requirements as `importlib.metadata.requires` gives them."""
    found: dict[str, list[str]] = {}
    for line in required:
        extra, name = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", line), re.match(r"[\w.-]+", line)
        if extra and name:
            found.setdefault(extra[1], []).append(name[0])
    return found


def state(extra: str, needs: Iterable[str]) -> str:
    """Whether all distributions of an extra are installed; else which are missing, and the remedy."""
    missing = [name for name in needs if not _installed(name)]
    return f'missing {", ".join(missing)}: `pip install "faultcell[{extra}]"`' if missing else "installed"


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def traps() -> Look:
    """Builds of other packages that are known to be in the way."""
    import torch

    strange = []
    build = torch.version.cuda
    if build and not torch.cuda.is_available():
        strange.append(
            f"torch is the CUDA {build} build and no GPU is found: the CPU build does the same in a tenth of the space"
        )
    if find_spec("torchvision") is not None:
        strange += _torchvision()
    found = {
        "torch build": f"CUDA {build}" if build else "CPU",
        "torchvision": "present" if find_spec("torchvision") else "absent",
    }
    return found, [], strange


def _torchvision() -> Iterable[str]:
    """One made for another torch breaks every library that imports it; a child process shows whether this one does."""
    try:
        command = [sys.executable, "-c", "import torchvision"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return [f"torchvision takes more than {PATIENCE} s to import: uninstall it, FaultCell does not need it"]
    if shown.returncode == 0:
        return []
    reason = (shown.stderr.strip().splitlines() or ["no reason given"])[-1][:160]
    return [f"torchvision does not fit torch ({reason}): `pip uninstall torchvision`, FaultCell does not need it"]
