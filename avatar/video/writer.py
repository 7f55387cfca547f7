"""The writer of rendered frames: a thread encodes them, and its errors are raised in the calling thread."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from avatar.common.files import write_error
from avatar.errors import HeadsplatError
from avatar.rendering.passes import Pass, check_image

_MAX_QUEUED = 8  # frames between renderer and encoder
_MAX_QUEUED_BYTES = 1 << 28
_POLL_INTERVAL = 0.1  # seconds between checks that the thread has ended, in case a signal interrupted the wait


class Sink(Protocol):
    """The output of a writer: a video file or a folder, with a temporary name until it is finished."""

    path: Path
    errors: tuple[type[Exception], ...]  # of the system or FFmpeg, which mean that the output cannot be written

    def open(self) -> None:
        """Create the temporary file or folder; raises OSError."""
        ...

    def write(self, image: np.ndarray, index: int, time: float | None) -> None:
        """Encode an image.

        Args:
            image: of the pass; it may be overwritten after the call.
            index: number of the frame in this output.
            time: seconds since frame 0 of the full video; None: constant rate.
        """
        ...

    def finish(self) -> None:
        """Complete the output and rename it to its final name."""
        ...

    def discard(self) -> None:
        """Remove an incomplete output; never raises, and does nothing after `finish`."""
        ...


class Writer:
    """Context manager that writes the frames of one pass in a thread, while the next frames are rendered.

    The output gets its final name when the block ends without an exception. After Ctrl-C too, unless `complete_only` is
    set: the file is then valid and playable with the frames so far, `interrupted` is set, `count` is the number of
    frames, and the KeyboardInterrupt is raised again. This includes a Ctrl-C after the last frame, while the block
    waits for the encoder. A second Ctrl-C ends that wait; the thread still finishes the file if the process runs long
    enough. After any other exception there is no output.

    Attributes:
        path: the file or folder.
        count: frames added so far; after the block, frames in the output.
        interrupted: whether Ctrl-C ended the block.
        finished: whether the output has its final name.
    """

    def __init__(self, sink: Sink, name: Pass, alpha: bool, complete_only: bool = False) -> None:
        """
        Args:
            sink: the output.
            name: the pass.
            alpha: color passes have straight alpha.
            complete_only: after Ctrl-C discard the output.
        """
        self.path = sink.path
        self.count = 0
        self.interrupted = False
        self.finished = False
        self._sink = sink
        self._name = name
        self._alpha = alpha
        self._complete_only = complete_only
        self._size: tuple[int, int] | None = None
        self._timed: bool | None = None
        self._time = -np.inf
        self._queue: queue.SimpleQueue[tuple[np.ndarray, float | None] | None] = queue.SimpleQueue()
        # One entry for each frame that may be queued: the buffer of an earlier frame, or None for one to be allocated.
        self._free: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self._written = 0
        self._failure: BaseException | None = None
        self._discarding = False  # queued frames and the output
        self._ended = False
        self._end = threading.Lock()  # locked until the thread has ended
        self._end.acquire()
        self._thread = threading.Thread(target=self._work, name=f"writing {self.path.name}", daemon=True)

    def __enter__(self) -> Writer:
        try:
            self._sink.open()
        except self._sink.errors as error:
            self._sink.discard()
            raise write_error(self.path, error) from error
        self._thread.start()
        return self

    def add(self, image: np.ndarray, time: float | None = None) -> None:
        """Append a frame; it is copied, so its memory can be reused immediately.

        Args:
            image: in the format of the pass (`avatar.video.conversions`); all of one size.
            time: seconds since frame 0 of the full video, increasing; None: number of the frame / rate. Given for all
                frames or for none.

        Raises:
            ValueError: the format of the image or the time is not valid.
            HeadsplatError: an earlier frame could not be written.
        """
        check_image(image, self._name, self._alpha, self._size)
        self._check_time(time)
        if self._size is None:
            self._size = (image.shape[0], image.shape[1])
            for _ in range(max(1, min(_MAX_QUEUED, _MAX_QUEUED_BYTES // image.nbytes))):
                self._free.put(None)
        buffer = self._free.get()
        self._raise_failure()
        if buffer is None:
            buffer = np.empty(image.shape, image.dtype)
        np.copyto(buffer, image)
        self._queue.put((buffer, time))
        self.count += 1

    def _check_time(self, time: float | None) -> None:
        if self._timed is None:
            self._timed = time is not None
        if self._timed != (time is not None):
            raise ValueError("time: expected for every frame or for none")
        if time is not None:
            if not (np.isfinite(time) and time > self._time):
                raise ValueError(f"time: expected more than {self._time} seconds, got {time}")
            self._time = time

    def _work(self) -> None:
        """The writing thread: it alone uses the sink once that is open."""
        try:
            self._write_all()
            if self._written and self._failure is None and not self._discarding:
                self._sink.finish()
                self.finished = True
        except BaseException as error:
            self._failure = error
        finally:
            self._sink.discard()
            self._ended = True
            self._end.release()

    def _write_all(self) -> None:
        while (item := self._queue.get()) is not None:
            image, time = item
            if self._failure is None and not self._discarding:
                try:
                    self._sink.write(image, self._written, time)
                    self._written += 1
                except BaseException as error:
                    self._failure = error
            self._free.put(image)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(kind)
        except KeyboardInterrupt:  # after the last frame, or a second one: the thread must still end
            self._wait(KeyboardInterrupt)
            self._finish()
            raise
        self._finish()

    def _wait(self, kind: type[BaseException] | None) -> None:
        """End the thread after an exception of `kind` or none, and wait for it."""
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.interrupted = self.interrupted or stopped
        self._discarding = self._discarding or (kind is not None and (self._complete_only or not stopped))
        self._queue.put(None)
        # Not Thread.join: up to Python 3.12 a join interrupted by Ctrl-C marks a running thread as ended.
        while not self._ended:
            self._end.acquire(timeout=_POLL_INTERVAL)

    def _finish(self) -> None:
        self.count = self._written
        if self._discarding:
            return
        self._raise_failure()
        if not self._written and not self.interrupted:
            raise HeadsplatError(f"{self.path}: no frames to write; check the range of frames")

    def _raise_failure(self) -> None:
        if isinstance(self._failure, self._sink.errors):
            raise write_error(self.path, self._failure) from self._failure
        if self._failure is not None:
            raise self._failure
