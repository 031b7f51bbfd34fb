"""The page of a study, from a small folder made by hand: what must be on it, what must not, and what it survives."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import polars as pl
import pytest
from matplotlib.figure import Figure

from faultcell import report
from faultcell.curves import Curves
from faultcell.diagnosis import CLASSIFIERS
from faultcell.diagnosis.views import VIEWS
from faultcell.errors import DataError
from faultcell.files import write
from faultcell.plotting import theme
from faultcell.report import arms, blocks, dot_plot, study_page, write_study
from faultcell.report.folder import Study, Summary
from faultcell.report.sections import (
    ablations,
    comparisons,
    correlations,
    cost,
    diagnosis,
    embedding,
    epochs,
    fidelity,
    hidden,
    sets,
    short,
    summary,
)
from strategies import curves_of, fault_rows

LABEL, OTHER = "overdischarge", "overcharge"
SOURCES = ("floor", "diffusion", "wgan_gp", "replay", "mean_curve", "noise")
# One number for each source: lower is better, and the mean curve is first.
LEVEL = dict(zip(SOURCES, (0.001, 0.0123, 0.02, 0.03, 0.0111, 0.9), strict=True))
SECTIONS = ["data", "findings", "claims", "limits", "cost", "growth", "fidelity", "sets", "severity", "ablations", "diagnosis"]
SECTIONS += ["pearson", "embedding", "protocols", "settings", "repeat"]
# Table -> the section that shows it, and what that says without it.
SHOWN_IN = {
    "cost": (cost, "no table of costs"),
    "fidelity": (fidelity, "no paired scores of overdischarge"),
    "sets": (sets, "no scores of overdischarge curves as sets"),
    "epochs": (epochs, "no scores by step"),
    "ablations": (ablations, "Drawing"),
    "pearson": (correlations, "no table of correlations"),
    "embedding": (embedding, "no embedding of overdischarge"),
    "gain": (diagnosis, "overdischarge, whole curve"),
    "tests": (diagnosis, "paired tests between arms"),
}
SUMMARY = {
    "version": "0.0.9",
    "config": {"repeats": 2, "few": 25, "counts": [5, 10], "chosen_on": ["D7"], "model": {"net": {"patch": 42, "known": None}}},
    "data": {"learnt from": "805 normal curves of 33 cells", "cells held out": "A<1>, B2, C3"},
    "labels": [LABEL],
    "protocols": {"fidelity": "Paired by key.", "classifiers": "Two seeds."},
    "tasks": [
        {
            "task": LABEL,
            "view": "in_limits",
            "train_normal": 391,
            "train_fault": 25,
            "test_normal": 189,
            "test_fault": 29,
            "added": 366,
        }
    ],
    "worst": {"diffusion": "overdischarge 0.32 to 0.70 V"},
    "pearson": [{"label": LABEL, "attribute": "peak_deviation_volt", "place": 1.0, "r": -0.87, "p": 0.0, "curves": 90}],
    "findings": {
        "fidelity": ["overdischarge, MAE: best is mean_curve (0.0111)."],
        "ablations": [
            "overdischarge, attention, MAE: no attention 0.5 (worse); other seeds give 0.01 to 0.02.",
            "overdischarge, guidance, MAE: guidance 2 0.5 (no difference beyond chance); other seeds give 0.01 to 0.9.",
        ],
        "classifiers": ["In_limits view, overdischarge: no generated arm beats before (recall)."],
    },
    "limits": ["One split by cell."],
}


def score(level, **further):
    near = {"kl": level / 2, "mse": level**2, "mae": level, "pcc": 1 - level, "dpcc": 1 - 2 * level, "wasserstein": level}
    errors = dict.fromkeys(("lowest_voltage_error_volt", "highest_voltage_error_volt", "duration_error"), level)
    return {**further, "curves": 12, **near, **errors}


def fidelity_table():
    strata = [f"{LABEL} 0.10 to 0.40 V", f"{LABEL} 0.40 to 0.90 V"]
    groups = [("label", LABEL, 1.0), ("severity", strata[0], 1.0), ("severity", strata[1], 1.5)]
    return [
        score(LEVEL[name] * factor, source=name, group=group, name=part) for name in SOURCES for group, part, factor in groups
    ]


def sets_table():
    values = dict.fromkeys([column.key for column in sets.COLUMNS], 0.25)
    return [{**values, "source": name, "name": LABEL, "curves": 12, "frechet": LEVEL[name]} for name in SOURCES]


def ablations_table():
    rows = [("chance", f"seed {seed}", not seed, 0.0123 + 0.0002 * seed) for seed in range(3)]
    rows += [("attention", "attention", True, 0.0123), ("attention", "no attention", False, 0.0777)]
    rows += [("unfreezing", "progressive", True, 0.0123), ("unfreezing", "all", False, 0.0131)]
    rows += [("sampling steps", "16 steps", True, 0.0123), ("sampling steps", "4 steps", False, 0.0023)]
    return [
        score(level, question=question, variant=name, own=own, label=LABEL, few=50, seconds=None if own else 17.3)
        for question, name, own, level in rows
    ]


def gain_table():
    means = {"before": 0.1, "class_weights": 0.5, "replay": 0.7, "diffusion": 0.64, "wgan_gp": 0.3}
    return [
        {"task": LABEL, "view": view, "arm": arm, "classifier": name, "measure": measure, "mean": mean, "low": mean - 0.2}
        | {"high": mean + 0.6}
        for view in theme.VIEWS
        for arm, mean in means.items()
        for name in ("mlp", "cnn_lstm", "all six")
        for measure in arms.MEASURES
    ] + [
        {"task": LABEL, "view": "whole", "arm": "before", "classifier": "threshold", "measure": name, "mean": mean}
        for name, mean in (("recall", 0.988), ("false_alarm_rate", 0.012))
    ]


def comparison_rows():
    return [
        {"task": LABEL, "view": "whole", "measure": name, "arm": "diffusion", "against": against, "p": p, "mean": mean}
        | {"low": mean - 0.01, "high": mean + 0.01}
        for name in ("recall", "f1", "pr_auc")
        for against, mean, p in (("before", 0.54, 0.0123), ("replay", -0.06, 1e-9), ("class_weights", 0.14, 0.3))
    ]


def tables():
    names = ("diffusion", "wgan_gp")
    parts = [f"{when}_{what}" for when in ("pretrain", "finetune") for what in ("steps", "epochs", "seconds")]
    cost = [
        {"generator": n, "parameters": 1540884, **dict.fromkeys(parts, 20.0), "milliseconds_per_curve": 43.3} for n in names
    ]
    places = [(name, place / 4) for name in correlations.ATTRIBUTES for place in range(5)]
    pearson = [{"label": LABEL, "attribute": name, "place": at, "r": at - 0.5, "p": 0.1, "curves": 90} for name, at in places]
    spots = [(method, name) for method in ("PCA", "t-SNE") for name in ("real", "few", *names)]
    return {
        "cost": cost,
        "fidelity": fidelity_table(),
        "sets": sets_table(),
        "epochs": [score(0.05 / step, step=step, label=LABEL) for step in (1, 8)],
        "ablations": ablations_table(),
        "pearson": pearson,
        "embedding": [{"label": LABEL, "method": m, "source": n, "x": i, "y": -i} for m, n in spots for i in (0.0, 1.0)],
        "gain": gain_table(),
        "tests": comparison_rows(),
    }


def lay(folder, *, drawn=("diffusion", "replay", "diffusion_step_1", "diffusion_step_8")):
    (folder / "tables").mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps(SUMMARY), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"data_sha256": "5eed" * 16}), encoding="utf-8")
    for name, rows in tables().items():
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "tables" / f"{name}.parquet")
    real = curves_of([row for row in fault_rows() if row[3] == LABEL])
    write(real, folder / "data" / "test")
    for name in drawn:
        write(shuffled(real), folder / "drawn" / name)
    return folder


def shuffled(curves):
    """The same curves, last first: partners are found by key, not by place."""
    return Curves.from_tables(curves.timeseries, curves.halfcycles.reverse())


class Page(HTMLParser):
    """What a page asks for, where its links lead and what can be jumped to."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.links, self.anchors, self.alts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.addresses += [found[name] for name in ("src", "srcset", "data", "action", "poster") if name in found]
        self.alts += [found.get("alt", "")] if tag == "img" else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay(tmp_path_factory.mktemp("report") / "study")


