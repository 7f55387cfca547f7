"""The mesh layers of several avatars (teeth, tongue, eyeballs) as the one layer of a splat of all their Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from avatar import ops
from avatar.ops import LayerImages
from avatar.reference.layer import SOLID
from avatar.rendering.backends import NEAR
from avatar.rendering.layer import BLUR, reflecting, splat_layer, vertices_in_camera
from avatar.rendering.mesh_shader import image_normals, layer_normals
from avatar.types import Camera, Gaussians, PosedLayer


@dataclass(frozen=True)
class Box:
    """A rectangle of an image, pixels; empty where `left` is not less than `right`."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether both have pixels in common."""
        across = min(self.right, other.right) > max(self.left, other.left)
        return across and min(self.bottom, other.bottom) > max(self.top, other.top)


@dataclass(frozen=True)
class _Seen:
    """An avatar from a camera."""

    gaussians: Gaussians  # [1,N]
    pixels: Tensor  # [N,2] of the centers
    box: Box  # of what is in front of the camera
    depth: float  # meters, mean
    reach: float  # pixels that the extent of a Gaussian may reach from its center


#: Mean depth of an avatar in meters, and the images [1] of its layer.
_Window: TypeAlias = "tuple[float, LayerImages | None]"
#: Meters that the extent of a Gaussian may reach from its center.
_REACH = 0.03


def scene_layer(parts: Sequence[Gaussians], camera: Camera) -> ops.SplatLayer | None:
    """The argument `layer` of `ops.splat` for the Gaussians of all `parts`, one after another; None without a layer.

    The images of the layers are joined by depth: `ops.splat` skips Gaussians behind them. The skin of an avatar hides
    the layers of those behind it, and the layer of an avatar fades the Gaussians of no other one.

    Args:
        parts: [1,N] of each avatar, in the scene.
        camera: [1].
    """
    if len(parts) == 1:
        return splat_layer(parts[0], camera)
    if all(part.layer is None for part in parts):
        return None
    seen = [_seen(part, camera) for part in parts]
    windows = _windows(seen, camera)
    boxes = [None if images is None else _window(images) for _, images in windows]
    fades = [
        _fades(one, own, [box for box in boxes if box is not None and box is not own])
        for one, own in zip(seen, boxes, strict=True)
    ]
    return ops.SplatLayer(joined(windows), torch.cat(fades, 1))


def scene_normals(parts: Sequence[Gaussians], camera: Camera) -> Tensor | None:
    """Normals of the layers, as of `avatar.rendering.mesh_shader.layer_normals`, in the window of `scene_layer`."""
    if len(parts) == 1:
        return layer_normals(parts[0], camera)
    if all(part.layer is None for part in parts):
        return None
    windows: list[_Window] = []
    for part, (depth, images) in zip(parts, _windows([_seen(part, camera) for part in parts], camera), strict=True):
        if images is None or part.layer is None:
            windows.append((depth, None))
        else:
            windows.append((depth, replace(images, color=image_normals(part.layer, images, camera))))
    return joined(windows).color


def _windows(seen: Sequence[_Seen], camera: Camera) -> list[_Window]:
    """Depth and images of the layer of each avatar, hidden by those before it."""
    windows: list[_Window] = []
    for one in seen:
        posed = one.gaussians.layer
        before = [
            other.gaussians.layer
            for other in seen
            if other is not one and other.depth < one.depth and other.box.meets(one.box)
        ]
        hiding = [layer for layer in before if layer is not None]
        windows.append((one.depth, None if posed is None else _images(posed, hiding, camera)))
    return windows


def _seen(gaussians: Gaussians, camera: Camera) -> _Seen:
    in_camera = camera.to_camera(gaussians.means[0])
    pixels = camera.project(gaussians.means[0], near=NEAR)
    front = pixels[in_camera[:, 2] > NEAR]
    if not len(front):
        return _Seen(gaussians, pixels, Box(0, 0, 0, 0), float("inf"), 0.0)
    depth = float(in_camera[:, 2].mean())
    reach = _REACH * float(camera.K[0, 0, 0]) / max(depth, NEAR)
    (left, top), (right, bottom) = (front.amin(0) - reach).tolist(), (front.amax(0) + reach).tolist()
    return _Seen(gaussians, pixels, Box(left, top, right, bottom), depth, reach)


def _images(posed: PosedLayer, before: Sequence[PosedLayer], camera: Camera) -> LayerImages:
    """Images of a layer [1], hidden by the skin of its own avatar and by the heads `before` it."""
    vertices = [vertices_in_camera(posed, camera)]
    skin = [posed.mesh.skin]
    count = vertices[0].shape[1]
    for other in before:
        vertices.append(vertices_in_camera(other, camera))
        skin += [other.mesh.skin + count, other.mesh.faces + count]
        count += vertices[-1].shape[1]
    shade = torch.nn.functional.pad(posed.shade, (0, count - posed.shade.shape[1]))
    mesh = replace(posed.mesh, skin=torch.cat(skin)) if before else posed.mesh
    images = ops.layer(
        torch.cat(vertices, 1), shade, posed.texels, mesh, camera.K, camera.width, camera.height, blur=BLUR
    )
    return reflecting(images, posed, camera)


def _window(images: LayerImages) -> Box:
    left, top = images.origin[0].tolist()
    height, width = images.coverage.shape[1:]
    return Box(left, top, left + width, top + height)


def _fades(one: _Seen, own: Box | None, others: Sequence[Box]) -> Tensor:
    """[1,N] how far the stencil of the joined layers fades each Gaussian of an avatar."""
    layer = one.gaussians.layer
    if layer is None or own is None:
        return torch.zeros_like(one.gaussians.opacities)
    fades = layer.fades.expand_as(one.gaussians.opacities)
    if not any(one.box.meets(box) for box in others):
        return fades
    low, high = (one.pixels.new_tensor(corner) for corner in ((own.left, own.top), (own.right, own.bottom)))
    inside = ((one.pixels > low - one.reach) & (one.pixels < high + one.reach)).all(1)
    return fades * inside


def joined(windows: Sequence[_Window]) -> LayerImages:
    """The images of several layers [1] as those of one.

    Args:
        windows: mean depth of each avatar and the images of its layer, of at least one.
    """
    known = [(depth, images, _window(images)) for depth, images in windows if images is not None]
    first = known[0][1]
    known = [one for one in known if one[2].left < one[2].right and one[2].top < one[2].bottom]
    filled = [box for _, _, box in known]
    if not filled:
        return first
    left, top = (round(min(getattr(box, side) for box in filled)) for side in ("left", "top"))
    right, bottom = (round(max(getattr(box, side) for box in filled)) for side in ("right", "bottom"))
    color = first.color.new_zeros(1, bottom - top, right - left, 3)
    coverage, depth, stencil = (color.new_zeros(color.shape[:3]) for _ in range(3))
    # From the furthest to the nearest.
    for _, images, box in sorted(known, key=lambda one: -one[0]):
        x, y = round(box.left) - left, round(box.top) - top
        height, width = images.coverage.shape[1:]
        place = slice(None), slice(y, y + height), slice(x, x + width)
        behind = coverage[place].clone()
        over = (images.coverage >= SOLID) | (behind == 0)
        color[place] = images.color + (1 - images.coverage)[..., None] * color[place]
        depth[place] = torch.where(over, images.depth, depth[place])
        coverage[place] = images.coverage + (1 - images.coverage) * behind
        stencil[place] = torch.maximum(stencil[place], images.stencil)
    origin = torch.tensor([[left, top]], dtype=torch.int32, device=color.device)
    return LayerImages(color, coverage, depth, stencil, origin)
