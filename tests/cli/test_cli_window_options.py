"""What the commands that open a window do around it, with a window that nobody sees."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatar import cli
from avatar.cli.window import Sources
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from viewer.gui import display


@pytest.mark.parametrize(
    ("spoken", "key"), [("VMC", "vmc"), (" LiveLink:11111", "livelink"), ("ifacialmocap", "ifacialmocap")]
)
def test_a_protocol_is_found_however_it_is_written(spoken: str, key: str) -> None:
    sources = Sources(None, spoken, loop=False, host=None, phone=None)
    assert sources.first == key
    assert key in [choice.key for choice in sources.choices()]


def test_a_phone_is_for_the_protocol_that_asks_and_the_others_can_be_chosen_too(tiny_avatar: Avatar) -> None:
    sources = Sources(None, None, loop=False, host=None, phone="mine")
    made = {choice.key: choice.make for choice in sources.choices()}
    for key in ("livelink", "vmc"):
        made[key](tiny_avatar)
    with pytest.raises(HeadsplatError, match="--phone mine: expected an address"):
        made["ifacialmocap"](tiny_avatar)


class Stopped:
    """A window that draws a few pictures and is stopped by Ctrl-C."""

    def __init__(self, session: Any, options: Any) -> None:
        self.session = session

    def run(self) -> None:
        for _ in range(3):
            self.session.advance()
        raise KeyboardInterrupt


def test_ctrl_c_writes_and_tells_what_closing_the_window_does(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    options = SimpleNamespace(Window=Stopped, WindowOptions=lambda **_: None)
    monkeypatch.setitem(sys.modules, "viewer.gui.window", options)
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    film, figures = tmp_path / "film.mp4", tmp_path / "run.json"
    words = ["view", str(tmp_path / "me.avatar"), "--size", "64x64", "--record", str(film), "--json", str(figures)]
    assert cli.main(words) == 130
    assert film.exists() and json.loads(figures.read_text())["pictures"] == 1
    told = capsys.readouterr()
    assert told.out.startswith("me.avatar, ")
    assert "stopped by Ctrl-C" in told.err and f"{film}: 1 frame" in told.err


class Ended(Stopped):
    """A window whose process is told to end."""

    def run(self) -> None:
        self.session.advance()
        os.kill(os.getpid(), signal.SIGTERM)
        assert self.session.closing


def test_a_process_that_is_told_to_end_writes_what_it_recorded(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    monkeypatch.setitem(sys.modules, "viewer.gui.window", SimpleNamespace(Window=Ended, WindowOptions=lambda **_: None))
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    film = tmp_path / "film.mp4"
    assert cli.main(["view", str(tmp_path / "me.avatar"), "--size", "64x64", "--record", str(film)]) == 0
    assert film.exists()


def test_a_time_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "check_display", lambda: None)
    assert cli.main(["view", str(tmp_path / "me.avatar"), "--seconds", "-3"]) == 1
    assert "--seconds: -3 is no time to stay open" in capsys.readouterr().err
