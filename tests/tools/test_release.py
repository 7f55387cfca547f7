"""A release: fragments become entries of the changelog, all files name the version, and the documentation lists it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from tools.release import ROOT, fragments, release
from tools.versioned_docs import releases, write_start


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "avatar").mkdir()
    for name in ("CITATION.cff", "avatar/__init__.py", "changelog.d/README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    old = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- old\n\n## [0.2.0] - 2026-11-22\n\n### Fixed\n\n- older\n"
    (tmp_path / "CHANGELOG.md").write_text(old)
    return tmp_path


def test_fragments_of_this_checkout_have_a_kind_and_a_text() -> None:
    assert all(kind for _, kind in fragments())


def test_a_release_moves_the_fragments_into_the_changelog_and_names_the_version_everywhere(checkout: Path) -> None:
    (checkout / "changelog.d" / "wheels.added.md").write_text("new\nin two lines\n")
    (checkout / "changelog.d" / "crash.fixed.md").write_text("no crash\n")
    release("0.3.0", "2026-12-24", checkout)
    assert (checkout / "CHANGELOG.md").read_text() == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.3.0] - 2026-12-24\n\n### Added\n\n- new in two lines\n- old\n\n"
        "### Fixed\n\n- no crash\n\n## [0.2.0] - 2026-11-22\n\n### Fixed\n\n- older\n"
    )
    citation = (checkout / "CITATION.cff").read_text()
    assert "\nversion: 0.3.0\ndate-released: 2026-12-24\n" in citation
    assert '\n__version__ = "0.3.0"\n' in (checkout / "avatar" / "__init__.py").read_text()
    assert [path.name for path in (checkout / "changelog.d").iterdir()] == ["README.md"]


@pytest.mark.parametrize(("name", "text"), [("wheels.md", "new"), ("wheels.news.md", "new"), ("a.fixed.md", "\n")])
def test_a_fragment_without_a_kind_or_a_text_is_refused_and_nothing_changes(
    checkout: Path, name: str, text: str
) -> None:
    (checkout / "changelog.d" / name).write_text(text)
    before = (checkout / "CHANGELOG.md").read_text()
    with pytest.raises(
        HeadsplatError, match=rf"{name}: expected NAME\.KIND\.md with a text, KIND one of added, changed"
    ):
        release("0.3.0", "2026-12-24", checkout)
    assert (checkout / "CHANGELOG.md").read_text() == before


def test_a_version_is_three_numbers(checkout: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"v0\.3: expected a version of three numbers"):
        release("v0.3", "2026-12-24", checkout)


def test_the_documentation_lists_the_last_releases_newest_first_and_starts_with_the_newest(tmp_path: Path) -> None:
    tags = ["v0.2.0", "v0.10.0", "v0.9.1", "nightly", "v1.0.0rc1", *(f"v0.1.{n}" for n in range(5))]
    assert releases(tags) == ["v0.10.0", "v0.9.1", "v0.2.0", "v0.1.4", "v0.1.3"]
    write_start(tmp_path, ["0.10.0", "main"])
    assert [row["version"] for row in json.loads((tmp_path / "versions.json").read_text())] == ["0.10.0", "main"]
    assert 'url=0.10.0/index.html"' in (tmp_path / "index.html").read_text()
