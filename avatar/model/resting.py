"""The resting face of a person: the expression weights with which it was tracked, and an avatar in it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar

NEUTRAL_QUANTILE = 0.2


def resting_expression(expression: Tensor) -> Tensor:
    """Tracked weights of the person's resting face [E]: a low quantile over the frames of `expression` [T,E]."""
    return expression.quantile(NEUTRAL_QUANTILE, dim=0)


def resting_means(avatar: Avatar, head: HeadModel) -> Tensor:
    """Centers [N,3] of the avatar's Gaussians on the resting `head`, in the skull frame; meters."""
    return resting_vertices(avatar, head)[1]


def resting_vertices(avatar: Avatar, head: HeadModel) -> tuple[Tensor, Tensor]:
    """Vertices [V,3] of the resting `head` and centers [N,3] of the avatar's Gaussians on it, skull frame; meters."""
    params = head.neutral_params(1)
    params.expression[:] = avatar.neutral
    rotation, origin = torch.eye(3)[None], torch.zeros(1, 3)
    vertices, scales = head.skull_vertices(params), avatar.log_scales.exp()[None]
    quats = normalize(avatar.quats, dim=-1)[None]
    placed = avatar.rig.place(vertices, avatar.offsets[None], quats, scales, rotation, origin, (rotation, origin))
    return vertices[0], placed[0][0]
