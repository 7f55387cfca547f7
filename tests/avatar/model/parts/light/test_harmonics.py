"""Light as spherical harmonics against sums over the sphere, in float64."""

from __future__ import annotations

import math

import torch

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.parts.light.harmonics import TERMS, ambient, directional, open_transfer, rotate_light, sphere
from avatar.reference.sh import sh_basis

DIRECTIONS = sphere(20_000)
AREA = 4 * math.pi / len(DIRECTIONS)


def some_light() -> torch.Tensor:
    return torch.randn(TERMS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def some_rotation() -> torch.Tensor:
    return axis_angle_to_matrix(torch.tensor([0.4, -0.9, 0.3], dtype=torch.float64))


def test_the_transfer_of_an_open_surface_is_the_integral_over_its_hemisphere() -> None:
    light, normals = some_light(), sphere(7)
    radiance = sh_basis(DIRECTIONS, TERMS) @ light
    cosine = (normals @ DIRECTIONS.T).clamp(min=0)
    expected = cosine @ radiance * AREA / math.pi
    assert torch.allclose(open_transfer(normals) @ light, expected, atol=2e-3)


def test_rotated_coefficients_are_those_of_the_rotated_function() -> None:
    light, turn = some_light(), some_rotation()
    found = sh_basis(DIRECTIONS[:50], TERMS) @ rotate_light(light, turn)
    assert torch.allclose(found, sh_basis(DIRECTIONS[:50] @ turn, TERMS) @ light, atol=1e-10)


def test_rotations_compose_and_invert() -> None:
    light, turn = some_light(), some_rotation()
    assert torch.allclose(rotate_light(rotate_light(light, turn), turn.T), light, atol=1e-10)
    assert torch.allclose(rotate_light(rotate_light(light, turn), turn), rotate_light(light, turn @ turn), atol=1e-10)


def test_ambient_light_of_radiance_1_gives_every_open_surface_1() -> None:
    found = open_transfer(sphere(9)) @ ambient(torch.ones(3, dtype=torch.float64))
    assert torch.allclose(found, torch.ones_like(found), atol=1e-12)


def test_a_lamp_gives_its_color_to_a_surface_that_faces_it_and_nearly_nothing_behind() -> None:
    direction, color = torch.tensor([0.0, 0.6, 0.8]), torch.tensor([1.0, 0.5, 0.25])
    light = directional(direction, color)
    facing, behind = open_transfer(torch.stack([direction, -direction])) @ light
    assert torch.allclose(facing, color, atol=0.1 * float(color.max()))
    assert float(behind.abs().max()) < 0.1
