"""A face from a camera and its voice from a microphone at once: the voice shapes the mouth, the camera the rest.

A camera sees what no voice tells, smiles and sides; a voice tells closed lips that a camera blurs, and goes on where
the mouth is hidden or the room is dark. A voice is heard later than a face is seen, so faces wait for their sound.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avatar.driving.live.pose_source import CameraPoseSource
from avatar.driving.live.samples import CameraPreview, Sample, SourceStats
from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.visemes import CONTROLS
from capture.live.microphone import MicrophoneSource

Floats = NDArray[np.float32]

#: Columns of ARKIT_52 that speech shapes; smiles, corners and the sides of the mouth stay the camera's.
SPOKEN = np.array(
    [
        column
        for name, columns in CONTROLS.items()
        for column in columns
        if not name.startswith(("mouthSmile", "mouthFrown", "mouthDimple", "cheek"))
    ]
)
#: Share of the voice in the mouth while it speaks and the camera sees the mouth well, and the confidence of the
#: tracker below which it sees less, down to nothing.
SHARE = 0.8
_SEEN = 0.3, 0.6
#: Weight of the mouth from which a voice speaks, and seconds in which it is taken to stop.
_SPEAKS = 0.05
_STOPS = 0.25
#: Seconds that a face waits for its sound at most.
_PATIENCE = 0.25
#: Seconds over which the performer's silent mouth is averaged, and of voice that is remembered.
_REST = 2.0
_MEMORY = 2.0


class VoicedFace:
    """A pose source of a camera and a microphone; the neutral is calibrated as of a camera."""

    def __init__(self, face: CameraPoseSource, voice: MicrophoneSource) -> None:
        """Args: the camera; the microphone."""
        self.name = f"{face.name}, {voice.name}"
        self._face, self._voice = face, voice
        self._begin()

    def start(self) -> None:
        """Start both; raises HeadsplatError where one cannot start."""
        self._begin()
        self._voice.start()
        try:
            self._face.start()
        except BaseException:
            self._voice.stop()
            raise

    def stop(self) -> None:
        """Stop both."""
        self._face.stop()
        self._voice.stop()

    def latest(self) -> Sample | None:
        """The newest face whose sound is heard, once."""
        now = time.monotonic()
        spoken = self._voice.latest()
        if spoken is not None and (heard := spoken.stamps.get("sound")) is not None:
            self._listen(heard, spoken.weights)
        seen = self._face.latest()
        if seen is not None:
            self._waiting.append((now, seen))
        found = None
        while self._waiting:
            arrived, sample = self._waiting[0]
            if self._heard_until < sample.time and now - arrived < _PATIENCE:
                break
            found = self._waiting.popleft()[1]
            if found.confidence > 0:
                self._learn(found)
        if found is None:
            return None
        return self._voiced(found)

    def earlier(self) -> Sequence[Sample]:
        """Those of the camera."""
        return self._face.earlier()

    def learn_again(self) -> None:
        """Another person is in front of the camera."""
        self._face.learn_again()
        self._begin()

    def preview(self) -> CameraPreview | None:
        """The frame that was tracked last."""
        return self._face.preview()

    def stats(self) -> SourceStats:
        """Those of the camera, with why the voice has ended, if it has."""
        found = self._face.stats()
        return {**found, "input": self.name, "ended": found.get("ended") or self._voice.stats().get("ended")}

    def _begin(self) -> None:
        self._waiting: deque[tuple[float, Sample]] = deque()  # arrival
        self._mouths: deque[tuple[float, Floats, float]] = deque()  # time of the sound, weights [52], 0..1 speaks
        self._heard_until = -math.inf
        self._last: Sample | None = None  # with a face
        self._rest: Floats | None = None  # [52] of the performer's silent face

    def _listen(self, heard: float, weights: Floats) -> None:
        """Remember the voice's mouth at `heard` seconds."""
        passed = heard - self._heard_until
        before = self._mouths[-1][2] if self._mouths else 0.0
        speaks = max(min(float(weights[SPOKEN].max()) / _SPEAKS, 1.0), before - passed / _STOPS)
        self._heard_until = heard
        self._mouths.append((heard, weights, speaks))
        while self._mouths[0][0] < heard - _MEMORY:
            self._mouths.popleft()

    def _voice_at(self, moment: float) -> tuple[Floats, float]:
        """Weights [52] of the voice and how much it speaks, at a time."""
        found = min(self._mouths, key=lambda mouth: abs(mouth[0] - moment), default=None)
        if found is None or abs(found[0] - moment) > _PATIENCE:
            return np.zeros(len(ARKIT_52), np.float32), 0.0
        return found[1], found[2]

    def _learn(self, sample: Sample) -> None:
        """Follow the performer's face at rest while nobody speaks."""
        _, speaks = self._voice_at(sample.time)
        if self._rest is None or self._last is None:
            self._rest = sample.weights.copy()
        elif not speaks and "mouth" not in sample.hidden:
            part = min((sample.time - self._last.time) / _REST, 1.0)
            self._rest += np.float32(part) * (sample.weights - self._rest)
        self._last = sample

    def _voiced(self, sample: Sample) -> Sample:
        """The sample with the mouth of the voice, as far as it speaks."""
        voice, speaks = self._voice_at(sample.time)
        if not speaks or self._last is None or self._rest is None or sample.names != ARKIT_52:
            return sample
        if sample.confidence <= 0:  # only heard: the face rests, idles and speaks
            weights = (self._rest + voice).clip(0, 1).astype(np.float32)
            return replace(self._last, time=sample.time, weights=weights, hidden=(), own=None, stamps=sample.stamps)
        low, high = _SEEN
        seen = 0.0 if "mouth" in sample.hidden else min(max((sample.confidence - low) / (high - low), 0.0), 1.0)
        amount = np.float32(speaks * (1 - (1 - SHARE) * seen))
        weights = sample.weights.copy()
        spoken = self._rest[SPOKEN] + voice[SPOKEN]
        weights[SPOKEN] += amount * (spoken - weights[SPOKEN])
        hidden = tuple(region for region in sample.hidden if region != "mouth")
        return replace(sample, weights=weights.clip(0, 1), hidden=hidden, own=None)
