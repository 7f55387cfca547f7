"""The resting avatar at its mean head position."""

from __future__ import annotations

import torch

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.avatar import Avatar
from avatar.model.resting import at_mean_pose


def test_the_head_is_where_the_frames_showed_it(tiny_avatar: Avatar) -> None:
    """Elsewhere the torso, which the torso map leaves near its frames, is torn off."""
    torso = tiny_avatar.rig.torso
    params = at_mean_pose(tiny_avatar, tiny_avatar.neutral.expand(2, -1))
    rotation, translation = tiny_avatar.head.skull_pose(params)
    assert torch.allclose(rotation, torso.mean_rotation.expand(2, 3, 3), atol=1e-6)
    assert torch.allclose(translation, torso.mean_translation.expand(2, 3), atol=1e-6)
    assert torch.equal(params.expression, tiny_avatar.neutral.expand(2, -1))


def test_it_turns_about_the_same_place(tiny_avatar: Avatar) -> None:
    turned = axis_angle_to_matrix(torch.tensor([[0.0, 0.5, 0.0]]))
    rotation, translation = tiny_avatar.head.skull_pose(at_mean_pose(tiny_avatar, tiny_avatar.neutral[None], turned))
    assert torch.allclose(rotation, turned, atol=1e-6)
    assert torch.allclose(translation[0], tiny_avatar.rig.torso.mean_translation, atol=1e-6)
