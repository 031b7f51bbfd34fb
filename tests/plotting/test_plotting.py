"""Objects that people look at: axes with the right lines on them, a short line, and a small picture in notebooks."""

import base64
import re

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

import faultcell as fc
from faultcell.curves import NORMAL
from faultcell.curves.conditions import conditions_of
from faultcell.diagnosis.gain import Gain
from faultcell.errors import ConditionError

MOST = 200  # characters of a line


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def shown(tuned, tiny):
    """One of each public object."""
    normal, faults = tiny
    some = faults.take(range(4))
    drawn = tuned.draw(conditions_of(some), range(4))
    few = {"seeds": 2, "steps": 2, "controls": (), "classifiers": ("mlp",), "views": ["whole"]}
    whole, unseen = fc.Curves.concat([normal, faults]), pl.col("cell_id").is_in(["N0", "N1", "D0", "C0"])
    return {
        "curves": normal,
        "band": fc.draw_band(tuned, conditions_of(some), draws=10),
        "scores": fc.evaluate(real=some, synthetic=drawn, beside=(), thorough=False),
        "gain": fc.classify(train=whole.where(~unseen), test=whole.where(unseen), **few),
        "model": tuned,
    }


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_each_has_a_line_of_less_than_200_characters_and_all_but_a_model_a_picture(shown):
    for name, one in shown.items():
        assert len(repr(one)) < MOST
        html = one._repr_html_()
        pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
        assert len(pictures) == (name != "model")
        assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
        assert html.startswith("<code>")


def test_curves_are_shown_by_label_with_their_limits_at_most_so_many(tiny, ax):
    both = fc.Curves.concat(list(tiny))
    assert both.plot(ax) is ax
    assert set(lines(ax)) == set(both.labels)
    normal = both.select(label=[NORMAL]).take([0])
    part = normal.plot(Figure().subplots()).get_lines()[0]
    assert part.get_ydata()[-1] == pytest.approx(normal.column("voltage_volt")[-1], abs=0.2)
    few = Figure().subplots()
    both.plot(few, most=3)
    assert sum(len(line.get_xdata()) > 2 for line in few.get_lines()) == 3


def test_of_no_curve_there_is_a_line_but_no_picture(tiny):
    none = tiny[0].take([])
    assert "<img" not in none._repr_html_()
    with pytest.raises(ConditionError, match="no curve to plot"):
        none.plot()


def test_a_band_runs_over_the_time_of_its_median(shown, ax):
    band = shown["band"]
    band.plot(ax, row=2)
    np.testing.assert_array_equal(lines(ax)["median"].get_ydata(), band.median[2])
    assert lines(ax)["median"].get_xdata()[-1] == pytest.approx(band.seconds[2, 1] / 60)
    assert band.keys["cell_id"][2] in ax.get_title()


def test_scores_have_a_bar_a_source(shown, ax):
    scores = shown["scores"]
    scores.plot(ax)
    assert [bar.get_width() for bar in ax.patches] == sorted(source.all.mae for source in scores.sources.values())


def test_a_gain_has_a_bar_an_arm_of_the_measure_that_is_asked_for(shown, ax):
    gain = shown["gain"]
    gain.plot(ax, measure="pr_auc")
    means = {row.arm: row.measures["pr_auc"].mean for row in gain.summary if row.task == gain.tasks[0].task}
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx(sorted(means.values()))
    with pytest.raises(ConditionError, match=r"measure 'beauty' is none of .*recall"):
        gain.plot(ax, measure="beauty")
    assert isinstance(gain, Gain)


def test_a_model_shows_what_it_makes_of_normal_curves(tuned, tiny, ax):
    tuned.plot(ax, normal=tiny[0])
    assert set(lines(ax)) == {"normal curve", "drawn from it"}
    drawn = [line for line in ax.get_lines() if line.get_color() == lines(ax)["drawn from it"].get_color()]
    assert len(drawn) == 6


def test_without_axes_there_are_new_ones_of_pyplot(tiny):
    from matplotlib import pyplot as plt

    plt.switch_backend("Agg")
    ax = tiny[0].plot()
    assert ax is plt.gca()
    plt.close(ax.figure)


def test_scores_and_gains_are_tables(shown):
    scores, gain = shown["scores"], shown["gain"]
    table = scores.to_polars()
    whole = table.filter(group="all")
    assert whole["source"].to_list() == list(scores.sources)
    assert whole["mae"].to_list() == [source.all.mae for source in scores.sources.values()]
    assert scores.to_pandas().shape == table.shape
    assert gain.to_polars().height == len(gain.rows) == len(gain.to_pandas())
