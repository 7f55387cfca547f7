"""Points of an avatar at which its image is compared with a frame: the most visible Gaussians, and the eyeballs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import SH_C0, axis_angle_to_matrix
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import expression_features
from avatar.refine.controls import Controls
from avatar.rendering.layer import splat_layer
from avatar.types import Camera, Gaussians, HeadParams, PosedHead

#: Views in which the visible Gaussians are found: pitch and yaw, degrees; pixels; meters to the camera.
_VIEWS = ((0.0, 0.0), (0.0, -25.0), (0.0, 25.0), (15.0, 0.0), (-15.0, 0.0))
_SIZE = 112
_DISTANCE = 0.6
#: Gaussians whose skinning weight of the torso is larger do not move with the head.
_TORSO = 0.1
#: Largest weight of a Gaussian; weights of those off the face, relative to it; and of a vertex of an eyeball.
_LARGEST = 2.0
_OFF_FACE = 0.1
_EYE = 0.15
_EYE_POINTS = 400


@dataclass(frozen=True)
class Points:
    """M points of an avatar and what P controls do to them, from its neutral expression."""

    gaussians: Tensor  # [G] int, increasing; the first G points are their means
    vertices: Tensor  # [M-G] int, of the mesh; the other points
    weight: Tensor  # [M]
    motion: Tensor  # [P,3,M] meters per unit of each control, skull frame
    tint: Tensor  # [P,3,M] change of color per unit

    @staticmethod
    @torch.no_grad()
    def of(avatar: Avatar, controls: Controls, count: int) -> Points:
        """Up to `count` Gaussians of the head and, with a mesh layer, vertices of the eyeballs."""
        params = controls.steps.new_zeros(len(avatar.head.parents), 3)[None]
        neutral = HeadParams(params.new_zeros(0), avatar.neutral[None], params, params.new_zeros(1, 3))
        seen = _coverage(avatar, neutral).masked_fill(avatar.rig.skin > _TORSO, 0)
        gaussians = seen.argsort(descending=True, stable=True)[:count].sort().values
        gaussians = gaussians[seen[gaussians] > 0]
        on_face = avatar.head.mask("face")[avatar.rig.triangles[gaussians]].all(-1)
        weight = seen[gaussians].clamp(max=_LARGEST) * torch.where(on_face, 1.0, _OFF_FACE)
        vertices = avatar.head.mask("left_eyeball", "right_eyeball").nonzero()[:, 0]
        vertices = vertices[:: -(-len(vertices) // _EYE_POINTS) or 1]
        if avatar.posed_layer(_posed(avatar, neutral)) is None:
            vertices = vertices[:0]
        motion, tint = _derivatives(avatar, controls, neutral, gaussians, vertices)
        weight = torch.cat([weight, weight.new_full((len(vertices),), _EYE)])
        return Points(gaussians, vertices, weight, motion, tint)

    def __len__(self) -> int:
        return len(self.weight)

    def places(self, head: PosedHead, means: Tensor) -> Tensor:
        """The points [M,3] in the world, for a posed head [1] and the means [N,3] of its Gaussians."""
        eyes = head.vertices[0, self.vertices] @ head.rotation[0].T + head.translation[0]
        return torch.cat([means[self.gaussians], eyes])


def _posed(avatar: Avatar, params: HeadParams) -> PosedHead:
    return PosedHead.in_skull_frame(avatar.head.skull_vertices(params))


def _coverage(avatar: Avatar, neutral: HeadParams) -> Tensor:
    """Mean blend weight [N] of each Gaussian over the views, pixels."""
    turns = axis_angle_to_matrix(torch.tensor([(pitch, yaw, 0.0) for pitch, yaw in _VIEWS]).deg2rad())
    turns = turns.to(avatar.neutral.device)
    head = _posed(avatar, neutral)
    vertices = head.vertices.expand(len(turns), -1, -1)
    away = turns.new_tensor([0.0, 0.0, -_DISTANCE]).expand(len(turns), 3)
    weights = avatar.weights(expression_features(neutral)).expand(len(turns), -1)
    out = assemble(avatar, avatar.rig.posed_head(vertices, turns, away), avatar.blendshapes(weights))
    of_head = vertices[0, avatar.head.torso_weight() < _TORSO]
    radius = float(of_head.norm(dim=-1).max())
    camera = Camera.facing(0.5 * _SIZE * _DISTANCE / radius, _SIZE, _SIZE).repeated(len(turns))
    return _splat(out, camera).mean(0)


def _splat(gaussians: Gaussians, camera: Camera) -> Tensor:
    fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
    layer = splat_layer(gaussians, camera)
    out = ops.splat(*fields, camera, with_weights=True, with_depth=False, dilation=gaussians.dilation, layer=layer)
    assert out.weights is not None
    return out.weights


def _derivatives(
    avatar: Avatar, controls: Controls, neutral: HeadParams, gaussians: Tensor, vertices: Tensor
) -> tuple[Tensor, Tensor]:
    """Motion and tint [P,3,M] of the points by each control, by finite differences away from the control's limit."""
    params, steps = controls.stepped(neutral)
    head = _posed(avatar, params)
    out = assemble(avatar, head, avatar.blendshapes(avatar.weights(expression_features(params))))
    places = torch.cat([out.means[:, gaussians], head.vertices[:, vertices]], 1)
    colors = torch.cat([out.sh[:, gaussians, 0] * SH_C0, places.new_zeros(len(params), len(vertices), 3)], 1)
    motion, tint = ((values[1:] - values[:1]) / steps[:, None, None] for values in (places, colors))
    return motion.transpose(1, 2).contiguous(), tint.transpose(1, 2).contiguous()
