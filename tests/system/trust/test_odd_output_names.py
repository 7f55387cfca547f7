"""`-o .`, `-o ""`, `-o /` and names that a file system refuses give a sentence, for every command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar.data.capture_folder import Capture

Refused = Callable[..., str]
COMMANDS = [
    "capture c.mp4 -o",
    "train c -o",
    "render me.avatar --motion c -o",
    "export me.avatar --motion c -o",
    "motion convert c -o",
    "join part -o",
    "convert c -o",
    "head sheets -o",
    "synth -o",
    "demo -o",
    "eval me.avatar c --json",
    "eval me.avatar c --markdown",
    "eval me.avatar c --save-images",
    "view me.avatar --json",
    "view me.avatar --record",
    "bench -o",
]


@pytest.fixture
def own(me: Path, tiny: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with me.avatar, the capture `c`, c.mp4 and a folder of images `part`."""
    from viewer.gui import display

    monkeypatch.setattr(display, "check_display", lambda: None)
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(me, folder / "me.avatar")
    (folder / "c").symlink_to(tiny.root, target_is_directory=True)
    (folder / "c.mp4").touch()
    (folder / "part").mkdir()
    (folder / "part" / "00000.png").touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_without_a_name_is_refused(own: Path, refused: Refused, command: str) -> None:
    before = sorted(os.listdir())
    for out in ("", ".", "..", "/", "c/.."):
        for more in ((), ("--overwrite",)):
            sentence = refused(*command.split(), out, *more)
            assert any(
                words in sentence for words in ("does not name an output", "give names in", "use such a name")
            ), out
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_is_too_long_is_refused_before_the_work(own: Path, refused: Refused, command: str) -> None:
    before = sorted(os.listdir())
    suffixes = {"train": ".avatar", "render": ".mp4", "export": ".glb", "motion": ".csv", "bench": ".md"}
    suffix = suffixes.get(command.split()[0], "")
    suffix = {"--json": ".json", "--markdown": ".md", "--record": ".csv"}.get(command.split()[-1], suffix)
    for length in (250, 300):  # 250 bytes are allowed by themselves, but leave no place for a temporary name
        assert "long" in refused(*command.split(), "a" * (length - len(suffix)) + suffix).lower()
    assert sorted(os.listdir()) == before


def test_a_loop_of_links_is_refused(own: Path, refused: Refused) -> None:
    Path("loop.json").symlink_to("loop.json")
    Path("loop").symlink_to("loop")
    for arguments in (("--json", "loop.json"), ("--save-images", "loop"), ("--save-images", "loop/images")):
        refused("eval", "me.avatar", "c", *arguments)
        refused("eval", "me.avatar", "c", "--size", "1", *arguments, "--overwrite")  # whichever is found first
    assert Path("loop.json").is_symlink() and Path("loop").is_symlink()
