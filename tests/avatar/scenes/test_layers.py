"""The mesh layers of several avatars as one: by depth, hidden by who is in front, and each for its own Gaussians."""

from __future__ import annotations

import torch

from avatar.model.avatar import Avatar
from avatar.ops import LayerImages
from avatar.rendering.layer import splat_layer
from avatar.scenes.layers import joined, scene_layer
from avatar.scenes.placement import Placement
from avatar.types import Camera, Gaussians, HeadParams


def posed(avatar: Avatar, params: HeadParams, x: float, z: float) -> Gaussians:
    with torch.no_grad():
        return Placement.of(avatar, (x, 0.0, z), 0.0, 1.0).gaussians(avatar(params[5]))


def stencil(gaussians: Gaussians, camera: Camera) -> torch.Tensor:
    layer = splat_layer(gaussians, camera)
    assert layer is not None
    return whole(layer.images, layer.images.stencil, camera)


def whole(images: LayerImages, values: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Values [1,h,w] of a window in an image [H,W]."""
    image = torch.zeros(camera.height, camera.width)
    x, y = images.origin[0].tolist()
    image[y : y + values.shape[1], x : x + values.shape[2]] = values[0]
    return image


def test_the_skin_in_front_hides_the_layer_behind(layered: Avatar, params: HeadParams, camera: Camera) -> None:
    front, behind = posed(layered, params, 0.0, 0.1), posed(layered, params, 0.0, -0.3)
    own, hidden = stencil(front, camera) > 0, stencil(behind, camera) > 0
    layer = scene_layer([behind, front], camera)
    assert layer is not None
    found = whole(layer.images, layer.images.stencil, camera) > 0
    assert (hidden & ~own).sum() > 5  # the mouth or an eye of the one behind, at the cheeks of the one in front
    assert torch.equal(found, own)


def test_a_layer_fades_no_gaussians_of_another_avatar(layered: Avatar, params: HeadParams, camera: Camera) -> None:
    front, behind = posed(layered, params, -0.14, 0.1), posed(layered, params, 0.0, -0.3)
    layer = scene_layer([front, behind], camera)
    own = splat_layer(front, camera)
    assert layer is not None and own is not None
    fades = layer.fades[0, : len(front)]
    pixels = camera.project(front.means[0])
    left, top = own.images.origin[0].tolist()
    inside = (pixels[:, 0] >= left) & (pixels[:, 0] <= left + own.images.coverage.shape[2])
    inside &= (pixels[:, 1] >= top) & (pixels[:, 1] <= top + own.images.coverage.shape[1])
    assert torch.equal(fades[inside], own.fades[0][inside])
    assert ((fades == 0) & (own.fades[0] > 0)).sum() > 20
    apart = scene_layer([posed(layered, params, -0.3, 0.0), posed(layered, params, 0.3, 0.0)], camera)
    assert apart is not None and torch.equal(apart.fades, torch.cat([own.fades, own.fades], 1))


def images(x: int, coverage: list[float], depth: float) -> LayerImages:
    """A layer of one row of pixels from column `x` on, white."""
    covers = torch.tensor([[coverage]])
    color = covers[..., None].expand(1, 1, len(coverage), 3).clone()
    depths = torch.where(covers > 0, depth, 0.0)
    return LayerImages(color, covers, depths, covers.clone(), torch.tensor([[x, 0]], dtype=torch.int32))


def test_layers_are_joined_by_depth() -> None:
    near, far = images(2, [1.0, 0.5, 0.0], 1.0), images(3, [1.0, 1.0, 1.0], 2.0)
    result = joined([(2.0, far), (1.0, near)])
    assert result.origin.tolist() == [[2, 0]]
    assert result.coverage[0, 0].tolist() == [1, 1, 1, 1]
    assert result.depth[0, 0].tolist() == [1, 2, 2, 2]  # through the half covered one the far one is seen
    assert result.stencil[0, 0].tolist() == [1, 1, 1, 1]
    assert torch.equal(joined([(1.0, near)]).color, near.color)
