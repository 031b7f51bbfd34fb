"""The page without a browser: ranges of sliders, the queue, the HTTP API, what every request must meet."""

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("nicegui", reason='the page needs the extra: pip install "faultcell[app]"')

import httpx
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import faulty
from faultcell.app import server, uploads
from faultcell.app.api import guard, routes
from faultcell.app.api.guard import MOST_BODY, MOST_UPLOAD, Guard
from faultcell.app.controls import QUANTITIES, kinds, knobs
from faultcell.app.normals import Normals
from faultcell.app.page import address, chart
from faultcell.app.page.address import channels_of
from faultcell.app.page.narrow import labelled
from faultcell.app.page.tables import facts_html
from faultcell.app.registry import Entry, Registry
from faultcell.app.requests import MOST_CURVES, MOST_STEPS, Conditions, Draw, Source, conditions_from
from faultcell.app.uploads import normals_of
from faultcell.app.worker import queue
from faultcell.app.worker.downloads import bdf_csv
from faultcell.app.worker.nearest import CellKind, nearest_alike
from faultcell.app.worker.process import FailedError, GoneError, Worker
from faultcell.app.worker.queue import BusyError, DrawQueue, LateError, LostError, Newest
from faultcell.app.worker.results import SHOWN, show, source_of, typical, warnings_of
from faultcell.baselines.replay import CurveLibrary
from faultcell.curves import FAULTS, Condition, Curves
from faultcell.curves.condition import Limits
from faultcell.curves.conditions import conditions_of
from faultcell.curves.severity import excursion
from faultcell.errors import BundleError, ConditionError, DataError, FaultCellError
from faultcell.files import ingest, read, write
from faultcell.generation.counterfactuals import counterfactual

