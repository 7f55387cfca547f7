"""A measured torso on an avatar: the chest is where it was measured, as far as that is trusted and plausible."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.torso import CHEST, LIMIT, MeasuredTorso, TorsoBelowHead, TorsoMap


@pytest.fixture
def torso() -> TorsoMap:
    """A torso that follows a part of the head, float64."""
    turn = axis_angle_to_matrix(torch.tensor([0.1, -0.05, 0.02], dtype=torch.float64))
    found = TorsoMap(turn, turn.new_tensor([0.02, -0.01, -0.7]), turn.new_tensor([0.0, -0.16, -0.1])).double()
    with torch.no_grad():
        found.weight.copy_(0.1 * torch.randn(6, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
        found.weight[:, 0] *= 0.1
    return found


@pytest.fixture
def mapped() -> Tensor:
    """Motion of the torso by its map in four frames."""
    return 0.05 * torch.randn(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def chest(torso: TorsoMap, motion: Tensor) -> Tensor:
    """Position of the chest [B,3] in the world, by the exact pose."""
    pose = torso.pose(motion)
    return pose.rotation @ (torso.pivot + torso.pivot.new_tensor(CHEST)) + pose.translation


def test_the_chest_moves_from_its_rest_as_measured(torso: TorsoMap, mapped: Tensor) -> None:
    moved = 1e-3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    rest = torso.weight[None, :, 0]
    mapped = rest + 0.02 * mapped  # near the rest, where the soft limit changes little
    motion = MeasuredTorso(moved, 1.0).motion(torso, mapped)
    found = (chest(torso, motion) - chest(torso, rest))[:, :2]
    torch.testing.assert_close(found, moved[:, :2], atol=5e-5, rtol=0)
    torch.testing.assert_close(motion[:, 2] - rest[:, 2], moved[:, 2], atol=1e-5, rtol=0)


def test_turn_lean_and_depth_stay_those_of_the_map(torso: TorsoMap, mapped: Tensor) -> None:
    motion = MeasuredTorso(torch.full((4, 3), 0.02, dtype=torch.float64), 1.0).motion(torso, mapped)
    assert torch.equal(motion[:, [0, 1, 5]], mapped[:, [0, 1, 5]])
    assert (motion[:, 2:5] != mapped[:, 2:5]).all()


def test_without_trust_the_map_decides(torso: TorsoMap, mapped: Tensor) -> None:
    motion = MeasuredTorso(torch.ones(4, 3, dtype=torch.float64), 0.0).motion(torso, mapped)
    assert torch.equal(motion, mapped)


def test_a_motion_that_would_tear_the_neck_is_limited(torso: TorsoMap, mapped: Tensor) -> None:
    motion = MeasuredTorso(torch.tensor([[9.0, -9.0, 9.0]], dtype=torch.float64), 1.0).motion(torso, mapped)
    moved = chest(torso, motion) - chest(torso, mapped)
    assert moved[:, :2].abs().max() < LIMIT[0] * 1.2
    assert (motion[:, 2] - mapped[:, 2]).max() <= LIMIT[2]


def test_equality_compares_motion_and_trust() -> None:
    one = MeasuredTorso(torch.ones(1, 3), 0.5)
    assert one.equals(MeasuredTorso(torch.ones(1, 3), 0.5))
    assert not one.equals(MeasuredTorso(torch.ones(1, 3), 0.6))
    assert not one.equals(MeasuredTorso(torch.zeros(1, 3), 0.5))
    assert not one.equals(None)


def test_below_a_head_at_another_distance_the_torso_stays_attached(torso: TorsoMap) -> None:
    torso.learn_limits(torch.full((1, 7), 0.5, dtype=torch.float64))
    turn = axis_angle_to_matrix(torch.tensor([[0.0, 0.3, 0.1]] * 2, dtype=torch.float64)) @ torso.mean_rotation
    place = torso.mean_translation + torso.pivot.new_tensor([[0.0, 0.0, 0.0], [0.1, 0.05, 0.4]])
    found = TorsoBelowHead().pose(torso, turn, place)
    torch.testing.assert_close(found.rotation[0], found.rotation[1])
    torch.testing.assert_close(found.translation[0] - place[0], found.translation[1] - place[1])
    lost = torso(turn, place).translation
    assert float((lost[1] - place[1] - (lost[0] - place[0])).norm()) > 0.2  # what the map alone does
