"""Names of a package that are loaded when first used, so that importing the package is instant."""

from __future__ import annotations

import sys
import warnings
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


def moved(old: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module that is kept for one release, since others may import from it.

    Args:
        old: its name.
        home: names that it offered, each with the module that has it now, or with module and another name: `module:name`.
    """

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module '{old}' has no attribute '{name}'")
        module, _, new = home[name].partition(":")
        warnings.warn(f"{old}.{name} is {module}.{new or name} now", DeprecationWarning, stacklevel=2)
        return getattr(import_module(module), new or name)

    return load
