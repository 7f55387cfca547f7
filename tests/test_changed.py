"""The tests that a change can reach: by imports, fixtures, files of a package, and names in strings."""

from __future__ import annotations

import pytest

from tests.support.changed import _test_files, changed_since, reached

EVERY = sorted(_test_files().values())


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("avatar/export/ply.py", "tests/avatar/export/test_ply.py"),  # imported
        ("avatar/common/files.py", "tests/avatar/export/test_ply.py"),  # through others
        ("avatar/training/fit.py", "tests/avatar/rendering/test_cameras.py"),  # by the fixture `tiny_avatar`
        # a file beside the module that reads it
        ("avatar/performance/facs/table.toml", "tests/avatar/performance/facs/test_units.py"),
        ("viewer/web/src/page/app.js", "tests/system/web/test_controls.py"),
        ("cuda_ext/cpu/raster.cpp", "tests/avatar/ops/test_splat.py"),
        ("tests/support/parallel_training.py", "tests/system/processes/test_parallel.py"),
        ("tests/support/killing.py", "tests/system/killed/test_capture.py"),
        ("tests/data/version1.avatar", "tests/avatar/model/test_avatar_file.py"),  # named by a string
        ("tests/system/web/conftest.py", "tests/system/web/test_controls.py"),
        ("tests/avatar/export/test_ply.py", "tests/avatar/export/test_ply.py"),
        ("docs/index.md", "tests/test_docs.py"),
    ],
)
def test_a_change_reaches_what_depends_on_it(changed: str, test: str) -> None:
    assert test in reached([changed])


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("avatar/export/ply.py", "tests/avatar/head/test_geometry.py"),
        ("avatar/training/fit.py", "tests/avatar/ops/test_splat.py"),  # beside the fixture, which it does not use
        ("capture/tracker/clip.py", "tests/avatar/model/test_avatar.py"),
        ("viewer/web/src/page/app.js", "tests/capture/tracker/test_clip.py"),
        ("docs/index.md", "tests/avatar/ops/test_splat.py"),
        ("tests/avatar/export/test_ply.py", "tests/avatar/export/test_mesh.py"),
    ],
)
def test_a_change_does_not_reach_what_is_apart_from_it(changed: str, test: str) -> None:
    assert test in EVERY and test not in reached([changed])


@pytest.mark.parametrize("path", ["pyproject.toml", "Makefile", "requirements/packages.lock", "avatar/types.py"])
def test_what_everything_depends_on_reaches_every_test(path: str) -> None:
    assert reached([path]) == EVERY


def test_the_tests_of_the_repository_always_run() -> None:
    assert [path for path in EVERY if path.count("/") == 1] == reached([])


def test_an_unknown_revision_is_a_usage_error() -> None:
    with pytest.raises(pytest.UsageError, match=r"--changed no-such-branch: .*; give a branch or a commit of this"):
        changed_since("no-such-branch")
