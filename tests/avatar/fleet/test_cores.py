"""Cores of this machine: each is taken by one process, until that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from avatar.errors import HeadsplatError
from avatar.fleet.cores import shared_folder

ROOT = Path(__file__).parents[3]
#: Limits itself to the cores of its arguments, takes some, prints them and what it may run on, and waits.
CODE = """
import os, sys
from avatar.fleet.cores import take_cores
number, *allowed = map(int, sys.argv[1:])
os.sched_setaffinity(0, allowed)
taken = take_cores(number)
print(*sorted(taken), "|", *sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""
needs_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores and affinity"
)


@contextmanager
def taking(number: int, allowed: list[int], folder: Path) -> Iterator[tuple[list[int], list[int]]]:
    """The cores that another process has taken, and those that it may run on."""
    command = [sys.executable, "-c", CODE, str(number), *map(str, allowed)]
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            assert started.stdout is not None
            taken, runs_on = started.stdout.readline().split("|")
            yield [int(core) for core in taken.split()], [int(core) for core in runs_on.split()]
        finally:
            started.kill()  # releases without any cleaning up


@pytest.fixture
def two() -> list[int]:
    return sorted(os.sched_getaffinity(0))[:2]


@needs_two_cores
def test_processes_take_different_cores_and_release_them_when_they_end(two: list[int], tmp_path: Path) -> None:
    with taking(1, two, tmp_path) as one:
        assert one == ([two[0]], [two[0]])
        with taking(1, two, tmp_path) as other:
            assert other == ([two[1]], [two[1]])
            with taking(1, two, tmp_path) as third:
                assert third == ([], two)  # runs on all
        with taking(1, two, tmp_path) as again:
            assert again == ([two[1]], [two[1]])


@needs_two_cores
def test_fewer_free_cores_than_needed_are_left_to_others(two: list[int], tmp_path: Path) -> None:
    with taking(1, two, tmp_path), taking(2, two, tmp_path) as many:
        assert many == ([], two)
        with taking(1, two, tmp_path) as one:
            assert one == ([two[1]], [two[1]])
    with taking(2, two, tmp_path) as many:
        assert many == (two, two)


def test_the_folder_of_locks_is_only_for_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = shared_folder()
    assert folder == shared_folder() and folder.parent == tmp_path
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="POSIX users")
def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = shared_folder()
    sentence = f"{folder}: belongs to another user; delete it, or set TMPDIR to a folder of your own"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HeadsplatError) as caught:
        shared_folder()
    assert str(caught.value) == sentence
    folder.unlink()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    other = shared_folder
    (tmp_path / "headsplat-fleet-12345").mkdir()  # of the real user
    with pytest.raises(HeadsplatError, match="headsplat-fleet-12345: belongs to another user"):
        other()
