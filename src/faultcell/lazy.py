"""Names of a package that are loaded when first used, so that importing the package is instant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    No submodule may have the name of something it offers: importing it would hide that.

    Args:
        package: its name.
        home: names it offers, each with the submodule that has it.
    """

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
