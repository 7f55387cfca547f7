"""The avatar as a virtual camera for video calls, with pyvirtualcam.

pyvirtualcam is under the GNU General Public License, version 2: it is optional and never distributed with headsplat;
users install it for the virtual camera.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from viewer.outputs.letterbox import letterbox

_INSTALL = "`pip install pyvirtualcam`"
_LINUX = (
    "install v4l2loopback (`sudo apt install v4l2loopback-dkms`), then "
    "`sudo modprobe v4l2loopback exclusive_caps=1 card_label=headsplat`"
)
_OBS = "install OBS Studio (https://obsproject.com), start its virtual camera once and stop it again"
_GRACE = 2.0  # seconds that closing waits for a device that does not respond
#: What is requested of the device: pixels, which video calls expect, and frames per second.
_SIZE = (1280, 720)
_RATE = 30.0


@dataclass(frozen=True)
class VirtualCameraStats:
    """State of a virtual camera."""

    device: str
    size: tuple[int, int]  # pixels of the device, width and height
    rate: float  # frames per second of the device
    images: int  # received
    replaced: int  # by a newer image before they were sent
    sent: int  # frames
    failure: str | None  # why no frames are sent any more


class VirtualCamera:
    """Sends the newest image at a constant rate, on a separate thread.

    with VirtualCamera() as camera:
        camera.send(image)
    """

    def __init__(self) -> None:
        """Raises HeadsplatError where pyvirtualcam or a device is missing; the message says how to install it."""
        self._camera = _open_camera()
        # Read now: these properties raise once the camera is closed.
        self._device = self._camera.device
        self._size = (self._camera.width, self._camera.height)
        self._rate = float(self._camera.fps)
        self._lock = threading.Lock()
        self._newest: np.ndarray | None = None
        self._fresh = False
        self._images = self._replaced = self._sent = 0
        self._failure: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="virtual camera", daemon=True)
        self._thread.start()

    def __enter__(self) -> VirtualCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, image: np.ndarray) -> None:
        """Send `image` uint8 [H,W,3], of any size, from now on; it is copied, and the caller never waits."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image: expected uint8 [H,W,3], got {image.dtype} {list(image.shape)}")
        copied = image.copy()
        with self._lock:
            self._replaced += self._fresh
            self._newest = copied
            self._fresh = True
            self._images += 1

    def close(self) -> None:
        """Release the device; has no effect when repeated."""
        self._ended.set()
        self._thread.join(_GRACE)

    def stats(self) -> VirtualCameraStats:
        """State now."""
        with self._lock:
            counts = self._images, self._replaced, self._sent
            return VirtualCameraStats(self._device, self._size, self._rate, *counts, self._failure)

    def _work(self) -> None:
        """Send a frame whenever one is due, repeating the last one: video calls treat a gap as an error."""
        step = 1 / self._rate
        due = time.monotonic()
        frame: np.ndarray | None = None
        try:
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                due = max(due + step, time.monotonic())
                with self._lock:
                    image, self._fresh, fresh = self._newest, False, self._fresh
                if image is not None and fresh:
                    frame = np.ascontiguousarray(letterbox(image, *self._size))
                if frame is not None:
                    self._camera.send(frame)
                    self._sent += 1
        except Exception as error:
            self._failure = f"{self._device}: the virtual camera does not accept frames any more ({error})"
        finally:
            self._camera.close()


def _open_camera() -> Any:
    try:
        import pyvirtualcam
    except ModuleNotFoundError as error:
        raise HeadsplatError(f"the virtual camera needs pyvirtualcam; install it with {_INSTALL}") from error
    except ImportError as error:
        raise HeadsplatError(
            f"pyvirtualcam cannot be loaded ({error}); install it again with {_INSTALL} --force-reinstall"
        ) from error
    try:
        return pyvirtualcam.Camera(width=_SIZE[0], height=_SIZE[1], fps=_RATE, fmt=pyvirtualcam.PixelFormat.RGB)
    except RuntimeError as error:
        advice = _LINUX if sys.platform.startswith("linux") else _OBS
        raise HeadsplatError(f"no virtual camera can be opened ({_reason(error)}); {advice}") from error


def _reason(error: Exception) -> str:
    """The first sentence of the error of each of pyvirtualcam's back ends."""
    lines = (line.split(" backend: ")[-1] for line in str(error).splitlines())
    return "; ".join(line.split(". ")[0].strip().rstrip(".") for line in lines)
