"""The virtual camera: never blocks, sends the device's size, and reports errors."""

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

#: Error of pyvirtualcam 0.15 on Linux without a device.
NO_LOOPBACK = (
    "'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99]. Did you run 'modprobe v4l2loopback'? "
    "See also pyvirtualcam's documentation."
)


class FakeCamera:
    """A device of 64x36 pixels, whatever is requested."""

    gate = threading.Event()
    refuses: str | None = None

    def __init__(self, *, width: int, height: int, fps: float, fmt: Any) -> None:
        if self.refuses is not None:
            raise RuntimeError(self.refuses)
        assert fmt.name == "RGB"
        self.requested = width, height, fps
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
    """pyvirtualcam with a device that accepts frames while its gate is open."""
    cameras = type("Camera", (FakeCamera,), {"gate": threading.Event()})
    cameras.gate.set()
    package = ModuleType("pyvirtualcam")
    package.Camera = cameras  # type: ignore[attr-defined]
    package.PixelFormat = enum.Enum("PixelFormat", ["RGB"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", package)
    return cameras


def gray(level: int, height: int = 36, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_frames_have_the_devices_size_and_bars(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        camera.send(gray(200, 90, 90))
        frame = camera._camera.frames.get(timeout=10)
        assert camera._camera.requested == (1280, 720, 30.0)
        assert camera.stats().size == (64, 36)
    assert frame.shape == (36, 64, 3) and frame.flags.c_contiguous
    assert (frame[:, 14:50] == 200).all() and not frame[:, :14].any() and not frame[:, 50:].any()


def test_the_last_image_is_sent_again_without_a_new_one(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        camera.send(gray(90))
        assert all((camera._camera.frames.get(timeout=10) == 90).all() for _ in range(4))


def test_a_blocked_device_does_not_block_send_and_gets_the_newest_image_afterwards(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        fake.gate.clear()
        camera.send(gray(0))
        for level in range(1, 101):
            camera.send(gray(level))  # would never return if it waited
        fake.gate.set()
        frames = [camera._camera.frames.get(timeout=10) for _ in range(3)]
        stats = camera.stats()
    assert frames[-1][0, 0, 0] == 100
    assert stats.images == 101 and stats.replaced >= 98


def test_an_image_may_be_overwritten_after_the_call(fake: type[FakeCamera]) -> None:
    image = gray(90)
    with VirtualCamera() as camera:
        fake.gate.clear()
        camera.send(image)
        image[:] = 20
        fake.gate.set()
        assert (camera._camera.frames.get(timeout=10) == 90).all()


def test_a_device_error_is_reported_and_send_still_returns(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        camera._camera.broken = True
        camera.send(gray(90))
        camera._thread.join(10)
        camera.send(gray(90))
        message = "/dev/video7: the virtual camera does not accept frames any more (device gone)"
        assert camera.stats().failure == message


def test_the_device_is_released_at_the_end(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        pass
    camera.close()
    assert camera._camera.closed and not camera._thread.is_alive()


def test_nothing_is_sent_before_the_first_image(fake: type[FakeCamera]) -> None:
    with VirtualCamera() as camera:
        time.sleep(0.03)  # six frames of the device
    assert camera.stats().sent == 0


def test_a_missing_package_is_a_one_line_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(HeadsplatError) as caught:
        VirtualCamera()
    assert str(caught.value) == "the virtual camera needs pyvirtualcam; install it with `pip install pyvirtualcam`"


@pytest.mark.parametrize(
    ("platform", "error", "reason", "advice"),
    [
        ("linux", NO_LOOPBACK, "(No v4l2 loopback device found at /dev/video[0-99]); ", "`sudo modprobe v4l2loopback"),
        ("darwin", "'obs' backend: not found", "(not found); ", "install OBS Studio"),
        ("win32", "'obs' backend: one\n'unitycapture' backend: two", "(one; two); ", "install OBS Studio"),
    ],
)
def test_a_missing_device_is_a_one_line_error_with_what_to_install(
    fake: type[FakeCamera], monkeypatch: pytest.MonkeyPatch, platform: str, error: str, reason: str, advice: str
) -> None:
    fake.refuses = error
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(HeadsplatError) as caught:
        VirtualCamera()
    text = str(caught.value)
    assert text.startswith(f"no virtual camera can be opened {reason}") and advice in text and "\n" not in text
