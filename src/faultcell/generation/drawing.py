"""From conditions and seeds to curves: what a model is asked for is drawn chunk by chunk and put together."""

from __future__ import annotations

import logging
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faultcell.bundle.profile import Profile
from faultcell.config import GridConfig
from faultcell.curves.condition import Condition, Load
from faultcell.curves.curves import Curves
from faultcell.curves.faults import inside
from faultcell.curves.plausibility import violations
from faultcell.curves.schema import Array, Key
from faultcell.encoding.assemble import assemble, key_of
from faultcell.encoding.decode import CurveSamples, cooling_little, rebuild, with_noise
from faultcell.encoding.encode import known_currents
from faultcell.encoding.grid import CHANNELS, CURRENT, REST, has_tail
from faultcell.errors import ConditionError, ImplausibleError, LeftOutWarning, first_line
from faultcell.models.base import GenerativeModel, Sampling
from faultcell.regression.protocol import with_protocols
from faultcell.regression.references import References
from faultcell.regression.residual import ResidualEncoder
from faultcell.regression.support import ERRORS
from faultcell.runtime.workers import Workers, one_thread, spread

LOGGER = logging.getLogger(__name__)
RADIUS_STREAM = 2  # of random numbers, beside those of the curve and of its sensors
ATTEMPTS = 20  # draws of a curve until one is plausible
BLOCK = 1024  # curves of a stream that are put together at once
WORTH_A_PROCESS = 4  # blocks: as long as they take, a process takes to begin
CHUNK = 64  # curves drawn at once; always padded to this, so that a curve's bits do not depend on its neighbours
NAMED = 3  # curves that cannot serve, or that cannot be drawn, by name


class DrawnCurve(NamedTuple):
    """A curve that was drawn: of a condition with all that was open in it, after so many redraws."""

    condition: Condition
    curve: CurveSamples
    redraws: int


