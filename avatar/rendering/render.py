"""Gaussians + Camera -> pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatar import ops
from avatar.rendering.backends import Rasterizer, render_gsplat
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
    """Splat `gaussians` [B,N] as `camera` [B] sees them over one `background` color (three values, 0..1).

    One SH term is a color that is the same from everywhere; more are evaluated for the camera's place. `rasterizer` is
    our own kernels or gsplat (`avatar.rendering.backends`). Without `with_depth` the
    depth is None, and some time is saved.

    Raises:
        HeadsplatError: gsplat is asked for and cannot run here.
    """
    rgb, alpha, depth = splat(gaussians, camera, rasterizer, with_depth=with_depth)
    behind = torch.as_tensor(background, dtype=rgb.dtype, device=rgb.device)
    return RenderOutput(rgb + (1 - alpha)[..., None] * behind, alpha, depth)


def splat(
    gaussians: Gaussians, camera: Camera, rasterizer: Rasterizer = "native", *, with_depth: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Premultiplied rgb [B,H,W,3], alpha [B,H,W] and depth [B,H,W] of `gaussians` [B,N] as `camera` [B] sees them."""
    if rasterizer == "gsplat":
        return render_gsplat(gaussians, camera, with_depth=with_depth)
    out = ops.splat(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh, camera,
        with_depth=with_depth,
    )  # fmt: skip
    return out.rgb, out.alpha, out.depth


def to_uint8(rgb: Tensor) -> Tensor:
    """Pictures [...,3] in 0..1 as uint8 with rounding."""
    return (rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
