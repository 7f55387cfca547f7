"""Camera frames for live driving: a webcam, or a video file in place of one, read on a separate thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from avatar.errors import HeadsplatError
from capture.live.latest import Slot
from capture.video.decoding import SourceFrame, open_video

log = logging.getLogger(__name__)

#: realtime: a file plays at its frame rate and late frames are dropped; all: every frame, as fast as they are taken.
Pace = Literal["realtime", "all"]
#: Seconds a file's frame may be late before it is dropped, and longest time without a frame, after which a late one is
#: used anyway: of a file that decodes more slowly than it plays every frame is late.
_MAX_LATE = 0.02
_MAX_GAP = 0.1
#: Longest wait (seconds) for a frame of a file; a longer gap between two times is shortened to it.
_MAX_WAIT = 2.0
#: Consecutive failed reads after which a webcam counts as unplugged, and the pause between reads.
_MAX_FAILURES = 20
_PAUSE = 0.05


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame and its time."""

    number: int  # from 0, dropped frames included
    time: float  # seconds, time.monotonic(), when it was read
    rgb: np.ndarray  # [H,W,3] uint8 sRGB
    source_time: float | None = None  # seconds in the file


@dataclass(frozen=True)
class Lens:
    """Optics of a source, as far as known before the identity fit."""

    width: int  # pixels
    height: int
    focal_35mm: float | None = None


class Feed(Protocol):
    """Delivers camera frames."""

    name: str

    def open(self) -> Lens:
        """Open the device or file; raises HeadsplatError where it cannot be read."""
        ...

    def frames(self) -> Iterator[LiveFrame]:
        """Frames as they arrive; ends with the source, raises HeadsplatError on failure."""
        ...

    def close(self) -> None:
        """Close the device or file, after `frames`; a feed that waits for long has `interrupt`, which ends it."""
        ...


class WebcamFeed:
    """A webcam, by its number."""

    def __init__(self, index: int, size: tuple[int, int] | None = None) -> None:
        """Args: the camera's number; size: width and height to ask it for, of which it chooses the nearest it has."""
        self.name = f"webcam {index}"
        self._index = index
        self._size = size
        self._device: Any = None

    def open(self) -> Lens:
        """Open the camera and read a first frame."""
        # OpenCV's messages about a missing camera would only precede the error below.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        device = cv2.VideoCapture(self._index)
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self._size is not None:
            # Uncompressed images of this size are more than USB 2 carries at a camera's rate.
            device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            device.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        success, image = device.read() if device.isOpened() else (False, None)
        if not success or image is None:
            device.release()
            raise HeadsplatError(
                f"{self.name}: no camera delivers frames under this number; connect one, close programs that use it, "
                "or give another number"
            )
        self._device = device
        return Lens(image.shape[1], image.shape[0])

    def frames(self) -> Iterator[LiveFrame]:
        """Frames until the camera stops delivering them."""
        number = failures = 0
        while self._device is not None:
            success, image = self._device.read()
            if not success or image is None:
                failures += 1
                if failures >= _MAX_FAILURES:
                    raise HeadsplatError(f"{self.name}: no more frames arrive; reconnect the camera and restart")
                time.sleep(_PAUSE)
                continue
            failures = 0
            yield LiveFrame(number, time.monotonic(), cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            number += 1

    def close(self) -> None:
        """Release the camera."""
        if self._device is not None:
            self._device.release()
            self._device = None


class FileFeed:
    """A video file (or any iterable of SourceFrames that can be iterated repeatedly) in place of a camera."""

    def __init__(
        self,
        video: str | Path | Iterable[SourceFrame],
        pace: Pace = "realtime",
        *,
        repeat: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            video: the file.
            pace: at its frame rate, or every frame.
            repeat: whether it restarts at its end.
            clock: returns seconds, for the times of frames.
            sleep: waits for seconds of that clock.
        """
        self._video: Any = video
        self.name = str(video) if isinstance(video, (str, Path)) else "video"
        self._pace = pace
        self._repeat = repeat
        self._clock = clock
        self._sleep = sleep
        self._started: float | None = None  # seconds, when frame 0 was due; moves where decoding cannot keep up
        self._yielded = 0.0  # seconds, when the last frame was yielded
        self.late = 0  # frames that were due before they were decoded

    def open(self) -> Lens:
        """Read the file's metadata."""
        if isinstance(self._video, (str, Path)):
            self._video = open_video(self._video)
        return Lens(self._video.width, self._video.height, self._video.focal_35mm)

    def frames(self) -> Iterator[LiveFrame]:
        """Frames when they are due, or immediately at pace "all"."""
        number = 0
        offset = 0.0
        self._started = None
        while True:
            end = None
            for frame in self._video:
                due = offset + frame.time
                end = due + 1 / max(self._video.fps, 1e-3)
                number += 1
                if self._pace == "realtime" and not self._wait_until(due):
                    self.late += 1
                    continue
                self._yielded = self._clock()
                yield LiveFrame(number - 1, self._yielded, frame.rgb, due)
            if not self._repeat or end is None:
                return
            offset = end

    def _wait_until(self, due: float) -> bool:
        """Wait until a decoded frame is due, `due` seconds after the first; False where it is late and dropped."""
        now = self._clock()
        if self._started is None:
            self._started = now - due
        late = now - self._started - due
        if late <= _MAX_LATE:
            if late < 0:
                wait = min(-late, _MAX_WAIT)
                self._started += late + wait
                self._sleep(wait)
            return True
        if now - self._yielded < _MAX_GAP:
            return False
        self._started += late
        return True

    def close(self) -> None:
        """Nothing to close."""


class CameraThread:
    """Reads a feed on a separate thread and keeps its newest frame."""

    def __init__(self, feed: Feed, *, lossless: bool = False) -> None:
        """Args: the feed; lossless: wait until each frame was taken (a file at pace "all")."""
        self.feed = feed
        self._slot: Slot[LiveFrame] = Slot(lossless)
        self._lossless = lossless
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.ended: str | None = None  # why no more frames will come

    def start(self) -> Lens:
        """Open the feed and start reading; raises HeadsplatError where it cannot be opened."""
        lens = self.feed.open()
        self._slot = Slot(self._lossless)
        self.ended = None
        self._stop.clear()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()
        return lens

    def take(self, timeout: float = 0.0) -> LiveFrame | None:
        """The newest frame, once; None when there is none within `timeout` seconds."""
        return self._slot.take(timeout)

    @property
    def waiting(self) -> bool:
        """Whether a frame has come that was not taken."""
        return self._slot.waiting

    @property
    def finished(self) -> bool:
        """No more frames will come."""
        return self._slot.finished

    def stop(self) -> None:
        """Stop; has no effect when it was not started."""
        self._stop.set()
        self._slot.close()
        getattr(self.feed, "interrupt", lambda: None)()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.feed.close()

    def counts(self) -> tuple[int, int]:
        """Frames received, and frames dropped because they were late or a newer one came."""
        return self._slot.put_count, self._slot.dropped + getattr(self.feed, "late", 0)

    def _read(self) -> None:
        ended = f"{self.feed.name}: end of the video"
        try:
            for frame in self.feed.frames():
                if self._stop.is_set():
                    break
                self._slot.put(frame)
        except HeadsplatError as error:
            ended = str(error)
        except Exception as error:  # any exception of a camera's driver; must not end the program
            log.warning("%s: %s", self.feed.name, error)
            ended = f"{self.feed.name}: reading failed ({error}); start it again"
        finally:
            self.ended = ended
            self._slot.close()
