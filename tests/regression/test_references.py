"""What a cell did before tells of its next fault: the nearest earlier curve, and only its part inside the limits."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from faultcell.curves import Condition, Curves, Limits, Load, grid
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import excursion
from faultcell.encoding.condition_vector import CONTEXT
from faultcell.encoding.decode import rebuild
from faultcell.encoding.grid import END, LEVEL_WEIGHT, MODES, REST, START, TEMPERATURE, VOLTAGE, prior
from faultcell.errors import ConditionError, DataError
from faultcell.regression.kernel import HEAD as HEAD_KERNEL
from faultcell.regression.kernel import Queries
from faultcell.regression.reference_shift import persistent
from faultcell.regression.references import References
from strategies import CONFIG, FINETUNE, LOWER, charge, curves_of, discharge

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
HEAD = CONFIG.grid.head


@pytest.fixture(scope="module")
def known(tiny):
    """Faults of cells D0 to D3 (overdischarges) and C0 to C3 (overcharges) at cycles 1 to 3."""
    return tiny[1]


def condition(cell="D0", cycle=3, **other):
    kind = {"fault": "overdischarge", "peak_deviation_volt": 0.4, "c_rate": 0.8, "state_of_health": 0.9, **other}
    return Condition(cell_id=cell, cycle_count=cycle, **kind)


def references(curves, tuned):
    return References.of(curves, faults=tuned.profile.faults, grid=CONFIG.grid)


def draw(model, conditions, reference=None, **kwargs):
    return model.draw(conditions, range(len(conditions)), steps=4, reference=reference, **kwargs)


def changed(curves, where, **columns):
    """The same curves, with other samples where it says so."""
    samples = curves.timeseries.with_columns(
        pl.when(pl.Series(where)).then(value).otherwise(pl.col(name)).alias(name) for name, value in columns.items()
    )
    return Curves(samples, curves.halfcycles)


def beyond(curves):
    """Samples after the first that is beyond the lower limit: neither they nor the crossing itself."""
    where = np.zeros(len(curves.column("voltage_volt")), dtype=bool)
    for rows in curves.slices():
        first = int(np.argmax(curves.column("voltage_volt")[rows] < LOWER))
        where[rows.start + first + 1 : rows.stop] = True
    return where


def same_samples(one, other):
    for name in ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius"):
        np.testing.assert_allclose(one.column(name), other.column(name), rtol=1e-9, atol=1e-9, err_msg=name)


# --- which one


@pytest.mark.parametrize(("cycle", "found"), [(1, 4), (4, 9), (5, 4), (9, 4), (10, 9), (11, 10), (50, 10), (None, None)])
def test_the_nearest_strictly_earlier_curve_else_the_next_and_never_the_curve_itself(tuned, cycle, found):
    rows = [("A", at, "discharge", "normal", discharge(), {}) for at in (9, 4, 10)]
    rows += [("A", at, "charge", "normal", charge(), {}) for at in (3, 8)] + [("B", 2, "discharge", "normal", discharge(), {})]
    given = references(curves_of(rows), tuned)
    asked = [condition("A", cycle), condition("B", 1), condition("B", 2), condition("C", 5), condition(None, 5)]
    assert given.cycles(given.find(asked)) == [found, 2, None, None, None]


def test_a_half_cycle_helps_its_own_kind(tuned, known):
    given = references(known, tuned)
    charges = replace(condition("C1", 3), fault="overcharge", peak_deviation_volt=0.1)
    assert given.cycles(given.find([charges, condition("C1", 3)])) == [2, None]


def test_the_reference_is_the_same_in_whatever_order_the_set_is(tuned, known):
    backwards = known.take(range(len(known))[::-1])
    asked = conditions_of(known)
    one, other = (references(curves, tuned) for curves in (known, backwards))
    assert one.cycles(one.find(asked)) == other.cycles(other.find(asked))
    same_samples(draw(tuned, asked[:4], known), draw(tuned, asked[:4], backwards))


# --- what it does


def test_a_reference_changes_the_curve_and_says_which_it_was(tuned, known):
    asked = [condition()]
    without, with_one = draw(tuned, asked), draw(tuned, asked, known)
    assert with_one.halfcycles["reference_cycle_count"].to_list() == [2]
    assert "reference_cycle_count" not in without.halfcycles.columns
    assert not np.array_equal(without.column("voltage_volt"), with_one.column("voltage_volt"))
    np.testing.assert_allclose(with_one.known("peak_deviation_volt"), 0.4, atol=1e-3)


def still_there(model, asked):
    """How much of what sets its reference apart is expected of a condition."""
    regression = model.encoder.regression
    return persistent(asked.prediction.distance[0, HEAD_KERNEL], regression.persistence[asked.queries.mode[0]])


def test_how_a_reference_differs_inside_its_limits_is_expected_again(tuned, known):
    """A cell that was 3 K warmer than another is expected to be so again in its head, the less the further its condition."""
    warmer = changed(
        known,
        np.ones(known.timeseries.height, dtype=bool),
        surface_temperature_celsius=pl.col("surface_temperature_celsius") + 3,
    )
    asked = [tuned.encoder.ask([condition()], references(curves, tuned)) for curves in (known, warmer)]
    one, other = (some.prediction.values[0] for some in asked)
    left = still_there(tuned, asked[0])
    assert 0.5 < left < 1
    np.testing.assert_allclose((other - one)[TEMPERATURE, :HEAD], 3 * left, atol=1e-4)
    np.testing.assert_allclose((other - one)[VOLTAGE], 0, atol=1e-9)
    np.testing.assert_allclose((other - one)[:, HEAD:], 0, atol=1e-9)


def test_a_cell_whose_reference_lasted_longer_is_expected_to_last_longer_again(tuned, known):
    slower = Curves(known.timeseries.with_columns(pl.col("step_time_second") * 1.2), known.halfcycles)
    asked = [tuned.encoder.ask([condition()], references(curves, tuned)) for curves in (known, slower)]
    one, other = (some.prediction.log_seconds[0] for some in asked)
    assert other[0] - one[0] == pytest.approx(np.log(1.2) * still_there(tuned, asked[0]))
    assert other[1] == one[1]


@pytest.mark.parametrize(
    "columns",
    [
        {"voltage_volt": LOWER - 1.3},
        {"surface_temperature_celsius": 60.0},
        {"step_time_second": pl.col("step_time_second") * 1.5 + 40},
        {"current_ampere": pl.col("current_ampere") * 0.7},
    ],
    ids=["voltage", "temperature", "time", "current"],
)
def test_only_the_part_inside_the_limits_matters(tuned, known, columns):
    low = known.select(label=["overdischarge"])
    bare = Curves(low.timeseries, low.halfcycles.drop("peak_deviation_volt", "repetition_count", "cumulative_duration_second"))
    other = changed(bare, beyond(bare), **columns)
    asked = [condition(), condition("D2", 2, c_rate=None)]
    assert not other.timeseries.equals(bare.timeseries)
    same_samples(draw(tuned, asked, bare), draw(tuned, asked, other))


def test_only_the_part_inside_matters_even_where_most_samples_lie_beyond(tuned):
    """What the reference is told of its own conditions, its rate say, may not be of what it did beyond either."""
    deep = discharge(cutoff=LOWER - 2, rest=0, samples=400)
    first = int(np.argmax(deep["voltage_volt"] < LOWER))
    kept = np.unique(np.concatenate([np.linspace(0, first, 20).astype(int), np.arange(first, 400)]))
    samples = {name: values[kept] for name, values in deep.items()}
    bare = curves_of([("D0", 1, "discharge", "overdischarge", samples, {"state_of_health": 0.9})])
    other = changed(bare, beyond(bare), current_ampere=pl.col("current_ampere") * 0.7)
    assert beyond(bare).mean() > 0.5
    one, two = (tuned.encoder.ask([condition()], references(curves, tuned)).prediction for curves in (bare, other))
    np.testing.assert_allclose(one.values, two.values, atol=1e-9)
    np.testing.assert_allclose(one.log_seconds, two.log_seconds)
    np.testing.assert_allclose(one.distance, two.distance)


def test_the_part_inside_the_limits_does_matter(tuned, known):
    low = known.select(label=["overdischarge"])
    other = changed(low, ~beyond(low), surface_temperature_celsius=60.0)
    one, two = (draw(tuned, [condition()], curves).column("surface_temperature_celsius") for curves in (low, other))
    assert np.abs(one - two).max() > 1


def test_a_curve_depends_on_its_own_reference_alone(tuned, known):
    asked = [condition(f"D{i % 4}", 2 + i // 4) for i in range(8)]
    whole = draw(tuned, asked, known)
    for i in (0, 5):
        own = known.take(np.flatnonzero(known.halfcycles["cell_id"] == asked[i].cell_id).tolist())
        alone = tuned.draw([asked[i]], [i], steps=4, reference=own)
        same_samples(whole.take([i]), alone)


# --- at how many faults, and seconds beyond the limit, the cell stands


def support_features(count, seconds, *, cycle=2, **further):
    """A reference set: one cycle of cell D0, which stands at so many faults and seconds."""
    past = {"repetition_count": count, "cumulative_duration_second": seconds, "state_of_health": 0.9}
    past = {name: value for name, value in past.items() if value is not None}
    return curves_of([("D0", cycle, "discharge", "overdischarge", discharge(cutoff=LOWER - 0.4), {**past, **further})])


def expected_tail(model, asked, given=None):
    return float(np.exp(model.encoder.ask([asked], given).prediction.log_seconds[0, 1]))


def silent(model):
    """The same, with sensors that add nothing: when a voltage crosses its limit can be told to the sample."""
    typical = {
        step: some.model_copy(update={"voltage_noise_volt": 0.0, "temperature_noise_celsius": 0.0})
        for step, some in model.profile.typical.items()
    }
    return replace(model, profile=model.profile.model_copy(update={"typical": typical}))


def test_the_next_fault_lasts_just_as_long_as_is_asked_beyond_where_the_cell_stands(tuned):
    asked = condition(repetition_count=3, cumulative_duration_second=940.0)
    for model, rtol in ((silent(tuned), 2e-4), (tuned, 5e-3)):  # sensors' noise moves the crossing
        drawn = model.draw([asked] * 3, range(3), steps=4, reference=support_features(2, 800.0))
        np.testing.assert_allclose(excursion(drawn, side="low")[1], 140.0, rtol=rtol)
        np.testing.assert_allclose(drawn.known("cumulative_duration_second"), 940.0, rtol=rtol)
        assert drawn.known("repetition_count").tolist() == [3, 3, 3]
        other = model.draw([asked] * 3, range(3), steps=4, reference=support_features(2, 700.0))
        np.testing.assert_allclose(excursion(other, side="low")[1], 240.0, rtol=rtol)


def test_the_first_fault_of_a_cell_lasts_what_is_asked_with_no_reference(tuned):
    asked = condition(repetition_count=1, cumulative_duration_second=300.0)
    for model, rtol in ((silent(tuned), 2e-4), (tuned, 5e-3)):
        np.testing.assert_allclose(excursion(draw(model, [asked] * 3), side="low")[1], 300.0, rtol=rtol)


def test_several_faults_on_they_last_as_those_since_then_on_the_mean(tuned):
    asked = condition(repetition_count=3, cumulative_duration_second=1000.0)
    given = references(support_features(1, 400.0), tuned)
    queries = tuned.encoder.ask([asked], given).queries
    assert np.exp(queries.past[0]) == pytest.approx(300.0)
    assert queries.count[0] == 2
    assert np.isnan(queries.known_log_seconds[0])
    drawn = tuned.draw([asked] * 8, range(8), steps=4, reference=support_features(1, 400.0))
    assert np.ptp(excursion(drawn, side="low")[1]) > 0


@pytest.mark.parametrize(
    "given",
    [
        support_features(None, None),
        support_features(2, None),
        support_features(3, 800.0),  # as many faults as are asked for
        support_features(4, 990.0, cycle=9),  # the next cycle, where there is no earlier one
        support_features(2, 941.0),  # more seconds than are asked for
        support_features(2, 940.0),  # as many, but for rounding
        support_features(2, 800.0, cycle=9),  # fewer, but later
        support_features(0, 0.0),
    ],
    ids=[
        "no history",
        "no seconds",
        "no fewer faults",
        "later",
        "more seconds",
        "no fewer seconds",
        "fewer but later",
        "no faults",
    ],
)
def test_a_past_that_tells_nothing_of_this_fault_leaves_the_mean_of_all(tuned, given):
    asked = condition(repetition_count=3, cumulative_duration_second=940.0)
    queries = tuned.encoder.ask([asked], references(given, tuned)).queries
    assert np.exp(queries.past[0]) == pytest.approx(940 / 3)
    assert np.isnan(queries.known_log_seconds[0])


def test_a_folder_that_tells_of_no_past_is_not_measured_for_one(tuned, tmp_path):
    from faultcell import files
    from faultcell.cli.common import read_as_told

    folder = files.write(support_features(None, None), tmp_path / "given")
    asked = condition(repetition_count=2, cumulative_duration_second=500.0)
    assert np.isnan(tuned.encoder.ask([asked], references(read_as_told(folder), tuned)).queries.known_log_seconds[0])


def test_of_a_pulsed_load_that_is_forgotten_nothing_is_certain_either():
    swings = Load(np.linspace(0, 1, 41), np.where(np.arange(41) % 2, -2.0, 0.0))
    asked = [condition(repetition_count=1, cumulative_duration_second=77.0, load=load) for load in (swings, None)]
    queries = Queries.of(asked, ("overdischarge",))
    forgotten = queries.drop_context(np.zeros((2, len(CONTEXT)), dtype=bool), np.ones(2, dtype=bool))
    assert np.isfinite(forgotten.known_log_seconds).tolist() == [False, True]
    np.testing.assert_array_equal(forgotten.past, queries.past)


def test_a_certain_duration_is_not_told_to_the_network_as_one_that_it_drew(tuned, monkeypatch):
    told = []
    tell = type(tuned.network).condition_input
    monkeypatch.setattr(type(tuned.network), "condition_input", lambda self, *args: told.append(args[2]) or tell(self, *args))
    for count in (1, 3):
        draw(tuned, [condition(repetition_count=count, cumulative_duration_second=400.0)])
    assert [mask[0].tolist() for mask in told] == [[True, False], [True, True]]


def test_the_past_is_not_measured_from_samples_beyond_the_limits(tuned):
    """What the table does not tell stays unknown, whatever the curve itself did."""
    asked = condition(repetition_count=2, cumulative_duration_second=500.0)
    given = references(support_features(None, None), tuned)
    assert given.find([asked]).tolist() == [0]
    assert expected_tail(tuned, asked, given) == pytest.approx(expected_tail(tuned, asked), rel=1e-6)


def test_under_a_pulsed_load_the_seconds_are_not_certain(tuned):
    """There the tail has rests, too, which are not beyond the limit."""
    swings = Load(np.linspace(0, 1, 41), np.where(np.arange(41) % 2, -2.0, 0.0))
    asked = condition(repetition_count=1, cumulative_duration_second=77.0, load=swings)
    assert np.isnan(tuned.encoder.ask([asked]).queries.known_log_seconds[0])


def test_of_a_normal_curve_nothing_beyond_the_limit_is_certain(tuned):
    asked = Condition("normal", step_type="discharge", repetition_count=1, cumulative_duration_second=77.0)
    assert np.isnan(tuned.encoder.ask([asked]).queries.known_log_seconds[0])


def test_a_voltage_at_rest_that_no_training_curve_had_is_drawn_as_the_reference_shows_it(tuned):
    assert "rest_voltage" not in tuned.profile.channels
    samples = discharge(samples=200)
    at_rest = np.arange(200) // 10 % 2 == 1
    samples["current_ampere"] = np.where(at_rest, 0.0, samples["current_ampere"])
    samples["voltage_volt"] = samples["voltage_volt"] + 0.2 * at_rest
    load = Load(np.linspace(0, 1, 200), samples["current_ampere"])
    asked = condition("P", 2, fault="normal", step_type="discharge", peak_deviation_volt=0.0, load=load)
    pulsed = curves_of([("P", 1, "discharge", "normal", samples, {"state_of_health": 0.9})])
    for given, gap in ((pulsed, 0.2), (None, 0.0)):
        volt = draw(tuned, [asked], given).column("voltage_volt")
        middle = slice(40, 160)
        rise = volt[middle][at_rest[middle]].mean() - volt[middle][~at_rest[middle]].mean()
        assert rise == pytest.approx(gap, abs=0.09)


@pytest.mark.parametrize(("half", "fault", "sign"), [("discharge", "overdischarge", 1), ("charge", "overcharge", -1)])
def test_at_rest_a_cell_is_never_further_than_under_load(half, fault, sign):
    """Whatever a network says: so the deviation asked for is met under a pulsed load, too."""
    coded = prior(CONFIG.grid)
    coded[VOLTAGE, [START, END]] = LEVEL_WEIGHT * np.array([0.9, 0.0] if half == "discharge" else [0.1, 1.0])
    coded[REST] = -9  # windows, where at rest it recovers
    current = np.where(np.arange(400) // 20 % 2, 0.0, -2.0 * sign)
    asked = Condition(
        fault,
        peak_deviation_volt=0.5,
        nominal_capacity_ah=2.0,
        limits=Limits(LOWER, 4.2),
        load=Load(np.linspace(0, 1, 400), current),
    )
    seconds, mode = np.array([[3000.0, 100.0]]), np.array([MODES.index(half)])
    volt = rebuild(coded[None], seconds, [asked], mode, CONFIG.grid)[0].volt
    assert (-sign * np.diff(volt) >= -1e-12).all()
    coded[REST] = 0.1
    recovered = rebuild(coded[None], seconds, [asked], mode, CONFIG.grid)[0].volt
    np.testing.assert_allclose(recovered - volt, np.where(current == 0, sign * 0.1 * (4.2 - LOWER), 0.0), atol=1e-9)
    assert (volt.min() if sign > 0 else volt.max()) == pytest.approx(LOWER - 0.5 if sign > 0 else 4.7, abs=0.02)


# --- what is missing


def test_a_cycle_that_is_left_open_and_drawn_finds_no_reference(tuned, known):
    """What is drawn for a request of the rest of its context is the same with references as without."""
    asked = [condition("D1", None, c_rate=None, state_of_health=None), condition("D0")]
    drawn, without = draw(tuned, asked, known), draw(tuned, asked)
    assert drawn.halfcycles["reference_cycle_count"].to_list() == [None, 2]
    same_samples(drawn.take([0]), without.take([0]))


def test_what_a_request_leaves_open_is_as_in_the_curve_that_helps_it(tuned, known):
    asked = condition("D0", 3, c_rate=None, state_of_health=None)
    drawn = draw(tuned, [asked], known)
    helps = known.take(np.flatnonzero((known.halfcycles["cell_id"] == "D0") & (known.halfcycles["cycle_count"] == 2)).tolist())
    assert drawn.known("state_of_health") == pytest.approx(helps.known("state_of_health"))
    assert drawn.known("c_rate")[0] == pytest.approx(conditions_of(helps)[0].c_rate, rel=1e-6)
    assert np.isnan(drawn.known("requested_c_rate")[0])


def test_where_there_is_none_it_is_null_and_the_curve_is_as_without(tuned, known):
    asked = [condition("D0"), condition("elsewhere"), condition(None), condition("D1", None)]
    drawn = draw(tuned, asked, known)
    column = drawn.halfcycles["reference_cycle_count"]
    assert (column.to_list(), column.dtype) == ([2, None, None, None], pl.Int64)
    without = draw(tuned, asked)
    same_samples(drawn.take([1, 2, 3]), without.take([1, 2, 3]))


@pytest.mark.parametrize(
    "asked",
    [
        grid("overdischarge", peak_deviation_volt=0.4),
        [condition("elsewhere")],
        [condition("D0", None)],
        [condition("C0")],  # of which there are charges only
    ],
    ids=["no cell", "another cell", "no cycle", "another half-cycle"],
)
def test_no_reference_that_fits_is_one_sentence(tuned, known, asked):
    with pytest.raises(ConditionError, match="no reference curve fits") as caught:
        draw(tuned, asked, known)
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(".")
    assert str(asked[0].cell_id) in str(caught.value)


def test_references_that_cannot_be_put_on_the_grid_are_refused(tuned):
    short = {name: values[:3] for name, values in discharge().items()}
    with pytest.raises(ConditionError, match="none of the reference curves can be used"):
        draw(tuned, [condition("U")], curves_of([("U", 1, "discharge", "normal", short, {})]))


def test_generated_curves_are_no_references(tuned):
    drawn = draw(tuned, [condition("U", 1)])
    with pytest.raises(DataError, match="generated curves"):
        draw(tuned, [condition("U", 2)], drawn)


def test_an_unusable_reference_is_passed_over(tuned):
    short = {name: values[:3] for name, values in discharge().items()}
    rows = [("U", 1, "discharge", "normal", discharge(), {}), ("U", 2, "discharge", "normal", short, {})]
    assert draw(tuned, [condition("U", 3)], curves_of(rows)).halfcycles["reference_cycle_count"].to_list() == [1]


def test_a_network_never_shown_a_fault_with_a_reference_is_not_told_of_one(models, tiny):
    """Such a combination of conditions it would answer at random; the reference still moves what is expected."""
    _, faults = tiny
    one_each = Curves.concat([faults.select(cells=[cell]).take([0]) for cell in faults.cells])
    tuned = models[0].finetune(one_each, config=FINETUNE)
    asked = tuned.encoder.ask(
        [condition()], references(curves_of([("D0", 1, "discharge", "normal", discharge(rest=0), {})]), tuned)
    )
    assert asked.rows.tolist() == [0]
    last = asked.condition().shape[1] // 2 - 1
    assert asked.condition()[0, last] == 0
    assert models[1].encoder.scaler.seen.shape == tuned.encoder.scaler.seen.shape