@pytest.fixture(scope="module")
def study(folder):
    return Study.open(folder)


@pytest.fixture(scope="module")
def text(folder):
    return write_study(folder).read_text(encoding="utf-8")


def cells(table, *, row):
    return next([cell.text for cell in line] for line in table.rows if line[0].text == row)


def marked(table):
    """Name of the row and heading of each cell that is marked as best."""
    return {
        (line[0].text, head) for line in table.rows for head, cell in zip(table.head, line, strict=True) if cell.mark == "best"
    }


def test_the_page_lies_in_the_folder_and_has_every_section(folder, text):
    page = Page(text)
    assert (folder / "report.html").is_file()
    assert page.anchors == ["short", *SECTIONS]
    assert page.links == [f"#{anchor}" for anchor in SECTIONS]


def test_it_stands_alone(text):
    page = Page(text)
    assert len(page.addresses) > 12
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert not re.search(r"https?://|@import|url\(", re.sub(r'base64,[^"]*', "", text))
    for address in page.addresses:
        picture = base64.b64decode(address.partition(",")[2]).decode()
        assert set(re.findall(r'href="(.)', picture)) <= {"#"}
        assert not re.search(r"url\((?!#)", picture)
    assert all(len(alt) > 20 for alt in page.alts)


@pytest.mark.parametrize(
    "words",
    [
        "805 normal curves of 33 cells",
        "3 cells held out",
        "chosen on D7: these cells were never held out",
        "<td>within the limits</td><td>391</td>",
        "<td>net.patch</td><td>42</td>",
        "<td>counts</td><td>5, 10</td>",
        "mean curve (0.0111)",
        "Within the limits, overdischarge",
        "real curves only (recall)",
        "One split by cell.",
        "1 540 884",
        "150-200",
        "0.0153",
        "0.989",
        "worst on overdischarge 0.32 to 0.70 V",
        "finds 98.8 % at 1.2 % false alarms",
        "0.64 (0.44–1.00)",
        "&lt;= 0.05",
        "0.67",
        "−0.870",
        "Paired by key.",
        "5eed5eed",
        "can&#39;t be ranked against ours",
        "Batteries 2025, 11(7), 248",
        "Every drawn curve on this page is synthetic",
    ],
)
def test_it_says(text, words):
    assert words in text


