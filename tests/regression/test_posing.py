"""Training curves are posed as new cells will be: nothing of their own cell serves them, and what is forgotten is forgotten."""

from dataclasses import replace

import numpy as np
import pytest

from faultcell.config import NeighbourConfig
from faultcell.curves import FAULTS
from faultcell.encoding.condition_vector import CONTEXT, ConditionEncoder
from faultcell.encoding.grid import CURRENT, MODES, SURGE
from faultcell.regression.episodes import fit_persistence, make_episodes, references
from faultcell.regression.estimator import KernelRegression
from faultcell.regression.kernel import CYCLE, FEATURES, HEAD, PAST, Queries
from faultcell.regression.residual import ResidualEncoder
from strategies import CONFIG, FINETUNE, curves_of, discharge, known_of, normal_curves, normal_rows

pytestmark = pytest.mark.filterwarnings("error")
GRID, VOCABULARY = CONFIG.grid, ConditionEncoder(tuple(FAULTS))
PLAIN = NeighbourConfig(forgetful=0)
CONTEXT_COLUMNS = [FEATURES.index(name) for name in CONTEXT]
IN_VECTOR = [VOCABULARY.names.index(name) for name in CONTEXT]


@pytest.fixture(scope="module")
def source(tiny):
    """(known curves, neighbours): every cell with charges and discharges."""
    known = known_of(tiny[0])[0]
    return known, KernelRegression.of(known, GRID)


@pytest.fixture(scope="module")
def faulty(tiny):
    known, conditions = known_of(tiny[1])
    return known, KernelRegression.of(known, GRID), conditions


def episodes(known, regression, config=PLAIN, seed=0):
    return make_episodes(known, regression, VOCABULARY, config=config, seed=seed)


def drop_context(**shares):
    nothing = {"forgetful": 1.0, "forget_context": 0.0, "forget_past": 0.0, "forget_cells": 0.0}
    return NeighbourConfig(**{**nothing, **shares})


def forgotten(known, regression, **shares):
    """The curves that are posed once more, with less known."""
    some = episodes(known, regression, drop_context(**shares))
    rows = np.arange(len(known), 2 * len(known))
    assert np.array_equal(np.sort(some.rows[rows]), np.arange(len(known)))
    assert not some.referenced[rows].any()
    return rows, some


def spoilt(regression, which):
    """The same neighbours, but these are wild."""
    known = regression.known
    values = np.where(which[:, None, None], 1e6, known.values).astype(np.float32)
    return replace(
        regression, known=replace(known, values=values, log_seconds=np.where(which[:, None], 50.0, known.log_seconds))
    )


def moved(one, other):
    """Which curves are expected otherwise."""
    values = (one.prediction.values != other.prediction.values).any(axis=(1, 2))
    return values | (one.prediction.log_seconds != other.prediction.log_seconds).any(axis=1)


# --- neighbours


@pytest.mark.parametrize("config", [PLAIN, drop_context(forget_context=0.5, forget_cells=0.5)])
def test_the_own_cell_never_serves_a_curve_and_all_others_may(source, config):
    known, regression = source
    for cell in np.unique(known.cell)[:2]:
        own = known.cell == cell
        before, after = (episodes(known, kernels, config) for kernels in (regression, spoilt(regression, own)))
        changed = moved(before, after)
        assert not changed[own[before.rows]].any()
        assert changed[: len(known)][~own].all()


def test_with_one_cell_only_the_curve_itself_is_barred():
    known = known_of(normal_curves(cells=1, cycles=4))[0]
    regression = KernelRegression.of(known, GRID)
    before = episodes(known, regression)
    for i in range(len(known)):
        alike = known.queries.mode == known.queries.mode[i]
        after = episodes(known, spoilt(regression, np.arange(len(known)) == i))
        changed = moved(before, after)[: len(known)]
        assert np.array_equal(changed, alike & (np.arange(len(known)) != i))


def test_a_half_cycle_that_one_cell_alone_has_is_served_by_that_cell():
    """The other cell is no help there: it has charges only."""
    rows = [row for row in normal_rows(cells=2, cycles=2) if row[0] == "N0" or row[2] == "charge"]
    known = known_of(curves_of(rows))[0]
    regression = KernelRegression.of(known, GRID)
    charges = known.queries.mode == 0
    before, after = (episodes(known, kernels) for kernels in (regression, spoilt(regression, known.cell == known.cell[0])))
    own = known.cell == known.cell[0]
    assert np.array_equal(moved(before, after)[: len(known)], ~own | ~charges)


def test_some_cells_are_taken_away_but_never_the_last(source):
    known, regression = source
    rows, all_there = forgotten(known, regression, forget_cells=0.0)
    as_it_is = all_there.prediction.take(np.arange(len(known)))
    np.testing.assert_array_equal(all_there.prediction.take(rows).values, as_it_is.values[all_there.rows[rows]])
    rows, fewer = forgotten(known, regression, forget_cells=1.0)
    further = fewer.prediction.distance[rows, HEAD] - as_it_is.distance[fewer.rows[rows], HEAD]
    assert 0.3 < (further > 1e-6).mean() < 1  # at times no cell is taken, at times all: then none of them is
    assert further.mean() > 0.01


