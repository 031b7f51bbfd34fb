"""What known faults inside all limits do: what they have beyond what physics says of the cells' own normal curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.schema import Array
from faultcell.encoding.grid import TEMPERATURE, smoothed
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.fault_effect import KELVIN, FaultEffect, OwnNormals, rise_of
from faultcell.regression.holdout import own_cell, own_normal
from faultcell.regression.support import SupportSet


def with_effect(regression: KernelRegression) -> KernelRegression:
    """A regression that has none yet, with what its known faults inside all limits do beyond what physics says.

    Physics is held against the cell's own normal curve; where it has none, against what other cells let expect.
    """
    rows = np.flatnonzero(regression.known.queries.inside)
    if not rows.size or not regression.predicts:
        return regression
    some = regression.known.take(rows)
    excluded = own_cell(some, regression.known)
    partner = own_normal(some, regression.known)
    earlier = regression.known.take(np.maximum(partner, 0))
    plain = regression.predict(
        earlier.queries, earlier.log_seconds, excluded=own_cell(earlier, regression.known), cell=earlier.cell
    )
    apart = np.where(partner >= 0, regression.apart(some.queries, earlier.queries), np.nan)
    moved = regression.shift_by(earlier, plain, apart=apart)
    moved = moved.told_from(OwnNormals.of(earlier, partner >= 0).begun_as(some, regression.grid))
    prediction = regression.predict(some.queries, some.log_seconds, excluded=excluded, cell=some.cell, correction=moved)
    values = smoothed(np.where(some.mask, some.values - prediction.values, 0.0), regression.grid)
    log_seconds = np.nan_to_num(some.log_seconds - prediction.log_seconds)
    kelvin = _warmer(some, earlier, partner >= 0)
    rise = rise_of(earlier.values.astype(np.float64), earlier.mask, regression.grid)
    return replace(
        regression, effect=FaultEffect.of(rows, values, log_seconds, kelvin, rise, regression.known, regression.grid)
    )


def _warmer(faults: SupportSet, normal: SupportSet, there: NDArray[np.bool_]) -> Array:
    """How much warmer faults begin than these normal curves and the first order say, K; zero where unknown `(N,)`."""
    known = there & faults.mask[:, TEMPERATURE, 0] & normal.mask[:, TEMPERATURE, 0]
    apart = faults.values[:, TEMPERATURE, 0].astype(np.float64) - normal.values[:, TEMPERATURE, 0]
    return np.where(known, apart - faults.queries.first_order[:, KELVIN], 0.0)