PORT = 8080
OVERDISCHARGE = {"fault": "overdischarge", "peak_deviation_volt": 0.5}
pytestmark = [
    pytest.mark.filterwarnings("ignore::faultcell.errors.OutOfRangeWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folders(models, tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    models[1].save(root / "My Model (1)")
    write(Curves.concat(tiny), root / "real")
    return SimpleNamespace(bundle=root / "My Model (1)", real=root / "real", root=root)


@pytest.fixture(scope="module")
def registry(folders):
    return Registry.of([folders.bundle], real=folders.real)


@pytest.fixture(scope="module")
def entry(registry):
    return registry.entry("my-model-1")


@pytest.fixture(scope="module")
def client(registry):
    queue = DrawQueue(registry, threads=1)
    yield TestClient(Guard(routes.make(registry, queue), port=PORT), base_url=f"http://localhost:{PORT}")
    queue.close()


@contextlib.asynccontextmanager
async def working(**more):
    """A queue whose worker waits for work."""
    queue = DrawQueue("served", threads=1, **more)
    try:
        await queue.do(faulty.pid)
        yield queue
    finally:
        queue.close()


async def until(path):
    """Until a file is there."""
    await meanwhile(path.exists)


async def meanwhile(holds):
    """Let others work until something holds."""
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError(holds)


def draw(client, conditions=OVERDISCHARGE, **more):
    return client.post("/api/v1/bundles/my-model-1/draw", json={"conditions": conditions, **more})


# --- sliders


def test_a_model_offers_what_it_has_seen(models):
    assert [kind.id for kind in kinds(models[1])] == ["overcharge", "overdischarge", "normal charge", "normal discharge"]
    assert [kind.id for kind in kinds(models[0])] == ["normal charge", "normal discharge"]


def test_ranges_are_those_of_the_curves_learnt_from(tuned, tiny):
    kind = kinds(tuned)[1]
    found = {knob.quantity.name: knob for knob in knobs(tuned, kind)}
    faults = tiny[1].select(label=["overdischarge"])
    for name in ("peak_deviation_volt", "repetition_count", "cumulative_duration_second"):
        told = faults.known(name)
        assert (found[name].low, found[name].high) == pytest.approx((told.min(), told.max()), rel=1e-4)
        assert found[name].usual == pytest.approx(np.median(told), rel=1e-3)
    health = Curves.concat(tiny).select(step_type=["discharge"]).known("state_of_health")
    assert (found["state_of_health"].low, found["state_of_health"].high) == pytest.approx(
        (health.min(), health.max()), rel=1e-4
    )


def test_sliders_go_a_bit_beyond_and_say_so(tuned, inside):
    for model in (tuned, inside):
        for knob in (knob for kind in kinds(model) for knob in knobs(model, kind)):
            low, high = knob.ends
            assert knob.quantity.least <= low <= knob.low + knob.step
            assert high > knob.high
            assert low <= knob.start <= high
            assert (high - low) / knob.step < 500
            assert knob.beyond(knob.low) is knob.beyond(knob.high) is knob.beyond(None) is None
            assert "beyond what the model has seen" in knob.beyond(high)


# --- what a page shows


def test_what_is_shown_is_what_the_model_draws(registry, entry, tuned):
    request = Draw(conditions=Conditions(**OVERDISCHARGE, c_rate=1.0), seed=5)
    shown = show(registry, entry, request=request)
    drawn = tuned.draw([request.conditions.condition()] * 64, range(5, 69))
    assert len(shown.curves) == SHOWN
    assert np.array_equal(shown.curves[3].volt, drawn.take([3]).column("voltage_volt"))
    peaks = [drawn.take([row]).column("voltage_volt")[-1] for row in range(64)]
    assert shown.end_band.volt[:, -1] == pytest.approx(np.quantile(peaks, [0.05, 0.5, 0.95]))
    for band in (shown.band, shown.end_band):
        shift = 0 if band is shown.band else 1
        volts = [np.interp(band.second, line.second - shift * line.second[-1], line.volt) for line in shown.curves]
        within = (volts >= band.volt[0]) & (volts <= band.volt[2])
        assert within.mean() > 0.8
    asked = {row.title: row for row in shown.rows}
    assert (asked["Peak deviation"].asked, asked["Peak deviation"].got) == ("0.500 V", "0.500 V")
    assert asked["Cumulated time"].asked == "unknown"


def test_the_nearest_real_curve_is_beside(registry, entry, tiny):
    wanted = tiny[1].select(label=["overdischarge"])
    row = 4
    request = Draw(conditions=Conditions(fault="overdischarge", peak_deviation_volt=wanted.known("peak_deviation_volt")[row]))
    nearest = show(registry, entry, request=request).nearest[0]
    lowest = wanted.take([row]).column("voltage_volt").min()
    assert nearest.volt.min() == pytest.approx(lowest, abs=1e-6)
    celsius = wanted.take([row]).column("surface_temperature_celsius")
    assert nearest.celsius[0] == pytest.approx(celsius[0], abs=1e-6)
    assert nearest.celsius.max() <= celsius.max() + 1e-6


@pytest.mark.parametrize(
    ("capacity", "lower", "alike"), [(2.0, 2.7, True), (2.06, 2.71, True), (2.2, 2.7, False), (2.0, 2.5, False)]
)
def test_a_cell_is_of_another_kind_by_capacity_or_limits(capacity, lower, alike):
    kind = CellKind(2.0, Limits(2.7, 4.2))
    other = CellKind(capacity, Limits(lower, 4.2))
    assert kind.is_like(other) is other.is_like(kind) is alike
    assert kind.is_like(CellKind(None, None))


def test_real_curves_of_another_kind_of_cell_are_not_beside_and_that_is_said(registry, entry, tiny):
    request = Draw(conditions=Conditions(**OVERDISCHARGE))
    assert show(registry, entry, request=request).without_nearest == ""
    larger = tiny[1].halfcycles.with_columns(pl.col("nominal_capacity_ah") * 2.5)
    foreign = CurveLibrary(Curves(tiny[1].timeseries, larger))
    shown = show(replace(registry, real=foreign), entry, request=request)
    assert shown.nearest == []
    both = f"{larger['nominal_capacity_ah'][0] / 2.5:g} Ah", f"{larger['nominal_capacity_ah'][0]:g} Ah"
    assert re.fullmatch(
        rf".* no overdischarge of a cell of this kind \({both[0]}.*\): .* one of {both[1]}.*", shown.without_nearest
    )
    without = show(replace(registry, real=CurveLibrary(tiny[0])), entry, request=request)
    assert without.without_nearest == "The real curves given have no overdischarge."
    renamed = (table.with_columns(pl.format("other {}", "cell_id").alias("cell_id")) for table in (tiny[1].timeseries, larger))
    mixed = CurveLibrary(Curves.concat([Curves(*renamed), tiny[1]]))
    kinds = {row: mixed.conditions[row].nominal_capacity_ah for row in range(len(mixed.conditions))}
    rows, _ = nearest_alike(mixed, request.condition(), kind=CellKind(larger["nominal_capacity_ah"][0], None), count=3)
    assert {kinds[row] for row in rows} == {larger["nominal_capacity_ah"][0]}


# --- temperature


def test_temperatures_are_those_drawn_and_what_was_not_measured_is_no_line(registry, entry, tuned, tiny):
    request = Draw(conditions=Conditions(**OVERDISCHARGE, c_rate=1.0), seed=5)
    shown = show(registry, entry, request=request)
    drawn = tuned.draw([request.conditions.condition()] * 64, range(5, 69))
    celsius = drawn.column("surface_temperature_celsius")
    assert np.array_equal(shown.curves[0].celsius, drawn.take([0]).column("surface_temperature_celsius"))
    hottest = np.median([celsius[part].max() for part in drawn.slices()])
    assert {row.title: row.got for row in shown.rows}["Highest temperature"] == f"{hottest:.1f} °C"
    series = {line["id"]: line["data"] for line in chart.options(shown, "celsius", closer=False)["series"]}
    assert np.array(series["drawn-0"])[:, 1] == pytest.approx(shown.curves[0].celsius, abs=0.006)
    assert len(series["real-0"]) > 10
    assert series["limit-lower"] == series["limit-upper"] == []
    bare = tiny[1].timeseries.with_columns(surface_temperature_celsius=pl.lit(None, dtype=pl.Float64))
    shown = show(replace(registry, real=CurveLibrary(Curves(bare, tiny[1].halfcycles))), entry, request=request)
    series = {line["id"]: line["data"] for line in chart.options(shown, "celsius", closer=False)["series"]}
    assert series["real-0"] == []
    assert len(chart.options(shown, "volt", closer=True)["series"]) == len(series)


def test_a_model_that_saw_no_temperature_offers_none(entry):
    assert list(channels_of(entry)) == ["volt", "ampere", "celsius"]
    blind = SimpleNamespace(model=SimpleNamespace(profile=SimpleNamespace(channels=("voltage", "current"))))
    assert list(channels_of(blind)) == ["volt", "ampere"]


# --- the address


def test_an_address_sets_what_the_page_offers(registry):
    words = {"model": "my-model-1", "mode": "conditions", "draw": "overdischarge", "show": "temperature", "seed": "128"}
    values = {"peak_deviation_volt": "0.333", "repetition_count": "2", "c_rate": "unknown"}
    found, said = address.read([*words.items(), *values.items()], registry)
    assert said == []
    assert (found.model, found.mode, found.kind, found.channel, found.seed) == (*list(words.values())[:3], "celsius", 128)
    assert found.values == {"peak_deviation_volt": 0.333, "repetition_count": 2, "c_rate": None}
    assert address.read([], registry) == (address.Settings(), [])
    normal = {"mode": "normal", "cell": "N2", "cycle": "3", "draw": "overdischarge", "peak_deviation_volt": "0.25"}
    found, said = address.read(normal.items(), registry)
    assert (said, found.source, found.values) == ([], ("N2", 3), {"peak_deviation_volt": 0.25})
    assert address.read([("mode", "normal"), ("set", "own")], registry)[1] == [address.OWN_IS_GONE]
    for value in (0.1 + 0.2, 7, None):
        assert address.spelt(value) == "unknown" if value is None else float(address.spelt(value)) == value


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({"seed": "x"}, "seed"),
        ({"seed": "-1"}, "seed"),
        ({"seed": "9" * 5000}, "seed"),
        ({"model": "../secret", "mode": "<script>"}, "model, mode"),
        ({"draw": "sulphation", "peak_deviation_volt": "0.5"}, "draw, peak_deviation_volt"),
        ({"draw": "overdischarge", "peak_deviation_volt": "nan"}, "peak_deviation_volt"),
        ({"draw": "overdischarge", "peak_deviation_volt": "unknown"}, "peak_deviation_volt"),
        ({"draw": "overdischarge", "peak_deviation_volt": "-1", "c_rate": "1e400"}, "peak_deviation_volt, c_rate"),
        ({"draw": "overdischarge", "repetition_count": "2.5"}, "repetition_count"),
        ({"mode": "normal", "draw": "normal charge"}, "draw"),
        ({"mode": "normal", "cell": "N2", "cycle": "99"}, "cell and cycle"),
        ({"mode": "normal", "cell": "N2"}, "cell and cycle"),
        ({"cell": "N2", "cycle": "3"}, "cell, cycle"),
        ({"show": "pressure", "<b>x</b>": "1"}, "show, <b>x</b>"),
        ({"x" * 500: "1"}, "x" * 60),
    ],
)
def test_what_an_address_should_not_have_is_left_out_in_a_sentence(registry, words, refused):
    found, said = address.read(words.items(), registry)
    assert said == [f"The address has what this page does not offer, and it was left out: {refused}."]
    assert (found.seed, found.source, found.channel, found.values) == (None, None, None, {})


def test_a_chart_keeps_its_series_whatever_is_drawn(registry, entry):
    lengths = set()
    for name in entry.kinds:
        kind = entry.kinds[name]
        values = {knob.quantity.name: knob.start for knob in entry.knobs[name]}
        shown = show(registry, entry, request=Draw(conditions=conditions_from(kind.label, kind.step_type, values=values)))
        for channel in chart.CHANNELS:
            for closer in (False, True):
                found = chart.options(shown, channel, closer=closer)
                lengths.add(tuple(line["id"] for line in found["series"]))
                points = [point for line in found["series"] if line.get("stack") is None for point in line["data"]]
                values = [value for _, value in points]
                assert found["yAxis"]["min"] <= min(values)
                assert max(values) <= found["yAxis"]["max"]
    assert len(lengths) == 1


def test_what_is_beyond_is_said(registry, entry):
    shown = show(registry, entry, request=Draw(conditions=Conditions(fault="overdischarge", peak_deviation_volt=1.4, c_rate=5)))
    assert len(shown.warnings) == 2
    assert shown.warnings[0].startswith("Peak deviation 1.4")
    assert show(registry, entry, request=Draw(conditions=typical(entry))).warnings == []


def test_foreign_text_is_escaped():
    found = facts_html({"cells": ["<script>alert(1)</script>"], "labels": [{"label": "<b>x</b>"}], "notes": ["<i>a b c d e f"]})
    assert "<script>" not in found
    assert "<b>" not in found
    assert "<i>" not in found
    assert "&lt;script&gt;" in found