# --- references


def test_references_are_strictly_earlier_curves_of_the_cell_and_half_cycle_or_the_next_for_a_first(source):
    known = source[0]
    cycle, group = known.queries.features[:, CYCLE], known.cell * 2 + known.queries.mode
    for seed in range(20):
        rows, partners = references(known, np.random.default_rng(seed))
        assert np.array_equal(np.sort(rows), np.arange(len(known)))
        assert (group[rows] == group[partners]).all()
        first = np.array([cycle[row] == cycle[group == group[row]].min() for row in rows])
        assert (cycle[partners] < cycle[rows])[~first].all()
        second = np.array([np.sort(cycle[group == group[row]])[1] for row in rows])
        np.testing.assert_array_equal(cycle[partners][first], second[first])


def test_a_curve_without_another_of_its_cell_and_half_cycle_has_no_reference(source):
    known = source[0]
    some = known.take(
        np.flatnonzero((known.cell != known.cell[0]) | (known.queries.features[:, CYCLE] == known.queries.features[0, CYCLE]))
    )
    rows, _ = references(some, np.random.default_rng(0))
    assert np.array_equal(np.sort(rows), np.flatnonzero(some.cell != known.cell[0]))
    alone = known.take(np.array([0]))
    assert references(alone, np.random.default_rng(0))[0].size == 0


def test_what_is_referenced_is_moved_in_its_head_alone_and_says_so(faulty):
    known, regression, _ = faulty
    some = episodes(known, regression)
    with_reference = np.flatnonzero(some.referenced)
    assert np.array_equal(with_reference, np.arange(len(known), len(some)))
    plain, helped = some.prediction.take(some.rows[with_reference]), some.prediction.take(with_reference)
    assert (plain.values[..., : GRID.head] != helped.values[..., : GRID.head]).any(axis=(1, 2)).all()
    assert (plain.log_seconds[:, 0] != helped.log_seconds[:, 0]).all()


@pytest.mark.parametrize(("drift", "least", "most"), [(0.0, 1.4, 1e6), (1.0, 0.25, 1.4)])
def test_persistence_is_how_long_cells_stay_as_they_are(drift, least, most):
    """Long where a cell keeps its ways whatever its condition, short where it takes others with each."""
    rng, rows = np.random.default_rng(0), []
    for cell in range(8):
        own = rng.normal(0, 0.05)
        for cycle in range(1, 9):
            rate = float(rng.choice([0.5, 1.0, 2.0]))
            sag = (1 - drift) * own + drift * rng.normal(0, 0.05)
            samples = discharge(rate=rate, sag=sag, samples=200)
            rows.append((f"P{cell}", cycle, "discharge", "normal", samples, {"state_of_health": 0.9}))
    known = known_of(curves_of(rows))[0]
    found = fit_persistence(known, KernelRegression.of(known, GRID), seed=0)
    assert found.shape == (len(MODES),)
    assert (found == found[0]).all()  # what no curve has shown is as the others
    assert least <= found[0] <= most


def test_without_two_curves_of_a_cell_persistence_is_as_it_was(source):
    known, regression = source
    before = replace(regression, persistence=np.array([0.3, 0.6, 0.9]))
    np.testing.assert_array_equal(fit_persistence(known.take(np.array([0])), before, seed=0), before.persistence)


