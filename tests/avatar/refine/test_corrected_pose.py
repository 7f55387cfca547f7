"""The pose corrector: it recovers a repeatable error of the tracker, and leaves poses alone where there is none."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.model.parts.person import PoseCorrector
from avatar.refine.corrected_pose import corrected_params, learn_pose_corrector, with_corrected_pose
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """80 small frames, 64 of them for training."""
    return tiny_capture(tmp_path_factory.mktemp("corrector") / "capture", frames=80, size=16)


@pytest.fixture
def avatar(tiny_avatar: Avatar) -> Avatar:
    return copy.deepcopy(tiny_avatar)


def tracked(avatar: Avatar, capture: Capture, rows: np.ndarray) -> HeadStates:
    return HeadStates.of(capture.params(rows), avatar.head)


def moved(states: HeadStates, turn: torch.Tensor, shift: torch.Tensor) -> HeadStates:
    """States with the skull turned by `turn` [S,3] rad, skull frame, and shifted by `shift` [S,3] meters."""
    rotation = states.rotation @ axis_angle_to_matrix(turn)
    return replace(states, rotation=rotation, translation=states.translation + shift)


def true_states(avatar: Avatar, states: HeadStates) -> HeadStates:
    """States whose poses differ from the tracked ones with the smile and the rotation: what a corrector can learn."""
    smile = states.params.expression[:, avatar.head.expression_index("mouthSmileLeft")]
    pitch, zero = 0.05 * smile, torch.zeros_like(smile)
    depth = 0.02 * states.params.joint_rot[:, 0, 1]
    return moved(states, torch.stack([pitch, zero, zero], -1), torch.stack([zero, zero, depth], -1))


def learn(avatar: Avatar, capture: Capture) -> None:
    states = tracked(avatar, capture, capture.train_indices)
    none = torch.zeros(len(states), dtype=torch.bool)
    learn_pose_corrector(avatar, capture, states, true_states(avatar, states), none)


def error(found: HeadStates, truth: HeadStates) -> tuple[float, float]:
    """Mean difference of two poses, radians and meters."""
    turn = matrix_to_axis_angle(found.rotation.transpose(1, 2) @ truth.rotation).norm(dim=-1)
    return float(turn.mean()), float((found.translation - truth.translation).norm(dim=-1).mean())


def test_a_repeatable_error_of_the_tracker_is_removed(avatar: Avatar, capture: Capture) -> None:
    learn(avatar, capture)
    states = tracked(avatar, capture, capture.test_indices)
    truth = true_states(avatar, states)
    before = error(states, truth)
    after = error(with_corrected_pose(avatar, capture, capture.test_indices, states), truth)
    assert after[0] < 0.15 * before[0] and after[1] < 0.15 * before[1]


def test_head_parameters_get_the_same_pose_as_states(avatar: Avatar, capture: Capture) -> None:
    learn(avatar, capture)
    rows = capture.test_indices
    states = with_corrected_pose(avatar, capture, rows, tracked(avatar, capture, rows))
    params = corrected_params(avatar, capture, rows, capture.params(rows))
    rotation, translation = avatar.head.skull_pose(avatar.with_identity(params))
    torch.testing.assert_close(rotation, states.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(translation, states.translation, atol=1e-5, rtol=0)


def test_noise_corrects_nothing(avatar: Avatar, capture: Capture) -> None:
    states = tracked(avatar, capture, capture.train_indices)
    source = torch.Generator().manual_seed(0)
    turn, shift = (scale * torch.randn(len(states), 3, generator=source) for scale in (0.02, 0.004))
    none = torch.zeros(len(states), dtype=torch.bool)
    learn_pose_corrector(avatar, capture, states, moved(states, turn, shift), none)
    held_out = tracked(avatar, capture, capture.test_indices)
    change = error(with_corrected_pose(avatar, capture, capture.test_indices, held_out), held_out)
    assert change[0] < 0.002 and change[1] < 0.0004


def test_too_few_frames_and_other_captures_are_left_alone(avatar: Avatar, capture: Capture, tiny: Capture) -> None:
    learn(avatar, tiny)
    assert avatar.part(PoseCorrector) is None
    learn(avatar, capture)
    states = tracked(avatar, tiny, tiny.test_indices)
    assert torch.equal(with_corrected_pose(avatar, tiny, tiny.test_indices, states).rotation, states.rotation)


def test_frames_without_landmarks_stay_as_tracked(avatar: Avatar, capture: Capture) -> None:
    learn(avatar, capture)
    landmarks = capture.track["landmarks"].copy()
    rows = capture.test_indices
    landmarks[rows[3]] = np.nan
    blind = replace(capture, track={**capture.track, "landmarks": landmarks})
    states = tracked(avatar, capture, rows)
    found = with_corrected_pose(avatar, blind, rows, states)
    torch.testing.assert_close(found.rotation[3], states.rotation[3])
    assert not torch.allclose(found.rotation[2], states.rotation[2], atol=1e-4)


def test_a_corrector_is_loaded_as_it_was_saved(avatar: Avatar, capture: Capture, tmp_path: Path) -> None:
    learn(avatar, capture)
    save_avatar(tmp_path / "me.avatar", avatar)
    expected, found = avatar.part(PoseCorrector), load_avatar(tmp_path / "me.avatar").part(PoseCorrector)
    assert expected is not None and found is not None and found.capture == capture.fingerprint
    for name in ("landmark_mean", "landmark_basis", "low", "high", "weight"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