@dataclass(frozen=True, eq=False)
class Drawing:
    """A draw from a model: the model, how it is drawn from, and what is known of the cells.

    Attributes:
        network: the averaged weights.
        encoder: what stands between curves and the network.
        profile: what the model has seen.
        origin: SHA-256 of the model.
        how: sampling steps and guidance.
        references: earlier curves of the cells.
        gate: whether what no cell could have made is drawn again.
        seen: keys of the curves that were named so far.
        undrawn: seeds of what no draw makes as a cell could have, and why, if such are to be left out; None if they end it all.
    """

    network: GenerativeModel
    encoder: ResidualEncoder
    profile: Profile
    origin: str
    how: Sampling
    references: References | None
    gate: bool = True
    seen: Counter[Key] = field(default_factory=Counter)
    undrawn: dict[int, str] | None = None

    @property
    def grid(self) -> GridConfig:
        """The anchored grid."""
        return self.encoder.regression.grid

    @one_thread()
    def of(
        self, conditions: Sequence[Condition], seeds: Sequence[int], *, on_chunk: Callable[[int, int], None] | None = None
    ) -> Curves:
        """One curve for each condition and seed, which may be a part of all; without those that are `undrawn`.

        In one thread: sums are added up in another order by three, and the same seed shall give the same bits on any machine.

        Args:
            conditions: what is asked for.
            seeds: one for each.
            on_chunk: called with curves done and curves in this part.
        """
        complete, found = self.profile.completed(conditions), dict[int, DrawnCurve]()
        for start in range(0, len(seeds), CHUNK):
            part = slice(start, start + CHUNK)
            made = self._plausible(complete[part], [int(seed) for seed in seeds[part]])
            found |= {start + row: one for row, one in made.items()}
            if on_chunk is not None:
                on_chunk(min(start + CHUNK, len(seeds)), len(seeds))
        conditions, complete = [conditions[row] for row in found], [complete[row] for row in found]
        beyond, given = [tuple(self.profile.beyond(condition)) for condition in conditions], self.references
        put_together = partial(
            assemble,
            [one.curve for one in found.values()],
            [one.condition for one in found.values()],
            [seeds[row] for row in found],
            requested=conditions,
            redraws=[one.redraws for one in found.values()],
            origin=self.origin,
            beyond=beyond,
            severities=[one.name for one in inside(self.profile.labels)],
            seen=self.seen,
        )
        if given is None:
            return put_together()
        rows = self.encoder.helped(complete, given)
        drawn = put_together(history_before=given.history_before(complete, rows))
        return given.measured_against(given.named_in(drawn, rows), rows)

    def blocks(
        self,
        conditions: Sequence[Condition],
        seeds: Sequence[int],
        *,
        workers: Workers = 1,
        on_chunk: Callable[[int, int], None] | None = None,
    ) -> Iterator[Curves]:
        """The same, a block of them at a time, whatever carries it; `on_chunk` is called with curves done and curves in all."""
        parts = [slice(start, start + BLOCK) for start in range(0, len(seeds), BLOCK)]
        if isinstance(workers, int):
            workers = min(workers, max(len(parts) // WORTH_A_PROCESS, 1))
        if workers == 1:
            for part in parts:
                tell = (lambda n, _, start=part.start: on_chunk(start + n, len(seeds))) if on_chunk else None
                yield self.of(conditions[part], whole_numbers(seeds[part]), on_chunk=tell)
            return
        blocks = (self._block(conditions[part], whole_numbers(seeds[part])) for part in parts)
        for part, (made, undrawn) in zip(parts, spread(partial(_drawn, self), blocks, workers=workers), strict=True):
            if self.undrawn is not None:
                self.undrawn.update(undrawn)
            if on_chunk is not None:
                on_chunk(min(part.stop, len(seeds)), len(seeds))
            yield made

    def _block(self, conditions: Sequence[Condition], seeds: list[int]) -> _Block:
        """A part of what is asked for, with how often its keys were named before; that they are now is kept."""
        asked = zip(conditions, seeds, strict=True)
        own = [key_of(condition, seed) for condition, seed in asked if condition.cell_id is not None]
        before = Counter({key: self.seen[key] for key in own if key in self.seen})
        self.seen.update(own)
        return _Block(conditions, seeds, before)

    def _plausible(self, conditions: Sequence[Condition], seeds: Sequence[int]) -> dict[int, DrawnCurve]:
        """Curves that a cell could have made, by their place among at most `CHUNK` conditions.

        Raises:
            ImplausibleError: there is none in `ATTEMPTS` draws, and `undrawn` takes none.
        """
        found = dict[int, DrawnCurve]()
        wrong = {row: list[str]() for row in range(len(conditions))}
        told = self.references.completing(conditions) if self.references else conditions
        # A cycle that was left open, and is drawn, says nothing of which curve came before.
        helped = self.encoder.helped(conditions, self.references) if self.references else np.full(len(conditions), -1)
        for attempt in range(ATTEMPTS):
            rows = list(wrong)
            streams = [(seeds[row], attempt) if attempt else (seeds[row],) for row in rows]
            chosen = with_protocols([told[row] for row in rows], streams, self.encoder.regression, faults=self.encoder.faults)
            chosen = [_with_load(condition) for condition in chosen]
            for row, condition, curve in zip(rows, chosen, self._curves(chosen, streams, helped[rows]), strict=True):
                found[row] = DrawnCurve(replace(condition, cycle_count=conditions[row].cycle_count), curve, attempt)
                wrong[row] = self._violations(curve, condition)
            wrong = {row: words for row, words in wrong.items() if words}
            if not wrong:
                break
            LOGGER.debug("attempt %d: %d of %d draws are none that a cell could have made", attempt + 1, len(wrong), len(rows))
        if self.undrawn is not None:
            self.undrawn.update({seeds[row]: " and ".join(words) for row, words in wrong.items()})
        elif wrong:
            row, words = next(iter(wrong.items()))
            raise ImplausibleError(
                f"none of {ATTEMPTS} draws for seed {seeds[row]}, {conditions[row].fault}, is one that a cell could have "
                f"made, the last had {' and '.join(words)}: ask for conditions nearer to the training curves, or train on more "
                "of them"
            )
        return {row: found[row] for row in range(len(conditions)) if row not in wrong}

    def _violations(self, curve: CurveSamples, condition: Condition) -> list[str]:
        if not self.gate:
            return []
        return violations(curve.second, curve.volt, curve.ampere, curve.celsius, condition, self.profile.bounds(condition))

    def _curves(
        self, conditions: Sequence[Condition], streams: Sequence[Sequence[int]], helped: NDArray[np.int64]
    ) -> list[CurveSamples]:
        """One curve for each condition and stream of random numbers, whatever it is like; by the references at these places."""
        coded, seconds, mode = self._chunk(conditions, streams, helped)
        made = rebuild(coded, seconds, conditions, mode, self.grid)
        return [self._read(*one) for one in zip(made, conditions, streams, strict=True)]

    def _read(self, curve: CurveSamples, condition: Condition, stream: Sequence[int]) -> CurveSamples:
        """A curve as the sensors of its half-cycle read it; without the gate it is what the model drew, and no more."""
        if not self.gate:
            return curve
        typical = self.profile.typical[condition.step]
        noise = {"volt": typical.voltage_noise_volt, "celsius": typical.temperature_noise_celsius}
        curve = cooling_little(curve, self.profile.envelopes[condition.step].cooling)
        return with_noise(curve, condition, stream, **noise)

    @torch.no_grad()
    def _chunk(
        self, conditions: Sequence[Condition], streams: Sequence[Sequence[int]], helped: NDArray[np.int64]
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        """Coded channels `(B, C, L)`, seconds of head and tail `(B, 2)` and modes `(B,)` for at most `CHUNK` conditions."""
        count = len(conditions)
        padded, streams = [*conditions, *[conditions[-1]] * (CHUNK - count)], [*streams, *[(0,)] * (CHUNK - count)]
        device = self.network.device
        noise = torch.stack([_noise(stream, self.network.noise_size) for stream in streams]).to(device)
        uniform = np.stack([_uniform(stream) for stream in streams])
        asked = self.encoder.ask(padded, self.references, np.pad(helped, (0, CHUNK - count), mode="edge"), uniform)
        drawn = self.network.draw_durations(asked.condition().to(device), noise, self.how).clamp(-5, 5).cpu()
        seconds = asked.seconds(drawn)
        seconds[[not (self.grid.anchored and has_tail(condition)) for condition in padded], 1] = np.nan
        mask = torch.tensor(np.isfinite(seconds))
        mask[:, 1] &= torch.tensor(np.isnan(asked.queries.known_log_seconds))  # as in training: what is certain was not drawn
        asked = asked.with_duration(seconds)
        given = (part.to(device) for part in (asked.condition(), torch.where(mask, drawn, 0.0), mask))
        told = self.network.condition_input(*given)
        currents = known_currents(padded, seconds, self.grid)
        known, flags = (part.to(device) for part in asked.loads(currents, seconds))
        sampled = self.network.draw_curve(told, (known, flags), noise, self.how).cpu()
        coded = self._blanked(asked.coded(sampled, seconds)[:count], currents[:count], asked.shown_at_rest()[:count])
        return coded, seconds[:count], asked.queries.mode[:count]

    def _blanked(self, coded: Array, currents: Array, shown: Array) -> Array:
        """Known currents as they are; no values for channels that no training curve had, but at rest what a reference shows."""
        coded[:, CURRENT] = np.where(np.isfinite(currents), currents, coded[:, CURRENT])
        for index, name in enumerate(CHANNELS):
            if name not in self.profile.channels:
                coded[:, index] = shown if index == REST else np.nan
        return coded


class _Block(NamedTuple):
    """A part of what is asked for, and how often its keys were named before."""

    conditions: Sequence[Condition]
    seeds: list[int]
    seen: Counter[Key]

    @property
    def name(self) -> str:
        """For people."""
        return f"seeds {self.seeds[0]} to {self.seeds[-1]}"


def _drawn(drawing: Drawing, block: _Block) -> tuple[Curves, dict[int, str]]:
    """The curves of a block, and what of it is left out and why."""
    undrawn = dict[int, str]()
    own = replace(drawing, seen=block.seen, undrawn=undrawn if drawing.undrawn is not None else None)
    return own.of(block.conditions, block.seeds), undrawn


def _with_load(condition: Condition) -> Condition:
    """A discharge at a known C-rate has a constant load; the falling current at the end of a charge is left to the model."""
    if condition.load is not None or condition.c_rate is None or condition.step != "discharge":
        return condition
    current = -condition.c_rate * (condition.nominal_capacity_ah or 1.0)
    return replace(condition, load=Load(np.array([0.0, 1.0]), np.array([current, current])))


def _uniform(stream: Sequence[int]) -> Array:
    """Random numbers from 0 to 1 that say how far a curve strays `(E,)`."""
    return np.random.default_rng([*stream, RADIUS_STREAM]).random(len(ERRORS))


def _noise(stream: Sequence[int], size: int) -> Tensor:
    """Standard-normal numbers of a curve; a redraw has others."""
    seed = stream[0] if len(stream) == 1 else int(np.random.SeedSequence(list(stream)).generate_state(1, np.uint64)[0] >> 1)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def tell_left_out(undrawn: Mapping[int, str], names: Sequence[str], *, of: int) -> None:
    """Say which of so many curves no draw makes as a cell could have, by name and why.

    Raises:
        ImplausibleError: they are all of them.

    Warns:
        LeftOutWarning: there are some.
    """
    if not undrawn:
        return
    named = [f"{name} ({why})" for name, why in zip(names, undrawn.values(), strict=True)]
    said = f"{', '.join(named[:NAMED])}{', ...' if len(named) > NAMED else ''}"
    if len(undrawn) == of:
        raise ImplausibleError(f"no draw is one that a cell could have made, from {said}: train on more curves like these")
    warnings.warn(
        f"{len(undrawn)} of {of} faults are left out, as no draw is one that a cell could have made: from {said}",
        LeftOutWarning,
        stacklevel=3,
    )


def whole_numbers(seeds: Iterable[object]) -> list[int]:
    """Seeds of any integer type as integers; raises ConditionError for others."""
    try:
        return [operator.index(seed) for seed in seeds]  # type: ignore[arg-type]
    except TypeError as error:
        raise ConditionError(f"seeds must be integers ({first_line(error)}): give a range, or an integer array") from error