def test_surges_and_charges_of_a_cell_are_no_references_of_each_other(source):
    known = source[0]
    mode = np.where(known.queries.mode == 0, np.where(np.arange(len(known)) % 3 == 0, SURGE, 0), 1)
    mixed = replace(known, queries=replace(known.queries, mode=mode), cell=known.cell // known.cell.min())
    for seed in range(5):
        rows, partners = references(mixed, np.random.default_rng(seed))
        assert (mixed.cell[rows] == mixed.cell[partners]).all()
        assert (mode[rows] == mode[partners]).all()


def test_with_a_reference_the_past_is_counted_from_there_on(faulty):
    known, regression, _ = faulty
    some, rng = episodes(known, regression), np.random.default_rng(0)
    rng.permutation(len(known))  # of the curves that are posed once more, of which there are none
    rows, partners = references(known, rng)
    assert np.array_equal(some.rows[some.referenced], rows)
    posed_past, past = some.queries.take(np.flatnonzero(some.referenced)), known.queries
    later = past.count[rows] > past.count[partners]
    assert later.any()
    seconds = np.exp(past.past) * past.count
    count = past.count[rows] - past.count[partners]
    relative_to = (seconds[rows] - seconds[partners])[later] / count[later]
    np.testing.assert_allclose(np.exp(posed_past.past[later]), relative_to)
    np.testing.assert_array_equal(posed_past.past[~later], past.past[rows][~later])
    following = later & (count == 1)
    lasted = np.exp(known.log_seconds[rows, 1])
    np.testing.assert_allclose(np.exp(posed_past.known_log_seconds[following]), lasted[following], rtol=1e-3)


def test_seconds_that_are_certain_are_not_learnt(tiny, faulty):
    known, _, conditions = faulty
    encoder = ResidualEncoder.of(known_of(tiny[0])[0], CONFIG, faults=VOCABULARY.faults)[0]
    encoder, some = encoder.adapted(known, CONFIG)
    batch = encoder.batch(known, conditions, some, weight=1.0)
    known_log_seconds = np.isfinite(some.queries.known_log_seconds)
    assert known_log_seconds.any()
    assert not batch.durations_mask.numpy()[known_log_seconds, 1].any()
    assert batch.durations_mask.numpy()[~known_log_seconds & np.isfinite(known.log_seconds[some.rows, 1]), 1].all()


# --- forgetting


def test_a_share_of_the_curves_is_posed_once_more_and_every_curve_as_it_is(source):
    known, regression = source
    some = episodes(known, regression, NeighbourConfig(forgetful=0.25))
    again = round(0.25 * len(known))
    assert len(some) == len(known) + again + some.referenced.sum()
    assert np.array_equal(some.rows[: len(known)], np.arange(len(known)))
    as_it_is = some.referenced.copy()
    as_it_is[: len(known)] = True
    assert some.observed[as_it_is].all()
    np.testing.assert_array_equal(some.queries.features[as_it_is], known.queries.features[some.rows[as_it_is]])


def test_too_few_curves_to_forget_anything_of_are_posed_as_they_are(source):
    known, regression = source
    alone = episodes(known.take(np.array([3])), regression, NeighbourConfig())
    assert (len(alone), alone.observed.all(), alone.referenced.any()) == (1, True, False)


def test_context_is_told_to_the_kernel_where_it_is_told_to_the_network(faulty):
    known, regression, _ = faulty
    rows, some = forgotten(known, regression, forget_context=0.4, forget_past=0.5)
    before = known.queries.take(some.rows[rows])
    told, queries = some.observed[rows], some.queries.take(rows)
    known_before = np.isfinite(before.features[:, CONTEXT_COLUMNS])
    np.testing.assert_array_equal(np.isfinite(queries.features[:, CONTEXT_COLUMNS]), told[:, IN_VECTOR] & known_before)
    assert 0.4 < told[:, IN_VECTOR].mean() < 0.8
    past = told[:, VOCABULARY.history]
    assert np.array_equal(past.all(axis=1), past.any(axis=1))
    assert 0 < past.mean() < 1
    assert np.array_equal(np.isfinite(queries.past), past[:, 0])
    assert np.array_equal(np.isfinite(queries.features[:, PAST]), past[:, 0])
    assert told[:, ~VOCABULARY.droppable].all()


def test_the_network_is_not_told_what_is_forgotten(tiny, faulty):
    known, _, conditions = faulty
    config = CONFIG.model_copy(update={"neighbours": drop_context(forget_context=1.0, forget_past=1.0), "finetune": FINETUNE})
    encoder = ResidualEncoder.of(known_of(tiny[0])[0], CONFIG, faults=VOCABULARY.faults)[0]
    encoder, some = encoder.adapted(known, config)
    batch = encoder.batch(known, conditions, some)
    rows = slice(len(known), 2 * len(known))
    width = len(VOCABULARY)
    told, hidden = VOCABULARY.encode(conditions), VOCABULARY.droppable
    for part, prediction in ((batch.values, told[0]), (batch.flags, told[1])):
        assert (part[rows, :width][:, hidden] == 0).all()
        np.testing.assert_array_equal(part[rows, :width][:, ~hidden], prediction[some.rows[rows]][:, ~hidden])
        np.testing.assert_array_equal(part[: len(known), :width], prediction)  # as they are, all is told
    assert (batch.flags[:, width:] == 1).all()
    assert (batch.values[:, -1].numpy() == some.referenced).all()
    assert batch.curve.shape[1] > CURRENT


@pytest.mark.parametrize("seconds", [False, True])
def test_a_curve_of_forgotten_context_is_seen_as_one_asked_for_without(faulty, seconds):
    """Nothing that is left of the question tells of it, how long it lasted in the past least of all."""
    known, regression, conditions = faulty
    rows, some = forgotten(known, regression, forget_context=1.0)
    bare = [
        replace(
            conditions[row],
            c_rate=None,
            ambient_temperature_celsius=None,
            cycle_count=None,
            state_of_health=None,
            load=None,
        )
        for row in some.rows[rows]
    ]
    asked = Queries.of(bare, VOCABULARY.faults).with_duration(known.log_seconds[some.rows[rows], 1])
    found = some.queries.take(rows)
    columns = [FEATURES.index("seconds" if seconds else "past")]
    np.testing.assert_array_equal(found.features[:, CONTEXT_COLUMNS], asked.features[:, CONTEXT_COLUMNS])
    np.testing.assert_allclose(found.features[:, columns], asked.features[:, columns])


def test_another_seed_forgets_other_things(source):
    known, regression = source
    config = drop_context(forget_context=0.5, forget_cells=0.5)
    one, again, other = (episodes(known, regression, config, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.observed, again.observed)
    assert np.array_equal(one.prediction.values, again.prediction.values)
    assert not np.array_equal(one.observed, other.observed)
