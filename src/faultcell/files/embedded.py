"""The curve set that comes with the package: virtual cells, made by `faultcell simulate`."""

from __future__ import annotations

from importlib.resources import as_file, files

from faultcell.curves.curves import Curves
from faultcell.files import read


def demo_data() -> Curves:
    """The curve set that comes with the package: simulated ageing, overcharge and overdischarge (see `data/README.md`)."""
    with as_file(files("faultcell") / "data") as folder:
        return read(folder)
