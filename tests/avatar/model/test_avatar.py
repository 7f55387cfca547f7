"""Rig, blendshapes and avatar together: the path from parameters to Gaussians."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.geometry.rotations import axis_angle_to_matrix, quat_to_matrix
from avatar.head import load_head
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import CHANNELS, Blendshapes, expression_features
from avatar.model.torso import TorsoMap
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import DeformedGaussians, HeadParams


def params_of(avatar: Avatar, capture: Capture, frame: int = 3) -> HeadParams:
    return avatar.with_identity(capture.params([frame]))


def test_zero_weights_give_the_neutral_bit_for_bit(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = params_of(tiny_avatar, tiny)
    rotation, translation = tiny_avatar.head.skull_pose(params)
    vertices = tiny_avatar.head.skull_vertices(params)
    zero = torch.zeros(1, tiny_avatar.blendshapes.basis.shape[0])
    rig, head = tiny_avatar.rig, tiny_avatar.rig.posed_head(vertices, rotation, translation)
    neutral = assemble(tiny_avatar, head, tiny_avatar.blendshapes(zero))
    bare = assemble(tiny_avatar, head, torch.zeros(1, 0, CHANNELS))
    local = DeformedGaussians(
        tiny_avatar.offsets[None], tiny_avatar.quats[None], tiny_avatar.log_scales[None].exp(), bare.opacities, bare.sh
    )
    means, quats, scales = ops.bind(vertices, rig.binding, local, head.bones, rig.vertex_stretch(vertices))
    assert torch.equal(neutral.means, means)
    assert torch.equal(neutral.quats, quats)
    assert_close(neutral.scales, tiny_avatar.sampling.widened(scales), rtol=1e-5, atol=1e-9)
    assert torch.equal(neutral.opacities, bare.opacities)
    assert torch.equal(neutral.sh, bare.sh)
    assert_close(neutral.opacities[0], torch.sigmoid(tiny_avatar.logit_opacities), rtol=1e-5, atol=1e-6)
    assert torch.equal(tiny_avatar(params, blend=False).means, neutral.means)


def test_trained_blendshapes_move_gaussians_of_the_face_only(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = params_of(tiny_avatar, tiny)
    with_blend, without = tiny_avatar(params), tiny_avatar(params, blend=False)
    moved = (with_blend.means - without.means).norm(dim=-1)[0]
    count = tiny_avatar.blendshapes.count
    assert moved[:count].max() > 1e-5
    assert torch.equal(with_blend.means[:, count:], without.means[:, count:])


def test_a_batch_equals_the_loop(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = tiny_avatar.with_identity(tiny.params([1, 4, 9]))
    batch = tiny_avatar(params)
    for index in range(3):
        single = tiny_avatar(params[index])
        assert torch.allclose(batch.means[index], single.means[0], atol=1e-6)
        assert torch.allclose(batch.sh[index], single.sh[0], atol=1e-5)


def test_skull_gaussians_follow_the_head_rigidly(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = params_of(tiny_avatar, tiny)
    turn = axis_angle_to_matrix(torch.tensor([0.1, 0.3, 0.0]))
    rotation, translation = tiny_avatar.head.skull_pose(params)
    vertices = tiny_avatar.head.skull_vertices(params)
    weights = tiny_avatar.weights(expression_features(params))
    extra, rig = tiny_avatar.blendshapes(weights), tiny_avatar.rig
    before = assemble(tiny_avatar, rig.posed_head(vertices, rotation, translation), extra)
    after = assemble(tiny_avatar, rig.posed_head(vertices, turn @ rotation, translation @ turn.T), extra)
    skull = tiny_avatar.rig.skin == 0
    assert torch.allclose(before.means[:, skull] @ turn.T, after.means[:, skull], atol=1e-5)
    turned = turn @ quat_to_matrix(before.quats[:, skull])
    assert torch.allclose(turned, quat_to_matrix(after.quats[:, skull]), atol=1e-4)


def test_the_neck_joint_carries_the_skull(tiny_avatar: Avatar, tiny: Capture) -> None:
    params = params_of(tiny_avatar, tiny)
    joint_rot = params.joint_rot.clone()
    joint_rot[:, 1, 1] = 0.2
    rotation, _ = tiny_avatar.head.skull_pose(params)
    turned, _ = tiny_avatar.head.skull_pose(replace(params, joint_rot=joint_rot))
    assert torch.allclose(rotation @ axis_angle_to_matrix(joint_rot[:, 1]), turned, atol=1e-6)


def test_the_torso_rests_before_training_and_stays_in_its_range() -> None:
    torso = TorsoMap(torch.eye(3), torch.tensor([0.0, 0.0, -0.6]), torch.tensor([0.0, -0.16, -0.1]))
    rotation = axis_angle_to_matrix(torch.tensor([[0.0, 0.5, 0.0]]))
    translation = torch.tensor([[0.05, 0.0, -0.6]])
    rest = torso(rotation, translation)
    assert torch.allclose(rest.rotation[0], torch.eye(3), atol=1e-6)
    assert torch.allclose(rest.translation[0], torso.mean_translation, atol=1e-6)
    torso.weight.data[0, 1:4] = 1.0
    torso.learn_limits(torso.features(axis_angle_to_matrix(torch.tensor([[0.0, 0.2, 0.0]])), translation))
    inside = torso(axis_angle_to_matrix(torch.tensor([[0.0, 0.24, 0.0]])), translation)
    outside = torso(rotation, translation)
    assert torch.allclose(inside.rotation, outside.rotation, atol=1e-6)


@pytest.mark.parametrize("mode", ["reduced", "expression"])
def test_weights_stay_bounded_far_outside_the_training_range(mode: str) -> None:
    features = torch.rand(40, 6)
    blend = Blendshapes(mode, features, 4, 10)  # type: ignore[arg-type]
    far = blend.weights(torch.full((1, 6), 100.0), ())
    assert far.abs().max() < 50


def test_expression_mode_has_no_offsets_where_the_mesh_does_not_move(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), TrainConfig(size=64, steps=20, gaussians=800, mode="expression")).avatar
    mask = avatar.blendshapes.mask
    with torch.no_grad():
        weights = torch.zeros(1, mask.shape[0])
        weights[0, avatar.head.expression_index("browInnerUp")] = 1.0
        offsets = avatar.blendshapes(weights)[0]
    masked = mask[avatar.head.expression_index("browInnerUp")] == 0
    assert 0.2 < masked.float().mean() < 1.0
    assert torch.equal(offsets[masked], torch.zeros_like(offsets[masked]))


def test_an_avatar_without_blendshapes_is_valid(tiny: Capture) -> None:
    avatar = fit(tiny, load_head(), TrainConfig(size=64, steps=5, gaussians=600, bases=0)).avatar
    params = params_of(avatar, tiny)
    assert torch.equal(avatar(params).means, avatar(params, blend=False).means)
