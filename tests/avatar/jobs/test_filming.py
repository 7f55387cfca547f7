"""Filming as a job: an avatar at the end, nothing stored where the recording is quit, and what the terminal says."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar import cli
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.errors import HeadsplatError
from avatar.jobs.filming import Filmed, FilmOptions, film
from avatar.jobs.notices import Message, Notice
from avatar.jobs.training import TrainOptions, train
from avatar.model.avatar_header import read_header
from capture.film.folder import FilmFolder
from capture.film.snapshot import count_frames
from capture.live.camera import FileFeed, WebcamFeed
from capture.workspace import growing_film
from tests.capture.video.fake_video import FakeVideo, fake_models, fit_person_quickly

FAST = "steps = 12\ngaussians = 300\nbases = 3\nsize = 48\nrefine_at = 1.0\n"
#: Frames a second.
FPS = 10.0


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn person before each camera, and networks that know the truth."""
    feed = lambda source, **options: FileFeed(FakeVideo(110, fps=FPS), "all")  # noqa: E731
    monkeypatch.setattr("capture.live.open.camera_feed", feed)
    monkeypatch.setattr("capture.film.session.FaceModels", fake_models)
    monkeypatch.setattr("capture.pipeline.FaceModels", fake_models)
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)


@pytest.fixture
def options(tmp_path: Path) -> FilmOptions:
    """A short training without a window."""
    (tmp_path / "fast.toml").write_text(FAST)
    return FilmOptions(config=tmp_path / "fast.toml", window=False, consent="it is me")


