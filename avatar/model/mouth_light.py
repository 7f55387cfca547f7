"""How much of the light outside reaches a point inside the mouth: through the opening of the lips."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Cosines from -WRAP on count: light reaches surfaces that face away from the opening by way of others.
WRAP = 0.4
#: Smallest cosine at the opening: lips are no flat sheet, light also enters from aside.
SIDEWAYS = 0.2
#: Part of the light that comes from other surfaces of the mouth. An opening of INDIRECT_AREA mm^2 lets half of the most
#: of it in.
INDIRECT, INDIRECT_AREA = 0.1, 300.0
#: Exponent from light to display sRGB.
DISPLAY = 0.5
#: Height of closed lips, mm.
CLOSED = 1.0
#: Distance behind the lips up to which nothing is darker, mm: that of the front teeth; lips let some light through.
NEAR = 6.0
#: Part of the opening, about its center, that is one direction for all points before it.
CORE = 0.6


def mouth_light(points: Tensor, normals: Tensor, lips: Tensor) -> Tensor:
    """Factor 0..1 of display colors at points inside a mouth.

    The form factor of a small opening of area A at distance d, A cos a cos b / (pi d^2 + A): a at the point, b at the
    opening (Cohen and Greenberg 1985, with the term that keeps it below 1).

    Args:
        points: [B,M,3] meters, skull frame.
        normals: [M,3] unit normals at rest.
        lips: [B,4,3] meters, the middle of the upper and of the lower lip, and the corners.

    Returns:
        [B,M].
    """
    upper, lower, left, right = (lips * 1e3).unbind(1)
    height, width = (upper - lower).norm(dim=1), (left - right).norm(dim=1)
    area = ((height + CLOSED) * width)[:, None]
    center = torch.cat([(upper + lower + left + right)[:, :2] / 4, torch.maximum(upper, lower)[:, 2:]], 1)
    core = torch.stack([width, height, torch.zeros_like(width)], 1)[:, None] * (CORE / 2)
    away = center[:, None] - points * 1e3
    away = away - torch.maximum(torch.minimum(away, core), -core)
    distance = away.square().sum(-1).sqrt()
    direction = away / distance.clamp_min(1e-6)[..., None]
    facing = (((direction * normals).sum(-1) + WRAP) / (1 + WRAP)).clamp_min(0)
    squared = (distance - NEAR).clamp_min(0).square()
    direct = area / (area + math.pi * squared) * facing * direction[..., 2].clamp_min(SIDEWAYS)
    indirect = INDIRECT * area / (area + INDIRECT_AREA)
    return (indirect + (1 - indirect) * direct) ** DISPLAY
