"""Point-wise standardisation of what curves have beyond what is expected of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultcell.curves.schema import Array

# Of the width of a curve's rest: what strays less is fixed by construction, as the crossing of the limit is.
FLOOR = 0.02
FAULTY_AS = 3  # blocks of kinds: normal curves, faults beyond a limit, faults inside all limits
PLAIN_WEIGHT, SOURCE_WEIGHT = 2.0, 16.0  # curves for which it counts what is thought of a point before it is seen


@dataclass(frozen=True, eq=False)
class Scaler:
    """Point-wise standardisation, a set of numbers for each kind of curve; `inverse(forward(x)) == x`.

    Fitted on what curves of the source domain have beyond what is expected of them. Scaling each point of the grid by its own
    spread keeps narrow data wide enough for the noise schedule: samplers lose the spread of data whose deviation is far below
    one.

    Attributes:
        mean: `(K, C, L)` for the K kinds.
        std: `(K, C, L)`.
        duration_mean: of the durations `(K, 2)`.
        duration_std: `(K, 2)`.
        seen: curves that a point's numbers come from `(K, C, L)`.
        duration_seen: the same of the durations `(K, 2)`.
    """

    mean: Array
    std: Array
    duration_mean: Array
    duration_std: Array
    seen: Array
    duration_seen: Array

    @classmethod
    def fit(cls, values: Array, mask: NDArray[np.bool_], durations: Array, kind: NDArray[np.int64], kinds: int) -> Scaler:
        """Statistics of curves, drawn towards zero and one as if a few more curves showed them.

        Args:
            values: `(N, C, L)`.
            mask: where they are known `(N, C, L)`.
            durations: `(N, 2)`, NaN where unknown.
            kind: of each curve `(N,)`.
            kinds: how many there are.
        """
        parts = []
        for index in range(kinds):
            chosen, two = kind == index, durations[kind == index]
            mean, std, seen = _moments(values[chosen].astype(np.float64), mask[chosen])
            parts.append((mean, std, *_moments(np.nan_to_num(two), np.isfinite(two)), seen))
        mean, std, duration_mean, duration_std, duration_seen, seen = (np.stack(part) for part in zip(*parts, strict=True))
        return cls(mean, std, duration_mean, duration_std, seen, duration_seen)

    @classmethod
    def to_range(
        cls, values: Array, mask: NDArray[np.bool_], durations: Array, *, mode: NDArray[np.int64], modes: int, kinds: int
    ) -> Scaler:
        """Each channel to 0 at its least and 1 at its most, the same at all points and for all kinds of a mode; the paper's.

        Args:
            values: `(N, C, L)`.
            mask: where they are known `(N, C, L)`.
            durations: `(N, 2)`, NaN where unknown; these are standardised.
            mode: of each curve `(N,)`.
            modes: how many modes there are; kind *k* is of mode `k % modes`.
            kinds: how many kinds there are.
        """
        parts = []
        for index in range(modes):
            chosen, two = mode == index, durations[mode == index]
            known = mask[chosen]
            least = np.where(known, values[chosen], np.inf).min(axis=(0, 2), initial=np.inf)
            most = np.where(known, values[chosen], -np.inf).max(axis=(0, 2), initial=-np.inf)
            there = np.isfinite(least)
            low, wide = np.where(there, least, 0.0), np.where(there, np.maximum(most - least, FLOOR), 1.0)
            shape = known.shape[1:]
            seen = np.broadcast_to(known.any(axis=2).sum(axis=0)[:, None], shape).astype(np.float64)
            grid = (np.broadcast_to(part[:, None], shape) for part in (low, wide))
            parts.append((*grid, *_moments(np.nan_to_num(two), np.isfinite(two)), seen))
        each = [np.stack([part[i] for part in parts]) for i in range(len(parts[0]))]
        mean, std, duration_mean, duration_std, duration_seen, seen = (np.concatenate([x] * (kinds // modes)) for x in each)
        return cls(mean, std, duration_mean, duration_std, seen, duration_seen)

    def completed(self, other: Scaler) -> Scaler:
        """The same scaler, with another's numbers where it has seen nothing."""
        found = {
            "seen": np.maximum(self.seen, other.seen),
            "duration_seen": np.maximum(self.duration_seen, other.duration_seen),
        }
        for prefix in ("", "duration_"):
            new = getattr(self, f"{prefix}seen") == 0
            names = (f"{prefix}mean", f"{prefix}std")
            found |= {name: np.where(new, getattr(other, name), getattr(self, name)) for name in names}
        return Scaler(**found)

    def adapted(self, few: Scaler) -> Scaler:
        """The same scaler, for faults with the numbers of a few, drawn towards those of normal curves of their kind.

        The kinds are those of normal curves, of faults beyond a limit and of faults inside all of them. Where no normal curve
        has been seen, as beyond a limit that none of them leaves, the few alone count, for all.
        """
        part = len(self.mean) // FAULTY_AS
        faulty = (slice(part, 2 * part), slice(2 * part, 3 * part))
        found = {}
        for name in ("seen", "duration_seen"):
            found[name] = np.concatenate([getattr(self, name)[:part], *(getattr(few, name)[kinds] for kinds in faulty)])
        for prefix in ("", "duration_"):
            names = [f"{prefix}{name}" for name in ("mean", "std", "seen")]
            mean, std, seen = (getattr(self, name)[:part] for name in names)
            first_mean, first_std = (getattr(few, name)[faulty[0]] for name in names[:2])
            means, stds = [np.where(seen > 0, mean, first_mean)], [np.where(seen > 0, std, first_std)]
            for kinds in faulty:
                other_mean, other_std, count = (getattr(few, name)[kinds] for name in names)
                share = np.where(seen > 0, count / (count + SOURCE_WEIGHT), 1.0)
                means.append(mean + share * (other_mean - mean))
                stds.append(np.sqrt((1 - share) * std**2 + share * other_std**2))
            found[f"{prefix}mean"], found[f"{prefix}std"] = np.concatenate(means), np.concatenate(stds)
        return Scaler(**found)

    def forward(self, values: Array, kind: NDArray[np.int64]) -> Array:
        """Channels to scaled ones `(N, C, L)`."""
        return (values - self.mean[kind]) / self.std[kind]

    def inverse(self, scaled: Array, kind: NDArray[np.int64]) -> Array:
        """The inverse of `forward` `(N, C, L)`."""
        return scaled * self.std[kind] + self.mean[kind]

    def forward_durations(self, durations: Array, kind: NDArray[np.int64]) -> Array:
        """Durations to scaled ones `(N, 2)`."""
        return (durations - self.duration_mean[kind]) / self.duration_std[kind]

    def inverse_durations(self, scaled: Array, kind: NDArray[np.int64]) -> Array:
        """The inverse of `forward_durations` `(N, 2)`."""
        return scaled * self.duration_std[kind] + self.duration_mean[kind]


def _moments(values: Array, mask: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Masked mean and standard deviation over the first axis, drawn towards zero and one, and how many there are."""
    count = mask.sum(axis=0).astype(np.float64)
    mean = (values * mask).sum(axis=0) / (count + PLAIN_WEIGHT)
    square = (((values - mean) ** 2) * mask).sum(axis=0)
    return mean, np.maximum(np.sqrt((square + PLAIN_WEIGHT) / (count + PLAIN_WEIGHT)), FLOOR), count
