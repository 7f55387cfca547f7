"""Light inside the mouth: how it depends on the opening, on the depth and on the direction of a surface."""

from __future__ import annotations

import math

import pytest
import torch

from avatar.reference import light as module
from avatar.reference import mouth_light

FORWARD = torch.tensor([[0.0, 0.0, 1.0]])


def lips(height: float, width: float = 0.05) -> torch.Tensor:
    """Lips [1,4,3] open by `height` about the origin, in the plane z = 0."""
    half = height / 2
    return torch.tensor([[[0, half, 0], [0, -half, 0], [-width / 2, 0, 0], [width / 2, 0, 0]]]).float()


def light(depth: float, normal: torch.Tensor = FORWARD, height: float = 0.02, aside: float = 0.0) -> float:
    return float(mouth_light(torch.tensor([[[aside, 0.0, -depth]]]), normal, lips(height)))


def test_the_light_at_a_point_is_that_of_the_formula() -> None:
    area = (20 + module.CLOSED) * 50
    direct = area / (area + math.pi * (30 - module.NEAR) ** 2)
    indirect = module.INDIRECT * area / (area + module.INDIRECT_AREA)
    assert light(0.03) == pytest.approx((indirect + (1 - indirect) * direct) ** 0.5, rel=1e-5)


def test_it_falls_with_the_depth_and_grows_with_the_opening() -> None:
    falling = [light(depth) for depth in (0.005, 0.02, 0.04, 0.06)]
    growing = [light(0.03, height=height) for height in (0.0, 0.005, 0.02, 0.04)]
    assert falling == sorted(falling, reverse=True) and growing == sorted(growing)
    assert 0 < growing[0] < 0.5 * growing[-1] and falling[0] <= 1


def test_a_surface_that_faces_the_opening_is_brightest_and_one_that_faces_away_is_not_black() -> None:
    front, up, back = (light(0.03, torch.tensor([[0.0, y, z]])) for y, z in ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0)))
    assert front > up > back > 0


def test_points_aside_of_the_opening_and_in_its_plane_are_finite_and_darker() -> None:
    assert light(0.01) > light(0.01, aside=0.04) > 0
    at_the_opening = mouth_light(torch.zeros(1, 1, 3), FORWARD, lips(0.0))
    assert bool(torch.isfinite(at_the_opening).all()) and float(at_the_opening) <= 1
