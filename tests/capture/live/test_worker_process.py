"""A face tracked in another process: the same samples, and what goes wrong over there is said here."""

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

from avatar.errors import HeadsplatError
from capture.live import LivePipeline, Sample
from capture.live.camera import FileFeed, Lens
from capture.live.identity import LearnOptions
from capture.live.sample import CameraInput
from capture.live.worker_process import FaceApart, _begun
from tests.capture.video.fake_video import SIZE, FakeVideo, fake_models

LEARN = LearnOptions(seconds=0.5, key_frames=5)
PATIENCE = 60.0  # seconds, for a machine that is busy


def until(found: Any) -> Any:
    """What `found` gives once it gives something."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.005)
    raise AssertionError("nothing came")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[FaceApart, Sample]]:
    """A tracker that runs, and its first sample."""
    face = FaceApart(FileFeed(FakeVideo(60), repeat=True), fake_models(), LEARN)
    face.start()
    try:
        yield face, until(face.latest)
    finally:
        face.stop()


def test_samples_come_with_stamps_of_one_clock(running: tuple[FaceApart, Sample]) -> None:
    face, first = running
    sample = until(face.latest)
    assert list(sample.stamps) == ["camera", "taken", "landmarks", "fit"]
    assert first.time < sample.time <= time.monotonic() < sample.time + PATIENCE


def test_what_the_face_did_while_it_was_learned_comes_along(running: tuple[FaceApart, Sample]) -> None:
    face, first = running
    assert face.earlier() and all(each.time <= first.time for each in face.earlier())


def test_its_pictures_are_small_and_its_landmarks_lie_in_them(running: tuple[FaceApart, Sample]) -> None:
    picture, points = until(running[0].look)
    assert picture.shape[1] <= min(SIZE, 320) and points.shape == (478, 3)
    assert 0 < points[:, 0].mean() < picture.shape[1] and 0 < points[:, 1].mean() < picture.shape[0]


def test_counts_are_those_of_the_tracker(running: tuple[FaceApart, Sample]) -> None:
    facts = until(lambda: (facts := running[0].stats())["phase"] == "tracking" and facts)
    assert facts["tracked"] > 0 and facts["ended"] is None
    assert facts["memory_mb"] is None or facts["memory_mb"] > 1


def test_it_is_a_camera_to_the_chain() -> None:
    assert isinstance(FaceApart(FileFeed("none.mp4")), CameraInput)
    assert hasattr(LivePipeline, "look")


def test_a_process_that_dies_is_said() -> None:
    face = FaceApart(FileFeed(FakeVideo(60), repeat=True), fake_models(), LEARN)
    face.start()
    try:
        os.kill(face._process.pid, signal.SIGTERM)
        assert "has ended; choose it again" in until(lambda: face.stats()["ended"])
    finally:
        face.stop()


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    face = FaceApart(FileFeed(tmp_path / "none.mp4"))
    with pytest.raises(HeadsplatError, match=r"none\.mp4"):
        face.start()
    face.stop()


class Tracker:
    """The other end of the pipe of a face that this stands in for the process of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.face = FaceApart(FileFeed("none.mp4"))
        monkeypatch.setattr(self.face, "_launch", self._launch)
        self.face.start()

    def _launch(self) -> Connection:
        ours, self.pipe = multiprocessing.Pipe()
        self.pipe.send(("facts", {"rate": 30.0, "ended": None}))
        return ours

    def sends(self, time: float, person: int, earlier: list[Sample] | None = None, confidence: float = 1.0) -> None:
        """A sample, in what order it comes."""
        self.pipe.send(("sample", (person, earlier, sample(time, confidence))))

    def ends(self) -> None:
        """The process dies."""
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


def test_after_the_trackers_death_the_face_is_gone(tracker: Tracker) -> None:
    tracker.sends(1.0, 0)
    assert until(tracker.face.latest).confidence == 1
    tracker.ends()
    assert until(tracker.face.latest).confidence == 0
    assert tracker.face.stats()["rate"] == 0


def test_what_cannot_be_read_ends_it_with_a_sentence(tracker: Tracker) -> None:
    tracker.pipe.send_bytes(b"nonsense")
    assert "what the tracker says cannot be read" in until(lambda: tracker.face.stats()["ended"])


def test_nothing_of_the_person_before_comes_after_another_sat_down(tracker: Tracker) -> None:
    face = tracker.face
    tracker.sends(2.0, 0, earlier=[sample(1.0)])
    assert until(face.latest).time == 2.0 and face.earlier()
    face.learn_again()
    assert not face.earlier()
    word, person = tracker.pipe.recv()
    assert word == "learn"
    tracker.sends(3.0, 0)  # was under way
    tracker.sends(5.0, person, earlier=[sample(4.0)])
    assert until(face.latest).time == 5.0
    assert [each.time for each in face.earlier()] == [4.0]


def test_it_may_be_started_again_and_nothing_of_before_is_left(tracker: Tracker) -> None:
    face = tracker.face
    tracker.sends(1.0, 0)
    tracker.ends()
    until(lambda: face.stats()["ended"])
    face.stop()
    assert face.latest() is None
    face.start()
    tracker.sends(2.0, face._person)
    assert until(face.latest).time == 2.0 and face.stats()["ended"] is None


def test_a_tracker_that_never_starts_is_one_sentence_and_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.live.worker_process._STARTING", 0.0)
    monkeypatch.setattr("capture.live.worker_process._GRACE", 0.0)
    face, before = FaceApart(FileFeed("none.mp4")), set(multiprocessing.active_children())
    with pytest.raises(HeadsplatError, match=r"none\.mp4: the tracker has not started within 0 s; close what"):
        face.start()
    until(lambda: set(multiprocessing.active_children()) <= before)


class NoBandwidth(FileFeed):
    def open(self) -> Lens:
        raise RuntimeError("no bandwidth")


def test_a_failure_nobody_thought_of_says_its_cause() -> None:
    ours, theirs = multiprocessing.Pipe()
    assert _begun(theirs, NoBandwidth("none.mp4"), fake_models(), LEARN) is None
    assert ours.recv() == ("failed", "none.mp4: the tracker could not be started (no bandwidth); try again")