def test_cells_of_a_table_know_their_heading_and_all_else_stays():
    table = '<table><thead><tr><th>a &lt;b&gt;</th><th><i>c</i></th></tr></thead><tbody><tr><td>1</td><td class="x">2</td>'
    found = labelled(f"<p>R&amp;D &#8211; <br/></p>{table}<td>3</td></tr></tbody></table>")
    assert found.startswith("<p>R&amp;D &#8211; <br/></p><table>")
    assert '<td data-name="a &lt;b&gt;">1</td><td data-name="c" class="x">2</td><td>3</td></tr>' in found
    quoted = labelled('<table><thead><tr><th>"><script>x</script></th></tr></thead><tr><td>1</td></tr></table>')
    assert 'data-name="&quot;&gt;x"' in quoted


def test_a_wide_table_becomes_several_with_the_names_of_its_rows():
    row = {"group": "all", "source": "floor", **{f"m{number}": f"{number}.5e-08" for number in range(14)}, "last": "-"}
    found = facts_html({"scores": [row, {**row, "m0": "-"}], "sets": [{"set": "all", "curves": 3}]})
    assert re.findall("<h3>(.*?)</h3>", found) == ["scores, 1 of 2", "scores, 2 of 2", "sets"]
    assert found.count("<table>") == 3
    assert [found.count(f">{name}</th>") for name in ("group", "source", "m0", "m13", "last")] == [2, 2, 1, 1, 1]


def test_what_a_row_of_a_table_has_not_is_a_dash_below_its_own_heading():
    found = facts_html({"seen": [{"label": "a", "x": "1 to 2"}, {"label": "b", "y": "3 to 4"}]})
    assert re.findall("<th .*?>(.*?)</th>", found) == ["label", "x", "y"]
    cells = [("label", "a"), ("x", "1 to 2"), ("y", "-"), ("label", "b"), ("x", "-"), ("y", "3 to 4")]
    assert re.findall('<td data-name="(.*?)">(.*?)</td>', found) == cells


# --- from a normal cycle


SOURCE = {"cell_id": "N2", "cycle_count": 3}


def gone_wrong(tuned, folders, label, peak, *, count, seed):
    """That cycle, and what the library draws from it: the reference is the normal curve itself."""
    step = FAULTS[label].step_type
    keys = [pl.col("cell_id") == "N2", pl.col("cycle_count") == 3, pl.col("step_type") == step]
    normal = read(folders.real).where(*keys)
    conditions = counterfactual(conditions_of(normal), [Condition(label, peak)]) * count
    return normal, tuned.draw(conditions, range(seed, seed + count), reference=normal)


@pytest.mark.parametrize(("label", "peak"), [("overdischarge", 0.4), ("overcharge", 0.1)])
def test_from_a_normal_cycle_the_curves_are_those_with_it_as_reference(client, tuned, folders, tmp_path, label, peak):
    asked = {"fault": label, "peak_deviation_volt": peak}
    found = draw(client, asked, source=SOURCE, count=3, seed=11, format="parquet")
    assert found.status_code == 200, found.text
    zipfile.ZipFile(io.BytesIO(found.content)).extractall(tmp_path / "set")
    curves, (_, drawn) = read(tmp_path / "set"), gone_wrong(tuned, folders, label, peak, count=3, seed=11)
    for name in ("step_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius"):
        np.testing.assert_allclose(curves.column(name), drawn.column(name), rtol=1e-6, atol=1e-3 if "time" in name else 1e-5)
    told = curves.halfcycles.select("cell_id", "cycle_count", "source_cell_id", "source_cycle_count", "reference_cycle_count")
    assert told.rows() == [(f"N2-{seed:06d}", 4, "N2", 3, 3) for seed in (11, 12, 13)]
    assert json.loads((tmp_path / "set" / "config.json").read_text())["source"] == SOURCE
    without = tuned.draw([Condition(label, peak)], [11])
    assert not np.array_equal(without.column("voltage_volt"), drawn.take([0]).column("voltage_volt"))


def test_a_severity_asked_of_a_source_counts_on(client):
    asked = {**OVERDISCHARGE, "repetition_count": 3, "cumulative_duration_second": 900.0}
    found = draw(client, asked, source=SOURCE, count=1).json()
    assert found["source"] == SOURCE
    assert found["curves"][0]["repetition_count"] == 3
    assert draw(client, OVERDISCHARGE, count=1).json()["source"] is None


@pytest.mark.parametrize(
    ("conditions", "source", "status", "words"),
    [
        (OVERDISCHARGE, {**SOURCE, "cell_id": "N9"}, 400, ("cell 'N9' has no normal discharge", "N0, N1, N2, N3, N4, N5")),
        (OVERDISCHARGE, {**SOURCE, "cell_id": "D0"}, 400, ("cell 'D0' has no normal discharge", "N5")),
        (OVERDISCHARGE, {**SOURCE, "cycle_count": 99}, 400, ("cycle 99 of cell 'N2'", "cycles are 1, 2, 3, 4")),
        ({**OVERDISCHARGE, "c_rate": 1}, SOURCE, 400, ("c_rate is that of the source", "leave it out")),
        ({"fault": "normal"}, SOURCE, 400, ("normal curve already",)),
        ({**OVERDISCHARGE, "step_type": "charge"}, SOURCE, 400, ("shows in a discharge",)),
        ({"fault": "overdischarge"}, SOURCE, 400, ("peak_deviation_volt",)),
        ({"fault": "sulphation", "peak_deviation_volt": 1}, SOURCE, 400, ("sulphation",)),
        (OVERDISCHARGE, {"cell_id": "N2"}, 422, ("source.cycle_count", "required")),
        (OVERDISCHARGE, {**SOURCE, "step_type": "charge"}, 422, ("source.step_type", "known are cell_id, cycle_count")),
        (OVERDISCHARGE, {**SOURCE, "cell_id": "x" * 10_001}, 422, ("source.cell_id", "10000")),
    ],
)
def test_a_source_that_cannot_serve_is_a_sentence(client, conditions, source, status, words):
    found = draw(client, conditions, source=source, count=1)
    (said,) = found.json().values()
    assert found.status_code == status
    for word in words:
        assert word in said
    assert len(said) < 400


def test_without_real_curves_there_is_no_source(folders):
    with pytest.raises(ConditionError, match=r"no normal curves are served.*--real"):
        source_of(Registry.of([folders.bundle]), Draw(conditions=Conditions(**OVERDISCHARGE), source=Source(**SOURCE)))


def test_of_the_real_curves_those_that_cannot_serve_are_left_out_and_told(tiny):
    broken = tiny[0].take([1])
    short = Curves(broken.timeseries[:30], broken.halfcycles)
    found = Normals.of(Curves.concat([short, tiny[0].take([0, 3]), tiny[1]]))
    assert found.cycles(["charge", "discharge"]) == {"N0": [1, 2]}
    assert found.cycles(["discharge"]) == {"N0": [2]}
    assert (found.steps("N0", 1), found.steps("N0", 2)) == (["charge"], ["discharge"])
    assert [str(one) for one in found.unserved] == ["1 broken off far inside their limits (N0 cycle 1)"]
    assert Normals.of(tiny[1]).rows == {}


