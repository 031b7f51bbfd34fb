"""The site builds without a link that leads nowhere, and its tutorials run as they stand."""

from __future__ import annotations

import re
import sys

import pytest

from recipes import ROOT, run

DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_as_it_stands(tmp_path, path):
    """Blocks of a language follow one another in one program; with a handful of steps, and as many draws as a band needs."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    fewer = re.sub(r"--draws \d+", "--draws 20", re.sub(r"(--steps|STEPS =) \d+", r"\1 5", path.read_text()))
    blocks = BLOCK.findall(fewer)
    assert blocks
    run(tmp_path, ["bash", "-e", "-c", "\n".join(code for kind, code in blocks if kind == "bash")])
    run(tmp_path, [sys.executable, "-c", "\n".join(code for kind, code in blocks if kind == "python")])


def test_the_site_builds_and_every_link_leads_somewhere(tmp_path):
    pytest.importorskip("sphinx", reason='the site needs pip install "faultcell[docs]"')
    pytest.importorskip("myst_nb", reason='the site needs pip install "faultcell[docs]"')
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    run(tmp_path, [*command, str(DOCS), str(tmp_path / "site")])
    assert (tmp_path / "site" / "index.html").exists()
    page = (tmp_path / "site" / "api.html").read_text()
    assert "faultcell.Augmenter" in page


def test_pages_on_disk_name_files_that_exist():
    """Links of Markdown read outside the site: the README and the other pages at the root."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"
        for name in re.findall(r"`(docs/[\w/]+\.md)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page}: {name}"
        for name in re.findall(r"`(?:tests/\S*)?(test_\w+\.py)", page.read_text()):
            assert [*(ROOT / "tests").rglob(name)], f"{page}: {name}"


def test_every_test_of_a_promise_is_named_where_the_promise_stands():
    said = (DOCS / "reliability.md").read_text()
    assert [path.name for path in (ROOT / "tests" / "promises").glob("test_*.py") if path.name not in said] == []
