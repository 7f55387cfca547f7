"""Pictures for live driving: a webcam, or a video file that stands in for one, read by a thread of its own."""

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

#: own: a file plays at its own rate and frames that are late are dropped; all: every frame, as fast as they are taken.
Pace = Literal["own", "all"]
#: Seconds a file's frame may be late before it is dropped, and without a picture until a late one is given all the
#: same: of a file that decodes more slowly than it plays every frame is late.
_LATE, _LONGEST = 0.02, 0.1
#: Pictures that a webcam may fail to give in a row before it counts as unplugged, and the pause between tries.
_FAILURES, _PAUSE = 20, 0.05


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One picture and when it came."""

    number: int  # counted from 0 among those the camera gave, dropped ones too
    time: float  # seconds, time.monotonic(), when the camera gave it
    rgb: np.ndarray  # [H,W,3] uint8 sRGB
    source_time: float | None = None  # seconds of a file's own clock


@dataclass(frozen=True)
class Lens:
    """What is known of a source's optics before anything is fitted."""

    width: int  # pixels
    height: int
    focal_35mm: float | None = None


class Feed(Protocol):
    """Where pictures come from."""

    name: str

    def open(self) -> Lens:
        """Make ready; raises HeadsplatError where there is nothing to read."""
        ...

    def frames(self) -> Iterator[LiveFrame]:
        """Pictures as they come; ends when the source does, raises HeadsplatError when it breaks."""
        ...

    def close(self) -> None:
        """Let go of the device or file."""
        ...


class WebcamFeed:
    """A camera by its number."""

    def __init__(self, index: int = 0, size: tuple[int, int] | None = None) -> None:
        """Args: the camera's number; the (width, height) to ask it for."""
        self.name = f"webcam {index}"
        self._index, self._size = index, size
        self._device: Any = None

    def open(self) -> Lens:
        """Open the camera and take a first picture."""
        # What OpenCV writes to stderr about a camera that is not there the sentence below says better.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        device = cv2.VideoCapture(self._index)
        if self._size is not None:
            device.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
            device.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        given, picture = device.read() if device.isOpened() else (False, None)
        if not given or picture is None:
            device.release()
            raise HeadsplatError(
                f"{self.name}: no camera gives pictures there; plug one in, close programs that use it, "
                "or give another number"
            )
        self._device = device
        return Lens(picture.shape[1], picture.shape[0])

    def frames(self) -> Iterator[LiveFrame]:
        """Pictures until the camera stops giving any."""
        number = failures = 0
        while self._device is not None:
            given, picture = self._device.read()
            if not given or picture is None:
                failures += 1
                if failures >= _FAILURES:
                    raise HeadsplatError(f"{self.name}: it gives no more pictures; plug it in again and restart")
                time.sleep(_PAUSE)
                continue
            failures = 0
            yield LiveFrame(number, time.monotonic(), cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            number += 1

    def close(self) -> None:
        """Release the camera."""
        if self._device is not None:
            self._device.release()
            self._device = None


class FileFeed:
    """A video file (or any iterable of SourceFrames that starts anew each time) in a camera's place."""

    def __init__(
        self,
        video: str | Path | Iterable[SourceFrame],
        pace: Pace = "own",
        *,
        repeat: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            video: the file.
            pace: at which it plays.
            repeat: whether it starts again at its end.
            clock: seconds, as the times of frames have them.
            sleep: waits for seconds of that clock.
        """
        self._video: Any = video
        self.name = str(video) if isinstance(video, (str, Path)) else "video"
        self._pace, self._repeat = pace, repeat
        self._clock, self._sleep = clock, sleep
        self._started: float | None = None  # seconds, when frame 0 was due; it moves where decoding cannot keep up
        self._given = 0.0  # seconds, when the last picture was
        self.late = 0  # frames that were due before they were decoded

    def open(self) -> Lens:
        """Read the file's facts."""
        if isinstance(self._video, (str, Path)):
            self._video = open_video(self._video)
        return Lens(self._video.width, self._video.height, self._video.focal_35mm)

    def frames(self) -> Iterator[LiveFrame]:
        """Frames when they are due, or at once."""
        number, offset, self._started = 0, 0.0, None
        while True:
            end = None
            for frame in self._video:
                due = offset + frame.time
                end = due + 1 / max(self._video.fps, 1e-3)
                number += 1
                if self._pace == "own" and not self._in_time(due):
                    self.late += 1
                    continue
                self._given = self._clock()
                yield LiveFrame(number - 1, self._given, frame.rgb, due)
            if not self._repeat or end is None:
                return
            offset = end

    def _in_time(self, due: float) -> bool:
        """Wait until a decoded frame is due, `due` seconds after the first; False where it is too late to be shown."""
        now = self._clock()
        if self._started is None:
            self._started = now - due
        late = now - self._started - due
        if late <= _LATE:
            if late < 0:
                self._sleep(-late)
            return True
        if now - self._given < _LONGEST:
            return False
        self._started += late
        return True

    def close(self) -> None:
        """Nothing to let go of."""


class CameraThread:
    """Reads a feed on a thread of its own and keeps its newest picture."""

    def __init__(self, feed: Feed, *, lossless: bool = False) -> None:
        """Args: the feed; lossless: wait until each picture was taken (a file at pace "all")."""
        self.feed = feed
        self._slot: Slot[LiveFrame] = Slot(lossless)
        self._lossless = lossless
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.ended: str | None = None  # why there are no more pictures, a sentence

    def start(self) -> Lens:
        """Open the feed and begin; raises HeadsplatError where that cannot be."""
        lens = self.feed.open()
        self._slot, self.ended = Slot(self._lossless), None
        self._stop.clear()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)
        self._thread.start()
        return lens

    def take(self, timeout: float = 0.0) -> LiveFrame | None:
        """The newest picture, once; None when there is none within `timeout` seconds."""
        return self._slot.take(timeout)

    @property
    def finished(self) -> bool:
        """No more pictures will come."""
        return self._slot.finished

    def stop(self) -> None:
        """End; harmless when it never began."""
        self._stop.set()
        self._slot.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.feed.close()

    def stats(self) -> dict[str, int]:
        """Pictures received, and dropped because a newer one came or they were late."""
        return {"received": self._slot.put_count, "dropped": self._slot.dropped + getattr(self.feed, "late", 0)}

    def _read(self) -> None:
        ended = f"{self.feed.name}: the end is reached"
        try:
            for frame in self.feed.frames():
                if self._stop.is_set():
                    break
                self._slot.put(frame)
        except HeadsplatError as error:
            ended = str(error)
        except Exception as error:  # whatever a camera's driver throws must not end the program
            log.warning("%s: %s", self.feed.name, error)
            ended = f"{self.feed.name}: reading failed ({error}); start it again"
        finally:
            self.ended = ended
            self._slot.close()
