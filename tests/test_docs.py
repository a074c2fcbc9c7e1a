"""The documentation: its links lead somewhere, its Python runs, its site builds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowgmm_jax import flows
from flowgmm_jax.config import fields_of, load_config

ROOT = Path(__file__).parents[1]
WRITTEN = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
NOTEBOOK = ROOT / "docs/experiments.md"  # with the names of the time: docs/running.md, "Old names"
PAGES = [*WRITTEN, *sorted(ROOT.glob("results/*.md"))]
PROGRAMS = ("guide", "arrays", "building", "export")
RUN = [ROOT / "README.md", *[ROOT / f"docs/{name}.md" for name in PROGRAMS]]
EXPERIMENTS = sorted(path.stem for path in ROOT.glob("configs/*.py") if path.stem != "default")
WIDTH = 120
README_LINES = 110


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_to_a_file_leads_to_one(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_script_that_a_page_runs_is_there(page):
    scripts = set(re.findall(r"python\s+((?:[\w/]+/)?\w+\.py)", page.read_text()))
    assert [script for script in scripts if not (ROOT / script).exists()] == []


@pytest.mark.parametrize("page", [page for page in WRITTEN if page != NOTEBOOK], ids=name_of)
def test_every_experiment_that_a_page_trains_is_there(page):
    named = set(re.findall(r"--config=(\w+(?::\w+(?:,\w+)*)?)(?![\w.]*\.py)", page.read_text()))
    for spec in named - {"NAME", "FILE"}:
        assert load_config(spec)


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_field_that_a_page_sets_is_there(page):
    named = set(re.findall(r"--config\.([\w.]+)", page.read_text())) - {"FIELD"}
    general = {name for name in named if not name.startswith("flow.")}
    assert general - dict(fields_of(load_config("digits"))).keys() == set()


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_lines_are_short(page):
    lines = enumerate(page.read_text().splitlines(), start=1)
    assert [n for n, line in lines if len(line) > WIDTH and not line.startswith("|")] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_in_the_table(experiment):
    assert f"`{experiment}`" in (ROOT / "docs/running.md").read_text()


def python_of(page):
    """The Python of a page: one program, whose lines have the numbers that they have on the page,
    and the files that blocks with a title are, by their names."""
    program, files = [], {}
    block = title = None
    for line in page.read_text().splitlines():
        opened = re.fullmatch(r'```python(?: title="([\w.]+)")?', line)
        is_code = block is not None and line != "```"
        if is_code:
            block.append(line)
        elif block is not None:
            if title:
                files[title] = "\n".join(block) + "\n"
            block = None
        elif opened:
            block, title = [], opened[1]
        program.append(line if is_code and not title else "")
    return "\n".join(program), files


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_python_of_a_page_runs(page, tmp_path):
    program, files = python_of(page)
    assert program.strip()
    for name, text in ({"page.py": program} | files).items():
        short = re.sub(r"\bsteps=\d{3,}", "steps=100", text)  # runs as well, only not as good
        (tmp_path / name).write_text(short)
    finished = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("site")
    finished = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return folder


def test_the_site_loads_nothing_from_other_servers(site):
    pages = "".join(page.read_text() for page in site.rglob("*.html"))
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//[^"]+"', pages) == []


def test_every_public_name_of_flows_is_on_its_page(site):
    words = set(re.findall(r"\w+", (site / "api/flows.html").read_text()))
    assert [name for name in flows.__all__ if name not in words] == []
