"""A driver's face, picture by picture: landmarks, then a warm-started fit of pose and expression."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np

from avatar.head.model import HeadModel
from avatar.motion.from_capture import space_of
from avatar.types import JOINT_NAMES
from capture.faces.landmarks import Landmarks
from capture.live.camera import Lens, LiveFrame
from capture.live.fit import LOST, Fit, Fitter
from capture.live.follow import LiveFollower
from capture.live.identity import Learner, LearnOptions, Seen
from capture.live.sample import Sample
from capture.options import FaceModels

Phase = Literal["looking", "learning", "tracking"]


class FaceTracker:
    """Turns pictures into samples; learns who it is from the first seconds."""

    def __init__(
        self, head: HeadModel, lens: Lens, models: FaceModels, options: LearnOptions, *, wait: bool = False
    ) -> None:
        """
        Args:
            head: the head model samples are told in (not baked).
            lens: the source's optics.
            models: makers of the networks.
            options: how the face is learned.
            wait: let the picture that completes the learning wait for the result.
        """
        self._head, self._space = head, space_of(head)
        self._follower = LiveFollower(models)
        self._learner = Learner(head, lens, options, wait=wait)
        self._fitter: Fitter | None = None
        self._fit: Fit | None = None
        self.phase: Phase = "looking"
        self.earlier: tuple[Sample, ...] = ()  # what the face did while it was learned
        self.points: np.ndarray | None = None  # [478,3] of the newest picture, None where there is no face
        self.reprojection = 0.0  # of the newest picture, fraction of the inter-ocular distance

    def learn_again(self) -> None:
        """Forget who it is."""
        self._learner.again()
        self._fitter = self._fit = None
        self.earlier = ()

    @property
    def learned(self) -> float:
        """0..1, how far learning has come."""
        return 1.0 if self._fitter is not None else self._learner.progress

    def __call__(self, frame: LiveFrame) -> Sample | None:
        """The sample of a picture, confidence 0 where it shows no face; None while the person is not known yet."""
        stamps = {"camera": frame.time, "taken": time.monotonic()}
        clock = frame.time if frame.source_time is None else frame.source_time
        found = self._follower(frame.rgb, clock)
        stamps["landmarks"] = time.monotonic()
        self.points = None if found is None else found.points
        if self._fitter is None:
            self._learn(found, frame)
            return None
        found, self._fit = self._track(self._fitter, found, frame, clock)
        self.phase = "looking" if self._fit is None else "tracking"
        stamps["fit"] = time.monotonic()
        if found is None or self._fit is None:
            return self._blank(frame, stamps)
        seen = Seen(found.points, found.presence, frame.time, frame.source_time)
        return self._sample(self._fitter, seen, self._fit, stamps)

    def _learn(self, found: Landmarks | None, frame: LiveFrame) -> None:
        self.phase = "looking" if found is None else "learning"
        learned = None if found is None else self._learner.see(found, frame)
        if learned is not None:
            self._fitter = learned.fitter
            self.earlier = tuple(
                self._sample(learned.fitter, seen, fit, {}) for seen, fit in learned.earlier if fit.error <= LOST
            )

    def _track(
        self, fitter: Fitter, found: Landmarks | None, frame: LiveFrame, clock: float
    ) -> tuple[Landmarks | None, Fit | None]:
        """The landmarks that were used and the fit to them, None where there is none."""
        if found is None:
            return None, None
        fit = fitter(found.points, self._fit)
        if fit.error > LOST:  # the region may have slid off, or the fit have gone astray: look anew, once
            self._follower.forget()
            again = self._follower(frame.rgb, clock)
            if again is not None:
                found, self.points = again, again.points
                fit = fitter(found.points, None)
        self.reprojection = fit.error
        if fit.error > LOST:
            self._follower.forget()
            return None, None
        return found, fit

    def _sample(self, fitter: Fitter, seen: Seen, fit: Fit, stamps: dict[str, float]) -> Sample:
        weights, joint_rot, place = fitter.told(fit)
        names, confidence = self._head.expression_names, fit.confidence(seen.presence)
        face = weights, joint_rot, place, confidence
        return Sample(seen.time, names, self._space, *face, stamps, seen.source_time)

    def _blank(self, frame: LiveFrame, stamps: dict[str, float]) -> Sample:
        names = self._head.expression_names
        still = np.zeros(len(names), np.float32), np.zeros((len(JOINT_NAMES), 3), np.float32), np.zeros(3, np.float32)
        return Sample(frame.time, names, self._space, *still, 0.0, stamps, frame.source_time)
