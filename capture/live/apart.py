"""A camera's face tracked in a process of its own.

Python runs one thread of a process at a time: tracking beside the window, in one process, made the window wait for the
lock at each of its hundreds of small calls a frame. Times are of time.monotonic(), which processes share.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar.errors import HeadsplatError
from capture.live.camera import Feed
from capture.live.face_input import FaceInput
from capture.live.learning import LearnOptions
from capture.live.sample import Sample
from capture.live.slot import Slot
from capture.options import FaceModels

#: Seconds between two looks for a sample, two facts, two pictures for a preview; until a process that ends is ended.
_LOOK, _FACTS, _PICTURES, _GRACE = 0.001, 0.2, 1 / 15, 2.0
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
            learn: how the face is learnt.
        """
        self.name = Path(feed.name).name
        self.feed, self._models, self._learn = feed, models, learn
        self._slot: Slot[Sample] = Slot()
        self._facts: dict[str, Any] = {"input": self.name, "rate": 0.0, "phase": "stopped", "ended": None}
        self._earlier: Sequence[Sample] = ()
        self._look: _Look | None = None
        self._pipe: Connection | None = None
        self._process: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and wait until its camera is open; raises HeadsplatError where there is none."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.feed, self._models, self._learn), daemon=True)
        self._process.start()
        theirs.close()
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            kind, value = "failed", f"{self.name}: the tracker could not be started; try again"
        if kind == "failed":
            self.stop()
            raise HeadsplatError(value)
        self._facts = value
        self._slot, self._earlier, self._look = Slot(), (), None
        self._thread = threading.Thread(target=self._read, args=(self._pipe,), name="face", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once; None when nothing is new."""
        return self._slot.take()

    def earlier(self) -> Sequence[Sample]:
        """What the face did while it was learnt."""
        return self._earlier

    def look(self) -> _Look | None:
        """A small copy of the picture tracked last, and its landmarks there."""
        return self._look

    def learn_again(self) -> None:
        """Forget who it is: another person sat down."""
        self._tell("learn")
        self._slot.take()

    def stop(self) -> None:
        """End; harmless when it never began or has ended."""
        self._tell("stop")
        self._slot.close()
        if self._process is not None:
            self._process.join(_GRACE)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(_GRACE)
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._thread is not None:
            self._thread.join(_GRACE)
            self._thread = None

    def facts(self) -> dict[str, Any]:
        """As those of `FaceInput`, a fifth of a second old at most."""
        return self._facts

    def _tell(self, word: str) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                self._pipe.send(word)

    def _read(self, pipe: Connection) -> None:
        """Take what comes, until the process ends."""
        ended = f"{self.name}: the tracker has ended; choose it again"
        try:
            while True:
                kind, value = pipe.recv()
                if kind == "sample":
                    earlier, sample = value
                    self._earlier = self._earlier if earlier is None else earlier
                    self._slot.put(sample)
                elif kind == "look":
                    self._look = value
                else:
                    self._facts = value
        except (EOFError, OSError):
            self._facts = {**self._facts, "ended": self._facts.get("ended") or ended}
        finally:
            self._slot.close()


def _serve(pipe: Connection, feed: Feed, models: FaceModels | None, learn: LearnOptions | None) -> None:
    """The process: track until the pipe says stop, or nobody holds its other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the window, which then stops this
    if hasattr(os, "nice"):
        os.nice(_MODESTY)
    face = FaceInput(feed, models=models, learn=learn)
    try:
        face.start()
    except HeadsplatError as error:
        pipe.send(("failed", str(error)))
        return
    with contextlib.suppress(EOFError, OSError):
        pipe.send(("facts", face.facts()))
        _Sender(pipe, face).run()
    face.stop()


class _Sender:
    """What a face gives, into the pipe."""

    def __init__(self, pipe: Connection, face: FaceInput) -> None:
        self._pipe, self._face = pipe, face
        self._told = self._looked = -np.inf
        self._new_person = True

    def run(self) -> None:
        """Until the face ends or the pipe says so."""
        while not self._face.finished:
            if self._pipe.poll(_LOOK):
                if self._pipe.recv() == "stop":
                    return
                self._face.learn_again()
                self._new_person = True
            self._send()
        self._send()
        self._pipe.send(("facts", self._face.facts()))

    def _send(self) -> None:
        sample, now = self._face.latest(), time.monotonic()
        if sample is not None:
            self._pipe.send(("sample", (list(self._face.earlier()) if self._new_person else None, sample)))
            self._new_person = False
        if now - self._told > _FACTS:
            self._told = now
            self._pipe.send(("facts", self._face.facts()))
        if now - self._looked > _PICTURES and (look := self._face.look()) is not None:
            self._looked = now
            self._pipe.send(("look", _small(*look)))


def _small(picture: np.ndarray, points: np.ndarray | None) -> _Look:
    """A picture for a preview, and its landmarks there."""
    height, width = picture.shape[:2]
    scale = min(_WIDTH / width, 1.0)
    size = round(width * scale), max(round(height * scale), 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), None if points is None else points * scale
