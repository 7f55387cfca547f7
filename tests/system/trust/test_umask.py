"""Outputs get the permissions that the user's umask allows: files and folders, no more and no less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.common.files import atomic_folder, atomic_path
from avatar.jobs.outputs import Output, reserved
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.video import open_output
from capture.workspace import write_atomically

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture(params=[0o077, 0o027, 0o022, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask that is in effect during the test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path, umask: int) -> None:
    """Check all files and folders below `folder`."""
    entries = list(folder.rglob("*"))
    assert entries
    for path in entries:
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        assert path.stat().st_mode & 0o777 == expected, path


def test_files_and_folders(tmp_path: Path, umask: int) -> None:
    with atomic_path(tmp_path / "new" / "a.txt") as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o666 & ~umask  # before the contents are in it
        temporary.write_text("x")
    with atomic_folder(tmp_path / "new" / "frames") as folder:
        assert folder.stat().st_mode & 0o777 == 0o777 & ~umask
        (folder / "00000.png").touch()
    write_atomically(tmp_path / "capture.json", b"{}")
    modes(tmp_path, umask)


def test_videos_images_and_locks(tmp_path: Path, umask: int) -> None:
    with reserved([Output(tmp_path / "a.mp4"), Output(tmp_path / "frames", folder=True)]):
        for name in ("a.mp4", "frames"):
            with open_output(tmp_path / name, 25) as writer:
                writer.add(np.zeros((32, 32, 3), np.uint8))
        modes(tmp_path, umask)


def test_an_avatar_whose_writer_makes_private_files(me: Path, tmp_path: Path, umask: int) -> None:
    save_avatar(tmp_path / "a.avatar", load_avatar(me))
    modes(tmp_path, umask)
