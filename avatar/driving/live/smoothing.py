"""One Euro filters of a sample, with separate parameters for head, mouth, brows, lids and eyes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from avatar.driving.live.one_euro import OneEuro, OneEuroRotation, OneEuroVector, Smoothing
from avatar.driving.live.samples import Sample
from avatar.geometry.numpy_rotations import exp_rotation
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT

_HEAD_JOINTS = (ROOT, NECK)
_FACE_JOINTS = (JAW, LEFT_EYE, RIGHT_EYE)


@dataclass(frozen=True)
class SmoothingOptions:
    """Filter parameters by group; speeds are per second in weights 0..1, radians or meters."""

    turn: Smoothing = field(default_factory=lambda: Smoothing(2.0, 10.0))
    """rotation of the head, in the tangent space at the current rotation"""
    travel: Smoothing = field(default_factory=lambda: Smoothing(2.0, 60.0))
    """translation of the head"""
    torso: Smoothing = field(default_factory=lambda: Smoothing(2.0, 20.0))
    """motion of the torso"""
    mouth: Smoothing = field(default_factory=Smoothing)
    """mouth, jaw, cheeks, nose and all weights in no other group"""
    brows: Smoothing = field(default_factory=lambda: Smoothing(1.0, 1.0))
    lids: Smoothing = field(default_factory=lambda: Smoothing(15.0, 10.0))
    """blinks: almost unfiltered"""
    eyes: Smoothing = field(default_factory=lambda: Smoothing(2.0, 6.0))
    """gaze, squints and wide eyes, and the rotations of eyes and jaw"""

    def of(self, name: str) -> Smoothing:
        """The parameters of the expression `name`."""
        if name.startswith(("eyeBlink", "eyelid")):
            return self.lids
        if name.startswith("brow"):
            return self.brows
        return self.eyes if name.startswith("eye") else self.mouth


class SampleFilter:
    """Smooths the samples of one source."""

    def __init__(self, names: tuple[str, ...], options: SmoothingOptions) -> None:
        """Args: names of the expression weights [E]; filter parameters."""
        groups = [options.of(name) for name in names]
        cutoffs, betas = (np.array([getattr(group, key) for group in groups]) for key in ("mincutoff", "beta"))
        self._weights = OneEuro(cutoffs, betas)
        self._head = OneEuroRotation(options.turn.mincutoff, options.turn.beta)
        self._joints = OneEuroVector(options.eyes.mincutoff, options.eyes.beta)
        self._travel = OneEuroVector(options.travel.mincutoff, options.travel.beta)
        self._torso = OneEuroVector(options.torso.mincutoff, options.torso.beta)

    def reset(self) -> None:
        """Clear the state: after a gap the next sample passes unfiltered."""
        for each in (self._weights, self._head, self._joints, self._travel, self._torso):
            each.reset()

    def __call__(self, sample: Sample, time: float) -> Sample:
        """The smoothed sample; `time` is in seconds of the clock in use."""
        joint_rot = sample.joint_rot.astype(np.float64)
        head = exp_rotation(joint_rot[list(_HEAD_JOINTS)])
        joint_rot[list(_HEAD_JOINTS)] = [cv2.Rodrigues(matrix)[0].ravel() for matrix in self._head(head, time)]
        joint_rot[list(_FACE_JOINTS)] = self._joints(joint_rot[list(_FACE_JOINTS)], time)
        return replace(
            sample,
            weights=self._weights(sample.weights, time).astype(np.float32),
            joint_rot=joint_rot.astype(np.float32),
            translation=self._travel(sample.translation, time).astype(np.float32),
            torso=None if sample.torso is None else self._torso(sample.torso, time).astype(np.float32),
        )
