"""An output never replaces an input, a device, part of a capture, or another output of the same command."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar.data.capture_folder import METADATA_FILE
from avatar.errors import HeadsplatError
from tests.support.tiny import tiny_capture

Refused = Callable[..., str]


def null_device(folder: Path) -> Path:
    """A null device that a failing test may replace; whoever may not make one may not replace the system's either."""
    device = folder / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.stat(os.devnull).st_rdev)
    except PermissionError:
        return Path(os.devnull)
    return device


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--json", "me.avatar"], "me.avatar: is also an input of this command; choose another name with --json"),
        (["--json", "c/capture.json"], "belongs to the capture"),
        (["--markdown", "c/track.npz"], "belongs to the capture"),
        (["--save-images", "c"], "is also an input of this command; choose another name with --save-images"),
        (["--save-images", "c/frames"], "belongs to the capture"),
        (["--save-images", "."], "does not name an output"),
        (["--json", "other.avatar"], "a file of another kind; give a name in .json with --json"),
        (["--markdown", "new.json"], "a file of another kind; give a name in .md or .markdown with --markdown"),
        (["--json", "a.json", "--save-images", "a.json"], "is given twice, with --json and --save-images"),
        (["--json", "images/a.json", "--save-images", "images"], "is inside another output"),
        (["--json", "null.json"], "is a device, a pipe or a socket, not a file; choose another name with --json"),
        (["--markdown", "pipe.md"], "is a device, a pipe or a socket"),
        (["--json", "link.json"], "is also an input of this command"),
        (["--json", "linked/me.avatar"], "is also an input of this command"),
    ],
)
def test_eval_refuses(
    own: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(own)
    shutil.copy("me.avatar", "other.avatar")
    os.mkfifo("pipe.md")
    device = null_device(own)
    os.symlink(device, "null.json")
    os.symlink("me.avatar", "link.json")
    os.symlink(".", "linked")
    before = contents(own)
    assert sentence in refused("eval", "me.avatar", "c", *arguments, "--overwrite")
    assert contents(own) == before
    assert stat.S_ISCHR(os.stat(device).st_mode)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("render me.avatar --motion c -o c/overlay.mp4", "belongs to the capture"),
        ("render me.avatar --motion frames -o frames", "is also an input"),
        ("render me.avatar --motion flame/flame_param -o flame", "contains the input"),
        ("export me.avatar -o me.avatar", "cannot write .avatar"),
        ("export me.avatar -o flame --motion flame", "is also an input"),
        ("train c -o me.avatar --config me.toml", "me.toml: is also an input of this command"),
        ("train c -o c/frames/me.avatar", "belongs to the capture"),
        ("capture c/overlay.mp4 -o c", "contains the input"),
        ("motion convert take.json -o take.json", "is also an input of this command"),
        ("motion convert take.json -o new.avatar", "a file of another kind"),
        ("join a.mp4 b.mp4 -o a.mp4", "is also an input of this command"),
        ("join a.mp4 -o me.avatar", "a file of another kind"),
        ("join frames -o frames", "is also an input of this command"),
        ("convert c -o c", "is also an input of this command"),
        ("bench -o x.json y.md x.json", "is given twice"),
        ("bench --avatar me.avatar -o me.avatar", "cannot write .avatar"),
        ("head sheets head.npz -o head.npz", "is also an input"),
        ("synth -o c/mattes", "belongs to the capture"),
        ("demo -o c/mattes", "belongs to the capture"),
    ],
)
def test_every_command_refuses(
    own: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, command: str, sentence: str
) -> None:
    monkeypatch.chdir(own)
    for name in ("me.toml", "take.json", "a.mp4", "b.mp4", "head.npz", "c/overlay.mp4"):
        Path(name).touch()
    for name in ("flame/flame_param", "frames"):
        Path(name).mkdir(parents=True)
    before = contents(own)
    assert sentence in refused(*command.split(), "--overwrite")
    assert contents(own) == before


def test_the_window_refuses_to_record_over_what_it_shows(
    own: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    from viewer.gui import display

    monkeypatch.setattr(display, "check_display", lambda: None)
    (own / "take.csv").write_text("a motion")
    motion = ("--motion", own / "take.csv")
    text = refused("view", own / "me.avatar", *motion, "--record", own / "take.csv", "--overwrite")
    assert text.endswith("take.csv: is also an input of this command; choose another name with --record")
    text = refused("live", own / "me.avatar", "--json", own / "me.avatar", "--overwrite")
    assert "is also an input" in text
    assert (own / "take.csv").read_text() == "a motion"


def test_a_recording_is_no_input_where_it_is_resumed_inside_its_source(tmp_path: Path) -> None:
    from avatar.jobs.outputs import Output, reserved

    (tmp_path / "cameras" / "me.capture").mkdir(parents=True)
    inside = Output(tmp_path / "cameras" / "me.capture", folder=True, in_place=True)
    with reserved([inside], [tmp_path / "cameras"]):
        pass


def test_an_avatar_inside_its_capture_may_be_trained_again(tmp_path: Path) -> None:
    from avatar.jobs.outputs import Output, reserved

    capture = tiny_capture(tmp_path / "c", frames=2)
    (capture.root / "me.avatar").touch()
    with reserved([Output(capture.root / "me.avatar")], [capture.root], overwrite=True):
        pass
    with (
        pytest.raises(HeadsplatError, match="belongs to the capture"),
        reserved([Output(capture.root / METADATA_FILE)], overwrite=True),
    ):
        pass
