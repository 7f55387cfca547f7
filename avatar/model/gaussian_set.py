"""Gaussians of an avatar as a set: rows can be left out, and Gaussians of other sets added."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from avatar.model.avatar import Avatar
from avatar.model.rig import Rig
from avatar.model.stretch import Stretch


@dataclass(frozen=True)
class GaussianSet:
    """N Gaussians on a head mesh, the first M of them with blendshape offsets."""

    triangles: Tensor  # [N,3] int64, vertices
    bary: Tensor  # [N,3]
    skin: Tensor  # [N] 0 skull, 1 torso
    offsets: Tensor  # [N,3] meters, in the frame of the triangle
    quats: Tensor  # [N,4] wxyz
    log_scales: Tensor  # [N,3] logarithms of meters
    logit_opacities: Tensor  # [N]
    colors: Tensor  # [N,3] display sRGB
    basis: Tensor  # [K,M,11] in the units of the blendshapes

    @staticmethod
    def of(avatar: Avatar) -> GaussianSet:
        """Those of `avatar`, with its mask of blendshapes multiplied in."""
        shapes, rig = avatar.blendshapes, avatar.rig
        basis = shapes.basis * shapes.mask[:, :, None] if shapes.mode == "expression" else shapes.basis
        own = (avatar.offsets, avatar.quats, avatar.log_scales, avatar.logit_opacities, avatar.colors, basis)
        return GaussianSet(rig.triangles, rig.bary, rig.skin, *(value.detach() for value in own))

    def __len__(self) -> int:
        return len(self.offsets)

    def rows(self, mask: Tensor) -> GaussianSet:
        """The Gaussians of a mask [N] bool, in their order."""
        moving = self.basis.shape[1]
        values = {field.name: getattr(self, field.name)[mask] for field in fields(self) if field.name != "basis"}
        return GaussianSet(**values, basis=self.basis[:, mask[:moving]])

    @staticmethod
    def joined(sets: Sequence[GaussianSet]) -> GaussianSet:
        """All Gaussians of `sets`: those with blendshape offsets first, each in the order of its set."""
        moving = [each.basis.shape[1] for each in sets]
        values = {}
        for field in fields(GaussianSet):
            parts = [getattr(each, field.name) for each in sets]
            if field.name == "basis":
                values["basis"] = torch.cat(parts, 1)
                continue
            first = [part[:count] for part, count in zip(parts, moving, strict=True)]
            values[field.name] = torch.cat(
                [*first, *(part[count:] for part, count in zip(parts, moving, strict=True))]
            ).contiguous()
        return GaussianSet(**values)


def with_gaussians(avatar: Avatar, gaussians: GaussianSet, stretch: Stretch | None = None) -> Avatar:
    """A copy of `avatar` with other Gaussians; head, layer, torso and settings stay, and the head is shared.

    Args:
        avatar: to copy.
        gaussians: of the copy.
        stretch: of the same head for other Gaussians; it is used again where it has all vertices that these need.
    """
    shapes = copy.copy(avatar.blendshapes)
    shapes._parameters, shapes._buffers = dict(shapes._parameters), dict(shapes._buffers)
    shapes.basis = nn.Parameter(gaussians.basis.contiguous(), requires_grad=False)
    shapes.mask = gaussians.basis.new_ones(gaussians.basis.shape[:2])
    rig = Rig(gaussians.triangles, gaussians.bary, gaussians.skin, copy.deepcopy(avatar.rig.torso))
    if avatar.rig.stretch is not None:
        mask, used = avatar.rig.stretch.mask, gaussians.triangles.flatten()
        known = stretch is not None and bool((stretch.rows[used] >= 0)[mask[used]].all())
        rig.stretch = stretch if known else Stretch(avatar.head, mask, gaussians.triangles)
    names = ("offsets", "quats", "log_scales", "logit_opacities", "colors")
    initial = {name: getattr(gaussians, name) for name in names} | {"neutral": avatar.neutral}
    result = Avatar(avatar.head, rig, shapes, initial, copy.deepcopy(avatar.layer))
    result.sampling, result.provenance = avatar.sampling, avatar.provenance
    result.torso_regression, result.pose_corrector = avatar.torso_regression, avatar.pose_corrector
    return result.requires_grad_(False)


def with_edit(avatar: Avatar, entry: dict[str, object]) -> Avatar:
    """`avatar`, with one more entry in the list `edits` of its provenance."""
    avatar.provenance = {**avatar.provenance, "edits": [*avatar.provenance.get("edits", []), entry]}
    return avatar