def test_the_normal_curve_is_shown_with_its_faults_leaving_the_limits_where_it_comes_to_them(registry, entry, tuned, folders):
    request = Draw(conditions=Conditions(**OVERDISCHARGE), source=Source(**SOURCE), seed=5)
    shown = show(registry, entry, request=request, normal=source_of(registry, request))
    normal, drawn = gone_wrong(tuned, folders, "overdischarge", 0.5, count=64, seed=5)
    assert np.array_equal(shown.normal.volt, normal.column("voltage_volt"))
    assert np.array_equal(shown.curves[3].volt, drawn.take([3]).column("voltage_volt"))
    assert shown.nearest == []
    beyond = np.median(excursion(drawn, side="low")[1])
    assert shown.normal_shift == pytest.approx(normal.column("step_time_second")[-1] + beyond, rel=0.02)
    for closer in (False, True):
        series = {line["id"]: line for line in chart.options(shown, "volt", closer=closer)["series"]}
        seconds, volts = np.array(series["normal-0"]["data"]).T
        assert volts[-1] == pytest.approx(2.7, abs=1e-3)
        assert seconds[-1] == pytest.approx(-beyond if closer else normal.column("step_time_second")[-1], rel=0.05)
    asked = {row.title: row for row in shown.rows}
    assert (asked["Peak deviation"].asked, asked["Peak deviation"].got) == ("0.500 V", "0.500 V")
    assert asked["C-rate"].asked == f"{conditions_of(normal)[0].c_rate:.2f} 1/h"
    assert chart.options(show(registry, entry, request=Draw(conditions=typical(entry))), "volt", closer=False)["series"][
        -1
    ] == {
        **series["normal-0"],
        "data": [],
    }


# --- faults inside all limits


OWN_CYCLE = {"cell_id": "N1", "cycle_count": 4}
LEAK = {"fault": "internal_short", "severities": {"leakage_c_rate": 0.05}}
OFFSETS = {"voltage_offset_millivolt": -12.4, "temperature_offset_kelvin": 0.0}
OFF = {"fault": "sensor_offset", "step_type": "discharge", "severities": OFFSETS}


@pytest.fixture(scope="module")
def within(inside, inside_faults, tiny):
    """A registry with the model of such faults alone, its entry, and its API, which draws in this process."""
    curves = Curves.concat([tiny[0], inside_faults])
    entry = Entry("my-model-1", inside, {}, "")
    registry = Registry({entry.id: entry}, CurveLibrary(curves), Normals.of(curves))

    async def do(work, *words):
        return work(registry, *words, tick=lambda *_: None)

    client = TestClient(routes.make(registry, SimpleNamespace(do=do)))
    return SimpleNamespace(registry=registry, entry=entry, client=client, curves=curves)


def drawn_inside(within, asked, *, source=None, count=64, seed=0):
    """What the library draws; the reference is the normal curve itself."""
    condition = Condition(**asked)
    if source is None:
        return within.entry.model.draw([condition] * count, range(seed, seed + count))
    normal = within.registry.normals.one(source["cell_id"], source["cycle_count"], condition.step)
    conditions = counterfactual(conditions_of(normal), [condition]) * count
    return within.entry.model.draw(conditions, range(seed, seed + count), reference=normal)


def test_sliders_of_faults_inside_all_limits_are_their_severities(within):
    names = [f"{label} {step}" for label in ("internal_short", "sensor_offset") for step in ("charge", "discharge")]
    assert list(within.entry.kinds) == [*names, "normal charge", "normal discharge"]
    (leak, *context), (volt, kelvin, *_) = (within.entry.knobs[name] for name in names[::3])
    assert [knob.quantity.name for knob in context] == [one.quantity.name for one in within.entry.knobs["normal charge"]]
    assert [(one.quantity.title, one.quantity.unit) for one in (leak, volt, kelvin)] == [
        ("Leakage", "1/h"),
        ("Voltage offset", "mV"),
        ("Temperature offset", "K"),
    ]
    assert [(one.low, one.high) for one in (leak, volt, kelvin)] == [(0.02, 0.08), (-20.0, 10.0), (0.0, 4.0)]
    assert [one.optional for one in (leak, volt, kelvin)] == [False] * 3
    assert (leak.start, volt.start, kelvin.start) == (0.05, 10.0, 0.0)  # of several severities one is a fault
    assert leak.ends[0] > 0 > volt.ends[0]
    titles = {quantity.name: quantity.title for quantity in QUANTITIES}
    assert [titles[name] for name in ("fastest_rise_kelvin_per_minute", "overtemperature_second")] == [
        "Fastest rise",
        "Overtemperature",
    ]


def test_a_severity_is_not_rounded_to_none(within):
    volt = within.entry.knobs["sensor_offset charge"][0]
    assert replace(volt, usual=-0.01).start == -volt.step
    assert replace(volt, usual=0.0).start == 0


@pytest.mark.parametrize(("asked", "title"), [(LEAK, "Leakage"), (OFF, "Voltage offset")])
def test_a_fault_inside_all_limits_is_shown_as_the_model_draws_it(within, asked, title):
    shown = show(within.registry, within.entry, request=Draw(conditions=Conditions(**asked)))
    drawn = drawn_inside(within, asked)
    for channel, name in (("volt", "voltage_volt"), ("celsius", "surface_temperature_celsius")):
        assert np.array_equal(getattr(shown.curves[3], channel), drawn.take([3]).column(name))
        series = {line["id"]: line["data"] for line in chart.options(shown, channel, closer=False)["series"]}
        assert np.array(series["drawn-3"])[:, 1] == pytest.approx(getattr(shown.curves[3], channel), abs=0.006)
        assert len(series["real-0"]) > 10
    rows = {row.title: row for row in shown.rows}
    assert (rows[title].got, rows[title].spread) == ("unknown", "needs a normal cycle")
    assert not {"Peak deviation", "Repetitions", "Time beyond, this curve"} & set(rows)
    assert shown.warnings == []


@pytest.mark.parametrize(("asked", "title"), [(LEAK, "Leakage"), (OFF, "Voltage offset")])
def test_a_fault_inside_all_limits_goes_from_a_normal_cycle_and_is_measured_beside_it(within, asked, title):
    request = Draw(conditions=Conditions(**asked), source=Source(**OWN_CYCLE))
    shown = show(within.registry, within.entry, request=request, normal=source_of(within.registry, request))
    drawn = drawn_inside(within, asked, source=OWN_CYCLE)
    assert np.array_equal(shown.curves[3].volt, drawn.take([3]).column("voltage_volt"))
    assert shown.normal_shift == shown.normal.second[-1]  # both end where the curve ends: no limit is broken before
    (name, severity), *_ = asked["severities"].items()
    row = next(row for row in shown.rows if row.title == title)
    assert float(row.asked.split()[0]) == severity
    assert float(row.got.split()[0]) == pytest.approx(np.median(drawn.known(name)), abs=0.06)
    found = draw(within.client, asked, source=OWN_CYCLE, count=2, seed=7).json()
    drawn = drawn_inside(within, asked, source=OWN_CYCLE, count=2, seed=7)
    assert found["curves"][1]["voltage_volt"] == pytest.approx(drawn.take([1]).column("voltage_volt"), abs=1e-6)
    assert [curve["severities"][name] for curve in found["curves"]] == pytest.approx(drawn.known(name))
    assert {curve["step_type"] for curve in found["curves"]} == {asked.get("step_type", "charge")}


