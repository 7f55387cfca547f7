"""What is made for tests is made once for the same sources and details, and shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import build_cache
from tests.support.build_cache import cached_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build_cache, "FOLDER", tmp_path)
    return tmp_path


def test_the_same_is_made_once_and_other_details_anew(folder: Path) -> None:
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.mkdir()
        (path / "content").write_text(str(len(calls)))

    first, again = cached_folder("thing", make, 1), cached_folder("thing", make, 1)
    assert first == again and (first / "content").read_text() == "1" and len(calls) == 1
    other = cached_folder("thing", make, 2)
    assert (other / "content").read_text() == "2"
    assert not first.exists(), "what other sources or details made is removed"


def test_another_source_makes_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_folder("thing", Path.mkdir)
    monkeypatch.setattr(build_cache, "_sources", lambda: "others")
    assert cached_folder("thing", Path.mkdir) != first


def test_what_fails_leaves_nothing_that_would_be_used(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached_folder("thing", fail)
    assert not list(folder.glob("thing-*"))
    assert cached_folder("thing", Path.mkdir).is_dir()


def test_sources_are_files_of_the_packages_and_nothing_compiled() -> None:
    paths = {path.relative_to(build_cache.ROOT).as_posix() for path in build_cache._files()}
    assert {"avatar/training/fit.py", "cuda_ext/cpu/raster.cpp", "tests/support/tiny.py"} <= paths
    assert not [path for path in paths if path.endswith((".so", ".pyc"))]
