"""The virtual camera: never in the window's way, always the device's size, and its sentences."""

from __future__ import annotations

import enum
import queue
import sys
import threading
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from viewer.outputs.virtual_camera import VirtualCamera

#: What pyvirtualcam 0.15 says on Linux where there is no device.
NO_LOOPBACK = (
    "'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]. Did you run 'modprobe v4l2loopback'? "
    "See also pyvirtualcam's documentation."
)


class FakeCamera:
    """A device of 64x36 pixels, whatever is asked for."""

    gate = threading.Event()
    refuses: str | None = None

    def __init__(self, *, width: int, height: int, fps: float, fmt: Any) -> None:
        if self.refuses is not None:
            raise RuntimeError(self.refuses)
        assert fmt.name == "RGB"
        self.asked = width, height, fps
        self.width, self.height, self.fps = 64, 36, 200.0
        self.frames: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()
        self.closed = False
        self.broken = False

    @property
    def device(self) -> str:
        if self.closed:
            raise AttributeError("closed")
        return "/dev/video7"

    def send(self, frame: np.ndarray) -> None:
        self.gate.wait(10)
        if self.broken:
            raise RuntimeError("device gone")
        self.frames.put(frame.copy())

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeCamera]:
    """pyvirtualcam with a device that takes a frame whenever its gate is open."""
    cameras = type("Camera", (FakeCamera,), {"gate": threading.Event()})
    cameras.gate.set()
    package = ModuleType("pyvirtualcam")
    package.Camera = cameras  # type: ignore[attr-defined]
    package.PixelFormat = enum.Enum("PixelFormat", ["RGB"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", package)
    return cameras


def gray(level: int, height: int = 36, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_pictures_arrive_in_the_devices_size_between_bars(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        camera.send(gray(200, 90, 90))
        frame = camera._camera.frames.get(timeout=10)
        assert camera._camera.asked == (1280, 720, 30.0)
        assert camera.stats()["size"] == (64, 36)
    assert frame.shape == (36, 64, 3) and frame.flags.c_contiguous
    assert (frame[:, 14:50] == 200).all() and not frame[:, :14].any() and not frame[:, 50:].any()


def test_the_last_picture_is_sent_again_while_nothing_is_new(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        camera.send(gray(90))
        assert all((camera._camera.frames.get(timeout=10) == 90).all() for _ in range(4))


def test_a_device_that_hangs_costs_the_window_nothing_and_shows_the_newest_afterwards(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        fake.gate.clear()
        camera.send(gray(0))
        for level in range(1, 101):
            camera.send(gray(level))  # would never return if it waited
        fake.gate.set()
        frames = [camera._camera.frames.get(timeout=10) for _ in range(3)]
        facts = camera.stats()
    assert frames[-1][0, 0, 0] == 100
    assert facts["pictures"] == 101 and facts["passed"] >= 98


def test_a_picture_may_be_overwritten_after_the_call(fake: type[FakeCamera]) -> None:
    picture = gray(90)
    with VirtualCamera() as camera:
        fake.gate.clear()
        camera.send(picture)
        picture[:] = 20
        fake.gate.set()
        assert (camera._camera.frames.get(timeout=10) == 90).all()


def test_a_device_that_breaks_is_a_sentence_and_the_window_goes_on(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        camera._camera.broken = True
        camera.send(gray(90))
        camera._thread.join(10)
        camera.send(gray(90))
        said = "/dev/video7: the virtual camera takes no pictures any more (device gone)"
        assert camera.stats()["failure"] == said


def test_the_device_is_let_go_at_the_end(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        pass
    camera.close()
    assert camera._camera.closed and not camera._thread.is_alive()


def test_nothing_is_sent_before_the_first_picture(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        time.sleep(0.03)  # six frames of the device
    assert camera.stats()["sent"] == 0


def test_a_missing_package_is_a_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(HeadsplatError) as caught:
        VirtualCamera()
    assert str(caught.value) == "the virtual camera needs pyvirtualcam; install it with `pip install pyvirtualcam`"


@pytest.mark.parametrize(
    ("platform", "said", "reason", "advice"),
    [
        ("linux", NO_LOOPBACK, "(No v4l2 loopback device found at /dev/video[0-99]); ", "`sudo modprobe v4l2loopback"),
        ("darwin", "'obs' backend: not found", "(not found); ", "install OBS Studio"),
        ("win32", "'obs' backend: one\n'unitycapture' backend: two", "(one; two); ", "install OBS Studio"),
    ],
)
def test_a_missing_device_is_a_sentence_that_says_what_to_install(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch, platform: str, said: str, reason: str, advice: str
) -> None:
    fake.refuses = said
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(HeadsplatError) as caught:
        VirtualCamera()
    text = str(caught.value)
    assert text.startswith(f"no virtual camera can be opened {reason}") and advice in text and "\n" not in text