def test_the_api_tells_severities_by_name(within, client, tmp_path):
    (told,) = within.client.get("/api/v1/bundles").json()
    assert told["has_seen"]["internal_short discharge"]["leakage_c_rate"] == [0.02, 0.08]
    found = draw(within.client, LEAK, count=1).json()
    assert found["conditions"]["severities"] == LEAK["severities"]
    assert found["curves"][0]["severities"] == {"leakage_c_rate": None}
    assert draw(client, count=1).json()["curves"][0]["severities"] == {}
    far = draw(within.client, {**LEAK, "severities": {"leakage_c_rate": 0.5}}, count=1).json()
    assert far["extrapolations"] == ["Leakage 0.5000 1/h is beyond what the model has seen (0.0200 1/h to 0.0800 1/h)"]
    packed = draw(within.client, OFF, source=OWN_CYCLE, count=2, format="parquet").content
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path / "set")
    assert read(tmp_path / "set").halfcycles["requested_voltage_offset_millivolt"].to_list() == [-12.4] * 2


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"fault": "internal_short"}, "internal_short needs leakage_c_rate other than 0"),
        ({**LEAK, "severities": {"leakage_c_rate": 0}}, "internal_short needs leakage_c_rate other than 0"),
        ({**LEAK, "severities": {"leakage_c_rate": -0.1}}, "leakage_c_rate must be between 0 and 2 1/h, found -0.1"),
        ({**LEAK, "severities": {"leak": 0.1}}, "severity 'leak' is unknown"),
        (
            {**LEAK, "severities": OFFSETS},
            "'voltage_offset_millivolt' is of sensor_offset: internal_short takes leakage_c_rate",
        ),
        ({**LEAK, "peak_deviation_volt": 0.1}, "'peak_deviation_volt' is of overcharge"),
        ({**LEAK, "repetition_count": 2}, "'repetition_count' is of overcharge"),
        ({**LEAK, "severities": {"peak_deviation_volt": 0.1}}, "peak_deviation_volt is no part of the severities"),
        ({**LEAK, "fault": "normal"}, "a normal curve has no leakage_c_rate"),
        ({"fault": "contact_fault", "severities": {"added_resistance_milliohm": 9}}, "never seen the fault 'contact_fault'"),
        (OVERDISCHARGE, "never seen the fault 'overdischarge'"),
    ],
)
def test_a_severity_that_cannot_be_met_is_a_sentence(within, conditions, words):
    found = draw(within.client, conditions, count=1)
    assert found.status_code == 400
    assert words in found.json()["error"]
    assert "\n" not in found.json()["error"]


def test_what_is_no_severity_is_422_and_on_the_page_a_sentence_too(within):
    found = draw(within.client, {**LEAK, "severities": {"leakage_c_rate": "much"}})
    assert found.status_code == 422
    assert "conditions.severities.leakage_c_rate: must be a valid number" in found.json()["error"]
    with pytest.raises(ConditionError, match=r"^internal_short needs a severity other than 0: Leakage \(1/h\)$"):
        conditions_from("internal_short", "charge", values={"leakage_c_rate": None, "c_rate": 0.5})
    with pytest.raises(ConditionError, match=r"other than 0: Voltage offset \(mV\) or Temperature offset \(K\)$"):
        conditions_from("sensor_offset", "charge", values=dict.fromkeys(OFFSETS, 0.0))
    with pytest.raises(ConditionError, match=r"^Leakage: must be a finite number"):
        conditions_from("internal_short", "charge", values={"leakage_c_rate": np.inf})


def test_a_half_cycle_in_which_a_fault_was_never_seen_is_not_offered_and_told(inside, within):
    seconds = {name: ends for name, ends in inside.profile.seconds.items() if name != "internal_short discharge"}
    blind = replace(within.entry, model=replace(inside, profile=inside.profile.model_copy(update={"seconds": seconds})))
    assert list(blind.kinds)[:3] == ["internal_short charge", "sensor_offset charge", "sensor_offset discharge"]
    told = warnings_of(blind, Condition(**LEAK, step_type="discharge"))
    assert told == ["The model has seen no internal_short discharge"]
    assert warnings_of(blind, Condition(**LEAK)) == []


def test_an_address_keeps_severities(within):
    words = {"draw": "sensor_offset discharge", "voltage_offset_millivolt": "-12.5", "temperature_offset_kelvin": "0.0"}
    found, said = address.read(words.items(), within.registry)
    assert (said, found.kind) == ([], "sensor_offset discharge")
    assert found.values == {"voltage_offset_millivolt": -12.5, "temperature_offset_kelvin": 0.0}
    normal = {"mode": "normal", "cell": "N1", "cycle": "4", **words}
    found, said = address.read(normal.items(), within.registry)
    assert (said, found.source, found.kind) == ([], ("N1", 4), "sensor_offset discharge")
    assert found.values == {"voltage_offset_millivolt": -12.5, "temperature_offset_kelvin": 0.0}
    wrong = {"draw": "internal_short charge", "leakage_c_rate": "-0.1", "voltage_offset_millivolt": "5"}
    found, said = address.read(wrong.items(), within.registry)
    assert found.values == {}
    assert said == [f"The address has what this page does not offer, and it was left out: {', '.join([*wrong][1:])}."]
    assert address.read([("draw", "internal_short")], within.registry)[1][0].endswith("left out: draw.")


# --- what is served


def test_bundles_are_served_by_id_not_by_path(folders):
    registry = Registry.of([folders.bundle, folders.bundle])
    assert list(registry.entries) == ["my-model-1", "my-model-1-2"]


@pytest.mark.parametrize("name", ["..", "../real", "/etc", "My Model (1)", "my-model-1\0", ""])
def test_no_path_reaches_a_file(client, registry, name):
    with pytest.raises(ConditionError, match="no bundle has the id"):
        registry.entry(name)
    found = client.post(f"/api/v1/bundles/{quote(name, safe='')}/draw", json={"conditions": OVERDISCHARGE})
    assert found.status_code in (404, 405)


def test_what_cannot_be_served_is_refused(folders, tuned, tmp_path):
    with pytest.raises(BundleError):
        Registry.of([folders.real])
    with pytest.raises(DataError, match="--scores takes"):
        Registry.of([folders.bundle], scores=[folders.bundle])
    drawn = write(tuned.draw([Condition("overdischarge", 0.4)], [0]), tmp_path / "drawn")
    with pytest.raises(DataError, match="generated"):
        Registry.of([folders.bundle], real=drawn)


# --- the API


def test_health_and_bundles(client, tuned):
    assert client.get("/api/v1/health").json()["status"] == "ok"
    (told,) = client.get("/api/v1/bundles").json()
    assert (told["id"], told["model_sha256"]) == ("my-model-1", tuned.sha256)
    assert set(told["has_seen"]["overcharge"]) >= {"peak_deviation_volt", "c_rate"}
    assert "/api/v1/bundles/{bundle_id}/draw" in client.get("/api/openapi.json").json()["paths"]


def test_curves_as_json_are_the_models_own(client, tuned):
    found = draw(client, {**OVERDISCHARGE, "c_rate": 0.9}, count=3, seed=11, steps=2).json()
    drawn = tuned.draw([Condition("overdischarge", 0.5, c_rate=0.9)] * 3, [11, 12, 13], steps=2)
    assert found["synthetic"] is True
    assert (found["model_sha256"], found["extrapolations"]) == (tuned.sha256, [])
    assert [curve["seed"] for curve in found["curves"]] == [11, 12, 13]
    volts = np.concatenate([curve["voltage_volt"] for curve in found["curves"]])
    assert volts == pytest.approx(drawn.column("voltage_volt"), abs=1e-6)
    assert [curve["peak_deviation_volt"] for curve in found["curves"]] == pytest.approx([0.5] * 3, abs=1e-6)


def test_extrapolations_are_told(client):
    found = draw(client, {**OVERDISCHARGE, "peak_deviation_volt": 1.9}, count=1).json()
    assert "beyond what the model has seen" in found["extrapolations"][0]
    assert found["curves"][0]["extrapolated"]
    assert found["curves"][0]["extrapolated_in"] == "peak_deviation_volt"


