"""Gaussians + Camera -> pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatar import ops
from avatar.ops import SplatOutput
from avatar.records import Camera, Gaussians, RenderOutput

WHITE = (1.0, 1.0, 1.0)


def render(
    gaussians: Gaussians, camera: Camera, background: Sequence[float] | Tensor = WHITE, *, with_depth: bool = True
) -> RenderOutput:
    """Splat `gaussians` [B,N] as `camera` [B] sees them over one `background` colour (three values, 0..1).

    One SH term is a colour that is the same from everywhere; more are evaluated for the camera's place. Without
    `with_depth` the depth is None, and some time is saved.
    """
    out = splat(gaussians, camera, with_depth=with_depth)
    behind = torch.as_tensor(background, dtype=out.rgb.dtype, device=out.rgb.device)
    return RenderOutput(out.rgb + (1 - out.alpha)[..., None] * behind, out.alpha, out.depth)


def splat(gaussians: Gaussians, camera: Camera, *, with_depth: bool = True) -> SplatOutput:
    """Premultiplied pictures of `gaussians` [B,N] as `camera` [B] sees them."""
    return ops.splat(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh, camera,
        with_depth=with_depth,
    )  # fmt: skip


def to_uint8(rgb: Tensor) -> Tensor:
    """Pictures [...,3] in 0..1 as uint8 with rounding."""
    return (rgb.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
