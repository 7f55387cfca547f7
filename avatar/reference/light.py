"""Reference of the light on a layer: what enters the mouth between the lips, and the shadow of the lids on the eyes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Cosines from -WRAP on count: light reaches surfaces that face away from the opening by way of others.
WRAP = 0.4
#: Smallest cosine at the opening: lips are no flat sheet, light also enters from aside.
SIDEWAYS = 0.2
#: Part of the light that comes from other surfaces of the mouth. An opening of INDIRECT_AREA mm^2 lets half of the most
#: of it in.
INDIRECT = 0.1
INDIRECT_AREA = 300.0
#: Height of closed lips, mm.
CLOSED = 1.0
#: Distance behind the lips up to which nothing is darker, mm: that of the front teeth; lips let some light through.
NEAR = 6.0
#: Part of the opening, about its center, that is one direction for all points before it.
CORE = 0.6
#: The numbers above in the order in which the native kernel takes them.
MOUTH_CONSTANTS = (WRAP, SIDEWAYS, INDIRECT, INDIRECT_AREA, CLOSED, NEAR, CORE)


@dataclass(frozen=True)
class MouthSurface:
    """Vertices inside a mouth, and landmarks of its opening."""

    vertices: Tensor  # [M] int
    normals: Tensor  # [M,3] unit normals at rest
    corners: Tensor  # [4,3] int, vertices of the middle of the upper and of the lower lip, and of the corners
    bary: Tensor  # [4,3]


@dataclass(frozen=True)
class EyeSurface:
    """Vertices of two eyes, landmarks of their lids, and how each lid shades them."""

    vertices: Tensor  # [2,n] int
    corners: Tensor  # [2*2*L,3] int, vertices of L landmarks of the edge of each lid: eye, then upper and lower
    bary: Tensor  # [2*2*L,3]
    fit: Tensor  # [2,2,D,L] coefficients of the polynomials through the edges, from the heights of the landmarks
    shadow: Tensor  # [2] 0..1, depth right at the edge of the upper and of the lower lid
    reach: Tensor  # [2] meters within which it decreases by 1/e


def layer_shade(vertices: Tensor, mouth: MouthSurface | None, eyes: EyeSurface | None) -> Tensor:
    """Reference of `avatar.ops.layer_shade`."""
    shade = vertices.new_ones(vertices.shape[:2])
    if mouth is not None:
        lips = (vertices[:, mouth.corners] * mouth.bary[:, :, None]).sum(2)
        shade[:, mouth.vertices] = mouth_light(vertices[:, mouth.vertices], mouth.normals, lips)
    if eyes is not None:
        shade[:, eyes.vertices.flatten()] *= lid_shadow(vertices, eyes).flatten(1)
    return shade


def mouth_light(points: Tensor, normals: Tensor, lips: Tensor) -> Tensor:
    """Factor 0..1 of display colors at points inside a mouth, the root of the light that reaches them.

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
    height = (upper - lower).norm(dim=1)
    width = (left - right).norm(dim=1)
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
    return (indirect + (1 - indirect) * direct).sqrt()


def lid_shadow(vertices: Tensor, eyes: EyeSurface) -> Tensor:
    """Factor [B,2,n] of the colors of the eyes: each lid darkens by 1 - s exp(-d / r), d the height below its edge.

    Above the upper edge (below the lower one) the shadow is as deep as at it.
    """
    edges = lid_edges(vertices, eyes.corners, eyes.bary)
    middle, half = edge_span(edges)
    coefficients = torch.einsum("eldn,beln->beld", eyes.fit, edges[..., 1])[..., None]  # [B,2,2,D,1]
    points = vertices[:, eyes.vertices.flatten(), :2].unflatten(1, eyes.vertices.shape) * 1e3
    t = ((points[..., 0] - middle) / half).clamp(-1, 1)[:, :, None]
    height = sum(coefficients[..., k, :] * t**k for k in range(coefficients.shape[3]))
    sides = 1e-3 * torch.stack([-1 / eyes.reach[0], 1 / eyes.reach[1]])[:, None]
    dark = ((height - points[:, :, None, :, 1]) * sides).clamp(max=0).exp() * eyes.shadow[:, None]
    return (1 - dark).prod(2)


def lid_edges(vertices: Tensor, corners: Tensor, bary: Tensor) -> Tensor:
    """Landmarks [B,2 eyes,2 lids,L,3] of the edges of the lids, in mm."""
    points = (vertices[:, corners] * bary[:, :, None]).sum(2) * 1e3
    return points.unflatten(1, (2, 2, -1))


def edge_span(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and half width [B,2,1] of the eyes along x, in mm, of edges [B,2,2,L,3]."""
    low = edges[..., 0].amin((-2, -1))
    high = edges[..., 0].amax((-2, -1))
    return (0.5 * (low + high))[..., None], (0.5 * (high - low)).clamp_min(1)[..., None]


def add_reflections(color: Tensor, coverage: Tensor, textures: Tensor, centers: Tensor, radii: Tensor) -> Tensor:
    """Reference of `avatar.ops.add_reflections`."""
    texels = torch.arange(textures.shape[-1], dtype=color.dtype, device=color.device)

    def weights(axis: int, size: int) -> Tensor:
        """Of each texel at each pixel [B,2,size,S] along x or y."""
        local = (torch.arange(size, dtype=color.dtype, device=color.device) + 0.5 - centers[..., axis, None]) / radii[
            ..., None
        ]
        at = (local + 1) * (len(texels) / 2) - 0.5
        return (1 - (at[..., None] - texels).abs()).clamp_min(0)

    height, width = coverage.shape[1:]
    added = weights(1, height) @ textures @ weights(0, width).transpose(2, 3)  # [B,2,h,w]
    return color + (added.sum(1) * coverage)[..., None]
