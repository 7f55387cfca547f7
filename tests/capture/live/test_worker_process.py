"""Face tracking in a worker process: the same samples, and its errors are reported."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.driving.live.pose_source import CameraPoseSource
from avatar.errors import HeadsplatError
from capture.live import LivePipeline, Sample
from capture.live.camera import FileFeed, Lens
from capture.live.identity import LearnOptions
from capture.live.worker_process import FaceWorker, _start_source
from tests.capture.video.fake_video import SIZE, FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)
TIMEOUT = 60.0  # seconds, for a busy machine


def until(found: Any) -> Any:
    """The result of `found` as soon as it is true."""
    ends = time.monotonic() + TIMEOUT
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.005)
    raise AssertionError("timeout")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[FaceWorker, Sample]]:
    """A running tracker and its first sample."""
    face = FaceWorker(FileFeed(FakeVideo(60), repeat=True), fake_models(), LEARN)
    face.start()
    try:
        yield face, until(face.latest)
    finally:
        face.stop()


def test_samples_have_stamps_of_one_clock(running: tuple[FaceWorker, Sample]) -> None:
    face, first = running
    sample = until(face.latest)
    assert list(sample.stamps) == ["camera", "taken", "landmarks", "fit"]
    assert first.time < sample.time <= time.monotonic() < sample.time + TIMEOUT


def test_samples_of_the_identity_fit_are_sent_too(running: tuple[FaceWorker, Sample]) -> None:
    face, first = running
    assert face.earlier() and all(each.time <= first.time for each in face.earlier())


def test_preview_images_are_small_and_landmarks_are_scaled_to_them(running: tuple[FaceWorker, Sample]) -> None:
    preview = until(running[0].preview)
    height, width = preview.image.shape[:2]
    assert width <= min(SIZE, 320) and preview.landmarks.shape == (478, 3)
    assert 0 < preview.landmarks[:, 0].mean() < width and 0 < preview.landmarks[:, 1].mean() < height


def test_statistics_are_those_of_the_tracker(running: tuple[FaceWorker, Sample]) -> None:
    stats = until(lambda: (stats := running[0].stats())["phase"] == "tracking" and stats)
    assert stats["tracked"] > 0 and stats["ended"] is None
    assert stats["memory_mb"] is None or stats["memory_mb"] > 1


def test_it_is_a_camera_source_for_the_pipeline() -> None:
    assert isinstance(FaceWorker(FileFeed("none.mp4")), CameraPoseSource)
    assert hasattr(LivePipeline, "preview")


def test_a_process_that_dies_is_reported() -> None:
    face = FaceWorker(FileFeed(FakeVideo(60), repeat=True), fake_models(), LEARN)
    face.start()
    try:
        os.kill(face._process.pid, signal.SIGTERM)
        assert "has stopped; select it again" in until(lambda: face.stats()["ended"])
    finally:
        face.stop()


def test_a_missing_file_is_a_one_line_error(tmp_path: Path) -> None:
    face = FaceWorker(FileFeed(tmp_path / "none.mp4"))
    with pytest.raises(HeadsplatError, match=r"none\.mp4"):
        face.start()
    face.stop()


class Tracker:
    """A worker without a process, and the process's end of its pipe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.face = FaceWorker(FileFeed("none.mp4"))
        monkeypatch.setattr(self.face, "_launch", self._launch)
        self.face.start()

    def _launch(self) -> Connection:
        ours, self.pipe = multiprocessing.Pipe()
        self.pipe.send(("stats", {"rate": 30.0, "ended": None}))
        return ours

    def sends(self, time: float, person: int, earlier: list[Sample] | None = None, confidence: float = 1.0) -> None:
        """Send a sample of a person."""
        self.pipe.send(("sample", (person, earlier, sample(time, confidence))))

    def ends(self) -> None:
        """Close the pipe as the end of the process does."""
        self.pipe.close()


def sample(time: float, confidence: float = 1.0) -> Sample:
    zeros = np.zeros(1, np.float32), np.zeros((5, 3), np.float32), np.zeros(3, np.float32)
    return Sample(time, ("jawOpen",), "arkit52", *zeros, confidence)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    """A tracker without a process."""
    made = Tracker(monkeypatch)
    yield made
    made.ends()
    made.face.stop()


def test_after_the_process_has_ended_the_face_is_lost(tracker: Tracker) -> None:
    tracker.sends(1.0, 0)
    assert until(tracker.face.latest).confidence == 1
    tracker.ends()
    assert until(tracker.face.latest).confidence == 0
    assert tracker.face.stats()["rate"] == 0


def test_an_unreadable_message_ends_the_source_with_a_reason(tracker: Tracker) -> None:
    tracker.pipe.send_bytes(b"malformed")
    assert "a message of the tracker cannot be read" in until(lambda: tracker.face.stats()["ended"])


def test_no_sample_of_the_person_before_arrives_after_learn_again(tracker: Tracker) -> None:
    face = tracker.face
    tracker.sends(2.0, 0, earlier=[sample(1.0)])
    assert until(face.latest).time == 2.0 and face.earlier()
    face.learn_again()
    assert not face.earlier()
    command, person = tracker.pipe.recv()
    assert command == "learn"
    tracker.sends(3.0, 0)  # sent before the command was received
    tracker.sends(5.0, person, earlier=[sample(4.0)])
    assert until(face.latest).time == 5.0
    assert [each.time for each in face.earlier()] == [4.0]


def test_after_a_restart_no_earlier_sample_is_returned(tracker: Tracker) -> None:
    face = tracker.face
    tracker.sends(1.0, 0)
    tracker.ends()
    until(lambda: face.stats()["ended"])
    face.stop()
    assert face.latest() is None
    face.start()
    tracker.sends(2.0, face._person)
    assert until(face.latest).time == 2.0 and face.stats()["ended"] is None


def test_a_tracker_that_does_not_start_is_an_error_and_no_process_remains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("capture.live.worker_process._START_TIMEOUT", 0.0)
    monkeypatch.setattr("capture.live.worker_process._GRACE", 0.0)
    face, before = FaceWorker(FileFeed("none.mp4")), set(multiprocessing.active_children())
    with pytest.raises(HeadsplatError, match=r"none\.mp4: the tracker did not start within 0 s; close other"):
        face.start()
    until(lambda: set(multiprocessing.active_children()) <= before)


class NoBandwidth(FileFeed):
    def open(self) -> Lens:
        raise RuntimeError("no bandwidth")


def test_the_reason_of_an_unforeseen_exception_is_reported() -> None:
    ours, theirs = multiprocessing.Pipe()
    assert _start_source(theirs, NoBandwidth("none.mp4"), (fake_models(), LEARN, True, None)) is None
    assert ours.recv() == ("failed", "none.mp4: the tracker could not be started (no bandwidth); try again")