def test_what_comes_from_files_is_escaped(text):
    assert "A&lt;1&gt;" in text
    assert "A<1>" not in text


def test_the_same_numbers_give_the_same_picture():
    rows = {"diffusion": {"kl": 0.1}, "replay": {"kl": 0.2}}
    first, second = (dot_plot.dots(rows, fidelity.PAIRED[:1]) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")


def test_the_best_is_marked_among_those_who_compete(study):
    rows = {row["source"]: row for row in study.rows("fidelity", group="label", name=LABEL)}
    best = {name for name, _ in marked(dot_plot.compared(rows, fidelity.COLUMNS))}
    assert best == {"mean curve"}  # neither the floor, which is better, nor noise


@pytest.mark.parametrize(("key", "said"), [("kl", "mean curve"), ("dpcc", "mean curve"), ("pcc", "mean curve")])
def test_a_cheap_control_that_wins_is_named(study, key, said):
    rows = {row["source"]: row for row in study.rows("fidelity", group="label", name=LABEL)}
    panel = next(panel for panel in fidelity.PAIRED if panel.key == key)
    words = dot_plot.verdict({source: panel.shown(row) for source, row in rows.items()}, panel)
    assert said in words
    assert "CHEAP CONTROL first" in words


def test_a_generator_that_wins_is_named():
    panel = fidelity.PAIRED[0]
    assert dot_plot.verdict({"floor": 0.0, "diffusion": 0.1, "replay": 0.2}, panel) == "best: diffusion\ngenerator first"


def test_at_a_glance_more_is_better_where_it_is(study):
    curves, classifiers = summary.blocks(study)
    for measure in ("KL", "MSE", "MAE", "PCC", "dPCC"):
        line = cells(curves, row=f"{LABEL}, {measure}")
        assert line[1].startswith("mean curve")
        assert line[-1] == "no"
    assert cells(curves, row=f"{LABEL}, PCC")[1:] == ["mean curve 0.989", "0.999", "0.988", "mean curve 0.989", "no"]
    whole = cells(classifiers, row=f"{LABEL}, whole curve, F1")
    assert whole[1:] == ["nearest replay 0.700", "0.100", "0.640", "nearest replay 0.700", "no, it is worse"]
    assert cells(classifiers, row=f"{LABEL}, within the limits, F1")[-1] == "not tested"


def test_a_difference_whose_interval_holds_zero_is_none():
    assert [
        comparisons.sign({"low": low, "high": high}) for low, high in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (None, 1))
    ] == [
        1,
        -1,
        0,
        0,
    ]


