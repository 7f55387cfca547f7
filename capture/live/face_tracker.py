"""Tracks a performer's face frame by frame: landmarks, then a warm-started fit of pose and expression.

The network's landmarks depend slightly on the crop: a region that jitters makes landmarks jitter, and the next region
is computed from the landmarks. A low-pass filter on the region breaks that loop.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Literal

import numpy as np

from avatar.driving.live.one_euro import OneEuro
from avatar.driving.live.samples import Sample
from avatar.head.model import HeadModel
from avatar.motion.from_capture import space_of
from avatar.types import JOINT_NAMES
from capture.faces.landmarks import Landmarks, Roi
from capture.live.camera import Lens, LiveFrame
from capture.live.fit import MAX_ERROR, Fit, Fitter
from capture.live.identity import LandmarkFrame, Learner, LearnOptions
from capture.live.own_face import OwnFaceTracker
from capture.live.pixels import PixelFollower
from capture.live.torso import TorsoFollower
from capture.options import FaceModels
from capture.quality.frame_statistics import face_light
from capture.quality.hidden_regions import HiddenRegions
from capture.stages.landmarks import FaceFollower
from capture.tracker.indices import without_hidden

Phase = Literal["looking", "learning", "tracking"]

#: Of the filter of the region: hertz, and hertz per unit of speed; the unit is the region's size per second.
_MINCUTOFF = 1.0
_BETA = 8.0


class RegionFilter:
    """A low-pass filter of the region of interest: center, size and angle."""

    def __init__(self) -> None:
        self._filter = OneEuro(_MINCUTOFF, _BETA)
        self._unit = 1.0
        self._angle = 0.0

    def reset(self, roi: Roi) -> None:
        """Restart at `roi`."""
        self._filter.reset()
        self._unit = max(roi.size, 1.0)
        self._angle = roi.angle

    def __call__(self, roi: Roi, time: float) -> Roi:
        """The filtered region at `time` seconds."""
        # Unwrapped: no jump at half a turn.
        self._angle += math.remainder(roi.angle - self._angle, 2 * math.pi)
        raw = np.array([roi.center[0] / self._unit, roi.center[1] / self._unit, roi.size / self._unit, self._angle])
        x, y, size, angle = (float(value) for value in self._filter(raw, time))
        return Roi((x * self._unit, y * self._unit), size * self._unit, angle)


class LiveFollower:
    """Tracks one face's landmarks from frame to frame, with one network pass per frame."""

    def __init__(self, models: FaceModels) -> None:
        self._follower = FaceFollower(models, passes=1, thorough=False)
        self._filter = RegionFilter()
        self._region: np.ndarray | None = None  # [4] region to search in the next frame
        self._last: np.ndarray | None = None  # [4] region of the last face found

    def __call__(self, rgb: np.ndarray, time: float) -> Landmarks | None:
        """Landmarks in a frame [H,W,3] taken at `time` seconds; None without a face."""
        landmarks: Landmarks | None = self._follower.follow(rgb, self._region, self._last)
        if landmarks is None:
            self.reset()
            return None
        roi = Roi.from_landmarks(landmarks.points)
        if self._region is None or self._has_jumped(roi):
            self._filter.reset(roi)
        roi = self._filter(roi, time)
        self._region = self._last = np.array([*roi.center, roi.size, roi.angle])
        return landmarks

    def reset(self) -> None:
        """Detect the face again in the next frame, first near the last region."""
        self._region = None

    def _has_jumped(self, roi: Roi) -> bool:
        """Whether the face moved so far (a sixth of its size) that a filtered region would miss it."""
        assert self._region is not None
        distance = math.hypot(roi.center[0] - self._region[0], roi.center[1] - self._region[1])
        return distance > roi.size / 6 or not 0.8 < roi.size / self._region[2] < 1.25


