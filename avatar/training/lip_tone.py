"""The color of the lips as a smooth field over their skin."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.types import HeadParams

#: Standard deviation of the smoothing, meters.
SMOOTHING = 0.003
#: Number of Gaussians of the median color at every vertex: far from all others the lips have that.
PRIOR = 1e-3


class LipTone:
    """Smooths colors over the vertices of the lips of one head.

    Distances are those of an open mouth: the lips touch when it is closed, and differ in color.
    """

    def __init__(self, head: HeadModel, lips: Tensor) -> None:
        """
        Args:
            head: a baked head.
            lips: [V] bool, vertices of the lips.
        """
        rows = lips.nonzero()[:, 0]
        self._place = torch.full((len(lips),), -1)  # [V] row in the field, -1 beyond the lips
        self._place[rows] = torch.arange(len(rows))
        points = _open_mouth(head)[rows]
        self._kernel = (-torch.cdist(points, points).square() / (2 * SMOOTHING**2)).exp()  # [n,n]

    def at(self, avatar: Avatar, known: Tensor, colors: Tensor, rows: Tensor) -> Tensor:
        """Color [M,3] of the lips at Gaussians, from those of others around them.

        Args:
            avatar: its rig says where the Gaussians are.
            known: [K] int, Gaussians on the lips whose colors are known, at least one.
            colors: [K,3] of these.
            rows: [M] int, Gaussians with a vertex on the lips.
        """
        place, bary = self._place[avatar.rig.triangles[known]], avatar.rig.bary[known]
        values = torch.cat([colors, colors.new_ones(len(colors), 1)], 1)
        sums = colors.new_zeros(len(self._kernel), 4)
        for corner in range(3):
            weight = (place[:, corner] >= 0) * bary[:, corner]
            sums.index_add_(0, place[:, corner].clamp_min(0), values * weight[:, None])
        median = torch.cat([colors.median(0).values, colors.new_ones(1)])
        sums = self._kernel @ sums + PRIOR * median
        place = self._place[avatar.rig.triangles[rows]]
        weight = (place >= 0) * avatar.rig.bary[rows].clamp_min(1e-6)
        field = (sums[:, :3] / sums[:, 3:])[place.clamp_min(0)]
        return (field * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)


def _open_mouth(head: HeadModel) -> Tensor:
    """Vertices [V,3] with the jaw open, meters, skull frame; at rest for a head without that expression."""
    expression = torch.zeros(1, len(head.expression_names))
    if "jawOpen" in head.expression_names:
        expression[0, head.expression_names.index("jawOpen")] = 1.0
    none = torch.zeros(0)
    return head.skull_vertices(HeadParams(none, expression, torch.zeros(1, len(head.parents), 3), torch.zeros(1, 3)))[0]
