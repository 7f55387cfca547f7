"""Vergence: both eyes look at one point, so their pitch hardly differs and they never diverge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE

#: Largest difference of the pitch of both eyes, radians.
PITCH_DIFFERENCE = math.radians(0.5)


@dataclass(frozen=True, eq=False)
class Vergence:
    """Effect of the expressions of one head on the difference of both eyes' rotations.

    Weights of the gaze come for each eye apart, from networks that see each eye apart.
    """

    effect: Tensor  # [E,2] pitch and yaw (about x and y) of the left eye minus those of the right one at weight 1
    of_joints: Tensor  # [3J,2] the same for the joint rotations
    low: Tensor  # [2] radians
    high: Tensor  # [2] radians

    @staticmethod
    def of(head: HeadModel) -> Vergence:
        """The vergence of `head`."""
        difference = head.joint_dirs[LEFT_EYE, :2] - head.joint_dirs[RIGHT_EYE, :2]  # [2,E]
        of_joints = difference.new_zeros(len(JOINT_NAMES), 3, 2)
        for k in (0, 1):
            of_joints[LEFT_EYE, k, k] = 1
            of_joints[RIGHT_EYE, k, k] = -1
        low = (-PITCH_DIFFERENCE, -math.pi)
        high = (PITCH_DIFFERENCE, 0.0)
        return Vergence(
            difference.T.contiguous(), of_joints.flatten(0, 1), difference.new_tensor(low), difference.new_tensor(high)
        )

    def __call__(self, expression: Tensor, joint_rot: Tensor) -> Tensor:
        """Joint rotations [T,J,3] for which both eyes look at one point; their mean direction stays.

        Args:
            expression: [T,E] weights.
            joint_rot: [T,J,3] axis-angle radians, in addition to the rotations of the expressions.
        """
        flat = joint_rot.flatten(1)
        apart = torch.addmm(expression @ self.effect, flat, self.of_joints)
        excess = apart - apart.clamp(self.low, self.high)
        return torch.addmm(flat, excess, self.of_joints.T, alpha=-0.5).view_as(joint_rot)