def test_tests_are_counted_against_both_rivals(study):
    said, own, rest = comparisons.blocks(study)
    assert "Against real curves only, 3 of 3 comparisons of generators are better and 0 worse at p < 0.05." in said.text
    assert "Against the best cheap control, 0 of 3 comparisons of generators are better and 3 worse" in said.text
    assert {line[4].text for line in own.rows} == {"before: real curves only", "nearest replay"}
    assert {line[-1].text for line in own.rows} == {"0.0123", "<1e−6"}
    assert not rest.blocks[0].rows


def test_the_chance_band_is_where_one_more_seed_would_lie(study):
    half = 4.303 * 0.0002 * (4 / 3) ** 0.5  # Student's t of 2 degrees, from the tables
    assert ablations.band(study, LABEL, key="mae") == pytest.approx((0.0125 - half, 0.0125 + half), rel=1e-3)
    table = next(block for block in ablations.section(study).blocks if isinstance(block, blocks.Table))
    told = {line[0].text: cells(table, row=line[0].text)[-3] for line in table.rows}
    assert told["no attention"] == "worse"
    assert told["all"] == "within chance"
    assert told["4 steps"] == "better"
    assert told["seed 1"] == "other seed"
    assert [line[0].text for line in table.rows][-2:] == ["4 steps", "16 steps"]


def test_drawn_curves_are_found_by_key(study):
    pairs = study.pairs("diffusion")
    count = len(study.curves("data/test"))
    assert pairs == {row: count - 1 - row for row in range(count)}
    assert epochs.steps_of(study) == [1, 8]


def test_the_threshold_of_r_is_that_of_the_tables():
    assert correlations.threshold(12) == pytest.approx(0.576, abs=5e-4)  # Fisher and Yates, Statistical Tables, 10 degrees


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0.0, "0"),
        (3.3e-8, "<1e−6"),
        (-3.3e-8, ">−1e−6"),
        (0.00063219, "0.000632"),
        (0.0995, "0.0995"),
        (0.9996, "1.00"),
        (9.999, "10.0"),
        (-12.34, "−12.3"),
        (1234.5, "1 230"),
        (2.5e7, "2.5e+07"),
    ],
)
def test_numbers_have_three_digits(value, said):
    assert blocks.number(value) == said


