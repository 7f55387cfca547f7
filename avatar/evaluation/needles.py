"""Needles: long thin Gaussians that an eye sees as strokes once the avatar is rendered larger than it was trained."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import ops, reference
from avatar.rendering.layer import splat_layer
from avatar.types import Camera, Gaussians

#: A Gaussian is a needle if its projection is more than `RATIO` times as long as wide and longer than `LENGTH` pixels
#: (its axis, four standard deviations), and if its blend weights sum to more than `VISIBLE` pixels.
RATIO = 8.0
LENGTH = 6.0
VISIBLE = 0.5


def projected_axes(gaussians: Gaussians, camera: Camera) -> tuple[Tensor, Tensor]:
    """Length and width of the projected Gaussians, pixels: four standard deviations along the axes, dilation included.

    Args:
        gaussians: [B,N], world.
        camera: [B].

    Returns:
        Lengths [B,N] and widths [B,N]; 0 for Gaussians that are culled.
    """
    found = reference.project(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, camera, dilation=gaussians.dilation
    )
    xx, xy, yy = found.conics.double().unbind(-1)
    middle = 0.5 * (xx + yy)
    spread = torch.hypot(0.5 * (xx - yy), xy)
    low = (middle - spread).clamp_min(1e-12)
    high = (middle + spread).clamp_min(1e-12)
    length = torch.where(found.visible, 4 / low.sqrt(), 0.0).float()
    width = torch.where(found.visible, 4 / high.sqrt(), 0.0).float()
    return length, width


@torch.no_grad()
def count_needles(gaussians: Gaussians, camera: Camera) -> Tensor:
    """Number of visible needles [B] in the images of B cameras.

    Args:
        gaussians: [B,N], world.
        camera: [B].
    """
    fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
    weights = ops.splat(
        *fields,
        camera,
        dilation=gaussians.dilation,
        with_weights=True,
        with_depth=False,
        layer=splat_layer(gaussians, camera),
    ).weights
    assert weights is not None
    length, width = projected_axes(gaussians, camera)
    return ((length > RATIO * width) & (length > LENGTH) & (weights > VISIBLE)).sum(-1)
