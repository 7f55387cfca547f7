"""The resting face of a person as the zero of the weights, as programs with a face of their own expect them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch

from avatar.driving.live.calibrated_driver import Neutral, closing_of
from avatar.driving.live.samples import Sample
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.motion.edit import head_rotation
from avatar.types import LEFT_EYE, NECK, RIGHT_EYE, ROOT

#: Smallest range of a weight from rest to 1.
_MIN_RANGE = 1e-3
#: Seconds in which a face at rest that is known better replaces the one before, to a twentieth of their difference.
GO_OVER = 0.5


@dataclass(frozen=True, eq=False)
class RestRemoval:
    """Changes samples of a person whose neutral is known, as a `CalibratedDriver` does before it has an avatar."""

    neutral: Neutral
    closed: float  # weight of a blink at which the person's lids are closed

    @torch.no_grad()
    def __call__(self, sample: Sample) -> Sample:
        """The sample with weights that are 0 at rest and keep their 1, a gaze and a head that look ahead at rest."""
        rest = self.neutral.weights
        measured = torch.from_numpy(sample.weights)
        weights = ((measured - rest) / (1 - rest).clamp_min(_MIN_RANGE)).clamp(0, 1)
        for name in ("eyeLook", "eyeBlink"):  # gaze has no neutral, and lids close fully
            columns = [column for column, each in enumerate(sample.names) if each.startswith(name)]
            weights[columns] = measured[columns]
            if name == "eyeBlink":
                zero = torch.zeros(len(columns))
                weights[columns] = closing_of(measured[None, columns], rest[columns], self.closed, zero)[0]
        joint_rot = torch.from_numpy(sample.joint_rot).clone()
        rotation = head_rotation(joint_rot[None]) @ self.neutral.rotation.T
        joint_rot[ROOT] = matrix_to_axis_angle(rotation)[0]
        joint_rot[NECK] = 0
        joint_rot[[LEFT_EYE, RIGHT_EYE]] -= self.neutral.eyes
        return replace(sample, weights=weights.numpy(), joint_rot=joint_rot.numpy())


class RestFollower:
    """A `RestRemoval` whose neutral goes over to a better one without a jump."""

    def __init__(self, closed: float) -> None:
        """Args: as of `RestRemoval`."""
        self._closed = closed
        self._neutral: Neutral | None = None  # in use
        self._time = 0.0

    def __call__(self, sample: Sample, neutral: Neutral, time: float) -> Sample:
        """The sample at `time` seconds without the resting face, which is `neutral` as far as it is known."""
        if self._neutral is None or len(self._neutral.weights) != len(neutral.weights):
            self._neutral = neutral
        elif self._neutral is not neutral:
            left = math.exp(-math.log(20) * max(time - self._time, 0.0) / GO_OVER)
            self._neutral = between(neutral, self._neutral, left)
        self._time = time
        return RestRemoval(self._neutral, self._closed)(sample)


@torch.no_grad()
def between(first: Neutral, second: Neutral, fraction: float) -> Neutral:
    """A neutral at a fraction 0..1 of the way from one to another; the rotation along the shortest arc."""
    turn = fraction * matrix_to_axis_angle(first.rotation.mT @ second.rotation)
    mixed = {
        field.name: torch.lerp(getattr(first, field.name), getattr(second, field.name), fraction)
        for field in fields(Neutral)
    }
    return Neutral(**{**mixed, "rotation": first.rotation @ axis_angle_to_matrix(turn)})
