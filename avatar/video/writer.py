"""The writer that a renderer feeds: frames are encoded in a thread of their own, what fails there surfaces here."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol

import av
import numpy as np

from avatar.common.files import write_error
from avatar.errors import HeadsplatError
from avatar.rendering.passes import Pass, check_image

#: What a system or ffmpeg raises where it cannot write.
_REFUSALS = (OSError, av.error.FFmpegError)
_MOST_WAITING = 8  # frames between renderer and encoder
_MOST_WAITING_BYTES = 1 << 28
_GLANCE = 0.1  # seconds between two looks whether the thread has ended, should a signal have swallowed its word


class Sink(Protocol):
    """What pictures go into: a video file or a folder, under a temporary name until it is finished."""

    path: Path

    def open(self) -> None:
        """Make the temporary file or folder; raises OSError."""
        ...

    def write(self, picture: np.ndarray, index: int, time: float | None) -> None:
        """Encode the picture, number `index` of this output; it may be overwritten after the call."""
        ...

    def finish(self) -> None:
        """Complete the output and give it its name."""
        ...

    def discard(self) -> None:
        """Remove what there is of it; never raises, and does nothing after `finish`."""
        ...


class Writer:
    """Context manager that takes pictures of one pass and writes them while the next are rendered.

    The output appears under its name on a clean exit. After Ctrl-C it does too, finished and playable, with the frames
    so far, unless `only_whole` forbids it: `interrupted` is set, `count` says how many, and the KeyboardInterrupt goes
    on; also where it came after the last frame, while the encoder caught up. One more during that wait gives up
    waiting: the thread finishes the file on its own if the process lives so long. After any other exception nothing is
    left.

    Attributes:
        path: the file or folder.
        count: frames taken so far; after the block, frames that are in the output.
        interrupted: whether Ctrl-C ended it.
        finished: whether the output has its name.
    """

    def __init__(self, sink: Sink, name: Pass, alpha: bool, only_whole: bool = False) -> None:
        self.path = sink.path
        self.count = 0
        self.interrupted = False
        self.finished = False
        self._sink, self._name, self._alpha, self._only_whole = sink, name, alpha, only_whole
        self._size: tuple[int, int] | None = None
        self._timed: bool | None = None
        self._time = -np.inf
        self._waiting: queue.SimpleQueue[tuple[np.ndarray, float | None] | None] = queue.SimpleQueue()
        # One token a frame that may wait: a buffer of an earlier frame, or None for one that is yet to be made.
        self._free: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self._written = 0
        self._failure: BaseException | None = None
        self._dropped = False  # what waits, and the whole output
        self._ended = False
        self._end = threading.Lock()  # until the thread has ended
        self._end.acquire()
        self._thread = threading.Thread(target=self._work, name=f"writing {self.path.name}", daemon=True)

    def __enter__(self) -> Writer:
        try:
            self._sink.open()
        except _REFUSALS as error:
            self._sink.discard()
            raise write_error(self.path, error) from error
        self._thread.start()
        return self

    def add(self, picture: np.ndarray, time: float | None = None) -> None:
        """Append a picture; it is copied, so that its memory may be used again at once.

        Args:
            picture: as avatar.video.conversions says for the pass; all of one size.
            time: seconds since frame 0 of the whole, increasing; None: the frame's number / rate. Given for all frames
                or for none.

        Raises:
            ValueError: the picture or the time is none that was expected.
            HeadsplatError: an earlier frame could not be written.
        """
        check_image(picture, self._name, self._alpha, self._size)
        self._check_time(time)
        if self._size is None:
            self._size = (picture.shape[0], picture.shape[1])
            for _ in range(max(1, min(_MOST_WAITING, _MOST_WAITING_BYTES // picture.nbytes))):
                self._free.put(None)
        buffer = self._free.get()
        self._raise_failure()
        if buffer is None:
            buffer = np.empty(picture.shape, picture.dtype)
        np.copyto(buffer, picture)
        self._waiting.put((buffer, time))
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
        """All that happens to the sink once it is open, in the writing thread: nobody else may touch it."""
        try:
            self._write_all()
            if self._written and self._failure is None and not self._dropped:
                self._sink.finish()
                self.finished = True
        except BaseException as error:
            self._failure = error
        finally:
            self._sink.discard()
            self._ended = True
            self._end.release()

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            picture, time = item
            if self._failure is None and not self._dropped:
                try:
                    self._sink.write(picture, self._written, time)
                    self._written += 1
                except BaseException as error:
                    self._failure = error
            self._free.put(picture)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(kind)
        except KeyboardInterrupt:  # when all was drawn, or for the second time: the thread is to end all the same
            self._wait(KeyboardInterrupt)
            self._conclude()
            raise
        self._conclude()

    def _wait(self, kind: type[BaseException] | None) -> None:
        """Have the thread end, after an exception of `kind` or none; returns when it has."""
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.interrupted = self.interrupted or stopped
        self._dropped = self._dropped or (kind is not None and (self._only_whole or not stopped))
        self._waiting.put(None)
        # Not Thread.join: up to Python 3.12 a join that Ctrl-C interrupts takes the thread for ended when it is not.
        while not self._ended:
            self._end.acquire(timeout=_GLANCE)

    def _conclude(self) -> None:
        self.count = self._written
        if self._dropped:
            return
        self._raise_failure()
        if not self._written and not self.interrupted:
            raise HeadsplatError(f"{self.path}: no frames to write; check the range of frames that was asked for")

    def _raise_failure(self) -> None:
        if isinstance(self._failure, _REFUSALS):
            raise write_error(self.path, self._failure) from self._failure
        if self._failure is not None:
            raise self._failure
