"""Outputs appear whole or not at all, and a disk that refuses gives a sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from avatar.common.files import atomic_folder, atomic_path, check_output, check_replaceable_folder, os_error_sentence
from avatar.errors import HeadsplatError


def failing(code: int) -> Any:
    def fail(*args: Any, **options: Any) -> None:
        raise OSError(code, os.strerror(code), str(args[0]) if args else None)

    return fail


def test_finished_file_is_in_place_and_nothing_else_is(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "deep" / "a.txt") as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"


@pytest.mark.skipif(os.name == "nt", reason="POSIX processes")
def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    orphan = tmp_path / f".a.{dead.pid}.partial.txt"
    kept = [
        tmp_path / f".a.{os.getppid()}.partial.txt",  # being written
        tmp_path / f".a.b.{dead.pid}.partial.txt",  # of another output
        tmp_path / f"a.{dead.pid}.partial.txt",  # of nobody's
    ]
    for path in (orphan, *kept):
        path.touch()
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert not orphan.exists() and all(path.exists() for path in kept)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_file_gets_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    with atomic_path(tmp_path / "a") as temporary:
        temporary.chmod(0o600)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_failure_keeps_the_old_file_and_leaves_no_part(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk is full; free some space or write somewhere else with -o"),
        (errno.EACCES, "permission denied; choose a place you may write to with -o"),
        (errno.EROFS, "the file system is read-only; choose another place with -o"),
    ],
)
def test_refusing_disk_gives_a_sentence_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    path = tmp_path / "a.txt"
    monkeypatch.setattr(os, "replace", failing(code))
    with pytest.raises(HeadsplatError) as caught, atomic_path(path) as temporary:
        temporary.write_text("x")
    assert str(caught.value) == f"{path}: {sentence}"
    assert list(tmp_path.iterdir()) == []


def test_other_system_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), atomic_path(tmp_path / "a"):
        raise IsADirectoryError(errno.EISDIR, "is a directory")


def test_folder_replaces_the_old_one_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.mkdir()
    (path / "old.png").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(path) as folder:
        (folder / "new.png").write_text("new")
        raise RuntimeError("broken")
    assert [entry.name for entry in tmp_path.rglob("*.png")] == ["old.png"]
    with atomic_folder(path) as folder:
        (folder / "new.png").write_text("new")
    assert [entry.name for entry in tmp_path.rglob("*.png")] == ["new.png"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames"]


def test_full_disk_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.mkdir()
    (path / "old.png").write_text("old")
    with pytest.raises(HeadsplatError, match="the disk is full"), atomic_folder(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (path / "old.png").read_text() == "old"


def test_a_failing_swap_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "frames"
    path.mkdir()
    (path / "old.png").write_text("old")
    replace = os.replace

    def refuse_new(source: Path, target: Path) -> None:
        if source.suffix == ".partial":
            raise OSError(errno.EACCES, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_new)
    with pytest.raises(HeadsplatError, match="frames: permission denied"), atomic_folder(path) as folder:
        (folder / "new.png").write_text("new")
    assert [entry.name for entry in tmp_path.rglob("*")] == ["frames", "old.png"]


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    path.touch()
    with pytest.raises(HeadsplatError, match=r"a\.avatar: exists already; give --overwrite to replace it"):
        check_output(path, overwrite=False)
    assert check_output(path, overwrite=True) == path


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_never_gives_way_to_a_file(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "me.avatar").mkdir()
    with pytest.raises(HeadsplatError, match=r"me\.avatar: is a folder, and the output is a file; choose another name"):
        check_output(tmp_path / "me.avatar", overwrite)


def test_a_folder_output_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "take.2"
    path.mkdir()
    assert check_output(path, overwrite=True, folder=True) == path


def test_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match="file: is a file, not a folder; choose another place with -o"):
        check_output(tmp_path / "file" / "a.avatar", overwrite=False)


def test_folder_with_foreign_files_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    with atomic_folder(path) as folder:
        (folder / "00001.png").touch()
    check_replaceable_folder(path)
    (path / "thesis.doc").touch()
    with pytest.raises(HeadsplatError, match=r"contains other files too \(thesis.doc\), so it is not replaced"):
        check_replaceable_folder(path)


def test_sentence_names_the_file_the_system_refused() -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "me.mp4")
    assert os_error_sentence(error) == "me.mp4: No such file or directory"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that refuses files, to root as well")
def test_a_folder_that_refuses_files_is_told_before_the_work_and_by_the_outputs_name() -> None:
    path = Path("/proc/a.csv")
    sentence = r"^/proc/a\.csv: cannot be written \(.*\); choose another place with -o$"
    with pytest.raises(HeadsplatError, match=sentence):
        check_output(path, overwrite=False)
    with pytest.raises(HeadsplatError, match=sentence), atomic_path(path):
        pass
