"""A camera whose images another program sends: the browser of `headsplat film --web`."""

from __future__ import annotations

import logging
import math
import struct
import threading
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from avatar.common.image_size import declared_size
from avatar.errors import HeadsplatError
from capture.live.camera import Lens, LiveFrame
from capture.live.latest import Slot

log = logging.getLogger(__name__)

#: A message: the seconds of the sender's clock at which the image was taken, then the image as JPEG.
HEADER = struct.Struct("<d")
#: Bytes of a message, and pixels of an image, at most: four times those of a good JPEG of 1280x720, and 4K.
MAX_BYTES = 4 << 20
MAX_PIXELS = 3840 * 2160
_POLL = 0.1
#: Seconds that no image is under way for: the sender's clock has been set, or another sender has come.
_LATEST = 2.0


class PushedFeed:
    """A feed of the images that `push` receives; the newest one replaces one that was not taken."""

    def __init__(
        self,
        name: str,
        taken: Callable[[float], object] = lambda seconds: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            name: of the camera, for messages.
            taken: receives the sender's time of each image that is taken: it can send the next one.
            clock: returns seconds, for the times of frames.
        """
        self.name = name
        self._taken = taken
        self._clock = clock
        self._slot: Slot[tuple[float, float, bytes]] = Slot()
        self._first = threading.Event()
        self._size: tuple[int, int] | None = None  # pixels: width, height
        self._ended = threading.Event()
        self._offset = math.inf  # seconds from the sender's clock to ours, as small as it was seen

    def push(self, message: bytes) -> str:
        """Take a message; why it is refused, or empty."""
        if not HEADER.size < len(message) <= MAX_BYTES:
            return "an image is too large or empty"
        seconds = HEADER.unpack_from(message)[0]
        content = message[HEADER.size :]
        size = declared_size(content) if content.startswith(b"\xff\xd8") else None
        if size is None or not math.isfinite(seconds):
            return "an image is no JPEG file with a time"
        if not 0 < size[0] * size[1] <= MAX_PIXELS:
            return f"an image has {size[0]}x{size[1]} pixels, more than {MAX_PIXELS}"
        if self._size is None:
            self._size = size
        elif size != self._size:
            return f"the camera's images have changed from {_text(self._size)} to {_text(size)} pixels"
        self._slot.put((self._clock(), seconds, content))
        self._first.set()
        return ""

    def wait(self, seconds: float) -> bool:
        """Whether an image has come, within so many seconds."""
        return self._first.wait(seconds)

    def interrupt(self) -> None:
        """No more images come: end `frames`, from any thread."""
        self._ended.set()
        self._slot.close()

    def open(self) -> Lens:
        """Wait for the first image."""
        while not self._first.wait(_POLL):
            if self._ended.is_set():
                raise HeadsplatError(f"{self.name}: no image has come; start the camera in the page")
        assert self._size is not None
        return Lens(*self._size)

    def frames(self) -> Iterator[LiveFrame]:
        """The images as they come, until `interrupt`; one that is older than the one before it is left out."""
        number = 0
        last = -math.inf
        while not self._ended.is_set():
            taken = self._slot.take(_POLL)
            if taken is None:
                continue
            arrived, seconds, content = taken
            offset = arrived - seconds
            self._offset = offset if offset > self._offset + _LATEST else min(offset, self._offset)
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            self._taken(seconds)
            if image is None or seconds + self._offset <= last:
                log.debug("%s: an image is damaged or late", self.name)
                continue
            last = seconds + self._offset
            yield LiveFrame(number, last, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            number += 1

    def close(self) -> None:
        """End `frames`."""
        self.interrupt()


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
