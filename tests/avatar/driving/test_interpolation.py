"""Interpolation between two poses."""

from __future__ import annotations

import pytest
import torch

from avatar.driving.interpolation import interpolate_params, smoothstep
from avatar.types import HeadParams


def params(value: float, turn: tuple[float, float, float]) -> HeadParams:
    joint_rot = torch.zeros(1, 5, 3)
    joint_rot[0, 0] = torch.tensor(turn)
    return HeadParams(torch.zeros(0), torch.full((1, 4), value), joint_rot, torch.full((1, 3), value))


FIRST, SECOND = params(0.2, (0.0, 3.0, 0.0)), params(0.6, (0.0, -3.0, 0.0))


def test_the_ends_are_the_given_poses() -> None:
    assert interpolate_params(FIRST, SECOND, -0.1) is FIRST
    assert interpolate_params(FIRST, SECOND, 1.0) is SECOND


def test_expressions_and_translations_are_linear() -> None:
    found = interpolate_params(FIRST, SECOND, 0.25)
    assert found.expression[0].tolist() == pytest.approx([0.3] * 4)
    assert found.translation[0].tolist() == pytest.approx([0.3] * 3)


def test_rotations_take_the_shorter_arc() -> None:
    assert abs(float(interpolate_params(FIRST, SECOND, 0.5).joint_rot[0, 0, 1])) == pytest.approx(torch.pi, abs=1e-4)


def test_smoothstep_has_no_slope_at_its_ends_and_is_clamped() -> None:
    assert [smoothstep(fraction) for fraction in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0, 0, 0.5, 1, 1]
    assert smoothstep(0.01) < 0.001 and smoothstep(0.99) > 0.999
