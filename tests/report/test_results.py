"""Pages of a file of scores and of gain: what is on them, and what is refused."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

import faultcell as fc
from faultcell.cli import app
from faultcell.diagnosis.gain import BEFORE, Gain, Interval, Summary
from faultcell.errors import DataError
from faultcell.files import read, write
from faultcell.plotting.bar_plot import bars, is_drawn, ordered
from faultcell.plotting.overlays import ladder
from faultcell.report import write_results
from recorded import LIMITS, save
from samples import recording

MEASURES = ("recall", "f1", "pr_auc", "recall_at_1_percent")


@pytest.fixture(scope="module")
def scored(tiny, tuned, tmp_path_factory):
    """A folder with real curves, drawn ones and their scores."""
    folder = tmp_path_factory.mktemp("scored")
    real = tiny[1]
    drawn = tuned.draw(fc.conditions_of(real), range(len(real)))
    scores = fc.evaluate(real=real, synthetic=drawn, thorough=False)
    (folder / "scores.json").write_text(scores.model_dump_json())
    write(real, folder / "real")
    write(drawn, folder / "drawn")
    return folder


def gain(**means):
    rows = [
        Summary(task="overdischarge", view="whole", arm=arm, classifier="mean of 6 nets", seeds=3,
                measures={name: Interval(mean=mean, low=mean - 0.1, high=mean + 0.1) for name in MEASURES})
        for arm, mean in means.items()
    ]  # fmt: skip
    return Gain(protocol="by cell", tasks=[], rows=[], summary=rows, tests=[], notes=["replay is best"])


def test_the_page_of_scores_shows_sources_severities_and_curves(scored, tmp_path):
    sets = {"real": read(scored / "real"), "synthetic": read(scored / "drawn")}
    page = write_results(scored / "scores.json", tmp_path / "page.html", **sets).read_text()
    assert re.findall(r'<section id="(\w+)"', page) == [
        "verdict", "beside", "curves", "by_label", "by_severity", "by_cell", "protocol",
    ]  # fmt: skip
    assert "drawn curves" in page
    assert "floor: a real cycle and the next" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    without = write_results(scored / "scores.json", tmp_path / "page.html").read_text()
    assert 'id="curves"' not in without


def test_the_page_of_gain_shows_arms_and_what_they_come_to(tmp_path):
    (tmp_path / "gain.json").write_text(gain(**{BEFORE: 0.3, "replay": 0.5, "mine": 0.7}).model_dump_json())
    page = write_results(tmp_path / "gain.json", tmp_path / "page.html").read_text()
    assert "overdischarge, whole curve" in page
    assert "nearest replay is best" in page


def test_bars_stand_in_order_and_reach_their_means():
    assert ordered(["mine", "replay", BEFORE]) == [BEFORE, "replay", "mine"]
    assert [is_drawn(arm) for arm in (BEFORE, "replay", "mine")] == [False, False, True]
    low, high = (gain(**{BEFORE: 0.3, "mine": mean}).summary for mean in (0.4, 0.7))
    pictures = [bars({row.arm: row.measures for row in rows}, {"recall": "recall"}) for rows in (low, high)]
    assert pictures[0] != pictures[1]
    assert pictures[0] == bars({row.arm: row.measures for row in low}, {"recall": "recall"})


def test_the_ladder_has_a_rung_for_each_range_of_severity(scored):
    real, drawn = read(scored / "real"), read(scored / "drawn")
    picture = ladder(real, drawn, label=real.labels[0], rungs=2).decode()
    assert picture.startswith("<?xml")
    assert len(re.findall(r'id="axes_\d+"', picture)) == 2


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"summary": 1}'])
def test_a_file_that_is_neither_is_one_sentence(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match=r"x.json: found no (?:results|JSON) .*expected what evaluate or classify wrote"):
        write_results(tmp_path / "x.json", tmp_path / "page.html")


def test_the_verbs_write_pages_and_bdf(scored, tmp_path):
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(scored / "scores.json"), "--real", str(scored / "real"),
                                    "--synthetic", str(scored / "drawn"), "--out", str(page)])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert page.exists()
    file, limits = save(recording(), tmp_path / "C7.csv"), ["--lower", "2.7", "--upper", "4.2"]
    done = CliRunner().invoke(app, ["ingest", str(file), "--out", str(tmp_path / "bdf"), "--to", "bdf", *limits])
    assert done.exit_code == 0, done.output
    expected, found = fc.ingest([file], **LIMITS)[0], fc.ingest([tmp_path / "bdf" / "C7.bdf.csv"])[0]
    assert found.column("voltage_volt").tolist() == pytest.approx(expected.column("voltage_volt").tolist())
    done = CliRunner().invoke(app, ["ingest", str(file), "--out", str(tmp_path / "x"), "--to", "xls"])
    assert "--to takes curves, bdf" in str(done.exception)
