"""What is made for tests is made once for the same sources and details, and shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import made as module
from tests.support.made import made


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


def test_the_same_is_made_once_and_other_details_anew(folder: Path) -> None:
    calls: list[Path] = []

    def make(path: Path) -> None:
        calls.append(path)
        path.mkdir()
        (path / "content").write_text(str(len(calls)))

    first, again = made("thing", make, 1), made("thing", make, 1)
    assert first == again and (first / "content").read_text() == "1" and len(calls) == 1
    other = made("thing", make, 2)
    assert (other / "content").read_text() == "2"
    assert not first.exists(), "what other sources or details made is removed"


def test_another_source_makes_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = made("thing", Path.mkdir)
    monkeypatch.setattr(module, "_sources", lambda: "others")
    assert made("thing", Path.mkdir) != first


def test_what_fails_leaves_nothing_that_would_be_used(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        made("thing", fail)
    assert not list(folder.glob("thing-*"))
    assert made("thing", Path.mkdir).is_dir()


def test_sources_are_files_of_the_packages_and_nothing_compiled() -> None:
    paths = {path.relative_to(module.ROOT).as_posix() for path in module._files()}
    assert {"avatar/training/fit.py", "cuda_ext/cpu/raster.cpp", "tests/support/tiny.py"} <= paths
    assert not [path for path in paths if path.endswith((".so", ".pyc"))]
