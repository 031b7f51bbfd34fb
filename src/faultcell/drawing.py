"""From conditions and seeds to curves: what a model is asked for is drawn chunk by chunk and put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from faultcell.assemble import Samples, assemble, rebuild
from faultcell.config import GridConfig
from faultcell.curves import REST_C_RATE, Array, Condition, Curves, Key, Load
from faultcell.frame import Asked, Frame
from faultcell.models.generative import Generative, Sampling
from faultcell.prepare import CHANNELS, CURRENT, REST, charging, has_tail, known_currents
from faultcell.profile import Profile
from faultcell.references import References

CHUNK = 64  # curves drawn at once; always padded to this, so that a curve's bits do not depend on its neighbours


@dataclass(frozen=True, eq=False)
class Drawing:
    """A draw from a model: the model, how it is drawn from, and what is known of the cells.

    Attributes:
        network: the averaged weights.
        frame: what stands between curves and the network.
        profile: what the model has seen.
        origin: SHA-256 of the model.
        how: sampling steps and guidance.
        references: earlier curves of the cells.
        seen: keys of the curves that were named so far.
    """

    network: Generative
    frame: Frame
    profile: Profile
    origin: str
    how: Sampling
    references: References | None
    seen: Counter[Key] = field(default_factory=Counter)

    @property
    def grid(self) -> GridConfig:
        """The anchored grid."""
        return self.frame.neighbours.grid

    def of(
        self, conditions: Sequence[Condition], seeds: Sequence[int], *, on_chunk: Callable[[int, int], None] | None = None
    ) -> Curves:
        """One curve for each condition and seed, which may be a part of all.

        Args:
            conditions: what is asked for.
            seeds: one for each.
            on_chunk: called with curves done and curves in this part.
        """
        complete, drawn = [_with_load(condition) for condition in self.profile.completed(conditions)], list[Samples]()
        for start in range(0, len(seeds), CHUNK):
            asked = complete[start : start + CHUNK]
            coded, seconds = self._chunk(asked, seeds[start : start + CHUNK])
            drawn += rebuild(coded, seconds, asked, self.grid)
            if on_chunk is not None:
                on_chunk(len(drawn), len(seeds))
        beyond, given = [tuple(self.profile.beyond(condition)) for condition in conditions], self.references
        put_together = partial(assemble, drawn, complete, seeds, origin=self.origin, beyond=beyond, seen=self.seen)
        if given is None:
            return put_together()
        rows = given.find(complete)
        return given.named_in(put_together(stood=given.stood(complete, rows)), rows)

    @torch.no_grad()
    def _chunk(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> tuple[Array, Array]:
        """Coded channels `(B, C, L)` and seconds of head and tail `(B, 2)` for at most `CHUNK` conditions."""
        count = len(conditions)
        padded = [*conditions, *[conditions[-1]] * (CHUNK - count)]
        noise = torch.stack([_noise(seed, self.network.noise_size) for seed in [*seeds, *[0] * (CHUNK - count)]])
        asked = self.frame.ask(padded, self.references)
        drawn = self.network.draw_durations(asked.condition(), noise, self.how).clamp(-5, 5)
        seconds = asked.seconds(drawn)
        seconds[[not has_tail(condition) for condition in padded], 1] = np.nan
        mask = torch.tensor(np.isfinite(seconds))
        mask[:, 1] &= torch.tensor(np.isnan(asked.questions.certain))  # as in training: what is certain was not drawn
        asked = asked.lasting(seconds)
        told = self.network.tell(asked.condition(), torch.where(mask, drawn, 0.0), mask)
        currents = known_currents(padded, seconds, self.grid)
        sampled = self.network.draw_curve(told, asked.loads(currents, seconds), noise, self.how)
        coded = self._blanked(asked.coded(sampled)[:count], currents[:count], asked.shown_at_rest()[:count])
        return coded, _balanced(asked, coded, seconds[:count], self.grid.head)

    def _blanked(self, coded: Array, currents: Array, shown: Array) -> Array:
        """Known currents as they are; no values for channels that no training curve had, but at rest what a reference shows."""
        coded[:, CURRENT] = np.where(np.isfinite(currents), currents, coded[:, CURRENT])
        for index, name in enumerate(CHANNELS):
            if name not in self.profile.channels:
                coded[:, index] = shown if index == REST else np.nan
        return coded


def _balanced(asked: Asked, coded: Array, seconds: Array, head: int) -> Array:
    """Seconds by which the charge balances where the C-rate was drawn: a larger current than was expected empties sooner."""
    conditions = asked.conditions[: len(coded)]
    free = np.array([condition.c_rate is None for condition in conditions], dtype=bool)
    sign = np.where(charging(conditions), 1.0, -1.0)
    least = np.array([2 * REST_C_RATE[condition.step] for condition in conditions])
    expected, drawn = (
        np.maximum(sign * np.median(values[: len(coded), CURRENT, :head], axis=1), least)
        for values in (asked.expected.values, coded)
    )
    return np.column_stack([np.where(free, seconds[:, 0] * expected / drawn, seconds[:, 0]), seconds[:, 1]])


def _with_load(condition: Condition) -> Condition:
    """A discharge at a known C-rate has a constant load; the falling current at the end of a charge is left to the model."""
    if condition.load is not None or condition.c_rate is None or condition.step != "discharge":
        return condition
    current = -condition.c_rate * (condition.nominal_capacity_ah or 1.0)
    return replace(condition, load=Load(np.array([0.0, 1.0]), np.array([current, current])))


def _noise(seed: int, size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))
