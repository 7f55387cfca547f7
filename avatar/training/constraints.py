"""Limits on Gaussians in training: without them a few grow into needles, sheets and glaring specks.

The limits bind few Gaussians at a time, so they are applied every few steps after the step of Adam.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatar import ops
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.training.memo import Memo

#: Steps between two applications of the limits, and of that on distances.
EVERY = 4
REACH_EVERY = 8
#: Largest ratio of the two larger axes of a Gaussian: 1 is a disc, much more is a needle.
MAX_RATIO = 6.0
#: Largest ratio of the longest axis and the shortest: a thin disc seen from its edge is a needle, too.
MAX_THINNESS = 8.0
#: Largest standard deviation of a Gaussian relative to its initial one.
MAX_GROWTH = 3.0
#: Around the openings of mouth and eyes a Gaussian that sits far from its triangle tears off with another lip or lid:
#: offset and blendshapes together move these Gaussians no farther than this in any of the frames; meters.
OPENINGS: tuple[Region, ...] = ("lips", "lips_inner", "eyelids", "lid_interior")
REACH = 2e-3
#: Number of evenly spread frames in which the distance is measured.
REACH_FRAMES = 8
#: Colors beyond 0..1 serve only to outshine other Gaussians.
COLOR_LOW = -0.01
COLOR_HIGH = 1.01


class Limits:
    """The limits of this module for one avatar."""

    def __init__(self, avatar: Avatar) -> None:
        """Args: avatar: changed in place by the limits."""
        self._avatar = avatar
        self._largest: Memo[Tensor] = Memo()
        self._near: Memo[Tensor] = Memo()

    @torch.no_grad()
    def apply(self, initial_log_scales: Tensor) -> None:
        """Clamp colors, sizes and shapes of all Gaussians.

        Args:
            initial_log_scales: [N,3] log of meters, before the first step.
        """
        avatar = self._avatar
        largest = self._largest(lambda: initial_log_scales.amax(1) + math.log(MAX_GROWTH), initial_log_scales)
        avatar.colors.clamp_(COLOR_LOW, COLOR_HIGH)
        ops.limit_scales(avatar.log_scales, largest, math.log(MAX_RATIO), math.log(MAX_THINNESS))

    @torch.no_grad()
    def limit_reach(self, weights: Tensor) -> None:
        """Scale offsets and position blendshapes of the Gaussians of lips and lids that leave their triangles too far.

        After the step: a limit inside the model would have no gradient for Gaussians beyond it.

        Args:
            weights: [T,K] of the blendshapes in the frames whose motion counts.
        """
        avatar = self._avatar
        triangles = avatar.rig.triangles
        count = avatar.blendshapes.count
        rows = self._near(lambda: avatar.head.mask(*OPENINGS)[triangles[:count]].any(1).nonzero()[:, 0], triangles)
        size = motion(avatar, weights, rows).square.sqrt()
        scale_motion(avatar, rows, (REACH / size.clamp_min(REACH))[:, None])


def motion(avatar: Avatar, weights: Tensor, rows: Tensor) -> ops.BlendExtent:
    """Extent of offset plus blendshapes of the Gaussians `rows` [M] for blendshape weights [T,K], meters."""
    return blend_extent(avatar, weights, rows, slice(0, 3), avatar.offsets[rows])


def blend_extent(
    avatar: Avatar, weights: Tensor, rows: Tensor, channels: slice, base: Tensor | None = None
) -> ops.BlendExtent:
    """Extent of what blendshapes add to some channels of Gaussians.

    Args:
        avatar: the avatar.
        weights: [T,K] of its blendshapes.
        rows: [M] int, Gaussians.
        channels: of the offsets.
        base: [M,C] added to that; None: zero.
    """
    shapes = avatar.blendshapes
    basis = shapes.basis * shapes.mask[:, :, None] if shapes.mode == "expression" else shapes.basis
    return ops.blend_extent(base, basis, weights, rows, channels.start, shapes.units[channels])


def scale_motion(avatar: Avatar, rows: Tensor, factors: Tensor) -> None:
    """Multiply offsets and position blendshapes of the Gaussians `rows` [M] by `factors` [M,1] or [M,3], up to 1."""
    rows, factors = _beyond(rows, factors)
    avatar.offsets[rows] *= factors
    avatar.blendshapes.basis[:, rows, :3] *= factors


def scale_blendshapes(avatar: Avatar, rows: Tensor, channels: slice, factors: Tensor) -> None:
    """Multiply channels of the blendshapes of the Gaussians `rows` [M] by `factors` [M,1] or [M,C], up to 1."""
    rows, factors = _beyond(rows, factors)
    avatar.blendshapes.basis[:, rows, channels] *= factors


def _beyond(rows: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Those of `rows` [M] and `factors` [M,C] that are below 1 in some channel: few are."""
    below = (factors < 1).any(1).nonzero()[:, 0]
    return rows[below], factors[below]
