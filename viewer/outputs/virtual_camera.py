"""The avatar as a camera that video calls can choose, through pyvirtualcam.

pyvirtualcam is under the GNU General Public License, version 2: it is never needed and never part of headsplat; who
wants the virtual camera installs it.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from viewer.outputs.letterbox import fitted

_INSTALL = "`pip install pyvirtualcam`"
_LINUX = (
    "install v4l2loopback (`sudo apt install v4l2loopback-dkms`), then "
    "`sudo modprobe v4l2loopback exclusive_caps=1 card_label=headsplat`"
)
_OBS = "install OBS Studio (https://obsproject.com), start its virtual camera once and stop it again"
_GRACE = 2.0  # seconds that a device which hangs may keep the program from ending


class VirtualCamera:
    """Sends the newest picture at a constant rate, in a thread of its own.

    with VirtualCamera() as camera:
        camera.send(picture)
    """

    def __init__(self, width: int = 1280, height: int = 720, rate: float = 30.0) -> None:
        """
        Args:
            width: pixels to ask the device for; video calls expect 1280x720.
            height: the same.
            rate: frames a second.

        Raises:
            HeadsplatError: pyvirtualcam or a device is missing; the sentence says how to get it.
        """
        self._camera = _opened(width, height, rate)
        # Asked now: a camera that is closed does not answer.
        self._device, self._size = self._camera.device, (self._camera.width, self._camera.height)
        self._rate = float(self._camera.fps)
        self._lock = threading.Lock()
        self._newest: np.ndarray | None = None
        self._fresh = False
        self._pictures = self._passed = self._sent = 0
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

    def send(self, picture: np.ndarray) -> None:
        """Show `picture` uint8 [H,W,3] of any size from now on; it is copied, and the caller never waits."""
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"picture: expected uint8 [H,W,3], got {picture.dtype} {list(picture.shape)}")
        copied = picture.copy()
        with self._lock:
            self._passed += self._fresh
            self._newest, self._fresh = copied, True
            self._pictures += 1

    def close(self) -> None:
        """Let the device go; harmless when repeated."""
        self._ended.set()
        self._thread.join(_GRACE)

    def stats(self) -> dict[str, Any]:
        """Name, size and rate of the device; pictures given, passed over and sent; `failure`, a sentence or None."""
        with self._lock:
            return {
                "device": self._device,
                "size": self._size,
                "rate": self._rate,
                "pictures": self._pictures,
                "passed": self._passed,
                "sent": self._sent,
                "failure": self._failure,
            }

    def _work(self) -> None:
        """Send a frame whenever one is due, the last one again where nothing is new: calls take a gap for a fault."""
        step, due = 1 / self._rate, time.monotonic()
        frame: np.ndarray | None = None
        try:
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                due = max(due + step, time.monotonic())
                with self._lock:
                    picture, self._fresh, fresh = self._newest, False, self._fresh
                if picture is not None and fresh:
                    frame = np.ascontiguousarray(fitted(picture, *self._size))
                if frame is not None:
                    self._camera.send(frame)
                    self._sent += 1
        except Exception as error:
            self._failure = f"{self._device}: the virtual camera takes no pictures any more ({error})"
        finally:
            self._camera.close()


def _opened(width: int, height: int, rate: float) -> Any:
    try:
        import pyvirtualcam
    except ModuleNotFoundError as error:
        raise HeadsplatError(f"the virtual camera needs pyvirtualcam; install it with {_INSTALL}") from error
    except ImportError as error:
        raise HeadsplatError(
            f"pyvirtualcam cannot be loaded ({error}); install it again with {_INSTALL} --force-reinstall"
        ) from error
    try:
        return pyvirtualcam.Camera(width=width, height=height, fps=rate, fmt=pyvirtualcam.PixelFormat.RGB)
    except RuntimeError as error:
        advice = _LINUX if sys.platform.startswith("linux") else _OBS
        raise HeadsplatError(f"no virtual camera can be opened ({_reason(error)}); {advice}") from error


def _reason(error: Exception) -> str:
    """What each of pyvirtualcam's back ends said, its first sentence."""
    lines = (line.split(" backend: ")[-1] for line in str(error).splitlines())
    return "; ".join(line.split(". ")[0].strip().rstrip(".") for line in lines)
