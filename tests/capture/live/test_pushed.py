"""Images that a browser sends as a camera's frames."""

from __future__ import annotations

import math
import struct
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from avatar.common.image_io import encode_jpeg
from avatar.errors import HeadsplatError
from capture.live.camera import CameraThread, Lens
from capture.live.pushed import HEADER, MAX_BYTES, PushedFeed


def image(level: int = 90, size: tuple[int, int] = (64, 48)) -> bytes:
    """A JPEG file whose left half is red, of (width, height)."""
    rgb = np.full((size[1], size[0], 3), level, np.uint8)
    rgb[:, : size[0] // 2] = (200, 30, 30)
    return encode_jpeg(rgb[..., ::-1], 95)


def message(seconds: float, content: bytes | None = None) -> bytes:
    return HEADER.pack(seconds) + (image() if content is None else content)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def taken() -> list[float]:
    return []


@pytest.fixture
def feed(clock: Clock, taken: list[float]) -> Iterator[PushedFeed]:
    found = PushedFeed("the browser's camera", taken.append, clock=clock)
    yield found
    found.close()


def test_an_image_becomes_a_frame(feed: PushedFeed, taken: list[float]) -> None:
    assert not feed.push(message(7.0))
    assert feed.wait(0) and feed.open() == Lens(64, 48)
    frame = next(feed.frames())
    assert (frame.number, frame.time, frame.rgb.shape) == (0, 100.0, (48, 64, 3))
    assert np.abs(frame.rgb[24, 8].astype(int) - (200, 30, 30)).max() < 8
    assert np.abs(frame.rgb[24, 56].astype(int) - 90).max() < 8
    assert taken == [7.0]


def times(feed: PushedFeed, clock: Clock, sent: list[tuple[float, float]]) -> list[float | None]:
    """Times of the frames that come of images of these (seconds of the sender, of our clock); None: there is none."""
    camera = CameraThread(feed)
    found = []
    for number, (seconds, clock.seconds) in enumerate(sent):
        assert not feed.push(message(seconds))
        if number == 0:
            camera.start()
        frame = camera.take(0.3)
        found.append(frame and frame.time)
    camera.stop()
    return found


def test_times_are_those_of_the_sender_on_our_clock(feed: PushedFeed, clock: Clock) -> None:
    # The way of an image, here .05 to .3 s, does not change them.
    found = times(feed, clock, [(5.0, 100.05), (5.1, 100.3), (5.2, 100.5), (5.3, 100.38)])
    assert found == pytest.approx([100.05, 100.15, 100.25, 100.35])


def test_an_image_that_is_older_than_the_last_one_is_left_out(feed: PushedFeed, clock: Clock) -> None:
    found = times(feed, clock, [(1.0, 101.0), (1.2, 101.2), (1.1, 101.1), (1.3, 101.3)])
    assert found == pytest.approx([101.0, 101.2, None, 101.3])


def test_a_clock_that_was_set_back_goes_on(feed: PushedFeed, clock: Clock) -> None:
    assert times(feed, clock, [(1000.0, 101.0), (1.0, 106.0)]) == [101.0, 106.0]


def test_only_the_newest_image_is_decoded(feed: PushedFeed, taken: list[float]) -> None:
    for seconds in (1.0, 2.0, 3.0):
        feed.push(message(seconds))
    next(feed.frames())
    assert taken == [3.0]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "an image is too large or empty"),
        (b"\0" * 8, "an image is too large or empty"),
        (HEADER.pack(1.0) + b"\xff\xd8" + b"\0" * MAX_BYTES, "an image is too large or empty"),
        (message(1.0, b"GIF89a"), "an image is no JPEG file with a time"),
        (message(1.0, b"\xff\xd8\xff\xe0\0"), "an image is no JPEG file with a time"),
        (message(math.nan), "an image is no JPEG file with a time"),
        (message(math.inf), "an image is no JPEG file with a time"),
        (message(1.0, image(size=(16, 8)).replace(struct.pack(">HH", 8, 16), b"\xff\xff\xff\xff")), "65535x65535"),
        (message(1.0, image(size=(16, 8)).replace(struct.pack(">HH", 8, 16), b"\0\0\0\0")), "0x0"),
    ],
)
def test_what_no_camera_sends_is_refused(feed: PushedFeed, sent: bytes, reason: str) -> None:
    assert reason in feed.push(sent)
    assert not feed.wait(0)


def test_images_of_another_size_are_refused(feed: PushedFeed) -> None:
    feed.push(message(1.0))
    assert feed.push(message(2.0, image(size=(48, 64)))) == (
        "the camera's images have changed from 64x48 to 48x64 pixels"
    )


def test_a_damaged_image_is_left_out(feed: PushedFeed, taken: list[float]) -> None:
    header = image()[: image().index(b"\xff\xda")]
    assert cv2.imdecode(np.frombuffer(header, np.uint8), cv2.IMREAD_COLOR) is None
    frames = feed.frames()
    found: list[float] = []
    reader = threading.Thread(target=lambda: found.append(next(frames).rgb.mean()))
    feed.push(message(1.0, header))
    reader.start()
    end = time.monotonic() + 10
    while not taken and time.monotonic() < end:
        time.sleep(0.001)
    feed.push(message(2.0))
    reader.join(10)
    assert len(found) == 1 and taken == [1.0, 2.0]


def test_a_camera_thread_ends_without_an_image(feed: PushedFeed) -> None:
    feed.push(message(1.0))
    camera = CameraThread(feed)
    camera.start()
    assert camera.take(10) is not None
    camera.stop()  # its thread waits for an image that does not come
    assert camera.finished


def test_a_feed_that_ends_before_its_first_image_has_a_sentence(feed: PushedFeed) -> None:
    feed.interrupt()
    with pytest.raises(HeadsplatError, match=r"^the browser's camera: no image has come; start the camera"):
        feed.open()
