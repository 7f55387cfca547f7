"""The face in a camera's frames as a pose source."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from avatar.driving.live.pose_source import LOST_AFTER
from avatar.driving.live.samples import CameraPreview, Sample, SourceStats
from avatar.head import load_head
from avatar.head.model import HeadModel
from capture.live.camera import CameraThread, Feed, LiveFrame
from capture.live.face_tracker import FaceTracker
from capture.live.identity import LearnOptions
from capture.live.latest import Slot
from capture.live.own_face import OwnFaceOptions
from capture.options import FaceModels

log = logging.getLogger(__name__)

#: Seconds over which the rate is averaged, and that the tracking thread waits for a frame before it checks for the end.
_RATE_SECONDS = 2.0
_FRAME_TIMEOUT = 0.1
#: Consecutive frames that are not finished because the next one is waiting, at most.
_MOST_SKIPPED = 2


class FaceSource:
    """A webcam or a video file; one thread reads frames, one tracks the face in the newest."""

    def __init__(
        self,
        feed: Feed,
        *,
        lossless: bool = False,
        head: HeadModel | None = None,
        models: FaceModels | None = None,
        learn: LearnOptions | None = None,
        torso: bool = True,
        own: OwnFaceOptions | None = None,
    ) -> None:
        """
        Args:
            feed: the camera or file.
            lossless: no frame is dropped: the feed (a file at pace "all") waits until each sample is taken.
            head: the head model of the samples; the embedded one when None.
            models: factories of the networks.
            learn: options of the identity fit.
            torso: measure the motion of the torso.
            own: the avatar that tracks its own person; None: landmarks alone.
        """
        self.name = Path(feed.name).name
        self._lossless = lossless
        self.camera = CameraThread(feed, lossless=self._lossless)
        self._head = head or load_head()
        self._models = models or FaceModels()
        self._learn = learn or LearnOptions()
        self._torso = torso
        self._own = own
        self._slot: Slot[Sample] = Slot(self._lossless)
        self._stop = threading.Event()
        self._relearn = threading.Event()
        self._thread: threading.Thread | None = None
        self._tracker: FaceTracker | None = None
        self._preview: CameraPreview | None = None
        self._done: deque[float] = deque(maxlen=256)
        self._failure: str | None = None
        self._last: Sample | None = None  # the newest, until the face is reported as lost
        self._tracked = self._without_face = 0
        self._skipped = 0  # consecutive frames

    def start(self) -> None:
        """Open the camera and start tracking; raises HeadsplatError where it cannot be opened."""
        self._slot = Slot(self._lossless)
        self._failure = None
        self._last = None
        self._stop.clear()
        self._relearn.clear()
        lens = self.camera.start()
        try:
            own = None if self._own is None else self._own.open(lens, self._learn, self._lossless)
            self._tracker = FaceTracker(
                self._head, lens, self._models, self._learn, wait=self._lossless, torso=self._torso, own=own
            )
        except BaseException:
            self.camera.stop()
            raise
        self._thread = threading.Thread(target=self._run, name="face", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once; None when nothing is new."""
        stale = self._relearn.is_set()  # until the tracking thread has emptied the slot
        sample = self._slot.take()
        return None if stale else sample

    def earlier(self) -> Sequence[Sample]:
        """Samples of the frames that the identity was fitted to."""
        return () if self._tracker is None or self._relearn.is_set() else self._tracker.earlier

    @property
    def finished(self) -> bool:
        """No more samples will come."""
        return self._slot.finished

    def stop(self) -> None:
        """Stop; has no effect when it was not started or has stopped."""
        self._stop.set()
        self._slot.close()
        self.camera.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def learn_again(self) -> None:
        """Discard the identity: another person is in front of the camera."""
        self._relearn.set()

    def preview(self) -> CameraPreview | None:
        """The frame that was tracked last."""
        return self._preview

    def stats(self) -> SourceStats:
        """Counters since the start, frame rate, phase, progress of the identity fit, and why tracking ended."""
        tracker = self._tracker
        now = time.monotonic()
        received, dropped = self.camera.counts()
        recent = [done for done in list(self._done) if done > now - _RATE_SECONDS]
        span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
        return {
            "input": self.name,
            "received": received,
            "dropped": dropped,
            "malformed": 0,
            "tracked": self._tracked,
            "without_face": self._without_face,
            "rate": (len(recent) - 1) / span if span > 0 else 0.0,
            "phase": tracker.phase if tracker else "stopped",
            "learned": tracker.learned if tracker else 0.0,
            "reprojection": tracker.reprojection if tracker else 0.0,
            **({} if tracker is None or tracker.own_amount is None else {"own_face": tracker.own_amount}),
            "hidden": f"{' and '.join(tracker.hidden)} hidden" if tracker and tracker.hidden else "",
            "ended": self._failure or self.camera.ended,
        }

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                frame = self.camera.take(_FRAME_TIMEOUT)
                if frame is not None:
                    self._track(frame)
                    continue
                ended = self.camera.finished
                if self._last is not None and (ended or time.monotonic() - self._last.time > LOST_AFTER):
                    self._report_lost()
                if ended:
                    break
        except Exception as error:  # must be reported: otherwise the avatar would freeze without a message
            log.exception("%s: tracking failed", self.camera.feed.name)
            self._failure = f"{self.camera.feed.name}: tracking failed ({error}); start it again"
            self._report_lost()
        finally:
            self._slot.close()

    def _report_lost(self) -> None:
        """Put the newest sample once more, marked as lost."""
        last = self._last
        self._last = None
        if last is not None:
            self._slot.put(last.as_lost(time.monotonic(), last.source_time if self._lossless else None))

    def _track(self, frame: LiveFrame) -> None:
        assert self._tracker is not None
        if self._relearn.is_set():
            self._tracker.learn_again()
            self._slot.take()
            self._last = None
            self._relearn.clear()
        sample = self._tracker(frame)
        self._preview = CameraPreview(frame.rgb, self._tracker.points)
        self._done.append(time.monotonic())
        self._tracked += 1
        self._without_face += self._tracker.points is None
        if sample is not None:
            self._last = sample
            self._slot.put(sample)
        if self._skipped < _MOST_SKIPPED and not self._lossless and self.camera.waiting:
            self._skipped += 1
        else:
            self._skipped = 0
            self._tracker.finish()
