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

from dataclasses import dataclass, replace

import numpy as np
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
        step, volt, ampere = self._sampled(curve)
        moved = np.append(0.0, np.cumsum(ampere[:-1])) * step / 3600 / self.capacity_ah
        state, place = self._first_charge(curve, volt[0], ampere[0]) + moved, np.linspace(0.0, 1.0, TABLE)
        ohm, fades = np.interp(state, place, self.ohm), float(np.exp(-step / self.constant))
        drop = np.append(0.0, (self.share * ohm * ampere)[:-1])
        element = lfilter([1 - fades], [1.0, -fades], drop)
        return np.asarray(volt - np.interp(state, place, self.ocv) - (1 - self.share) * ohm * ampere - element)

    def _sampled(self, curve: Loaded) -> tuple[float, Array, Array]:
        """Seconds from sample to sample, V, and A with its sign, at `LENGTH` even times."""
        time = np.linspace(0.0, curve.second[-1] - curve.second[0], LENGTH)
        volt, ampere = (np.interp(time, curve.second - curve.second[0], y) for y in (curve.volt, curve.ampere))
        return float(time[1]), volt, ampere if curve.rising else -ampere

    def innovations(self, curve: Loaded) -> Array:
        """What the filter did not foresee, over what it expected of itself `(LENGTH,)`."""
        step, volt, ampere = self._sampled(curve)
        place = np.linspace(0.0, 1.0, TABLE)
        slope, ohm_slope = np.gradient(self.ocv, place), np.gradient(self.ohm, place)
        charge = self._first_charge(curve, volt[0], ampere[0])
        state, fades = np.array([charge, 0.0]), float(np.exp(-step / self.constant))
        uncertain = np.diag([CHARGE**2, ELEMENT**2])
        noise, moves = np.diag([STEP_CHARGE**2, STEP_ELEMENT**2]), np.array([[1.0, 0.0], [0.0, fades]])
        missed, spread = np.empty(LENGTH), np.empty(LENGTH)
        for k in range(LENGTH):
            ohm = float(np.interp(state[0], place, self.ohm))
            if k:
                state = np.array(
                    [
                        state[0] + ampere[k - 1] * step / 3600 / self.capacity_ah,
                        fades * state[1] + (1 - fades) * self.share * ohm * ampere[k - 1],
                    ]
                )
                uncertain = moves @ uncertain @ moves.T + noise
            foreseen = float(np.interp(state[0], place, self.ocv)) + (1 - self.share) * ohm * ampere[k] + state[1]
            tilt = float(np.interp(state[0], place, slope + (1 - self.share) * ohm_slope * ampere[k]))
            seen = np.array([max(tilt, LEAST_SLOPE), 1.0])
            missed[k], variance = volt[k] - foreseen, float(seen @ uncertain @ seen) + READING**2
            spread[k] = np.sqrt(variance)
            gain = uncertain @ seen / variance
            state, uncertain = state + gain * missed[k], uncertain - np.outer(gain, seen @ uncertain)
        return missed / spread

    def _first_charge(self, curve: Loaded, volt: float, ampere: float) -> float:
        """The state of charge at which a curve begins: a discharge full, a charge where its first voltage says."""
        if not curve.rising:
            return 1.0
        table = np.maximum.accumulate(self.ocv + (1 - self.share) * self.ohm * ampere)
        return float(np.interp(volt, table, np.linspace(0.0, 1.0, TABLE)))


def cusum(innovations: Array) -> float:
    """How far the innovations add up on either side, beyond what chance makes them `(n,)`."""
    most = 0.0
    for sign in (1.0, -1.0):
        total = 0.0
        for value in np.clip(sign * innovations, -10, 10) - DRIFT:
            total = max(0.0, total + float(value))
            most = max(most, total)
    return most
