"""Records the image in the window as a video, in real time."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from avatar.common.partial_files import partial_path
from avatar.errors import HeadsplatError
from avatar.video import Encoding, exact_rate, open_output
from avatar.video.joining import join
from viewer.outputs.letterbox import letterbox

_log = logging.getLogger(__name__)

#: Images that may wait for the encoder, and their memory.
_MAX_WAITING = 30
_MAX_WAITING_BYTES = 1 << 27
_POLL = 0.1  # seconds between two checks whether the thread has ended: an endless wait blocks Ctrl-C on Windows


class _NoImages(Exception):
    """Ends the writer's block without a file."""


@dataclass(frozen=True, eq=False)
class _TimedImage:
    """An image and the first video frame that shows it."""

    frame: int
    image: np.ndarray  # uint8 [H,W,3]


@dataclass(frozen=True)
class VideoStats:
    """State of a recording."""

    frames: int  # of the video
    encoded: int  # of these
    seconds: float
    rate: float  # frames per second
    size: tuple[int, int] | None  # pixels, width and height; None before the first image
    images: int  # received
    replaced: int  # by another image for the same frame
    dropped: int  # because the encoder was too slow
    failure: str | None  # the error, where writing failed


class VideoRecorder:
    """Encodes images that arrive at any time as a video of constant rate, frame k at k / rate seconds.

        with VideoRecorder("take.mp4") as video:
            video.add(image, time.monotonic())

    An image is shown from the frame nearest to its time until the next image. So images of a slow window are repeated,
    of a fast window the last image for each frame is used, and of a camera at the video's rate every image is used
    though their times vary by milliseconds: the video plays at the original speed. Where the encoder is too slow,
    images are dropped, not frames. The video grows in a file beside `path` (take.partial.mp4) that can be played at any
    time; it becomes `path` when recording is stopped, at the end of the block, however that ends. Where the process is
    killed or the disk is full, it stays.
    """

    def __init__(self, path: str | Path, rate: float = 30.0) -> None:
        """
        Args:
            path: a name in .mp4, .mov or .webm; an existing file is replaced.
            rate: frames per second.

        Raises:
            HeadsplatError: another suffix, or writing fails.
        """
        self.path = Path(path)
        self.rate = exact_rate(rate)
        self._partial = partial_path(self.path, self.path.suffix)
        self._block = contextlib.ExitStack()
        try:
            self._writer = self._block.enter_context(
                open_output(self._partial, self.rate, encoding=Encoding(fragmented=True))
            )
        except HeadsplatError as error:
            raise self._about_recording(error) from error
        self._changed = threading.Condition()
        #: the first is being encoded; the last stays until the next one comes
        self._waiting: deque[_TimedImage] = deque()
        self._spare: list[np.ndarray] = []  # buffers to reuse
        self._start: float | None = None  # seconds, of frame 0
        self._size: tuple[int, int] | None = None  # width, height
        self._last = -1  # the last frame so far
        self._images = self._replaced = self._dropped = self._encoded = 0
        self._ending = False
        self._failure: BaseException | None = None
        self._over = threading.Event()
        threading.Thread(target=self._work, name=f"encoding {self.path.name}", daemon=True).start()

    def __enter__(self) -> VideoRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except HeadsplatError as failure:
            if error is None or isinstance(error, KeyboardInterrupt):
                raise
            _log.warning("%s", failure)  # do not replace the error that ended the block

    @property
    def failed(self) -> bool:
        """Whether writing failed; `stop` raises the error."""
        return self._failure is not None

    def set_start(self, time: float) -> None:
        """Place frame 0 at `time` seconds, once: the first image is shown from there, even if its time is later."""
        with self._changed:
            if self._start is None:
                self._start = time

    def add(self, image: np.ndarray, time: float) -> None:
        """Show `image` from `time` on; the caller's thread only copies it.

        Args:
            image: uint8 [H,W,3]; the first one's size is the video's, others are scaled to it.
            time: seconds of any clock; the first image's is the start of the video unless `set_start` was called. A
                time before the previous image's counts as equal to that.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image: expected uint8 [H,W,3], got {image.dtype} {list(image.shape)}")
        with self._changed:
            if self._ending or self._failure is not None:
                return
            self._images += 1
            if self._start is None:
                self._start = time
            if self._size is None:
                self._size = image.shape[1], image.shape[0]
            self._last = max(self._last, self._frame(time) if self._waiting else 0)
            self._enqueue(image)
            self._changed.notify()

    def hold(self, time: float) -> None:
        """Show the last image until `time` seconds.

        With regular calls its frames are encoded in the meantime, so neither the next image nor `stop` waits for them.
        """
        with self._changed:
            if self._images and not self._ending:
                self._last = max(self._last, self._frame(time))
                self._changed.notify()

    def stop(self) -> None:
        """Finish the file and wait until it is complete; has no effect when repeated.

        Raises:
            HeadsplatError: no image was added, or writing failed; then the partial file stays.
        """
        self._end()
        if self._failure is not None:
            raise self._failure
        if not self._images:
            raise HeadsplatError(f"{self.path}: no image was rendered, so nothing is recorded; record for longer")

    def stats(self) -> VideoStats:
        """State now."""
        with self._changed:
            return VideoStats(
                frames=self._last + 1,
                encoded=self._encoded,
                seconds=float((self._last + 1) / self.rate),
                rate=float(self.rate),
                size=self._size,
                images=self._images,
                replaced=self._replaced,
                dropped=self._dropped,
                failure=None if self._failure is None else str(self._failure),
            )

    def _frame(self, time: float) -> int:
        """The frame nearest to `time` seconds."""
        assert self._start is not None
        return math.floor((time - self._start) * float(self.rate) + 0.5)

    def _enqueue(self, image: np.ndarray) -> None:
        """Copy `image` for frame `_last`: in place of one that waits for the same frame, or after the others."""
        if self._waiting and self._waiting[-1].frame == self._last:
            self._recycle(self._waiting.pop().image)
            self._replaced += 1
        elif self._is_full(image):
            self._dropped += 1
            return
        self._spare = [buffer for buffer in self._spare if buffer.shape == image.shape]
        buffer = self._spare.pop() if self._spare else np.empty(image.shape, np.uint8)
        np.copyto(buffer, image)
        self._waiting.append(_TimedImage(self._last, buffer))

    def _is_full(self, image: np.ndarray) -> bool:
        count = len(self._waiting)
        size = sum(waiting.image.nbytes for waiting in self._waiting) + image.nbytes
        return count >= _MAX_WAITING or (count > 1 and size > _MAX_WAITING_BYTES)

    def _recycle(self, buffer: np.ndarray) -> None:
        if len(self._spare) < 2:  # memory that a process has touched is faster to fill again than new memory
            self._spare.append(buffer)

    def _work(self) -> None:
        """The encoding thread."""
        try:
            with self._block:
                for image, frames in self._due_images():
                    self._encode(image, frames)
                if not self._images:
                    raise _NoImages
            join([self._partial], self.path)
            with contextlib.suppress(OSError):
                self._partial.unlink()
        except _NoImages:
            pass
        except HeadsplatError as error:
            self._failure = self._about_recording(error)
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._waiting.clear()
                self._spare.clear()
            self._over.set()

    def _due_images(self) -> Iterator[tuple[np.ndarray, int]]:
        """Each image and the count of further frames that certainly show it; repeatedly for one that is held."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) > 1 or self._due() or self._ending)
                if len(self._waiting) > 1 and not self._due():
                    self._recycle(self._waiting.popleft().image)
                    continue
                if not self._due():
                    return
                image = self._waiting[0].image
                frames = self._due()
            yield image, frames

    def _due(self) -> int:
        """How many frames of the first waiting image can be encoded: no later image can replace it there."""
        if not self._waiting:
            return 0
        # The last frame may get another image until recording ends.
        until = self._waiting[1].frame if len(self._waiting) > 1 else self._last + self._ending
        return until - self._encoded

    def _encode(self, image: np.ndarray, frames: int) -> None:
        assert self._size is not None
        frame = letterbox(image, *self._size)
        for _ in range(frames):
            self._writer.add(frame)
            self._encoded += 1

    def _about_recording(self, error: HeadsplatError) -> HeadsplatError:
        """The error about the partial file as one about the recording."""
        note = f"; what was recorded is in {self._partial}" if self._partial.exists() else ""
        return HeadsplatError(str(error).replace(str(self._partial), str(self.path)) + note)

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()
        while not self._over.wait(_POLL):
            pass
