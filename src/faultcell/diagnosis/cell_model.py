"""An equivalent circuit of one cell, from its own normal curves, and an extended Kalman filter on it.

    v = OCV(s) + (1 - f) R(s) i + u,    s' = i / Q,    u' = (f R(s) i - u) / tau

with the state of charge `s` and the voltage `u` of one RC element. OCV and R come from a normal charge and a normal discharge
of the cell, between them and by what lies between; what is left of either curve chooses `f` and `tau`. The filter follows a new
curve and tells, sample by sample, how far the voltage is from what the model foresaw.

References:
    Plett, Extended Kalman filtering for battery management systems of LiPB-based HEV battery packs, 2004,
    https://doi.org/10.1016/j.jpowsour.2004.02.031, .032 and .033.
    Page, Continuous Inspection Schemes, 1954, https://doi.org/10.1093/biomet/41.1-2.100 (CUSUM).
    Liu et al., model-based sensor fault diagnosis of a battery pack, Energies 8 (2015) 6509, https://doi.org/10.3390/en8076509
    (extended Kalman filter and CUSUM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls
from scipy.signal import lfilter

from faultcell.curves.against_normal import Loaded
from faultcell.curves.schema import Array

LENGTH = 200  # samples of a curve that the filter looks at
TABLE = 101  # of the state of charge
SHARES, CONSTANTS = (0.1, 0.3, 0.5, 0.7), (10.0, 30.0, 100.0, 300.0)  # of the resistance in the RC element; s
# Standard deviations: of a voltage reading, of the charge and of the voltage of the element, of a step of either.
READING, CHARGE, ELEMENT, STEP_CHARGE, STEP_ELEMENT = 0.003, 0.02, 0.01, 2e-4, 5e-4
DRIFT = 0.5  # standard deviations that a CUSUM forgives
LEAST_SLOPE = 0.05  # V a unit of charge: a flat curve tells no charge


@dataclass(frozen=True, eq=False)
class CellModel:
    """The circuit of one cell.

    Attributes:
        ocv: open-circuit voltage over the state of charge, V `(TABLE,)`.
        ohm: resistance there `(TABLE,)`.
        share: of the resistance that is in the RC element.
        constant: time constant of that, s.
        capacity_ah: charge from one end of the table to the other.
    """

    ocv: Array
    ohm: Array
    share: float
    constant: float
    capacity_ah: float

    @classmethod
    def of(cls, charge: Loaded, discharge: Loaded) -> CellModel | None:
        """From a normal charge and a normal discharge of the cell; None where they have no charge in common."""
        if min(charge.second.size, discharge.second.size) < 8:
            return None
        # Both are told from full: a charge may begin anywhere, and a discharge begins where a charge has ended.
        capacity = float(max(charge.moved[-1], discharge.moved[-1]))
        place = np.linspace(0.0, 1.0, TABLE)
        filling, emptying = 1 - (charge.moved[-1] - charge.moved) / capacity, (1 - discharge.moved / capacity)[::-1]
        up, up_ampere = (np.interp(place, filling, y) for y in (charge.volt, charge.ampere))
        down, down_ampere = (np.interp(place, emptying, y[::-1]) for y in (discharge.volt, discharge.ampere))
        both = np.maximum(up_ampere + down_ampere, 1e-6)
        ohm, ocv = np.clip((up - down) / both, 1e-4, 1.0), (up * down_ampere + down * up_ampere) / both
        plain = cls(ocv, ohm, SHARES[0], CONSTANTS[0], capacity)
        tried = [replace(plain, share=share, constant=constant) for share in SHARES for constant in CONSTANTS]
        errors = [sum(float(np.square(model.misses(one)).mean()) for one in (charge, discharge)) for model in tried]
        return tried[int(np.argmin(errors))]

    def misses(self, curve: Loaded) -> Array:
        """How far a curve is from the model without a filter, V `(LENGTH,)`."""
        step, volt, ampere = self.sampled(curve)
        state, place = self.counted(curve, step, volt, ampere), np.linspace(0.0, 1.0, TABLE)
        ohm, fades = np.interp(state, place, self.ohm), float(np.exp(-step / self.constant))
        drop = np.append(0.0, (self.share * ohm * ampere)[:-1])
        element = lfilter([1 - fades], [1.0, -fades], drop)
        return np.asarray(volt - np.interp(state, place, self.ocv) - (1 - self.share) * ohm * ampere - element)

    @staticmethod
    def sampled(curve: Loaded) -> tuple[float, Array, Array]:
        """Seconds from sample to sample, V, and A with its sign, at `LENGTH` even times."""
        time = np.linspace(0.0, curve.second[-1] - curve.second[0], LENGTH)
        volt, ampere = (np.interp(time, curve.second - curve.second[0], y) for y in (curve.volt, curve.ampere))
        return float(time[1]), volt, ampere if curve.rising else -ampere

    def innovations(self, curve: Loaded) -> Array:
        """What the filter did not foresee, over what it expected of itself `(LENGTH,)`."""
        return np.asarray(innovations([self], [curve])[0])

    def counted(self, curve: Loaded, step: float, volt: Array, ampere: Array) -> Array:
        """The state of charge at the samples of `sampled`, by counting `(LENGTH,)`."""
        moved = np.append(0.0, np.cumsum(ampere[:-1])) * step / 3600 / self.capacity_ah
        return self.first_charge(curve, volt[0], ampere[0]) + moved

    def first_charge(self, curve: Loaded, volt: float, ampere: float) -> float:
        """The state of charge at which a curve begins: a discharge full, a charge where its first voltage says."""
        if not curve.rising:
            return 1.0
        table = np.maximum.accumulate(self.ocv + (1 - self.share) * self.ohm * ampere)
        return float(np.interp(volt, table, np.linspace(0.0, 1.0, TABLE)))


def innovations(models: Sequence[CellModel], curves: Sequence[Loaded]) -> Array:
    """What the filter of each cell did not foresee of its curve, over what it expected of itself `(N, LENGTH)`.

    Args:
        models: of the cells, one for each curve.
        curves: of eight samples at least.
    """
    sampled = [model.sampled(curve) for model, curve in zip(models, curves, strict=True)]
    step, volt, ampere = (np.array([one[k] for one in sampled]) for k in range(3))
    ocv, ohm = (np.array([getattr(model, name) for model in models]) for name in ("ocv", "ohm"))
    share, constant, capacity = (np.array([getattr(m, n) for m in models]) for n in ("share", "constant", "capacity_ah"))
    slope, ohm_slope = (np.gradient(table, 1 / (TABLE - 1), axis=1) for table in (ocv, ohm))
    charge = np.array([m.first_charge(c, v[0], i[0]) for m, c, v, i in zip(models, curves, volt, ampere, strict=True)])
    element, fades = np.zeros(len(models)), np.exp(-step / constant)
    p00, p01, p11 = CHARGE**2 + 0 * share, 0 * share, ELEMENT**2 + 0 * share  # what is uncertain, and together
    missed = np.empty((len(models), LENGTH))
    for k in range(LENGTH):
        now = _at(ohm, charge)
        if k:
            element = fades * element + (1 - fades) * share * now * ampere[:, k - 1]
            charge = charge + ampere[:, k - 1] * step / 3600 / capacity
            p00, p01, p11, now = p00 + STEP_CHARGE**2, fades * p01, fades**2 * p11 + STEP_ELEMENT**2, _at(ohm, charge)
        foreseen = _at(ocv, charge) + (1 - share) * now * ampere[:, k] + element
        tilt = np.maximum(_at(slope, charge) + (1 - share) * _at(ohm_slope, charge) * ampere[:, k], LEAST_SLOPE)
        along, own = tilt * p00 + p01, tilt * p01 + p11
        variance, error = tilt * along + own + READING**2, volt[:, k] - foreseen
        missed[:, k] = error / np.sqrt(variance)
        charge, element = charge + along / variance * error, element + own / variance * error
        p00, p01, p11 = p00 - along**2 / variance, p01 - along * own / variance, p11 - own**2 / variance
    return missed


def _at(tables: Array, state: Array) -> Array:
    """Each table at its own state of charge, its ends beyond them `(N,)`."""
    place = np.clip(state, 0.0, 1.0) * (TABLE - 1)
    low, row = np.minimum(place.astype(int), TABLE - 2), np.arange(len(state))
    return np.asarray(tables[row, low] + (place - low) * (tables[row, low + 1] - tables[row, low]))


@dataclass(frozen=True, eq=False)
class ThermalModel:
    """A cell of one temperature, warmed by its resistance and cooled by its surroundings.

        T' = R(s) i^2 / C - (T - T_ambient) / tau

    Attributes:
        circuit: tells the resistance.
        per_joule: 1 / C, K/J.
        per_second: 1 / tau, 1/s.
    """

    circuit: CellModel
    per_joule: float
    per_second: float

    @classmethod
    def of(cls, circuit: CellModel, normals: Sequence[Loaded]) -> ThermalModel | None:
        """The two constants that follow the normal curves best; None where their temperatures are not known."""
        rows = [_balance(circuit, curve) for curve in normals if np.isfinite(curve.celsius).sum() >= 8]
        if not rows:
            return None
        matrix, risen = (np.concatenate([row[k] for row in rows]) for k in range(2))
        per_joule, per_second = nnls(matrix, risen)[0]
        return cls(circuit, float(per_joule), float(per_second))

    def residual(self, curve: Loaded) -> Array:
        """How much warmer a curve is than foreseen from its first temperature on, K; NaN where unknown `(LENGTH,)`."""
        if np.isfinite(curve.celsius).sum() < 8:
            return np.full(LENGTH, np.nan)
        step, heat, celsius, ambient = _warmth(self.circuit, curve)
        kept = float(np.exp(-self.per_second * step))
        gained = step if self.per_second < 1e-9 else (1 - kept) / self.per_second
        pushed = np.append(0.0, heat[:-1]) * self.per_joule * gained
        above = lfilter([1.0], [1.0, -kept], pushed) + (celsius[0] - ambient) * kept ** np.arange(LENGTH)
        return np.asarray(celsius - ambient - above)


def _warmth(circuit: CellModel, curve: Loaded) -> tuple[float, Array, Array, float]:
    """Seconds from sample to sample; heat, W, and temperature, degC, at `LENGTH` even times; that of the surroundings."""
    step, volt, ampere = circuit.sampled(curve)
    state = circuit.counted(curve, step, volt, ampere)
    known = np.isfinite(curve.celsius)
    celsius = np.interp(step * np.arange(LENGTH), curve.second[known] - curve.second[0], curve.celsius[known])
    ambient = curve.ambient_celsius if np.isfinite(curve.ambient_celsius) else float(celsius[0])
    return step, np.interp(state, np.linspace(0.0, 1.0, TABLE), circuit.ohm) * ampere**2, celsius, ambient


def _balance(circuit: CellModel, curve: Loaded) -> tuple[Array, Array]:
    """The heat made and lost so far, times what is sought, and the rise of the temperature that they make."""
    step, heat, celsius, ambient = _warmth(circuit, curve)
    made, lost = (np.append(0.0, np.cumsum(one[:-1]) * step) for one in (heat, celsius - ambient))
    return np.column_stack([made, -lost]), celsius - celsius[0]


def cusum(innovations: Array) -> Array:
    """How far innovations `(..., L)` add up on either side, beyond what chance makes them `(...)`."""
    most = np.zeros(innovations.shape[:-1])
    for sign in (1.0, -1.0):
        total = np.zeros_like(most)
        for value in np.moveaxis(np.clip(sign * innovations, -10, 10) - DRIFT, -1, 0):
            total = np.maximum(0.0, total + value)
            most = np.maximum(most, total)
    return most
