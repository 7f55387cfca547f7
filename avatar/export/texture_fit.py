"""The texture that renders as the avatar's own images do: least squares over the pixels of several views.

A mean of what the views show is blurred where they do not agree to a fraction of a pixel. The residuals of the
rendered mesh, spread over the texels that a pixel reads, correct it: simultaneous algebraic reconstruction (Andersen
and Kak 1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.model import HeadModel

from .mesh import SurfacePoints, View

_STEPS = 4
#: Weight of a pixel from which on it counts: less is a view along the surface.
_MIN_WEIGHT = 1e-6
#: Sum of weights below which texels keep most of their color: where few pixels read them, single ones show as grain.
_DAMPING = 0.2


def fitted(image: Tensor, views: Sequence[View], head: HeadModel, faces: Tensor) -> Tensor:
    """A texture [S,S,3] closer to the views than `image` [S,S,3].

    Args:
        image: where the texture starts; sRGB 0..1, rows downward.
        views: renderings of the avatar and its mesh.
        head: of the avatar.
        faces: [F] bool, the triangles whose texels may change.
    """
    size = len(image)
    samples = [_Samples.of(view, head, faces, size) for view in views]
    weights = torch.zeros(size * size)
    for part in samples:
        part.spread(part.weight, weights)
    texels = image.reshape(-1, 3).clone()
    for _ in range(_STEPS):
        change = torch.zeros_like(texels)
        for part in samples:
            part.spread((part.color - part.read(texels)) * part.weight[:, None], change)
        texels += change / (weights + _DAMPING)[:, None]
    return texels.view(size, size, 3).clamp(0, 1)


@dataclass(frozen=True)
class _Samples:
    """P pixels of a view, and the four texels that each reads."""

    first: Tensor  # [P] int64, the upper left texel
    across: tuple[int, ...]  # of the other texels from it on
    shares: Tensor  # [4,P]
    color: Tensor  # [P,3] sRGB
    weight: Tensor  # [P], cos^2 of the angle between normal and view direction: steep views count more than in a mean

    @staticmethod
    def of(view: View, head: HeadModel, faces: Tensor, size: int) -> _Samples:
        face = view.face.flatten().long()
        rows = (face >= 0).nonzero()[:, 0]
        rows = rows[faces[face[rows]]]
        points = SurfacePoints(head.faces[face[rows]], view.bary.reshape(-1, 3)[rows])
        color, weight = view.weighted(*view.on_mesh(points), view.rgba.reshape(-1, 4)[rows]).split([3, 1], 1)
        known = (weight[:, 0] > _MIN_WEIGHT).nonzero()[:, 0]
        weight = weight[known]
        uv = SurfacePoints(head.uv_faces[face[rows[known]]], points.bary[known]).of(head.uv)
        place = (torch.stack([uv[:, 0], 1 - uv[:, 1]]) * size - 0.5).clamp(0, size - 1.001)
        corner = place.floor()
        x, y = place - corner
        column, row = corner.long()
        shares = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])
        return _Samples(row * size + column, (0, 1, size, size + 1), shares, color[known] / weight, weight[:, 0].sqrt())

    def read(self, texels: Tensor) -> Tensor:
        """Colors [P,3] of texels [S*S,3]."""
        found = torch.zeros(len(self.first), 3)
        for share, step in zip(self.shares, self.across, strict=True):
            found.addcmul_(texels.index_select(0, self.first + step), share[:, None])
        return found

    def spread(self, values: Tensor, texels: Tensor) -> None:
        """Add values [P] or [P,C] of the pixels to the texels [S*S] or [S*S,C] that they read."""
        for share, step in zip(self.shares, self.across, strict=True):
            texels.index_add_(0, self.first + step, values * (share if values.ndim == 1 else share[:, None]))
