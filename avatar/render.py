"""Gaussians + Camera -> pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry import SH_C0
from avatar.rasterizer import Rasterizer, gsplat_pictures
from avatar.records import Camera, Gaussians, RenderOutput

WHITE = (1.0, 1.0, 1.0)


def render(
    gaussians: Gaussians,
    camera: Camera,
    background: Sequence[float] | Tensor = WHITE,
    rasterizer: Rasterizer = "native",
) -> RenderOutput:
    """Splat `gaussians` [B,N] as `camera` [B] sees them over one `background` colour (three values, 0..1).

    One SH term is a colour that is the same from everywhere; more are evaluated for the camera's place. `rasterizer` is
    our own kernels or gsplat (`avatar.rasterizer`).

    Raises:
        HeadsplatError: gsplat is asked for and cannot run here.
    """
    if rasterizer == "gsplat":
        rgb, alpha, depth = gsplat_pictures(gaussians, camera)
    else:
        rgb, alpha, depth = _native_pictures(gaussians, camera)
    behind = torch.as_tensor(background, dtype=rgb.dtype, device=rgb.device)
    return RenderOutput(rgb + (1 - alpha)[..., None] * behind, alpha, depth)


def _native_pictures(gaussians: Gaussians, camera: Camera) -> tuple[Tensor, Tensor, Tensor | None]:
    sh = gaussians.sh
    colors = (0.5 + SH_C0 * sh[:, :, 0]).clamp_min(0.0) if sh.shape[2] == 1 else sh
    out = ops.splat(gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, colors, camera)
    return out.rgb, out.alpha, out.depth


def to_uint8(rgb: Tensor) -> Tensor:
    """Pictures [...,3] in 0..1 as uint8 with rounding."""
    return (rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
