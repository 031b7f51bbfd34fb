"""Curves as the protocol compares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from faultcell import metrics
from faultcell.curves.curves import Curves, loaded_part
from faultcell.curves.schema import Array
from faultcell.errors import DataError
from faultcell.files.samples import name_curve

POINTS = 128

Index = NDArray[np.int64]
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Measured:
    """The loaded parts of a set of curves on a common grid over their own durations.

    Attributes:
        volts: V `(N, POINTS)`.
        amperes: A `(N, POINTS)`.
        seconds: durations, s `(N,)`.
        charge: moved, Ah, from all samples `(N,)`.
    """

    volts: Array
    amperes: Array
    seconds: Array
    charge: Array

    @classmethod
    def of(cls, curves: Curves) -> Measured:
        """Measure curves.

        Raises:
            DataError: a curve has no load, or a sample under load is no number.
        """
        parts = [loaded_part(curves, rows) for rows in curves.slices()]
        for row, part in enumerate(parts):
            if part.stop - part.start < 2:
                raise DataError(f"{name_curve(curves.halfcycles, row)} has no load to be scored: leave it out")
        columns = map(curves.column, ("step_time_second", "voltage_volt", "current_ampere"))
        times, volts, amperes = ([column[part] for part in parts] for column in columns)
        for row, samples in enumerate(zip(times, volts, amperes, strict=True)):
            if not np.isfinite(samples).all():
                name = name_curve(curves.halfcycles, row)
                raise DataError(f"{name} has times, voltages or currents that are no numbers: leave it out, or draw it again")
        return cls(
            resampled(times, volts, points=POINTS),
            resampled(times, amperes, points=POINTS),
            np.array([time[-1] - time[0] for time in times]),
            metrics.charge_balance(times, amperes=amperes, capacity=np.ones(len(times))),
        )


@dataclass(frozen=True, eq=False)
class Match:
    """Real curves, generated ones, and whose condition each of those was given.

    Attributes:
        real: each of them once `(N,)`.
        generated: `(M,)`.
        partner: position of the real curve of each generated one `(M,)`.
        reference: voltages whose range becomes [0, 1], V.
    """

    real: Curves
    generated: Curves
    partner: Index
    reference: Array

    @classmethod
    def of(cls, real: Curves, generated: Curves, *, found: Sequence[int], reference: Array | None = None) -> Match:
        """A match of curves `(M,)` with positions among all real curves `(M,)`; those nobody asked for are left out.

        Args:
            real: all real curves.
            generated: curves `(M,)`.
            found: which real curve each belongs to `(M,)`.
            reference: as in `Match`; the voltages of the real curves that are left where not given.
        """
        used, partner = np.unique(np.asarray(found, dtype=np.int64), return_inverse=True)
        kept = real.take(used.tolist())
        return cls(kept, generated, partner, Measured.of(kept).volts if reference is None else reference)

    def partners(self, values: Sequence[Value]) -> list[Value]:
        """For each generated curve `(M,)` the value of its real curve, from those of the real curves `(N,)`."""
        return [values[i] for i in self.partner.tolist()]

    @cached_property
    def ours(self) -> Measured:
        """The generated curves, measured."""
        return Measured.of(self.generated)

    @cached_property
    def theirs(self) -> Measured:
        """The real curves, measured."""
        return Measured.of(self.real)

    def scaled(self, volts: Array) -> Array:
        """Voltages on the scale of the reference `(N, POINTS)`."""
        return metrics.scaled(volts, self.reference)


def resampled(times: Sequence[Array], values: Sequence[Array], *, points: int) -> Array:
    """Values at equal steps of each curve's own duration `(N, points)`."""
    pairs = zip(times, values, strict=True)
    return np.stack([np.interp(np.linspace(time[0], time[-1], points), time, value) for time, value in pairs])
