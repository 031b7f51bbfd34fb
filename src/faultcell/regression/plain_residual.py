"""The frame of a model that expects nothing of known curves: a curve is drawn whole, each channel scaled to its range.

That is the paper's way (`NeighbourConfig.expect = False`). What `frame.Frame` adds to it, and what that is worth, is told in
`docs/study.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from faultcell.config import Config
from faultcell.curves.condition import Condition
from faultcell.curves.schema import Array
from faultcell.encoding.condition_vector import Vocabulary
from faultcell.encoding.grid import MODES
from faultcell.encoding.scaler import Scaler
from faultcell.regression.episodes import Posed, pose
from faultcell.regression.estimator import Neighbours
from faultcell.regression.kernel import Questions
from faultcell.regression.references import References
from faultcell.regression.residual import KINDS, Asked, Frame
from faultcell.regression.scale import Radii, Widths
from faultcell.regression.support import ERRORS, Known


def frame_kind(config: Config) -> type[Frame]:
    """What stands between curves and the network of a model with this configuration."""
    return Frame if config.neighbours.expect else PlainFrame


@dataclass(frozen=True, eq=False)
class PlainFrame(Frame):
    """Known curves serve protocols and bounds alone; curves have no reference."""

    @classmethod
    def _learnt(cls, known: Known, config: Config, *, faults: Sequence[str], before: Frame | None) -> tuple[Frame, Posed]:
        kept = before.neighbours.known.joined(known) if before else known.thinned(config.neighbours.curves)
        neighbours = Neighbours.silent(kept, config.grid)
        posed = pose(known, neighbours, Vocabulary(faults), config=config.neighbours, seed=config.train.seed)
        values, mask, log_seconds = _beyond_prior(known, posed)
        scaler = Scaler.to_range(values, mask, log_seconds, mode=posed.questions.mode, modes=len(MODES), kinds=KINDS)
        # Values that pre-training has seen keep their scale, or its weights would mean something else.
        scaler = before.scaler.completed(scaler) if before else scaler
        return cls(tuple(faults), neighbours, Widths.plain(), Radii.plain(), scaler), posed

    def _relative(self, known: Known, posed: Posed) -> tuple[Array, NDArray[np.bool_], Array, Array]:
        return *_beyond_prior(known, posed), np.ones((len(posed), len(ERRORS)))

    def helped(self, conditions: Sequence[Condition], references: References) -> NDArray[np.int64]:
        """No earlier curve helps `(N,)`."""
        return np.full(len(conditions), -1)

    def ask(
        self,
        conditions: Sequence[Condition],
        references: References | None = None,
        rows: NDArray[np.int64] | None = None,
        uniform: Array | None = None,
    ) -> Asked:
        """Conditions as a network is asked for them; of earlier curves and random numbers no notice is taken."""
        questions = Questions.of(conditions, self.faults, self.neighbours.modes(conditions, self.faults))
        expected, one = self.neighbours.expect_inside(questions), np.ones((len(conditions), len(ERRORS)))
        return _PlainAsked(self, conditions, questions, None, np.full(len(conditions), -1), expected, one, one)


@dataclass(frozen=True, eq=False)
class _PlainAsked(Asked):
    """Conditions of which nothing is expected."""

    def lasting(self, seconds: Array) -> Asked:
        return replace(self, questions=self.questions.lasting(np.log(np.maximum(seconds[:, 1], 1e-3))))

    def seconds(self, drawn: Tensor) -> Array:
        rest = self.frame.scaler.inverse_durations(drawn.double().numpy(), self.kind)
        return np.asarray(np.exp(self.frame.neighbours.bounded(self.questions, self.expected.log_seconds + rest)))

    def coded(self, drawn: Tensor) -> Array:
        return np.asarray(self.expected.values + self.frame.scaler.inverse(drawn.double().numpy(), self.kind))

    def _lengths(self, rest: Array) -> Array:
        return np.ones_like(rest)


def _beyond_prior(known: Known, posed: Posed) -> tuple[Array, NDArray[np.bool_], Array]:
    """Curves as they are, over what is expected where nothing is known: channels, where they are known, log seconds."""
    mask = known.mask[posed.rows]
    values = np.where(mask, known.values[posed.rows] - posed.expected.values, 0.0)
    return values, mask, known.log_seconds[posed.rows] - posed.expected.log_seconds
