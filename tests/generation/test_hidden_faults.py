"""Faults that break no limit, through every verb: learnt, adapted to, drawn, measured back, scored, told from normal ones."""

import numpy as np
import polars as pl
import pytest

import faultcell as fc
from faultcell import files
from faultcell.augmentation import adapted
from faultcell.config import Config, FinetuneConfig, TrainConfig
from faultcell.curves import FAULTS, Curves
from faultcell.diagnosis import classify
from faultcell.diagnosis.views import WARM
from faultcell.errors import ConditionError, DataError

pytestmark = pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning", "ignore::faultcell.errors.LeftOutWarning")
KINDS = [name for name, kind in FAULTS.items() if kind.side is None]


@pytest.fixture(scope="module")
def parts():
    """(normal curves, two handfuls of each kind, normal curves and faults of other cells) of the embedded set."""
    curves = fc.demo_data(*KINDS)
    cells = {name: sorted(curves.select(label=[name]).cells) for name in KINDS}
    sound = sorted(set(curves.cells) - {cell for own in cells.values() for cell in own})
    held = [cell for own in cells.values() for cell in own[:2]] + sound[:2]
    kept = [cell for own in cells.values() for cell in own[2:9]] + sound[2:6]
    seen, unseen = curves.where(pl.col("cell_id").is_in(kept)), curves.where(pl.col("cell_id").is_in(held))
    few = Curves.concat([seen.select(label=[name]).few(32, seed=0) for name in KINDS])
    return seen.select(label=["normal"]), few, unseen


@pytest.fixture(scope="module")
def model(parts):
    """One model for all kinds, trained for a while."""
    config = Config(train=TrainConfig(steps=60, batch_size=64))
    return adapted(parts[0], parts[1], config=config, finetune=FinetuneConfig(steps=30, batch_size=64))


@pytest.fixture(scope="module")
def drawn(model, parts):
    normal = parts[2].select(label=["normal"])
    return {name: model.augment(normal, count=80, faults=[name], seed=5) for name in KINDS}


def measured(curves, name):
    return curves.known(f"requested_{name}"), curves.known(name)


@pytest.mark.parametrize("name", KINDS)
def test_normal_curves_of_cells_left_out_go_wrong_in_both_half_cycles(drawn, parts, name):
    made = drawn[name]
    assert made.has_generated
    assert set(made.halfcycles["step_type"]) == {"charge", "discharge"}
    assert set(made.halfcycles["source_cell_id"]) <= set(parts[2].cells)
    names = [one.name for kind in KINDS for one in FAULTS[kind].severities]
    others = [one for one in names if one not in FAULTS[name].names]
    assert not any(made.halfcycles.select(pl.col(others).abs().max()).row(0))
    limits = made.halfcycles.select("lower_voltage_limit_volt", "upper_voltage_limit_volt").row(0)
    volt = made.column("voltage_volt")
    assert limits[0] - 0.02 < volt.min() < volt.max() < limits[1] + 0.02  # it breaks no limit
    assert np.isfinite(made.column("surface_temperature_celsius")).all()


@pytest.mark.parametrize(
    ("name", "severity", "values", "resolution"),
    [
        ("internal_short", "leakage_c_rate", (0.01, 0.02, 0.03, 0.04, 0.05), 0.02),
        ("contact_fault", "added_resistance_milliohm", (8.0, 14.0, 20.0, 26.0, 32.0), 3.0),
        ("cooling_failure", "temperature_rise_kelvin", (4.0, 8.0, 12.0, 16.0, 20.0), 2.0),
        ("sensor_offset", "temperature_offset_kelvin", (2.0, 3.5, 5.0, 6.5, 8.0), 0.5),
    ],
)
def test_what_is_asked_comes_back_and_rises(model, parts, name, severity, values, resolution):
    """Within 5 % or what the data tell apart: of a leak also what it does beyond the balance, by warming the cell."""
    step = "discharge" if name != "internal_short" else "charge"
    normal = parts[2].select(label=["normal"], step_type=[step])
    found = []
    for value in values:
        made = model.augment(normal, count=24, faults=[name], severity={severity: value}, seed=9)
        asked, got = measured(made, severity)
        assert set(asked) == {value}
        found.append(float(np.nanmedian(got)))
    assert (np.diff(found) > 0).all(), found
    np.testing.assert_allclose(found, values, rtol=0.05, atol=resolution)


