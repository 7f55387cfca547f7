"""Face tracking in a worker process.

Python runs one thread of a process at a time: with tracking in the window's process, the window waited for the global
interpreter lock at each of its hundreds of small calls per frame. Times are of time.monotonic(), which processes share.
"""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2

from avatar.common.processes import memory_mb
from avatar.driving.live.samples import CameraPreview, Sample, SourceStats
from avatar.errors import HeadsplatError
from capture.live.camera import Feed
from capture.live.face_source import FaceSource
from capture.live.identity import LearnOptions
from capture.live.latest import Slot
from capture.live.own_face import OwnFaceOptions
from capture.options import FaceModels

log = logging.getLogger(__name__)

#: Seconds between two polls for a sample, two messages of statistics and two preview images; until a process that does
#: not stop is terminated.
_POLL = 0.001
_STATS_PERIOD = 0.2
_PREVIEW_PERIOD = 1 / 15
_GRACE = 2.0
#: Seconds that the process may take for imports and to open its camera.
_START_TIMEOUT = 30.0
_PREVIEW_WIDTH = 320  # pixels
#: Niceness of the process: the window has priority, since it only needs the newest sample.
_NICENESS = 5


class FaceWorker:
    """A `FaceSource` in a worker process, with the same interface."""

    def __init__(
        self,
        feed: Feed,
        models: FaceModels | None = None,
        learn: LearnOptions | None = None,
        torso: bool = True,
        own: OwnFaceOptions | None = None,
    ) -> None:
        """
        Args:
            feed: the camera or file; it is opened in the worker process, so it must be picklable.
            models: factories of the networks.
            learn: options of the identity fit.
            torso: measure the motion of the torso.
            own: the avatar that tracks its own person; None: landmarks alone.
        """
        self.name = Path(feed.name).name
        self.feed = feed
        self.torso = torso
        self.own = own
        self._options = (models, learn, torso, own)
        self._slot: Slot[Sample] = Slot()
        #: number of the person tracked: samples of the one before that arrive after `learn_again` are dropped
        self._person = 0
        self._lock = threading.Lock()  # of _person, _last, _earlier and the slot
        self._last: Sample | None = None
        self._stats: SourceStats = {"input": self.name, "rate": 0.0, "phase": "stopped", "ended": None}
        self._earlier: Sequence[Sample] = ()
        self._preview: CameraPreview | None = None
        self._pipe: Connection | None = None
        self._process: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and wait until its camera is open; raises HeadsplatError where it cannot be opened."""
        try:
            self._pipe = self._launch()
            if not self._pipe.poll(_START_TIMEOUT):
                raise HeadsplatError(
                    f"{self.name}: the tracker did not start within {_START_TIMEOUT:.0f} s; close other busy programs "
                    "and try again"
                )
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError) as error:
                raise HeadsplatError(f"{self.name}: the tracker could not be started; try again") from error
            if kind == "failed":
                raise HeadsplatError(value)
        except BaseException:  # also Ctrl-C: no process must remain
            self.stop()
            raise
        self._stats = value
        self._preview = None
        self._slot = Slot()
        self._thread = threading.Thread(target=self._read, args=(self._pipe, self._slot), name="face", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once; None when nothing is new."""
        return self._slot.take()

    def earlier(self) -> Sequence[Sample]:
        """Samples of the frames that the identity was fitted to."""
        return self._earlier

    def preview(self) -> CameraPreview | None:
        """A small copy of the frame that was tracked last."""
        return self._preview

    def learn_again(self) -> None:
        """Discard the identity: another person is in front of the camera."""
        self._reset()
        self._send("learn", self._person)

    def stop(self) -> None:
        """Stop; has no effect when it was not started or has stopped."""
        self._reset()
        self._send("stop", self._person)
        self._slot.close()
        if self._process is not None:
            self._process.join(_GRACE)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(_GRACE)
            self._process = None
        if self._thread is not None:  # it ends with the process; closing the pipe first could free its file number
            self._thread.join(_GRACE)
            self._thread = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def stats(self) -> SourceStats:
        """Those of the `FaceSource`, at most a fifth of a second old, and `memory_mb` of the process."""
        return self._stats

    def _launch(self) -> Connection:
        """Start the process; returns our end of the pipe."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = theirs, self.feed, self._options, self._person
        process = context.Process(target=_serve, args=arguments, daemon=True)
        try:
            with _ignored_sigint():
                process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process = process
        return ours

    def _reset(self) -> None:
        """Discard all samples of the person tracked so far."""
        with self._lock:
            self._person += 1
            self._earlier = ()
            self._last = None
            self._slot.take()

    def _send(self, command: str, person: int) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send((command, person))

    def _read(self, pipe: Connection, slot: Slot[Sample]) -> None:
        """Receive messages until the process ends."""
        ended = f"{self.name}: the tracker has stopped; select it again"
        try:
            while True:
                kind, value = pipe.recv()
                if kind == "sample":
                    self._put(slot, *value)
                elif kind == "preview":
                    self._preview = value
                else:
                    self._stats = value
        except (EOFError, OSError):
            pass
        except Exception as error:  # unpickling a truncated message can raise anything
            log.warning("%s: %s", self.name, error)
            ended = f"{self.name}: a message of the tracker cannot be read ({error}); select it again"
        finally:
            self._stats = {**self._stats, "rate": 0.0, "ended": self._stats.get("ended") or ended}
            with self._lock:
                if self._last is not None and self._last.confidence > 0:  # else the avatar would keep its last pose
                    slot.put(self._last.as_lost(time.monotonic()))
            slot.close()

    def _put(self, slot: Slot[Sample], person: int, earlier: Sequence[Sample] | None, sample: Sample) -> None:
        with self._lock:
            if person == self._person:
                self._earlier = self._earlier if earlier is None else earlier
                self._last = sample
                slot.put(sample)


@contextlib.contextmanager
def _ignored_sigint() -> Iterator[None]:
    """Ignore Ctrl-C; a process started in this block inherits that, also while it imports."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


