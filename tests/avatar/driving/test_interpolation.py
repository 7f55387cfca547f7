"""From one pose to another."""

from __future__ import annotations

import pytest
import torch

from avatar.driving.interpolation import between, smoothstep
from avatar.types import HeadParams


def params(value: float, turn: tuple[float, float, float]) -> HeadParams:
    joint_rot = torch.zeros(1, 5, 3)
    joint_rot[0, 0] = torch.tensor(turn)
    return HeadParams(torch.zeros(0), torch.full((1, 4), value), joint_rot, torch.full((1, 3), value))


FIRST, SECOND = params(0.2, (0.0, 3.0, 0.0)), params(0.6, (0.0, -3.0, 0.0))


def test_the_ends_are_the_poses_themselves() -> None:
    assert between(FIRST, SECOND, -0.1) is FIRST
    assert between(FIRST, SECOND, 1.0) is SECOND


def test_expressions_and_places_go_straight() -> None:
    found = between(FIRST, SECOND, 0.25)
    assert found.expression[0].tolist() == pytest.approx([0.3] * 4)
    assert found.translation[0].tolist() == pytest.approx([0.3] * 3)


def test_a_head_turns_the_short_way() -> None:
    assert abs(float(between(FIRST, SECOND, 0.5).joint_rot[0, 0, 1])) == pytest.approx(torch.pi, abs=1e-4)


def test_the_way_starts_and_ends_slowly_and_is_kept_to_its_ends() -> None:
    assert [smoothstep(share) for share in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0, 0, 0.5, 1, 1]
    assert smoothstep(0.01) < 0.001 and smoothstep(0.99) > 0.999
