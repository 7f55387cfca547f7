"""The commands that open a window, with a window class that opens none."""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avatar import cli
from avatar.errors import HeadsplatError
from avatar.jobs.live_sources import LiveSources, SourceOptions
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from capture.live.own_face import OwnFaceOptions
from tests.support.pretended import Device
from viewer.gui import display


@pytest.mark.parametrize(
    ("listen", "key"), [("VMC", "vmc"), (" LiveLink:11111", "livelink"), ("ifacialmocap", "ifacialmocap")]
)
def test_protocol_names_ignore_case_and_spaces(listen: str, key: str) -> None:
    sources = LiveSources(SourceOptions(listen=listen), host=None, phone=None)
    assert sources.first == key
    assert key in [choice.key for choice in sources.choices()]


def test_a_phone_is_for_the_protocol_with_a_greeting_and_others_can_be_selected_too(tiny_avatar: Avatar) -> None:
    sources = LiveSources(SourceOptions(), host=None, phone="mine")
    made = {choice.key: choice.make for choice in sources.choices()}
    for key in ("livelink", "vmc"):
        made[key](tiny_avatar)
    with pytest.raises(HeadsplatError, match="--phone mine: expected an address"):
        made["ifacialmocap"](tiny_avatar)


def test_the_avatar_tracks_its_own_person_unless_another_one_was_opened(tiny_avatar: Avatar, tmp_path: Path) -> None:
    other = copy.deepcopy(tiny_avatar)
    other.neutral += 0.01
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)

    def own_face(avatar: Avatar, **given: Any) -> object:
        sources = LiveSources(SourceOptions(webcam="0", **given), host=None, phone=None, avatar=path)
        made = next(choice.make for choice in sources.choices() if choice.key == "webcam")
        return made(avatar).source.own

    assert own_face(tiny_avatar) == OwnFaceOptions(path)
    assert own_face(tiny_avatar, self_tracking="on") == OwnFaceOptions(path, always=True)
    assert own_face(tiny_avatar, self_tracking="off") is None
    assert own_face(other) is None


class Stopped:
    """A window that renders a few images and is stopped by Ctrl-C."""

    def __init__(self, session: Any, options: Any) -> None:
        self.session = session

    def run(self) -> None:
        for _ in range(3):
            self.session.advance()
        raise KeyboardInterrupt


def test_ctrl_c_writes_files_and_statistics_like_closing_the_window(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    options = SimpleNamespace(Window=Stopped, WindowOptions=lambda **_: None)
    monkeypatch.setitem(sys.modules, "viewer.gui.window", options)
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    video, statistics = tmp_path / "video.mp4", tmp_path / "run.json"
    words = ["view", str(tmp_path / "me.avatar"), "--size", "64x64", "--record", str(video), "--json", str(statistics)]
    assert cli.main(words) == 130
    assert video.exists() and json.loads(statistics.read_text())["pictures"] == 1
    output = capsys.readouterr()
    assert output.out.startswith("me.avatar, ")
    assert "stopped by Ctrl-C" in output.err and f"{video}: video, 1 frame" in output.err


class Ended(Stopped):
    """A window whose process gets a signal to terminate."""

    def run(self) -> None:
        self.session.advance()
        os.kill(os.getpid(), signal.SIGTERM)
        assert self.session.closing


def test_a_process_that_is_terminated_completes_its_recording(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    monkeypatch.setitem(sys.modules, "viewer.gui.window", SimpleNamespace(Window=Ended, WindowOptions=lambda **_: None))
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    video = tmp_path / "video.mp4"
    assert cli.main(["view", str(tmp_path / "me.avatar"), "--size", "64x64", "--record", str(video)]) == 143
    assert video.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("command", ["view", "live"])
def test_a_device_that_is_not_there_is_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    assert cli.main([command, str(tmp_path / "me.avatar"), "--device", "cuda"]) == 1
    assert capsys.readouterr().err == "headsplat: --device cuda: no CUDA GPU: torch finds no CUDA device.\n"


def test_the_window_renders_on_the_device_that_was_asked_for(
    gpu: Device, tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    monkeypatch.setitem(sys.modules, "viewer.gui.window", SimpleNamespace(Window=Ended, WindowOptions=lambda **_: None))
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    assert cli.main(["view", str(tmp_path / "me.avatar"), "--size", "32x32", "--device", "cuda:0"]) == 143
    assert gpu.uploads.total() > 0


def test_a_negative_time_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    assert cli.main(["view", str(tmp_path / "me.avatar"), "--seconds", "-3"]) == 1
    assert "--seconds: expected more than 0 and at most 31536000, got -3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--record", "take.csv"], "--record belongs to the window; leave it out with --web"),
        (["--size", "256"], "--size belongs to the window; leave it out with --web"),
        (["--background", "red"], "--background belongs to the window; leave it out with --web"),
        (["--virtual-camera"], "--virtual-camera belongs to the window; leave it out with --web"),
        (["--device", "cpu"], "--device belongs to the window; leave it out with --web"),
        (["--host", ""], "--host '': expected an IPv4 address of this machine like"),
        (["--webcam", "gone.mp4"], "--webcam gone.mp4: no such file"),
    ],
)
def test_options_that_a_page_does_not_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["live", "me.avatar", "--web", *words]) == 1
    assert message in capsys.readouterr().err
