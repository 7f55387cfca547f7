"""SIGTERM and SIGHUP end train, render, live, view and export as Ctrl-C does, and leave no worker process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avatar import cli
from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.training.trainer import Trainer
from avatar.video import Writer
from viewer.gui import display

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs the signals of POSIX")
ROOT = Path(__file__).parents[3]
QUICK = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
#: Exit code and name in messages.
ENDS = {signal.SIGINT: (130, "Ctrl-C"), signal.SIGTERM: (143, "SIGTERM"), signal.SIGHUP: (129, "SIGHUP")}

#: Starts a worker process, sends SIGHUP to it and waits for another sample.
TRACKING = """
import os, signal, time
from capture.live.camera import FileFeed
from capture.live.identity import LearnOptions
from capture.live import worker_process
from tests.capture.video.fake_video import FakeVideo, fake_models
worker_process._START_TIMEOUT = 300.0  # for a busy machine
options = LearnOptions(seconds=0.5, key_frames=5)
face = worker_process.FaceWorker(FileFeed(FakeVideo(60), repeat=True), fake_models(), options)
face.start()
print(face._process.pid, flush=True)
for _ in range(2):
    while face.latest() is None:
        time.sleep(0.01)
        assert not face.stats()["ended"], face.stats()
    os.kill(face._process.pid, signal.SIGHUP)
    time.sleep(0.2)
print("tracking", flush=True)
time.sleep(100)
"""


@pytest.fixture(params=ENDS, ids=lambda number: number.name)
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """The signal of the test, which this process heeds: `nohup` lets a suite start with SIGHUP ignored."""
    heeded = signal.default_int_handler if request.param == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(request.param, heeded)
    yield request.param
    signal.signal(request.param, before)


@pytest.fixture
def me(tiny_avatar: Avatar, tmp_path: Path) -> Path:
    save_avatar(tmp_path / "me.avatar", tiny_avatar)
    return tmp_path / "me.avatar"


def send(number: signal.Signals) -> None:
    """Send a signal to this process, SIGTERM and SIGHUP twice as `timeout` and a closed terminal do."""
    for _ in range(1 if number == signal.SIGINT else 2):
        signal.raise_signal(number)


def test_a_training_saves_its_avatar_and_checkpoint(
    number: signal.Signals,
    tiny: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = Trainer.step

    def signaled(trainer: Trainer, fraction: float) -> float:
        if trainer.steps_done == 5:
            send(number)
        return step(trainer, fraction)

    monkeypatch.setattr(Trainer, "step", signaled)
    (tmp_path / "quick.toml").write_text(QUICK)
    out = tmp_path / "me.avatar"
    code, name = ENDS[number]
    assert cli.main(["train", str(tiny.root), "-o", str(out), "--config", str(tmp_path / "quick.toml")]) == code
    assert load_avatar(out).provenance["steps"] == 6 and (tmp_path / "me.checkpoint").exists()
    assert f"stopped by {name}; the present avatar is in" in capsys.readouterr().err


def test_a_rendering_keeps_its_frames(
    number: signal.Signals,
    tiny: Capture,
    me: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add = Writer.add

    def signaled(writer: Writer, image: np.ndarray, time: float | None = None) -> None:
        add(writer, image, time)
        if writer.count == 4:
            send(number)

    monkeypatch.setattr(Writer, "add", signaled)
    out = tmp_path / "own.mp4"
    code, name = ENDS[number]
    assert cli.main(["render", str(me), "--motion", str(tiny.root), "-o", str(out), "--size", "32x32"]) == code
    assert f"stopped by {name}: {out} contains 4 of" in capsys.readouterr().err
    assert out.stat().st_size > 0


def test_an_export_leaves_nothing_incomplete(
    number: signal.Signals, tiny: Capture, me: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatar.export import ply

    encode, encoded = ply.ply_bytes, []

    def signaled(*arguments: Any) -> bytes:
        encoded.append(encode(*arguments))
        if len(encoded) == 3:
            send(number)
        return encoded[-1]

    monkeypatch.setattr(ply, "ply_bytes", signaled)
    command = ["export", str(me), "--motion", str(tiny.root), "-o", str(tmp_path / "plys")]
    assert cli.main(command) == ENDS[number][0]
    assert len(encoded) == 3 and [path.name for path in tmp_path.iterdir()] == ["me.avatar"]


@pytest.mark.parametrize("command", ["view", "live"])
def test_a_window_is_closed_and_its_recording_completed(
    command: str,
    number: signal.Signals,
    me: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Window:
        def __init__(self, session: Any, options: Any) -> None:
            self.session = session

        def run(self) -> None:
            for _ in range(3):
                self.session.advance()
            send(number)
            assert self.session.closing

    monkeypatch.setattr(display, "check_display", lambda: None)
    monkeypatch.setitem(
        sys.modules, "viewer.gui.window", SimpleNamespace(Window=Window, WindowOptions=lambda **_: None)
    )
    video = tmp_path / "video.mp4"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    source = [] if command == "view" else ["--listen", f"vmc:{port}"]
    assert cli.main([command, str(me), "--size", "64x64", "--record", str(video), *source]) == ENDS[number][0]
    assert f"stopped by {ENDS[number][1]}" in capsys.readouterr().err
    assert video.exists()


def test_a_signal_that_the_caller_ignores_stays_ignored(
    number: signal.Signals, tiny: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if number == signal.SIGINT:
        pytest.skip("scripts ignore SIGINT for every background process; it still ends them")
    step = Trainer.step

    def signaled(trainer: Trainer, fraction: float) -> float:
        signal.raise_signal(number)
        return step(trainer, fraction)

    monkeypatch.setattr(Trainer, "step", signaled)
    (tmp_path / "quick.toml").write_text(QUICK)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        config = str(tmp_path / "quick.toml")
        assert cli.main(["train", str(tiny.root), "-o", str(tmp_path / "me.avatar"), "--config", config]) == 0
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_the_worker_process_ends_with_its_parent_only() -> None:
    command = [sys.executable, "-c", TRACKING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        try:
            worker = int(parent.stdout.readline())
            assert parent.stdout.readline() == "tracking\n"
        finally:
            parent.kill()
    ends = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < ends:
            os.kill(worker, 0)
            time.sleep(0.05)
        raise AssertionError("the worker process remains")
