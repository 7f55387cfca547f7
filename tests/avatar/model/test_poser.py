"""The poser gives the values of the head model, for one frame and for many."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_quat
from avatar.model.avatar import Avatar
from avatar.model.poser import PosedFrames, Poser
from avatar.model.torso import TorsoMap
from avatar.types import JAW, LEFT_EYE


def test_vertices_equal_those_of_the_head_model(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = tiny_avatar.with_identity(tiny.params(range(6)))
    params.joint_rot[:, JAW, 0] = 0.2
    params.joint_rot[:, LEFT_EYE, 1] = 0.3
    poser = Poser(tiny_avatar)
    poses = poser.poses(params)
    for frame in (0, 5):
        expected = tiny_avatar.head.skull_vertices(params[frame])
        torch.testing.assert_close(poser.head(poses, frame).vertices, expected, rtol=0, atol=1e-6)


def tensors_of(frames: PosedFrames) -> dict[str, Tensor]:
    return {name: value for name, value in (vars(frames) | vars(frames.bones)).items() if name != "bones"}


def test_poses_do_not_depend_on_the_number_of_frames(tiny_avatar: Avatar, tiny: Capture) -> None:
    params, poser = tiny_avatar.with_identity(tiny.params(range(24))), Poser(tiny_avatar)
    params.joint_rot[:, JAW, 0] = torch.linspace(0, 0.3, 24)
    whole = poser.poses(params)
    for size in (1, 3, 17):
        parts = [poser.poses(params[first : first + size]) for first in range(0, 24, size)]
        for name, expected in tensors_of(whole).items():
            joined = torch.cat([tensors_of(part)[name] for part in parts])
            assert torch.equal(joined, expected), (size, name)


def test_the_torso_pose_does_not_depend_on_the_number_of_frames() -> None:
    """With a mean pose and a map far from the identity, where the order of every sum shows in the last bit."""
    generator = torch.Generator().manual_seed(0)
    rotvecs, translations = (torch.randn(200, 3, generator=generator) * 0.3 for _ in range(2))
    mean = axis_angle_to_matrix(torch.tensor([0.3, 0.5, -0.2]))
    torso = TorsoMap(mean, torch.tensor([0.1, 0.2, -0.6]), torch.tensor([0.01, -0.16, -0.1]))
    with torch.no_grad():
        torso.weight.copy_(torch.randn(6, 7, generator=generator) * 0.3)
        rotations = axis_angle_to_matrix(rotvecs)
        whole = torso(rotations, translations)
        for size in (1, 2, 3, 17):
            parts = [torso(*pose) for pose in zip(rotations.split(size), translations.split(size), strict=True)]
            for name, expected in vars(whole).items():
                assert torch.equal(torch.cat([getattr(part, name) for part in parts]), expected), (size, name)


def test_a_known_motion_of_the_torso_takes_the_place_of_the_map(tiny_avatar: Avatar, tiny: Capture) -> None:
    params, poser = tiny.params(range(4)), Poser(tiny_avatar)
    motion = torch.linspace(-0.2, 0.3, 24).reshape(4, 6)
    torso = tiny_avatar.rig.torso.pose(motion)
    known, mapped = poser.poses(params, torso), poser.poses(params)
    assert torch.equal(known.bones.quats[:, 1], matrix_to_quat(torso.rotation))
    assert torch.equal(known.bones.translations[:, 1], torso.translation)
    assert torch.equal(known.rotation, mapped.rotation)
    assert torch.equal(known.bones.quats[:, 0], mapped.bones.quats[:, 0])


def test_the_motion_of_a_torso_pose_is_that_which_made_it() -> None:
    torso = TorsoMap(torch.eye(3), torch.tensor([0.0, 0.1, -0.6]), torch.tensor([0.0, -0.16, -0.1]))
    motion = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)) * 0.3
    pose = torso.pose(motion)
    assert torso.motion_of_pose(pose) is motion
    torch.testing.assert_close(torso.motion_of_pose(replace(pose, motion=None)), motion, atol=1e-5, rtol=0)


def test_vertices_have_the_pose_correctives_of_joints(tiny_avatar: Avatar, tiny: Capture) -> None:
    from copy import copy
    from dataclasses import replace

    head = tiny_avatar.head
    correctives = (
        0.001 * torch.randn(len(head.v_template), 3, 36, generator=torch.Generator().manual_seed(0)).half().float()
    )
    other = copy(tiny_avatar)
    other.head = replace(head, posedirs=correctives)
    params = other.with_identity(tiny.params([3]))
    params.joint_rot[:, JAW, 0] = 0.3
    poser = Poser(other)
    expected = other.head.skull_vertices(params)
    torch.testing.assert_close(poser.head(poser.poses(params), 0).vertices, expected, rtol=0, atol=1e-6)
