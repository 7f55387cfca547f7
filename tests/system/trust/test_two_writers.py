"""Two writers to one output never mix or lose anything, and what a killed one left is cleaned up by the next."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import avatar.jobs.outputs
from avatar import cli
from avatar.common.files import atomic_folder, atomic_path, check_output
from avatar.common.temporaries import create_file, old_path, remove_orphans, temporary_path
from avatar.errors import HeadsplatError
from avatar.jobs.outputs import Output, reserved
from avatar.video import open_output
from capture.workspace import write_atomically

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX processes and locks")
#: Two renames of a folder `out` with a kill after one of them.
KILLED = """
import os, sys
from pathlib import Path
from avatar.common import files
replace, left = os.replace, int(sys.argv[2])
def count(source, target):
    global left
    if left == 0:
        os.kill(os.getpid(), 9)
    left -= 1
    replace(source, target)
os.replace = count
if left == 2:  # while the old folder is deleted
    files.shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), 9)
with files.atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "new.png").write_text("new")
"""


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_writers_of_one_file_have_different_temporaries(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_path(path) as first, atomic_path(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert names(tmp_path) == ["a.txt"] and path.read_text() == "first"  # the last to finish


@pytest.mark.parametrize("name", ["a.mp4", "frames"])
def test_two_threads_write_one_output_whole(tmp_path: Path, name: str) -> None:
    import numpy as np

    failures: list[BaseException] = []

    def write(level: int) -> None:
        try:
            with open_output(tmp_path / name, 25) as writer:
                for _ in range(5):
                    writer.add(np.full((32, 32, 3), level, np.uint8))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(level,)) for level in (50, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [failure for failure in failures if not isinstance(failure, HeadsplatError)] and len(failures) < 2
    assert names(tmp_path) == [name]


def test_a_temporary_never_follows_a_link_and_never_takes_an_existing_name(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    for name in ("link", "file"):
        temporary = tmp_path / name
        temporary.symlink_to("victim") if name == "link" else temporary.touch()
        with pytest.raises(FileExistsError):
            create_file(temporary)
    assert (tmp_path / "victim").read_text() == "precious"


def test_temporaries_of_one_output_are_never_equal(tmp_path: Path) -> None:
    assert len({temporary_path(tmp_path / "a.mp4") for _ in range(1000)}) == 1000


def test_the_second_command_for_one_output_is_refused_until_the_first_ends(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "link").symlink_to(".", target_is_directory=True)
    with reserved([Output(tmp_path / "out", folder=True)]):
        for out in (tmp_path / "out", tmp_path / "link" / "out"):
            sentence = refused("synth", "--frames", "2", "--size", "96x128", "-o", out)
            assert sentence.endswith(
                "another headsplat command is writing it; wait until it ends or choose another name with -o"
            )
    assert names(tmp_path) == ["link"]
    with reserved([Output(tmp_path / "out", folder=True)]):
        pass


def test_an_output_that_appears_while_another_command_ends_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def lock_after_the_first_command(path: Path) -> Iterator[None]:
        path.write_text("of the first command")
        yield

    monkeypatch.setattr(avatar.jobs.outputs, "locked", lock_after_the_first_command)
    with pytest.raises(HeadsplatError, match=r"a\.json: exists already"), reserved([Output(tmp_path / "a.json")]):
        pass


def test_the_lock_of_a_killed_command_refuses_nobody(tmp_path: Path) -> None:
    (tmp_path / ".a.json.lock").touch()
    with reserved([Output(tmp_path / "a.json")]):
        pass
    assert names(tmp_path) == []


def test_a_lock_is_held_by_a_process_and_ends_with_it(tmp_path: Path) -> None:
    code = "import sys, time, pathlib; from avatar.common.locks import locked\n"
    code += "with locked(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.json")], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline()
        with pytest.raises(HeadsplatError, match="another headsplat command"), reserved([Output(tmp_path / "a.json")]):
            pass
    finally:
        holder.kill()
        holder.wait()
    with reserved([Output(tmp_path / "a.json")]):
        pass


@pytest.mark.parametrize("folder", [False, True])
def test_temporaries_of_killed_writers_are_removed_and_those_of_others_stay(
    tmp_path: Path, dead: int, folder: bool
) -> None:
    path = tmp_path / ("frames" if folder else "a.txt")
    here, token = temporary_path(path).name.split("-")[1], "0" * 8
    kept = [
        path.with_name(f".{path.stem}.{os.getpid()}-{here}-{token}.partial{path.suffix}"),
        path.with_name(f".{path.stem}.{dead}-01234567-{token}.partial{path.suffix}"),  # of another machine, now
    ]
    left = [
        path.with_name(f".{path.stem}.{dead}-{here}-{token}.partial{path.suffix}"),
        path.with_name(f".{path.stem}.{dead}-89abcdef-{token}.partial{path.suffix}"),  # of another machine, long ago
        path.with_name(f".{path.stem}.{dead}.partial{path.suffix}"),  # of version 0.2
    ]
    for entry in (*kept, *left):
        entry.mkdir() if folder else entry.touch()
    weeks_ago = time.time() - 30 * 24 * 3600
    os.utime(left[1], (weeks_ago, weeks_ago))
    check_output(path, overwrite=False, folder=folder)
    assert names(tmp_path) == sorted(entry.name for entry in kept)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_replacement_that_was_killed_keeps_or_finishes(tmp_path: Path, renames: int) -> None:
    path = tmp_path / "out"
    with atomic_folder(path) as folder:
        (folder / "old.png").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), str(renames)], check=False)
    assert killed.returncode == -9
    check_output(path, overwrite=True, folder=True)
    assert names(tmp_path) == ["out"]
    assert names(path) == [".headsplat", "old.png" if renames == 0 else "new.png"]


def test_the_old_folder_comes_back_where_the_new_one_is_gone(tmp_path: Path, dead: int) -> None:
    path = tmp_path / "out"
    new = Path(re.sub(r"\.\d+-", f".{dead}-", str(temporary_path(path))))
    old_path(new).mkdir()
    (old_path(new) / "old.png").touch()
    with pytest.raises(HeadsplatError, match="exists already"):
        check_output(path, overwrite=False, folder=True)
    assert names(path) == ["old.png"] and names(tmp_path) == ["out"]


def test_nothing_is_deleted_where_another_folder_took_the_place(tmp_path: Path, dead: int) -> None:
    path = tmp_path / "out"
    new = Path(re.sub(r"\.\d+-", f".{dead}-", str(temporary_path(path))))
    for folder in (path, new, old_path(new)):
        folder.mkdir()
    remove_orphans(path)
    assert names(tmp_path) == sorted([path.name, new.name, old_path(new).name])


def test_an_interrupted_command_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import capture.synthetic.folder

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(capture.synthetic.folder, "write_synthetic", stop)
    assert cli.main(["synth", "-o", str(tmp_path / "out")]) == 130
    assert names(tmp_path) == []


def test_the_temporaries_of_a_capture_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "capture.json.tmp").symlink_to("victim")
    write_atomically(tmp_path / "capture.json", b"{}")
    assert (tmp_path / "victim").read_text() == "precious" and names(tmp_path) == ["capture.json", "victim"]
