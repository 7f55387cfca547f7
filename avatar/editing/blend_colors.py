"""Colors of the Gaussians of a blend: each takes its share of the other avatar's color at the same place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.resting import resting_means

#: Nearest Gaussians of the other avatar that a color is taken from.
_NEIGHBORS = 6
#: Meters over which their weight falls, beyond the nearest one; and over which the whole color's weight falls.
_SPREAD = 0.0015
_REACH = 0.012
#: Gaussians less opaque than this lend no color.
_VISIBLE = 0.1


def shared_colors(parts: Sequence[tuple[Avatar, float]], head: HeadModel) -> list[Tensor]:
    """Colors [N,3] of the Gaussians of each avatar, mixed with those of the other one by their shares.

    Both are placed on the resting `head`, so that an eyebrow takes the color of the other eyebrow. What is far from
    anything of the other avatar, as long hair beside a bare neck, keeps its color.
    """
    if len(parts) == 1:
        return [parts[0][0].colors]
    means = [resting_means(avatar, head) for avatar, _ in parts]
    mixed = []
    for own, other in ((0, 1), (1, 0)):
        avatar = parts[own][0]
        (lender, share) = parts[other]
        color, trust = _colors_at(means[own], lender, means[other])
        mixed.append(torch.lerp(avatar.colors, color, share * trust[:, None]))
    return mixed


def _colors_at(points: Tensor, lender: Avatar, means: Tensor) -> tuple[Tensor, Tensor]:
    """Color [P,3] of `lender`, whose centers are `means` [N,3], at `points` [P,3], and its weight [P] 0..1."""
    opacity = lender.logit_opacities.sigmoid()
    seen = (opacity > _VISIBLE).nonzero()[:, 0]
    if len(seen) < _NEIGHBORS:
        return points.clone(), points.new_zeros(len(points))
    distances, rows = cKDTree(means[seen].numpy()).query(points.numpy(), k=_NEIGHBORS)
    distance = torch.from_numpy(distances).float()
    near = seen[torch.from_numpy(rows)]
    weight = opacity[near] * torch.exp(-((distance - distance[:, :1]) / _SPREAD).square())
    color = (lender.colors[near] * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
    return color, torch.exp(-(distance[:, 0] / _REACH).square())
