"""From one pose to another without a jump."""

from __future__ import annotations

from dataclasses import replace

import torch

from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.types import HeadParams


def smoothstep(share: float) -> float:
    """0..1 with no slope at either end."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def between(first: HeadParams, second: HeadParams, share: float) -> HeadParams:
    """Parameters `share` of the way from `first` to `second`, rotations along the shortest arc."""
    if share <= 0:
        return first
    if share >= 1:
        return second
    start = axis_angle_to_matrix(first.joint_rot.double())
    step = matrix_to_axis_angle(start.mT @ axis_angle_to_matrix(second.joint_rot.double()))
    turned = matrix_to_axis_angle(start @ axis_angle_to_matrix(share * step)).to(first.joint_rot)
    return replace(
        first,
        expression=torch.lerp(first.expression, second.expression, share),
        joint_rot=turned,
        translation=torch.lerp(first.translation, second.translation, share),
    )