def test_a_zip_is_a_curve_set(client, tuned, tmp_path):
    found = draw(client, count=5, seed=2, format="parquet")
    assert found.headers["content-type"] == "application/zip"
    zipfile.ZipFile(io.BytesIO(found.content)).extractall(tmp_path / "set")
    curves = read(tmp_path / "set")
    assert curves.halfcycles["synthetic"].all()
    assert curves.halfcycles["seed"].to_list() == [2, 3, 4, 5, 6]
    assert set(curves.halfcycles["model_sha256"]) == {tuned.sha256}


def test_a_csv_is_battery_data_format(client, tuned, tmp_path):
    path = tmp_path / "drawn.bdf.csv"
    path.write_bytes(draw(client, {**OVERDISCHARGE, "c_rate": 1.0}, count=2, format="csv").content)
    curves, _ = ingest([path])
    drawn = tuned.draw([Condition("overdischarge", 0.5, c_rate=1.0)] * 2, [0, 1])
    assert curves.cells == drawn.cells
    assert curves.labels == ["overdischarge"]
    assert curves.column("voltage_volt") == pytest.approx(drawn.column("voltage_volt"), abs=1e-5)
    header = path.read_text().splitlines()[0].split(",")
    assert {"test_time_second", "synthetic", "model_sha256", "seed"} <= set(header)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"conditions": {**OVERDISCHARGE, "depth": 1}}, ("conditions.depth", "known are fault")),
        ({"conditions": OVERDISCHARGE, "path": "/etc"}, ("path", "known are conditions")),
        ({"conditions": {**OVERDISCHARGE, "c_rate": "fast"}}, ("conditions.c_rate", "fast")),
        ({"conditions": {**OVERDISCHARGE, "peak_deviation_volt": -1}}, ("peak_deviation_volt", "-1")),
        ({"conditions": {**OVERDISCHARGE, "peak_deviation_volt": 1e999}}, ("peak_deviation_volt",)),
        ({"conditions": {**OVERDISCHARGE, "fault": "x" * 41}}, ("conditions.fault", "40")),
        ({"conditions": OVERDISCHARGE, "count": MOST_CURVES + 1}, ("count", str(MOST_CURVES))),
        ({"conditions": OVERDISCHARGE, "steps": MOST_STEPS + 1}, ("steps", str(MOST_STEPS))),
        ({"conditions": OVERDISCHARGE, "format": "pickle"}, ("format", "pickle")),
        ({"conditions": {**OVERDISCHARGE, "fault": "\ud800\n\0"}}, ("conditions.fault",)),
        ({"conditions": {**OVERDISCHARGE, "step_type": "a\nb\x1b[31m"}}, ("conditions.step_type",)),
        ({}, ("conditions", "required")),
        ([], ("the request",)),
    ],
)
def test_a_malformed_request_is_422_and_a_sentence(client, asked, words):
    body = json.dumps(asked)
    found = client.post("/api/v1/bundles/my-model-1/draw", content=body, headers={"content-type": "application/json"})
    assert found.status_code == 422
    (said,) = found.json().values()
    assert "\n" not in said
    assert len(said) < 400
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ({"fault": "sulphation", "peak_deviation_volt": 0.1}, "sulphation"),
        ({"fault": "overvoltage", "peak_deviation_volt": 0.1}, "never seen"),
        ({"fault": "overdischarge"}, "peak_deviation_volt"),
        ({**OVERDISCHARGE, "step_type": "charge"}, "shows in a discharge"),
        ({**OVERDISCHARGE, "c_rate": 0.01}, "rest"),
    ],
)
def test_a_request_that_cannot_be_met_is_400_and_a_sentence(client, conditions, word):
    found = draw(client, conditions)
    assert found.status_code == 400
    assert word in found.json()["error"]


def test_a_full_queue_is_503_and_the_rest_are_answered(registry):
    async def ask():
        queue = DrawQueue(registry, threads=1, waiting=1)
        transport = httpx.ASGITransport(routes.make(registry, queue))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = {"conditions": OVERDISCHARGE, "count": 64}
            posts = [client.post("/api/v1/bundles/my-model-1/draw", json=asked) for _ in range(5)]
            found = await asyncio.gather(*posts)
            later = await client.post("/api/v1/bundles/my-model-1/draw", json=asked)
        queue.close()
        return found, later

    found, later = asyncio.run(ask())
    assert sorted(answer.status_code for answer in found) == [200, 200, 503, 503, 503]
    refused = next(answer for answer in found if answer.status_code == 503)
    assert "try again" in refused.json()["error"]
    assert refused.headers["retry-after"] == "1"
    assert later.status_code == 200


def test_a_draw_that_takes_too_long_is_504(registry):
    queue = DrawQueue(registry, threads=1, seconds=0.1)
    client = TestClient(routes.make(registry, queue))
    assert draw(client, count=1).status_code == 200  # the worker has started
    found = draw(client, count=MOST_CURVES, format="csv")
    queue.close()
    assert found.status_code == 504
    assert "fewer curves" in found.json()["error"]


# --- the queue


def test_the_loop_stays_awake_and_an_abandoned_draw_ends(tmp_path):
    async def story():
        async with working() as queue:
            task = asyncio.create_task(queue.do(faulty.go_on, str(tmp_path / "draw")))
            await until(tmp_path / "draw.begun")
            assert queue.taken == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(tmp_path / "draw.ended")
            assert await queue.do(faulty.give, 7) == ("served", 7)
            await meanwhile(lambda: queue.taken == 0)
            assert (queue.taken, queue.lost) == (0, 0)

    asyncio.run(story())


def test_an_abandoned_draw_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.2)

    async def story():
        async with working() as queue:
            task = asyncio.create_task(queue.do(faulty.deaf, str(tmp_path / "draw")))
            await until(tmp_path / "draw.begun")
            task.cancel()
            assert await queue.do(faulty.give, 7) == ("served", 7)
            assert queue.lost == 1

    asyncio.run(story())


def test_clients_that_leave_do_not_keep_a_worker_from_starting(monkeypatch):
    monkeypatch.setattr(queue, "GRACE", 0.1)

    async def story():
        slow = DrawQueue("served", threads=1, warm=faulty.warm_slowly)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(slow.do(faulty.give, 1), 0.1)
        found = await slow.do(faulty.give, 7), slow.lost
        slow.close()
        return found

    assert asyncio.run(story()) == (("served", 7), 0)


def test_what_cannot_be_handed_to_a_worker_ends_it(capfd):
    """Half a message, or none, must not be taken for another."""
    starting = Worker(lambda: 0, warm=None, threads=1)
    with pytest.raises(GoneError):
        starting.do(faulty.give, 1)
    starting.bury()
    assert "Can't pickle" in capfd.readouterr().err


def test_a_model_is_copied_to_the_worker_not_shared(registry):
    files, before = Path("/proc/self/fd"), None
    for _ in range(3):
        starting = Worker(registry, warm=None, threads=1)
        starting._feeding.join()
        starting.bury()  # before it can have looked at what it was given
        before = before or len([*files.iterdir()])
    assert len([*files.iterdir()]) <= before
    # Torch would move them while they are sent, and whoever summed them up meanwhile got the SHA-256 of no model.
    assert not any(value.is_shared() for value in registry.entry("my-model-1").model.network.state_dict().values())


def test_an_abandoned_draw_that_waits_leaves_its_place(tmp_path):
    async def story():
        async with working(waiting=1) as queue:
            held = asyncio.create_task(queue.do(faulty.wait_for, str(tmp_path / "gate")))
            await until(tmp_path / "gate.begun")
            waits = asyncio.create_task(queue.do(faulty.leave, 1))
            await asyncio.sleep(0.05)
            waits.cancel()
            await asyncio.sleep(0.05)
            assert queue.taken == 1
            last = asyncio.create_task(queue.do(faulty.give, 7))
            await asyncio.sleep(0)
            (tmp_path / "gate").touch()
            assert (await held, await last) == ("gate", ("served", 7))

    asyncio.run(story())