@pytest.mark.parametrize("name", KINDS)
def test_no_severity_is_the_normal_curve(model, parts, name):
    """In the limit of a fault that is none, what is expected is what a normal curve is expected to be."""
    from faultcell.curves.conditions import conditions_of
    from faultcell.curves.severity import complete
    from faultcell.generation.counterfactuals import counterfactual
    from faultcell.regression.references import References

    normal = complete(parts[2].select(label=["normal"])[:6])
    references = References.of(normal, faults=model.profile.faults, grid=model.config.grid)
    slight = {FAULTS[name].main.name: 1e-9}
    known = conditions_of(normal)
    wrong = [fc.Condition(name, severities=slight, step_type=c.step) for c in known]
    asked = model.encoder.ask(counterfactual(known, wrong), references)
    own = references.known
    np.testing.assert_allclose(asked.prediction.log_seconds[:, 0], own.log_seconds[:, 0], atol=1e-3)
    head = slice(0, model.config.grid.head)
    np.testing.assert_allclose(asked.prediction.values[..., head], np.where(own.mask, own.values, 0)[..., head], atol=2e-2)


@pytest.mark.parametrize("name", KINDS)
def test_on_cells_left_out_draws_are_nearer_than_replay(model, parts, name):
    """By the duration inside the limits and the temperature, in units of what the normal curves of the same cells differ."""
    faults, normal = parts[2].select(label=[name]), parts[2].select(label=["normal"])
    conditions = fc.conditions_of(faults, load=False)
    made = model.draw(conditions, range(len(conditions)), reference=normal, leave_out=True)
    replay = fc.Replay(parts[1].select(label=[name])).draw(conditions, range(len(conditions)))
    assert len(made) > 0.9 * len(faults)

    def told(curves):
        return {
            (row[0].rsplit("-", 1)[0] if row[0].count("-") > 1 else row[0], *row[1:]): one
            for row, one in zip(
                curves.halfcycles.select("cell_id", "cycle_count", "step_type").rows(), figures(curves), strict=True
            )
        }

    real = told(faults)
    errors = [
        np.median([np.abs(real[key] - one) for key, one in told(source).items() if key in real], axis=0)
        for source in (made, replay)
    ]
    assert (errors[0] < errors[1]).mean() >= 0.5, errors


def figures(curves):
    """Logarithm of the seconds, mean voltage and mean temperature of each curve."""
    time, volt, celsius = (curves.column(n) for n in ("step_time_second", "voltage_volt", "surface_temperature_celsius"))
    return [np.array([np.log(np.ptp(time[rows])), volt[rows].mean(), celsius[rows].mean()]) for rows in curves.slices()]


# --- the command line


@pytest.fixture(scope="module")
def folders(model, parts, tmp_path_factory):
    """(model, normal curves, known faults, curves of other cells) on disk."""
    root = tmp_path_factory.mktemp("hidden")
    model.save(root / "model")
    keep = pl.col("cycle_count") <= 20
    files.write(parts[0].where(keep), root / "normal")
    files.write(parts[2], root / "test")
    return root


