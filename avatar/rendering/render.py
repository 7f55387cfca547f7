"""Gaussians and a camera to images, with autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatar.rendering.backends import Rasterizer, backend_of
from avatar.types import Camera, Gaussians, RenderOutput

WHITE = (1.0, 1.0, 1.0)


def render(
    gaussians: Gaussians,
    camera: Camera,
    background: Sequence[float] | Tensor = WHITE,
    rasterizer: Rasterizer = "native",
    *,
    with_depth: bool = True,
) -> RenderOutput:
    """Render Gaussians over one background color; differentiable in every tensor of `gaussians`.

    Args:
        gaussians: [B,N], world frame. One SH coefficient is a color that does not depend on the view direction; more
            are evaluated for the direction from the camera.
        camera: [B].
        background: [3], 0..1.
        rasterizer: "native" (our kernels) or "gsplat" (see `avatar.rendering.backends`).
        with_depth: False skips the depth (None in the output) and saves time.

    Returns:
        rgb [B,H,W,3], alpha [B,H,W] and depth [B,H,W] in meters.

    Raises:
        HeadsplatError: the rasterizer cannot run on this machine.
    """
    rgb, alpha, depth = backend_of(rasterizer).rasterize(gaussians, camera, with_depth=with_depth)
    color = torch.as_tensor(background, dtype=rgb.dtype, device=rgb.device)
    return RenderOutput(rgb + (1 - alpha)[..., None] * color, alpha, depth)


def to_uint8(rgb: Tensor) -> Tensor:
    """Images [...,3] in 0..1 as uint8 with rounding."""
    return (rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
