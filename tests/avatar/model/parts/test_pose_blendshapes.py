"""Pose blendshapes: nothing at the mean pose, limits, gradients, animator, file, training."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.model.avatar import Avatar, assemble, bake_identity
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.blendshapes import CHANNELS
from avatar.model.parts.pose_blendshapes import TERMS, TURN, WIDTH, PoseBlendshapes, _Sum
from avatar.rendering.animator import Animator
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.parts import pose_blendshapes
from avatar.training.trainer import Trainer
from avatar.types import Camera, Gaussians
from tests.support.parts import required

CONFIG = TrainConfig(size=64, steps=30, gaussians=700, refine_at=1.0, layer=False)


@pytest.fixture
def posed(tiny_avatar: Avatar) -> Avatar:
    """The tiny avatar with strong pose blendshapes, and room to turn."""
    avatar = copy.deepcopy(tiny_avatar)
    basis = torch.randn(TERMS, len(avatar), WIDTH, generator=torch.Generator().manual_seed(4))
    avatar.add_part(PoseBlendshapes(0.1 * basis))
    avatar.rig.torso.limit.fill_(0.4)
    return avatar.requires_grad_(False)


def turned(avatar: Avatar, *turn: float) -> Gaussians:
    """The resting face, turned by an axis-angle from the mean pose."""
    torso = avatar.rig.torso
    rotation = axis_angle_to_matrix(torch.tensor([turn], dtype=torch.float32)) @ torso.mean_rotation
    head = avatar.rig.posed_head(avatar.head.v_template[None], rotation, torso.mean_translation[None])
    return assemble(avatar, head, torch.zeros(1, avatar.blendshapes.count, CHANNELS))


def bare(avatar: Avatar) -> Avatar:
    return avatar.view(parts=[part for part in avatar.parts.values() if not isinstance(part, PoseBlendshapes)])


def frames_of(capture: Capture, config: TrainConfig = CONFIG) -> tuple[TrainingFrames, Avatar]:
    person = bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, capture.train_indices, CONFIG.size, person)
    return frames, build_avatar(person, frames, config)


def test_at_the_mean_pose_it_adds_nothing_to_the_bit(posed: Avatar) -> None:
    one, other = turned(bare(posed), 0, 0, 0), turned(posed, 0, 0, 0)
    assert torch.equal(one.means, other.means) and torch.equal(one.sh, other.sh)


def test_a_turn_adds_the_basis_times_its_terms(posed: Avatar) -> None:
    x, y, z = 0.2, -0.1, 0.05
    terms = torch.tensor([x, y, z, x * x / TURN, y * y / TURN, z * z / TURN, x * y / TURN]) / TURN
    added = torch.einsum("k,knc->nc", terms, required(posed, PoseBlendshapes).basis)
    one, other = turned(bare(posed), x, y, z), turned(posed, x, y, z)
    colors = (other.sh - one.sh)[0, :, 0] * 0.28209479
    torch.testing.assert_close(colors, added[:, 3:], atol=1e-5, rtol=1e-4)
    moved = (other.means - one.means)[0].norm(dim=1)
    skull = posed.rig.skin == 0
    torch.testing.assert_close(moved[skull], 0.01 * added[skull, :3].norm(dim=1), atol=1e-6, rtol=1e-3)


def test_beyond_the_turns_of_the_training_it_stays_as_it_is_there(posed: Avatar) -> None:
    within, beyond = (
        required(posed, PoseBlendshapes).weights(_rotation(posed, turn), posed.rig) for turn in (0.4, 1.0)
    )
    torch.testing.assert_close(within, beyond)


def test_turns_about_two_axes_stay_in_an_ellipsoid(posed: Avatar) -> None:
    part = required(posed, PoseBlendshapes)
    turn = axis_angle_to_matrix(torch.tensor([[0.4, 0.4, 0.0]])) @ posed.rig.torso.mean_rotation
    weights = part.weights(turn, posed.rig)[0]
    torch.testing.assert_close(weights[:3], torch.tensor([1.0, 1.0, 0.0]) * 0.4 / (TURN * 2**0.5), atol=1e-4, rtol=0)


def _rotation(avatar: Avatar, yaw: float) -> Tensor:
    return axis_angle_to_matrix(torch.tensor([[0.0, yaw, 0.0]])) @ avatar.rig.torso.mean_rotation


def test_gradients_of_the_sum() -> None:
    extra = torch.randn(2, 3, CHANNELS, dtype=torch.float64, requires_grad=True)
    added = torch.randn(2, 5, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_Sum.apply, (extra, added))


def test_an_animator_shows_it(posed: Avatar) -> None:
    params = posed.head.neutral_params(1)
    params.joint_rot[:, 0] = torch.tensor([0.1, 0.3, 0.0])
    camera = Camera.facing(focal=100, width=64, height=64)
    shown, plain = (Animator(each, 64, 64).render(params, camera).int() for each in (posed, bare(posed)))
    assert (shown - plain).abs().max() > 20
    expected, found = posed(params), Animator(posed, 64, 64)
    frame = found.frame(found.poses(params), 0).gaussians
    torch.testing.assert_close(frame.sh, expected.sh, atol=2e-3, rtol=0)


def test_a_file_keeps_it_in_half_precision(posed: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, posed)
    assert "pose_blendshapes" in read_header(path)
    basis = required(posed, PoseBlendshapes).basis
    assert torch.equal(required(load_avatar(path), PoseBlendshapes).basis, basis.half().float())
    save_avatar(tmp_path / "bare.avatar", bare(posed))
    assert load_avatar(tmp_path / "bare.avatar").part(PoseBlendshapes) is None


def test_edits_change_its_colors_alone(posed: Avatar) -> None:
    part = copy.deepcopy(required(posed, PoseBlendshapes))
    before = part.basis.clone()
    part.scale_colors(torch.full((len(posed), 3), 2.0))
    part.mix_channels(torch.eye(3).flip(0))
    assert torch.equal(part.basis[..., :3], before[..., :3])
    torch.testing.assert_close(part.basis[..., 3:], 2 * before[..., 3:].flip(-1))


def test_a_training_learns_it_and_moves_only_what_no_expression_moves(
    tiny: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pose_blendshapes, "MIN_POSES", 2)
    frames, avatar = frames_of(tiny)
    trainer = Trainer(avatar, frames, CONFIG)
    trainer.initialize()
    for number in range(8):
        trainer.step(number / 30)
    part = required(trainer.avatar, PoseBlendshapes)
    count = avatar.blendshapes.count
    assert part.basis[:, :count, 3:].any() and part.basis[:, count:, :3].any() and part.basis[:, count:, 3:].any()
    assert not part.basis[:, :count, :3].any()


def test_before_poses_are_refined_a_step_is_one_without_it(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose_blendshapes, "MIN_POSES", 2)
    trained = []
    for wanted in (True, False):
        config = replace(CONFIG, refine_at=0.5, pose_blendshapes=wanted)
        trainer = Trainer(frames_of(tiny, config)[1], frames_of(tiny, config)[0], config)
        trainer.initialize()
        for number in range(6):
            trainer.step(number / 30)
        trained.append(trainer)
    learned, plain = trained
    for name, values in vars(plain.avatar.local).items():
        assert torch.equal(getattr(learned.avatar.local, name), values), name
    assert torch.equal(learned.avatar.blendshapes.basis, plain.avatar.blendshapes.basis)

    part = required(learned.avatar, PoseBlendshapes)
    assert not part.basis.any()
    learned.step(0.5)
    assert part.basis.any()


def test_few_poses_or_the_setting_leave_it_out(tiny: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    poses = len(tiny.train_indices)
    for needed, wanted, present in ((poses, True, True), (poses + 1, True, False), (poses, False, False)):
        monkeypatch.setattr(pose_blendshapes, "MIN_POSES", needed)
        _, avatar = frames_of(tiny, replace(CONFIG, pose_blendshapes=wanted))
        assert (avatar.part(PoseBlendshapes) is not None) == present
