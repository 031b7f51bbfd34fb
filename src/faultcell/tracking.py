"""Kept for one release: see `faultcell.training.tracking`."""

from faultcell.runtime.lazy import moved

__getattr__ = moved(__name__, {"mlflow_logger": "faultcell.training.tracking"})
