"""Poses of many frames, and the mesh by one blend: the head model's own numbers."""

from __future__ import annotations

import torch

from avatar.captured import Capture
from avatar.model import Avatar
from avatar.posing import Poser
from avatar.records import JAW, LEFT_EYE


def test_vertices_are_the_head_models(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = tiny_avatar.with_identity(tiny.params(range(6)))
    params.joint_rot[:, JAW, 0] = 0.2
    params.joint_rot[:, LEFT_EYE, 1] = 0.3
    poser = Poser(tiny_avatar)
    poses = poser.poses(params)
    for frame in (0, 5):
        expected = tiny_avatar.head.skull_vertices(params[frame])
        torch.testing.assert_close(poser.vertices(poses, frame), expected, rtol=0, atol=1e-6)


def test_corrective_shapes_of_turned_joints_are_in_the_vertices(tiny_avatar: Avatar, tiny: Capture) -> None:
    from copy import copy
    from dataclasses import replace

    head = tiny_avatar.head
    bumps = 0.001 * torch.randn(len(head.v_template), 3, 36, generator=torch.Generator().manual_seed(0)).half().float()
    other = copy(tiny_avatar)
    other.head = replace(head, posedirs=bumps)
    params = other.with_identity(tiny.params([3]))
    params.joint_rot[:, JAW, 0] = 0.3
    poser = Poser(other)
    expected = other.head.skull_vertices(params)
    torch.testing.assert_close(poser.vertices(poser.poses(params), 0), expected, rtol=0, atol=1e-6)
