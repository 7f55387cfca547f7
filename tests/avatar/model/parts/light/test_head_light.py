"""The gain of colors: 1 at the mean pose, that of the plain formula elsewhere, and nothing without a light."""

from __future__ import annotations

import copy

import pytest
import torch

from avatar.export.posed import posed
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.avatar import Avatar
from avatar.model.parts.light.harmonics import ambient, directional
from avatar.model.parts.light.head_light import GAMMA, HeadLight, factors, reflect
from avatar.model.parts.light.lights import PRESETS, light_named
from avatar.model.parts.light.relight import Relighting, baked, relit
from avatar.reference.sh import sh_basis
from avatar.rendering.animator import Animator
from avatar.types import Camera
from tests.support.parts import required

CAMERA = Camera.facing(90, 48, 48)
SIDE = ambient(torch.ones(3)) + directional(torch.tensor([1.0, 0.2, 0.4]), torch.tensor([1.5, 1.4, 1.3]))


@pytest.fixture(scope="module")
def lit(bright_avatar: Avatar) -> Avatar:
    """The tiny avatar with a light from its left. Read only."""
    avatar, found = copy.deepcopy(bright_avatar), bright_avatar.part(HeadLight)
    assert found is not None
    mean = avatar.rig.torso.mean_rotation
    avatar.add_part(HeadLight(found.transfer, found.surface, SIDE, mean).requires_grad_(False))
    return avatar


def image(avatar: Avatar, turn: float = 0.0) -> torch.Tensor:
    return Animator(avatar, 48, 48).render(posed(avatar, {}, (turn, 0.0, 0.0)), CAMERA).float().clone()


def test_at_the_mean_pose_colors_are_those_without_a_light(lit: Avatar, tiny_avatar: Avatar) -> None:
    assert lit.part(HeadLight) is not None
    ratios = required(lit, HeadLight).ratios(lit.rig.torso.mean_rotation[None], lit.rig.skin)
    assert torch.allclose(ratios, torch.ones_like(ratios), atol=1e-5)
    assert float((image(lit) - image(tiny_avatar)).abs().max()) <= 1


def test_the_colors_of_a_turned_head_follow_the_reflected_light(lit: Avatar) -> None:
    light = lit.part(HeadLight)
    assert light is not None
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.5, 0.1])) @ lit.rig.torso.mean_rotation
    found = light.ratios(turn[None], torch.zeros(len(lit)))[0].double()

    def at(rotation: torch.Tensor) -> torch.Tensor:
        # Coefficients of the light in the axes of the skull, by solving for its values in nine directions.
        directions = torch.nn.functional.normalize(torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), dim=1)
        directions = directions.double()
        values = sh_basis(directions @ rotation.double().T, 9) @ SIDE.double()
        return reflect(light.transfer.double(), torch.linalg.solve(sh_basis(directions, 9), values))

    expected = at(turn) / at(lit.rig.torso.mean_rotation)
    assert torch.allclose(found, expected, atol=1e-3)
    assert float(found.min()) < 0.9 < 1.1 < float(found.max())


def test_the_animator_and_the_module_light_alike(lit: Avatar) -> None:
    params = posed(lit, {}, (25.0, 0.0, 0.0))
    animator = Animator(lit, 48, 48)
    poses = animator.poses(params)
    found = animator.frame(poses, 0).gaussians.sh
    assert torch.allclose(found, lit(params).sh, atol=1e-3)


def test_clothes_keep_their_light_while_the_head_turns(lit: Avatar) -> None:
    assert lit.part(HeadLight) is not None
    turn = axis_angle_to_matrix(torch.tensor([0.0, 0.5, 0.0])) @ lit.rig.torso.mean_rotation
    ratios = required(lit, HeadLight).ratios(turn[None], torch.ones(len(lit)))
    assert torch.allclose(ratios, torch.ones_like(ratios), atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_finite_images_that_differ(lit: Avatar, name: str) -> None:
    result = relit(lit, Relighting(light_named(name)))
    found = image(result, 20.0)
    assert bool(found.isfinite().all())
    assert float((found - image(lit, 20.0)).abs().mean()) > 0.5


def test_the_strength_0_changes_nothing_and_half_is_between(lit: Avatar, tiny_avatar: Avatar) -> None:
    light = light_named("sunset")
    none = relit(tiny_avatar, Relighting(light, strength=0.0))
    assert none.part(HeadLight) is None and torch.equal(image(none, 20.0), image(tiny_avatar, 20.0))
    start, middle, end = (image(relit(lit, Relighting(light, strength=s))).mean((0, 1)) for s in (0.0, 0.5, 1.0))
    assert float(end[2]) < float(middle[2]) < float(start[2])  # blue


def test_a_light_stays_in_the_world_while_the_head_turns(lit: Avatar) -> None:
    result = relit(lit, Relighting(light_named("window-left")))
    assert result.part(HeadLight) is not None
    normals = required(result, HeadLight).transfer[:, 3]  # of -x, the person's right
    lefts = []
    for degrees in (-40.0, 40.0):
        turn = axis_angle_to_matrix(torch.tensor([0.0, degrees, 0.0]).deg2rad()) @ result.rig.torso.mean_rotation
        ratios = required(result, HeadLight).ratios(turn[None], torch.zeros(len(result)))[0].mean(1)
        lefts.append(float(ratios[normals > normals.quantile(0.8)].mean()))
    assert lefts[1] > 1.05 * lefts[0]  # turned to its own left, its right side faces the camera's left


def test_baked_colors_are_those_of_the_mean_pose_and_stay(lit: Avatar) -> None:
    result = relit(lit, Relighting(light_named("window-right")))
    flat = baked(result)
    assert flat.part(HeadLight) is None
    assert float((image(flat) - image(result)).abs().max()) <= 2
    assert torch.equal(flat.offsets, lit.offsets)


def test_colors_follow_the_curve_of_a_camera() -> None:
    """Against the curve itself in scene light: u = s / (1 + s / 1.3), display color u^(1/2.2)."""
    colors = torch.tensor([0.05, 0.4, 0.8, 0.95], dtype=torch.float64)
    for ratio in (0.2, 1.0, 3.0):
        light = colors**GAMMA / (1 - colors**GAMMA / 1.3) * ratio
        expected = (light / (1 + light / 1.3)) ** (1 / GAMMA)
        assert torch.allclose(colors * factors(colors, torch.tensor(ratio, dtype=torch.float64)), expected)


def test_a_face_in_the_dark_keeps_its_saturation_and_a_bright_one_does_not_glow() -> None:
    skin = torch.tensor([0.8, 0.6, 0.5])
    dark, bright = (skin * factors(skin, torch.tensor(ratio)) for ratio in (0.2, 5.0))
    assert float(dark[0] / dark[2]) > float(skin[0] / skin[2]) > float(bright[0] / bright[2])
    assert float(bright.max()) < 1.1
