"""Interpolation between two poses of an avatar."""

from __future__ import annotations

from dataclasses import replace

import torch

from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.types import HeadParams


def smoothstep(fraction: float) -> float:
    """Hermite interpolation of `fraction`, clamped to 0..1, with zero slope at both ends."""
    fraction = min(max(fraction, 0.0), 1.0)
    return fraction * fraction * (3 - 2 * fraction)


def interpolate_params(first: HeadParams, second: HeadParams, fraction: float) -> HeadParams:
    """Interpolate head parameters: expression and translation linearly, rotations along the shortest arc.

    Args:
        first: T frames, the result at a fraction of 0 or less.
        second: T frames, the result at a fraction of 1 or more.
        fraction: 0..1.
    """
    if fraction <= 0:
        return first
    if fraction >= 1:
        return second
    start = axis_angle_to_matrix(first.joint_rot.double())
    difference = matrix_to_axis_angle(start.mT @ axis_angle_to_matrix(second.joint_rot.double()))
    joint_rot = matrix_to_axis_angle(start @ axis_angle_to_matrix(fraction * difference)).to(first.joint_rot)
    return replace(
        first,
        expression=torch.lerp(first.expression, second.expression, fraction),
        joint_rot=joint_rot,
        translation=torch.lerp(first.translation, second.translation, fraction),
    )
