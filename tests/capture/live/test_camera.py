"""Pictures from a webcam or a file: the newest only, and one sentence where there are none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.live.camera import CameraThread, FileFeed, Lens, LiveFrame, WebcamFeed
from tests.capture.fake_video import FakeVideo


def taken(camera: CameraThread, pause: float = 0.0) -> list[LiveFrame]:
    frames = []
    camera.start()
    while not camera.finished:
        frame = camera.take(0.05)
        if frame is not None:
            frames.append(frame)
            time.sleep(pause)
    camera.stop()
    return frames


def test_every_frame_is_given_where_none_may_be_dropped() -> None:
    frames = taken(CameraThread(FileFeed(FakeVideo(20), "all"), lossless=True))
    assert [frame.number for frame in frames] == list(range(20))


def test_who_is_slow_gets_the_newest_frame_and_drops_are_counted() -> None:
    camera = CameraThread(FileFeed(FakeVideo(30, fps=300.0)))
    frames = taken(camera, pause=0.02)
    facts = camera.facts()
    assert frames[-1].number == 29
    assert len(frames) < 30
    assert facts["received"] + getattr(camera.feed, "late", 0) == 30
    assert facts["dropped"] == 30 - len(frames)


def test_a_file_plays_at_its_own_rate() -> None:
    frames = taken(CameraThread(FileFeed(FakeVideo(10, fps=50.0))))
    assert all(
        frame.time - frames[0].time >= (frame.source_time or 0) - (frames[0].source_time or 0) - 0.03
        for frame in frames
    )
    assert frames[-1].time - frames[0].time > 0.1


def test_a_repeated_file_goes_on_in_time() -> None:
    frames = FileFeed(FakeVideo(5), "all", repeat=True).frames()
    times = [next(frames).source_time for _ in range(12)]
    assert np.diff(np.array(times, dtype=float)) == pytest.approx(np.full(11, 1 / 30))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such file"):
        CameraThread(FileFeed(tmp_path / "none.mp4")).start()


class NoDevice:
    """A camera that gives `count` pictures and then none."""

    def __init__(self, count: int) -> None:
        self.left = count

    def isOpened(self) -> bool:
        return self.left > 0

    def set(self, *_: object) -> None:
        """Take any setting."""

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        """Nothing to release."""


def test_no_webcam_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: NoDevice(0))
    with pytest.raises(HeadsplatError, match="webcam 7: no camera gives pictures there; plug one in"):
        WebcamFeed(7).open()


def test_an_unplugged_webcam_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: NoDevice(3))
    monkeypatch.setattr("capture.live.camera._PAUSE", 0.0)
    camera = CameraThread(WebcamFeed(0))
    taken(camera)
    assert camera.ended == "webcam 0: it gives no more pictures; plug it in again and restart"


def test_a_driver_that_throws_does_not_end_the_program() -> None:
    class Broken:
        name = "broken"

        def open(self) -> Lens:
            return Lens(1, 1)

        def frames(self) -> Iterator[LiveFrame]:
            raise RuntimeError("no bandwidth")

        def close(self) -> None:
            """Nothing to close."""

    camera = CameraThread(Broken())
    taken(camera)
    assert camera.ended == "broken: reading failed (no bandwidth); start it again"
