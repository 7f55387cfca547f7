"""Gaussians of an avatar as a set: rows can be left out, and Gaussians of other sets added."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from avatar.model.avatar import Avatar
from avatar.model.layout import Rows
from avatar.model.rig import Rig
from avatar.model.stretch import Stretch
from avatar.types import Binding, LocalGaussians, map_tensors


@dataclass(frozen=True)
class GaussianSet:
    """N Gaussians on a head mesh, the first M of them with blendshape offsets."""

    binding: Binding
    local: LocalGaussians
    basis: Tensor  # [K,M,11] in the units of the blendshapes
    parts: Mapping[str, Rows] = field(default_factory=dict)  # of optional parts of an avatar, by their keys

    @staticmethod
    def of(avatar: Avatar) -> GaussianSet:
        """Those of `avatar`, with its mask of blendshapes multiplied in."""
        shapes = avatar.blendshapes
        basis = shapes.basis * shapes.mask[:, :, None] if shapes.mode == "expression" else shapes.basis
        parts = {key: part.rows(len(avatar)) for key, part in avatar.parts.items()}
        return GaussianSet(avatar.rig.binding, map_tensors(Tensor.detach, avatar.local), basis.detach(), parts)

    def __len__(self) -> int:
        return len(self.local)

    def rows(self, mask: Tensor) -> GaussianSet:
        """The Gaussians of a mask [N] bool, in their order."""
        binding = map_tensors(lambda values: values[mask], self.binding)
        local = map_tensors(lambda values: values[mask], self.local)
        parts = {key: rows.select(mask) for key, rows in self.parts.items()}
        return GaussianSet(binding, local, self.basis[:, mask[: self.basis.shape[1]]], parts)

    @staticmethod
    def joined(sets: Sequence[GaussianSet]) -> GaussianSet:
        """All Gaussians of `sets`: those with blendshape offsets first, each in the order of its set."""
        counts = [each.basis.shape[1] for each in sets]

        def join(*values: Tensor) -> Tensor:
            first = [value[:count] for value, count in zip(values, counts, strict=True)]
            others = [value[count:] for value, count in zip(values, counts, strict=True)]
            return torch.cat([*first, *others]).contiguous()

        parts = {}
        for key, known in {key: rows for each in sets for key, rows in each.parts.items()}.items():
            rows = [
                each.parts.get(key) or known.blank(len(each), count) for each, count in zip(sets, counts, strict=True)
            ]
            parts[key] = Rows.joined(rows, counts)
        return GaussianSet(
            map_tensors(join, *(each.binding for each in sets)),
            map_tensors(join, *(each.local for each in sets)),
            torch.cat([each.basis for each in sets], 1),
            parts,
        )


def with_gaussians(avatar: Avatar, gaussians: GaussianSet, stretch: Stretch | None = None) -> Avatar:
    """A copy of `avatar` with other Gaussians; head, torso, parts and settings stay, and the head is shared.

    Args:
        avatar: to copy.
        gaussians: of the copy; where they have no rows of a part of `avatar`, they are new to it.
        stretch: of the same head for other Gaussians; it is used again where it has all vertices that these need.
    """
    shapes = copy.copy(avatar.blendshapes)
    shapes._parameters = dict(shapes._parameters)
    shapes._buffers = dict(shapes._buffers)
    shapes.basis = nn.Parameter(gaussians.basis.contiguous(), requires_grad=False)
    shapes.mask = gaussians.basis.new_ones(gaussians.basis.shape[:2])
    rig = Rig(gaussians.binding, copy.deepcopy(avatar.rig.torso))
    if avatar.rig.stretch is not None:
        mask = avatar.rig.stretch.mask
        used = gaussians.binding.triangles.flatten()
        known = stretch is not None and bool((stretch.rows[used] >= 0)[mask[used]].all())
        rig.stretch = stretch if known else Stretch(avatar.head, mask, gaussians.binding.triangles)
    result = Avatar(avatar.head, rig, shapes, gaussians.local, avatar.neutral)
    result.sampling = avatar.sampling
    result.true_size = avatar.true_size
    result.provenance = avatar.provenance
    for key, part in avatar.parts.items():
        rows = gaussians.parts.get(key) or part.rows(len(avatar)).blank(len(gaussians), gaussians.basis.shape[1])
        result.add_part(part.with_rows(rows, result))
    return result.requires_grad_(False)


def with_edit(avatar: Avatar, entry: dict[str, object]) -> Avatar:
    """`avatar`, with one more entry in the list `edits` of its provenance."""
    avatar.provenance = {**avatar.provenance, "edits": [*avatar.provenance.get("edits", []), entry]}
    return avatar
