"""Frames from a webcam or a file: the newest only, and one-line errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.live.camera import CameraThread, FileFeed, Lens, LiveFrame, WebcamFeed
from capture.video.decoding import SourceFrame
from tests.capture.video.fake_video import FakeVideo


def taken(camera: CameraThread) -> list[LiveFrame]:
    frames = []
    camera.start()
    while not camera.finished:
        frame = camera.take(0.05)
        if frame is not None:
            frames.append(frame)
    camera.stop()
    return frames


class Decoder(FakeVideo):
    """A file with the clock of its feed; decoding frame k takes `costs(k)` seconds."""

    def __init__(self, count: int, fps: float, costs: Callable[[int], float] = lambda _: 0.0) -> None:
        super().__init__(count, fps=fps)
        self.now, self._costs = 100.0, costs

    def __iter__(self) -> Iterator[SourceFrame]:
        for frame in super().__iter__():
            self.sleep(self._costs(frame.number))
            yield frame

    def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += seconds

    def feed(self, repeat: bool = False) -> FileFeed:
        """The file in place of a camera."""
        return FileFeed(self, repeat=repeat, clock=lambda: self.now, sleep=self.sleep)


def test_a_lossless_camera_delivers_every_frame() -> None:
    frames = taken(CameraThread(FileFeed(FakeVideo(20), "all"), lossless=True))
    assert [frame.number for frame in frames] == list(range(20))


def test_a_slow_reader_gets_the_newest_frame_and_drops_are_counted() -> None:
    camera = CameraThread(FileFeed(FakeVideo(30), "all"))
    camera.start()
    while camera.ended is None:
        time.sleep(0.001)
    newest = camera.take()
    assert newest is not None and newest.number == 29
    assert camera.counts() == (30, 29)
    camera.stop()


def test_a_file_plays_at_its_frame_rate_from_its_first_decoded_frame_on() -> None:
    frames = list(Decoder(10, 50.0, lambda number: 0.015 if number else 3.0).feed().frames())
    assert [frame.number for frame in frames] == list(range(10))
    assert [frame.time for frame in frames] == pytest.approx([103.0 + number / 50 for number in range(10)])


def test_frames_decoded_too_late_are_dropped_and_counted() -> None:
    feed = Decoder(10, 50.0, lambda number: 0.09 if number == 4 else 0.0).feed()
    assert [frame.number for frame in feed.frames()] == [0, 1, 2, 3, 7, 8, 9]
    assert feed.late == 3


def test_a_file_that_decodes_more_slowly_than_it_plays_still_delivers_frames() -> None:
    feed = Decoder(200, 60.0, lambda _: 0.025).feed()
    times = [frame.time for frame in feed.frames()]
    assert np.diff(times).max() < 0.1 + 2 * 0.025
    assert len(times) + feed.late == 200


def test_a_repeated_file_without_frames_ends() -> None:
    assert not list(Decoder(0, 30.0).feed(repeat=True).frames())


def test_the_time_of_a_repeated_file_continues() -> None:
    frames = FileFeed(FakeVideo(5), "all", repeat=True).frames()
    times = [next(frames).source_time for _ in range(12)]
    assert np.diff(np.array(times, dtype=float)) == pytest.approx(np.full(11, 1 / 30))


def test_a_missing_file_is_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no such file"):
        CameraThread(FileFeed(tmp_path / "none.mp4")).start()


class NoDevice:
    """A camera that delivers `count` frames and then none."""

    def __init__(self, count: int) -> None:
        self.left = count

    def isOpened(self) -> bool:
        return self.left > 0

    def set(self, *_: object) -> None:
        """Accept any setting."""

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        """Nothing to release."""


def test_a_missing_webcam_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: NoDevice(0))
    with pytest.raises(HeadsplatError, match="webcam 7: no camera delivers frames under this number; connect one"):
        WebcamFeed(7).open()


def test_an_unplugged_webcam_ends_with_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: NoDevice(3))
    monkeypatch.setattr("capture.live.camera._PAUSE", 0.0)
    camera = CameraThread(WebcamFeed(0))
    taken(camera)
    assert camera.ended == "webcam 0: no more frames arrive; reconnect the camera and restart"


def test_an_exception_of_the_camera_driver_does_not_end_the_program() -> None:
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


def test_a_webcam_is_asked_for_the_size_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, float] = {}

    class Device(NoDevice):
        def isOpened(self) -> bool:
            return True

        def read(self) -> tuple[bool, np.ndarray]:
            return True, np.zeros((720, 1280, 3), np.uint8)

        def set(self, *pair: object) -> None:
            asked.update([pair])  # type: ignore[list-item]

    monkeypatch.setattr(cv2, "VideoCapture", lambda _: Device(0))
    lens = WebcamFeed(0, (1280, 720)).open()
    assert (lens.width, lens.height) == (1280, 720)
    assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
    asked.clear()
    WebcamFeed(0).open()
    assert cv2.CAP_PROP_FRAME_WIDTH not in asked
