"""The page in a real browser, served by the real command: what a visitor sees, moves and takes along."""

import base64
import contextlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import polars as pl
import pytest

from faultcell import cli
from faultcell.curves import Condition, Curves
from faultcell.curves.conditions import conditions_of
from faultcell.files import ingest, read, write
from faultcell.generation.counterfactuals import counterfactual
from served import command, serving, worker

CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
PATIENCE = 180_000  # milliseconds; against what hangs, not against a machine that is busy
CURVE = "getElement(document.querySelector('.nicegui-echart').id.slice(1)).chart?.getOption().series.at(2)?.data"
needs_nicegui = pytest.mark.skipif(importlib.util.find_spec("nicegui") is None, reason='needs the extra: "faultcell[app]"')
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None, reason="needs playwright and Chromium"
)
pytestmark = [needs_nicegui, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


def stopped(process):
    """Ctrl-C, and how it ended."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=180)
    finally:
        process.kill()


@pytest.fixture(scope="module")
def folders(models, tiny, inside, inside_faults, tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    models[1].save(root / "tuned")
    models[0].save(root / "base")
    inside.save(root / "inside")
    write(Curves.concat([*tiny, inside_faults]), root / "real")
    return root


@pytest.fixture(scope="module")
def site(folders):
    with serving(*(folders / name for name in ("tuned", "base", "inside")), "--real", folders / "real") as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser, site):
    """The page with over-discharge chosen and drawn; every request and every complaint of the browser noted."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("websocket", lambda socket: page.asked.append(socket.url))
    page.on("console", lambda said: page.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(site.page)
    page.wait_for_function(f"() => {CURVE}?.length > 100")
    yield page
    context.close()


def seen(page):
    """The page as a picture `(height, width, 3)`, once nothing moves on it any more."""
    from PIL import Image

    page.wait_for_timeout(400)  # a chart grows for a moment
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)


def curve(page):
    """The first drawn curve on the chart: seconds and volts, or amperes."""
    return np.array(page.evaluate(CURVE))


@contextlib.contextmanager
def changing(page, patience=PATIENCE):
    """A block after which the curve is another."""
    before = page.evaluate(f"JSON.stringify({CURVE})")
    yield
    page.wait_for_function(f"before => {CURVE}?.length && JSON.stringify({CURVE}) !== before", arg=before, timeout=patience)


def choose(page, kind):
    with changing(page):
        page.get_by_role("combobox", name="What to draw").click()
        page.get_by_role("option", name=kind, exact=True).click()
    return curve(page)


def told(page, title):
    """The row of the table: asked, median, range."""
    return page.locator("table.asked tr", has_text=title).locator("td").all_text_contents()


# --- the command


def test_ctrl_c_ends_it_and_nothing_is_left_behind(folders, tmp_path):
    process = command(folders / "tuned", "--port", 0)
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    out, err = stopped(process)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code"), [(("real",), 1), (("tuned", "--host", "0.0.0.0"), 2), (("tuned", "--real", "x"), 1)]
)
def test_what_cannot_be_served_is_one_sentence(folders, monkeypatch, capsys, words, code):
    monkeypatch.chdir(folders)
    monkeypatch.setattr(sys, "argv", ["faultcell", "serve", *words, "--port", "0"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (code, "")
    assert err.startswith("faultcell: ")
    assert len(err.splitlines()) == 1


def test_without_the_extra_the_remedy_is_named():
    code = (
        "import sys\nsys.modules['nicegui'] = None\nimport importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'nicegui' else find(name, *more)\n"
        "sys.argv = ['faultcell', 'serve', 'nowhere']\nfrom faultcell.cli import main\nmain()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 1
    assert found.stderr == 'faultcell: NiceGUI is not installed: run `pip install "faultcell[app]"` and try again\n'


def test_the_api_is_at_the_address_that_is_said(site):
    with urllib.request.urlopen(f"{site.api}/bundles", timeout=180) as answer:
        assert [entry["id"] for entry in json.load(answer)] == ["tuned", "base", "inside"]
    for path in ("/docs", "/redoc", "/openapi.json"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(site.page + path, timeout=180)
        with refused.value as answer:
            assert answer.code == 404


# --- in a browser


@needs_browser
def test_the_page_asks_this_machine_alone_and_the_browser_does_not_complain(page, site):
    for tab in ("Scores", "Data", "Draw"):
        page.get_by_role("tab", name=tab).click()
    page.get_by_role("tab", name="Draw").wait_for()
    hosts = {urlsplit(url).netloc for url in page.asked if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {urlsplit(site.page).netloc}
    assert page.complaints == []


@needs_browser
def test_a_slider_moved_by_keyboard_changes_the_curve_smoothly(page, tuned):
    before = choose(page, "overdischarge")
    slider = page.get_by_role("slider", name="Peak deviation")
    asked = float(slider.input_value())
    slider.focus()
    with changing(page):
        page.keyboard.press("ArrowRight")
    after = curve(page)
    now = float(slider.input_value())
    assert now > asked
    assert float(page.get_by_label("Peak deviation, number").input_value()) == pytest.approx(now)
    assert after[:, 1].min() == pytest.approx(before[:, 1].min() - (now - asked), abs=2e-3)
    assert np.abs(after[:, 1] - before[:, 1]).max() < 0.1
    assert told(page, "Peak deviation")[:2] == [f"{now:.3f} V"] * 2


@needs_browser
def test_what_is_shown_is_what_the_model_draws(page, tuned):
    choose(page, "overdischarge")
    values = {
        name: float(page.get_by_role("slider", name=title).input_value())
        for title, name in {
            "Peak deviation": "peak_deviation_volt",
            "Repetitions": "repetition_count",
            "Cumulated time": "cumulative_duration_second",
            "C-rate": "c_rate",
            "Ambient temperature": "ambient_temperature_celsius",
            "Cycle": "cycle_count",
            "State of health": "state_of_health",
        }.items()
    }
    drawn = tuned.draw([Condition("overdischarge", **values)], [0])
    shown = curve(page)
    assert shown[:, 1] == pytest.approx(drawn.column("voltage_volt"), abs=1e-4)
    assert shown[:, 0] == pytest.approx(drawn.column("step_time_second"), abs=0.06)


@needs_browser
def test_unknown_widens_and_redraw_takes_other_seeds(page):
    choose(page, "overdischarge")
    with changing(page):
        page.get_by_role("checkbox", name="C-rate unknown").press("Space")
    assert page.get_by_role("slider", name="C-rate").is_disabled()
    assert told(page, "C-rate")[0] == "unknown"
    with changing(page):
        page.get_by_role("button", name="Redraw").press("Enter")
    assert page.get_by_text("seeds 64 to 127").is_visible()


@needs_browser
def test_a_page_goes_on_where_the_process_that_draws_is_killed(page, site):
    choose(page, "overdischarge")
    before = worker(site)
    os.kill(before, signal.SIGKILL)
    with changing(page, patience=4 * PATIENCE):  # another has to start
        page.get_by_role("button", name="Redraw").press("Enter")
    assert worker(site) != before
    assert page.locator(".said").inner_text() == ""


@needs_browser
def test_a_draw_that_is_long_in_coming_is_announced(page, site):
    choose(page, "overdischarge")
    os.kill(worker(site), signal.SIGSTOP)
    with changing(page):
        page.get_by_role("button", name="Redraw").press("Enter")
        page.get_by_text("This draw takes long").wait_for()
        os.kill(worker(site), signal.SIGCONT)
    page.wait_for_function("() => document.querySelector('.said').innerText === ''")


@needs_browser
def test_current_is_shown_on_request(page):
    volts = choose(page, "overdischarge")
    with changing(page):
        page.get_by_role("button", name="Current").click()
    amperes = curve(page)
    assert amperes[:, 1].max() < 0 < volts[:, 1].min()


@needs_browser
def test_temperature_is_shown_on_request_beside_the_real_ones_without_limits(page, tuned):
    choose(page, "overdischarge")
    with changing(page):
        page.get_by_role("button", name="Temperature").click()
    celsius = curve(page)[:, 1]
    assert 10 < celsius.min() < celsius.max() < 80
    assert page.locator(".legend").inner_text().count("rated limits") == 0
    assert page.locator(".legend").inner_text().count("nearest real curves") == 1
    assert float(told(page, "Highest temperature")[1].removesuffix(" °C")) == pytest.approx(celsius.max(), abs=15)
    assert page.locator(".said").inner_text() == ""


@needs_browser
def test_an_impossible_request_gets_a_sentence_and_a_far_one_a_warning(page):
    choose(page, "overdischarge")
    number, said = page.get_by_label("Peak deviation, number"), page.get_by_role("status")
    number.fill("-1")
    page.wait_for_function("() => document.querySelector('.said').innerText.includes('greater than or equal to 0')")
    assert "Traceback" not in page.content()
    number.fill("1.5")
    page.wait_for_function("() => document.querySelector('.said').innerText.includes('extrapolations')")
    assert said.inner_text().startswith("Peak deviation 1.5")
    assert told(page, "Peak deviation")[1] == "1.500 V"
    number.fill("0.5")
    page.wait_for_function("() => document.querySelector('.said').innerText === ''")


@needs_browser
def test_drawn_curves_are_taken_along(page, tuned, tmp_path):
    choose(page, "overdischarge")
    page.get_by_role("spinbutton", name="Curves").fill("5")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Curve set (zip)").click()
    zipfile.ZipFile(coming.value.path()).extractall(tmp_path / "set")
    curves = read(tmp_path / "set")
    assert coming.value.suggested_filename == "tuned-overdischarge.zip"
    assert curves.halfcycles["seed"].to_list() == [0, 1, 2, 3, 4]
    assert curves.halfcycles["synthetic"].all()
    assert set(curves.halfcycles["model_sha256"]) == {tuned.sha256}
    shown = curve(page)
    assert curves.take([0]).column("voltage_volt") == pytest.approx(shown[:, 1], abs=1e-4)
    with page.expect_download() as coming:
        page.get_by_role("button", name="CSV (BDF)").click()
    coming.value.save_as(tmp_path / coming.value.suggested_filename)
    assert len(ingest([tmp_path / "tuned-overdischarge.bdf.csv"])[0]) == 5


@needs_browser
def test_another_model_brings_its_own_sliders(page):
    choose(page, "overdischarge")
    assert page.get_by_role("slider").count() == 7
    with changing(page):
        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name="base").click()
    page.get_by_role("slider", name="Peak deviation").wait_for(state="detached")
    assert page.get_by_role("slider").count() == 4


@needs_browser
def test_a_fault_inside_all_limits_has_its_severity_as_a_slider_and_its_temperature(page, site, inside):
    with changing(page):
        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name="inside").click()
    choose(page, "internal_short discharge")
    low, high = inside.profile.ranges["internal_short"]["leakage_c_rate"]
    assert page.locator(".seen:visible").first.inner_text() == f"seen: {low:.4f} to {high:.4f} 1/h"
    assert page.get_by_role("checkbox", name="Leakage unknown").count() == 0
    assert page.get_by_role("heading", name="The end", exact=True).is_visible()
    with changing(page):
        page.get_by_role("slider", name="Leakage").press("ArrowRight")
    with changing(page):
        page.get_by_role("button", name="Temperature").click()
    titles = {"c_rate": "C-rate", "ambient_temperature_celsius": "Ambient temperature", "cycle_count": "Cycle"}
    titles |= {"leakage_c_rate": "Leakage", "state_of_health": "State of health"}
    values = {name: float(page.get_by_role("slider", name=title).input_value()) for name, title in titles.items()}
    severities = {"leakage_c_rate": values.pop("leakage_c_rate")}
    drawn = inside.draw([Condition("internal_short", severities=severities, step_type="discharge", **values)], [0])
    shown = curve(page)
    assert shown[:, 1] == pytest.approx(drawn.column("surface_temperature_celsius"), abs=0.006)
    assert told(page, "Leakage") == [f"{severities['leakage_c_rate']:.4f} 1/h", "unknown", "needs a normal cycle"]
    moved_to(page, "draw=internal_short+discharge", f"leakage_c_rate={severities['leakage_c_rate']!r}", "show=temperature")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_function(f"() => {CURVE}?.length > 100")
    assert np.array_equal(curve(page), shown)
    assert page.url == link
    page.get_by_label("Leakage, number").fill("")
    page.get_by_text("Internal_short needs a severity other than 0: Leakage (1/h)").wait_for()
    assert page.complaints == []


@needs_browser
def test_all_of_it_is_reached_and_named_by_keyboard(page):
    choose(page, "overdischarge")
    page.get_by_role("tab", name="Draw").focus()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(e => e.ariaLabel ?? e.innerText ?? '')(document.activeElement)"))
    wanted = ["What to draw", "Peak deviation", "Repetitions", "Repetitions unknown", "State of health", "Redraw", "Current"]
    assert set(wanted) <= set(reached)
    for control in page.locator("input:visible, button:visible, [role=checkbox]").all():
        name = control.evaluate("e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.closest('label')?.innerText")
        assert name, control.evaluate("e => e.outerHTML")


@needs_browser
def test_the_other_tabs_tell_of_model_and_data(page):
    page.get_by_role("tab", name="Scores").click()
    page.get_by_text("No scores were given").wait_for()
    assert page.get_by_role("heading", name="Model card of tuned").is_visible()
    page.get_by_role("tab", name="Data").click()
    page.get_by_role("heading", name="Real curves").wait_for()
    assert page.get_by_role("cell", name="overdischarge").first.is_visible()


@needs_browser
@pytest.mark.parametrize("width", [360, 820, 1360])
def test_nothing_sticks_out_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for tab in ("Draw", "Scores", "Data"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for part in page.locator(".wide:visible, .card:visible, .charts:visible, .controls:visible").all():
            box = part.bounding_box()
            assert box["x"] + box["width"] <= width
            if width < 768:
                assert part.evaluate("e => e.scrollWidth <= e.clientWidth"), part.inner_text()[:80]
        if tab == "Scores":
            assert page.locator(".card pre").first.evaluate("e => getComputedStyle(e).whiteSpace") == "pre-wrap"


@needs_browser
def test_redraw_and_both_charts_are_seen_without_scrolling(page):
    page.set_viewport_size({"width": 1440, "height": 900})
    for mode in ("From conditions", "From a normal cycle"):
        page.get_by_role("button", name=mode).click()
        for part in (page.get_by_role("button", name="Redraw"), *page.locator("canvas").all()):
            box = part.bounding_box()
            assert box["y"] + box["height"] <= 900


@needs_browser
def test_it_is_dark_where_the_system_is_and_all_can_be_read(page):
    page.emulate_media(color_scheme="dark")
    look = seen(page)
    paper = look[5, 5]
    assert paper.max() < 40
    box = page.locator("canvas").first.bounding_box()
    chart = look[int(box["y"]) : int(box["y"] + box["height"]), int(box["x"]) : int(box["x"] + box["width"])]
    assert (np.abs(chart - paper).max(axis=2) < 6).mean() > 0.5, "the chart has no dark ground"
    assert (chart.min(axis=2) > 170).sum() > 200, "numbers and real curves are not light"
    assert ((chart[..., 0] > 180) & (chart[..., 2] < 90)).sum() > 100, "the drawn curves are not orange"
    for text in ("From conditions", "From a normal cycle", "Redraw", "Voltage", "Current"):
        assert contrast(page.get_by_role("button", name=text, exact=True)) > 4.5, text
    for part in (page.locator("h1"), page.locator(".muted").first, page.locator("td").first, page.locator(".seen div").first):
        assert contrast(part) > 4.5
    page.emulate_media(color_scheme="light")
    assert seen(page)[5, 5].min() > 250


def contrast(part):
    """Of text to the first ground below it that has a colour (WCAG)."""
    ink, ground = part.evaluate("""e => {
        const ground = e => getComputedStyle(e).backgroundColor;
        let below = e;
        while (below.parentElement && ground(below).endsWith(", 0)")) below = below.parentElement;
        return [getComputedStyle(e).color, ground(below)].map(colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number));
    }""")
    light = [
        np.dot(
            [0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.divide(rgb, 255)]
        )
        for rgb in (ink, ground)
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)


# --- the address


def moved_to(page, *parts):
    """Once the address has these."""
    page.wait_for_function("parts => parts.every(part => location.search.includes(part))", arg=list(parts))


@needs_browser
def test_a_link_gives_the_same_settings_and_the_same_curves(page, site):
    assert page.url == f"{site.page}/"
    choose(page, "overdischarge")
    with changing(page):
        page.get_by_label("Peak deviation, number").fill("0.456")
    with changing(page):
        page.get_by_role("checkbox", name="C-rate unknown").press("Space")
    with changing(page):
        page.get_by_role("button", name="Redraw").press("Enter")
    with changing(page):
        page.get_by_role("button", name="Temperature").click()
    moved_to(
        page, "peak_deviation_volt=0.456", "c_rate=unknown", "seed=64", "show=temperature", "draw=overdischarge", "model=tuned"
    )
    before, link = curve(page), page.url
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_function(f"() => {CURVE}?.length > 100")
    assert np.array_equal(curve(page), before)
    assert page.get_by_label("Peak deviation, number").input_value() == "0.456"
    assert page.get_by_role("slider", name="C-rate").is_disabled()
    assert page.get_by_text("seeds 64 to 127").is_visible()
    assert page.url == link
    with changing(page):
        page.get_by_role("checkbox", name="C-rate unknown").press("Space")
    page.wait_for_function("() => !location.search.includes('unknown')")
    assert page.complaints == []


@needs_browser
def test_a_link_to_a_normal_cycle_gives_that_cycle(page, site, tuned, folders):
    page.goto(f"{site.page}/?mode=normal&cell=N3&cycle=2&draw=overdischarge&peak_deviation_volt=0.35")
    page.wait_for_function(f"() => {NORMAL}?.length > 10")
    assert page.get_by_role("combobox", name="Cell").input_value() == "N3"
    is_drawn_from(page, tuned, folders, cell="N3", cycle=2)
    pick(page, "Normal cycle", "3")
    moved_to(page, "mode=normal", "cell=N3", "cycle=3", "peak_deviation_volt=0.35")
    assert page.locator(".said").inner_text() == ""


@needs_browser
def test_what_an_address_should_not_have_is_a_sentence_until_something_is_changed(page, site):
    words = {"seed": "soon", "draw": "overdischarge", "<img src=x onerror=alert(1)>": "<script>", "c_rate": "1e999"}
    page.goto(f"{site.page}/?{urlencode(words)}")
    said = page.get_by_text("The address has what this page does not offer")
    said.wait_for()
    assert said.inner_text().endswith("left out: seed, c_rate, <img src=x onerror=alert(1)>.")
    assert page.locator(".said img, .said script").count() == 0
    assert page.get_by_role("combobox", name="What to draw").input_value() == "overdischarge"
    with changing(page):
        page.get_by_role("button", name="Redraw").press("Enter")
    assert page.locator(".said").inner_text() == ""
    moved_to(page, "seed=64")
    assert "alert" not in page.url
    assert page.complaints == []


@needs_browser
def test_what_is_seen_is_the_curve_in_its_band(page):
    """A picture of the page: the accent colour on the chart, and other pixels of it once the fault is deeper."""
    before = seen(page)
    box = page.locator("canvas").first.bounding_box()
    chart = np.s_[int(box["y"]) : int(box["y"] + box["height"]), int(box["x"]) : int(box["x"] + box["width"])]
    accent = (np.abs(before - [213, 94, 0]).max(axis=2) < 40)[chart]
    band = ((before[..., 0] > 240) & (before[..., 2] < 235) & (before[..., 2] > 180))[chart]
    assert accent.mean() > 0.0005, "no drawn curve is seen"
    assert band.sum() > accent.sum() / 4, "no band is seen"
    with changing(page):
        page.get_by_role("slider", name="Peak deviation").press("End")
    after = seen(page)
    assert (np.abs(after - before).max(axis=2) > 40)[chart].mean() > 0.002


# --- from a normal cycle


NORMAL = (
    "getElement(document.querySelector('.nicegui-echart').id.slice(1)).chart?.getOption().series"
    ".find(line => line.id === 'normal-0')?.data"
)


def turn_to_normal(page):
    """The other way to ask, once its first draw is there."""
    with changing(page):
        page.get_by_role("button", name="From a normal cycle").click()
    page.wait_for_function(f"() => {NORMAL}?.length > 10")


def pick(page, choice, option):
    with changing(page):
        page.get_by_role("combobox", name=choice).click()
        page.get_by_role("option", name=option, exact=True).click()


def gone_wrong(tuned, folders, *, cell, cycle, peak):
    """That normal discharge, and the over-discharge of seed 0 that the library draws with it as reference."""
    keys = {"cell_id": cell, "cycle_count": cycle, "step_type": "discharge"}
    normal = read(folders / "real").where(*(pl.col(name) == value for name, value in keys.items()))
    conditions = counterfactual(conditions_of(normal), [Condition("overdischarge", peak)])
    return normal, tuned.draw(conditions, [0], reference=normal)


def is_drawn_from(page, tuned, folders, **keys):
    normal, drawn = gone_wrong(tuned, folders, **keys, peak=float(page.get_by_role("slider").input_value()))
    shown, beside = curve(page), np.array(page.evaluate(NORMAL))
    assert shown[:, 1] == pytest.approx(drawn.column("voltage_volt"), abs=1e-4)
    assert shown[:, 0] == pytest.approx(drawn.column("step_time_second"), abs=0.06)
    assert beside[:, 1] == pytest.approx(normal.column("voltage_volt"), abs=1e-4)


@needs_browser
def test_a_normal_cycle_goes_wrong_as_the_model_draws_it_and_is_taken_along(page, tuned, folders, tmp_path):
    turn_to_normal(page)
    assert page.locator(".legend").inner_text().count("the normal curve") == 1
    pick(page, "Fault", "overdischarge")
    low, high = tuned.profile.ranges["overdischarge"]["peak_deviation_volt"]
    assert page.locator(".seen:visible").inner_text() == f"seen: {low:.3f} to {high:.3f} V"
    assert page.locator(".said").inner_text() == ""
    pick(page, "Cell", "N3")
    pick(page, "Normal cycle", "2")
    assert page.get_by_role("combobox", name="Fault").input_value() == "overdischarge"
    assert page.get_by_role("slider").count() == 1
    is_drawn_from(page, tuned, folders, cell="N3", cycle=2)
    with changing(page):
        page.get_by_role("slider", name="Peak deviation").press("ArrowRight")
    is_drawn_from(page, tuned, folders, cell="N3", cycle=2)
    shown, peak = curve(page), page.get_by_role("slider").input_value()
    assert told(page, "Peak deviation")[:2] == [f"{float(peak):.3f} V"] * 2
    with page.expect_download() as coming:
        page.get_by_role("button", name="Curve set (zip)").click()
    assert coming.value.suggested_filename == "tuned-overdischarge-N3-2.zip"
    zipfile.ZipFile(coming.value.path()).extractall(tmp_path / "set")
    curves = read(tmp_path / "set")
    assert curves.take([0]).column("voltage_volt") == pytest.approx(shown[:, 1], abs=1e-4)
    assert set(curves.halfcycles.select("source_cell_id", "source_cycle_count", "reference_cycle_count").rows()) == {
        ("N3", 2, 2)
    }
    with page.expect_download() as coming:
        page.get_by_role("button", name="CSV (BDF)").click()
    coming.value.save_as(tmp_path / coming.value.suggested_filename)
    assert len(ingest([tmp_path / "tuned-overdischarge-N3-2.bdf.csv"])[0]) == 64
    with changing(page):
        page.get_by_role("button", name="Redraw").press("Enter")
    assert page.get_by_text("seeds 64 to 127").is_visible()
    with changing(page):
        page.get_by_role("button", name="From conditions").click()
    assert page.locator(".legend").inner_text().count("nearest real curves") == 1
    assert page.complaints == []


@needs_browser
def test_a_normal_cycle_gets_a_fault_inside_all_limits_and_it_is_measured_beside_it(page, site, inside, folders):
    page.goto(f"{site.page}/?model=inside&mode=normal&cell=N4&cycle=3&draw=internal_short+charge&leakage_c_rate=0.03")
    page.wait_for_function(f"() => {NORMAL}?.length > 10")
    pick(page, "Fault", "sensor_offset discharge")
    assert page.locator(".knob:visible .name").all_inner_texts() == ["Voltage offset\nmV", "Temperature offset\nK"]
    with changing(page):
        page.get_by_label("Voltage offset, number").fill("-17.6")
    normal = read(folders / "real").where(
        pl.col("cell_id") == "N4", pl.col("cycle_count") == 3, pl.col("step_type") == "discharge"
    )
    severities = {"voltage_offset_millivolt": -17.6, "temperature_offset_kelvin": 0.0}
    asked = Condition("sensor_offset", severities=severities, step_type="discharge")
    drawn = inside.draw(counterfactual(conditions_of(normal), [asked]) * 64, range(64), reference=normal)
    assert curve(page)[:, 1] == pytest.approx(drawn.take([0]).column("voltage_volt"), abs=1e-4)
    middle = np.median(drawn.known("voltage_offset_millivolt"))
    assert told(page, "Voltage offset")[:2] == ["-17.6 mV", f"{middle:z.1f} mV"]
    moved_to(page, "draw=sensor_offset+discharge", "voltage_offset_millivolt=-17.6", "temperature_offset_kelvin=0")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Curve set (zip)").click()
    assert coming.value.suggested_filename == "inside-sensor_offset-discharge-N4-3.zip"
    page.get_by_label("Voltage offset, number").fill("0")
    page.get_by_text("sensor_offset needs a severity other than 0: Voltage offset (mV) or Temperature").wait_for()
    assert page.complaints == []


@needs_browser
def test_a_curve_set_of_ones_own_goes_wrong_and_what_is_none_gets_a_sentence(page, tuned, tiny, folders, tmp_path):
    turn_to_normal(page)
    own = tiny[0].where(pl.col("cell_id") == "N5")
    renamed = Curves(*(table.with_columns(cell_id=pl.lit("Mine")) for table in (own.timeseries, own.halfcycles)))
    tables = sorted(write(renamed, tmp_path / "own").glob("*.parquet"))
    with changing(page):
        page.locator("input[type=file]").set_input_files(tables)
    page.wait_for_function("() => document.querySelector('.said').innerText === ''")
    assert page.get_by_role("combobox", name="Cell").input_value() == "Mine"
    pick(page, "Fault", "overdischarge")
    peak = float(page.get_by_role("slider").input_value())
    normal = read(tmp_path / "own").where(pl.col("cycle_count") == 1, pl.col("step_type") == "discharge")
    wanted = counterfactual(conditions_of(normal), [Condition("overdischarge", peak)])
    assert curve(page)[:, 1] == pytest.approx(tuned.draw(wanted, [0], reference=normal).column("voltage_volt"), abs=1e-4)
    (tmp_path / "no.zip").write_bytes(b"no zip at all")
    page.locator("input[type=file]").set_input_files(tmp_path / "no.zip")
    page.wait_for_function("() => document.querySelector('.said').innerText.includes('expected a zip of a curve set')")
    large = tmp_path / "large.zip"
    large.write_bytes(bytes(9 << 20))
    page.locator("input[type=file]").set_input_files(large)
    page.wait_for_function("() => document.querySelector('.said').innerText.includes('at most 8 MiB')")
    assert page.get_by_role("combobox", name="Cell").input_value() == "Mine"
    pick(page, "Curve set", "The real curves served")
    assert page.get_by_role("combobox", name="Cell").input_value() == "N0"
    assert "Traceback" not in page.content()


DROP = """(place, files) => {
    const carried = new DataTransfer();
    for (const [name, content] of files)
        carried.items.add(new File([Uint8Array.from(atob(content), letter => letter.charCodeAt(0))], name));
    for (const kind of ["dragover", "drop"])
        place.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


@needs_browser
def test_files_are_dropped_and_what_is_not_taken_is_one_sentence(page, tiny, tmp_path):
    turn_to_normal(page)
    place = page.locator(".drop")
    assert place.inner_text().startswith("Drop a curve set of your own here: a zip of one, its two tables, or a CSV")
    own = tiny[0].where(pl.col("cell_id") == "N5")
    renamed = Curves(*(table.with_columns(cell_id=pl.lit("<b>Mine</b>")) for table in (own.timeseries, own.halfcycles)))
    tables = sorted(write(renamed, tmp_path / "own").glob("*.parquet"))
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in tables]
    for given, words in (
        ([("notes.txt", "AAAA")], "Expected a zip of a curve set, its two tables"),
        ([(f"{number}.csv", "AAAA") for number in range(3)], "Found 0.csv, 1.csv, 2.csv, expected a zip"),
        ([("curves.csv", "AAAA")], "Curves.csv: "),
    ):
        place.evaluate(DROP, given)
        page.wait_for_function("words => document.querySelector('.said').innerText.includes(words)", arg=words)
        assert page.locator(".said p").count() == 1
    page.route("**/upload/*", lambda route: route.fulfill(status=503))
    place.evaluate(DROP, files)
    page.get_by_text("The files did not arrive").wait_for()
    page.unroute("**/upload/*")
    with changing(page):
        place.evaluate(DROP, files)
    page.wait_for_function("() => document.querySelector('.said').innerText === ''")
    assert page.get_by_role("combobox", name="Cell").input_value() == "<b>Mine</b>"
    assert "over" not in place.get_attribute("class").split()
    moved_to(page, "mode=normal", "set=own")
    assert "Mine" not in page.url
    page.reload()
    page.get_by_text("The link is to a curve set of a visitor's own").wait_for()


@needs_browser
def test_a_model_without_faults_says_so_and_another_goes_on(page):
    turn_to_normal(page)
    page.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="base").click()
    page.wait_for_function("() => document.querySelector('.said').innerText.includes('base draws no fault')")
    with changing(page):
        page.get_by_role("button", name="From conditions").click()
    assert page.get_by_role("slider").count() == 4


@needs_browser
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out_sideways_from_a_normal_cycle_and_all_has_a_name(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    turn_to_normal(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for control in page.locator("input:visible, button:visible").all():
        assert control.evaluate("e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.closest('label')?.innerText")
    mode = page.get_by_role("button", name="From a normal cycle").bounding_box()
    assert mode["y"] < page.locator(".charts").bounding_box()["y"]
    assert mode["height"] < 40  # its words stand on one line
