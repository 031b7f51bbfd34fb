"""The demo on the embedded data, with hardly any training: the folder is whole and the page stands alone."""

import json
import re
import struct
from html.parser import HTMLParser

import numpy as np
import pytest

from faultcell.augmenter import Augmenter
from faultcell.cli import story
from faultcell.config import Config
from faultcell.errors import DataError
from faultcell.files import read
from faultcell.scoring import Scores

pytestmark = [
    pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(180),
]


class Links(HTMLParser):
    """Every address a page asks for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [(tag, value) for name, value in attrs if name in {"src", "href", "srcset", "data", "action", "poster"}]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    ticks = []
    page = story.run(tmp_path_factory.mktemp("demo") / "out", steps=(3, 3), tick=lambda *tick: ticks.append(tick))
    return page, ticks


def test_it_ends_with_a_page_that_stands_alone(told):
    page = told[0]
    assert page.name == "report.html"
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(https?:)?//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    links = Links()
    links.feed(text)
    assert [tag for tag, _ in links.found] == ["img"] * 7
    assert all(value.startswith("data:image/png;base64,iVBORw0KGgo") for _, value in links.found)
    for words in ("overcharge", "overdischarge", "nearest replay", "mean curve", "simulated"):
        assert words in text


def test_there_is_a_picture_for_each_fault(told):
    folder = told[0].parent
    kinds = ("overcharge", "overdischarge")
    names = {f"{kind}{what}.png" for kind in kinds for what in ("", "_single", "_asked_and_got")}
    names.add("augment.png")
    assert {path.name for path in folder.glob("*.png")} == names
    for name in names:
        data = (folder / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert min(width, height) > 300
        assert data.endswith(b"IEND\xaeB`\x82")


def test_scores_config_model_and_curves_lie_beside(told):
    folder = told[0].parent
    assert {path.name for path in folder.iterdir() if path.suffix != ".png"} == {
        "report.html",
        "scores.json",
        "config.json",
        "model",
        "drawn",
    }
    scores = Scores.model_validate_json((folder / "scores.json").read_text())
    assert set(scores.sources) == {"synthetic", "floor", "replay", "jitter", "mean_curve", "noise"}
    config = Config(**json.loads((folder / "config.json").read_text()))
    assert (config.train.steps, config.finetune.steps) == (3, 3)
    model, drawn = Augmenter.load(folder / "model"), read(folder / "drawn")
    assert set(drawn.halfcycles["model_sha256"]) == {model.sha256}
    assert scores.sources["synthetic"].all.curves == len(drawn)


def test_the_cells_scored_were_in_neither_training(told):
    folder = told[0].parent
    model, drawn = Augmenter.load(folder / "model"), read(folder / "drawn")
    assert not set(model.profile.cells) & set(drawn.cells)
    assert set(drawn.cells) <= set(story.demo_data().cells)
    np.testing.assert_allclose(
        drawn.known("peak_deviation_volt"), drawn.known("requested_peak_deviation_volt"), atol=0.01, rtol=0
    )


def test_progress_is_told(told):
    words = {what for what, _, _ in told[1]}
    assert "learning normal curves" in words
    assert any(what.startswith("adapting to") for what in words)
    assert all(0 <= done <= total for _, done, total in told[1])


def test_a_foreign_folder_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.tex"):
        story.run(tmp_path, steps=(1, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_foreign_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    ticks = []

    def stop(*tick):
        ticks.append(tick)
        raise KeyboardInterrupt

    with pytest.raises((DataError, KeyboardInterrupt)):
        story.run(tmp_path, steps=(1, 1), tick=stop)
    assert not ticks
