"""One Euro filters for a sample, by groups: a head is heavy, a mouth is quick and lids are quicker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT
from capture.live.one_euro import OneEuro, OneEuroRotation, OneEuroVector, Smoothing
from capture.live.sample import Sample
from capture.tracker.rotation import exp_rotation

_TURNS = (ROOT, NECK)
_SMALL_TURNS = (JAW, LEFT_EYE, RIGHT_EYE)


@dataclass(frozen=True)
class SmoothingOptions:
    """Speeds are per second: of weights 0..1, of radians, of meters."""

    turn: Smoothing = field(default_factory=lambda: Smoothing(2.0, 10.0))
    """of the head, in the tangent space at where it is"""
    travel: Smoothing = field(default_factory=lambda: Smoothing(2.0, 60.0))
    mouth: Smoothing = field(default_factory=Smoothing)
    """mouth, jaw, cheeks, nose and any weight that is in no other group"""
    brows: Smoothing = field(default_factory=lambda: Smoothing(1.0, 1.0))
    lids: Smoothing = field(default_factory=lambda: Smoothing(15.0, 10.0))
    """blinks: almost raw"""
    eyes: Smoothing = field(default_factory=lambda: Smoothing(2.0, 6.0))
    """gaze, squints and wide eyes, and the turns of eyes and jaw"""

    def of(self, name: str) -> Smoothing:
        """For the expression `name`."""
        if name.startswith(("eyeBlink", "eyelid")):
            return self.lids
        if name.startswith("brow"):
            return self.brows
        return self.eyes if name.startswith("eye") else self.mouth


class SampleFilter:
    """Smooths the samples of one input."""

    def __init__(self, names: tuple[str, ...], options: SmoothingOptions) -> None:
        """Args: names of the expression weights [E]; how much to smooth."""
        groups = [options.of(name) for name in names]
        cutoffs, betas = (np.array([getattr(group, key) for group in groups]) for key in ("mincutoff", "beta"))
        self._weights = OneEuro(cutoffs, betas)
        self._turn = OneEuroRotation(options.turn.mincutoff, options.turn.beta)
        self._small = OneEuroVector(options.eyes.mincutoff, options.eyes.beta)
        self._travel = OneEuroVector(options.travel.mincutoff, options.travel.beta)

    def reset(self) -> None:
        """Forget the past: after a break the next sample passes as it is."""
        for each in (self._weights, self._turn, self._small, self._travel):
            each.reset()

    def __call__(self, sample: Sample, time: float) -> Sample:
        """The smoothed sample at `time` seconds of the clock the input is measured by."""
        joint_rot = sample.joint_rot.astype(np.float64)
        turns = exp_rotation(joint_rot[list(_TURNS)])
        joint_rot[list(_TURNS)] = [cv2.Rodrigues(turn)[0].ravel() for turn in self._turn(turns, time)]
        joint_rot[list(_SMALL_TURNS)] = self._small(joint_rot[list(_SMALL_TURNS)], time)
        return replace(
            sample,
            weights=self._weights(sample.weights, time).astype(np.float32),
            joint_rot=joint_rot.astype(np.float32),
            translation=self._travel(sample.translation, time).astype(np.float32),
        )
