"""How severe a fault has to be to be found, and how soon it is: what a threshold on a score does, curve by curve.

Severities run over orders of magnitude, and what is found rises with them: a recall over all of them says most of how severe
the test faults happen to be. So the recall is given by severity, in bins that are the same for every set, and as the least
severity of which a share is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from faultcell.curves.curves import Curves
from faultcell.curves.faults import FAULTS
from faultcell.curves.schema import Array
from faultcell.curves.severity import main_severity
from faultcell.diagnosis.gain import FALSE_ALARMS, FEW_FALSE_ALARMS, Found
from faultcell.diagnosis.measures import alarms_at

PER_OCTAVE = 4  # bins of severity, counted from what is typical
SHARES = {"severity_at_50_percent_recall": 0.5, "severity_at_90_percent_recall": 0.9}


@dataclass(frozen=True, eq=False)
class Graded:
    """Test curves of a task with what is told of them.

    Attributes:
        truth: one for a fault `(M,)`.
        severity: main severity of the fault, without its sign; NaN where it is not known, and for normal curves `(M,)`.
        typical: what counts as one, in its unit.
        name: of that severity.
        cells: `(M,)`.
        cycles: `(M,)`.
    """

    truth: NDArray[np.int64]
    severity: Array
    typical: float
    name: str
    cells: NDArray[np.str_]
    cycles: NDArray[np.int64]

    @classmethod
    def of(cls, label: str, step: str, *, normal: Curves, faults: Curves, truth: NDArray[np.int64]) -> Graded:
        """The test curves of a task, normal ones first.

        Args:
            label: the fault.
            step: the kind of record.
            normal: normal curves.
            faults: the others, their severities filled in.
            truth: one for a fault, normal curves first `(M,)`.
        """
        main = FAULTS[label].severities_in(step)[0]
        both = [table.halfcycles for table in (normal, faults)]
        cells, cycles = (np.concatenate([table[name].to_numpy() for table in both]) for name in ("cell_id", "cycle_count"))
        severity = np.concatenate([main_severity(normal), main_severity(faults)])
        return cls(truth, severity, main.typical, main.name, cells.astype(str), cycles.astype(np.int64))

    def measures(self, score: Array) -> dict[str, float | None]:
        """Least severities of which a share is found, and how many faulty cycles pass before one is, at 1 % false alarms.

        Args:
            score: higher for a fault `(M,)`.
        """
        found = alarms_at(self.truth, score, false_alarms=FEW_FALSE_ALARMS)
        known = (self.truth == 1) & np.isfinite(self.severity)
        values: dict[str, float | None] = dict.fromkeys(SHARES)
        if known.any():
            rising = IsotonicRegression(out_of_bounds="clip").fit(self.severity[known], found[known].astype(float))
            at = np.unique(self.severity[known])
            for name, share in SHARES.items():
                enough = np.flatnonzero(rising.predict(at) >= share)
                values[name] = float(at[enough[0]]) if enough.size else None
        return {**values, "delay_cycle": self._delay(found)}

    def _delay(self, found: NDArray[np.bool_]) -> float | None:
        """Faults of a cell that pass before the first is found, mean over cells; all of them where none is."""
        late = []
        for cell in np.unique(self.cells[self.truth == 1]):
            rows = np.flatnonzero((self.cells == cell) & (self.truth == 1))
            rows = rows[np.argsort(self.cycles[rows])]
            seen = np.flatnonzero(found[rows])
            late.append(float(seen[0]) if seen.size else float(rows.size))
        return float(np.mean(late)) if late else None

    def by_severity(self, score: Array) -> list[Found]:
        """How many faults of each bin of severity are found.

        Args:
            score: higher for a fault `(M,)`.
        """
        known = (self.truth == 1) & (self.severity > 0)
        bins = np.floor(PER_OCTAVE * np.log2(self.severity / self.typical, where=known, out=np.full(len(known), np.nan)))
        counts = {name: alarms_at(self.truth, score, false_alarms=share) for name, share in FALSE_ALARMS.items()}
        return [
            Found(
                severity=self.name,
                low=float(self.typical * 2 ** (one / PER_OCTAVE)),
                high=float(self.typical * 2 ** ((one + 1) / PER_OCTAVE)),
                faults=int((bins == one).sum()),
                **{name.replace("recall", "found"): int((found & (bins == one)).sum()) for name, found in counts.items()},
            )
            for one in np.unique(bins[known])
        ]
