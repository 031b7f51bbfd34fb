"""What a cycler makes of a half-cycle: sampling, noise, quantisation, and the severity read off the record. Pure.

Every class goes through the same instrument: one sample each `PERIOD_SECOND` plus the last instant, where a cycler
records the voltage event that ends the step; offsets, which the plan of a cell knows; Gaussian noise of 1.5 mV, 5 mA and 0.1 K;
steps of 1 mV, 1 mA and 0.1 K.
"""

from __future__ import annotations

import numpy as np

from faultcell.simulate.engine import PERIOD_SECOND, Floats, Wave
from faultcell.simulate.scenarios import LOWER_LIMIT_VOLT, UPPER_LIMIT_VOLT, StepType

_SECONDS_PER_HOUR = 3600.0
_NOISE_VOLT, _NOISE_AMPERE, _NOISE_CELSIUS = 0.0015, 0.005, 0.1


def record(wave: Wave, *, rng: np.random.Generator, offsets: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Wave:
    """Sample a half-cycle as an instrument would that reads so much too much [V, A, K]."""
    end = float(wave.second[-1])
    # A regular sample within half a second of the last one would tell nothing new.
    second = np.append(np.arange(0.0, end - 0.5, PERIOD_SECOND), round(end, 3))

    def channel(values: Floats, noise: float, decimals: int, offset: float) -> Floats:
        noisy: Floats = np.interp(second, wave.second, values) + offset + rng.normal(scale=noise, size=len(second))
        return noisy.round(decimals)

    return Wave(
        second=second,
        volt=channel(wave.volt, _NOISE_VOLT, 3, offsets[0]),
        ampere=channel(wave.ampere, _NOISE_AMPERE, 3, offsets[1]),
        celsius=channel(wave.celsius, _NOISE_CELSIUS, 1, offsets[2]),
    )


def excess_volt(wave: Wave, *, step_type: StepType) -> Floats:
    """Distance of each sample beyond the limit a half-cycle of that type can exceed [V], negative within; (N,)."""
    return wave.volt - UPPER_LIMIT_VOLT if step_type == "charge" else LOWER_LIMIT_VOLT - wave.volt


def outside_volt(wave: Wave) -> float:
    """How far a half-cycle leaves the rated limits on either side [V], 0 if it does not."""
    return float(max(wave.volt.max() - UPPER_LIMIT_VOLT, LOWER_LIMIT_VOLT - wave.volt.min(), 0.0))


def seconds_beyond(second: Floats, excess: Floats) -> float:
    """Time with a positive excess [s], the curve taken as straight between samples."""
    high, low = np.maximum(excess[1:], excess[:-1]), np.minimum(excess[1:], excess[:-1])
    crossing = (high > 0) & (low < 0)
    share = np.where(low >= 0, (high > 0).astype(np.float64), 0.0)
    share[crossing] = high[crossing] / (high - low)[crossing]
    return float(np.sum(share * np.diff(second)))


def volt_hours_beyond(second: Floats, excess: Floats) -> float:
    """Exposure: integral of the positive part of the excess [V.h]."""
    return float(np.trapezoid(np.maximum(excess, 0.0), second) / _SECONDS_PER_HOUR)


def ampere_hours(wave: Wave) -> float:
    """Charge moved [A.h], without sign."""
    return float(np.trapezoid(np.abs(wave.ampere), wave.second) / _SECONDS_PER_HOUR)
