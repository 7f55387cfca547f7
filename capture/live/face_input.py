"""The face in a camera's pictures as an input of the live chain."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatar.head import load_head
from avatar.head.model import HeadModel
from capture.live.camera import CameraThread, Feed, LiveFrame
from capture.live.face import FaceTracker
from capture.live.identity import LearnOptions
from capture.live.latest import Slot
from capture.live.sample import SILENT, Sample
from capture.options import FaceModels

log = logging.getLogger(__name__)

#: Seconds over which the rate is told, and that the tracking thread waits for a picture before it looks whether to end.
_RATE_SECONDS, _PATIENCE = 2.0, 0.1


class FaceInput:
    """A webcam or a video file; one thread reads pictures, one tracks the face in the newest."""

    def __init__(
        self,
        feed: Feed,
        *,
        lossless: bool = False,
        head: HeadModel | None = None,
        models: FaceModels | None = None,
        learn: LearnOptions | None = None,
    ) -> None:
        """
        Args:
            feed: where pictures come from.
            lossless: no picture is dropped: the feed (a file at pace "all") waits for whoever takes the samples.
            head: the head model samples are told in; the embedded one when None.
            models: makers of the networks.
            learn: how the face is learned.
        """
        self.name = Path(feed.name).name
        self._lossless = lossless
        self.camera = CameraThread(feed, lossless=self._lossless)
        self._head, self._models = head or load_head(), models or FaceModels()
        self._learn = learn or LearnOptions()
        self._slot: Slot[Sample] = Slot(self._lossless)
        self._stop, self._anew = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._tracker: FaceTracker | None = None
        self._look: tuple[np.ndarray, np.ndarray | None] | None = None
        self._done: deque[float] = deque(maxlen=256)
        self._failure: str | None = None
        self._last: Sample | None = None  # what came last, until the face is told to be gone
        self._tracked = self._without_face = 0

    def start(self) -> None:
        """Open the camera and begin; raises HeadsplatError where there is none."""
        self._slot, self._failure, self._last = Slot(self._lossless), None, None
        self._stop.clear()
        self._anew.clear()
        lens = self.camera.start()
        try:
            self._tracker = FaceTracker(self._head, lens, self._models, self._learn, wait=self._lossless)
        except BaseException:
            self.camera.stop()
            raise
        self._thread = threading.Thread(target=self._run, name="face", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once; None when nothing is new."""
        stale = self._anew.is_set()  # until the thread that tracks has emptied the slot
        sample = self._slot.take()
        return None if stale else sample

    def earlier(self) -> Sequence[Sample]:
        """What the face did while it was learned."""
        return () if self._tracker is None or self._anew.is_set() else self._tracker.earlier

    @property
    def finished(self) -> bool:
        """No more samples will come."""
        return self._slot.finished

    def stop(self) -> None:
        """End; harmless when it never began or has ended."""
        self._stop.set()
        self._slot.close()
        self.camera.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def learn_again(self) -> None:
        """Forget who it is: another person sat down."""
        self._anew.set()

    def look(self) -> tuple[np.ndarray, np.ndarray | None] | None:
        """The picture [H,W,3] tracked last and its landmarks [478,3] where it shows a face, for a small preview."""
        return self._look

    def stats(self) -> dict[str, Any]:
        """Counts since start, rate (pictures a second of late), phase, how far learning is, and why it ended."""
        tracker, now = self._tracker, time.monotonic()
        recent = [done for done in list(self._done) if done > now - _RATE_SECONDS]
        span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
        return {
            "input": self.name,
            **self.camera.stats(),
            "malformed": 0,
            "tracked": self._tracked,
            "without_face": self._without_face,
            "rate": (len(recent) - 1) / span if span > 0 else 0.0,
            "phase": tracker.phase if tracker else "stopped",
            "learned": tracker.learned if tracker else 0.0,
            "reprojection": tracker.reprojection if tracker else 0.0,
            "ended": self._failure or self.camera.ended,
        }

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                frame = self.camera.take(_PATIENCE)
                if frame is not None:
                    self._track(frame)
                    continue
                ended = self.camera.finished
                if self._last is not None and (ended or time.monotonic() - self._last.time > SILENT):
                    self._gone()
                if ended:
                    break
        except Exception as error:  # a thread that dies silently would leave the avatar frozen without a word
            log.exception("%s: tracking failed", self.camera.feed.name)
            self._failure = f"{self.camera.feed.name}: tracking failed ({error}); start it again"
            self._gone()
        finally:
            self._slot.close()

    def _gone(self) -> None:
        """The face that came last is no longer seen."""
        last, self._last = self._last, None
        if last is not None:
            self._slot.put(last.gone(time.monotonic(), last.source_time if self._lossless else None))

    def _track(self, frame: LiveFrame) -> None:
        assert self._tracker is not None
        if self._anew.is_set():
            self._tracker.learn_again()
            self._slot.take()
            self._last = None
            self._anew.clear()
        sample = self._tracker(frame)
        self._look = frame.rgb, self._tracker.points
        self._done.append(time.monotonic())
        self._tracked += 1
        self._without_face += self._tracker.points is None
        if sample is not None:
            self._last = sample
            self._slot.put(sample)