#: Networks, identity fit, whether the torso is measured, and the avatar of the person, as FaceSource takes them.
_Options = tuple[FaceModels | None, LearnOptions | None, bool, OwnFaceOptions | None]


def _serve(pipe: Connection, feed: Feed, options: _Options, person: int) -> None:
    """The worker process: track until a stop command, or until the other end of the pipe is closed."""
    for name in ("SIGINT", "SIGHUP"):  # the process of the window handles them and stops this one
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    face = _start_source(pipe, feed, options)
    if face is None:
        return
    try:
        with contextlib.suppress(EOFError, OSError):
            pipe.send(("stats", _stats(face)))
            _Sender(pipe, face, person).run()
    finally:
        face.stop()


def _start_source(pipe: Connection, feed: Feed, options: _Options) -> FaceSource | None:
    """A started face source; None on failure, after the reason was sent."""
    try:
        models, learn, torso, own = options
        face = FaceSource(feed, models=models, learn=learn, torso=torso, own=own)
        face.start()
    except Exception as error:
        name = Path(feed.name).name
        known = isinstance(error, HeadsplatError)
        message = str(error) if known else f"{name}: the tracker could not be started ({error}); try again"
        with contextlib.suppress(OSError):
            pipe.send(("failed", message))
        return None
    return face


def _stats(face: FaceSource) -> SourceStats:
    """Those of the source, and this process's memory."""
    return {**face.stats(), "memory_mb": memory_mb()}


class _Sender:
    """Sends samples, statistics and preview images through the pipe."""

    def __init__(self, pipe: Connection, face: FaceSource, person: int) -> None:
        self._pipe = pipe
        self._face = face
        self._person = person
        self._stats_at = self._preview_at = -math.inf  # seconds, when they were last sent
        self._new_person = True

    def run(self) -> None:
        """Send until the source ends or a stop command arrives."""
        while not self._face.finished:
            if self._pipe.poll(_POLL):
                command, self._person = self._pipe.recv()
                if command == "stop":
                    return
                self._face.learn_again()
                self._new_person = True
            self._send()
        self._send()
        self._pipe.send(("stats", _stats(self._face)))

    def _send(self) -> None:
        sample = self._face.latest()
        now = time.monotonic()
        if sample is not None:
            earlier = list(self._face.earlier()) if self._new_person else None
            self._pipe.send(("sample", (self._person, earlier, sample)))
            self._new_person = False
        if now - self._stats_at > _STATS_PERIOD:
            self._stats_at = now
            self._pipe.send(("stats", _stats(self._face)))
        if now - self._preview_at > _PREVIEW_PERIOD and (preview := self._face.preview()) is not None:
            self._preview_at = now
            self._pipe.send(("preview", _shrink(preview)))


def _shrink(preview: CameraPreview) -> CameraPreview:
    """A copy of at most the preview's width."""
    height, width = preview.image.shape[:2]
    scale = min(_PREVIEW_WIDTH / width, 1.0)
    size = round(width * scale), max(round(height * scale), 1)
    landmarks = None if preview.landmarks is None else preview.landmarks * scale
    return CameraPreview(cv2.resize(preview.image, size, interpolation=cv2.INTER_AREA), landmarks)
