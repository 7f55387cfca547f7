"""A camera's face tracked in a process of its own.

Python runs one thread of a process at a time: tracking beside the window, in one process, made the window wait for the
lock at each of its hundreds of small calls a frame. Times are of time.monotonic(), which processes share.
"""

from __future__ import annotations

import contextlib
import logging
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
import numpy as np

from avatar.common.process_memory import memory_mb
from avatar.errors import HeadsplatError
from capture.live.camera import Feed
from capture.live.face_input import FaceInput
from capture.live.identity import LearnOptions
from capture.live.latest import Slot
from capture.live.sample import Sample
from capture.options import FaceModels

log = logging.getLogger(__name__)

#: Seconds between two looks for a sample, two facts, two pictures for a preview; until a process that ends is ended.
_LOOK, _FACTS, _PICTURES, _GRACE = 0.001, 0.2, 1 / 15, 2.0
#: Seconds that a process may take to import what it needs and to open its camera.
_STARTING = 30.0
_WIDTH = 320  # pixels of those pictures
#: Steps by which the tracker stands back behind the window, which needs the newest face only.
_MODESTY = 5
_Look = tuple[np.ndarray, np.ndarray | None]


class FaceApart:
    """The same as `FaceInput`, elsewhere."""

    def __init__(self, feed: Feed, models: FaceModels | None = None, learn: LearnOptions | None = None) -> None:
        """
        Args:
            feed: where pictures come from; it is opened over there, and so has to be one that can be sent.
            models: makers of the networks.
            learn: how the face is learned.
        """
        self.name = Path(feed.name).name
        self.feed, self._models, self._learn = feed, models, learn
        self._slot: Slot[Sample] = Slot()
        #: counts who was tracked: what was sent of somebody before arrives after `learn_again` too, and is dropped
        self._person = 0
        self._lock = threading.Lock()  # of the person, what they gave, and what they did before
        self._last: Sample | None = None
        self._facts: dict[str, Any] = {"input": self.name, "rate": 0.0, "phase": "stopped", "ended": None}
        self._earlier: Sequence[Sample] = ()
        self._look: _Look | None = None
        self._pipe: Connection | None = None
        self._process: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and wait until its camera is open; raises HeadsplatError where there is none."""
        try:
            self._pipe = self._launch()
            if not self._pipe.poll(_STARTING):
                raise HeadsplatError(
                    f"{self.name}: the tracker has not started within {_STARTING:.0f} s; close what keeps the machine "
                    "busy and try again"
                )
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError) as error:
                raise HeadsplatError(f"{self.name}: the tracker could not be started; try again") from error
            if kind == "failed":
                raise HeadsplatError(value)
        except BaseException:  # Ctrl-C too must leave no process behind
            self.stop()
            raise
        self._facts, self._look, self._slot = value, None, Slot()
        self._thread = threading.Thread(target=self._read, args=(self._pipe, self._slot), name="face", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once; None when nothing is new."""
        return self._slot.take()

    def earlier(self) -> Sequence[Sample]:
        """What the face did while it was learned."""
        return self._earlier

    def look(self) -> _Look | None:
        """A small copy of the picture tracked last, and its landmarks there."""
        return self._look

    def learn_again(self) -> None:
        """Forget who it is: another person sat down."""
        self._forget()
        self._tell("learn", self._person)

    def stop(self) -> None:
        """End; harmless when it never began or has ended."""
        self._forget()
        self._tell("stop", self._person)
        self._slot.close()
        if self._process is not None:
            self._process.join(_GRACE)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(_GRACE)
            self._process = None
        if self._thread is not None:  # it ends with the process; a pipe closed under it could be another's by then
            self._thread.join(_GRACE)
            self._thread = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def stats(self) -> dict[str, Any]:
        """As those of `FaceInput`, a fifth of a second old at most, and `memory_mb` of the process."""
        return self._facts

    def _launch(self) -> Connection:
        """Start the process; returns this end of its pipe."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        work = theirs, self.feed, self._models, self._learn, self._person
        process = context.Process(target=_serve, args=work, daemon=True)
        try:
            with _deaf():
                process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._process = process
        return ours

    def _forget(self) -> None:
        """Know nothing of whoever was tracked."""
        with self._lock:
            self._person += 1
            self._earlier, self._last = (), None
            self._slot.take()

    def _tell(self, word: str, person: int) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send((word, person))

    def _read(self, pipe: Connection, slot: Slot[Sample]) -> None:
        """Take what comes, until the process ends."""
        ended = f"{self.name}: the tracker has ended; choose it again"
        try:
            while True:
                kind, value = pipe.recv()
                if kind == "sample":
                    self._see(slot, *value)
                elif kind == "look":
                    self._look = value
                else:
                    self._facts = value
        except (EOFError, OSError):
            pass
        except Exception as error:  # of a message cut short, anything
            log.warning("%s: %s", self.name, error)
            ended = f"{self.name}: what the tracker says cannot be read ({error}); choose it again"
        finally:
            self._facts = {**self._facts, "rate": 0.0, "ended": self._facts.get("ended") or ended}
            with self._lock:
                if self._last is not None and self._last.confidence > 0:  # else the avatar would keep its last face
                    slot.put(self._last.gone(time.monotonic()))
            slot.close()

    def _see(self, slot: Slot[Sample], person: int, earlier: Sequence[Sample] | None, sample: Sample) -> None:
        with self._lock:
            if person == self._person:
                self._earlier = self._earlier if earlier is None else earlier
                self._last = sample
                slot.put(sample)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Hear no Ctrl-C: a process started within does not either, not even while it imports."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def _serve(pipe: Connection, feed: Feed, models: FaceModels | None, learn: LearnOptions | None, person: int) -> None:
    """The process: track until the pipe says stop, or nobody holds its other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the window, which then stops this
    if hasattr(os, "nice"):
        os.nice(_MODESTY)
    face = _begun(pipe, feed, models, learn)
    if face is None:
        return
    try:
        with contextlib.suppress(EOFError, OSError):
            pipe.send(("facts", _facts(face)))
            _Sender(pipe, face, person).run()
    finally:
        face.stop()


