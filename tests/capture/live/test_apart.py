"""A face tracked in another process: the same samples, and what goes wrong over there is said here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatar.errors import HeadsplatError
from capture.live import LiveChain, Sample
from capture.live.apart import FaceApart
from capture.live.camera import FileFeed
from capture.live.learning import LearnOptions
from capture.live.sample import CameraInput
from tests.capture.fake_video import SIZE, FakeVideo, fake_models

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


def test_what_the_face_did_while_it_was_learnt_comes_along(running: tuple[FaceApart, Sample]) -> None:
    face, first = running
    assert face.earlier() and all(each.time <= first.time for each in face.earlier())


def test_its_pictures_are_small_and_its_landmarks_lie_in_them(running: tuple[FaceApart, Sample]) -> None:
    picture, points = until(running[0].look)
    assert picture.shape[1] <= min(SIZE, 320) and points.shape == (478, 3)
    assert 0 < points[:, 0].mean() < picture.shape[1] and 0 < points[:, 1].mean() < picture.shape[0]


def test_counts_are_those_of_the_tracker(running: tuple[FaceApart, Sample]) -> None:
    facts = until(lambda: (facts := running[0].facts())["phase"] == "tracking" and facts)
    assert facts["tracked"] > 0 and facts["ended"] is None


def test_it_is_a_camera_to_the_chain() -> None:
    assert isinstance(FaceApart(FileFeed("none.mp4")), CameraInput)
    assert hasattr(LiveChain, "look")


def test_a_process_that_dies_is_said(running: tuple[FaceApart, Sample]) -> None:
    face = running[0]
    os.kill(face._process.pid, signal.SIGTERM)
    assert "has ended; choose it again" in until(lambda: face.facts()["ended"])


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    face = FaceApart(FileFeed(tmp_path / "none.mp4"))
    with pytest.raises(HeadsplatError, match=r"none\.mp4"):
        face.start()
    face.stop()