def test_names_are_spoken():
    assert theme.spoken("wgan_gp and timevae beat smote (F1), not replay, nor nearest replay") == (
        "WGAN-GP and TimeVAE beat SMOTE (F1), not nearest replay, nor nearest replay"
    )
    assert theme.spoken("measured before; replays; mean_curve") == "measured before; replays; mean curve"


def test_no_two_sources_look_alike():
    seen = [(look.colour, look.marker) for look in theme.LOOKS.values()]
    assert len(set(seen)) == len(seen)
    generators = [theme.look(name) for name in ("diffusion", "wgan_gp", "timevae", "timegan")]
    assert len({look.marker for look in generators}) == len({str(look.line) for look in generators}) == 4


@pytest.fixture
def bare(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"version": "1", "config": {}, "data": {}}), encoding="utf-8")
    return tmp_path


def test_a_study_without_tables_is_a_page_of_what_is_not_measured(bare):
    text = study_page(bare)
    assert Page(text).anchors == SECTIONS
    assert text.count("Not measured") > 8
    assert not Page(text).addresses


@pytest.fixture
def unpainted(monkeypatch):
    """Pictures stay empty: what is said around them is asked."""
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)


def said(made):
    return " ".join(block.text for block in made.blocks if isinstance(block, blocks.Text))


@pytest.mark.parametrize("lost", SHOWN_IN)
def test_what_is_not_measured_is_said(study, tmp_path, unpainted, lost):
    part, words = SHOWN_IN[lost]
    without = Study(tmp_path, study.summary, {**study.tables, lost: []})
    assert words in said(part.section(without))
    assert words not in said(part.section(study))


def test_a_table_without_rows_is_as_good_as_none(bare):
    (bare / "tables").mkdir()
    pl.DataFrame({"generator": []}).write_parquet(bare / "tables" / "cost.parquet")
    empty = study_page(bare)
    shutil.rmtree(bare / "tables")
    assert study_page(bare) == empty


def test_numbers_that_are_missing_are_left_out(study, tmp_path, unpainted):
    lay(tmp_path / "study", drawn=())
    for path in (tmp_path / "study" / "tables").glob("*.parquet"):
        table = pl.read_parquet(path)
        floats = [name for name, kind in table.schema.items() if kind == pl.Float64]
        lost = [pl.lit(None if i % 2 else float("nan"), dtype=pl.Float64).alias(name) for i, name in enumerate(floats)]
        table.with_columns(lost).write_parquet(path)
    text = study_page(tmp_path / "study")
    assert not re.search(r"\b(nan|None|inf)\b", text)
    assert "–: not measured" in text


def test_a_view_may_be_missing(study, tmp_path, unpainted):
    whole = [row for row in study.tables["gain"] if row["view"] == "whole"]
    made = diagnosis.section(Study(tmp_path, study.summary, {**study.tables, "gain": whole}))
    assert f"Not measured: {LABEL}, within the limits." in said(made)


def test_one_seed_says_nothing_of_chance(study, tmp_path):
    alone = [row for row in study.tables["ablations"] if row["variant"] not in ("seed 1", "seed 2")]
    assert ablations.band(Study(tmp_path, study.summary, {"ablations": alone}), LABEL, key="mae") is None


def refused(folder):
    with pytest.raises(DataError) as caught:
        study_page(folder)
    said = str(caught.value)
    assert "expected" in said
    assert "\n" not in said
    return said


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    assert "study.json" in refused(tmp_path)
    assert "study.json" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b'{"version": "1"}', b"\xff\xfe\x00", b'{"version": 1, "config": {}, "data": 3}']
)
def test_a_summary_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    refused(tmp_path)


def test_a_damaged_table_is_refused(bare):
    (bare / "tables").mkdir()
    (bare / "tables" / "fidelity.parquet").write_bytes(b"PAR1 not really")
    assert "fidelity.parquet" in refused(bare)


