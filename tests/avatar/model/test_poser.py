"""Poses of many frames, and the mesh by one blend: the head model's own numbers."""

from __future__ import annotations

from dataclasses import fields

import torch

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.poser import Poser
from avatar.types import JAW, LEFT_EYE


def test_vertices_are_the_head_models(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = tiny_avatar.with_identity(tiny.params(range(6)))
    params.joint_rot[:, JAW, 0] = 0.2
    params.joint_rot[:, LEFT_EYE, 1] = 0.3
    poser = Poser(tiny_avatar)
    poses = poser.poses(params)
    for frame in (0, 5):
        expected = tiny_avatar.head.skull_vertices(params[frame])
        torch.testing.assert_close(poser.vertices(poses, frame), expected, rtol=0, atol=1e-6)


def test_poses_of_a_frame_alone_are_those_among_others_bit_for_bit(tiny_avatar: Avatar, tiny: Capture) -> None:
    params, poser = tiny_avatar.with_identity(tiny.params(range(24))), Poser(tiny_avatar)
    params.joint_rot[:, JAW, 0] = torch.linspace(0, 0.3, 24)
    whole = poser.poses(params)
    for size in (1, 3, 17):
        parts = [poser.poses(params[first : first + size]) for first in range(0, 24, size)]
        for field in fields(whole):
            joined = torch.cat([getattr(part, field.name) for part in parts])
            assert torch.equal(joined, getattr(whole, field.name)), (size, field.name)


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
