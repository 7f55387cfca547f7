"""A pose source that listens: what a microphone or a sound file says moves the mouth; the rest of the face idles."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.driving.live.samples import Sample, SourceStats
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import ARKIT
from avatar.performance.speech.idling import Idling
from avatar.performance.speech.live import LiveListener
from avatar.performance.speech.live_mouth import LiveMouth
from avatar.types import JOINT_NAMES, ROOT
from capture.live.sound_feed import SoundFeed

Floats = NDArray[np.float32]

#: Blocks that wait for the recognizer at most, a second of sound; older ones are dropped.
_WAITING = 50
#: Samples of a resting face before the first one: the neutral of the calibration is rest, not speech. Seconds between.
_RESTING = 75
_STEP = 0.02
#: Seconds without sound after which the mouth rests.
_TIMEOUT = 0.1


class MicrophoneSource:
    """A pose source driven by sound: one sample per block of sound, about 50 per second.

    A sample comes `LiveListener.latency` after its sound, and what the sound card and the recognizer take. Its stamp
    "sound" is the time of the sound that it shows, so every latency that is reported includes all of this.
    """

    knows_neutral = True

    def __init__(self, feed: SoundFeed, seed: int = 0) -> None:
        """Args: feed: the sound; seed: of blinks, gaze and head motion."""
        self.name = feed.name
        self._feed = feed
        self._seed = seed
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._blocks: queue.Queue[tuple[Floats, float]] = queue.Queue(_WAITING)
        self._newest: Sample | None = None
        self._begin()

    def start(self) -> None:
        """Open the sound and start to listen.

        Raises:
            HeadsplatError: there is no such microphone, or a part of headsplat that it needs is not installed.
        """
        if self._thread is not None:
            return
        self._begin()
        self._ending.clear()
        self._feed.start(self._receive, self._end)
        try:
            listener = LiveListener(self._feed.rate)
        except HeadsplatError:
            self._feed.stop()
            raise
        self._thread = threading.Thread(target=self._run, args=(listener,), name="microphone source", daemon=True)
        self._thread.start()

    def latest(self) -> Sample | None:
        """The newest sample, once."""
        with self._lock:
            sample = self._newest
            self._newest = None
        return sample

    def earlier(self) -> Sequence[Sample]:
        """A second and a half of a resting face before the first sample: speech is not taken for the neutral."""
        rest = np.zeros(len(ARKIT_52), np.float32)
        return [_sample(rest, self._first - _STEP * back) for back in range(_RESTING, 0, -1)]

    def stop(self) -> None:
        """Close the sound and end the thread."""
        thread = self._thread
        self._thread = None
        if thread is not None:
            self._feed.stop()
            self._ending.set()
            thread.join()
            self._newest = None

    def stats(self) -> SourceStats:
        """Counts since the start; `rate` is of samples."""
        with self._lock:
            seconds = max(self._last - self._first, 1e-6)
            return {
                "input": self.name,
                "received": self._received,
                "dropped": self._dropped,
                "samples": self._samples,
                "replaced": self._replaced,
                "rate": (self._samples - 1) / seconds if self._samples > 1 else 0.0,
                "ended": self._ended,
            }

    def _begin(self) -> None:
        self._newest = None
        self._received = self._dropped = self._samples = self._replaced = 0
        self._first = self._last = time.monotonic()
        self._ended: str | None = None
        self._idling = Idling(self._seed)
        while not self._blocks.empty():
            self._blocks.get_nowait()

    def _receive(self, block: Floats, recorded: float) -> None:
        """Called by the feed's thread, which must not wait."""
        self._received += 1
        while True:
            try:
                return self._blocks.put_nowait((block, recorded))
            except queue.Full:
                try:
                    self._blocks.get_nowait()
                    self._dropped += 1
                except queue.Empty:
                    pass

    def _end(self, reason: str) -> None:
        self._ended = reason

    def _run(self, listener: LiveListener) -> None:
        mouth = LiveMouth()
        pushed = 0.0
        while not self._ending.is_set():
            try:
                block, recorded = self._blocks.get(timeout=_TIMEOUT)
            except queue.Empty:
                mouth.reset()
                self._put(self._idle(np.zeros(len(ARKIT_52), np.float32), {}))
                continue
            pushed += len(block) / self._feed.rate
            frames = listener.push(block)
            for frame in frames:
                weights = mouth.update(frame.probabilities)
            if frames:
                stamps = {"sound": recorded - (pushed - frame.time), "recorded": recorded, "phones": time.monotonic()}
                self._put(self._idle(weights, stamps))

    def _put(self, sample: Sample) -> None:
        with self._lock:
            if not self._samples:
                self._first = sample.time
            self._replaced += self._newest is not None
            self._newest = sample
            self._last = sample.time
            self._samples += 1

    def _idle(self, mouth: Floats, stamps: dict[str, float]) -> Sample:
        """A sample now of the mouth's weights [52] with the idling face; writes into `mouth`."""
        now = time.monotonic()
        columns, values, head = self._idling.at(max(now - self._first, 0.0))
        mouth[columns] = values
        return _sample(mouth, now, head, stamps)


def _sample(
    weights: Floats, moment: float, head: Floats | None = None, stamps: dict[str, float] | None = None
) -> Sample:
    joint_rot = np.zeros((len(JOINT_NAMES), 3), np.float32)
    if head is not None:
        joint_rot[ROOT] = head
    return Sample(moment, ARKIT_52, ARKIT, weights, joint_rot, np.zeros(3, np.float32), 1.0, stamps or {})