def test_the_page_can_be_written_elsewhere(bare, tmp_path):
    assert write_study(bare, tmp_path / "there" / "page.html") == tmp_path / "there" / "page.html"
    assert (tmp_path / "there" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_names_are_those_listed():
    assert all(getattr(report, name) is not None for name in report.__all__)
    with pytest.raises(AttributeError, match=r"faultcell\.report"):
        _ = report.nothing


def test_it_begins_with_what_fits_one_screen(study, text):
    found = short.section(study)
    table, said = found.blocks
    assert [line[0].text.split(",")[0] for line in table.rows if "real curves only" in line[0].text] == study.labels
    assert sum("best cheap control" in line[0].text for line in table.rows) == len(study.labels)
    for label in study.labels:
        rows = study.rows("gain", task=label, view="whole", measure="recall", arm="before", classifier="all six")
        own = next(line for line in table.rows if line[0].text.startswith(f"{label}, before"))
        assert own[1].text == blocks.number(rows[0]["mean"])
    assert len(table.rows) <= 4 * len(study.labels)
    assert all("MAE" in sentence or "claims" in sentence for sentence in said.items)
    assert text.index('id="short"') < text.index("<nav")


def hidden_study(tmp_path):
    """A study of a leak in charges: what each classifier finds, by severity, in two views."""
    task, nets = "internal_short charge", "all six"
    lines = [("thermal", "before", nets, 0.3), ("thermal", "augment", nets, 0.8), ("relative", "augment", nets, 0.9)]
    lines += [("thermal", "jitter", nets, 0.4), ("thermal", "before", "threshold", 0.0), ("thermal", "before", "filter", 0.1)]
    lines += [("thermal", "before", "thermal_residual", 0.7), ("thermal", "before", "features_cycle", 0.95)]
    place = [dict(zip(("view", "arm", "classifier"), line, strict=False), task=task) for line in lines]
    measures = {"recall_at_1_percent": 1.0, "recall_at_0_1_percent": 0.5, "false_alarm_rate": 0.01, "delay_cycle": 2.0}
    gain = [
        {**one, "measure": name, "mean": line[3] * times, "low": None, "high": None}
        for one, line in zip(place, lines, strict=True)
        for name, times in measures.items()
    ]
    gain += [{**place[1], "measure": "severity_at_50_percent_recall", "mean": 0.02, "low": None, "high": None}]
    found = [
        {
            **one,
            "classifier": who,
            "low": low,
            "high": 2 * low,
            "faults": 10,
            "found_at_1_percent": 5,
            "found_at_0_1_percent": 2,
        }
        for one in place
        for who in (("cnn", "mlp") if one["classifier"] == nets else (one["classifier"],))
        for low in (0.01, 0.02)
    ]
    return Study(tmp_path, Summary(version="0", config={}, data={}, labels=["internal_short"]), {"gain": gain, "found": found})


def test_faults_a_threshold_cannot_see_have_a_section_of_their_own(study, tmp_path):
    assert hidden.section(study) is None
    made = hidden.section(hidden_study(tmp_path))
    _, picture, table = made.blocks
    assert b"<svg" in picture.svg
    by_name = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert by_name["voltage threshold"][0] == "0"
    assert by_name["thermal model"][:2] == ["0.700", "0.350"]
    assert by_name["features: and the other half-cycle"][0] == "0.950"
    drawn = by_name[f"nets, {theme.VIEWS['thermal']}: {theme.look('augment').name}"]
    assert drawn[0] == "0.800"
    assert drawn[2].startswith("0.0200")
    assert float(drawn[4]) == pytest.approx(365 * 0.01 * 0.8, rel=0.01)
    assert f"nets, {theme.VIEWS['thermal']}: jitter" in by_name  # the best cheap control


def test_whatever_is_measured_has_a_name_for_readers():
    assert set(CLASSIFIERS) <= set(theme.CLASSIFIERS)
    assert set(VIEWS) == set(theme.VIEWS)