def test_the_desk_is_full_and_late(tmp_path):
    async def story():
        async with working(waiting=0) as queue:
            held = asyncio.create_task(queue.do(faulty.wait_for, str(tmp_path / "gate")))
            await until(tmp_path / "gate.begun")
            with pytest.raises(BusyError, match="queue is full"):
                await queue.do(faulty.give, 1)
            (tmp_path / "gate").touch()
            assert await held == "gate"
        async with working(patience=0.2, seconds=1.5) as queue:
            held = asyncio.create_task(queue.do(faulty.go_on, str(tmp_path / "draw")))
            await until(tmp_path / "draw.begun")
            with pytest.raises(LateError, match="for its turn"):
                await queue.do(faulty.give, 1)
            with pytest.raises(LateError, match=r"longer than 1\.5 s"):
                await held

    asyncio.run(story())


# --- the process that draws


def test_what_ends_or_fails_a_draw_costs_that_draw_alone(tally):
    faults = [
        (faulty.die, (signal.SIGKILL,), LostError, 1),
        (faulty.die, (signal.SIGSEGV,), LostError, 1),
        (faulty.leave, (3,), LostError, 1),
        (faulty.hang, (), LateError, 1),
        (faulty.die, (signal.SIGSTOP,), LateError, 1),
        (faulty.fail, (), FailedError, 0),
        (faulty.unpicklable, (), FailedError, 0),
        (faulty.take_all_memory, (), FailedError, 0),
        (faulty.refuse, (), ConditionError, 0),
        (faulty.die, (signal.SIGINT,), type(None), 0),
    ]

    async def story():
        async with working(seconds=1.5) as queue:
            for work, arguments, error, lost in faults:
                before, lost = await queue.do(faulty.pid), queue.lost + lost
                others = [queue.do(faulty.give, value) for value in range(5)]
                found = await asyncio.gather(queue.do(work, *arguments), *others, return_exceptions=True)
                wrong = sum(answer != ("served", value) for value, answer in enumerate(found[1:]))
                tally("page: the process that draws dies, hangs or fails", 1, lost=wrong)
                assert isinstance(found[0], error), work
                assert "\n" not in str(found[0])
                assert (wrong, queue.lost) == (0, lost), work
                assert (await queue.do(faulty.pid) != before) == (error in (LostError, LateError))

    asyncio.run(story())


def test_a_worker_that_dies_while_nobody_asks_costs_nothing():
    async def story():
        async with working() as queue:
            for lost in (1, 2):
                os.kill(await queue.do(faulty.pid), signal.SIGKILL)
                for _ in range(400):
                    await asyncio.sleep(0.01)
                    if queue.lost == lost:
                        break
                assert queue.lost == lost, "no other was started"
                assert await queue.do(faulty.give, 7) == ("served", 7)
            for value in range(3):  # asked for before anybody knows
                os.kill(await queue.do(faulty.pid), signal.SIGKILL)
                assert await queue.do(faulty.give, value) == ("served", value)

    asyncio.run(story())


