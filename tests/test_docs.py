"""The documentation hangs together: links of the pages outside the site, the navigation, and a strict build."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README_LINES = 150
OUTSIDE = ("README.md", "CONTRIBUTING.md", "avatar/README.md")


PACKAGES = ("avatar", "capture", "viewer")
#: Options of other programs, and those that every command has.
FOREIGN = {
    "--debug",
    "--find-links",
    "--help",
    "--no-build-isolation",
    "--nproc-per-node",
    "--progress",
    "--quiet",
    "--version",
    "--wheels",
}


def guides() -> list[Path]:
    """The pages about the commands."""
    docs = ROOT / "docs"
    return [ROOT / "README.md", docs / "quickstart.md", docs / "filming.md", *sorted((docs / "guides").glob("*.md"))]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_of_pages_outside_the_site_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert not missing


def test_every_page_is_in_the_navigation() -> None:
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    _, navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")
    assert set(re.findall(r"(?:- |: )([\w/-]+\.md)", navigation)) == pages


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("mkdocs is not installed; `make docs` installs it")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "guides" / "python.html").is_file()


def test_every_option_named_is_one_of_a_command() -> None:
    folders = (ROOT / "avatar" / "cli", ROOT / "avatar" / "jobs")
    options = [path for folder in folders for path in folder.glob("*.py")] + [ROOT / "capture" / "options.py"]
    commands = "\n".join(path.read_text(encoding="utf-8") for path in options)
    fields = set(re.findall(r"^    (\w+): ", commands, re.MULTILINE)) | set(re.findall(r'arg\(name="(\w+)"', commands))
    unknown = []
    for page in guides():
        for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text(encoding="utf-8"))) - FOREIGN:
            name = option[2:].replace("-", "_")
            if name not in fields and name.removeprefix("no_") not in fields:
                unknown.append(f"{page.name}: {option}")
    assert not unknown


def test_messages_that_pages_quote_are_those_of_the_code() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")] + [ROOT / "Makefile"]
    source = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in files))
    missing = []
    for page in guides():
        _, _, failures = page.read_text(encoding="utf-8").partition(" fails\n")
        rows = re.findall(r"^\| `([^`]+)`[^|]*\|", failures.partition("\n## ")[0], re.MULTILINE)
        parts = [part.strip() for row in rows for part in re.split(r"\.\.\.|\bN\b|\.venv", row)]
        missing += [f"{page.name}: {part}" for part in parts if part and part not in source and part[:2] != "--"]
    assert not missing