def quit_after(out: Path, frames: int, options: FilmOptions) -> Filmed:
    """Quit the recording once so many frames are kept."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            film_folder = growing_film(out.with_suffix(".capture"))
            if film_folder is not None and len(list(film_folder.glob("*.png"))) >= frames:
                stop.set()
            time.sleep(0.01)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return film("0", out, options, pace="all", stop=stop)
    finally:
        stop.set()
        watcher.join()


def test_a_recording_becomes_an_avatar(tmp_path: Path, options: FilmOptions) -> None:
    said: list[Notice] = []
    filmed = film("0", tmp_path / "me.avatar", options, pace="all", notify=said.append)
    capture = Capture.load(tmp_path / "me.capture")
    assert (filmed.quit, filmed.frames) == (False, 110)
    assert filmed.kept == capture.metadata["source"]["frames"] > 16
    assert filmed.trained is not None and filmed.trained.finished
    assert read_header(tmp_path / "me.avatar")["consent"] == "it is me"
    texts = [notice.text for notice in said if isinstance(notice, Message)]
    assert texts[0].startswith("Film only someone who has agreed")
    assert any("Look at the camera with your face at rest" in text for text in texts)
    assert any(f"{filmed.kept} of 110 frames are kept" in text for text in texts)


def test_a_recording_that_is_quit_stores_nothing(tmp_path: Path, options: FilmOptions) -> None:
    filmed = quit_after(tmp_path / "me.avatar", 3, options)
    assert filmed.quit and filmed.trained is None
    assert [path.name for path in tmp_path.iterdir()] == ["fast.toml"]


def test_a_recording_that_is_quit_can_be_kept_and_trained_from(
    tmp_path: Path, options: FilmOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = FileFeed(FakeVideo(100_000, fps=FPS), "all")
    monkeypatch.setattr("capture.live.open.camera_feed", lambda source, **options: endless)
    kept = FilmOptions(config=options.config, window=False, keep=True)
    assert quit_after(tmp_path / "me.avatar", 10, kept).quit
    assert growing_film(tmp_path / "me.capture") is not None
    assert quit_after(tmp_path / "me.avatar", 20, replace(kept, keep=False, resume=True)).quit
    trained = train(tmp_path / "me.capture", tmp_path / "later.avatar", TrainOptions(config=options.config))
    assert trained is not None and len(Capture.load(tmp_path / "me.capture")) > 16


def test_what_was_filmed_before_an_error_is_kept(
    tmp_path: Path, options: FilmOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = FilmFolder.add

    def full(folder: FilmFolder, number: int, time: float, rgb: np.ndarray) -> None:
        if len(folder) == 3:
            raise HeadsplatError("the disk is full")
        add(folder, number, time, rgb)

    monkeypatch.setattr(FilmFolder, "add", full)
    said: list[str] = []
    with pytest.raises(HeadsplatError, match="the disk is full"):
        film("0", tmp_path / "me.avatar", options, pace="all", notify=lambda notice: said.append(str(notice)))
    assert "me.capture -o ...` trains from them, --resume goes on filming" in said[-1]
    assert count_frames(tmp_path / "me.capture" / "partial" / "film") == 3


def test_a_face_that_is_never_shown_is_reported(
    tmp_path: Path, options: FilmOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = FileFeed(FakeVideo(60, dict.fromkeys(range(60), 255), fps=FPS), "all")
    monkeypatch.setattr("capture.live.open.camera_feed", lambda source, **options: nobody)
    with pytest.raises(HeadsplatError, match="0 frames of the recording show a face well enough"):
        film("0", tmp_path / "me.avatar", options, pace="all")
    assert [path.name for path in tmp_path.iterdir()] == ["fast.toml"]


class User:
    """The window, whose user presses a key once the window shows these words."""

    def __init__(self, words: str, *keys: str) -> None:
        self.words, self.keys = words, keys
        self.seen: list[str] = []

    def __call__(self, view: Callable[[], Any], command: Callable[[str], object]) -> User:
        self.view, self.command = view, command
        return self

    def run(self) -> None:
        """Look at the window until it closes."""
        end = time.monotonic() + 60
        while not (shown := self.view()).over:
            assert time.monotonic() < end, self.seen
            self.seen.append(shown.words)
            self.last = shown
            if shown.words.startswith(self.words):
                for key in self.keys:
                    self.command(key)
            time.sleep(1e-3)


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch, options: FilmOptions) -> Callable[[User], FilmOptions]:
    """Puts a user before the window; the options with a window."""
    pytest.importorskip("imgui_bundle", reason="imgui-bundle cannot be loaded", exc_type=ImportError)

    def use(user: User) -> FilmOptions:
        monkeypatch.setattr("viewer.gui.display.check_display", lambda: None)
        monkeypatch.setattr("viewer.gui.film_window.FilmWindow", user)
        return replace(options, window=True)

    return use


def test_the_window_stays_open_until_the_avatar_is_ready(
    tmp_path: Path, windowed: Callable[[User], FilmOptions]
) -> None:
    user = User("Ready: me.avatar", "quit")
    filmed = film("0", tmp_path / "me.avatar", windowed(user), pace="all")
    assert filmed.trained is not None and not filmed.quit
    assert any(words.startswith("Making your avatar: training") for words in user.seen)
    assert user.last.avatar.std() > 5  # the finished one
    assert user.last.note.endswith("headsplat live me.avatar")


def test_closing_the_window_while_the_avatar_is_made_does_not_end_that(
    tmp_path: Path, windowed: Callable[[User], FilmOptions]
) -> None:
    filmed = film("0", tmp_path / "me.avatar", windowed(User("Making your avatar", "quit")), pace="all")
    assert filmed.trained is not None and filmed.trained.finished


def test_quitting_in_the_window_stores_nothing(tmp_path: Path, windowed: Callable[[User], FilmOptions]) -> None:
    filmed = film("0", tmp_path / "me.avatar", windowed(User("Look at the camera", "quit")), pace="all")
    assert filmed.quit and [path.name for path in tmp_path.iterdir()] == ["fast.toml"]


def test_an_error_of_the_camera_closes_the_window(
    tmp_path: Path, windowed: Callable[[User], FilmOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.live.open.camera_feed", lambda source, **options: WebcamFeed(997))
    with pytest.raises(HeadsplatError, match="webcam 997: no camera delivers frames under this number"):
        film("997", tmp_path / "me.avatar", windowed(User("nothing")), pace="all")


def test_wrong_settings_are_reported_before_the_recording(tmp_path: Path, options: FilmOptions) -> None:
    (tmp_path / "fast.toml").write_text("stepps = 3")
    with pytest.raises(HeadsplatError, match="stepps"):
        film("0", tmp_path / "me.avatar", options, pace="all")
    with pytest.raises(HeadsplatError, match=r"an avatar's name ends in \.avatar"):
        film("0", tmp_path / "me.mp4", options, pace="all")
    assert [path.name for path in tmp_path.iterdir()] == ["fast.toml"]


def test_an_existing_avatar_is_not_replaced(tmp_path: Path, options: FilmOptions) -> None:
    (tmp_path / "me.avatar").write_bytes(b"mine")
    with pytest.raises(HeadsplatError, match="--overwrite"):
        film("0", tmp_path / "me.avatar", options, pace="all")
    assert not (tmp_path / "me.capture").exists()


def test_an_existing_capture_is_reported_before_the_recording(tmp_path: Path, options: FilmOptions) -> None:
    capture = tmp_path / "me.capture"
    capture.mkdir()
    (capture / METADATA_FILE).write_text("{}")
    for wanted, problem in ((options, "a finished capture is there"), (replace(options, resume=True), "omit --resume")):
        with pytest.raises(HeadsplatError, match=problem):
            film("9", tmp_path / "me.avatar", replace(wanted, overwrite=False))


def test_the_command_needs_a_file_that_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert cli.main(["film", "-o", str(tmp_path / "me.avatar"), "--webcam", "none.mp4", "--no-window"]) == 1
    assert "--webcam none.mp4: no such file; give a video file or a camera number" in capsys.readouterr().err


def test_the_command_needs_a_display_for_its_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform.startswith("linux"):
        assert cli.main(["film", "-o", str(tmp_path / "me.avatar")]) == 1
        assert "there is no display for the window" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