class FaceTracker:
    """Converts camera frames to samples; fits the person's identity to the first seconds."""

    def __init__(
        self,
        head: HeadModel,
        lens: Lens,
        models: FaceModels,
        options: LearnOptions,
        *,
        wait: bool = False,
        torso: bool = True,
        own: OwnFaceTracker | None = None,
    ) -> None:
        """
        Args:
            head: the head model of the samples (not baked).
            lens: the source's optics.
            models: factories of the networks.
            options: of the identity fit.
            wait: the call with the last frame of the identity fit waits for its result.
            torso: measure the motion of the torso.
            own: the avatar as its own tracker.
        """
        self._head = head
        self._space = space_of(head)
        self._follower = LiveFollower(models)
        self._learner = Learner(head, lens, options, wait=wait)
        self._torso = TorsoFollower(models.matting) if torso else None
        self._own = own
        self._regions = HiddenRegions()
        self._pixels = PixelFollower.for_head(head)
        self._unseen: tuple[np.ndarray, Fit, float] | None = None  # a frame, its fit and time, for `finish`
        self._fitter: Fitter | None = None
        self._fit: Fit | None = None
        self.phase: Phase = "looking"
        self.earlier: tuple[Sample, ...] = ()  # samples of the frames that identity was fitted to
        self.points: np.ndarray | None = None  # [478,3] of the newest frame; None without a face
        self.reprojection = 0.0  # of the newest frame, fraction of the inter-ocular distance
        self.hidden: tuple[str, ...] = ()  # regions of the newest frame behind a hand or another thing

    def learn_again(self) -> None:
        """Discard the identity."""
        self._learner.restart()
        self._fitter = self._fit = None
        self.earlier = ()
        self._regions = HiddenRegions()
        if self._torso is not None:
            self._torso.reset()
        if self._own is not None:
            self._own.learn_again()
        if self._pixels is not None:
            self._pixels.reset()
            self._unseen = None

    @property
    def learned(self) -> float:
        """0..1, progress of the identity fit."""
        return 1.0 if self._fitter is not None else self._learner.progress

    @property
    def own_amount(self) -> float | None:
        """0..1, share of the avatar as its own tracker; None without."""
        return None if self._own is None else self._own.amount

    def __call__(self, frame: LiveFrame) -> Sample | None:
        """The sample of a frame, confidence 0 without a face; None before the identity is known."""
        stamps = {"camera": frame.time, "taken": time.monotonic()}
        clock = frame.time if frame.source_time is None else frame.source_time
        landmarks = self._follower(frame.rgb, clock)
        stamps["landmarks"] = time.monotonic()
        self.points = None if landmarks is None else landmarks.points
        self.hidden = ()
        if self.points is not None:
            self.hidden = self._regions(face_light(frame.rgb, self.points[:, :2]), self.points, clock)
        if self._fitter is None:
            self._learn(landmarks, frame)
            return None
        landmarks, self._fit = self._track(self._fitter, landmarks, frame, clock)
        self.phase = "looking" if self._fit is None else "tracking"
        stamps["fit"] = time.monotonic()
        if landmarks is None or self._fit is None:
            return self._empty_sample(frame, stamps)
        seen = self._landmark_frame(landmarks, frame)
        sample = self._sample(self._fitter, seen, self._fit, stamps)
        if self._pixels is not None:
            sample = replace(sample, shown=self._pixels.changed(sample.weights))
            self._unseen = None if sample.hidden else (frame.rgb, self._fit, clock)
        if self._own is None:
            return sample
        sample = replace(sample, own=self._own(frame.rgb, seen, self._fit.error))
        stamps["own face"] = time.monotonic()
        return sample

    def finish(self) -> None:
        """What the next sample needs of the last frame and its own did not."""
        if self._own is not None:
            self._own.finish()
        if self._pixels is not None and self._fitter is not None and self._unseen is not None:
            self._pixels.look(self._unseen[0], self._fitter, *self._unseen[1:])
            self._unseen = None

    def _landmark_frame(self, landmarks: Landmarks, frame: LiveFrame) -> LandmarkFrame:
        """What one frame shows."""
        torso = None if self._torso is None else self._torso(frame.rgb, landmarks.points)
        points = without_hidden(landmarks.points, self.hidden)
        return LandmarkFrame(points, landmarks.presence, frame.time, frame.source_time, torso, self.hidden)

    def _learn(self, landmarks: Landmarks | None, frame: LiveFrame) -> None:
        self.phase = "looking" if landmarks is None else "learning"
        seen = None if landmarks is None or self.hidden else self._landmark_frame(landmarks, frame)
        if seen is not None and self._own is not None:
            self._own(frame.rgb, seen)
        learned = None if seen is None else self._learner.add(seen)
        if learned is not None:
            self._fitter = learned.fitter
            self.earlier = tuple(
                self._sample(learned.fitter, landmarks, fit, {})
                for landmarks, fit in learned.earlier
                if fit.error <= MAX_ERROR
            )

    def _track(
        self, fitter: Fitter, landmarks: Landmarks | None, frame: LiveFrame, clock: float
    ) -> tuple[Landmarks | None, Fit | None]:
        """The landmarks that were used and the fit to them; None where it failed."""
        if landmarks is None:
            return None, None
        fit = fitter(without_hidden(landmarks.points, self.hidden), self._fit)
        if fit.error > MAX_ERROR:  # the region or the fit may have drifted: detect again, once
            self._follower.reset()
            again = self._follower(frame.rgb, clock)
            if again is not None:
                landmarks = again
                self.points = again.points
                fit = fitter(without_hidden(landmarks.points, self.hidden), None)
        self.reprojection = fit.error
        if fit.error > MAX_ERROR:
            self._follower.reset()
            return None, None
        return landmarks, fit

    def _sample(self, fitter: Fitter, landmarks: LandmarkFrame, fit: Fit, stamps: dict[str, float]) -> Sample:
        names = self._head.expression_names
        confidence = fit.confidence(landmarks.presence)
        face = (*fitter.parameters(fit), confidence)
        torso = landmarks.torso
        sample = Sample(
            landmarks.time, names, self._space, *face, stamps, landmarks.source_time, hidden=landmarks.hidden
        )
        if torso is None:
            return sample
        moved = torso.in_world(abs(float(fit.state.translation[2])) / fitter.person.camera.focal)
        return replace(sample, torso=moved, torso_confidence=torso.confidence)

    def _empty_sample(self, frame: LiveFrame, stamps: dict[str, float]) -> Sample:
        names = self._head.expression_names
        zeros = np.zeros(len(names), np.float32), np.zeros((len(JOINT_NAMES), 3), np.float32), np.zeros(3, np.float32)
        return Sample(frame.time, names, self._space, *zeros, 0.0, stamps, frame.source_time)
