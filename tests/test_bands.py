"""Bands of drawn curves: quantiles at each point, and what share of real curves lies within."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from faultcell import bands, plotting
from faultcell.bands import draw_band
from faultcell.baselines.classical import Jitter
from faultcell.baselines.replay import Replay
from faultcell.curves import NORMAL
from faultcell.curves.conditions import conditions_of
from faultcell.errors import ConditionError, DataError, OutOfRangeWarning
from faultcell.scoring.resample import POINTS, Measured


@pytest.fixture(scope="module")
def asked(tiny):
    _, faults = tiny
    return faults.take(range(3))


def test_a_band_holds_the_share_of_draws_it_is_asked_for(tuned, asked):
    conditions = conditions_of(asked)[:1]
    found = draw_band(tuned, conditions, draws=40, level=0.8)
    drawn = Measured.of(tuned.draw(conditions * 40, range(40))).volts
    inside = (drawn >= found.lower) & (drawn <= found.upper)
    assert inside.mean() == pytest.approx(0.8, abs=0.06)
    assert (found.lower <= found.median).all()
    assert (found.median <= found.upper).all()


def test_a_wider_level_gives_a_wider_band(tuned, asked):
    narrow, wide = (draw_band(tuned, conditions_of(asked), draws=20, level=level) for level in (0.5, 0.95))
    assert (wide.upper - wide.lower >= narrow.upper - narrow.lower - 1e-9).all()


def test_a_band_does_not_depend_on_how_many_are_drawn_together(tuned, asked, monkeypatch):
    whole = draw_band(tuned, conditions_of(asked), draws=10)
    monkeypatch.setattr(bands, "AT_ONCE", 1)
    np.testing.assert_array_equal(draw_band(tuned, conditions_of(asked), draws=10).lower, whole.lower)


def test_replay_has_a_band_of_no_width_that_covers_the_curve_it_repeats_and_no_other(tiny):
    _, faults = tiny
    found = draw_band(Replay(faults), conditions_of(faults), draws=10)
    np.testing.assert_allclose(found.upper - found.lower, 0, atol=1e-12)
    assert found.coverage(faults).all == pytest.approx(1.0, abs=0.1)
    discharges = faults.select(label=["overdischarge"])
    one, other = discharges.take([0]), discharges.take([len(discharges) - 1])
    assert draw_band(Replay(one), conditions_of(other), draws=10).coverage(other).all < 0.2


def test_coverage_is_told_by_cell_each_curve_counting_the_same(tiny):
    _, faults = tiny
    found = draw_band(Jitter(faults), conditions_of(faults), draws=20).coverage(faults)
    cells = faults.halfcycles["cell_id"].to_list()
    mean = sum(found.by_cell[cell] for cell in cells) / len(cells)
    assert found.all == pytest.approx(mean)
    assert found.curves == len(faults)


def test_the_table_has_a_row_a_point(tuned, asked):
    table = draw_band(tuned, conditions_of(asked), draws=10).table()
    assert table.height == len(asked) * POINTS
    assert table["fraction"].min() == 0
    assert table["fraction"].max() == 1
    assert table.filter(pl.col("lower_volt") > pl.col("upper_volt")).is_empty()


@pytest.mark.parametrize("wrong", [{"draws": 3}, {"level": 1.0}, {"level": 0.0}])
def test_what_gives_no_band_is_refused(tuned, asked, wrong):
    with pytest.raises(ConditionError, match="a band needs"):
        draw_band(tuned, conditions_of(asked), **wrong)


def test_no_condition_no_band(tuned):
    with pytest.raises(ConditionError, match="at least one condition"):
        draw_band(tuned, [])


def test_coverage_of_generated_or_other_curves_is_refused(tuned, tiny, asked):
    normal, _ = tiny
    found = draw_band(tuned, conditions_of(asked), draws=10)
    with pytest.raises(DataError, match="generated curves"):
        found.coverage(tuned.draw(conditions_of(asked), range(3)))
    with pytest.raises(DataError, match="no band"):
        found.coverage(normal.where(pl.col("label") == NORMAL).take([0]))


def test_a_band_is_written_whole_and_replaces_only_a_band(tuned, asked, tmp_path):
    found = draw_band(tuned, conditions_of(asked), draws=10)
    picture = plotting.band_figure(found, asked)
    out = bands.write(found, tmp_path / "band", config={"draws": 10}, figure=picture)
    assert sorted(path.name for path in out.iterdir()) == ["band.parquet", "band.png", "config.json"]
    assert pl.read_parquet(out / "band.parquet").equals(found.table())
    assert picture.startswith(b"\x89PNG")
    bands.write(found, out, config={}, figure=picture)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DataError):
        bands.write(found, out, config={}, figure=picture)


def test_extrapolations_are_said_once(tuned, asked, monkeypatch):
    monkeypatch.setattr(bands, "AT_ONCE", 1)
    far = [replace(condition, cumulative_duration_second=1e9, repetition_count=10**6) for condition in conditions_of(asked)]
    with pytest.warns(OutOfRangeWarning) as said:
        draw_band(tuned, far, draws=10)
    messages = [str(warning.message) for warning in said if warning.category is OutOfRangeWarning]
    assert messages
    assert len(messages) == len(set(messages)) <= 2 * len({condition.fault for condition in far})


def test_a_reference_for_some_of_the_cells_will_do(tuned, tiny, monkeypatch):
    """Whichever conditions are drawn together."""
    monkeypatch.setattr(bands, "AT_ONCE", 1)
    faults = tiny[1].select(label=["overdischarge"])
    some = faults.select(cells=faults.cells[:1])
    both = faults.take([0, len(faults) - 1])
    assert len(draw_band(tuned, conditions_of(both), draws=10, reference=some)) == 2
