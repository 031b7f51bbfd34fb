"""Between curves and what a network sees: what neighbours let expect is taken away, the rest is divided by its width.

The way there is for training, `Frame.batch`; the way back for drawing, `Asked`. Every model, baselines too, works on the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf
from torch import Tensor

from faultcell.config import Config, GridConfig
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import Vocabulary
from faultcell.encoding.grid import CHANNELS, CURRENT, END, MODES, REST, START, SURGE, TEMPERATURE, VOLTAGE, smoothed
from faultcell.encoding.scaler import Scaler
from faultcell.models.base import Batch
from faultcell.regression.episodes import Posed, fit_persistence, pose
from faultcell.regression.estimator import Correction, Neighbours
from faultcell.regression.kernel import HEAD, LASTS, Questions
from faultcell.regression.local_linear import Slopes
from faultcell.regression.prediction import Expected
from faultcell.regression.references import References
from faultcell.regression.scale import LEAST, LEAST_RADIUS, LEAST_REACH, MOST_RADIUS, Radii, Widths
from faultcell.regression.support import CURVES, ERRORS, Known

KINDS = 4 * len(MODES)
OWNERS = {
    VOLTAGE: ("head", "tail"),
    REST: ("head_recovery", "tail_recovery"),
    TEMPERATURE: ("head_celsius", "tail_celsius"),
    CURRENT: ("head_current", "tail_current"),
}
# Which of `known.ERRORS` are told as `condition_vector.RADII`, channel by channel.
TOLD_RADII = [list(ERRORS).index(name) for parts in OWNERS.values() for name in parts]
SECONDS = slice(2, 4)  # of `known.ERRORS`
FEWEST_SHOWN = 8  # curves of a kind with a reference, for the network to be told of one


@dataclass(frozen=True, eq=False)
class Frame:
    """What stands between curves and a network.

    Attributes:
        faults: names of the one-hot part of the condition vector.
        neighbours: known curves, to expect others from.
        widths: how far curves stray from that.
        radii: how far single curves stray over that.
        scaler: of the rest, each of its parts divided by its root mean square.
    """

    faults: tuple[str, ...]
    neighbours: Neighbours
    widths: Widths
    radii: Radii
    scaler: Scaler

    @classmethod
    def of(cls, known: Known, config: Config, *, faults: Sequence[str]) -> tuple[Frame, Posed]:
        """Learn it from the curves of the source domain; and these curves as a network shall see them."""
        return cls._learnt(known, config, faults=faults, before=None)

    def adapted(self, few: Known, config: Config) -> tuple[Frame, Posed]:
        """The same with a handful of faults among the neighbours; and these faults as a network shall see them."""
        return self._learnt(few, config, faults=self.faults, before=self)

    @classmethod
    def _learnt(cls, known: Known, config: Config, *, faults: Sequence[str], before: Frame | None) -> tuple[Frame, Posed]:
        def among(curves: Known) -> Known:
            return before.neighbours.known.joined(curves) if before else curves.thinned(config.neighbours.curves)

        def posed_among(neighbours: Neighbours) -> Posed:
            return pose(known, neighbours, Vocabulary(faults), config=config.neighbours, seed=config.train.seed)

        neighbours = Neighbours.of(among(known), config.grid)
        kept = before.neighbours.persistence if before else fit_persistence(known, neighbours, seed=config.train.seed)
        neighbours = replace(neighbours, persistence=kept)
        posed = posed_among(neighbours)
        rest, mask, log_seconds = _rest(known, posed, config.grid)
        errors = _errors(rest, mask, log_seconds, config.grid)
        about = (posed.questions, posed.expected.reach, posed.referenced)
        widths = Widths.fit(*about, errors, before=before.widths if before else Widths.plain())
        # How far each curve strays is known now, and tells of curves like it.
        strays = _strays(posed, errors / widths.of(*about), count=len(known))
        neighbours = replace(neighbours, known=among(replace(known, strays=strays)))
        posed = posed_among(neighbours)
        width = _width(widths, posed.questions, posed.expected, posed.referenced)
        rest, mask, log_seconds = _rest(known, posed, config.grid)
        errors = _errors(rest, mask, log_seconds, config.grid)
        radii = Radii.of(errors / width, posed.referenced, known.cell[posed.rows], before=before.radii if before else None)
        scaled = (rest / _over_grid(_or_one(errors), config.grid), mask, log_seconds / width[:, SECONDS])
        scaler = Scaler.fit(*scaled, _kind(posed.questions, posed.referenced), KINDS)
        return cls(tuple(faults), neighbours, widths, radii, before.scaler.adapted(scaler) if before else scaler), posed

    def posed(self, known: Known, config: Config) -> Posed:
        """Other curves as a network shall see them."""
        return pose(known, self.neighbours, Vocabulary(self.faults), config=config.neighbours, seed=config.train.seed)

    def batch(self, known: Known, conditions: Sequence[Condition], posed: Posed, *, weight: float = 1.0) -> Batch:
        """Posed curves as scaled tensors.

        Args:
            known: the curves.
            conditions: of these curves.
            posed: what is expected of them.
            weight: of each in the loss.
        """
        rest, mask, log_seconds, radius = self._relative(known, posed)
        kind = _kind(posed.questions, posed.referenced)
        curve = np.where(mask, self.scaler.forward(rest, kind), 0.0)
        durations = self.scaler.forward_durations(log_seconds, kind)
        values, flags = Vocabulary(self.faults).encode([conditions[row] for row in posed.rows.tolist()])
        flags = flags * posed.told
        standing = _standing(posed.questions, posed.expected.reach, posed.referenced, radius)
        tensor = torch.from_numpy
        return Batch(
            curve=tensor(curve).float(),
            mask=tensor(mask),
            durations=tensor(np.nan_to_num(durations)).float(),
            durations_mask=tensor(np.isfinite(durations)),
            values=tensor(np.concatenate([values * flags, standing], axis=1)),
            flags=tensor(np.concatenate([flags, np.ones_like(standing)], axis=1)),
            known=tensor(curve[:, [CURRENT]]).float(),
            is_known=torch.ones(len(posed), 1),
            weight=torch.full((len(posed),), weight),
        )

    def _relative(self, known: Known, posed: Posed) -> tuple[Array, NDArray[np.bool_], Array, Array]:
        """What curves have beyond what is expected, of unit length; where it is known; seconds over their widths; radii."""
        grid = self.neighbours.grid
        width = _width(self.widths, posed.questions, posed.expected, posed.referenced)
        rest, mask, log_seconds = _rest(known, posed, grid)
        errors = _errors(rest, mask, log_seconds, grid)
        return rest / _over_grid(_or_one(errors), grid), mask, log_seconds / width[:, SECONDS], errors / width

    def helped(self, conditions: Sequence[Condition], references: References) -> NDArray[np.int64]:
        """Which earlier curve helps each condition, -1 for none: one that lies otherwise on the grid does not `(N,)`.

        Nor does one a surge: what was charged before it decides its first moments, and that no earlier surge tells.
        """
        rows, mode = references.find(conditions), self.neighbours.modes(conditions, self.faults)
        alike = (references.known.questions.mode[np.maximum(rows, 0)] == mode) & (mode != SURGE)
        return np.where(alike, rows, -1)

    def ask(
        self,
        conditions: Sequence[Condition],
        references: References | None = None,
        rows: NDArray[np.int64] | None = None,
        uniform: Array | None = None,
    ) -> Asked:
        """Conditions as a network is asked for them, before their durations are known.

        Args:
            conditions: what is asked for.
            references: earlier curves of cells.
            rows: which of them is each condition's, -1 for none; found by the conditions where not given `(N,)`.
            uniform: random numbers from 0 to 1, which say how far single curves stray; the middle where not given `(N, E)`.
        """
        questions = Questions.of(conditions, self.faults, self.neighbours.modes(conditions, self.faults))
        if references is None:
            rows = np.full(len(conditions), -1)
        elif rows is None:
            rows = self.helped(conditions, references)
        if references is not None:
            questions = references.since(questions, rows)
        correction = _correction(self, questions, references, rows) if references is not None else None
        expected = self.neighbours.expect_inside(questions, correction=correction)
        width = _width(self.widths, questions, expected, rows >= 0)
        radius = self.radii.at(np.full(width.shape, 0.5) if uniform is None else uniform, rows >= 0)
        return Asked(self, conditions, questions, references, rows, expected, width, radius)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, as it is stored."""
        known = self.neighbours.known
        parts = {
            "scaler": vars(self.scaler),
            "widths": vars(self.widths),
            "radii": vars(self.radii),
            "slopes": vars(self.neighbours.slopes),
            "neighbours": {
                "scales": self.neighbours.scales,
                "persistence": self.neighbours.persistence,
                **vars(known.questions),
                **{name: getattr(known, name) for name in CURVES},
            },
        }
        return {
            f"{part}.{name}": torch.from_numpy(np.ascontiguousarray(value))
            for part, values in parts.items()
            for name, value in values.items()
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], config: Config, *, faults: Sequence[str]) -> Frame:
        """From what `tensors` gave."""

        def part(name: str, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
            return {key: tensors[f"{name}.{key}"].numpy() for key in names}

        questions = Questions(**part("neighbours", _names(Questions)))  # type: ignore[arg-type]
        curves = part("neighbours", CURVES)
        slopes = Slopes(**part("slopes", _names(Slopes)))  # type: ignore[arg-type]
        scales, persistence = (tensors[f"neighbours.{name}"].numpy() for name in ("scales", "persistence"))
        return cls(
            tuple(faults),
            Neighbours(
                Known(questions, **curves),  # type: ignore[arg-type]
                scales,
                slopes,
                persistence,
                config.grid,
                config.neighbours.expect,
            ),
            Widths(**part("widths", _names(Widths))),  # type: ignore[arg-type]
            Radii(**part("radii", _names(Radii))),  # type: ignore[arg-type]
            Scaler(**part("scaler", _names(Scaler))),  # type: ignore[arg-type]
        )


@dataclass(frozen=True, eq=False)
class Asked:
    """Conditions with what is expected of them.

    Attributes:
        frame: that they are asked in.
        conditions: what is asked for.
        questions: the same for the kernels.
        references: earlier curves of cells.
        rows: which of them is each condition's, -1 for none `(N,)`.
        expected: what is expected.
        width: how far a curve may stray `(N, E)`.
        radius: how far each does, over that `(N, E)`.
    """

    frame: Frame
    conditions: Sequence[Condition]
    questions: Questions
    references: References | None
    rows: NDArray[np.int64]
    expected: Expected
    width: Array
    radius: Array

    def lasting(self, seconds: Array) -> Asked:
        """The same, now that the durations are known `(N, 2)`, and with them how the curves go on beyond their limits."""
        log_seconds = np.log(np.maximum(seconds, 1e-3))
        questions = self.questions.lasting(log_seconds[:, 1])
        expected = self.frame.neighbours.expect_beyond(questions, self.expected, log_seconds)
        width = _width(self.frame.widths, questions, expected, self.rows >= 0)
        return replace(self, questions=questions, expected=expected, width=width)

    @property
    def kind(self) -> NDArray[np.int64]:
        """Which of the scaler's numbers are theirs `(N,)`."""
        return _kind(self.questions, self.rows >= 0)

    def condition(self) -> Tensor:
        """The condition vector with its flags `(N, F)`."""
        values, flags = Vocabulary(self.frame.faults).encode(self.conditions)
        # A network that was never shown such a curve with a reference is not told of one: it would answer at random.
        shown = self.frame.scaler.seen.max(axis=(1, 2))[self.kind] >= FEWEST_SHOWN
        standing = _standing(self.questions, self.expected.reach, (self.rows >= 0) & shown, self.radius)
        parts = [values, standing, flags, np.ones_like(standing)]
        return torch.cat([torch.from_numpy(part) for part in parts], dim=1)

    def seconds(self, drawn: Tensor) -> Array:
        """Seconds of head and tail from what a network drew `(N, 2)`."""
        rest = self.frame.scaler.inverse_durations(drawn.double().numpy(), self.kind)
        share = np.full((len(rest), len(ERRORS)), 0.5)
        share[:, SECONDS] = erf(np.abs(rest) / self.frame.scaler.duration_std[self.kind] / np.sqrt(2))
        rest = np.sign(rest) * self.frame.radii.at(share, self.rows >= 0)[:, SECONDS] * self.width[:, SECONDS]
        rest[:, 1] = np.where(np.isfinite(self.questions.certain), 0.0, rest[:, 1])
        return np.asarray(np.exp(self.frame.neighbours.bounded(self.questions, self.expected.log_seconds + rest)))

    def coded(self, drawn: Tensor) -> Array:
        """Coded channels from what a network drew, the direction in which each curve strays `(N, C, L)`."""
        grid = self.frame.neighbours.grid
        rest = smoothed(self.frame.scaler.inverse(drawn.double().numpy(), self.kind), grid)
        rest /= self._lengths(rest)
        return np.asarray(self.expected.values + rest * _over_grid(self.radius * self.width, grid))

    def shown_at_rest(self) -> Array:
        """The voltage at rest that is expected where a reference shows it, else NaN `(N, L)`."""
        found = np.full_like(self.expected.values[:, REST], np.nan)
        if self.references is not None:
            inside = np.s_[:, : self.frame.neighbours.grid.head]
            told = self.references.known.mask[np.maximum(self.rows, 0), REST][inside] & (self.rows >= 0)[:, None]
            found[inside] = np.where(told, self.expected.values[:, REST][inside], np.nan)
        return found

    def loads(self, currents: Array, seconds: Array) -> tuple[Tensor, Tensor]:
        """Known load currents as a network sees them `(N, 1, L)`, and which are known `(N, 1)`.

        Args:
            currents: on the grid, NaN where they are not known `(N, L)`.
            seconds: durations of head and tail `(N, 2)`.
        """
        grid = self.frame.neighbours.grid
        known = np.isfinite(currents[:, 0])
        rest = np.zeros_like(self.expected.values)
        rest[known, CURRENT] = currents[known] - self.expected.values[known, CURRENT]
        scaled = self.frame.scaler.forward(rest / self._lengths(rest), self.kind)[:, CURRENT]
        if grid.anchored:
            scaled[np.isnan(seconds[:, 1]), grid.head :] = 0.0  # as in training, where a missing tail is masked
        flags = torch.from_numpy(known[:, None]).float()
        return torch.from_numpy(scaled).float()[:, None] * flags[..., None], flags

    def _lengths(self, rest: Array) -> Array:
        """Root mean squares of the rests of whole curves, laid on the grid `(N, C, L)`."""
        grid = self.frame.neighbours.grid
        everywhere, no_seconds = np.ones(rest.shape, dtype=bool), np.zeros((len(rest), 2))
        return _over_grid(_or_one(_errors(rest, everywhere, no_seconds, grid)), grid)


def _correction(frame: Frame, questions: Questions, references: References, rows: NDArray[np.int64]) -> Correction:
    """What earlier curves tell of these questions; nothing where there is none."""
    earlier = references.known.take(np.maximum(rows, 0))
    expected = frame.neighbours.expect_inside(earlier.questions)
    apart = np.where(rows >= 0, frame.neighbours.apart(questions, earlier.questions), np.nan)
    return Correction.of(earlier, expected, apart=apart, neighbours=frame.neighbours)


def _rest(known: Known, posed: Posed, grid: GridConfig) -> tuple[Array, NDArray[np.bool_], Array]:
    """What curves have beyond what is expected of them: channels, where they are known, logarithms of seconds."""
    mask = known.mask[posed.rows]
    rest = smoothed(np.where(mask, known.values[posed.rows] - posed.expected.values, 0.0), grid)
    log_seconds = known.log_seconds[posed.rows] - posed.expected.log_seconds
    log_seconds[np.isfinite(posed.questions.certain), 1] = np.nan  # nothing is left to learn, or to draw
    return rest, mask, log_seconds


def _errors(rest: Array, mask: NDArray[np.bool_], log_seconds: Array, grid: GridConfig) -> Array:
    """Root mean squares of the rest, NaN where there is none `(N, E)`; see `known.ERRORS`."""
    owner = _owners(grid)
    found = np.full((len(rest), len(ERRORS)), np.nan)
    for error in sorted(set(owner.ravel().tolist())):
        kept = mask & (owner == error)
        count = kept.sum(axis=(1, 2))
        square = (np.square(rest) * kept).sum(axis=(1, 2))
        found[:, error] = np.where(count > 0, np.sqrt(square / np.maximum(count, 1)), np.nan)
    found[:, SECONDS] = np.abs(log_seconds)
    return found


def _or_one(errors: Array) -> Array:
    """Root mean squares to divide by `(N, E)`."""
    return np.where(np.isfinite(errors), np.maximum(errors, LEAST), 1.0)


def _strays(posed: Posed, ratios: Array, *, count: int) -> Array:
    """Squares of errors over widths by curve, without and with a reference, NaN where there is none `(M, 2, E)`.

    Where a curve was posed with little known, that says nothing of its like: the first time it was posed counts.
    """
    strays = np.full((count, 2, len(ERRORS)), np.nan)
    order = np.arange(len(posed))[::-1]
    strays[posed.rows[order], posed.referenced[order].astype(np.int64)] = np.square(ratios[order])
    return strays


def _width(widths: Widths, questions: Questions, expected: Expected, referenced: NDArray[np.bool_]) -> Array:
    """How far curves may stray `(N, E)`: as such curves do on the whole, and as their neighbours did."""
    strays = np.where(referenced[:, None], expected.strays[:, 1], expected.strays[:, 0])
    return widths.of(questions, expected.reach, referenced) * strays


def _owners(grid: GridConfig) -> NDArray[np.int64]:
    """Which of `known.ERRORS` each point of the grid strays by `(C, L)`."""
    names, found = list(ERRORS), np.zeros((len(CHANNELS), grid.length), dtype=np.int64)
    for channel, (head, tail) in OWNERS.items():
        found[channel] = np.repeat([names.index(head), names.index(tail)], [grid.head, grid.tail])
    found[VOLTAGE, START], found[VOLTAGE, END] = names.index("start"), names.index("end")
    return found


def _over_grid(width: Array, grid: GridConfig) -> Array:
    """Widths laid on the grid `(N, C, L)`."""
    return np.asarray(width[:, _owners(grid)])


def _standing(questions: Questions, reach: Array, referenced: NDArray[np.bool_], radius: Array) -> NDArray[np.float32]:
    """How near the neighbours are, and how far curves stray; see `condition_vector.STANDING` `(N, S)`."""
    logarithms = np.log(np.maximum(reach[:, [HEAD, LASTS]], LEAST_REACH))
    strays = np.log(np.clip(np.nan_to_num(radius[:, TOLD_RADII], nan=1.0), LEAST_RADIUS, MOST_RADIUS))
    return np.column_stack([logarithms / 2, strays, questions.label >= 0, referenced]).astype(np.float32)


def _kind(questions: Questions, referenced: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Charge or discharge, without or with a reference, normal or a fault `(N,)`."""
    return np.asarray(questions.mode + len(MODES) * (referenced + 2 * (questions.label >= 0)), dtype=np.int64)


def _names(of: type) -> list[str]:
    return [field.name for field in fields(of)]