def _begun(pipe: Connection, feed: Feed, models: FaceModels | None, learn: LearnOptions | None) -> FaceInput | None:
    """A face that is tracked; None where there is none, and then the pipe says why."""
    try:
        face = FaceInput(feed, models=models, learn=learn)
        face.start()
    except Exception as error:
        name = Path(feed.name).name
        known = isinstance(error, HeadsplatError)
        said = str(error) if known else f"{name}: the tracker could not be started ({error}); try again"
        with contextlib.suppress(OSError):
            pipe.send(("failed", said))
        return None
    return face


def _facts(face: FaceInput) -> dict[str, Any]:
    """Those of a face, and of this process."""
    return {**face.stats(), "memory_mb": memory_mb()}


class _Sender:
    """What a face gives, into the pipe."""

    def __init__(self, pipe: Connection, face: FaceInput, person: int) -> None:
        self._pipe, self._face, self._person = pipe, face, person
        self._told = self._looked = -np.inf
        self._new_person = True

    def run(self) -> None:
        """Until the face ends or the pipe says so."""
        while not self._face.finished:
            if self._pipe.poll(_LOOK):
                word, self._person = self._pipe.recv()
                if word == "stop":
                    return
                self._face.learn_again()
                self._new_person = True
            self._send()
        self._send()
        self._pipe.send(("facts", _facts(self._face)))

    def _send(self) -> None:
        sample, now = self._face.latest(), time.monotonic()
        if sample is not None:
            earlier = list(self._face.earlier()) if self._new_person else None
            self._pipe.send(("sample", (self._person, earlier, sample)))
            self._new_person = False
        if now - self._told > _FACTS:
            self._told = now
            self._pipe.send(("facts", _facts(self._face)))
        if now - self._looked > _PICTURES and (look := self._face.look()) is not None:
            self._looked = now
            self._pipe.send(("look", _small(*look)))


def _small(picture: np.ndarray, points: np.ndarray | None) -> _Look:
    """A picture for a preview, and its landmarks there."""
    height, width = picture.shape[:2]
    scale = min(_WIDTH / width, 1.0)
    size = round(width * scale), max(round(height * scale), 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), None if points is None else points * scale
