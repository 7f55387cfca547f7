"""A film of what the window shows, recorded while it runs."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from avatar.video import exact_rate, open_output
from viewer.outputs.letterbox import fitted

#: Pictures that may wait for the encoder: a second of them, or as many as this memory holds.
_MOST_WAITING, _MOST_WAITING_BYTES = 30, 1 << 27
_GLANCE = 0.1  # seconds between two looks whether the thread has ended: a wait without end shuts Ctrl-C out on Windows


class _Discarded(Exception):
    """Ends the writer's block without a file."""


class _Shown:
    """A picture and the film's frame from which on it is seen."""

    def __init__(self, frame: int, picture: np.ndarray) -> None:
        self.frame, self.picture = frame, picture


class VideoRecorder:
    """Pictures that come when they come, in a video of constant rate, frame k at k / rate seconds.

        with VideoRecorder("take.mp4") as film:
            film.add(picture, time.monotonic())

    Each is seen from the frame nearest to its time until the next one is. So a slow window's pictures are repeated, of
    a fast one's the last for each frame is taken, and of a camera at the film's rate every one is seen though they come
    some milliseconds early or late: the film plays at the speed at which things happened. Where the encoder cannot
    follow, pictures are dropped, not frames. The file appears under its name when it is stopped, as the end of the
    block does, by Ctrl-C too; another exception that reaches the block while the film runs discards it.
    """

    def __init__(self, path: str | Path, rate: float = 30.0) -> None:
        """
        Args:
            path: a name in .mp4, .mov or .webm; what is there is replaced.
            rate: frames a second.

        Raises:
            HeadsplatError: another suffix, or the disk refuses.
        """
        self.path, self.rate = Path(path), exact_rate(rate)
        self._block = contextlib.ExitStack()
        self._writer = self._block.enter_context(open_output(self.path, self.rate))
        self._changed = threading.Condition()
        self._waiting: deque[_Shown] = deque()  # the first is being written; the last stays until the next one comes
        self._spare: list[np.ndarray] = []
        self._begin: float | None = None  # seconds, of frame 0
        self._size: tuple[int, int] | None = None  # width, height
        self._last = -1  # the last frame that anything was added for
        self._pictures = self._passed = self._dropped = self._encoded = 0
        self._ending = self._discarding = False
        self._failure: BaseException | None = None
        self._over = threading.Event()
        threading.Thread(target=self._work, name=f"filming {self.path.name}", daemon=True).start()

    def __enter__(self) -> VideoRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):
            self.stop()
        else:
            self.discard()

    @property
    def failed(self) -> bool:
        """Whether the disk refused; `stop` says how."""
        return self._failure is not None

    def begin(self, time: float) -> None:
        """Let frame 0 be at `time` seconds: the first picture is seen from then on, even if it comes later."""
        with self._changed:
            if self._begin is None:
                self._begin = time

    def add(self, picture: np.ndarray, time: float) -> None:
        """Show `picture` from `time` on; it is copied, and nothing else happens in the caller's thread.

        Args:
            picture: uint8 [H,W,3]; the first one's size is the film's, others are scaled to it.
            time: seconds of any clock, the first picture's is the film's beginning unless `begin` said another; one
                that is earlier than the picture's before is taken for the same.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"picture: expected uint8 [H,W,3], got {picture.dtype} {list(picture.shape)}")
        with self._changed:
            if self._ending or self._failure is not None:
                return
            self._pictures += 1
            if self._begin is None:
                self._begin = time
            if self._size is None:
                self._size = picture.shape[1], picture.shape[0]
            self._last = max(self._last, self._frame(time) if self._waiting else 0)
            self._keep(picture)
            self._changed.notify()

    def hold(self, time: float) -> None:
        """Let the last picture be seen until `time` seconds, where nothing has changed since it came.

        Said while time passes, its frames are written meanwhile: neither the next picture nor `stop` waits for them.
        """
        with self._changed:
            if self._pictures and not self._ending:
                self._last = max(self._last, self._frame(time))
                self._changed.notify()

    def stop(self) -> None:
        """Finish the file and wait until it is there; harmless when repeated.

        Raises:
            HeadsplatError: no picture came, or the disk refused.
        """
        self._end(discard=self._begin is None or not self._pictures)
        if self._failure is not None:
            raise self._failure
        if not self._pictures:
            raise HeadsplatError(f"{self.path}: no picture was drawn, so nothing is recorded; record for longer")

    def discard(self) -> None:
        """End without a file."""
        self._end(discard=True)

    def stats(self) -> dict[str, Any]:
        """What has become of the pictures.

        `frames` of the film, of which `encoded` so far; `seconds`, `rate`, `size` (width, height) or None; `pictures`
        that came, of which `passed` were overtaken before their frame and `dropped` for want of time; `failure`, a
        sentence or None.
        """
        with self._changed:
            return {
                "frames": self._last + 1,
                "encoded": self._encoded,
                "seconds": float((self._last + 1) / self.rate),
                "rate": float(self.rate),
                "size": self._size,
                "pictures": self._pictures,
                "passed": self._passed,
                "dropped": self._dropped,
                "failure": None if self._failure is None else str(self._failure),
            }

    def _frame(self, time: float) -> int:
        """The frame nearest to `time` seconds."""
        assert self._begin is not None
        return math.floor((time - self._begin) * float(self.rate) + 0.5)

    def _keep(self, picture: np.ndarray) -> None:
        """Copy `picture` for frame `_last`: in the place of one that waits for the same frame, or behind the others."""
        if self._waiting and self._waiting[-1].frame == self._last:
            self._recycle(self._waiting.pop().picture)
            self._passed += 1
        elif self._is_full(picture):
            self._dropped += 1
            return
        self._spare = [buffer for buffer in self._spare if buffer.shape == picture.shape]
        buffer = self._spare.pop() if self._spare else np.empty(picture.shape, np.uint8)
        np.copyto(buffer, picture)
        self._waiting.append(_Shown(self._last, buffer))

    def _is_full(self, picture: np.ndarray) -> bool:
        count = len(self._waiting)
        held = sum(shown.picture.nbytes for shown in self._waiting) + picture.nbytes
        return count >= _MOST_WAITING or (count > 1 and held > _MOST_WAITING_BYTES)

    def _recycle(self, buffer: np.ndarray) -> None:
        if len(self._spare) < 2:  # memory that a process has touched is faster to fill again than new memory
            self._spare.append(buffer)

    def _work(self) -> None:
        """All that the writer does, in the filming thread."""
        try:
            with self._block:
                for picture, frames in self._pictures_shown():
                    self._encode(picture, frames)
                if self._discarding:
                    raise _Discarded
        except _Discarded:
            pass
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._waiting.clear()
                self._spare.clear()
            self._over.set()

    def _pictures_shown(self) -> Iterator[tuple[np.ndarray, int]]:
        """Each picture and how many frames more it is certainly seen; one that is held comes again and again."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) > 1 or self._due() or self._ending)
                if len(self._waiting) > 1 and not self._due():
                    self._recycle(self._waiting.popleft().picture)
                    continue
                if self._discarding or not self._due():
                    return
                picture, frames = self._waiting[0].picture, self._due()
            yield picture, frames

    def _due(self) -> int:
        """How many frames of the first waiting picture can be written: no later one will take them from it."""
        if not self._waiting:
            return 0
        # For the last frame another picture may come until the end.
        until = self._waiting[1].frame if len(self._waiting) > 1 else self._last + self._ending
        return until - self._encoded

    def _encode(self, picture: np.ndarray, frames: int) -> None:
        assert self._size is not None
        whole = fitted(picture, *self._size)
        for _ in range(frames):
            if self._discarding:
                return
            self._writer.add(whole)
            self._encoded += 1

    def _end(self, discard: bool) -> None:
        with self._changed:
            if not self._ending:
                self._ending, self._discarding = True, discard
            self._discarding = self._discarding or discard
            self._changed.notify()
        while not self._over.wait(_GLANCE):
            pass
