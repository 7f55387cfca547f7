"""Lighting of the contact sheets: wrapped diffuse skin, ambient occlusion, gloss. Vertex colors stay albedo."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatar import ops

_KEY = (0.42, 0.50, 0.76)
_FILL = (-0.75, 0.15, 0.55)
_KEY_COLOR = (1.08, 1.03, 0.97)
_FILL_COLOR = (0.19, 0.185, 0.185)
_SKY = (0.31, 0.30, 0.31)
_GROUND = (0.19, 0.16, 0.14)
#: diffuse wrap past the terminator in red, green, blue: subsurface scattering is widest in red
_WRAP = (0.28, 0.20, 0.17)
_BLEED = (0.78, 0.95, 1.0)  # exponents of the ambient visibility: light between folds of skin becomes redder
_GAMMA = 2.2
_DIRECTIONS = 20
_PIXELS = 256
_RADIUS = 0.32  # meters: radius of the sphere that fits into the depth images; their distance
_CAMERA_DISTANCE = 4.0
_BIAS = 0.0025  # meters that a vertex is moved along its normal before the depth test


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [V,3] of vertices [V,3]: face normals weighted by area."""
    a, b, c = vertices[faces].unbind(1)
    normals = torch.zeros_like(vertices)
    across = torch.linalg.cross(b - a, c - a)
    for corner in range(3):
        normals.index_add_(0, faces[:, corner], across)
    return torch.nn.functional.normalize(normals, dim=-1)


def _sphere(count: int) -> Tensor:
    """Directions [N,3] spread evenly over the sphere (a Fibonacci spiral)."""
    step = torch.arange(count) + 0.5
    height = 1 - 2 * step / count
    turn = step * math.pi * (3 - math.sqrt(5))
    across = (1 - height**2).sqrt()
    return torch.stack([across * turn.cos(), height, across * turn.sin()], -1)


def _frames() -> Tensor:
    """Camera axes as rows [20,3,3], looking from evenly spread directions at the center."""
    directions = _sphere(_DIRECTIONS)
    side = torch.nn.functional.normalize(torch.linalg.cross(directions, directions.roll(1, 1)), dim=1)
    return torch.stack([side, torch.linalg.cross(side, directions), -directions], 1)


def openness(vertices: Tensor, normals: Tensor, faces: Tensor) -> Tensor:
    """Cosine-weighted ambient visibility [V] of each vertex [V,3], 0 (occluded) to 1 (open)."""
    frames = _frames()
    offset = torch.tensor([0, 0, _CAMERA_DISTANCE])
    placed = (vertices - vertices.mean(0)) @ frames.transpose(1, 2) + offset
    focal = _PIXELS * _CAMERA_DISTANCE / (2 * _RADIUS)
    K = torch.tensor([[focal, 0, _PIXELS / 2], [0, focal, _PIXELS / 2], [0, 0, 1]]).expand(_DIRECTIONS, 3, 3)
    depth = ops.mesh(placed.contiguous(), faces, K.contiguous(), _PIXELS, _PIXELS)[2]
    lifted = placed + _BIAS * normals @ frames.transpose(1, 2)
    pixel = (lifted[..., :2] / lifted[..., 2:] * focal + _PIXELS / 2).long().clamp(0, _PIXELS - 1)
    front = depth.flatten(1).gather(1, pixel[..., 1] * _PIXELS + pixel[..., 0])
    weight = (-frames[:, 2] @ normals.T).clamp(min=0)
    visible = weight * ((front == 0) | (lifted[..., 2] <= front + _BIAS / 2))
    return _smooth(visible.sum(0) / weight.sum(0).clamp(min=1e-6), faces)


def _smooth(values: Tensor, faces: Tensor) -> Tensor:
    """Values [V] averaged twice over the faces at each vertex."""
    for _ in range(2):
        around = torch.zeros_like(values)
        count = torch.full_like(values, 1e-6)
        means = values[faces].mean(1)
        for corner in range(3):
            around.index_add_(0, faces[:, corner], means)
            count.index_add_(0, faces[:, corner], torch.ones_like(means))
        values = around / count
    return values


def shade(colors: Tensor, normals: Tensor, sky: Tensor, gloss: Tensor) -> Tensor:
    """Shade points for a view direction along -z.

    Args:
        colors: [N,3] albedo, sRGB 0..1.
        normals: [N,3] unit normals.
        sky: [N,1] ambient visibility (`openness`).
        gloss: [N,1] strength of the specular highlight.

    Returns:
        sRGB colors [N,3], not below 0.
    """
    key = torch.nn.functional.normalize(torch.tensor(_KEY), dim=0)
    fill = torch.nn.functional.normalize(torch.tensor(_FILL), dim=0)
    wrap = torch.tensor(_WRAP)
    open_sky = sky.clamp(0, 1) ** torch.tensor(_BLEED)
    direct = (((normals @ key)[..., None] + wrap) / (1 + wrap)).clamp(min=0) * torch.tensor(_KEY_COLOR)
    side = (((normals @ fill)[..., None] + wrap) / (1 + wrap)).clamp(min=0) * torch.tensor(_FILL_COLOR)
    up = (normals[..., 1:2] + 1) / 2
    ambient = up * torch.tensor(_SKY) + (1 - up) * torch.tensor(_GROUND)
    light = direct * (0.35 + 0.65 * open_sky) + (side + ambient) * open_sky
    half = torch.nn.functional.normalize(key + torch.tensor([0.0, 0.0, 1.0]), dim=0)
    facing = (normals @ half).clamp(0, 1)[..., None]
    edge = 0.04 + 0.25 * (1 - normals[..., 2:].clamp(0, 1)) ** 5
    shine = edge * (0.35 * facing**14) * sky + gloss * facing**160 * 0.8
    return (colors**_GAMMA * light + shine).clamp(min=0) ** (1 / _GAMMA)
