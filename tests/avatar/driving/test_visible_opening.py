"""The widest opening of a mouth, set in millimeters of what the avatar's image shows."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from avatar.driving.mouth_opening import LipMeter, with_peak_opening
from avatar.driving.visible_opening import VisibleOpening, with_visible_opening
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MOUTH, MeshLayer
from avatar.model.true_size import TrueSize
from avatar.rendering.cameras import DISTANCE, HEAD_CENTER
from avatar.rendering.render import render
from avatar.types import Camera, HeadParams

#: Pixels of a meter at distance 1 in the images of the test, which are coarser than those that the mouth is fitted to.
FOCAL = 2500.0


@pytest.fixture
def avatar(tiny_avatar: Avatar) -> Avatar:
    """Opaque Gaussians over a layer."""
    found = copy.deepcopy(tiny_avatar)
    if found.part(MeshLayer) is None:
        found.add_part(MeshLayer(found.head))
    within = found.head.mask(*MOUTH)[found.rig.triangles].all(1)
    found.logit_opacities.data = torch.where(within, -20.0, 8.0)  # the layer alone is the inside of the mouth
    return found


def speaking(avatar: Avatar) -> HeadParams:
    """Closed, half open and open, with the head turned."""
    params = avatar.with_identity(avatar.head.neutral_params(3))
    params.expression[:, avatar.head.expression_index("jawOpen")] = torch.tensor([0.0, 0.3, 0.6])
    params.joint_rot[:, 0, 1] = 0.5
    return params


def seen_millimeters(avatar: Avatar, params: HeadParams) -> float:
    """Rows of a green layer in a front image of one frame, at its middle columns."""
    upright = replace(params, joint_rot=params.joint_rot.clone(), translation=torch.zeros_like(params.translation))
    upright.joint_rot[:, 0] = 0
    origin = avatar.head.skull_pose(upright)[1]
    gaussians = avatar(replace(upright, translation=-origin))
    assert gaussians.layer is not None
    green = torch.zeros_like(gaussians.layer.texels) + torch.tensor([0.0, 1.0, 0.0])
    layer = replace(gaussians.layer, texels=green, shade=torch.ones_like(gaussians.layer.shade), reflections=None)
    camera = Camera.facing(FOCAL, 100, 400)
    camera.world_to_cam[0, :3, 3] = camera.world_to_cam[0, :3, :3] @ -torch.tensor(HEAD_CENTER)
    camera.world_to_cam[0, 2, 3] += DISTANCE
    flat = replace(gaussians, sh=torch.zeros_like(gaussians.sh) - torch.tensor([0, 0.5 / SH_C0, 0]), layer=layer)
    meter = LipMeter.of(avatar.head)
    assert meter is not None
    edges = meter.edges(upright)
    row, column = camera.project(edges)[0].mean(0).flip(0).round().int().tolist()
    image = render(flat, camera, (0.0, 0.0, 0.0), with_depth=False).rgb[0, row - 60 : row + 60, column - 7 : column + 7]
    depth = float(camera.to_camera(edges)[0, :, 2].mean())
    return 1000 * depth / FOCAL * float((image[..., 1] > 0.5).float().mean(1).sum())


@pytest.mark.parametrize("wanted", [5.0, 12.0, 20.0])
def test_the_image_shows_the_opening_asked_for(avatar: Avatar, wanted: float) -> None:
    params = speaking(avatar)
    found, opening = with_visible_opening(avatar, params, wanted)
    assert opening == pytest.approx(wanted, rel=0.01)
    assert seen_millimeters(avatar, found[2:]) == pytest.approx(wanted, rel=0.05)
    by_mesh, _ = with_peak_opening(avatar.head, params, wanted)
    assert seen_millimeters(avatar, by_mesh[2:]) < 0.95 * wanted
    meter = VisibleOpening.of(avatar)
    assert meter is not None and meter(found[:1]) == 0  # closed lips look closed
    assert (found.expression[0] - params.expression[0]).abs().max() < 0.01


def test_the_millimeters_are_those_of_the_true_size(avatar: Avatar) -> None:
    avatar.true_size = TrueSize(1.2, 0.01, "a ruler")
    found, opening = with_visible_opening(avatar, speaking(avatar), 12)
    assert opening == pytest.approx(12, rel=0.01)
    assert seen_millimeters(avatar, found[2:]) == pytest.approx(10, rel=0.05)


def test_a_mouth_without_an_inside_is_fitted_by_its_mesh(avatar: Avatar) -> None:
    del avatar.parts[MeshLayer.key]
    within = avatar.head.mask(*MOUTH)[avatar.rig.triangles].all(1)
    avatar.rig.triangles[within] = avatar.rig.triangles[~within][:1]
    params = speaking(avatar)
    found, opening = with_visible_opening(avatar, params, 12)
    by_mesh, gap = with_peak_opening(avatar.head, params, 12)
    assert opening == gap == pytest.approx(12, rel=0.01) and torch.equal(found.expression, by_mesh.expression)
