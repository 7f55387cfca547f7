"""The resting face of a person: the expression weights with which it was tracked, and an avatar in it."""

from __future__ import annotations

from torch import Tensor

from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import CHANNELS
from avatar.types import NECK, ROOT, HeadParams, PosedHead

NEUTRAL_QUANTILE = 0.2


def resting_expression(expression: Tensor) -> Tensor:
    """Tracked weights of the person's resting face [E]: a low quantile over the frames of `expression` [T,E]."""
    return expression.quantile(NEUTRAL_QUANTILE, dim=0)


def resting_means(avatar: Avatar, head: HeadModel) -> Tensor:
    """Centers [N,3] of the avatar's Gaussians on the resting `head`, in the skull frame; meters."""
    return resting_vertices(avatar, head)[1]


def resting_vertices(avatar: Avatar, head: HeadModel) -> tuple[Tensor, Tensor]:
    """Vertices [V,3] of the resting `head` and centers [N,3] of the avatar's Gaussians on it, skull frame; meters."""
    params = head.neutral_params(1)
    params.expression[:] = avatar.neutral
    vertices = head.skull_vertices(params)
    still = avatar.offsets.new_zeros(1, avatar.blendshapes.count, CHANNELS)
    return vertices[0], assemble(avatar, PosedHead.in_skull_frame(vertices), still).means[0]


def at_mean_pose(avatar: Avatar, expression: Tensor, rotation: Tensor | None = None) -> HeadParams:
    """Head parameters [T] at the avatar's mean head position: anywhere else the head is torn off its torso.

    Args:
        avatar: the avatar.
        expression: [T,E] weights.
        rotation: [T,3,3] of the skull; None: the mean of the training poses.
    """
    torso = avatar.rig.torso
    params = avatar.with_identity(avatar.head.neutral_params(len(expression)))
    params.expression[:] = expression
    turned = torso.mean_rotation.expand(len(expression), 3, 3) if rotation is None else rotation
    params.joint_rot[:, ROOT] = matrix_to_axis_angle(turned)
    params.joint_rot[:, NECK] = 0
    params.translation[:] = avatar.head.root_translation(params.identity, turned, torso.mean_translation)
    return params