def test_the_worker_ends_with_its_parent(tmp_path):
    code = (
        "import asyncio, os, sys\nsys.path.insert(0, sys.argv[1])\nimport faulty\n"
        "from faultcell.app.worker.queue import DrawQueue\n"
        "async def story():\n    draw_queue = DrawQueue(0, threads=1)\n    print(await draw_queue.do(faulty.pid), flush=True)\n"
        "    await draw_queue.do(faulty.hang)\nasyncio.run(story())"
    )
    words = [sys.executable, "-c", code, os.path.dirname(faulty.__file__)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        process.kill()
    for _ in range(500):
        time.sleep(0.01)
        if not alive(worker):
            return
    os.kill(worker, signal.SIGKILL)
    raise AssertionError("the worker outlives its parent")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_of_many_wishes_the_newest_is_met():
    async def story():
        met, wish = [], {"value": 0}

        async def meet():
            value = wish["value"]
            await asyncio.sleep(0.02)
            met.append(value)

        newest = Newest(meet)
        for wish["value"] in range(100):
            newest.changed()
            await asyncio.sleep(0)  # a turn of the loop: a hundred take less than one wish does, on a busy machine, too
        await meanwhile(lambda: met[-1:] == [99])
        return met

    met = asyncio.run(story())
    assert met[-1] == 99
    assert 2 <= len(met) < 20
    assert met == sorted(met)


# --- the guard


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": f"127.0.0.1:{PORT}"}, 200),
        ({"host": f"[::1]:{PORT}"}, 200),
        ({"host": "localhost:9"}, 421),
        ({"host": "localhost"}, 421),
        ({"host": f"evil.example:{PORT}"}, 421),
        ({"host": f"localhost.evil.example:{PORT}"}, 421),
        ({"host": f"user@localhost:{PORT}"}, 421),
        ({"host": "[::1"}, 421),
        ({"origin": f"http://localhost:{PORT}"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:9"}, 403),
        ({"origin": f"https://localhost:{PORT}"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_only_this_machine_and_this_page_may_ask(client, headers, status):
    found = client.get("/api/v1/health", headers=headers)
    assert found.status_code == status
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_socket_from_elsewhere_is_refused():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    client = TestClient(Guard(app, port=PORT), base_url=f"http://localhost:{PORT}")
    own = {"host": f"localhost:{PORT}", "origin": f"http://localhost:{PORT}"}
    with client.websocket_connect("/", headers=own):
        pass
    for headers in (own | {"origin": "http://evil.example"}, own | {"host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/", headers=headers):
            pass
        assert refused.value.code == 1008


def test_a_large_body_is_refused(client):
    found = client.post("/api/v1/bundles/my-model-1/draw", content=b" " * (MOST_BODY + 1))
    assert found.status_code == 413


def test_what_does_not_arrive_is_408(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    sent = []

    async def receive():
        await asyncio.sleep(10)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/api/v1/health", "headers": [(b"host", f"localhost:{PORT}".encode())]}
    asyncio.run(Guard(None, port=PORT)(scope, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert "did not arrive" in json.loads(sent[1]["body"])["error"]


@pytest.mark.parametrize(("kind", "name"), [("http", "MOST_REQUESTS"), ("http", "MOST_PAGES"), ("websocket", "MOST_SOCKETS")])
def test_too_many_at_once_are_refused(monkeypatch, kind, name):
    monkeypatch.setattr(guard, name, 3)

    async def story():
        gate, sent = asyncio.Event(), []

        async def app(scope, receive, send):
            await gate.wait()

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        guarded = Guard(app, port=PORT)
        scope = {"type": kind, "path": "/", "headers": [(b"host", f"localhost:{PORT}".encode())]}
        tasks = [asyncio.create_task(guarded(scope, receive, send)) for _ in range(5)]
        await asyncio.sleep(0.05)
        done = [task.done() for task in tasks]
        gate.set()
        await asyncio.gather(*tasks)
        await guarded(scope, receive, send)
        return done, sent

    done, sent = asyncio.run(story())
    assert done == [False, False, False, True, True]
    if kind == "http":
        assert [message["status"] for message in sent if "status" in message] == [503, 503]
        assert (b"retry-after", b"1") in sent[0]["headers"]
    else:
        assert [message["code"] for message in sent] == [1008, 1008]


def test_a_crowd_gets_no_more_pages_but_the_api_answers(registry):
    queue = DrawQueue(registry, threads=1)
    client = TestClient(
        Guard(routes.make(registry, queue), port=PORT, pages=lambda: guard.MOST_PAGES), base_url=f"http://localhost:{PORT}"
    )
    assert client.get("/").status_code == 503
    assert "pages" in client.get("/").json()["error"]
    assert client.get("/api/v1/health").status_code == 200
    queue.close()


def test_while_answers_wait_to_be_taken_nothing_more_is_drawn(client, monkeypatch):
    monkeypatch.setattr(routes, "MOST_OUT", 0)
    found = draw(client, count=1)
    assert (found.status_code, found.headers["retry-after"]) == (503, "1")


def test_what_the_api_has_not_is_a_sentence(client):
    for method, path, status in [("GET", "nope", 404), ("POST", "health", 405), ("DELETE", "bundles/my-model-1/draw", 405)]:
        found = client.request(method, f"/api/v1/{path}")
        assert found.status_code == status
        assert set(found.json()) == {"error"}
    assert found.headers["allow"] == "POST"


def test_each_page_gets_a_number_of_its_own():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<script>1</script><scr", "more_body": True})
        await send({"type": "http.response.body", "body": b"ipt src='x'></script>"})

    client = TestClient(Guard(app, port=PORT), base_url=f"http://localhost:{PORT}")
    first, second = client.get("/"), client.get("/")
    number = first.headers["content-security-policy"].split("'nonce-")[1].split("'")[0]
    assert first.text == f'<script nonce="{number}">1</script><script nonce="{number}" src=\'x\'></script>'
    assert number not in second.headers["content-security-policy"]


# --- the address


def test_a_taken_port_and_every_address_are_refused(monkeypatch):
    held = server.bind("127.0.0.1", 0)
    with pytest.raises(FaultCellError, match="give another"):
        server.bind("127.0.0.1", held.getsockname()[1])
    held.close()
    for host in ("0.0.0.0", "::", ""):
        with pytest.raises(ConditionError, match="--host"):
            server.bind(host, 0)

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(FaultCellError, match=r"Name or service not known.*give another"):
        server.bind("no.such.host.invalid", 0)


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("192.0.2.1", False)])
def test_what_is_local(host, local):
    assert server.is_local(host) is local


# --- a visitor's own curve set


@pytest.fixture(scope="module")
def tables(folders):
    return {path.name: path.read_bytes() for path in folders.real.iterdir() if path.suffix == ".parquet"}


def zipped(files, *, compression=zipfile.ZIP_STORED):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return packed.getvalue()


def test_a_set_of_ones_own_comes_as_zip_or_tables_or_csv(tables, tiny, tmp_path):
    normal = Curves.concat([tiny[0].take([0, 1]), tiny[0].take([8, 9])])
    (tmp_path / "mine.csv").write_bytes(bdf_csv(normal))
    for files in (
        {"mine.zip": zipped((f"../a/{name}", content) for name, content in tables.items())},
        {"deflated.zip": zipped(tables.items(), compression=zipfile.ZIP_DEFLATED)},
        {name.replace(".", " (1)."): content for name, content in tables.items()},
    ):
        found = normals_of(files)
        assert found.cycles(["discharge"]) == {f"N{cell}": [1, 2, 3, 4] for cell in range(6)}
        assert set(found.curves.labels) == {"normal"}
    found = normals_of({"Mine.CSV": (tmp_path / "mine.csv").read_bytes()})
    assert found.cycles(["charge"]) == {"N0": [1], "N1": [1]}
    assert found.one("N1", 1, "discharge").column("voltage_volt") == pytest.approx(tiny[0].take([9]).column("voltage_volt"))


def refused(files):
    """The sentence."""
    with pytest.raises(DataError) as error:
        normals_of(files)
    said = str(error.value)
    assert "\n" not in said
    assert tempfile.gettempdir() not in said
    return said


def test_what_is_no_curve_set_is_refused_in_a_sentence(tables, tuned, tiny, monkeypatch):
    timeseries, halfcycles = (tables[f"{name}.parquet"] for name in ("timeseries", "halfcycles"))
    assert "found notes.txt, expected a zip" in refused({"notes.txt": b"hello"})
    assert "timeseries.parquet" in refused({"timeseries.parquet": timeseries})
    assert "no zip with one" in refused({"a.zip": zipped([("readme", b"x")])})
    assert "no zip with one" in refused({"a.zip": zipped([*tables.items(), ("b/timeseries.parquet", timeseries)])})
    assert "no zip with one" in refused({"a.zip": zipped(tables.items())[:-40]})
    broken = bytearray(zipped(tables.items(), compression=zipfile.ZIP_DEFLATED))
    broken[200:300] = bytes(100)
    assert "damaged zip" in refused({"a.zip": bytes(broken)})
    damaged = timeseries[:500] + b"\0" + timeseries[501:]
    assert "timeseries.parquet" in refused({"timeseries.parquet": damaged, "halfcycles.parquet": halfcycles})
    assert "only overdischarge, overcharge" in refused(packed_set(tiny[1]))
    assert "generated" in refused(packed_set(tuned.draw([Condition("normal")], [0])))
    cut = Curves(tiny[0].take([1]).timeseries[:30], tiny[0].take([1]).halfcycles)
    assert "1 broken off far inside their limits (N0 cycle 1)" in refused(packed_set(cut))
    assert refused({"x.csv": b"a,b\n1,2\n"})
    monkeypatch.setattr(uploads, "MOST_SAMPLES", 100)
    assert "samples of normal curves, expected at most 100" in refused({"a.zip": zipped(tables.items())})


def packed_set(curves):
    with tempfile.TemporaryDirectory() as folder:
        path = write(curves, Path(folder) / "set")
        return {"set.zip": zipped((part.name, part.read_bytes()) for part in path.iterdir())}


def test_what_unpacks_to_too_much_is_refused(tables):
    bomb = zipped([("timeseries.parquet", bytes(uploads.MOST_UNPACKED + 1)), ("halfcycles.parquet", b"")], compression=8)
    assert len(bomb) < 200_000
    assert "unpacks to more than 32 MiB" in refused({"a.zip": bomb})
    assert "larger than 8 MiB" in refused({"a.zip": bytes(MOST_UPLOAD + 1)})
    samples = pq.read_table(io.BytesIO(tables["timeseries.parquet"]))
    many = io.BytesIO()
    pq.write_table(pa.table({name: pa.repeat(samples[name][0], 30_000_000) for name in samples.column_names}), many)
    rows = {"timeseries.parquet": many.getvalue(), "halfcycles.parquet": tables["halfcycles.parquet"]}
    assert "timeseries.parquet: found" in refused({"a.zip": zipped(rows.items())})


def test_only_so_many_sets_are_held_and_those_of_closed_pages_are_not(tiny, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_HELD", 2)
    held, sets = uploads.Held(), [Normals(tiny[0], {}) for _ in range(2)]
    for one in sets:
        held.refuse_more()
        held.keep(one)
    with pytest.raises(DataError, match="2 curve sets of visitors are held"):
        held.refuse_more()
    del one
    sets.pop()
    held.refuse_more()


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("upload/3", MOST_UPLOAD, 200), ("upload/3", MOST_UPLOAD + MOST_BODY + 1, 413), ("other/3", MOST_BODY + 1, 413)],
)
def test_a_page_takes_larger_bodies_for_files_alone(path, size, status):
    async def app(scope, receive, send):
        length = len((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(length).encode()})

    client = TestClient(Guard(app, port=PORT), base_url=f"http://localhost:{PORT}")
    found = client.post(f"/_nicegui/client/0f-a1/{path}", content=bytes(size))
    assert found.status_code == status
    assert status != 200 or found.text == str(size)
