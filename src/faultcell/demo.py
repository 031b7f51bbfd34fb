"""Kept for one release: the embedded data are `faultcell.demo_data()` now."""

from faultcell.runtime.lazy import moved

__getattr__ = moved(__name__, {"embedded": "faultcell:demo_data"})
