"""The torso regression: it recovers a known map, and the torso map stands in where the image shows no torso."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates, load_frames
from avatar.model.avatar import Avatar
from avatar.model.parts.person import TorsoRegression
from avatar.refine.measured_torso import learn_torso_regression, measured_torso, with_measured_torso

MAP = torch.tensor([[0.0, 0.1, 0.05], [0.2, 0.0, 0.1], [0.1, -0.1, 0.0], [0.3, 0, 0], [0, -0.3, 0], [0.1, 0.1, 0.4]])


@pytest.fixture
def avatar(tiny_avatar: Avatar) -> Avatar:
    return copy.deepcopy(tiny_avatar)


def with_torso(capture: Capture, seed: int = 0, confidence: float = 1.0) -> Capture:
    """The capture with a made-up motion of the torso in the image, independent of the head."""
    phases = np.random.default_rng(seed).normal(size=(1, 6))
    motion = 0.2 * np.sin(np.linspace(0, 9, len(capture))[:, None] * (1 + 0.2 * np.arange(6)) + phases)
    track = {**capture.track, "torso_motion": motion, "torso_confidence": np.full(len(capture), confidence)}
    return replace(capture, track=track)


def refined(avatar: Avatar, capture: Capture, rows: np.ndarray) -> HeadStates:
    """States whose torso follows the motion in the image by MAP."""
    states = load_frames(capture, rows, 32, avatar.head).states
    motion = torch.from_numpy(capture.track["torso_motion"][rows]).float()[:, :3] @ MAP.T
    return replace(states, torso=avatar.rig.torso.pose(motion))


def learn(avatar: Avatar, capture: Capture) -> None:
    rows = capture.train_indices
    learn_torso_regression(avatar, capture, refined(avatar, capture, rows), torch.zeros(len(rows), dtype=torch.bool))


def test_the_map_from_the_image_to_the_torso_is_recovered(avatar: Avatar, tiny: Capture) -> None:
    capture = with_torso(tiny)
    learn(avatar, capture)
    truth = refined(avatar, capture, capture.test_indices)
    tracked = replace(truth, torso=None)
    found = with_measured_torso(avatar, capture, capture.test_indices, tracked)
    assert truth.torso is not None and found.torso is not None
    for name in ("rotation", "translation"):
        one, other = getattr(truth.torso, name), getattr(found.torso, name)
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


def test_a_capture_without_a_torso_leaves_the_map_in_place(avatar: Avatar, tiny: Capture) -> None:
    learn(avatar, tiny)
    assert avatar.part(TorsoRegression) is None
    states = load_frames(tiny, tiny.test_indices, 32, avatar.head).states
    assert with_measured_torso(avatar, tiny, tiny.test_indices, states) is states


def test_frames_without_confidence_follow_the_torso_map(avatar: Avatar, tiny: Capture) -> None:
    learn(avatar, with_torso(tiny))
    capture = with_torso(tiny, confidence=0.4)
    states = load_frames(capture, capture.test_indices, 32, avatar.head).states
    found = with_measured_torso(avatar, capture, capture.test_indices, states).torso
    assert found is not None
    mapped = avatar.rig.torso(states.rotation, states.translation)
    for name in ("rotation", "translation"):
        one, other = getattr(found, name), getattr(mapped, name)
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_another_capture_does_not_use_the_regression(avatar: Avatar, tiny: Capture) -> None:
    learn(avatar, with_torso(tiny))
    other = with_torso(replace(tiny, track={**tiny.track, "translation": tiny.track["translation"] + 0.01}))
    states = load_frames(other, other.test_indices, 32, avatar.head).states
    poses = states.rotation, states.translation
    assert measured_torso(avatar, other, other.test_indices, *poses) is None


def test_a_motion_that_does_not_explain_the_torso_is_not_used(avatar: Avatar, tiny: Capture) -> None:
    capture, rows = with_torso(tiny), tiny.train_indices
    states = refined(avatar, with_torso(tiny, seed=1), rows)
    noise = torch.randn(len(rows), 6, generator=torch.Generator().manual_seed(0)) * 0.1
    capture.track["torso_motion"][rows] = noise.numpy()
    mapped = avatar.rig.torso.features(states.rotation, states.translation)[:, 1:] * 0.5
    states = replace(states, torso=avatar.rig.torso.pose(mapped))
    learn_torso_regression(avatar, capture, states, torch.zeros(len(rows), dtype=torch.bool))
    assert avatar.part(TorsoRegression) is None


def test_what_no_image_shows_does_not_decide_against_a_measured_torso(avatar: Avatar, tiny: Capture) -> None:
    capture, rows = with_torso(tiny), tiny.train_indices
    states = refined(avatar, capture, rows)
    assert states.torso is not None
    motion = avatar.rig.torso.motion_of_pose(states.torso)
    by_head = avatar.rig.torso.features(states.rotation, states.translation)[:, 1:]
    hidden = [0, 1, 5]  # pitch, yaw and distance follow the head, larger than what the image shows
    motion[:, hidden] = 30 * by_head[:, hidden]
    states = replace(states, torso=avatar.rig.torso.pose(motion))
    learn_torso_regression(avatar, capture, states, torch.zeros(len(rows), dtype=torch.bool))
    assert avatar.part(TorsoRegression) is not None


def test_inputs_are_limited_to_the_range_of_training(avatar: Avatar, tiny: Capture) -> None:
    learn(avatar, with_torso(tiny))
    regression = avatar.part(TorsoRegression)
    assert regression is not None
    far, farther = (torch.full((1, 6), value) for value in (5.0, 50.0))
    assert torch.equal(regression.motion(far), regression.motion(farther))