def test_every_verb_takes_them(run, folders, tmp_path):
    done = run(
        "augment",
        folders / "model",
        "--normal",
        folders / "normal",
        "--count",
        30,
        "--fault",
        "internal_short",
        "--severity",
        "leakage_c_rate=0.02",
        "--severity",
        "leakage_c_rate=0.04",
        "--out",
        tmp_path / "more",
    )
    assert done.code == 0, done.err
    more = files.read(tmp_path / "more")
    assert set(more.halfcycles["requested_leakage_c_rate"]) == {0.02, 0.04}
    assert more.known("leakage_c_rate").std() > 0  # measured back, not copied
    words = ("--fault", "contact_fault", "--severity", "added_resistance_milliohm=15", "--step-type", "discharge", "--count", 3)
    done = run("sample", folders / "model", *words, "--out", tmp_path / "drawn")
    assert done.code == 0, done.err
    drawn = files.read(tmp_path / "drawn")
    assert drawn.halfcycles.select("label", "step_type").unique().rows() == [("contact_fault", "discharge")]
    assert np.isnan(drawn.known("added_resistance_milliohm")).all()  # nothing to measure it against
    like = ("--like", folders / "test", "--label", "cooling_failure", "--reference", folders / "test")
    done = run("band", folders / "model", *like, "--draws", 20, "--out", tmp_path / "band")
    assert done.code == 0, done.err
    done = run(
        "evaluate",
        "--bundle",
        folders / "model",
        "--real",
        folders / "test",
        "--label",
        "internal_short",
        "--draws",
        4,
        "--out",
        tmp_path / "scores.json",
    )
    assert done.code == 0, done.err
    assert "internal_short" in (tmp_path / "scores.json").read_text()


def test_classifiers_have_the_temperature_and_the_cells_own_normal_curve(model, parts):
    known = Curves.concat([parts[0], parts[1].select(label=["internal_short"])])
    test = parts[2].select(label=["internal_short", "normal"])
    sets = {"more": model.augment(parts[0], count=100, faults=["internal_short"])}
    gain = classify(train=known, test=test, synthetic=sets, seeds=1, classifiers=["cnn"], controls=["splice"], steps=80)
    assert {(row.task, row.view) for row in gain.rows} == {
        (f"internal_short {step}", view) for step in ("charge", "discharge") for view in WARM
    }
    assert {row.arm for row in gain.rows} == {"before", "class_weights", "more", "splice"}
    found = {(row.task, row.view): row.roc_auc for row in gain.rows if row.arm == "more"}
    assert found["internal_short charge", "relative"] > 0.8
    bare = Curves(test.timeseries.with_columns(surface_temperature_celsius=pl.lit(None, dtype=pl.Float64)), test.halfcycles)
    with pytest.raises(DataError, match="internal_short is left out, since a set has no surface_temperature_celsius"):
        classify(train=known, test=bare, seeds=1, classifiers=["cnn"], views=["thermal"], steps=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fault", "internal_short"), "needs how severe it is: --severity leakage_c_rate=0.05"),
        (
            ("--fault", "internal_short", "--severity", "added_resistance_milliohm=3"),
            "is of contact_fault: internal_short takes",
        ),
        (("--fault", "internal_short", "--peak-deviation-volt", "0.1"), "internal_short takes leakage_c_rate"),
        (("--fault", "internal_shorts", "--severity", "leakage_c_rate=3"), "unknown fault 'internal_shorts'"),
        (("--fault", "internal_short", "--severity", "leakage_c_rate"), "--severity takes NAME=VALUE"),
        (("--fault", "sensor_offset", "--severity", "voltage_offset_millivolt=900"), "must be between -500 and 500 mV"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(run, folders, tmp_path, words, said):
    done = run("sample", folders / "model", *words, "--out", tmp_path / "none")
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_model_without_temperature_says_so(parts):
    bare = [
        Curves(part.timeseries.with_columns(surface_temperature_celsius=pl.lit(None, dtype=pl.Float64)), part.halfcycles)
        for part in (parts[0], parts[1].select(label=["cooling_failure"]))
    ]
    config = Config(train=TrainConfig(steps=1, batch_size=8))
    with pytest.raises(ConditionError, match="cooling_failure cannot be told without surface_temperature_celsius"):
        adapted(bare[0].head(20), bare[1], config=config, finetune=FinetuneConfig(steps=1, batch_size=8))
