"""The opening of an avatar's mouth as its image shows it, in true millimeters, and motions that have a given one.

The inner edges of the lips of the mesh are not what an image shows: lips are round and hide them, and their Gaussians
reach beyond them. So the mouth is rendered from the front, inside black and all else white, and the black is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from avatar.driving.mouth_opening import LipMeter, Way, peak_opening, with_peak_opening
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MOUTH, MeshLayer, Part, has_mouth
from avatar.model.to_device import to_device
from avatar.rendering.cameras import DISTANCE, HEAD_CENTER
from avatar.rendering.render import render
from avatar.types import NECK, ROOT, Camera, Gaussians, HeadParams

_PIXELS_PER_MM = 5  # at the depth of the lips
_WIDTH_MM = 6  # of the strip at the middle of the mouth
_MARGIN_MM = 5  # of the strip above and below the edges of the mesh
_LONGEST_MM = 70  # between the edges of the lips, of any head
_STEPS = 12  # of the bisection: to a hundredth of a millimeter


@dataclass(frozen=True, eq=False)
class VisibleOpening:
    """Measures the visible height of the inside of the mouth between the lips, at their middle."""

    avatar: Avatar
    meter: LipMeter
    white: Tensor  # [1,N,1,3] coefficients of the colors of the Gaussians
    texels: Tensor | None  # [T,3] of the mesh layer

    @staticmethod
    def of(avatar: Avatar) -> VisibleOpening | None:
        """None where the head has no landmarks, or the avatar shows no inside of the mouth."""
        meter = LipMeter.of(avatar.head)
        layer = avatar.part(MeshLayer)
        within = avatar.head.mask(*MOUTH)[avatar.rig.triangles].all(1)
        if meter is None or not (has_mouth(layer) or within.any()):
            return None
        white = torch.where(within, -0.5, 0.5).to(avatar.colors) / SH_C0
        texels = None if layer is None else (layer.part >= Part.SKIN).to(avatar.colors)[:, None].expand(-1, 3)
        return VisibleOpening(avatar, meter, white[None, :, None, None].expand(-1, -1, -1, 3), texels)

    @torch.no_grad()
    def __call__(self, params: HeadParams) -> float:
        """The opening in true millimeters in one frame [1], seen from in front of the skull; 0 for closed lips."""
        params = self._facing(params)
        edges = self.meter.edges(params)[0]
        camera = self._camera(edges)
        image = render(self._flat(self.avatar(params)), camera, (1.0, 1.0, 1.0), with_depth=False).rgb[0, ..., 0]
        columns = (1 - image).T.double().cpu().tolist()
        pixels = sum(map(_longest_run, columns)) / len(columns)
        return pixels / _PIXELS_PER_MM * self.avatar.true_size.scale

    def _facing(self, params: HeadParams) -> HeadParams:
        """The frame with the skull upright at the origin."""
        params = self.avatar.with_identity(params)
        turned = params.joint_rot.clone()
        turned[:, [ROOT, NECK]] = 0
        upright = torch.eye(3).to(turned)[None]
        origin = self.avatar.head.root_translation(params.identity, upright, torch.zeros_like(params.translation))
        return replace(params, joint_rot=turned, translation=origin)

    def _camera(self, edges: Tensor) -> Camera:
        """The front camera of a face, cut to a strip at the middle of the lips, whose edges [K,3] it contains."""
        eye = edges.new_tensor(HEAD_CENTER) + edges.new_tensor([0, 0, DISTANCE])
        middle = (edges.amin(0) + edges.amax(0)) / 2 - eye
        rise = 1000 * float(edges[:, 1].max() - edges[:, 1].min())
        height = round((min(rise, _LONGEST_MM) + 2 * _MARGIN_MM) * _PIXELS_PER_MM)
        focal = -1000 * _PIXELS_PER_MM * float(middle[2])
        camera = to_device(Camera.facing(focal, _WIDTH_MM * _PIXELS_PER_MM, height), edges.device)
        camera.K[0, :2, 2] += focal * middle[:2] / middle[2] * middle.new_tensor([1, -1])
        camera.world_to_cam[0, :3, 3] = -(camera.world_to_cam[0, :3, :3] @ eye)
        return camera

    def _flat(self, gaussians: Gaussians) -> Gaussians:
        """The Gaussians, and the layer behind them, with a black inside of the mouth and all else white."""
        layer = gaussians.layer
        if layer is not None and self.texels is not None:
            layer = replace(layer, texels=self.texels, shade=torch.ones_like(layer.shade), reflections=None)
        return replace(gaussians, sh=self.white, layer=layer)


def _longest_run(inside: list[float]) -> float:
    """Length of the longest part of a column that is above one half, its ends interpolated; pixels."""
    values = [0.0, *inside, 0.0]
    longest, start = 0.0, 0.0
    for row, (before, after) in enumerate(pairwise(values)):
        if (before > 0.5) != (after > 0.5):
            crossing = row + (0.5 - before) / (after - before)
            if after > 0.5:
                start = crossing
            else:
                longest = max(longest, crossing - start)
    return longest


@torch.no_grad()
def with_visible_opening(avatar: Avatar, params: HeadParams, millimeters: float) -> tuple[HeadParams, float]:
    """Frames whose mouth shows an opening of `millimeters` at most, the gaps of the mesh all scaled alike.

    The frame in which the mesh opens furthest is fitted to its image. Closed mouths stay as they are. An avatar that
    shows no inside of the mouth is fitted by its mesh.

    Args:
        avatar: whose true size the millimeters have.
        params: [T].
        millimeters: of the widest opening.

    Returns:
        The frames, and their widest opening in millimeters: less than asked for where the head cannot open further.

    Raises:
        HeadsplatError: the head has no landmarks or none of the expressions, or the mouth never opens.
    """
    scale = avatar.true_size.scale
    peak = peak_opening(avatar.head, params)
    visible = VisibleOpening.of(avatar)
    if visible is None:
        params, opening = with_peak_opening(avatar.head, params, millimeters / scale)
        return params, opening * scale
    frame = params[peak : peak + 1]
    way = Way.of(avatar.head, frame.expression)

    def at(place: float) -> HeadParams:
        return replace(frame, expression=way.at(torch.full_like(frame.expression[:, 0], place)))

    low, high = -1.0, 2.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if visible(at(middle)) < millimeters else (low, middle)
    gap = float(visible.meter(at((low + high) / 2)))
    params, _ = with_peak_opening(avatar.head, params, 1000 * gap)
    return params, visible(params[peak : peak + 1])
