"""`jobs.live` and `jobs.view` as calls of a program: what ends them, what they tell, and what they return."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avatar import jobs
from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.jobs.live_sources import SourceOptions
from avatar.jobs.live_web import PageOpened, live_page
from avatar.jobs.live_window import LiveOptions
from avatar.jobs.notices import Message, Notice
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from capture.live.protocols import udp_sender, udp_source
from tests.capture.live.test_senders import random_sample
from viewer.gui import display


class Endless:
    """A window that renders until it is closed."""

    def __init__(self, session: Any, options: Any) -> None:
        self.session = session
        self.seconds = options.seconds

    def run(self) -> None:
        end = time.monotonic() + (self.seconds or 60)
        while not self.session.closing and time.monotonic() < end:
            self.session.advance()
            time.sleep(0.01)


@pytest.fixture
def file(tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An avatar's file, with a window that needs no display."""
    monkeypatch.setattr(display, "check_display", lambda: None)
    window = SimpleNamespace(Window=Endless, WindowOptions=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "viewer.gui.window", window)
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    return tmp_path / "me.avatar"


def vmc() -> str:
    """VMC's protocol at a free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"vmc:{probe.getsockname()[1]}"


def test_an_event_closes_the_window_and_the_recording_is_complete(file: Path, tmp_path: Path) -> None:
    video = tmp_path / "take.mp4"
    notices: list[Notice] = []
    stop = threading.Event()

    def stop_after_an_image() -> None:
        partial = tmp_path / "take.partial.mp4"
        while not (partial.exists() and partial.stat().st_size) and not stop.wait(0.01):
            pass
        stop.set()

    threading.Thread(target=stop_after_an_image, daemon=True).start()
    run = jobs.view(file, options=LiveOptions(size="64x64", record=(video,)), notify=notices.append, stop=stop)
    assert run.stopped and run.failed == 0
    assert video.exists() and run.messages[0].startswith(f"{video}: video, ")
    assert [str(each) for each in notices] == ["me.avatar: opening the window ...", "stopped by the caller"]


def test_the_window_closes_after_the_seconds_and_the_statistics_are_written(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = LiveOptions(size="64", seconds=0.2, json=tmp_path / "run.json")
    run = jobs.live(str(file), SourceOptions(listen=vmc()), options)
    assert not run.stopped and run.report.to_text().startswith("me.avatar, ")
    assert json.loads((tmp_path / "run.json").read_text())["driven_by"] == "VMC"
    assert capsys.readouterr() == ("", "")


def test_the_face_of_the_source_is_sent_and_the_run_says_how_often(file: Path) -> None:
    phone = vmc()
    receiver = udp_source(vmc())
    receiver.start()
    sender = udp_sender(phone)
    ended = threading.Event()
    received: list[Sample] = []

    def send() -> None:
        while not ended.wait(0.01):
            sender.send(random_sample(0))
            if (sample := receiver.latest()) is not None:
                received.append(sample)
                ended.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        options = LiveOptions(size="64", seconds=60, send=(f"vmc:127.0.0.1:{receiver.port}",))
        run = jobs.live(file, SourceOptions(listen=phone), options, stop=ended)
    finally:
        ended.set()
        thread.join()
        receiver.stop()
        sender.close()
    np.testing.assert_allclose(received[0].weights, random_sample(0).weights, atol=1e-6)
    assert run.messages[0].startswith(f"VMC to 127.0.0.1:{receiver.port}: ")


def test_two_sources_are_refused(file: Path) -> None:
    with pytest.raises(HeadsplatError, match="--listen excludes --webcam and --microphone"):
        jobs.live(file, SourceOptions(listen="vmc", microphone="default"))


def test_an_event_ends_the_page_and_its_address_is_sent(file: Path) -> None:
    pytest.importorskip("websockets", reason="needs websockets (pip install websockets)")
    stop = threading.Event()
    notices: list[Notice] = []

    def notify(notice: Notice) -> None:
        notices.append(notice)
        if isinstance(notice, PageOpened):
            stop.set()

    run = live_page(file, SourceOptions(listen=vmc()), notify=notify, stop=stop)
    opened, last = notices
    assert isinstance(opened, PageOpened) and opened.text.endswith(f"driven by VMC: open {opened.address}")
    assert last == Message("stopped by the caller")
    assert run.stopped and run.report.to_json()["samples"] == 0
