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
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avatar.driving.live.pose_source import CameraPoseSource
from avatar.driving.live.samples import CameraPreview, Sample, SourceStats
from avatar.head.arkit import ARKIT_52, region_columns
from avatar.performance.speech.visemes import CONTROLS
from capture.live.microphone import MicrophoneSource

Floats = NDArray[np.float32]

#: Names that speech shapes; smiles, corners and the sides of the mouth stay the camera's.
SPOKEN = tuple(
    ARKIT_52[column]
    for name, columns in CONTROLS.items()
    for column in columns
    if not name.startswith(("mouthSmile", "mouthFrown", "mouthDimple", "cheek"))
)
#: Share of the voice in the mouth while it speaks and the camera sees the mouth well, and the confidence of the
#: tracker below which it sees less, down to nothing.
SHARE = 0.8
_SEEN = 0.3, 0.6
#: Weight of the mouth from which a voice speaks, and seconds in which it is taken to stop.
_SPEAKS = 0.05
_STOPS = 0.25
#: Seconds in which a mouth that comes to be hidden goes over to the voice's, and back.
_FADE = 0.1
#: Seconds by which a mouth of `LiveMouth` is later than its sound: it follows smoothly.
BEHIND = 0.04
#: Seconds that a face waits for its sound at most.
_PATIENCE = 0.25
#: Seconds over which the performer's silent mouth is averaged, in which the mean follows a speaking one down, and of
#: voice that is remembered.
_REST = 2.0
_CLOSING = 0.3
_MEMORY = 2.0


_SPOKEN_COLUMNS = [ARKIT_52.index(name) for name in SPOKEN]


@lru_cache(maxsize=8)
def columns_of(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Columns of the expressions `wanted` in `names`, as far as they are there, and in ARKIT_52."""
    found = [name for name in wanted if name in names]
    return [names.index(name) for name in found], [ARKIT_52.index(name) for name in found]


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
            self._listen(heard - BEHIND, spoken.weights)
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
        self._covered = (-math.inf, 0.0)  # time, how far the mouth is hidden
        self._rest: Floats | None = None  # [E] of the performer's silent face

    def _listen(self, heard: float, weights: Floats) -> None:
        """Remember the voice's mouth at `heard` seconds."""
        passed = heard - self._heard_until
        before = self._mouths[-1][2] if self._mouths else 0.0
        speaks = max(min(float(weights[_SPOKEN_COLUMNS].max()) / _SPEAKS, 1.0), before - passed / _STOPS)
        self._heard_until = heard
        self._mouths.append((heard, weights, speaks))
        while self._mouths[0][0] < heard - _MEMORY:
            self._mouths.popleft()

    def _voice_at(self, moment: float) -> tuple[Floats, float] | None:
        """Weights [52] of the voice and how much it speaks, at a time; None where nothing was heard."""
        found = min(self._mouths, key=lambda mouth: abs(mouth[0] - moment), default=None)
        if found is None or abs(found[0] - moment) > _PATIENCE:
            return None
        return found[1], found[2]

    def _learn(self, sample: Sample) -> None:
        """Follow the performer's face at rest: in silence, and in speech down to where the mouth closes."""
        heard = self._voice_at(sample.time)
        speaks = heard is not None and heard[1] > 0
        if self._rest is None or self._last is None:
            self._rest = sample.weights.copy()
        elif "mouth" not in sample.hidden:
            change = sample.weights - self._rest
            part = min((sample.time - self._last.time) / (_CLOSING if speaks else _REST), 1.0)
            self._rest += np.float32(part) * (np.minimum(change, 0) if speaks else change)
        self._last = sample

    def _voiced(self, sample: Sample) -> Sample:
        """The sample with the mouth of the voice: as far as it speaks where the mouth is seen, in full where not."""
        heard = self._voice_at(sample.time)
        if heard is None or self._last is None or self._rest is None:
            return sample
        voice, speaks = heard
        if sample.confidence <= 0:
            if not speaks:
                return sample
            weights = self._rest.copy()  # only heard: the face rests, idles and speaks
            own, arkit = columns_of(sample.names, ARKIT_52)
            weights[own] = (weights[own] + voice[arkit]).clip(0, 1)
            return replace(self._last, time=sample.time, weights=weights, hidden=(), own=None, stamps=sample.stamps)
        low, high = _SEEN
        seen = min(max((sample.confidence - low) / (high - low), 0.0), 1.0)
        covered = self._cover("mouth" in sample.hidden, sample.time)
        weights = sample.weights.copy()
        mouth = region_columns(sample.names, "mouth")
        weights[mouth] += covered * (self._rest[mouth] - weights[mouth])  # what no voice shows rests
        own, arkit = columns_of(sample.names, SPOKEN)
        spoken = (self._rest[own] + voice[arkit]).clip(0, 1)
        amount = np.float32(max(speaks * (1 - (1 - SHARE) * seen), float(covered)))
        weights[own] = sample.weights[own] + amount * (spoken - sample.weights[own])
        hidden = tuple(region for region in sample.hidden if region != "mouth")
        return replace(sample, weights=weights, hidden=hidden, own=None)

    def _cover(self, hidden: bool, moment: float) -> np.float32:
        """How far the mouth is hidden, 0..1, without jumps."""
        before, amount = self._covered
        step = (moment - before) / _FADE
        amount = min(amount + step, 1.0) if hidden else max(amount - step, 0.0)
        self._covered = moment, amount
        return np.float32(amount)
